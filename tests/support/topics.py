"""Topics and filters for Hypothesis, small enough that they often match, and the rules of matching in plain words."""

from hypothesis import strategies as st

LEVELS = ["a", "b", "", "$x"]

names = st.lists(st.sampled_from(LEVELS), min_size=1, max_size=4).map("/".join).filter(bool)

filters = st.builds(
    lambda levels, rest: "/".join([*levels, "#"] if rest else levels),
    st.lists(st.sampled_from([*LEVELS, "+"]), min_size=1, max_size=4),
    st.booleans(),
).filter(bool) | st.just("#")


def naive_match(filter: str, topic: str) -> bool:
    """Chapter 4.7 of the specification, level by level."""
    if topic.startswith("$") and filter[0] in "+#":
        return False
    wanted, levels = filter.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        if len(levels) < len(wanted):
            return False
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(
        w in ("+", found) for w, found in zip(wanted, levels, strict=True)
    )

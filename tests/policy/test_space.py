"""Sets of topics, compared exactly: against going through all topics of a small world."""

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bollard.policy import space
from bollard.policy.space import TooComplex, covers, example, meet, overlap
from bollard.wire.topics import contains, matches

#: Every topic name that filters of at most three levels over these texts can tell apart, and more.
TEXTS = ["a", "b", "x", "$s", ""]
NAMES = [
    "/".join(levels) for count in range(1, 5) for levels in product(TEXTS, repeat=count) if levels != ("",)
]

LEVEL = st.sampled_from(["a", "b", "+", "$s", ""])
FILTER = st.one_of(
    st.just(("#",)),
    st.builds(
        lambda levels, tail: (*levels, *tail),
        st.lists(LEVEL, min_size=1, max_size=3),
        st.sampled_from([(), ("#",)]),
    ).filter(lambda levels: levels != ("",)),
)
UNION = st.lists(FILTER, max_size=4)


def levels(*texts: str) -> list[tuple[str, ...]]:
    return [tuple(text.split("/")) for text in texts]


def matched(union: list[tuple[str, ...]], name: str) -> bool:
    return any(matches("/".join(filter), name) for filter in union)


def held(union: list[tuple[str, ...]], requested: str) -> bool:
    return any(contains("/".join(filter), requested) for filter in union)


def difference(
    one: Sequence[tuple[str, ...]], other: Sequence[tuple[str, ...]], **how: bool
) -> tuple[str, ...] | None:
    """An example of what only one of the two matches, or holds."""
    return example([[*one, *other], one, other], lambda held: held[0] and held[1] != held[2], **how)


def topics(filter: tuple[str, ...] | None) -> set[str]:
    return {name for name in NAMES if filter is not None and matches("/".join(filter), name)}


@settings(deadline=None, max_examples=60)
@given(FILTER, FILTER)
def test_two_filters_meet_in_one_that_matches_just_what_both_do(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    assert topics(meet(one, other)) == topics(one) & topics(other)
    assert (meet(one, other) is None) == (not topics(one) & topics(other))


@settings(deadline=None, max_examples=60)
@given(UNION, UNION)
def test_two_unions_differ_just_where_some_topic_of_a_small_world_tells_them_apart(
    one: list[tuple[str, ...]], other: list[tuple[str, ...]]
) -> None:
    found = difference(one, other)
    apart = [name for name in NAMES if matched(one, name) != matched(other, name)]
    assert (found is not None) == bool(apart)
    if found is not None:
        assert matched(one, "/".join(found)) != matched(other, "/".join(found))


@settings(deadline=None, max_examples=60)
@given(UNION, UNION)
def test_covering_and_overlapping_are_those_of_a_small_world(
    one: list[tuple[str, ...]], other: list[tuple[str, ...]]
) -> None:
    assert covers(one, other) == all(matched(one, name) for name in NAMES if matched(other, name))
    assert overlap(one, other) == any(matched(one, name) and matched(other, name) for name in NAMES)


FILTERS = [
    "/".join((*front, *tail))
    for count in range(1, 4)
    for front in product(["a", "x", "+", "$s"], repeat=count)
    for tail in ((), ("#",))
] + ["#"]


@settings(deadline=None, max_examples=60)
@given(st.lists(FILTER, max_size=3), st.lists(FILTER, max_size=3))
def test_what_may_be_subscribed_differs_just_where_some_filter_of_a_small_world_does(
    one: list[tuple[str, ...]], other: list[tuple[str, ...]]
) -> None:
    found = difference(one, other, of_filters=True)
    if found is None:
        assert [name for name in FILTERS if held(one, name) != held(other, name)] == []
    else:
        assert held(one, "/".join(found)) != held(other, "/".join(found))


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (["#"], ["+/#"], None),
        (["a/#"], ["a", "a/+", "a/+/#"], None),
        (["a/#"], ["a/+/#"], ("a",)),
        (["#"], ["$SYS/#"], ("$SYS",)),
        (["+"], ["a"], ("x",)),
        (["+/x", "+/y"], ["a/x", "+/y"], ("x", "x")),
    ],
)
def test_the_example_is_the_shortest(one: list[str], other: list[str], found: tuple[str, ...] | None) -> None:
    assert difference(levels(*one), levels(*other)) == found


def test_an_empty_topic_is_no_example() -> None:
    assert difference(levels("/#"), levels("/+", "/+/#")) is None


def test_a_union_may_cover_what_none_of_its_filters_holds() -> None:
    assert covers(levels("a", "a/+", "a/+/#"), levels("a/#"))
    assert difference(levels("a", "a/+", "a/+/#"), levels("a/#"), of_filters=True) == ("a", "#")


def test_what_would_take_too_long_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "MAX_STEPS", 50)
    mixed = [("+",) * n + ("a",) + ("+",) * (12 - n) + (str(n),) for n in range(12)]
    with pytest.raises(TooComplex, match="too mixed"):
        covers(mixed, mixed)

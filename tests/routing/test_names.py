"""Names of levels: equal ones are one string, and what is remembered is bounded."""

from bollard.routing.names import MAX_NAME_CHARS, MAX_NAMES, Names


def split(text: str) -> str:
    """A string of its own, as a split of a topic gives."""
    return (text + "/").split("/")[0]


def test_equal_names_become_one_string() -> None:
    names = Names()
    first, second = split("state"), split("state")
    assert first is not second
    assert names.one(first) is names.one(second) is first


def test_a_long_name_is_given_back_and_not_remembered() -> None:
    names = Names()
    name = "x" * (MAX_NAME_CHARS + 1)
    assert names.one(name) is name
    assert len(names) == 0


def test_endless_names_are_not_remembered_for_ever() -> None:
    names = Names()
    for number in range(3 * MAX_NAMES):
        assert names.one(str(number)) == str(number)
        assert len(names) <= MAX_NAMES

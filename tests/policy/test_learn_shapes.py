"""What topics of several devices have in common, and no more than that."""

import pytest

from bollard.policy.learn_shapes import Shape, collapse, commands, kinds, narrowest, shape, stem
from bollard.policy.model import ID


@pytest.mark.parametrize(
    ("topic", "identity", "expected"),
    [
        ("home/plug/state", "plug", ("home", ID, "state")),
        ("home/plug-1/state", "plug", ("home", "plug-1", "state")),
        ("plug/plug", "plug", (ID, ID)),
        ("/plug/", "plug", ("", ID, "")),
        ("home/PLUG/state", "plug", ("home", "PLUG", "state")),
    ],
)
def test_only_a_whole_level_is_the_own_name(topic: str, identity: str, expected: Shape) -> None:
    assert shape(topic, identity) == expected


@pytest.mark.parametrize("topic", ["a/set", "cmnd/x/POWER", "a/OTA/image", "spBv1.0/g/DCMD/n", "a/b/reset"])
def test_topics_that_command_are_recognized_whatever_their_case(topic: str) -> None:
    assert commands(topic.split("/"))


@pytest.mark.parametrize("topic", ["a/settings", "a/state", "commander/x", "offset"])
def test_words_that_only_contain_one_do_not_command(topic: str) -> None:
    assert not commands(topic.split("/"))


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        ("plug-17", "plug"),
        ("plug17", "plug"),
        ("plug_3", "plug"),
        ("esp-3fa81c", "esp"),
        ("shelly1-0A1B2C3D4E5F", "shelly1"),
        ("kitchen", ""),
        ("kitchen-lamp", ""),
        ("home-assistant", ""),
        ("42", ""),
        ("a-face", ""),
    ],
)
def test_numbered_names_have_a_stem(identity: str, expected: str) -> None:
    assert stem(identity) == expected


def test_devices_are_of_one_kind_by_their_names_or_by_all_that_they_do() -> None:
    does = {("publish", "home", ID)}
    found = kinds({"plug-1": does, "plug-2": set(), "hall": does, "attic": does, "boiler": set()})
    assert found == [("attic", ("attic", "hall")), ("boiler", ("boiler",)), ("plug", ("plug-1", "plug-2"))]


def supported(*topics: str, devices: int = 2) -> dict[Shape, frozenset[str]]:
    names = frozenset(f"d{n}" for n in range(devices))
    return {tuple(topic.split("/")): names for topic in topics}


def collapsed(shapes: dict[Shape, frozenset[str]], *, acceptable: bool = True) -> set[str]:
    return {"/".join(one) for one in collapse(shapes, lambda wild: acceptable)}


def test_three_texts_of_two_devices_become_a_wildcard() -> None:
    assert collapsed(supported("a/x/c", "a/y/c", "a/z/c")) == {"a/+/c"}


@pytest.mark.parametrize(
    "shapes",
    [
        supported("a/x", "a/y"),
        supported("a/x", "a/y", "a/z", devices=1),
        supported("x/a", "y/a", "z/a"),
        supported("a/x/set", "a/y/set", "a/z/set"),
        supported("a/x/b", "a/y/c", "a/z/d"),
        supported("a/x", "a/y/b", "a/z/b/c"),
    ],
    ids=["two texts", "one device", "first level", "commands", "two places", "other lengths"],
)
def test_less_than_that_stays_as_it_is(shapes: dict[Shape, frozenset[str]]) -> None:
    assert collapsed(shapes) == {"/".join(one) for one in shapes}


def test_one_device_alone_does_not_widen_what_others_do() -> None:
    shapes = supported("a/x", "a/y", "a/z", devices=1)
    shapes["a", "x"] = frozenset({"d0", "d1", "d2"})
    assert collapsed(shapes) == {"a/x", "a/y", "a/z"}


def test_a_text_of_its_own_for_each_device_is_no_wildcard_for_all() -> None:
    shapes = {("a", name): frozenset({name}) for name in ("d1", "d2", "d3", "d4")}
    assert collapsed(shapes) == {"a/d1", "a/d2", "a/d3", "a/d4"}


def test_a_wildcard_that_would_let_in_too_much_is_not_made() -> None:
    shapes = supported("a/x", "a/y", "a/z")
    assert collapsed(shapes, acceptable=False) == {"a/x", "a/y", "a/z"}


def test_nothing_ever_becomes_a_hash() -> None:
    shapes = supported(*(f"a/{one}/{two}" for one in "wxyz" for two in "pqrs"))
    assert collapsed(shapes) == {"a/w/+", "a/x/+", "a/y/+", "a/z/+"}
    assert not any("#" in one for one in collapsed(supported(*(f"a/{'x/' * n}y" for n in range(9)))))


def test_a_command_among_others_is_no_part_of_a_wildcard() -> None:
    assert collapsed(supported("a/x", "a/y", "a/z", "a/set")) == {"a/+", "a/set"}


def test_shapes_are_listed_once_and_in_order() -> None:
    assert narrowest([("b",), ("a",), ("b",)]) == [("a",), ("b",)]

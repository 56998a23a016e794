import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.base.errors import PeerError
from bollard.wire.topics import check_filter, check_topic_name, contains, matches, split_share

LEVEL = st.sampled_from(["", "a", "b", "$x"])
TOPIC = st.lists(LEVEL, min_size=1, max_size=4).map("/".join).filter(bool)
PLAIN_FILTER = st.tuples(
    st.lists(LEVEL | st.just("+"), max_size=3), st.sampled_from(["a", "b", "+", "#", "", "$x"])
)
FILTER = PLAIN_FILTER.map(lambda parts: "/".join([*parts[0], parts[1]])).filter(bool)

# Every topic of one to five levels over the letters of the filters, and one letter that stands for all others.
UNIVERSE = ["$x", "a", "b", "z"]
for _ in range(3):
    UNIVERSE += [f"{topic}/{level}" for topic in UNIVERSE for level in ("", "a", "b", "z", "$x")]
UNIVERSE = sorted({topic for topic in UNIVERSE if topic.count("/") < 5})[:4000]


def code_of(check: object, *arguments: object) -> int:
    try:
        check(*arguments)  # type: ignore[operator]
    except PeerError as fault:
        return fault.code
    return 0


@pytest.mark.parametrize("topic", ["a", "/", "a/b", "//", "/a", "a/", " ", "$SYS/x", "ünï/😀", "a" * 65_535])
def test_a_topic_name_is_legal(topic: str) -> None:
    check_topic_name(topic)
    check_filter(topic)


@pytest.mark.parametrize(
    "topic", ["a/+", "+", "#", "a#", "a+b", "", "a\0b", "a" * 65_536, "é" * 32_768, "\ud800"]
)
def test_an_ill_formed_topic_name_is_malformed(topic: str) -> None:
    """[MQTT5-3.3.2-2] [MQTT3-3.3.2-2] [MQTT5-4.7.3-1, -2, -3] [MQTT3-4.7.3-1, -2, -3]"""
    assert code_of(check_topic_name, topic) == 0x81


def test_a_topic_name_of_too_many_levels_is_not_accepted() -> None:
    check_topic_name("/" * 127)
    assert code_of(check_topic_name, "/" * 128) == 0x90
    assert code_of(check_topic_name, "a/b/c", 2) == 0x90


@pytest.mark.parametrize(
    "text",
    ["#", "+", "a/#", "a/+", "+/+/#", "/#", "/+", "+/a", "$share/g/#", "$share/g//", "$share", "$SYS/#"],
)
def test_a_filter_is_legal(text: str) -> None:
    check_filter(text)


@pytest.mark.parametrize(
    "text",
    ["", "a#", "#/a", "a/#/b", "##", "a/b#", "+a", "a+", "a/b+/c", "a\0", "a" * 65_536, "a/#/#", "\udfff"],
)
def test_a_filter_is_invalid(text: str) -> None:
    """[MQTT5-4.7.1-1, -2] [MQTT3-4.7.1-2, -3] [MQTT5-4.7.3-1]"""
    assert code_of(check_filter, text) == 0x8F


@pytest.mark.parametrize(
    "text", ["$share/", "$share/g", "$share/g/", "$share//a", "$share/g+/a", "$share/#/a"]
)
def test_a_shared_filter_is_invalid(text: str) -> None:
    """[MQTT5-4.8.2-1, -2]"""
    assert code_of(check_filter, text) == 0x8F


def test_the_levels_of_a_shared_filter_are_those_of_its_inner_filter() -> None:
    check_filter("$share/g/a/b", 2)
    assert code_of(check_filter, "$share/g/a/b/c", 2) == 0x8F


def test_a_shared_filter_is_split_in_group_and_filter() -> None:
    assert split_share("$share/g/a/#") == ("g", "a/#")
    assert split_share("$share/g//a") == ("g", "/a")
    assert split_share("$shared/g/a") == ("", "$shared/g/a")
    assert split_share("$share/g") == ("", "$share/g")


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1"),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
        ("sport/#", "sport"),
        ("#", "a/b"),
        ("#", "/"),
        ("sport/tennis/+", "sport/tennis/player1"),
        ("sport/+", "sport/"),
        ("+/+", "/finance"),
        ("/+", "/finance"),
        ("$SYS/#", "$SYS/"),
        ("$SYS/monitor/+", "$SYS/monitor/Clients"),
        ("a/$b", "a/$b"),
        ("+/$b", "a/$b"),
    ],
)
def test_a_filter_matches(text: str, topic: str) -> None:
    """[MQTT5-4.7.1] and [MQTT3-4.7.1], most of them their own examples."""
    assert matches(text, topic)


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("sport/tennis/+", "sport/tennis/player1/ranking"),
        ("sport/+", "sport"),
        ("+", "/finance"),
        ("#", "$SYS/x"),
        ("+/monitor/Clients", "$SYS/monitor/Clients"),
        ("ACCOUNTS", "Accounts"),
        ("a/b", "a"),
        ("a", "a/b"),
        ("a/+/#", "a"),
    ],
)
def test_a_filter_does_not_match(text: str, topic: str) -> None:
    """[MQTT5-4.7.2-1] [MQTT3-4.7.2-1] [MQTT5-4.7.3-4] and examples of chapter 4.7"""
    assert not matches(text, topic)


@given(FILTER, FILTER)
def test_containment_is_what_matching_says(granted: str, requested: str) -> None:
    wider = all(matches(granted, topic) for topic in UNIVERSE if matches(requested, topic))
    if contains(granted, requested):
        assert wider
    elif any(matches(requested, topic) for topic in UNIVERSE):
        assert not wider, "no topic tells the two apart"


@given(FILTER, TOPIC)
def test_a_filter_contains_a_topic_that_it_matches(granted: str, topic: str) -> None:
    assert contains(granted, topic) == matches(granted, topic)


@given(FILTER, FILTER, FILTER)
def test_containment_is_transitive_and_reflexive(first: str, second: str, third: str) -> None:
    assert contains(first, first)
    if contains(first, second) and contains(second, third):
        assert contains(first, third)


@pytest.mark.parametrize(
    ("granted", "requested", "expected"),
    [
        ("#", "a/b", True),
        ("#", "#", True),
        ("#", "+/x", True),
        ("#", "$SYS/#", False),
        ("+/a", "#", False),
        ("+/#", "#", True),
        ("#", "+/#", True),
        ("a/#", "a", True),
        ("a/#", "a/+", True),
        ("a/#", "a/#", True),
        ("a/+/#", "a/#", False),
        ("a/+", "a/#", False),
        ("a/+", "a/b", True),
        ("a/b", "a/+", False),
        ("+/+", "+", False),
        ("$SYS/#", "$SYS/broker/+", True),
        ("+/x", "$SYS/x", False),
    ],
)
def test_one_filter_contains_another(granted: str, requested: str, expected: bool) -> None:
    assert contains(granted, requested) is expected

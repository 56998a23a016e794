"""Why a decision is what it is, and what somebody may do at all."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.base.types import Action
from bollard.policy.explain import EffectiveRight, Nearest, describe, effective, missing_rights, why
from bollard.wire.topics import matches

from .texts import policy_of

SENSOR = """
[template.sensor]
publish = ["devices/${id}/data/#", "devices/${id}/status", "x/+"]
subscribe = ["devices/${id}/cmd/#"]
[group.kitchen]
members = ["esp-*"]
apply = ["sensor"]
"""


def test_what_is_allowed_names_its_rule_and_nothing_near_it() -> None:
    told = why(policy_of(SENSOR), "esp-1", Action.PUBLISH, "devices/esp-1/status")
    assert told.decision.allowed
    assert told.decision.rule == "template.sensor"
    assert told.nearest is None
    assert told.notes == ()
    assert told.groups == ("kitchen",)


@pytest.mark.parametrize(
    ("action", "topic", "filter", "level", "wanted", "found"),
    [
        (Action.PUBLISH, "devices/hall/cmd/on", "devices/esp-1/data/#", 2, "esp-1", "hall"),
        (Action.PUBLISH, "devices/esp-1/cmd", "devices/esp-1/data/#", 3, "data", "cmd"),
        (Action.PUBLISH, "devices/esp-1", "devices/esp-1/data/#", 3, "data", None),
        (Action.PUBLISH, "devices/esp-1/status/x", "devices/esp-1/status", 4, None, "x"),
        (Action.PUBLISH, "$SYS/x", "devices/esp-1/data/#", 1, "devices", "$SYS"),
        (Action.SUBSCRIBE, "devices/+/cmd/#", "devices/esp-1/cmd/#", 2, "esp-1", "+"),
        (Action.SUBSCRIBE, "devices/esp-1/#", "devices/esp-1/cmd/#", 3, "cmd", "#"),
        (Action.SUBSCRIBE, "#", "devices/esp-1/cmd/#", 1, "devices", "#"),
    ],
)
def test_the_nearest_filter_says_where_it_differs(
    action: Action, topic: str, filter: str, level: int, wanted: str | None, found: str | None
) -> None:
    told = why(policy_of(SENSOR), "esp-1", action, topic)
    assert not told.decision.allowed
    assert told.nearest == Nearest("template.sensor", filter, level, wanted, found)


def test_one_level_is_near_to_all_below_but_is_not_it() -> None:
    told = why(policy_of('[grant.g]\nwho = "*"\nsubscribe = ["a/+"]'), "plug", Action.SUBSCRIBE, "a/#")
    assert told.nearest == Nearest("grant.g", "a/+", 2, "+", "#")


def test_without_a_rule_for_it_nothing_is_near() -> None:
    assert why(policy_of(SENSOR), "plug", Action.PUBLISH, "a").nearest is None
    assert why(policy_of(SENSOR), "esp-1", Action.WILL, "a").nearest is None


def test_a_deny_names_itself_and_nothing_near_it() -> None:
    told = why(policy_of(SENSOR + '[deny.d]\nwho = "*"\npublish = ["x/#"]'), "esp-1", Action.PUBLISH, "x/1")
    assert told.decision.rule == "deny.d"
    assert told.nearest is None


def test_a_right_that_only_retain_or_will_lack_is_told() -> None:
    for action, right in ((Action.RETAIN, "retain"), (Action.WILL, "will")):
        told = why(policy_of(SENSOR), "esp-1", action, "x/1")
        assert told.notes == (f"template.sensor grants publish here; {right} is a right of its own",)
        assert why(policy_of(SENSOR), "esp-1", action, "y").notes == ()


def test_topics_with_a_dollar_have_a_note() -> None:
    told = why(policy_of('[grant.g]\nwho = "*"\nsubscribe = ["#"]'), "plug", Action.SUBSCRIBE, "$SYS/#")
    assert told.notes == (
        "topics that begin with $ must be granted by name: wildcards never match that level",
    )
    assert told.nearest == Nearest("grant.g", "#", 1, "#", "$SYS")


def test_a_grant_that_is_over_is_told_if_it_would_have_helped() -> None:
    text = '[grant.g]\nwho = "anna"\npublish = ["a/#"]\nuntil = 2030-01-01T11:00:00Z'
    policy = policy_of(text, at=datetime(2031, 1, 1, tzinfo=UTC))
    told = why(policy, "anna", Action.PUBLISH, "a/b")
    assert told.notes == (
        'grant "g" would allow it, but it is in force only until 2030-01-01T11:00:00+00:00',
    )
    assert why(policy, "anna", Action.PUBLISH, "b").notes == ()
    assert why(policy, "bob", Action.PUBLISH, "a/b").notes == ()


FILTERS = [
    ("a/#", "a", True),
    ("a/#", "a/b/c", True),
    ("a/+", "+/b", True),
    ("a/+", "a", False),
    ("a/+/#", "a", False),
    ("a/b", "a/c", False),
    ("+/b", "$SYS/b", False),
    ("#", "$SYS/#", False),
    ("$SYS/+", "$SYS/#", True),
    ("#", "+/+", True),
]


@pytest.mark.parametrize(("denied", "asked", "overlap"), FILTERS)
def test_a_deny_within_a_granted_subscription_is_told(denied: str, asked: str, overlap: bool) -> None:
    text = f'[grant.g]\nwho = "*"\nsubscribe = ["#", "$SYS/#"]\n[deny.d]\nwho = "*"\nsubscribe = ["{denied}"]'
    told = why(policy_of(text), "plug", Action.SUBSCRIBE, asked)
    if told.decision.allowed:
        assert bool(told.notes) == overlap
    else:
        assert told.decision.rule == "deny.d"
        assert overlap


LEVEL = st.sampled_from(["a", "b", "+", "$s"])
FILTER = st.builds(
    lambda levels, tail: "/".join([*levels, *tail]),
    st.lists(LEVEL, min_size=1, max_size=3),
    st.sampled_from([[], ["#"]]),
)
NAMES = [
    "/".join(levels)
    for first in ("a", "b", "$s")
    for second in ("", "a", "b", "$s")
    for third in ("", "a", "b", "$s")
    for levels in [[level for level in (first, second, third, "b") if level], [first]]
]


@given(FILTER, FILTER)
def test_a_deny_that_stops_a_topic_of_the_subscription_is_never_left_out(denied: str, asked: str) -> None:
    text = f'[grant.g]\nwho = "*"\nsubscribe = ["{asked}"]\n[deny.d]\nwho = "*"\nsubscribe = ["{denied}"]'
    told = why(policy_of(text), "plug", Action.SUBSCRIBE, asked)
    if told.decision.allowed and any(matches(denied, name) and matches(asked, name) for name in NAMES):
        assert told.notes == (f"deny.d stops the part of it that matches {denied}",)


@given(st.lists(FILTER, min_size=1, max_size=4), FILTER, st.sampled_from([Action.SUBSCRIBE, Action.PUBLISH]))
def test_the_nearest_filter_is_there_exactly_if_nothing_covers_the_topic(
    granted: list[str], asked: str, action: Action
) -> None:
    topic = asked if action == Action.SUBSCRIBE else asked.replace("+", "z").replace("#", "z")
    policy = policy_of(f'[grant.g]\nwho = "*"\nsubscribe = {granted}\npublish = {granted}')
    told = why(policy, "plug", action, topic)
    assert (told.nearest is None) == told.decision.allowed


def test_a_denial_in_words() -> None:
    policy = policy_of(SENSOR, {"esp-1": "sensor"})
    assert describe(why(policy, "esp-1", Action.PUBLISH, "devices/hall/\x1b[31m")) == [
        "DENIED: no rule grants publish",
        "nearest: template.sensor, devices/esp-1/data/# "
        "(differs at level 2: \"esp-1\", the topic has 'hall')",
        "'esp-1' has template \"sensor\"; groups: kitchen",
    ]


def test_what_a_peer_chose_is_escaped_in_words() -> None:
    lines = describe(why(policy_of(SENSOR), "esp-1", Action.PUBLISH, "devices/esp-1/\x1b[31m"))
    assert "\x1b" not in "".join(lines)
    assert "the topic has '\\x1b[31m'" in lines[1]


def test_a_wildcard_that_asks_for_too_much_is_told_as_it_was_written() -> None:
    policy = policy_of(SENSOR, {"esp-1": "sensor"})
    for asked, found in (("#", "#"), ("+/x", "+"), ("devices/#", "#")):
        told = why(policy, "esp-1", Action.SUBSCRIBE, asked).nearest
        assert told is not None
        assert told.found == found


def test_the_ends_of_topic_and_filter_in_words() -> None:
    policy = policy_of(SENSOR)
    assert (
        '(differs at level 3: "data", the topic has ended)'
        in describe(why(policy, "esp-1", Action.PUBLISH, "devices/esp-1"))[1]
    )
    assert (
        "(differs at level 4: its end, the topic has 'x')"
        in describe(why(policy, "esp-1", Action.PUBLISH, "devices/esp-1/status/x"))[1]
    )


def test_a_permission_in_words() -> None:
    policy = policy_of('[grant.g]\nwho = "anna"\npublish = ["a"]')
    assert describe(why(policy, "anna", Action.PUBLISH, "a")) == [
        'ALLOWED: grant "g" grants publish on a',
        "'anna' has no template of its own; groups: none",
    ]


def test_all_that_somebody_may_do() -> None:
    text = SENSOR + '[grant.g]\nwho = "*"\nwill = ["w"]\n[deny.d]\nwho = "*"\npublish = ["x/1"]'
    told = effective(policy_of(text, {"esp-1": "gone"}), "esp-1")
    assert (told.principal, told.template, told.groups) == ("esp-1", "gone", ("kitchen",))
    via = 'group "kitchen"'
    assert told.rights == (
        EffectiveRight("publish", True, "devices/esp-1/data/#", "template.sensor", via),
        EffectiveRight("publish", True, "devices/esp-1/status", "template.sensor", via),
        EffectiveRight("publish", True, "x/+", "template.sensor", via),
        EffectiveRight("publish", False, "x/1", "deny.d", ""),
        EffectiveRight("subscribe", True, "devices/esp-1/cmd/#", "template.sensor", via),
        EffectiveRight("will", True, "w", "grant.g", ""),
    )
    assert effective(policy_of(text), "not/one").rights == ()


@pytest.mark.parametrize(
    ("action", "topic", "rights"),
    [
        (Action.PUBLISH, "x/1", ()),
        (Action.PUBLISH, "y", ("publish",)),
        (Action.RETAIN, "x/1", ("retain",)),
        (Action.RETAIN, "y", ("publish", "retain")),
        (Action.WILL, "y", ("will",)),
        (Action.RECEIVE, "y", ("subscribe",)),
        (Action.SUBSCRIBE, "y/#", ("subscribe",)),
        (Action.PUBLISH, "z", ()),
        (Action.WILL, "z", ()),
        (Action.RETAIN, "z", ()),
    ],
)
def test_the_rights_that_a_grant_would_need_are_known_and_none_where_a_deny_is_in_the_way(
    action: Action, topic: str, rights: tuple[str, ...]
) -> None:
    policy = policy_of(SENSOR + '[deny.d]\nwho = "*"\npublish = ["z"]')
    assert tuple(missing_rights(policy, why(policy, "esp-1", action, topic))) == rights

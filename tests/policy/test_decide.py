"""The walk through the tries: what matches, what holds, what is told."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.base.types import Action, Decision
from bollard.policy.decide import NOT_A_NAME, Node, Profile, decide
from bollard.wire.topics import contains, matches

SILENCE = Decision(False, "", "silence")


def profile_of(allowed: list[str], denied: list[str] = ()) -> Profile:  # type: ignore[assignment]
    """A profile in which each filter decides for each action, with its own text as the rule."""

    def trie(filters: list[str], allows: bool) -> list[Node | None]:
        root = Node()
        for text in filters:
            root.add(text.split("/"), Decision(allows, text))
        return [root if filters else None] * len(Action)

    return Profile(trie(denied, False), trie(allowed, True), [SILENCE] * len(Action))


def rule_for(filters: list[str], topic: str, identity: str = "me") -> str:
    return decide(profile_of(filters), identity, Action.PUBLISH, topic).rule


def filters_up_to(levels: int) -> list[str]:
    bodies = [
        (first, *rest)
        for count in range(levels)
        for first in ("a", "b", "+", "$s")
        for rest in itertools.product(("a", "b", "+"), repeat=count)
    ]
    return ["#", *("/".join(body) for body in bodies), *("/".join((*body, "#")) for body in bodies)]


TOPICS = [
    "/".join((first, *rest))
    for count in range(5)
    for first in ("a", "b", "z", "$s")
    for rest in itertools.product(("a", "b", "z"), repeat=count)
]
MATCHED = {text: frozenset(t for t in TOPICS if matches(text, t)) for text in filters_up_to(3)}


@pytest.mark.parametrize("granted", filters_up_to(3))
def test_a_subscription_is_held_exactly_if_it_matches_no_topic_beyond(granted: str) -> None:
    """Against all topics of five levels from two known names and a strange one, so against all there are."""
    profile = profile_of([granted])
    for requested, topics in MATCHED.items():
        held = decide(profile, "me", Action.SUBSCRIBE, requested).allowed
        assert held == (topics <= MATCHED[granted]), requested
        assert held == contains(granted, requested), requested


@pytest.mark.parametrize("granted", filters_up_to(2))
def test_a_name_is_matched_as_the_specification_says(granted: str) -> None:
    profile = profile_of([granted])
    for topic in TOPICS:
        assert decide(profile, "me", Action.RECEIVE, topic).allowed == (topic in MATCHED[granted]), topic


LEVEL = st.sampled_from(["a", "b", "", "me", "${id}", "+", "$s"])
FILTER = st.builds(
    lambda levels, tail: "/".join([*levels, *tail]),
    st.lists(LEVEL, min_size=1, max_size=4),
    st.sampled_from([[], ["#"]]),
)
NAME = st.lists(st.sampled_from(["a", "b", "", "me", "z", "$s"]), min_size=1, max_size=5).map("/".join)


@given(
    st.lists(FILTER, max_size=8), st.lists(FILTER, max_size=4), NAME, FILTER, st.sampled_from(list(Action))
)
def test_many_filters_decide_as_they_would_one_by_one(
    allowed: list[str], denied: list[str], name: str, filter: str, action: Action
) -> None:
    subscribe = action == Action.SUBSCRIBE
    topic = filter.replace("${id}", "c") if subscribe else name
    covers = contains if subscribe else matches

    def any_covers(filters: list[str]) -> bool:
        return any(covers(text.replace("${id}", "me"), topic) for text in filters)

    decision = decide(profile_of(allowed, denied), "me", action, topic)
    if any_covers(denied):
        assert not decision.allowed
        assert covers(decision.rule.replace("${id}", "me"), topic)
    elif any_covers(allowed):
        assert decision.allowed
        assert covers(decision.rule.replace("${id}", "me"), topic)
    else:
        assert decision is SILENCE


def test_the_most_specific_filter_is_told() -> None:
    filters = ["#", "d/#", "d/+/x", "d/${id}/x", "d/me/x"]
    for count in range(len(filters), 0, -1):
        assert rule_for(filters[:count], "d/me/x") == filters[count - 1]
        assert rule_for(filters[:count][::-1], "d/me/x") == filters[count - 1]


def test_a_dead_end_on_a_specific_way_leads_back_to_a_wider_one() -> None:
    assert rule_for(["d/me/x", "d/${id}/y", "d/+/z/#"], "d/me/z") == "d/+/z/#"


def test_of_equal_filters_the_first_added_is_told() -> None:
    root = Node()
    for rule in ("first", "second"):
        root.add(["a", "#"], Decision(True, rule))
        root.add(["a"], Decision(True, rule))
    assert root.names["a"].here == root.names["a"].below == Decision(True, "first")


def test_the_own_name_is_one_whole_level() -> None:
    assert rule_for(["d/${id}"], "d/me") == "d/${id}"
    for topic in ("d/m", "d/mee", "d/ME", "d/me/", "d//me", "d"):
        assert rule_for(["d/${id}"], topic) == "", topic


@pytest.mark.parametrize("identity", ["+", "#", "a/b", "a/#", ""])
def test_a_name_that_means_something_in_a_topic_stays_a_plain_text(identity: str) -> None:
    for topic in ("d/x/y", "d/x", "d/a/b/y"):
        assert rule_for(["d/${id}/y"], topic, identity) == ""


def test_a_requested_plus_is_not_the_own_name() -> None:
    assert not decide(profile_of(["d/${id}"]), "+", Action.SUBSCRIBE, "d/+").allowed


def test_a_deny_beats_a_more_specific_allow() -> None:
    profile = profile_of(["a/b/c"], ["a/#"])
    assert decide(profile, "me", Action.PUBLISH, "a/b/c") == Decision(False, "a/#")


def test_a_wider_subscription_than_the_deny_is_allowed_and_its_denied_part_not_received() -> None:
    profile = profile_of(["a/#"], ["a/secret"])
    assert decide(profile, "me", Action.SUBSCRIBE, "a/+").allowed
    assert not decide(profile, "me", Action.SUBSCRIBE, "a/secret").allowed
    assert decide(profile, "me", Action.RECEIVE, "a/open").allowed
    assert not decide(profile, "me", Action.RECEIVE, "a/secret").allowed


def test_two_grants_do_not_add_up_to_a_wider_one() -> None:
    assert not decide(profile_of(["a/x", "a/+/#", "b/#"]), "me", Action.SUBSCRIBE, "a/#").allowed


@pytest.mark.parametrize("action", [Action.PUBLISH, Action.RECEIVE, Action.RETAIN, Action.WILL])
@pytest.mark.parametrize("topic", ["a/+", "a/#", "+", "#", "a+b"])
def test_what_holds_wildcards_is_not_a_topic_name(action: Action, topic: str) -> None:
    assert decide(profile_of(["#", topic]), "me", action, topic) is NOT_A_NAME


def test_topics_of_very_many_levels_are_decided() -> None:
    """Attack: recursion as deep as the topic."""
    profile = profile_of(["+/" * 100 + "x", "a/a/#"])
    assert decide(profile, "me", Action.PUBLISH, "/".join(["a"] * 32_768)).rule == "a/a/#"
    assert not decide(profile, "me", Action.PUBLISH, "/".join(["b"] * 32_768)).allowed

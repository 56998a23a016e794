"""From observations to a proposal: what is proposed, for whom, and what never is."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bollard.base.toml import Document
from bollard.policy import learn as learn_module
from bollard.policy.compile import Policy
from bollard.policy.learn import ACTIONS, MAX_RULE_TOPICS, Observation, Proposal, propose
from bollard.policy.learn_text import add_rules, rules_text
from bollard.policy.rules import read_rules
from policy.texts import policy_of


def seen(identity: str, right: str, topic: str, count: int = 5, *, allowed: bool = True) -> Observation:
    return Observation(identity=identity, right=right, topic=topic, count=count, allowed=allowed)


def plugs(*topics: str, right: str = "publish", count: int = 5, number: int = 4) -> list[Observation]:
    """What each of some plugs did; ID in a topic is its name."""
    return [
        seen(f"plug-{n}", right, topic.replace("ID", f"plug-{n}"), count)
        for n in range(1, number + 1)
        for topic in topics
    ]


def proposed(observations: list[Observation], policy: str = "", **options: object) -> Proposal:
    return propose(observations, policy_of(policy), (), **options)  # type: ignore[arg-type]


def filters(proposal: Proposal) -> dict[str, set[str]]:
    """Right and filter of every rule, by its first member if it is for one, else by its name."""
    return {
        (rule.name if len(rule.members) > 1 else rule.members[0]): {
            f"{right} {one.filter}" for right, all_of in rule.rights.items() for one in all_of
        }
        for rule in proposal.rules
    }


def reasons(proposal: Proposal) -> dict[str, str]:
    return {f"{one.seen.identity} {one.seen.right} {one.seen.topic}": one.reason for one in proposal.excluded}


def test_what_like_devices_do_becomes_a_template_with_their_own_names_replaced() -> None:
    proposal = proposed(plugs("home/ID/state") + plugs("home/ID/set", right="subscribe", count=1))
    assert filters(proposal) == {"learned-plug": {"publish home/${id}/state", "subscribe home/${id}/set"}}
    (rule,) = proposal.rules
    assert rule.members == ("plug-1", "plug-2", "plug-3", "plug-4")
    evidence = rule.rights["publish"][0]
    assert (evidence.devices, evidence.count) == (4, 20)
    assert proposal.excluded == ()


def test_who_is_like_nobody_gets_a_grant_of_its_own() -> None:
    proposal = proposed([seen("boiler", "publish", "home/boiler/heat")])
    assert filters(proposal) == {"boiler": {"publish home/${id}/heat"}}


@pytest.mark.parametrize(
    ("observation", "reason"),
    [
        (seen("cam", "publish", "home/plug-2/state"), "names another device, plug-2"),
        (seen("cam", "will", "home/plug-2/state"), "names another device, plug-2"),
        (seen("cam", "subscribe", "home/plug-2/set"), "names another device, plug-2"),
        (seen("cam", "publish", "garage/door/set"), "commands devices"),
        (seen("cam", "publish", "cmnd/cam/POWER"), "commands devices"),
        (seen("cam", "subscribe", "#"), "reads what names another device"),
        (seen("cam", "subscribe", "home/+/state"), "reads what names another device"),
        (seen("cam", "subscribe", "home/+/set"), "reads what names another device"),
        (seen("cam", "subscribe", "$SYS/#"), "a topic of the server"),
    ],
)
def test_who_does_something_suspicious_gets_nothing_at_all(observation: Observation, reason: str) -> None:
    harmless = seen("cam", "publish", "home/cam/picture")
    others = plugs("home/ID/state") + plugs("home/ID/set", right="subscribe")
    proposal = proposed([*others, harmless, observation])
    assert list(filters(proposal)) == ["learned-plug"]
    assert reason in proposal.suspects["cam"]
    assert "suspicious for something else" in reasons(proposal)["cam publish home/cam/picture"]


def test_who_subscribes_to_more_than_can_be_compared_is_suspicious(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn_module, "MAX_COMPARED", 20)
    flood = [seen("cam", "subscribe", f"x/+/{n}", 1) for n in range(30)]
    proposal = proposed([*plugs("home/ID/state"), *flood, seen("hub", "subscribe", "y/+", 1)])
    assert "more than can be compared" in proposal.suspects["cam"]
    assert "hub" not in proposal.suspects


def test_a_suspicious_one_among_like_devices_is_no_member() -> None:
    proposal = proposed([*plugs("home/ID/state"), seen("plug-3", "subscribe", "#")])
    assert proposal.rules[0].members == ("plug-1", "plug-2", "plug-4")


def test_its_owner_can_say_that_it_is_an_application_or_that_it_is_trusted() -> None:
    hub = [seen("hub", "subscribe", "home/#"), seen("hub", "publish", "home/plug-1/set", 1)]
    for options in ({"applications": ["hub"]}, {"trusted": ["hub"]}):
        proposal = proposed([*plugs("home/ID/state"), *hub], **options)
        assert filters(proposal)["hub"] == {"subscribe home/#", "publish home/plug-1/set"}
        assert proposal.suspects == {}


def test_an_application_gets_no_topics_of_the_server_by_that_word() -> None:
    assert "hub" in proposed([seen("hub", "subscribe", "$SYS/#")], applications=["hub"]).suspects


def test_what_an_application_says_of_itself_may_be_read() -> None:
    reads = plugs("status/hub", right="subscribe", count=1)
    proposal = proposed([*reads, seen("hub", "publish", "status/hub")], applications=["hub"])
    assert "subscribe status/hub" in filters(proposal)["learned-plug"]


def test_what_a_person_has_granted_is_not_suspicious_and_needs_no_rule() -> None:
    policy = '[grant.hub]\nwho = "hub"\nsubscribe = ["home/#"]\npublish = ["home/+/set"]'
    hub = [seen("hub", "subscribe", "home/#"), seen("hub", "publish", "home/plug-1/set", 1)]
    proposal = proposed([*plugs("home/ID/state"), *hub], policy)
    assert proposal.suspects == {}
    assert list(filters(proposal)) == ["learned-plug"]
    whole = proposed([*plugs("home/ID/state"), *hub], policy, complete=True)
    assert filters(whole)["hub"] == {"subscribe home/#", "publish home/plug-1/set"}


def test_what_a_rule_denies_is_not_proposed_and_not_held_against_anybody() -> None:
    policy = '[deny.ota]\nwho = "*"\npublish = ["home/+/ota"]'
    proposal = proposed(
        [*plugs("home/ID/state"), seen("plug-1", "publish", "home/plug-1/ota", allowed=False)], policy
    )
    assert filters(proposal) == {"learned-plug": {"publish home/${id}/state"}}
    assert reasons(proposal) == {"plug-1 publish home/plug-1/ota": "denied by deny.ota"}


def test_what_was_outside_of_the_ceiling_is_told_and_not_proposed() -> None:
    proposal = proposed([seen("cam", "publish", "other/topic", allowed=False)])
    assert proposal.rules == ()
    assert "outside of what is allowed" in reasons(proposal)["cam publish other/topic"]


def test_what_was_seen_once_of_one_device_is_left_out_unless_its_own_name_is_in_it() -> None:
    proposal = proposed(
        [
            *plugs("home/ID/state"),
            seen("cam", "publish", "one/off", 1),
            seen("cam", "publish", "home/cam/born", 1),
        ]
    )
    assert filters(proposal)["cam"] == {"publish home/${id}/born"}
    assert reasons(proposal) == {"cam publish one/off": "seen once, of one device"}


def test_what_one_of_several_like_devices_does_alone_is_left_out() -> None:
    proposal = proposed([*plugs("home/ID/state"), seen("plug-2", "publish", "elsewhere/x", 100)])
    assert "none of the 3 devices like it" in reasons(proposal)["plug-2 publish elsewhere/x"]


def test_what_one_does_alone_under_its_own_name_is_granted_to_it_alone() -> None:
    proposal = proposed([*plugs("home/ID/state"), seen("plug-2", "publish", "home/plug-2/debug")])
    assert filters(proposal)["plug-2"] == {"publish home/${id}/debug"}


def test_levels_become_wildcards_but_never_over_what_was_left_out_or_commands() -> None:
    wide = plugs("m/ID/a", "m/ID/b", "m/ID/c")
    assert filters(proposed(wide)) == {"learned-plug": {"publish m/${id}/+"}}
    commanded = wide + plugs("m/ID/set", right="subscribe")
    assert "publish m/${id}/a" in filters(proposed(commanded))["learned-plug"]
    denied = [*wide, seen("plug-1", "publish", "m/plug-1/secret", allowed=False)]
    assert "publish m/${id}/a" in filters(proposed(denied))["learned-plug"]
    elsewhere = [*wide, seen("cam", "publish", "m/cam/secret", allowed=False)]
    assert filters(proposed(elsewhere))["learned-plug"] == {"publish m/${id}/+"}


def test_nothing_is_retained_where_nothing_may_be_said() -> None:
    proposal = proposed([seen("cam", "publish", "one/off", 1), seen("cam", "retain", "one/off", 1)])
    assert proposal.rules == ()
    assert "nothing else is proposed" in reasons(proposal)["cam retain one/off"]


def test_a_topic_that_would_be_read_as_a_variable_makes_no_rule() -> None:
    proposal = proposed([seen("cam", "publish", "home/${id}/x"), seen("cam", "publish", "${group}/cam")])
    assert proposal.rules == ()
    assert set(reasons(proposal).values()) == {"its topic would be read as a variable"}


def test_shared_groups_are_proposed_only_where_rules_close_them_already() -> None:
    joins = plugs("jobs/#", right="subscribe") + plugs("workers", right="share")
    assert filters(proposed(joins)) == {"learned-plug": {"subscribe jobs/#"}}
    closed = '[grant.x]\nwho = "other"\nshare = ["workers"]'
    assert filters(proposed(joins, closed))["learned-plug"] == {"subscribe jobs/#", "share workers"}


def test_a_rule_has_a_bounded_number_of_topics_those_of_most_devices_first() -> None:
    common = plugs("home/ID/state", count=1)
    many = [seen("plug-1", "publish", f"plug-1/{n}", count=2 + n) for n in range(MAX_RULE_TOPICS + 50)]
    retained = [seen("plug-1", "retain", "plug-1/0")]
    proposal = proposed([*common, *many, *retained])
    assert filters(proposal)["learned-plug"] == {"publish home/${id}/state"}
    own = next(rule for rule in proposal.rules if rule.members == ("plug-1",))
    assert len(own.rights["publish"]) == MAX_RULE_TOPICS
    assert "retain" not in own.rights
    told = reasons(proposal)
    assert len(told) == 51
    assert set(told.values()) == {"more than the 100 topics that one rule may have: grant it by hand"}
    assert "plug-1 publish plug-1/49" in told
    assert "plug-1 publish plug-1/50" not in told


def test_names_of_rules_are_free_ones() -> None:
    policy = "[template.learned-plug]\npublish = []\n[grant.learned-plug-2]\nwho = 'x'\npublish = ['y']"
    assert proposed(plugs("home/ID/state"), policy).rules[0].name == "learned-plug-3"


def test_connections_that_only_enroll_are_not_learned() -> None:
    assert proposed([seen("enroll:plug", "publish", "$enroll/csr")]) == Proposal()


WORDS = st.sampled_from(
    ["home", "state", "set", "plug-1", "plug-2", "hub", "x", "y", "z", "", "$SYS", "${id}"]
)
TOPICS = st.lists(WORDS, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = st.tuples(TOPICS, st.sampled_from(["", "/#", "/+", "/+/x"])).map("".join)
IDENTITIES = st.sampled_from(["plug-1", "plug-2", "plug-3", "plug-4", "hub", "cam", "anonymous"])
OBSERVATIONS = st.one_of(
    st.builds(seen, IDENTITIES, st.sampled_from(["publish", "retain", "will"]), TOPICS, st.integers(1, 3)),
    st.builds(seen, IDENTITIES, st.just("subscribe"), FILTERS, st.integers(1, 3)),
    st.builds(seen, IDENTITIES, st.just("publish"), TOPICS, allowed=st.just(False)),
)
BASE = 'version = 1\n[deny.d]\nwho = "*"\npublish = ["home/+/set"]\n[grant.g]\nwho = "hub"\nsubscribe = ["home/#"]\n'


@settings(max_examples=300, deadline=None)
@given(
    observations=st.lists(
        OBSERVATIONS, max_size=25, unique_by=lambda one: (one.identity, one.right, one.topic)
    )
)
def test_a_proposal_allows_all_that_is_not_left_out_and_nothing_that_is(
    observations: list[Observation],
) -> None:
    base = Policy(read_rules(Document(Path("p"), BASE)), {})
    proposal = propose(observations, base, ())
    text = add_rules(Path("p"), BASE, rules_text(proposal))
    after = Policy(read_rules(Document(Path("p"), text)), {})
    left_out = {(one.seen.identity, one.seen.right, one.seen.topic) for one in proposal.excluded}
    for one in observations:
        action = ACTIONS[one.right]
        allowed = after.decide(one.identity, action, one.topic).allowed
        if (one.identity, one.right, one.topic) not in left_out:
            assert allowed
        elif one.right != "subscribe" or one.identity in proposal.suspects:
            assert allowed == base.decide(one.identity, action, one.topic).allowed

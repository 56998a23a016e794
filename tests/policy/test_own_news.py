"""`$diag/ID/denied`: everybody may read its own, whatever the rules say, and nobody another's unless by name."""

import pytest

from bollard.base.types import ANONYMOUS, Action

from .texts import policy_of

EVERYTHING = '[grant.g]\nwho = "*"\npublish = ["#"]\nsubscribe = ["#"]\n[grant.h]\nwho = "anonymous"\nsubscribe = ["#"]\n'
DENIED = '[deny.d]\nwho = "*"\nsubscribe = ["#", "$diag/#"]\n'


@pytest.mark.parametrize("text", ["", EVERYTHING, DENIED])
@pytest.mark.parametrize("action", [Action.SUBSCRIBE, Action.RECEIVE])
def test_each_reads_its_own_and_no_other(text: str, action: Action) -> None:
    policy = policy_of(text)
    own = policy.decide("plug", action, "$diag/plug/denied")
    assert (own.allowed, own.rule) == (True, "built-in.diag")
    for who, topic in [
        ("lamp", "$diag/plug/denied"),
        ("plug", "$diag/plug/other"),
        ("plug", "$diag/plug"),
        (ANONYMOUS, f"$diag/{ANONYMOUS}/denied"),
        ("+", "$diag/+/denied"),
        ("a/b", "$diag/a/b/denied"),
    ]:
        assert not policy.decide(who, action, topic).allowed, (who, topic)
    assert not policy.decide("plug", Action.SUBSCRIBE, "$diag/+/denied").allowed
    assert not policy.decide("plug", Action.SUBSCRIBE, "$diag/#").allowed


def test_another_may_read_it_by_name() -> None:
    policy = policy_of('[grant.g]\nwho = "anna"\nsubscribe = ["$diag/+/denied"]')
    assert policy.decide("anna", Action.SUBSCRIBE, "$diag/+/denied").allowed
    assert policy.decide("anna", Action.RECEIVE, "$diag/plug/denied").allowed


def test_the_right_to_read_is_none_to_write() -> None:
    policy = policy_of("")
    for action in (Action.PUBLISH, Action.RETAIN, Action.WILL):
        assert not policy.decide("plug", action, "$diag/plug/denied").allowed

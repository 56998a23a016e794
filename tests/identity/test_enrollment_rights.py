import pytest

from bollard.base.types import Action, Decision
from bollard.identity.enrollment_rights import (
    REQUEST_TOPIC,
    EnrollmentRights,
    asking_identity,
    reply_topic,
)
from bollard.identity.registry import Registry

from .conftest import NOW


class Everything:
    """A policy that grants everything to everybody."""

    def decide(self, principal: str, action: Action, topic: str) -> Decision:
        return Decision(True, "everything")


@pytest.fixture
def rights(registry: Registry) -> EnrollmentRights:
    registry.add_with_password("plug", "device", now=NOW)
    registry.add_with_password("lamp", "device", now=NOW)
    registry.add("new", "device", now=NOW)
    registry.suspend("lamp", now=NOW)
    return EnrollmentRights(Everything(), registry.snapshot())


@pytest.mark.parametrize("principal", ["enroll:new", "renew:plug"])
def test_an_enrollment_connection_may_ask_and_read_its_answer_and_nothing_else(
    rights: EnrollmentRights, principal: str
) -> None:
    own = reply_topic(asking_identity(principal))
    allowed = {
        (action, topic)
        for action in Action
        for topic in (REQUEST_TOPIC, own, reply_topic("lamp"), "$enroll/#", "#", "$SYS/x", "devices/plug/x")
        if rights.decide(principal, action, topic).allowed
    }
    assert allowed == {(Action.PUBLISH, REQUEST_TOPIC), (Action.SUBSCRIBE, own), (Action.RECEIVE, own)}


def test_an_active_identity_may_ask_for_itself_only(rights: EnrollmentRights) -> None:
    assert rights.decide("plug", Action.PUBLISH, REQUEST_TOPIC).allowed
    assert rights.decide("plug", Action.SUBSCRIBE, reply_topic("plug")).allowed
    for topic in (reply_topic("lamp"), "$enroll/#", "$enroll/reply/+"):
        assert not rights.decide("plug", Action.SUBSCRIBE, topic).allowed
    for action in (Action.PUBLISH, Action.RETAIN, Action.WILL):
        assert not rights.decide("plug", action, reply_topic("plug")).allowed


@pytest.mark.parametrize("principal", ["lamp", "new", "anonymous", "nobody", ""])
def test_nobody_else_may_ask(rights: EnrollmentRights, principal: str) -> None:
    assert not rights.decide(principal, Action.PUBLISH, REQUEST_TOPIC).allowed
    assert not rights.decide(principal, Action.SUBSCRIBE, reply_topic(principal)).allowed


def test_everything_else_is_the_policys_affair(rights: EnrollmentRights) -> None:
    assert rights.decide("plug", Action.PUBLISH, "devices/plug/x").rule == "everything"
    assert rights.decide("enrol", Action.PUBLISH, "devices/x").rule == "everything"


@pytest.mark.parametrize("name", ["plug", "enroll:", "enroll:a/b", "renew:#", "enroll:anonymous", "enroll"])
def test_what_only_looks_like_an_enrollment_connection_is_none(name: str) -> None:
    assert asking_identity(name) == ""

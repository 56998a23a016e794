"""Taking a shared group's work away, and having a service write where one may not write oneself.

Each attack is one conversation. It has to fail under a policy, and to succeed where that one defence is
switched off: so a test that proves nothing is noticed.
"""

from pathlib import Path

from bollard.base.allowance import Allowance
from bollard.base.toml import Document
from bollard.base.types import Action, Decision
from bollard.engine.ports import Authorizer
from bollard.policy.compile import Policy
from bollard.policy.rules import read_rules
from support.memory import House, publish

TEXT = """\
version = 1
[template.worker]
subscribe = ["jobs/#"]
share = ["workers"]
[template.reader]
subscribe = ["jobs/#", "answers/${id}"]
publish = ["ask/door"]
[template.service]
subscribe = ["ask/#"]
publish = ["answers/+", "door/cmd"]
[template.boss]
publish = ["jobs/#"]
[template.door]
subscribe = ["door/cmd"]
"""
PEOPLE = {"wanda": "worker", "mallory": "reader", "door-service": "service", "boss": "boss", "door": "door"}


class SwitchedOff:
    """The same policy, without one of its defences."""

    def __init__(self, policy: Policy, *, share: bool = False, responses: bool = False) -> None:
        self.policy = policy
        self.share = share
        self.allow_foreign_response_topics = responses

    def decide(self, principal: str, action: Action, topic: str) -> Decision:
        if self.share and action is Action.SHARE:
            return Decision(True)
        return self.policy.decide(principal, action, topic)

    def allowance(self, principal: str) -> Allowance | None:
        return self.policy.allowance(principal)


def policy() -> Policy:
    return Policy(read_rules(Document(Path("policy.toml"), TEXT)), PEOPLE)


def takes_work_away(authorizer: Authorizer) -> bool:
    """A reader, who may see every job, joins the workers' group and lets what it gets lie."""
    house = House(authorizer=authorizer)
    mallory, wanda = house.connect("m", principal="mallory"), house.connect("w", principal="wanda")
    wanda.subscribe("$share/workers/jobs/#")
    mallory.subscribe("$share/workers/jobs/#")
    boss = house.connect("b", principal="boss")
    for number in range(10):
        boss.publish("jobs/print", str(number).encode())
    return len(wanda.messages()) < 10


def has_a_service_write_for_it(authorizer: Authorizer) -> bool:
    """A client asks a service that may command the door, and names the door's topic for the answer."""
    house = House(authorizer=authorizer)
    door, service = house.connect("d", principal="door"), house.connect("s", principal="door-service")
    door.subscribe("door/cmd")
    service.subscribe("ask/#")
    mallory = house.connect("m", principal="mallory")
    mallory.send(publish(5, "ask/door", b"open", response_topic="door/cmd"))
    for request in service.messages():
        service.publish(request.properties().response_topic or "", request.payload)
    return any(message.payload == b"open" for message in door.messages())


def test_a_reader_takes_no_work_away_from_a_group_that_it_may_not_join() -> None:
    assert not takes_work_away(policy())
    assert takes_work_away(SwitchedOff(policy(), share=True))


def test_a_service_is_not_made_to_write_where_its_client_may_not_read() -> None:
    assert not has_a_service_write_for_it(policy())
    assert has_a_service_write_for_it(SwitchedOff(policy(), responses=True))


def test_an_honest_request_is_answered() -> None:
    house = House(authorizer=policy())
    mallory, service = house.connect("m", principal="mallory"), house.connect("s", principal="door-service")
    service.subscribe("ask/#")
    mallory.subscribe("answers/mallory")
    mallory.send(publish(5, "ask/door", b"open?", response_topic="answers/mallory"))
    (request,) = service.messages()
    service.publish(request.properties().response_topic or "", b"no")
    assert mallory.payloads() == [b"no"]

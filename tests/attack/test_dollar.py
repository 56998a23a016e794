"""Topics with `$` that are somebody else's, or the server's: every way in, in both versions, under the policy that
`bollard up` writes and under one that grants as much as wildcards can.
"""

import json
from pathlib import Path

import pytest

from bollard.base.events import AccessDenied
from bollard.base.toml import Document
from bollard.policy.compile import Policy, denied_topic
from bollard.policy.default import DEFAULT_POLICY
from bollard.policy.rules import read_rules
from bollard.server.diagnosis import Diagnosis
from bollard.wire.connect import Connack, Disconnect, Will
from bollard.wire.spec import ReasonCode
from bollard.wire.subscribe import Suback
from support.memory import Device, House, connect, subscribe

#: As much as wildcards can grant.
WIDE = """\
version = 1
[template.device]
publish = ["#", "+/#", "/#"]
subscribe = ["#", "+/#", "/#"]
retain = ["#"]
will = ["#"]
"""
#: `mallory` asks for them, all are of `victim` or of the server.
FOREIGN = (
    "$diag/victim/denied",
    "$diag/#",
    "$diag/+/denied",
    "$diag/+/#",
    "$SYS/#",
    "$SYS/broker/uptime",
    "$enroll/#",
    "$enroll/reply/victim",
)
#: Before a filter: nothing, a shared group, what other brokers call a queue.
WAYS = ("{}", "$share/g/{}", "$share/g//{}", "$queue/{}", "$exclusive/{}", "$share/$share/{}")


def site(text: str) -> House:
    rules = read_rules(Document(Path("policy.toml"), text))
    return House(authorizer=Policy(rules, {"victim": "device", "mallory": "device"}))


def mallory(house: House, version: int) -> Device:
    return house.connect(f"m{len(house.devices)}", version, principal="mallory")


@pytest.fixture(params=[DEFAULT_POLICY, WIDE], ids=["default", "wide"])
def house(request: pytest.FixtureRequest) -> House:
    return site(request.param)


@pytest.mark.parametrize("way", WAYS)
def test_no_filter_reaches_what_is_told_to_others_or_is_the_servers(
    house: House, version: int, way: str
) -> None:
    spy = mallory(house, version)
    for foreign in FOREIGN:
        filter = way.format(foreign)
        spy.send(subscribe(filter, packet_id=1))
        answers = [packet for packet in spy.take() if isinstance(packet, Suback)]
        granted = [code for answer in answers for code in answer.codes if code < 0x80]
        # "$share/g//$diag/#" asks for topics that begin with "/", which wildcards may grant.
        assert not granted or "//" in filter, filter
        if spy.closed:
            spy = mallory(house, version)
    for topic in (denied_topic("victim"), "$SYS/broker/uptime", "$enroll/reply/victim"):
        house.broker.publish(topic, b"secret", now=house.now, qos=1, retain=True)
    house.settle()
    assert [device.payloads() for device in house.devices] == [[]] * len(house.devices)


def test_a_subscription_to_everything_shows_nothing_of_it_now_or_retained(version: int) -> None:
    house = site(WIDE)
    house.broker.publish("$diag/victim/denied", b"retained", now=house.now, retain=True)
    spy = mallory(house, version)
    assert spy.subscribe("#", "+/+/denied", "$share/g/#", "$share/g/+/victim/#") == (0, 0, 0, 0)
    house.broker.publish("$diag/victim/denied", b"secret", now=house.now, qos=1)
    house.settle()
    assert spy.payloads() == []


@pytest.mark.parametrize("topic", ["$diag/victim/denied", "$SYS/broker/version", "$enroll/reply/victim"])
def test_nobody_can_say_it_either_by_message_retained_or_will(house: House, version: int, topic: str) -> None:
    victim = house.connect("v", principal="victim")
    victim.subscribe("$diag/victim/denied", "$enroll/reply/victim")
    sender = mallory(house, version)
    sender.publish(topic, b"forged")
    sender.publish(topic, b"forged", qos=1, retain=True)
    assert house.broker.core.retained.get(topic) is None
    leaver = house.open(version)
    leaver.send(connect("w", version, principal="mallory", will=Will(topic, b"forged", 0, True)))
    assert leaver.one(Connack).code
    assert victim.payloads() == []


@pytest.mark.parametrize("topic", ["$diag/victim/denied", "$SYS/broker/version"])
def test_no_service_can_be_asked_to_answer_there(topic: str) -> None:
    house = site(WIDE)
    service = house.connect("s", principal="victim")
    service.subscribe("ask")
    asker = mallory(house, 5)
    asker.publish("ask", b"?", qos=1, response_topic=topic)
    assert [code for _, _, code in asker.acks()] == [ReasonCode.NOT_AUTHORIZED]
    assert service.messages() == []


def test_the_right_to_a_group_is_asked_however_the_group_is_written(version: int) -> None:
    house = site(WIDE + '[grant.worker]\nwho = "victim"\nshare = ["workers"]\n')
    worker = house.connect("w", version, principal="victim")
    assert worker.subscribe("$share/workers/jobs/#") == (0,)
    spy = mallory(house, version)
    denied = 0x87 if version == 5 else 0x80
    filters = ("$share/workers/jobs/#", "$share/Workers/jobs/#", "$share/workers/#", "$share/w/jobs/#")
    assert set(spy.subscribe(*filters)) == {denied}
    assert set(spy.subscribe("$queue/jobs/#", "$share", "$SHARE/workers/jobs/#")) == {denied}
    spy.send(subscribe("$share/workers", packet_id=2))
    assert not any(
        code < 0x80 for answer in spy.take() if isinstance(answer, Suback) for code in answer.codes
    )
    boss = house.connect("b", version, principal="victim")
    for number in range(6):
        boss.publish("jobs/1", str(number).encode())
    assert len(worker.payloads()) == 6


def test_what_a_device_is_told_of_its_denials_names_nothing_of_another_and_goes_to_it_alone() -> None:
    house = site(DEFAULT_POLICY)
    told: list[tuple[str, bytes]] = []
    policy = house.broker.core.authorizer
    diagnosis = Diagnosis(lambda topic, payload: told.append((topic, payload)), lambda: policy)
    spy = mallory(house, 5)
    spy.publish("devices/victim/state", b"x")
    for event in house.told(AccessDenied):
        diagnosis.observe(event)
    for name in ("a/b", "+", "#", "anonymous", "vic\x00tim", "../victim"):
        diagnosis.observe(AccessDenied(name, "c", "publish", "t", "", ""))
    ((topic, payload),) = told
    assert topic == "$diag/mallory/denied"
    assert json.loads(payload)["nearest"]["filter"] == "devices/mallory/#"


def test_a_client_that_subscribes_to_a_broken_share_is_sent_away_and_others_stay(version: int) -> None:
    house = site(WIDE)
    other, spy = house.connect("o", version, principal="victim"), mallory(house, version)
    spy.send(subscribe("$share//x", packet_id=1))
    assert spy.closed
    assert version != 5 or isinstance(spy.packets[-1], Disconnect)
    assert not other.closed

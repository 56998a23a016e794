"""Messages to the server itself: taken by the shell, routed to nobody."""

import pytest

from bollard.base.types import Action
from bollard.engine.core import MAX_REQUESTS
from bollard.wire.spec import PacketType
from support.memory import House
from support.rights import ANY, Rights

CSR = "$enroll/csr"


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_to_the_server_reaches_it_and_nobody_else(version: int, qos: int) -> None:
    house = House()
    spy = house.connect("spy", version)
    spy.subscribe("$enroll/#")
    spy.take()
    device = house.connect("plug", version)
    device.publish(CSR, b"request", qos=qos, retain=True)
    (request,) = house.broker.take_requests()
    assert (request.topic, request.payload, request.client_id) == (CSR, b"request", "plug")
    assert spy.messages() == []
    assert not list(house.broker.core.retained)
    assert not house.broker.take_requests()


def test_its_sender_gets_the_usual_acknowledgement() -> None:
    house = House()
    device = house.connect("plug")
    device.take()
    number = device.publish(CSR, b"request", qos=1)
    assert device.acks() == [(PacketType.PUBACK, number, 0)]


def test_who_has_no_right_to_ask_is_refused() -> None:
    house = House(authorizer=Rights((ANY, Action.PUBLISH, CSR)))
    device = house.connect("plug")
    device.take()
    number = device.publish(CSR, b"request", qos=1)
    assert device.acks() == [(PacketType.PUBACK, number, 0x87)]
    assert not house.broker.take_requests()


def test_more_than_a_few_are_not_kept() -> None:
    house = House()
    device = house.connect("plug")
    device.take()
    for _ in range(MAX_REQUESTS + 5):
        device.publish(CSR, b"request", qos=1)
    codes = [code for _, _, code in device.acks()]
    assert codes == [0] * MAX_REQUESTS + [0x97] * 5
    assert len(house.broker.take_requests()) == MAX_REQUESTS


def test_the_server_answers_on_a_topic_that_only_the_asker_reads() -> None:
    house = House()
    device = house.connect("plug")
    device.subscribe("$enroll/reply/plug")
    device.take()
    house.broker.publish("$enroll/reply/plug", b"answer", qos=1, now=house.now)
    house.settle()
    assert device.payloads() == [b"answer"]

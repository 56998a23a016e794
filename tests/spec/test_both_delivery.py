"""Messages to clients: identifiers, exchanges, sending again, order; chapters 4.3 to 4.6 for both versions."""

import pytest

from .clauses import clause
from .conversation import Broker, kept, watching
from .packets import message, puback, pubcomp, pubrec, pubrel

# overlapping subscriptions


@clause("MQTT3-3.3.5-1", "MQTT5-3.3.4-2")
def test_overlapping_subscriptions_deliver_once_at_the_highest_qos(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    a.subscribe("a/#", qos=1)
    a.subscribe("a/+", qos=2)
    a.subscribe("+/b", qos=0)
    broker.connected(version).publish("a/b", b"x", qos=2, packet_id=1)
    a.expect_message("a/b", b"x", qos=2)
    a.expect_nothing()


# to the client


@clause("MQTT5-2.2.1-4", "MQTT3-2.3.1-4", "MQTT3-2.3.1-1", "MQTT5-4.3.2-1", "MQTT5-4.3.3-1")
@clause("MQTT3-4.3.2-1", "MQTT3-4.3.3-1")
def test_messages_in_flight_have_identifiers_of_their_own(broker: Broker, version: int) -> None:
    a = watching(broker, version)
    sender = broker.connected(version)
    for number in range(20):
        sender.publish("a", b"x", qos=1 + number % 2, packet_id=number + 1)
    broker.settle()
    found = [item.packet_id for item in a.messages()]
    assert len(found) == len(set(found)) == 20
    assert 0 not in found


@clause("MQTT3-4.3.2-1", "MQTT5-4.3.2-3", "MQTT3-4.4.0-1", "MQTT5-4.4.0-1")
def test_an_acknowledged_qos_1_message_is_not_sent_again(broker: Broker, version: int) -> None:
    a = kept(broker, version)
    a.subscribe("a", qos=1)
    sender = broker.connected(version)
    for number, payload in enumerate((b"x", b"y"), 1):
        sender.publish("a", payload, qos=1, packet_id=number)
    first = a.expect_message("a", b"x", qos=1)
    second = a.expect_message("a", b"y", qos=1)
    a.send(puback(first.packet_id))
    a.barrier()
    a.drop()
    again = kept(broker, version)
    again.expect_message("a", b"y", qos=1, dup=True, packet_id=second.packet_id)
    again.expect_nothing()


@clause("MQTT3-4.3.3-1", "MQTT5-4.3.3-4", "MQTT5-2.2.1-5", "MQTT5-3.6.2-1")
def test_pubrec_is_answered_with_pubrel(broker: Broker, version: int) -> None:
    a = watching(broker, version)
    broker.connected(version).publish("a", b"x", qos=2, packet_id=1)
    found = a.expect_message("a", b"x", qos=2)
    a.send(pubrec(found.packet_id))
    a.expect_bytes(f"62 02 {found.packet_id:04x}")
    a.send(pubcomp(found.packet_id))
    a.expect_nothing()


@clause("MQTT3-4.3.3-1", "MQTT5-4.3.3-5", "MQTT5-4.3.3-6", "MQTT3-4.4.0-1", "MQTT5-4.4.0-1")
def test_after_pubrec_only_the_pubrel_is_sent_again(broker: Broker, version: int) -> None:
    a = kept(broker, version)
    a.subscribe("a", qos=2)
    broker.connected(version).publish("a", b"x", qos=2, packet_id=1)
    found = a.expect_message("a", b"x", qos=2)
    a.send(pubrec(found.packet_id))
    a.expect(pubrel(found.packet_id))
    a.drop()
    again = kept(broker, version)
    again.expect(pubrel(found.packet_id))
    again.send(pubcomp(found.packet_id))
    again.barrier()
    again.drop()
    last = kept(broker, version)
    last.expect_nothing()


@clause("MQTT3-4.3.3-1", "MQTT5-4.3.3-3", "MQTT5-4.4.0-1")
def test_a_qos_2_message_without_pubrec_is_sent_again(broker: Broker, version: int) -> None:
    a = kept(broker, version)
    a.subscribe("a", qos=2)
    broker.connected(version).publish("a", b"x", qos=2, packet_id=1)
    found = a.expect_message("a", b"x", qos=2)
    for _ in range(2):
        a.drop()
        a = kept(broker, version)
        a.expect_message("a", b"x", qos=2, dup=True, packet_id=found.packet_id)


@clause("MQTT5-4.4.0-1")
def test_nothing_is_sent_again_on_a_living_connection(timed: Broker, version: int) -> None:
    a = timed.connected(version, keepalive=3600)
    a.subscribe("a", qos=2)
    timed.connected(version, keepalive=3600).publish("a", b"x", qos=1, packet_id=1)
    a.expect_message("a", b"x", qos=1)
    timed.advance(1000)
    a.expect_nothing()


@clause("MQTT3-4.6.0-1", "MQTT3-4.4.0-1", "MQTT5-4.4.0-1", "MQTT5-4.6.0-5", "MQTT3-4.6.0-6")
def test_messages_are_sent_again_in_their_order(broker: Broker, version: int) -> None:
    a = kept(broker, version)
    a.subscribe("a", qos=2)
    sender = broker.connected(version)
    for number in range(6):
        sender.publish("a", bytes([number]), qos=1 + number % 2, packet_id=number + 1)
    broker.settle()
    found = a.messages()
    a.send(pubrec(found[3].packet_id))
    a.expect(pubrel(found[3].packet_id))
    a.drop()
    again = kept(broker, version)
    packets = [again.receive() for _ in range(6)]
    assert [item for item in packets if item != pubrel(found[3].packet_id)] == [
        message("a", bytes([number]), qos=1 + number % 2, dup=True, packet_id=found[number].packet_id)
        for number in (0, 1, 2, 4, 5)
    ]
    assert pubrel(found[3].packet_id) in packets


@clause("MQTT3-4.6.0-2", "MQTT3-4.6.0-3", "MQTT3-4.6.0-4")
def test_acknowledgements_come_in_the_order_of_the_packets(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    a.send(*(message("a", b"x", qos=1 + number % 2, packet_id=9 - number) for number in range(6)))
    a.expect(*((pubrec if number % 2 else puback)(9 - number) for number in range(6)))
    watcher = watching(broker, version)
    for number in (3, 1, 2):
        a.publish("b", b"x", qos=2, packet_id=20 + number)
        a.expect(pubrec(20 + number))
    broker.settle()
    found = [item.packet_id for item in watcher.messages()]
    watcher.send(*(pubrec(packet_id) for packet_id in found))
    watcher.expect(*(pubrel(packet_id) for packet_id in found))


@clause("MQTT3-4.6.0-5", "MQTT3-4.6.0-6", "MQTT5-4.6.0-5", "MQTT5-4.6.0-6")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_keep_the_order_of_their_publisher(broker: Broker, version: int, qos: int) -> None:
    a = watching(broker, version)
    sender = broker.connected(version)
    sender.send(*(message("a", bytes([n]), qos=qos, packet_id=n + 1 if qos else 0) for n in range(50)))
    broker.settle()
    assert [item.payload[0] for item in a.messages()] == list(range(50))


@clause("MQTT3-4.6.0-6", "MQTT5-4.6.0-5")
def test_what_waited_for_a_client_comes_before_what_is_new(broker: Broker, version: int) -> None:
    a = kept(broker, version)
    a.subscribe("a", qos=1)
    a.drop()
    sender = broker.connected(version)
    sender.send(*(message("a", bytes([n]), qos=1, packet_id=n + 1) for n in range(20)))
    again = kept(broker, version)
    sender.send(*(message("a", bytes([n]), qos=1, packet_id=n + 1) for n in range(20, 40)))
    broker.settle()
    assert [item.payload[0] for item in again.messages()] == list(range(40))

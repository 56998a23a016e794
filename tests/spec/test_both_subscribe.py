"""SUBSCRIBE, UNSUBSCRIBE, PINGREQ and DISCONNECT, chapters 3.8 to 3.14, and topic filters, 4.7."""

import pytest

from bollard.base.types import Action
from bollard.wire.connect import Disconnect, Pingreq
from bollard.wire.properties import Properties

from .clauses import clause
from .conftest import Build
from .conversation import Broker
from .doors import denying
from .packets import (
    V5,
    V311,
    message,
    packet,
    puback,
    pubcomp,
    pubrec,
    pubrel,
    sub,
    subscribe,
    text,
    unsubscribe,
    will,
)


def request(version: int, header: int, payload: bytes, packet_id: int = 1) -> bytes:
    """A raw SUBSCRIBE or UNSUBSCRIBE."""
    properties = b"\0" if version == V5 else b""
    return packet(header, packet_id.to_bytes(2, "big") + properties + payload)


def suback(version: int, packet_id: int, *codes: int) -> str:
    """SUBACK as it has to stand on the wire, in hexadecimal."""
    body = packet_id.to_bytes(2, "big") + (b"\0" if version == V5 else b"") + bytes(codes)
    return packet(0x90, body).hex()


# malformed requests


@pytest.mark.parametrize("low", [0x0, 0x1, 0x3, 0x6, 0xA, 0xF])
@pytest.mark.parametrize("kind", [0x80, 0xA0])
@clause("MQTT3-3.8.1-1", "MQTT5-3.8.1-1", "MQTT3-3.10.1-1", "MQTT5-3.10.1-1")
@clause("MQTT3-2.2.2-1", "MQTT3-2.2.2-2", "MQTT5-2.1.3-1")
def test_wrong_flags_end_the_connection(broker: Broker, version: int, kind: int, low: int) -> None:
    a = broker.connected(version)
    a.send(request(version, kind | low, text("a") + (b"\0" if kind == 0x80 else b"")))
    a.expect_closed(0x81)


@pytest.mark.parametrize("bad", [b"\xff", b"a/\xc0\x80", b"\xed\xbf\xbf", b"a\0"])
@clause("MQTT3-3.8.3-1", "MQTT5-3.8.3-1", "MQTT3-3.10.3-1", "MQTT5-3.10.3-1")
@clause("MQTT3-4.7.3-2", "MQTT5-4.7.3-2", "MQTT3-1.5.3-1", "MQTT3-1.5.3-2", "MQTT5-1.5.4-1", "MQTT5-1.5.4-2")
def test_a_filter_that_is_not_utf_8_is_malformed(broker: Broker, version: int, bad: bytes) -> None:
    for raw in (request(version, 0x82, text(bad) + b"\0"), request(version, 0xA2, text(bad))):
        a = broker.connected(version)
        a.send(raw)
        a.expect_closed(0x81)


@pytest.mark.parametrize("header", [0x82, 0xA2])
@clause("MQTT3-3.8.3-3", "MQTT5-3.8.3-2", "MQTT3-3.10.3-2", "MQTT5-3.10.3-2")
def test_a_request_without_a_filter_ends_the_connection(broker: Broker, version: int, header: int) -> None:
    a = broker.connected(version)
    a.send(request(version, header, b""))
    a.expect_closed(0x82)


@clause("MQTT3-3.8.3-3", "MQTT5-3.8.3-2")
def test_a_filter_without_options_is_malformed(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    a.send(request(version, 0x82, text("a")))
    a.expect_closed(0x81)


@pytest.mark.parametrize("header", [0x82, 0xA2])
@clause("MQTT3-2.3.1-1", "MQTT5-2.2.1-3")
def test_packet_identifier_0_ends_the_connection(broker: Broker, version: int, header: int) -> None:
    a = broker.connected(version)
    a.send(request(version, header, text("a") + (b"\0" if header == 0x82 else b""), packet_id=0))
    if version == V5:
        assert a.raw()[2] in (0x81, 0x82)
    a.expect_closed()


@pytest.mark.parametrize("options", [0x40, 0x80, 0xC0, 0x03, 0xC3])
@clause("MQTT3-3.8.3-4", "MQTT5-3.8.3-5")
def test_reserved_option_bits_and_qos_3_end_the_connection(
    broker: Broker, version: int, options: int
) -> None:
    a = broker.connected(version)
    a.send(request(version, 0x82, text("a") + bytes((options,))))
    if version == V5 and options == 0x03:
        assert a.raw()[2] in (0x81, 0x82)
    elif version == V5:
        assert a.raw()[2] == 0x81
    a.expect_closed()


@pytest.mark.parametrize("options", [0x04, 0x08, 0x10, 0x20])
@clause("MQTT3-3.8.3-4")
def test_options_that_3_1_1_does_not_have_are_reserved_there(broker: Broker, options: int) -> None:
    a = broker.connected(V311)
    a.send(request(V311, 0x82, text("a") + bytes((options,))))
    a.expect_closed()


# answers


@clause("MQTT3-3.8.4-1", "MQTT3-3.8.4-2", "MQTT3-3.8.4-4", "MQTT3-3.8.4-5", "MQTT3-3.9.3-1", "MQTT3-3.9.3-2")
@clause("MQTT5-3.8.4-1", "MQTT5-3.8.4-2", "MQTT5-3.8.4-5", "MQTT5-3.8.4-6", "MQTT5-3.8.4-7", "MQTT5-3.9.3-1")
@clause("MQTT5-3.9.3-2", "MQTT3-2.3.1-7", "MQTT5-2.2.1-6")
def test_suback_answers_each_filter_in_its_place(build: Build, version: int) -> None:
    broker = build(authorizer=denying((Action.SUBSCRIBE, "no")))
    a = broker.connected(version)
    a.send(subscribe(0xABCD, sub("a", 2), sub("no", 1), sub("b", 0), sub("c", 1)))
    a.expect_bytes(suback(version, 0xABCD, 2, 0x87 if version == V5 else 0x80, 0, 1))
    sender = broker.connected(version)
    for topic in ("a", "no", "b", "c"):
        sender.publish(topic, b"x", qos=2, packet_id=ord(topic[0]))
    for topic, qos in (("a", 2), ("b", 0), ("c", 1)):
        a.expect_message(topic, b"x", qos=qos)
    a.expect_nothing()


@clause("MQTT3-3.8.4-4", "MQTT5-3.8.4-5", "MQTT3-3.8.4-3", "MQTT5-3.8.4-3")
def test_the_same_filter_twice_in_one_request_counts_as_two_requests(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    a.subscribe(sub("a", 2), sub("a", 0))
    broker.connected(version).publish("a", b"x", qos=2, packet_id=1)
    a.expect_message("a", b"x", qos=0)
    a.expect_nothing()


@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("published", [0, 1, 2])
@clause("MQTT3-3.8.4-6", "MQTT5-3.8.4-8", "MQTT3-4.3.1-1", "MQTT5-4.3.1-1")
def test_messages_come_at_the_lower_of_both_qos(
    broker: Broker, version: int, published: int, granted: int
) -> None:
    a = broker.connected(version)
    a.subscribe("a", qos=granted)
    broker.connected(version).publish("a", b"x", qos=published, packet_id=1 if published else 0)
    a.expect_message("a", b"x", qos=min(published, granted))


@clause("MQTT3-3.8.4-3", "MQTT5-3.8.4-3", "MQTT5-3.8.4-4")
def test_an_equal_filter_replaces_the_subscription_and_sends_retained_messages_again(
    broker: Broker, version: int
) -> None:
    sender = broker.connected(version)
    sender.publish("a", b"kept", qos=1, packet_id=1, retain=True)
    a = broker.connected(version)
    a.subscribe("a", qos=0)
    a.expect_message("a", b"kept", qos=0, retain=True)
    a.subscribe("a", qos=1)
    a.expect_message("a", b"kept", qos=1, retain=True)
    sender.publish("a", b"x", qos=1, packet_id=2)
    a.expect_message("a", b"x", qos=1)
    a.expect_nothing()


@clause("MQTT3-3.8.4-3", "MQTT5-3.8.4-4")
def test_replacing_a_subscription_loses_nothing(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    a.subscribe("a", qos=1)
    sender = broker.connected(version)
    for number in range(1, 11):
        sender.publish("a", bytes([number]), qos=1, packet_id=number)
        sender.barrier()
        a.send(subscribe(number, sub("a", 1)))
        a.barrier()
    broker.settle()
    packets = [a.receive() for _ in range(20)]
    payloads = [item.payload[0] for item in packets if hasattr(item, "payload")]
    assert payloads == list(range(1, 11))


@clause("MQTT3-3.10.4-1", "MQTT3-3.10.4-2", "MQTT3-3.10.4-4", "MQTT3-3.10.4-6", "MQTT3-2.3.1-7")
@clause("MQTT5-3.10.4-1", "MQTT5-3.10.4-2", "MQTT5-3.10.4-4", "MQTT5-3.10.4-5", "MQTT5-3.10.4-6")
@clause("MQTT5-3.11.3-1", "MQTT5-3.11.3-2", "MQTT5-2.2.1-6", "MQTT3-3.10.3-1")
def test_unsubscribe_removes_exactly_the_filters_it_names(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    a.subscribe("a/+", "a/b", "c", "d")
    a.send(unsubscribe(0x1234, "a/+", "A/B", "c", "c/"))
    a.expect_bytes("b0 07 12 34 00 00 11 00 11" if version == V5 else "b0 02 12 34")
    sender = broker.connected(version)
    for topic in ("a/x", "a/b", "c", "d"):
        sender.publish(topic, b"x")
    a.expect_message("a/b", b"x")
    a.expect_message("d", b"x")
    a.expect_nothing()


@clause("MQTT3-3.10.4-5", "MQTT5-3.10.4-5")
def test_unsuback_comes_even_where_nothing_was_subscribed(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    a.send(unsubscribe(5, "none"))
    a.expect_bytes("b0 04 00 05 00 11" if version == V5 else "b0 02 00 05")


@clause("MQTT3-3.10.4-3", "MQTT5-3.10.4-3")
def test_deliveries_that_had_begun_are_finished_after_unsubscribe(broker: Broker, version: int) -> None:
    options = {"session_expiry_interval": 60} if version == V5 else {}
    a = broker.connected(version, "a", clean=False, **options)
    a.subscribe("a", qos=2)
    sender = broker.connected(version)
    sender.publish("a", b"one", qos=1, packet_id=1)
    sender.publish("a", b"two", qos=2, packet_id=2)
    one = a.expect_message("a", b"one", qos=1)
    two = a.expect_message("a", b"two", qos=2)
    a.unsubscribe("a")
    a.drop()
    b = broker.connected(version, "a", clean=False, **options)
    b.expect_message("a", b"one", qos=1, dup=True, packet_id=one.packet_id)
    b.expect_message("a", b"two", qos=2, dup=True, packet_id=two.packet_id)
    b.send(puback(one.packet_id), pubrec(two.packet_id))
    b.expect(pubrel(two.packet_id))
    b.send(pubcomp(two.packet_id))
    b.expect_nothing()


@clause("MQTT3-3.12.4-1", "MQTT5-3.12.4-1")
def test_a_ping_is_answered(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    for _ in range(3):
        a.send(Pingreq())
        a.expect_bytes("d0 00")


@clause("MQTT3-4.8.0-1", "MQTT5-4.13.1-1")
def test_a_ping_with_a_body_ends_the_connection(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    a.send(bytes.fromhex("c0 01 00"))
    a.expect_closed(0x81)


@clause("MQTT3-3.14.4-3", "MQTT5-3.14.4-2", "MQTT5-3.14.4-3")
def test_what_follows_a_disconnect_is_not_processed(broker: Broker, version: int) -> None:
    watcher = broker.connected(version)
    watcher.subscribe("#")
    a = broker.connected(version, will=will())
    a.send(Disconnect(0, Properties()), message("a", b"x"), Pingreq())
    a.expect_closed()
    watcher.expect_nothing()


@pytest.mark.parametrize("header", [0xE1, 0xE2, 0xE8, 0xEF])
@clause("MQTT3-3.14.1-1", "MQTT5-3.14.1-1", "MQTT3-2.2.2-1", "MQTT3-2.2.2-2", "MQTT5-2.1.3-1")
def test_reserved_bits_of_disconnect_are_checked(broker: Broker, version: int, header: int) -> None:
    watcher = broker.connected(version)
    watcher.subscribe("will")
    a = broker.connected(version, will=will())
    a.send(bytes((header, 0)))
    a.expect_closed(0x81)
    watcher.expect_message("will", b"gone")

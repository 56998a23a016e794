"""Packets that are cut short, too long or of impossible length: chapters 1.5, 2.1, 4.8 and 4.13."""

import pytest

from bollard.wire.codec import Packet, encode
from bollard.wire.connect import Pingreq

from .clauses import clause
from .conversation import Broker, watching
from .packets import (
    V5,
    V311,
    connect,
    packet,
    puback,
    pubrec,
    pubrel,
    sub,
    subscribe,
    text,
    unsubscribe,
    will,
)

WHOLE: dict[str, Packet] = {
    "subscribe": subscribe(1, sub("a/b", 1), sub("c", 2)),
    "unsubscribe": unsubscribe(1, "a/b", "c"),
    "pubrel": pubrel(1),
    "puback": puback(1),
}


def prefixes(whole: bytes) -> list[bytes]:
    """The packet with its body cut after every byte, each time with the length that then is right."""
    return [packet(whole[0], whole[2 : 2 + size]) for size in range(len(whole) - 2)]


def as_packet(encoded: bytes) -> bytes:
    assert encoded[1] < 128, "a packet with a one-byte length"
    return encoded


@clause("MQTT3-3.1.4-1", "MQTT5-3.1.4-1", "MQTT5-4.13.1-1", "MQTT5-3.14.0-1")
def test_a_connect_cut_after_any_byte_is_refused(broker: Broker, version: int) -> None:
    whole = connect(version, "id", username="user", password=b"pass", will=will(qos=1))
    for cut in prefixes(as_packet(encode(whole, version))):
        a = broker.client(version)
        a.send(cut)
        answers = a.until_end()
        assert all(answer[0] == 0x20 and answer[3] >= 0x80 for answer in answers), answers
        assert version == V5 or not answers
    broker.connected(version).ping()


@pytest.mark.parametrize("kind", sorted(WHOLE))
@clause("MQTT3-4.8.0-1", "MQTT5-4.13.1-1")
def test_a_request_cut_after_any_byte_ends_the_connection(broker: Broker, version: int, kind: str) -> None:
    """A cut between two filters leaves a request that is whole; it is answered."""
    answered = 0
    for cut in prefixes(as_packet(encode(WHOLE[kind], version))):
        a = broker.connected(version)
        a.send(cut, Pingreq())
        kinds = [answer[0] >> 4 for answer in a.everything()]
        if a.link.ended:
            assert kinds in ([], [14]), kinds
        else:
            answered += 1
            assert kinds[-1] == 13
    assert answered == (1 if kind in ("subscribe", "unsubscribe") else 0)


PUBLISH = {
    "no_topic_length": (0x30, b""),
    "half_a_topic_length": (0x30, b"\0"),
    "half_a_topic": (0x30, b"\0\4ab"),
    "no_packet_id": (0x32, b"\0\1a"),
    "half_a_packet_id": (0x34, b"\0\1a\0"),
}
PUBLISH_5 = {
    "no_properties": (0x30, b"\0\1a"),
    "half_the_properties": (0x30, b"\0\1a\5\1"),
    "properties_beyond_the_end": (0x30, b"\0\1a\x7f\1\1"),
    "endless_property_length": (0x30, b"\0\1a\xff\xff\xff\xff\1"),
    "needless_property_length": (0x30, b"\0\1a\x80\0"),
    "half_a_format": (0x30, b"\0\1a\1\1"),
    "half_an_expiry": (0x30, b"\0\1a\3\2\0\0"),
    "half_an_alias": (0x30, b"\0\1a\2\x23\0"),
    "half_a_string": (0x30, b"\0\1a\4\3\0\5a"),
    "half_a_pair": (0x30, b"\0\1a\4\x26\0\1a"),
    "half_a_length": (0x30, b"\0\1a\2\3\0"),
}


@pytest.mark.parametrize("case", sorted(PUBLISH))
@clause("MQTT3-3.3.2-1", "MQTT5-3.3.2-1", "MQTT3-2.3.1-1", "MQTT3-4.8.0-1", "MQTT5-4.13.1-1")
def test_a_publish_that_is_cut_short_is_malformed(broker: Broker, version: int, case: str) -> None:
    a = broker.connected(version)
    a.send(packet(*PUBLISH[case]))
    a.expect_closed(0x81)


@pytest.mark.parametrize("case", sorted(PUBLISH_5))
@clause("MQTT5-2.2.2-1", "MQTT5-1.5.5-1", "MQTT5-1.5.7-1", "MQTT5-4.13.1-1")
def test_properties_that_are_cut_short_are_malformed(broker: Broker, case: str) -> None:
    a = broker.connected(V5)
    a.send(packet(*PUBLISH_5[case]))
    a.expect_closed(0x81)


@clause("MQTT5-4.7.3-1", "MQTT5-4.13.1-1")
def test_an_empty_response_topic_ends_the_connection(broker: Broker) -> None:
    a = broker.connected(V5)
    a.send(packet(0x30, text("a") + b"\3\x08\0\0"))
    a.expect_closed(0x82)


@pytest.mark.parametrize("length", ["80 80 80 80 01", "ff ff ff ff 7f", "80 00", "82 80 00"])
@clause("MQTT5-1.5.5-1", "MQTT5-4.13.1-1", "MQTT3-4.8.0-1")
def test_an_impossible_length_ends_the_connection_at_once(broker: Broker, version: int, length: str) -> None:
    """More than four bytes, or more than the number needs; the body need not come."""
    a = broker.connected(version)
    a.send(b"\x30" + bytes.fromhex(length))
    a.expect_closed(0x81)


@pytest.mark.parametrize("header", [0x40, 0x50, 0x62, 0x70])
@clause("MQTT3-2.3.1-6", "MQTT3-4.8.0-1", "MQTT5-4.13.1-1")
def test_an_acknowledgement_of_the_wrong_length_is_malformed(
    broker: Broker, version: int, header: int
) -> None:
    bodies = [b"", b"\0", b"\0\1\0"] if version == V311 else [b"", b"\0", b"\0\1\0\1", b"\0\1\0\0\0"]
    for body in bodies:
        a = broker.connected(version)
        a.send(packet(header, body))
        a.expect_closed(0x81)


@pytest.mark.parametrize("header", [0x40, 0x50, 0x62, 0x70])
@clause("MQTT3-4.8.0-1", "MQTT5-4.13.1-1")
def test_an_acknowledgement_of_identifier_0_ends_the_connection(
    broker: Broker, version: int, header: int
) -> None:
    a = broker.connected(version)
    a.send(packet(header, b"\0\0"))
    if version == V5:
        assert a.raw()[2] in (0x81, 0x82)
    a.expect_closed()


@pytest.mark.parametrize("qos", [1, 2])
@clause("MQTT3-4.8.0-1", "MQTT5-4.13.1-1", "MQTT5-3.3.4-1")
def test_the_acknowledgement_of_another_qos_ends_the_connection(
    broker: Broker, version: int, qos: int
) -> None:
    a = watching(broker, version)
    broker.connected(version).publish("a", b"x", qos=qos, packet_id=1)
    found = a.expect_message("a", b"x", qos=qos)
    a.send((pubrec if qos == 1 else puback)(found.packet_id))
    a.expect_closed(0x82)


@clause("MQTT3-2.2.2-2", "MQTT3-4.8.0-1")
@pytest.mark.parametrize("header", [0xF0, 0xF1])
def test_a_packet_type_that_3_1_1_does_not_have_ends_the_connection(broker: Broker, header: int) -> None:
    a = broker.connected(V311)
    a.send(packet(header, b""))
    a.expect_closed()

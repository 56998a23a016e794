"""PUBLISH and its acknowledgements, chapters 3.3 to 3.7, and flow control, 4.9: what only MQTT 5.0 has."""

import pytest

from bollard.base.types import Action
from bollard.engine.limits import Limits

from .clauses import clause
from .conftest import Build
from .conversation import Broker, watching
from .doors import denying
from .packets import (
    V5,
    message,
    packet,
    puback,
    pubcomp,
    pubrec,
    pubrel,
    sub,
    text,
)

PROPERTIES = {
    "payload_format_indicator": 1,
    "content_type": "text/plain; charset=utf-8",
    "response_topic": "answers/\u00e4",
    "correlation_data": b"\x00\x01\xff",
    "user_properties": (("z", "1"), ("a", "2"), ("z", ""), ("", "3"), ("z", "1")),
}


def raw_publish(properties: bytes, topic: str = "a", payload: bytes = b"x") -> bytes:
    return packet(0x30, text(topic) + bytes((len(properties),)) + properties + payload)


# properties


@pytest.mark.parametrize("qos", [0, 1, 2])
@clause("MQTT5-3.3.2-4", "MQTT5-3.3.2-15", "MQTT5-3.3.2-16", "MQTT5-3.3.2-17", "MQTT5-3.3.2-18")
@clause("MQTT5-3.3.2-20", "MQTT5-3.3.2-13", "MQTT5-3.3.2-19")
def test_properties_are_passed_on_unaltered_and_in_order(broker: Broker, qos: int) -> None:
    a, b = watching(broker, V5), watching(broker, V5)
    sender = broker.connected(V5)
    sender.publish("a", b"x", qos=qos, packet_id=1 if qos else 0, **PROPERTIES)
    for client in (a, b):
        client.expect_message("a", b"x", qos=qos, **PROPERTIES)


@clause("MQTT5-3.3.2-4", "MQTT5-3.3.2-17", "MQTT5-3.3.2-18")
def test_a_retained_message_keeps_its_properties(broker: Broker) -> None:
    broker.connected(V5).publish("a", b"x", retain=True, **PROPERTIES)
    watching(broker, V5).expect_message("a", b"x", retain=True, **PROPERTIES)


@clause("MQTT5-3.3.2-17", "MQTT5-3.3.2-18")
def test_a_message_that_waited_keeps_its_properties(broker: Broker) -> None:
    a = broker.connected(V5, "a", clean=False, session_expiry_interval=60)
    a.subscribe("a", qos=1)
    a.drop()
    broker.connected(V5).publish("a", b"x", qos=1, packet_id=1, **PROPERTIES)
    b = broker.connected(V5, "a", clean=False, session_expiry_interval=60)
    b.expect_message("a", b"x", qos=1, **PROPERTIES)


def test_a_3_1_1_subscriber_gets_the_message_without_properties(broker: Broker) -> None:
    a = broker.connected(4)
    a.subscribe("#")
    broker.connected(V5).publish("a", b"x", **PROPERTIES)
    a.expect_message("a", b"x")


WRONG = {
    "format_2": (b"\x01\x02", 0x82),
    "format_twice": (b"\x01\x01\x01\x01", 0x82),
    "content_type_twice": (b"\x03\0\1a\x03\0\1a", 0x82),
    "not_for_publish": (b"\x11\0\0\0\1", 0x81),
    "cut_short": (b"\x02\0\0", 0x81),
    "alias_0": (b"\x23\0\0", 0x94),
}


@pytest.mark.parametrize("case", sorted(WRONG))
@clause("MQTT5-4.13.1-1", "MQTT5-3.3.2-8")
def test_wrong_properties_end_the_connection(broker: Broker, case: str) -> None:
    block, code = WRONG[case]
    a = broker.connected(V5)
    a.send(raw_publish(block))
    a.expect_closed(code)


@pytest.mark.parametrize("identifier", [b"\x03", b"\x08", b"\x26\0\1a", b"\x26"])
@clause("MQTT5-3.3.2-13", "MQTT5-3.3.2-19", "MQTT5-1.5.7-1", "MQTT5-1.5.4-1")
def test_property_text_that_is_not_utf_8_is_malformed(broker: Broker, identifier: bytes) -> None:
    rest = text("v") if identifier == b"\x26" else b""
    a = broker.connected(V5)
    a.send(raw_publish(identifier + text(b"\xc3\x28") + rest))
    a.expect_closed(0x81)


@pytest.mark.parametrize("topic", ["+", "a/#", "#"])
@clause("MQTT5-3.3.2-14")
def test_a_response_topic_with_a_wildcard_ends_the_connection(broker: Broker, topic: str) -> None:
    a = broker.connected(V5)
    a.send(raw_publish(b"\x08" + text(topic)))
    assert a.raw()[2] in (0x81, 0x82, 0x90)
    a.expect_closed()


@clause("MQTT5-3.3.4-6")
def test_a_subscription_identifier_from_a_client_ends_the_connection(broker: Broker) -> None:
    a = broker.connected(V5)
    a.send(raw_publish(b"\x0b\x01"))
    a.expect_closed(0x82)


# reason codes


@clause("MQTT5-3.4.2-1", "MQTT5-4.3.3-9", "MQTT5-3.5.2-1")
def test_a_message_that_is_not_allowed_is_refused_by_its_acknowledgement(build: Build) -> None:
    broker = build(authorizer=denying((Action.PUBLISH, "no")))
    watcher = watching(broker, V5)
    a = broker.connected(V5)
    a.publish("no", b"x")
    a.publish("no", b"x", qos=1, packet_id=1)
    answer = a.next_ack()
    assert (answer.packet_type, answer.packet_id, answer.reason_code) == (4, 1, 0x87)
    a.publish("no", b"x", qos=2, packet_id=2)
    answer = a.next_ack()
    assert (answer.packet_type, answer.packet_id, answer.reason_code) == (5, 2, 0x87)
    a.publish("yes", b"y", qos=2, packet_id=2)
    a.expect(pubrec(2))
    watcher.expect_message("yes", b"y", qos=2)
    watcher.expect_nothing()


@pytest.mark.parametrize("code", [0x00, 0x10])
@clause("MQTT5-4.3.3-4", "MQTT5-3.5.2-1")
def test_a_successful_pubrec_of_any_kind_is_answered_with_pubrel(broker: Broker, code: int) -> None:
    a = watching(broker, V5)
    broker.connected(V5).publish("a", b"x", qos=2, packet_id=1)
    found = a.expect_message("a", b"x", qos=2)
    a.send(pubrec(found.packet_id, code))
    a.expect(pubrel(found.packet_id))


@clause("MQTT5-4.4.0-2", "MQTT5-4.3.3-4")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_failing_acknowledgement_is_one_too(broker: Broker, qos: int) -> None:
    options = {"clean": False, "session_expiry_interval": 60, "receive_maximum": 1}
    a = broker.connected(V5, "a", **options)
    a.subscribe("a", qos=2)
    sender = broker.connected(V5)
    sender.publish("a", b"x", qos=qos, packet_id=1)
    sender.publish("a", b"y", qos=qos, packet_id=2)
    found = a.expect_message("a", b"x", qos=qos)
    a.send((puback if qos == 1 else pubrec)(found.packet_id, 0x83))
    a.expect_message("a", b"y", qos=qos)
    a.drop()
    b = broker.connected(V5, "a", **options)
    b.expect_message("a", b"y", qos=qos, dup=True)
    b.expect_nothing()


@pytest.mark.parametrize(
    ("header", "code"), [(0x40, 0x92), (0x40, 0x01), (0x50, 0x92), (0x62, 0x10), (0x70, 0x87), (0x70, 0xFF)]
)
@clause("MQTT5-3.4.2-1", "MQTT5-3.5.2-1", "MQTT5-3.6.2-1", "MQTT5-3.7.2-1", "MQTT5-4.13.1-1")
def test_a_reason_code_of_another_packet_ends_the_connection(broker: Broker, header: int, code: int) -> None:
    a = broker.connected(V5)
    a.send(packet(header, bytes((0, 1, code))))
    assert a.raw()[2] in (0x81, 0x82)
    a.expect_closed()


@clause("MQTT5-3.6.2-1", "MQTT5-4.3.3-4")
def test_a_pubrec_for_an_unknown_message_is_answered_with_not_found(broker: Broker) -> None:
    a = broker.connected(V5)
    a.send(pubrec(77))
    a.expect(pubrel(77, 0x92))


# flow control


@clause("MQTT5-3.3.4-9", "MQTT5-4.9.0-1", "MQTT5-4.9.0-2")
@pytest.mark.parametrize("qos", [1, 2])
def test_no_more_than_receive_maximum_messages_are_unacknowledged(broker: Broker, qos: int) -> None:
    a = broker.connected(V5, receive_maximum=2)
    a.subscribe("a", qos=2)
    sender = broker.connected(V5)
    for number in range(5):
        sender.publish("a", bytes([number]), qos=qos, packet_id=number + 1)
    for number in range(0, 4, 2):
        first = a.expect_message("a", bytes([number]), qos=qos)
        second = a.expect_message("a", bytes([number + 1]), qos=qos)
        a.expect_nothing()
        for item in (first, second):
            if qos == 2:
                a.send(pubrec(item.packet_id))
                a.expect(pubrel(item.packet_id))
                a.expect_nothing() if number == 0 and item is first else None
        a.send(*((puback if qos == 1 else pubcomp)(item.packet_id) for item in (first, second)))
    a.expect_message("a", b"\4", qos=qos)
    a.expect_nothing()


@clause("MQTT5-3.3.4-10", "MQTT5-4.9.0-3")
def test_an_exhausted_quota_holds_back_nothing_else(broker: Broker) -> None:
    a = broker.connected(V5, receive_maximum=1)
    a.subscribe("a", qos=2)
    sender = broker.connected(V5)
    for number in (1, 2):
        sender.publish("a", b"x", qos=1, packet_id=number)
    first = a.expect_message("a", b"x", qos=1)
    a.ping()
    a.subscribe("b")
    a.publish("c", b"x", qos=1, packet_id=1)
    a.expect(puback(1))
    a.publish("c", b"x", qos=2, packet_id=2)
    a.send(pubrel(2))
    a.expect(pubrec(2), pubcomp(2))
    sender.publish("b", b"zero")
    a.expect_message("b", b"zero")
    a.unsubscribe("b")
    a.send(puback(first.packet_id))
    a.expect_message("a", b"x", qos=1)


@clause("MQTT5-3.3.4-9", "MQTT5-4.9.0-1", "MQTT5-4.4.0-1")
def test_what_is_sent_again_counts_against_the_new_receive_maximum(broker: Broker) -> None:
    a = broker.connected(V5, "a", clean=False, session_expiry_interval=60)
    a.subscribe("a", qos=1)
    sender = broker.connected(V5)
    for number in range(4):
        sender.publish("a", bytes([number]), qos=1, packet_id=number + 1)
    broker.settle()
    assert len(a.messages()) == 4
    a.drop()
    b = broker.connected(V5, "a", clean=False, session_expiry_interval=60, receive_maximum=2)
    for start in (0, 2):
        pair = [b.expect_message("a", bytes([n]), qos=1, dup=True) for n in (start, start + 1)]
        b.expect_nothing()
        b.send(*(puback(item.packet_id) for item in pair))
    b.expect_nothing()


@clause("MQTT5-3.3.4-7")
def test_more_unacknowledged_messages_than_told_end_the_connection(build: Build) -> None:
    broker = build(limits=Limits(receive_maximum=3))
    a = broker.client(V5)
    assert a.connect("a").properties.receive_maximum == 3
    for number in (1, 2, 3):
        a.publish("a", b"x", qos=2, packet_id=number)
        a.expect(pubrec(number))
    a.publish("a", b"x", qos=1, packet_id=9)
    a.expect_closed(0x93)


@clause("MQTT5-3.3.4-7", "MQTT5-4.3.3-10")
def test_a_repeated_qos_2_message_takes_no_second_place(build: Build) -> None:
    a = build(limits=Limits(receive_maximum=1)).connected(V5)
    a.publish("a", b"x", qos=2, packet_id=1)
    a.publish("a", b"x", qos=2, packet_id=1, dup=True)
    a.expect(pubrec(1), pubrec(1))
    a.send(pubrel(1))
    a.expect(pubcomp(1))
    a.publish("a", b"x", qos=2, packet_id=2)
    a.expect(pubrec(2))


# subscriptions seen from the message


@clause("MQTT5-3.3.4-3", "MQTT5-3.3.4-4")
def test_a_message_carries_the_identifiers_of_all_subscriptions_that_matched(broker: Broker) -> None:
    a = broker.connected(V5)
    a.subscribe("a/#", qos=1, subscription_identifier=1)
    a.subscribe("a/+", qos=2, subscription_identifier=268_435_455)
    a.subscribe("+/b", qos=0)
    a.subscribe("c", qos=0, subscription_identifier=7)
    broker.connected(V5).publish("a/b", b"x", qos=2, packet_id=1)
    found = a.next_message()
    assert (found.topic, found.qos) == ("a/b", 2)
    assert sorted(found.properties.subscription_identifiers or ()) == [1, 268_435_455]
    a.expect_nothing()


@clause("MQTT5-3.3.4-3")
def test_a_new_identifier_replaces_the_one_before(broker: Broker) -> None:
    a = broker.connected(V5)
    sender = broker.connected(V5)
    for identifier, found in ((1, (1,)), (2, (2,)), (None, None)):
        a.subscribe("a", subscription_identifier=identifier)
        sender.publish("a", b"x")
        a.expect_message("a", b"x", subscription_identifiers=found)


@clause("MQTT5-3.3.4-3")
def test_retained_messages_carry_the_identifier_of_the_new_subscription(broker: Broker) -> None:
    broker.connected(V5).publish("a", b"x", retain=True)
    a = broker.connected(V5)
    a.subscribe("a", subscription_identifier=5)
    a.expect_message("a", b"x", retain=True, subscription_identifiers=(5,))


@clause("MQTT5-3.3.1-12", "MQTT5-3.3.1-13")
def test_retain_as_published_decides_about_the_flag(broker: Broker) -> None:
    a, b = broker.connected(V5), broker.connected(V5)
    a.subscribe(sub("a", retain_as_published=True))
    b.subscribe(sub("a", retain_as_published=False))
    sender = broker.connected(V5)
    for retain in (True, False):
        sender.publish("a", b"x", retain=retain)
        a.expect_message("a", b"x", retain=retain)
        b.expect_message("a", b"x", retain=False)


@clause("MQTT5-3.3.1-9", "MQTT5-3.3.1-10", "MQTT5-3.3.1-11", "MQTT5-3.8.4-4")
@pytest.mark.parametrize(("handling", "first", "second"), [(0, 1, 1), (1, 1, 0), (2, 0, 0)])
def test_retain_handling_decides_when_retained_messages_are_sent(
    broker: Broker, handling: int, first: int, second: int
) -> None:
    broker.connected(V5).publish("a", b"x", retain=True)
    a = broker.connected(V5)
    for count in (first, second):
        a.subscribe(sub("a", retain_handling=handling))
        assert a.messages() == [message("a", b"x", retain=True)] * count
    a.unsubscribe("a")
    a.subscribe(sub("a", retain_handling=handling))
    assert len(a.messages()) == first

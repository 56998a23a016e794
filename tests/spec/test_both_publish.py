"""PUBLISH and its acknowledgements, chapters 3.3 to 3.7: what both versions ask."""

import pytest

from bollard.base.types import Action

from .clauses import clause
from .conftest import Build
from .conversation import Broker, kept, watching
from .doors import denying
from .packets import V5, V311, packet, puback, pubcomp, pubrec, pubrel, text


def body(version: int, topic: bytes, rest: bytes = b"") -> bytes:
    """A QoS 0 PUBLISH without its fixed header."""
    return text(topic) + (b"\0" if version == V5 else b"") + rest


# flags


@clause("MQTT3-3.3.1-2", "MQTT5-3.3.1-2")
def test_dup_with_qos_0_is_malformed(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    a.send(packet(0x38, body(version, b"a", b"x")))
    a.expect_closed(0x81)


@pytest.mark.parametrize("header", [0x36, 0x3E, 0x37])
@clause("MQTT3-3.3.1-4", "MQTT5-3.3.1-4")
def test_qos_3_is_malformed(broker: Broker, version: int, header: int) -> None:
    a = broker.connected(version)
    a.send(packet(header, text("a") + b"\0\1" + (b"\0" if version == V5 else b"") + b"x"))
    a.expect_closed(0x81)


@pytest.mark.parametrize("qos", [1, 2])
@clause("MQTT3-2.3.1-1", "MQTT5-2.2.1-3")
def test_packet_identifier_0_ends_the_connection(broker: Broker, version: int, qos: int) -> None:
    a = broker.connected(version)
    a.send(packet(0x30 | qos << 1, text("a") + b"\0\0" + (b"\0" if version == V5 else b"") + b"x"))
    if version == V5:
        assert a.raw()[2] in (0x81, 0x82)
    a.expect_closed()


@clause("MQTT3-2.3.1-5", "MQTT5-2.2.1-2", "MQTT3-4.3.1-1", "MQTT5-4.3.1-1")
def test_qos_0_has_no_packet_identifier(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    a.subscribe("a", qos=2)
    a.send(packet(0x30, body(version, b"a", b"xy")))
    a.expect_bytes("30 06 00 01 61 00 78 79" if version == V5 else "30 05 00 01 61 78 79")


@clause("MQTT3-3.3.1-3", "MQTT5-3.3.1-3", "MQTT3-4.3.2-1", "MQTT5-4.3.2-2", "MQTT3-4.3.3-1", "MQTT5-4.3.3-2")
@pytest.mark.parametrize("qos", [1, 2])
def test_dup_is_not_passed_on(broker: Broker, version: int, qos: int) -> None:
    a = broker.connected(version)
    a.subscribe("a", qos=2)
    sender = broker.connected(version)
    sender.publish("a", b"x", qos=qos, packet_id=1, dup=True)
    a.expect_message("a", b"x", qos=qos, dup=False)


@pytest.mark.parametrize("qos", [1, 2])
@clause("MQTT3-3.3.1-1", "MQTT5-3.3.1-1", "MQTT3-4.4.0-1", "MQTT5-4.4.0-1", "MQTT3-2.3.1-4")
def test_a_message_that_is_sent_again_has_dup_and_its_old_identifier(
    broker: Broker, version: int, qos: int
) -> None:
    a = kept(broker, version)
    a.subscribe("a", qos=2)
    broker.connected(version).publish("a", b"x", qos=qos, packet_id=1)
    first = a.expect_message("a", b"x", qos=qos)
    a.drop()
    again = kept(broker, version)
    again.expect_message("a", b"x", qos=qos, dup=True, packet_id=first.packet_id)
    again.expect_nothing()


# topics


@pytest.mark.parametrize("topic", [b"\xff", b"a/\xc3", b"\xed\xa0\x80", b"a\x00b"])
@clause("MQTT3-1.5.3-1", "MQTT3-1.5.3-2", "MQTT5-1.5.4-1", "MQTT5-1.5.4-2")
@clause("MQTT3-3.3.2-1", "MQTT5-3.3.2-1", "MQTT3-4.7.3-2", "MQTT5-4.7.3-2")
def test_a_topic_that_is_not_utf_8_is_malformed(broker: Broker, version: int, topic: bytes) -> None:
    a = broker.connected(version)
    a.send(packet(0x30, body(version, topic)))
    a.expect_closed(0x81)


@pytest.mark.parametrize("topic", [b"+", b"#", b"a/+", b"a/#", b"a+", b"a#b"])
@clause("MQTT3-3.3.2-2", "MQTT5-3.3.2-2", "MQTT3-4.7.1-1", "MQTT5-4.7.0-1")
def test_a_wildcard_in_a_topic_name_is_malformed(broker: Broker, version: int, topic: bytes) -> None:
    a = broker.connected(version)
    a.send(packet(0x30, body(version, topic)))
    a.expect_closed(0x81)


@clause("MQTT3-4.7.3-1", "MQTT5-4.7.3-1")
def test_an_empty_topic_name_ends_the_connection(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    a.send(packet(0x30, body(version, b"")))
    a.expect_closed(0x82)


@clause("MQTT3-3.3.2-1", "MQTT5-3.3.2-1")
@pytest.mark.parametrize("broken", [b"", b"\0", b"\0\5ab"])
def test_a_publish_without_a_whole_topic_is_malformed(broker: Broker, version: int, broken: bytes) -> None:
    a = broker.connected(version)
    a.send(packet(0x30, broken))
    a.expect_closed(0x81)


@clause("MQTT3-1.5.3-3", "MQTT5-1.5.4-3")
def test_a_zero_width_no_break_space_stays_where_it_is(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    a.subscribe("\ufeffa", qos=0)
    a.publish("a", b"without")
    a.publish("\ufeffa", b"with")
    a.expect_message("\ufeffa", b"with")
    a.expect_nothing()


@clause("MQTT3-4.7.3-4", "MQTT5-4.7.3-4", "MQTT3-3.3.2-3", "MQTT5-3.3.2-3")
def test_topics_are_not_normalized(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    a.subscribe("caf\u00e9", "A", "a/b")
    for topic in ("cafe\u0301", "a", "/a/b", "a/b/", "a//b"):
        a.publish(topic, b"another")
    for topic in ("caf\u00e9", "A", "a/b"):
        a.publish(topic, b"same")
        a.expect_message(topic, b"same")


# retained messages


@pytest.mark.parametrize("qos", [0, 1, 2])
@clause("MQTT3-3.3.1-5", "MQTT3-3.3.1-6", "MQTT3-3.3.1-8", "MQTT5-3.3.1-5", "MQTT5-3.3.1-9")
def test_a_retained_message_is_sent_to_later_subscribers_with_its_qos(
    broker: Broker, version: int, qos: int
) -> None:
    sender = broker.connected(version)
    sender.publish("a/b", b"x", qos=qos, retain=True, packet_id=1 if qos else 0)
    sender.send(pubrel(1)) if qos == 2 else None
    watching(broker, version, "a/+").expect_message("a/b", b"x", qos=qos, retain=True)


@clause("MQTT3-3.3.1-5", "MQTT3-3.3.1-7", "MQTT5-3.3.1-5")
def test_a_retained_message_replaces_the_one_before(broker: Broker, version: int) -> None:
    sender = broker.connected(version)
    sender.publish("a", b"old", qos=1, retain=True, packet_id=1)
    sender.publish("a", b"new", retain=True)
    a = watching(broker, version)
    a.expect_message("a", b"new", qos=0, retain=True)
    a.expect_nothing()


@clause("MQTT3-3.3.1-10", "MQTT3-3.3.1-11", "MQTT5-3.3.1-6", "MQTT5-3.3.1-7")
def test_an_empty_retained_message_is_delivered_and_removes_what_was_kept(
    broker: Broker, version: int
) -> None:
    sender = broker.connected(version)
    sender.publish("a", b"x", retain=True)
    a = watching(broker, version)
    a.expect_message("a", b"x", retain=True)
    sender.publish("a", b"", retain=True)
    sender.publish("b", b"", retain=True)
    a.expect_message("a", b"")
    a.expect_message("b", b"")
    watching(broker, version).expect_nothing()


@clause("MQTT3-3.3.1-12", "MQTT5-3.3.1-8")
def test_a_message_that_is_not_retained_leaves_what_was_kept(broker: Broker, version: int) -> None:
    sender = broker.connected(version)
    sender.publish("a", b"kept", retain=True)
    sender.publish("a", b"passing")
    sender.publish("a", b"")
    sender.publish("b", b"passing")
    a = watching(broker, version)
    a.expect_message("a", b"kept", retain=True)
    a.expect_nothing()


@clause("MQTT3-3.3.1-9", "MQTT5-3.3.1-12")
def test_an_established_subscription_gets_retained_messages_without_the_flag(
    broker: Broker, version: int
) -> None:
    a = watching(broker, version)
    broker.connected(version).publish("a", b"x", retain=True)
    a.expect_message("a", b"x", retain=False)


@clause("MQTT3-3.3.1-6", "MQTT5-3.3.1-9")
def test_every_matching_topic_sends_its_retained_message(broker: Broker, version: int) -> None:
    sender = broker.connected(version)
    for topic in ("a", "a/b", "a/c", "b", "$x/a"):
        sender.publish(topic, topic.encode(), retain=True)
    a = watching(broker, version, "a/#")
    assert sorted(item.topic for item in a.messages()) == ["a", "a/b", "a/c"]
    b = watching(broker, version, "#")
    assert sorted(item.topic for item in b.messages()) == ["a", "a/b", "a/c", "b"]


# answers


@clause("MQTT3-3.3.4-1", "MQTT5-3.3.4-1", "MQTT3-4.3.1-1")
def test_qos_0_is_not_answered(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    a.publish("a", b"x")
    a.expect_nothing()


@clause("MQTT3-3.3.4-1", "MQTT5-3.3.4-1", "MQTT3-4.3.2-2", "MQTT5-4.3.2-4", "MQTT3-2.3.1-6", "MQTT5-2.2.1-5")
def test_qos_1_is_answered_with_puback(broker: Broker, version: int) -> None:
    watching(broker, version)
    a = broker.connected(version)
    for packet_id in (1, 65_535, 7):
        a.publish("a", b"x", qos=1, packet_id=packet_id)
        a.expect_bytes(f"40 02 {packet_id:04x}")


@clause("MQTT3-3.3.4-1", "MQTT5-3.3.4-1", "MQTT3-4.3.3-2", "MQTT5-4.3.3-8", "MQTT5-4.3.3-11", "MQTT3-2.3.1-6")
@clause("MQTT5-2.2.1-5")
def test_qos_2_is_answered_with_pubrec_and_pubcomp(broker: Broker, version: int) -> None:
    watcher = watching(broker, version)
    a = broker.connected(version)
    a.publish("a", b"x", qos=2, packet_id=5)
    a.expect_bytes("50 02 00 05")
    a.send(pubrel(5))
    a.expect_bytes("70 02 00 05")
    watcher.expect_message("a", b"x", qos=2)
    watcher.expect_nothing()


@clause("MQTT3-4.3.2-2", "MQTT5-4.3.2-5")
@pytest.mark.parametrize("dup", [False, True])
def test_after_puback_the_same_identifier_is_a_new_message(broker: Broker, version: int, dup: bool) -> None:
    watcher = watching(broker, version)
    a = broker.connected(version)
    for payload in (b"x", b"x", b"y"):
        a.publish("a", payload, qos=1, packet_id=1, dup=dup)
        a.expect(puback(1))
        watcher.expect_message("a", payload, qos=1)


@clause("MQTT3-4.3.3-2", "MQTT5-4.3.3-10")
@pytest.mark.parametrize("dup", [False, True])
def test_until_pubrel_the_same_identifier_is_no_second_message(
    broker: Broker, version: int, dup: bool
) -> None:
    watcher = watching(broker, version)
    a = broker.connected(version)
    a.publish("a", b"x", qos=2, packet_id=1)
    a.expect(pubrec(1))
    a.publish("a", b"x", qos=2, packet_id=1, dup=dup)
    a.expect(pubrec(1))
    a.send(pubrel(1))
    a.expect(pubcomp(1))
    watcher.expect_message("a", b"x", qos=2)
    watcher.expect_nothing()


@clause("MQTT3-4.3.3-2", "MQTT5-4.3.3-10", "MQTT3-4.4.0-1", "MQTT5-4.4.0-1", "MQTT3-4.1.0-1")
def test_a_qos_2_message_sent_again_after_a_reconnect_is_delivered_once(broker: Broker, version: int) -> None:
    watcher = watching(broker, version)
    a = kept(broker, version)
    a.publish("a", b"x", qos=2, packet_id=1)
    a.expect(pubrec(1))
    a.drop()
    again = kept(broker, version)
    again.publish("a", b"x", qos=2, packet_id=1, dup=True)
    again.expect(pubrec(1))
    again.send(pubrel(1))
    again.expect(pubcomp(1))
    watcher.expect_message("a", b"x", qos=2)
    watcher.expect_nothing()


@clause("MQTT3-4.3.3-2", "MQTT5-4.3.3-12")
def test_after_pubcomp_the_same_identifier_is_a_new_message(broker: Broker, version: int) -> None:
    watcher = watching(broker, version)
    a = broker.connected(version)
    for _ in range(2):
        a.publish("a", b"x", qos=2, packet_id=1)
        a.send(pubrel(1))
        a.expect(pubrec(1), pubcomp(1))
        watcher.expect_message("a", b"x", qos=2)


@clause("MQTT3-4.3.3-2", "MQTT5-4.3.3-11", "MQTT5-3.7.2-1")
def test_pubrel_is_answered_even_where_nothing_is_known_of_it(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    a.send(pubrel(9))
    a.expect(pubcomp(9, 0x92 if version == V5 else 0))


@pytest.mark.parametrize("header", [0x60, 0x61, 0x63, 0x6A])
@clause("MQTT3-3.6.1-1", "MQTT5-3.6.1-1", "MQTT3-2.2.2-1", "MQTT3-2.2.2-2", "MQTT5-2.1.3-1")
def test_wrong_flags_of_pubrel_end_the_connection(broker: Broker, version: int, header: int) -> None:
    a = broker.connected(version)
    a.publish("a", b"x", qos=2, packet_id=1)
    a.expect(pubrec(1))
    a.send(packet(header, b"\0\1"))
    a.expect_closed(0x81)


@pytest.mark.parametrize("header", [0x41, 0x48, 0x52, 0x58, 0x71, 0x7F, 0xC1, 0xCF])
@clause("MQTT3-2.2.2-1", "MQTT3-2.2.2-2", "MQTT5-2.1.3-1")
def test_wrong_flags_end_the_connection(broker: Broker, version: int, header: int) -> None:
    a = broker.connected(version)
    a.send(packet(header, b"" if header >= 0xC0 else b"\0\1"))
    a.expect_closed(0x81)


@pytest.mark.parametrize("first", [0x00, 0x0F, 0x20, 0x90, 0xB0, 0xD0])
@clause("MQTT3-4.8.0-1", "MQTT5-4.13.1-1")
def test_packets_that_clients_do_not_send_end_the_connection(
    broker: Broker, version: int, first: int
) -> None:
    bodies = {0x20: b"\0\0\0" if version == V5 else b"\0\0", 0x90: b"\0\1\0", 0xB0: b"\0\1"}
    a = broker.connected(version)
    block = bodies.get(first, b"")
    a.send(packet(first, block))
    if version == V5:
        assert a.raw()[2] in (0x81, 0x82)
    a.expect_closed()


# rights


@clause("MQTT3-3.3.5-2")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_that_is_not_allowed_is_acknowledged_and_goes_nowhere(build: Build, qos: int) -> None:
    broker = build(authorizer=denying((Action.PUBLISH, "no")))
    watcher = watching(broker, V311)
    a = broker.connected(V311)
    a.publish("no", b"x", qos=qos, packet_id=1 if qos else 0)
    if qos == 1:
        a.expect(puback(1))
    if qos == 2:
        a.expect(pubrec(1))
        a.send(pubrel(1))
        a.expect(pubcomp(1))
    watcher.expect_nothing()
    a.publish("yes", b"x")
    watcher.expect_message("yes", b"x")


# between the versions


@clause("MQTT3-3.8.4-6", "MQTT5-3.8.4-8", "MQTT3-4.5.0-1", "MQTT5-4.5.0-1")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_clients_of_both_versions_get_the_same_message(broker: Broker, version: int, qos: int) -> None:
    receivers = [watching(broker, V311), watching(broker, V5)]
    sender = broker.connected(version)
    sender.publish("a/b", b"x" * 200, qos=qos, packet_id=1 if qos else 0)
    for receiver in receivers:
        receiver.expect_message("a/b", b"x" * 200, qos=qos)
        receiver.expect_nothing()


@clause("MQTT3-3.3.1-5", "MQTT5-3.3.1-5")
def test_a_retained_message_is_kept_for_both_versions(broker: Broker, version: int) -> None:
    broker.connected(version).publish("a", b"x", retain=True)
    for other in (V311, V5):
        watching(broker, other).expect_message("a", b"x", retain=True)

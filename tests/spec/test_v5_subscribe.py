"""Subscription options, shared subscriptions (4.8) and DISCONNECT (3.14): what only MQTT 5.0 has."""

from typing import Any

import pytest

from bollard.wire.connect import Pingreq

from .clauses import clause
from .conversation import Broker, Client, kept
from .packets import (
    V5,
    Message,
    packet,
    puback,
    pubcomp,
    pubrec,
    pubrel,
    sub,
    subscribe,
    text,
    will,
)

LASTING = {"clean": False, "session_expiry_interval": 3600}


# options


@clause("MQTT5-3.8.3-3")
def test_no_local_messages_do_not_come_back(broker: Broker) -> None:
    a, b = broker.connected(V5), broker.connected(V5)
    a.subscribe(sub("a", 1, no_local=True))
    b.subscribe("a")
    a.publish("a", b"own")
    b.expect_message("a", b"own")
    b.publish("a", b"other")
    a.expect_message("a", b"other")
    a.expect_nothing()


@clause("MQTT5-3.8.3-3")
def test_no_local_goes_by_the_client_id_across_connections(broker: Broker) -> None:
    a = broker.connected(V5, "a", **LASTING)
    a.subscribe(sub("a", 1, no_local=True))
    a.disconnect()
    again = broker.connected(V5, "a", **LASTING)
    again.publish("a", b"own")
    again.expect_nothing()


@clause("MQTT5-3.8.3-3")
def test_another_subscription_without_no_local_delivers_all_the_same(broker: Broker) -> None:
    a = broker.connected(V5)
    a.subscribe(sub("a", 1, no_local=True))
    a.subscribe("#")
    a.publish("a", b"own")
    a.expect_message("a", b"own")
    a.expect_nothing()


@clause("MQTT5-3.8.3-3")
def test_the_will_of_a_client_is_local_to_it_too(broker: Broker) -> None:
    a = kept(broker, V5, will=will(qos=1))
    a.subscribe(sub("will", 1, no_local=True))
    a.drop()
    again = kept(broker, V5)
    again.expect_nothing()


@clause("MQTT5-3.8.3-4")
def test_no_local_on_a_shared_subscription_ends_the_connection(broker: Broker) -> None:
    a = broker.connected(V5)
    a.send(subscribe(1, sub("$share/group/a", 1, no_local=True)))
    a.expect_closed(0x82)


@clause("MQTT5-4.13.1-1")
def test_retain_handling_3_ends_the_connection(broker: Broker) -> None:
    a = broker.connected(V5)
    a.send(packet(0x82, b"\0\1\0" + text("a") + b"\x30"))
    a.expect_closed(0x82)


@pytest.mark.parametrize(
    ("block", "code"),
    [
        (b"\x0b\x00", 0x82),
        (b"\x0b\x01\x0b\x02", 0x82),
        (b"\x01\x01", 0x81),
        (b"\x0b\xff\xff\xff\xff\x01", 0x81),
    ],
)
@clause("MQTT5-4.13.1-1")
def test_wrong_properties_of_subscribe_end_the_connection(broker: Broker, block: bytes, code: int) -> None:
    a = broker.connected(V5)
    a.send(packet(0x82, b"\0\1" + bytes((len(block),)) + block + text("a") + b"\0"))
    a.expect_closed(code)


# shared subscriptions


@pytest.mark.parametrize(
    "topic_filter",
    ["$share/", "$share//a", "$share/group", "$share/group/", "$share/a+/b", "$share/#/a", "$share/+/a"],
)
@clause("MQTT5-4.8.2-1", "MQTT5-4.8.2-2")
def test_a_shared_filter_that_breaks_the_rules_is_malformed(broker: Broker, topic_filter: str) -> None:
    a = broker.connected(V5)
    a.send(subscribe(1, sub("a", 0), sub(topic_filter, 1)))
    a.expect_closed(0x81)


def group(broker: Broker, count: int, qos: int = 1, **options: Any) -> list[Client]:
    members = []
    for number in range(count):
        member = broker.connected(V5, f"member{number}", **options)
        member.subscribe("$share/group/a/#", qos=qos)
        members.append(member)
    return members


@clause("MQTT5-4.8.2-1")
def test_each_message_goes_to_one_member_and_all_members_get_some(broker: Broker) -> None:
    members = group(broker, 3)
    sender = broker.connected(V5)
    for number in range(30):
        sender.publish("a/b", bytes([number]), qos=1, packet_id=number + 1)
    broker.settle()
    found = [[item.payload[0] for item in member.messages()] for member in members]
    assert sorted(payload for part in found for payload in part) == list(range(30))
    assert [len(part) for part in found] == [10, 10, 10]


@clause("MQTT5-4.8.2-1", "MQTT5-4.8.2-2")
def test_groups_and_plain_subscriptions_get_a_copy_each(broker: Broker) -> None:
    a, b, c = (broker.connected(V5) for _ in range(3))
    a.subscribe("$share/one/a")
    b.subscribe("$share/two/a")
    c.subscribe("a")
    broker.connected(V5).publish("a", b"x")
    for client in (a, b, c):
        client.expect_message("a", b"x")
        client.expect_nothing()


@clause("MQTT5-3.3.1-9")
def test_a_shared_subscription_gets_no_retained_messages(broker: Broker) -> None:
    broker.connected(V5).publish("a", b"x", retain=True)
    a = broker.connected(V5)
    a.subscribe("$share/group/a")
    a.expect_nothing()


@clause("MQTT5-4.8.2-3")
@pytest.mark.parametrize("published", [0, 1, 2])
def test_each_member_gets_messages_at_the_qos_that_it_was_granted(broker: Broker, published: int) -> None:
    members = [broker.connected(V5) for _ in range(3)]
    for granted, member in enumerate(members):
        member.subscribe("$share/group/a", qos=granted)
    sender = broker.connected(V5)
    for number in range(6):
        sender.publish("a", b"x", qos=published, packet_id=number + 1 if published else 0)
    broker.settle()
    for granted, member in enumerate(members):
        assert [item.qos for item in member.messages()] == [min(granted, published)] * 2


@clause("MQTT5-3.10.4-2")
def test_a_member_that_unsubscribes_gets_no_more(broker: Broker) -> None:
    a, b = group(broker, 2)
    a.unsubscribe("$share/group/a/#")
    sender = broker.connected(V5)
    for _ in range(4):
        sender.publish("a/b", b"x")
    a.expect_nothing()
    for _ in range(4):
        b.expect_message("a/b", b"x")


@clause("MQTT5-4.8.2-4", "MQTT5-4.4.0-1")
def test_a_qos_2_delivery_that_broke_off_is_finished_with_the_same_member(broker: Broker) -> None:
    a, b = group(broker, 2, qos=2, **LASTING)
    sender = broker.connected(V5)
    for number in (1, 2):
        sender.publish("a/b", b"x", qos=2, packet_id=number)
    first = a.expect_message("a/b", b"x", qos=2)
    b.expect_message("a/b", b"x", qos=2)
    a.drop()
    b.expect_nothing()
    again = broker.connected(V5, "member0", **LASTING)
    again.expect_message("a/b", b"x", qos=2, dup=True, packet_id=first.packet_id)
    again.send(pubrec(first.packet_id))
    again.expect(pubrel(first.packet_id))
    again.send(pubcomp(first.packet_id))
    again.expect_nothing()
    b.expect_nothing()


@clause("MQTT5-4.8.2-5")
def test_a_qos_2_delivery_of_a_session_that_ended_goes_to_nobody_else(timed: Broker) -> None:
    a, b = group(timed, 2, qos=2, clean=False, session_expiry_interval=10, keepalive=3600)
    sender = timed.connected(V5, keepalive=3600)
    for number in (1, 2):
        sender.publish("a/b", b"x", qos=2, packet_id=number)
    a.expect_message("a/b", b"x", qos=2)
    b.expect_message("a/b", b"x", qos=2)
    a.drop()
    timed.advance(60)
    b.expect_nothing()


@clause("MQTT5-4.8.2-6", "MQTT5-4.4.0-2")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_that_the_chosen_member_refuses_goes_to_nobody_else(broker: Broker, qos: int) -> None:
    a, b = group(broker, 2, qos=2)
    sender = broker.connected(V5)
    for number in (1, 2):
        sender.publish("a/b", b"x", qos=qos, packet_id=number)
    found = a.expect_message("a/b", b"x", qos=qos)
    b.expect_message("a/b", b"x", qos=qos)
    a.send((puback if qos == 1 else pubrec)(found.packet_id, 0x80))
    a.expect_nothing()
    b.expect_nothing()


@clause("MQTT5-4.8.2-3")
def test_a_qos_1_message_of_a_member_that_left_for_good_is_handed_over(broker: Broker) -> None:
    a, b = group(broker, 2)
    sender = broker.connected(V5)
    for number in (1, 2):
        sender.publish("a/b", bytes([number]), qos=1, packet_id=number)
    lost = a.expect_message("a/b", b"\1", qos=1)
    b.expect_message("a/b", b"\2", qos=1)
    a.drop()
    b.expect_message("a/b", lost.payload, qos=1)


@clause("MQTT5-4.5.0-1", "MQTT5-4.8.2-3")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_for_a_share_whose_only_member_is_away_waits_for_it(broker: Broker, qos: int) -> None:
    (a,) = group(broker, 1, qos=2, **LASTING)
    a.drop()
    sender = broker.connected(V5)
    sender.publish("a/b", b"zero")
    sender.publish("a/b", b"x", qos=qos, packet_id=1)
    again = broker.connected(V5, "member0", **LASTING)
    again.expect_message("a/b", b"x", qos=qos)
    again.expect_nothing()


@clause("MQTT5-4.9.0-2", "MQTT5-4.8.2-3")
def test_a_member_without_quota_does_not_hold_up_the_share(broker: Broker) -> None:
    a, b = group(broker, 2, receive_maximum=1)
    sender = broker.connected(V5)
    for number in (1, 2):
        sender.publish("a/b", bytes([number]), qos=1, packet_id=number)
    a.expect_message("a/b", b"\1", qos=1)
    done = b.expect_message("a/b", b"\2", qos=1)
    b.send(puback(done.packet_id))
    b.barrier()
    sender.publish("a/b", b"\3", qos=1, packet_id=3)
    b.expect_message("a/b", b"\3", qos=1)
    a.expect_nothing()


@clause("MQTT5-3.3.1-12", "MQTT5-3.3.1-13")
@pytest.mark.parametrize("kept_flag", [False, True])
def test_retain_as_published_counts_in_a_share_too(broker: Broker, kept_flag: bool) -> None:
    a = broker.connected(V5)
    a.subscribe(sub("$share/group/a", retain_as_published=kept_flag))
    sender = broker.connected(V5)
    for retain in (True, False):
        sender.publish("a", b"x", retain=retain)
        a.expect_message("a", b"x", retain=retain and kept_flag)


@clause("MQTT5-3.3.4-3")
def test_a_shared_message_carries_the_identifier_of_its_subscription(broker: Broker) -> None:
    a = broker.connected(V5)
    a.subscribe("$share/group/a", subscription_identifier=9)
    broker.connected(V5).publish("a", b"x")
    a.expect_message("a", b"x", subscription_identifiers=(9,))


# disconnect


@pytest.mark.parametrize("code", [0x01, 0x10, 0x84, 0x85, 0x86, 0x8A, 0x92, 0xA3, 0xFF])
@clause("MQTT5-3.14.2-1", "MQTT5-4.13.1-1")
def test_a_code_that_disconnect_does_not_have_ends_the_connection(broker: Broker, code: int) -> None:
    watcher = broker.connected(V5)
    watcher.subscribe("will")
    a = broker.connected(V5, will=will())
    a.send(bytes((0xE0, 1, code)))
    assert a.raw()[2] in (0x81, 0x82)
    a.expect_closed()
    watcher.expect_message("will", b"gone")


@pytest.mark.parametrize("code", [0x04, 0x80, 0x81, 0x82, 0x83, 0x93, 0x97, 0x98])
@clause("MQTT5-3.1.2-8", "MQTT5-3.14.2-1")
def test_every_disconnect_but_the_normal_one_leaves_the_will(broker: Broker, code: int) -> None:
    watcher = broker.connected(V5)
    watcher.subscribe("will")
    a = broker.connected(V5, will=will())
    a.disconnect(code)
    watcher.expect_message("will", b"gone")


@clause("MQTT5-3.14.4-1", "MQTT5-3.14.4-2", "MQTT5-3.14.2-2", "MQTT5-3.14.2-1", "MQTT5-4.13.2-1")
def test_the_servers_disconnect_is_its_last_word(broker: Broker) -> None:
    """`expect_closed` looks at the code, the missing expiry interval and that nothing follows."""
    a = broker.connected(V5)
    a.subscribe("#")
    a.send(packet(0x60, b"\0\1"), Pingreq(), Message("a", b"x"))
    a.expect_closed(0x81)


@clause("MQTT5-3.14.4-3")
def test_the_short_disconnect_is_the_normal_one(broker: Broker) -> None:
    watcher = broker.connected(V5)
    watcher.subscribe("will")
    for short in ("e0 00", "e0 01 00", "e0 02 00 00"):
        a = broker.connected(V5, will=will())
        a.send(bytes.fromhex(short))
        a.expect_closed()
    watcher.expect_nothing()


@clause("MQTT5-3.14.4-3")
def test_a_disconnect_may_say_why(broker: Broker) -> None:
    watcher = broker.connected(V5)
    watcher.subscribe("will")
    a = broker.connected(V5, will=will())
    a.disconnect(0, reason_string="done", user_properties=(("a", "b"),))
    watcher.expect_nothing()

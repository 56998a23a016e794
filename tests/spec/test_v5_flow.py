"""Message expiry and topic aliases, chapters 3.3.2.3.3 and 3.3.2.3.4 of MQTT 5.0."""

from .clauses import clause
from .conversation import Broker, Client, watching
from .memory import MemoryBroker
from .packets import V5, puback, pubcomp, pubrec, pubrel

# expiry


def waiting(broker: Broker, qos: int = 1) -> None:
    a = broker.connected(V5, "a", clean=False, session_expiry_interval=3600)
    a.subscribe("a", qos=qos)
    a.drop()


def back(broker: Broker) -> Client:
    return broker.connected(V5, "a", clean=False, session_expiry_interval=3600, keepalive=3600)


@clause("MQTT5-3.3.2-5", "MQTT5-3.3.2-6")
def test_the_time_that_a_message_waited_is_taken_off_its_expiry(timed: Broker) -> None:
    waiting(timed)
    timed.connected(V5).publish("a", b"x", qos=1, packet_id=1, message_expiry_interval=60)
    timed.advance(20)
    back(timed).expect_message("a", b"x", qos=1, message_expiry_interval=40)


@clause("MQTT5-3.3.2-5")
def test_a_message_that_expired_while_it_waited_is_not_delivered(timed: Broker) -> None:
    waiting(timed)
    sender = timed.connected(V5)
    sender.publish("a", b"short", qos=1, packet_id=1, message_expiry_interval=10)
    sender.publish("a", b"long", qos=1, packet_id=2, message_expiry_interval=100)
    sender.publish("a", b"none", qos=1, packet_id=3)
    timed.advance(11)
    a = back(timed)
    a.expect_message("a", b"long", qos=1, message_expiry_interval=89)
    a.expect_message("a", b"none", qos=1)
    a.expect_nothing()


@clause("MQTT5-3.3.2-5", "MQTT5-3.3.2-6")
def test_a_retained_message_expires_too(timed: Broker) -> None:
    timed.connected(V5).publish("a", b"x", retain=True, message_expiry_interval=60)
    timed.advance(59)
    watching(timed, V5).expect_message("a", b"x", retain=True, message_expiry_interval=1)
    timed.advance(2)
    watching(timed, V5).expect_nothing()


@clause("MQTT5-3.3.2-6")
def test_a_message_that_did_not_wait_keeps_its_expiry(broker: Broker) -> None:
    a = watching(broker, V5)
    broker.connected(V5).publish("a", b"x", message_expiry_interval=60)
    a.expect_message("a", b"x", message_expiry_interval=60)


@clause("MQTT5-4.3.3-7", "MQTT5-4.3.3-13", "MQTT5-4.4.0-1")
def test_a_qos_2_message_that_was_sent_does_not_expire(timed: Broker) -> None:
    a = back(timed)
    a.subscribe("a", qos=2)
    timed.connected(V5, keepalive=3600).publish("a", b"x", qos=2, packet_id=1, message_expiry_interval=10)
    first = a.expect_message("a", b"x", qos=2, message_expiry_interval=10)
    a.drop()
    timed.advance(100)
    again = back(timed)
    found = again.next_message()
    assert (found.packet_id, found.dup, found.payload) == (first.packet_id, True, b"x")
    again.send(pubrec(first.packet_id))
    again.expect(pubrel(first.packet_id))
    again.send(pubcomp(first.packet_id))
    again.expect_nothing()


@clause("MQTT5-4.3.3-13")
def test_a_publisher_finishes_its_exchange_after_the_message_expired(timed: Broker) -> None:
    waiting(timed)
    sender = timed.connected(V5, keepalive=3600)
    sender.publish("a", b"x", qos=2, packet_id=1, message_expiry_interval=5)
    sender.expect(pubrec(1))
    timed.advance(10)
    sender.send(pubrel(1))
    sender.expect(pubcomp(1))
    back(timed).expect_nothing()


# topic aliases


@clause("MQTT5-3.3.2-12")
def test_an_alias_stands_for_its_topic_until_it_is_set_anew(broker: Broker) -> None:
    a = watching(broker, V5)
    sender = broker.connected(V5)
    for topic, payload in (("one", b"1"), ("", b"2"), ("two", b"3"), ("", b"4")):
        sender.publish(topic, payload, alias=1)
    for topic, payload in (("one", b"1"), ("one", b"2"), ("two", b"3"), ("two", b"4")):
        a.expect_message(topic, payload)


@clause("MQTT5-3.3.2-7", "MQTT5-4.13.1-1")
def test_an_alias_does_not_outlive_its_connection(broker: Broker) -> None:
    a = broker.connected(V5, "a", clean=False, session_expiry_interval=60)
    a.publish("t", b"x", alias=1)
    a.drop()
    b = broker.connected(V5, "a", clean=False, session_expiry_interval=60)
    b.publish("", b"x", alias=1)
    b.expect_closed(0x82)


@clause("MQTT5-3.3.2-7")
def test_aliases_to_a_client_begin_anew_with_each_connection(broker: Broker) -> None:
    for _ in range(2):
        a = broker.connected(V5, "a", clean=False, session_expiry_interval=60, topic_alias_maximum=5)
        a.subscribe("a", qos=1)
        for number in (1, 2):
            broker.connected(V5).publish("a", b"x", qos=1, packet_id=number)
        broker.settle()
        found = a.messages()
        assert found[0].topic == "a"
        a.send(*(puback(item.packet_id) for item in found))
        a.barrier()
        a.drop()


@clause("MQTT5-3.3.2-11")
def test_an_alias_is_not_used_before_the_packet_that_explains_it(durable: MemoryBroker) -> None:
    """A QoS 2 message to a kept session waits for the disk; one of QoS 0 does not and may overtake it."""
    a = durable.connected(V5, "a", clean=False, session_expiry_interval=60, topic_alias_maximum=5)
    a.subscribe("a", qos=2)
    sender = durable.connected(V5)
    durable.disk = False
    sender.publish("a", b"two", qos=2, packet_id=1)
    sender.publish("a", b"zero")
    early = a.messages()
    durable.disk = True
    durable.settle()
    known: dict[int, str] = {}
    found = []
    for item in early + a.messages():
        if item.topic and item.alias:
            known[item.alias] = item.topic
        found.append((item.topic or known.get(item.alias), item.payload))
    assert sorted(found) == [("a", b"two"), ("a", b"zero")]


@clause("MQTT5-3.3.2-7")
def test_what_is_sent_again_names_its_topic_again(broker: Broker) -> None:
    options = {"clean": False, "session_expiry_interval": 60, "topic_alias_maximum": 5}
    a = broker.connected(V5, "a", **options)
    a.subscribe("a", qos=1)
    sender = broker.connected(V5)
    for number in (1, 2, 3):
        sender.publish("a", b"x", qos=1, packet_id=number)
    broker.settle()
    assert len(a.messages()) == 3
    a.drop()
    b = broker.connected(V5, "a", **options)
    known: dict[int, str] = {}
    for item in b.messages():
        if item.topic and item.alias:
            known[item.alias] = item.topic
        assert (item.topic or known[item.alias]) == "a"

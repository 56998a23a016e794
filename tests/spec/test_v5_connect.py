"""CONNECT and CONNACK, chapters 3.1 and 3.2: what only MQTT 5.0 has."""

import pytest
from bollard.base.types import Action
from bollard.engine.limits import Limits
from bollard.wire.connect import Connack, Disconnect, Pingreq
from bollard.wire.properties import Properties

from .clauses import clause
from .conftest import Build
from .conversation import (
    V5,
    Broker,
    Client,
    Message,
    connect,
    message,
    packet,
    properties_of,
    puback,
    pubrel,
    sub,
    subscribe,
    text,
    unsubscribe,
    will,
)
from .doors import METHOD, STRANGER, TOLD, denying

FOREVER = 0xFFFF_FFFF


def kept(broker: Broker, client_id: str = "a", seconds: int = 600, **options: object) -> Client:
    return broker.connected(V5, client_id, clean=False, session_expiry_interval=seconds, **options)


@clause("MQTT5-3.1.2-19")
def test_a_password_needs_no_user_name(broker: Broker) -> None:
    a = broker.client(V5)
    a.send(connect(V5, "a", password=b"token"))
    a.expect_connack()


# properties that are wrong in CONNECT


WRONG = {
    "twice": (b"\x11\0\0\0\1\x11\0\0\0\1", 0x82),
    "receive_maximum_0": (b"\x21\0\0", 0x82),
    "maximum_packet_size_0": (b"\x27\0\0\0\0", 0x82),
    "request_problem_2": (b"\x17\2", 0x82),
    "request_response_2": (b"\x19\2", 0x82),
    "data_without_method": (b"\x16\0\1x", 0x82),
    "not_for_connect": (b"\x23\0\1", 0x81),
    "unknown": (b"\x7f\0", 0x81),
    "cut_short": (b"\x11\0\0", 0x81),
    "user_property_not_utf8": (b"\x26" + text("a") + text(b"\xff"), 0x81),
    "user_property_null": (b"\x26" + text("a\0") + text("b"), 0x81),
}


@pytest.mark.parametrize("case", sorted(WRONG))
@clause("MQTT5-3.1.4-1", "MQTT5-4.13.1-1", "MQTT5-1.5.7-1", "MQTT5-3.14.0-1")
def test_wrong_properties_refuse_the_connection(broker: Broker, case: str) -> None:
    block, code = WRONG[case]
    a = broker.client(V5)
    a.send(packet(0x10, text("MQTT") + bytes((5, 2, 0, 60, len(block))) + block + text("a")))
    a.expect_refused(code)


@clause("MQTT5-1.5.5-1")
def test_a_length_with_more_bytes_than_needed_is_malformed(broker: Broker) -> None:
    """The property length 0, written as 80 00."""
    a = broker.client(V5)
    a.send(packet(0x10, text("MQTT") + bytes((5, 2, 0, 60, 0x80, 0x00)) + text("a")))
    a.expect_refused(0x81)


@clause("MQTT5-2.2.2-1")
def test_a_missing_property_length_is_malformed(broker: Broker) -> None:
    """Here the length of the client id (0) is taken for the properties, and what follows does not fit."""
    a = broker.client(V5)
    a.send(packet(0x10, text("MQTT") + bytes((5, 2, 0, 60))))
    a.expect_refused(0x81)


@clause("MQTT5-2.2.2-1")
def test_no_properties_are_sent_as_length_0(broker: Broker) -> None:
    a = broker.connected(V5)
    a.subscribe("a")
    a.publish("a", b"x")
    a.expect_bytes("30 05 00 01 61 00 78")


# client identifiers


@clause("MQTT5-3.1.3-7", "MQTT5-3.2.2-16", "MQTT5-3.1.3-6")
def test_an_assigned_identifier_is_told_new_and_usable(broker: Broker) -> None:
    a, b = broker.client(V5), broker.client(V5)
    first = a.connect("", clean=False, session_expiry_interval=600).properties.assigned_client_identifier
    second = b.connect("").properties.assigned_client_identifier
    assert first
    assert second
    assert first != second
    a.disconnect()
    c = broker.client(V5)
    c.send(connect(V5, first, clean=False, session_expiry_interval=600))
    c.expect_connack(session_present=True)


@clause("MQTT5-3.1.3-7")
def test_who_brings_an_identifier_is_told_none(broker: Broker) -> None:
    answer = broker.client(V5).connect("mine")
    assert answer.properties.assigned_client_identifier is None


# session expiry


@clause("MQTT5-3.1.2-23", "MQTT5-4.1.0-2")
@pytest.mark.parametrize(("waited", "present"), [(59, True), (61, False)])
def test_a_session_lives_until_its_expiry_interval_is_over(
    timed: Broker, waited: int, present: bool
) -> None:
    kept(timed, seconds=60).drop()
    timed.advance(waited)
    a = timed.client(V5)
    a.send(connect(V5, "a", clean=False))
    a.expect_connack(session_present=present)


@pytest.mark.parametrize("options", [{}, {"session_expiry_interval": 0}])
@clause("MQTT5-4.1.0-2", "MQTT5-3.1.2-23")
def test_without_an_expiry_interval_the_session_ends_with_the_connection(
    broker: Broker, options: dict[str, object]
) -> None:
    broker.connected(V5, "a", clean=False, **options).drop()
    a = broker.client(V5)
    a.send(connect(V5, "a", clean=False))
    a.expect_connack(session_present=False)


@clause("MQTT5-4.1.0-1")
def test_an_open_connection_keeps_its_session_beyond_the_expiry_interval(timed: Broker) -> None:
    a = kept(timed, seconds=5, keepalive=600)
    a.subscribe("news")
    timed.advance(500)
    timed.connected(V5, "b").publish("news", b"x")
    a.expect_message("news", b"x")


@clause("MQTT5-3.1.2-23", "MQTT5-4.1.0-2")
def test_disconnect_may_change_the_expiry_interval(timed: Broker) -> None:
    kept(timed, seconds=60).disconnect(session_expiry_interval=600)
    timed.advance(300)
    a = timed.client(V5)
    a.send(connect(V5, "a", clean=False, session_expiry_interval=600))
    a.expect_connack(session_present=True)
    a.disconnect(session_expiry_interval=0)
    b = timed.client(V5)
    b.send(connect(V5, "a", clean=False))
    b.expect_connack(session_present=False)


@clause("MQTT5-4.13.1-1")
def test_disconnect_may_not_keep_a_session_that_connect_let_end(broker: Broker) -> None:
    a = broker.connected(V5, "a")
    a.send(Disconnect(0, properties_of(session_expiry_interval=60)))
    a.expect_closed(0x82)


@clause("MQTT5-3.1.2-23")
def test_an_expiry_interval_that_the_server_shortens_is_told(build: Build) -> None:
    broker = build(limits=Limits(session_expiry_max_s=100))
    a = broker.client(V5)
    answer = a.connect("a", clean=False, session_expiry_interval=FOREVER)
    assert answer.properties.session_expiry_interval == 100


# wills


@clause("MQTT5-3.1.2-8", "MQTT5-3.1.2-7")
def test_a_will_waits_for_its_delay(timed: Broker) -> None:
    watcher = timed.connected(V5, "watcher", keepalive=1000)
    watcher.subscribe("will")
    kept(timed, will=will(will_delay_interval=30)).drop()
    timed.advance(29)
    watcher.expect_nothing()
    timed.advance(2)
    watcher.expect_message("will", b"gone")
    timed.advance(600)
    watcher.expect_nothing()


@clause("MQTT5-3.1.2-8")
def test_a_will_does_not_wait_beyond_its_session(timed: Broker) -> None:
    watcher = timed.connected(V5, "watcher", keepalive=1000)
    watcher.subscribe("will")
    kept(timed, seconds=10, will=will(will_delay_interval=30)).drop()
    timed.advance(9)
    watcher.expect_nothing()
    timed.advance(2)
    watcher.expect_message("will", b"gone")


@clause("MQTT5-3.1.2-8", "MQTT5-3.1.2-4")
def test_a_clean_start_ends_the_session_and_with_it_the_delay(timed: Broker) -> None:
    watcher = timed.connected(V5, "watcher", keepalive=1000)
    watcher.subscribe("will")
    kept(timed, will=will(will_delay_interval=30)).drop()
    timed.advance(5)
    timed.connected(V5, "a", clean=True)
    watcher.expect_message("will", b"gone")


@clause("MQTT5-3.1.3-9", "MQTT5-3.1.2-8")
def test_a_resumed_session_prevents_the_will(timed: Broker) -> None:
    watcher = timed.connected(V5, "watcher", keepalive=1000)
    watcher.subscribe("will")
    kept(timed, will=will(will_delay_interval=30)).drop()
    timed.advance(29)
    kept(timed, keepalive=1000)
    timed.advance(100)
    watcher.expect_nothing()


@clause("MQTT5-3.1.3-9")
def test_a_takeover_that_resumes_prevents_a_delayed_will(timed: Broker) -> None:
    watcher = timed.connected(V5, "watcher", keepalive=1000)
    watcher.subscribe("will")
    a = kept(timed, will=will(will_delay_interval=30))
    kept(timed, keepalive=1000)
    a.expect_closed(0x8E)
    timed.advance(100)
    watcher.expect_nothing()


@clause("MQTT5-3.1.2-8", "MQTT5-3.1.2-10")
def test_disconnect_with_will_message_publishes_it(broker: Broker) -> None:
    watcher = broker.connected(V5)
    watcher.subscribe("will")
    broker.connected(V5, "a", will=will()).disconnect(0x04)
    watcher.expect_message("will", b"gone")


@clause("MQTT5-3.1.3-10", "MQTT5-3.1.2-9")
def test_a_will_is_published_with_its_properties_in_order(broker: Broker) -> None:
    properties = {
        "payload_format_indicator": 1,
        "message_expiry_interval": 77,
        "content_type": "text/plain",
        "response_topic": "answers",
        "correlation_data": b"\x00\xff",
        "user_properties": (("b", "1"), ("a", "2"), ("b", "0")),
    }
    watcher = broker.connected(V5)
    watcher.subscribe("will")
    broker.connected(V5, "a", will=will(**properties)).drop()
    watcher.expect_message("will", b"gone", **properties)


# limits that the client tells


@clause("MQTT5-3.1.2-24", "MQTT5-3.1.2-25")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_too_large_for_the_client_counts_as_sent(broker: Broker, qos: int) -> None:
    a = broker.connected(V5, maximum_packet_size=40, receive_maximum=1)
    a.subscribe("a", qos=qos)
    sender = broker.connected(V5)
    for number, payload in enumerate((b"x" * 41, b"y" * 200, b"small")):
        sender.publish("a", payload, qos=qos, packet_id=number + 1 if qos else 0)
    a.expect_message("a", b"small", qos=qos)
    a.expect_nothing()


@clause("MQTT5-3.1.2-24")
def test_a_message_of_exactly_the_maximum_packet_size_is_sent(broker: Broker) -> None:
    """Fixed header 2, topic 3, property length 1, so 34 bytes of payload make 40."""
    a = broker.connected(V5, maximum_packet_size=40)
    a.subscribe("a")
    sender = broker.connected(V5)
    sender.publish("a", b"x" * 35)
    sender.publish("a", b"y" * 34)
    a.expect_message("a", b"y" * 34)
    a.expect_nothing()


@clause("MQTT5-3.1.2-24", "MQTT5-3.1.2-25")
def test_a_retained_message_too_large_for_the_client_is_not_sent(broker: Broker) -> None:
    broker.connected(V5).publish("a", b"x" * 100, retain=True)
    a = broker.connected(V5, maximum_packet_size=40)
    a.subscribe("a", qos=1)
    a.expect_nothing()


@pytest.mark.parametrize("options", [{}, {"topic_alias_maximum": 0}])
@clause("MQTT5-3.1.2-27")
def test_a_client_that_takes_no_aliases_gets_none(broker: Broker, options: dict[str, object]) -> None:
    a = broker.connected(V5, **options)
    a.subscribe("#")
    sender = broker.connected(V5)
    for _ in range(5):
        sender.publish("a/long/topic", b"x")
    for _ in range(5):
        a.expect_message("a/long/topic", b"x")


@clause("MQTT5-3.1.2-26", "MQTT5-3.3.2-11", "MQTT5-3.3.2-8")
def test_aliases_to_a_client_stay_within_its_maximum(broker: Broker) -> None:
    a = broker.connected(V5, topic_alias_maximum=2)
    a.subscribe("#")
    sender = broker.connected(V5)
    topics = [f"topic/{number % 4}" for number in range(16)]
    for topic in topics:
        sender.publish(topic, topic.encode())
    broker.settle()
    known: dict[int, str] = {}
    found = []
    for item in a.messages():
        assert item.alias in (0, 1, 2)
        if item.topic and item.alias:
            known[item.alias] = item.topic
        found.append((item.topic or known[item.alias], item.payload))
    assert found == [(topic, topic.encode()) for topic in topics]


@pytest.mark.parametrize("asked", [None, 0, 1])
@clause("MQTT5-3.1.2-28")
def test_response_information_is_not_returned_unasked(broker: Broker, asked: int | None) -> None:
    answer = broker.client(V5).connect("a", request_response_information=asked)
    if not asked:
        assert answer.properties.response_information is None


@clause("MQTT5-3.1.2-29")
def test_without_problem_information_acknowledgements_say_no_more_than_a_code(build: Build) -> None:
    broker = build(authorizer=denying((Action.PUBLISH, "no"), (Action.SUBSCRIBE, "no")))
    a = broker.connected(V5, request_problem_information=0)
    a.send(message("no", b"x", qos=1, packet_id=1))
    a.expect(puback(1, 0x87))
    a.send(message("no", b"x", qos=2, packet_id=2))
    a.expect_bytes("50 03 00 02 87")
    a.send(subscribe(3, sub("no")))
    a.expect_bytes("90 04 00 03 00 87")
    a.send(unsubscribe(4, "none"))
    a.expect_bytes("b0 04 00 04 00 11")


@clause("MQTT5-3.2.2-19", "MQTT5-3.1.2-24")
def test_a_reason_string_is_left_out_where_connack_would_be_too_large(broker: Broker) -> None:
    for size, told in ((None, TOLD), (20, None)):
        a = broker.client(V5)
        a.send(connect(V5, "a", username=STRANGER, password=b"x", maximum_packet_size=size))
        refusal = a.expect_refused(0x86)
        assert refusal is not None
        assert refusal.properties.reason_string == told


@clause("MQTT5-3.1.2-24", "MQTT5-3.2.2-19", "MQTT5-3.4.2-2", "MQTT5-3.5.2-2", "MQTT5-3.9.2-1")
@clause("MQTT5-3.11.2-1", "MQTT5-3.7.2-2", "MQTT5-3.6.2-2", "MQTT5-3.14.2-3")
def test_no_answer_is_larger_than_the_client_takes(build: Build) -> None:
    """24 bytes are enough for each of these packets with a reason code, but not for much of a sentence."""
    broker = build(authorizer=denying((Action.PUBLISH, "no"), (Action.SUBSCRIBE, "no")))
    for limit in (24, 50):
        client = broker.client(V5)
        client.send(connect(V5, f"client{limit}", maximum_packet_size=limit))
        assert len(client.raw()) <= limit
        client.send(
            message("no", b"x", qos=1, packet_id=1),
            message("no", b"x", qos=2, packet_id=2),
            subscribe(3, sub("no")),
            unsubscribe(4, "none"),
            pubrel(9),
            message("+", b"x"),
        )
        while not client.link.at_end():
            assert len(client.raw()) <= limit


@clause("MQTT5-3.1.2-30")
@pytest.mark.parametrize("sent", [Pingreq(), Message("a", b"x"), subscribe(1, sub("a"))], ids=["ping", "publish", "subscribe"])
def test_during_the_authentication_exchange_only_auth_is_in_place(broker: Broker, sent: Message) -> None:
    a = broker.client(V5)
    a.send(connect(V5, "a", authentication_method=METHOD))
    assert a.raw()[0] == 0xF0
    a.send(sent)
    if not a.link.at_end():
        answer = a.receive()
        assert isinstance(answer, Connack)
        assert answer.code == 0x82
    a.expect_closed()


# limits that the server tells


@clause("MQTT5-3.2.2-22")
@pytest.mark.parametrize(("asked", "told"), [(10, None), (100, None), (101, 100), (0, 100), (65_535, 100)])
def test_a_keep_alive_is_taken_or_another_one_told(build: Build, asked: int, told: int | None) -> None:
    broker = build(limits=Limits(keepalive_max_s=100))
    answer = broker.client(V5).connect("a", keepalive=asked)
    assert answer.properties.server_keep_alive == told


@clause("MQTT5-3.2.2-9", "MQTT5-3.2.2-10", "MQTT5-3.2.2-11")
@pytest.mark.parametrize("maximum", [0, 1])
def test_a_server_with_less_qos_says_so_and_still_takes_every_subscription(
    build: Build, maximum: int
) -> None:
    broker = build(limits=Limits(maximum_qos=maximum))
    a = broker.client(V5)
    assert a.connect("a").properties.maximum_qos == maximum
    a.send(subscribe(1, sub("a", 0), sub("b", 1), sub("c", 2)))
    answer = a.raw()
    assert all(code <= 2 for code in answer[-3:])
    a.send(message("a", b"x", qos=maximum + 1, packet_id=1))
    a.expect_closed(0x9B)


@clause("MQTT5-3.2.2-9")
def test_a_server_with_every_qos_tells_no_maximum(broker: Broker) -> None:
    assert broker.client(V5).connect("a").properties.maximum_qos is None


@clause("MQTT5-3.2.2-12")
def test_a_will_with_too_much_qos_is_refused(build: Build) -> None:
    a = build(limits=Limits(maximum_qos=1)).client(V5)
    a.send(connect(V5, "a", will=will(qos=2)))
    a.expect_refused(0x9B)


@clause("MQTT5-3.2.2-13", "MQTT5-3.2.2-14")
def test_a_server_without_retained_messages_refuses_them(build: Build) -> None:
    broker = build(limits=Limits(retain_available=False))
    a = broker.client(V5)
    a.send(connect(V5, "a", will=will(retain=True)))
    a.expect_refused(0x9A)
    b = broker.client(V5)
    assert b.connect("b").properties.retain_available == 0
    b.publish("a", b"x", retain=True)
    b.expect_closed(0x9A)


@clause("MQTT5-3.2.2-15")
def test_a_packet_above_the_maximum_packet_size_ends_the_connection(build: Build) -> None:
    broker = build(limits=Limits(max_packet_bytes=200))
    a = broker.client(V5)
    assert a.connect("a").properties.maximum_packet_size == 200
    a.publish("a", b"x" * 193)
    a.ping()
    a.publish("a", b"x" * 300)
    a.expect_closed(0x95)


@clause("MQTT5-3.2.2-15")
def test_an_oversize_packet_is_refused_by_its_length_alone(build: Build) -> None:
    broker = build(limits=Limits(max_packet_bytes=200))
    a = broker.connected(V5)
    a.send(bytes.fromhex("30 ff ff ff 7f"))
    a.expect_closed(0x95)


@clause("MQTT5-3.2.2-17", "MQTT5-3.3.2-9", "MQTT5-3.3.2-12")
def test_every_alias_up_to_the_told_maximum_is_taken_and_none_above(broker: Broker) -> None:
    a = broker.client(V5)
    maximum = a.connect("a").properties.topic_alias_maximum
    assert maximum
    a.subscribe("#")
    for alias in range(1, maximum + 1):
        a.publish(f"t{alias}", b"x", alias=alias)
        a.expect_message(f"t{alias}", b"x")
    for alias in range(1, maximum + 1):
        a.publish("", b"y", alias=alias)
        a.expect_message(f"t{alias}", b"y")
    a.publish("t", b"x", alias=maximum + 1)
    a.expect_closed(0x94)


@clause("MQTT5-3.2.2-18")
def test_a_server_that_takes_no_aliases_ends_the_connection_at_one(build: Build) -> None:
    broker = build(limits=Limits(topic_alias_maximum=0))
    a = broker.client(V5)
    assert not a.connect("a").properties.topic_alias_maximum
    a.publish("t", b"x", alias=1)
    a.expect_closed(0x94)


@clause("MQTT5-3.2.2-8", "MQTT5-3.1.4-5")
def test_an_accepted_connection_is_told_the_limits_of_the_server(build: Build) -> None:
    limits = Limits(receive_maximum=7, topic_alias_maximum=3, max_packet_bytes=4000)
    answer = build(limits=limits).client(V5).connect("a")
    told = answer.properties
    assert (told.receive_maximum, told.topic_alias_maximum, told.maximum_packet_size) == (7, 3, 4000)
    assert answer == Connack(False, 0, told)
    assert isinstance(told, Properties)

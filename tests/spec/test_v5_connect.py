"""CONNECT and CONNACK, chapters 3.1 and 3.2: what only MQTT 5.0 has."""

from typing import Any

import pytest

from bollard.engine.limits import Limits
from bollard.wire.connect import Disconnect

from .clauses import clause
from .conftest import Build
from .conversation import Broker, Client
from .packets import V5, connect, packet, properties_of, text, will

FOREVER = 0xFFFF_FFFF


def kept(broker: Broker, client_id: str = "a", seconds: int = 600, **options: Any) -> Client:
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
def test_a_session_lives_until_its_expiry_interval_is_over(timed: Broker, waited: int, present: bool) -> None:
    kept(timed, seconds=60).drop()
    timed.advance(waited)
    a = timed.client(V5)
    a.send(connect(V5, "a", clean=False))
    a.expect_connack(session_present=present)


@pytest.mark.parametrize("options", [{}, {"session_expiry_interval": 0}])
@clause("MQTT5-4.1.0-2", "MQTT5-3.1.2-23")
def test_without_an_expiry_interval_the_session_ends_with_the_connection(
    broker: Broker, options: dict[str, Any]
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
    properties: dict[str, Any] = {
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

"""Sessions, wills and keep alive, chapters 3.1.2 and 4.1: what both versions ask."""

import pytest

from .clauses import clause
from .conversation import Broker
from .packets import connect, lasting, packet, puback, pubrec, will


@clause("MQTT3-3.1.3-2", "MQTT5-3.1.3-2")
def test_a_session_belongs_to_its_client_id(broker: Broker, version: int) -> None:
    for name in ("one", "two"):
        a = broker.connected(version, name, clean=False, **lasting(version))
        a.subscribe(name, qos=1)
        a.disconnect()
    sender = broker.connected(version)
    sender.publish("one", b"x", qos=1, packet_id=1)
    sender.expect(puback(1, 0))
    two = broker.client(version)
    two.connect("two", clean=False, **lasting(version))
    two.expect_nothing()
    one = broker.client(version)
    one.connect("one", clean=False, **lasting(version))
    one.expect_message("one", b"x", qos=1)


def listening_session(broker: Broker, version: int, client_id: str = "a") -> None:
    """A session that is kept, with a QoS 2 subscription to "news"; nobody is connected to it."""
    a = broker.connected(version, client_id, clean=False, **lasting(version))
    a.subscribe("news", qos=2)
    a.disconnect()


def tell(broker: Broker, version: int, payload: bytes = b"x", qos: int = 1) -> None:
    """Somebody publishes to "news", QoS 1 or 2, and goes."""
    sender = broker.connected(version)
    sender.publish("news", payload, qos=qos, packet_id=1)
    sender.expect(puback(1) if qos == 1 else pubrec(1))
    sender.disconnect()


@clause("MQTT3-3.1.2-4", "MQTT3-3.1.2-5", "MQTT5-3.1.2-5", "MQTT3-3.2.2-2", "MQTT5-3.2.2-3", "MQTT3-4.1.0-1")
@clause("MQTT3-4.5.0-1", "MQTT5-4.5.0-1", "MQTT3-3.1.4-3", "MQTT5-3.1.4-4", "MQTT5-3.1.2-23")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_kept_session_is_resumed_with_what_came_meanwhile(broker: Broker, version: int, qos: int) -> None:
    listening_session(broker, version)
    tell(broker, version, qos=qos)
    a = broker.client(version)
    a.send(connect(version, "a", clean=False, **lasting(version)))
    a.expect_connack(session_present=True)
    a.expect_message("news", b"x", qos=qos)
    tell(broker, version, b"y", qos=qos)
    a.expect_message("news", b"y", qos=qos)


@clause("MQTT3-3.1.2-4", "MQTT5-3.1.2-6", "MQTT3-3.2.2-3", "MQTT5-3.2.2-3")
def test_without_a_session_a_new_one_begins(broker: Broker, version: int) -> None:
    a = broker.client(version)
    a.send(connect(version, "new", clean=False))
    a.expect_connack(session_present=False)
    a.subscribe("news")
    tell(broker, version)
    a.expect_message("news", b"x")


@clause("MQTT3-3.1.2-6", "MQTT5-3.1.2-4", "MQTT3-3.2.2-1", "MQTT5-3.2.2-2", "MQTT3-3.1.4-3", "MQTT5-3.1.4-4")
def test_a_clean_start_discards_the_session(broker: Broker, version: int) -> None:
    listening_session(broker, version)
    tell(broker, version)
    a = broker.client(version)
    a.send(connect(version, "a", clean=True))
    a.expect_connack(session_present=False)
    tell(broker, version, b"y")
    a.expect_nothing()


@clause("MQTT3-3.1.2-6")
def test_a_clean_session_ends_with_its_connection(broker: Broker, version: int) -> None:
    a = broker.connected(version, "a", clean=True)
    a.subscribe("news", qos=1)
    a.disconnect()
    tell(broker, version)
    b = broker.client(version)
    b.send(connect(version, "a", clean=False))
    b.expect_connack(session_present=False)
    b.expect_nothing()


@clause("MQTT3-3.1.2-7")
def test_retained_messages_outlive_the_session_that_sent_them(broker: Broker, version: int) -> None:
    a = broker.connected(version, "a")
    a.publish("kept", b"x", retain=True)
    a.disconnect()
    b = broker.connected(version)
    b.subscribe("kept")
    b.expect_message("kept", b"x", retain=True)


# wills


@pytest.mark.parametrize("qos", [0, 1, 2])
@clause(
    "MQTT3-3.1.2-8", "MQTT5-3.1.2-7", "MQTT5-3.1.2-8", "MQTT3-3.1.2-9", "MQTT3-3.1.2-14", "MQTT5-3.1.2-12"
)
@clause("MQTT3-3.1.2-16", "MQTT5-3.1.2-14")
def test_a_will_is_published_when_the_network_fails(broker: Broker, version: int, qos: int) -> None:
    watcher = broker.connected(version)
    watcher.subscribe("will", qos=2)
    a = broker.connected(version, "a", will=will(qos=qos))
    watcher.expect_nothing()
    a.drop()
    watcher.expect_message("will", b"gone", qos=qos)
    late = broker.connected(version)
    late.subscribe("will")
    late.expect_nothing()


@clause("MQTT3-3.1.2-17", "MQTT5-3.1.2-15")
def test_a_retained_will_is_retained(broker: Broker, version: int) -> None:
    broker.connected(version, "a", will=will(retain=True)).drop()
    late = broker.connected(version)
    late.subscribe("will")
    late.expect_message("will", b"gone", retain=True)


@clause("MQTT3-3.1.2-8", "MQTT5-3.1.2-8", "MQTT3-4.8.0-1", "MQTT5-4.13.1-1")
def test_a_will_is_published_when_the_client_breaks_the_rules(broker: Broker, version: int) -> None:
    watcher = broker.connected(version)
    watcher.subscribe("will")
    a = broker.connected(version, "a", will=will())
    a.send(packet(0x60, b"\0\1"))
    a.expect_closed(0x81)
    watcher.expect_message("will", b"gone")


@clause("MQTT3-3.1.2-8", "MQTT5-3.1.2-8", "MQTT5-3.1.4-3")
def test_a_takeover_publishes_the_will_of_a_session_that_ends(broker: Broker, version: int) -> None:
    watcher = broker.connected(version)
    watcher.subscribe("will")
    broker.connected(version, "a", will=will())
    broker.connected(version, "a")
    watcher.expect_message("will", b"gone")


@clause("MQTT3-3.1.2-8", "MQTT3-3.1.2-10", "MQTT3-3.14.4-3")
@clause("MQTT5-3.1.2-8", "MQTT5-3.1.2-10", "MQTT5-3.14.4-3")
def test_a_disconnect_takes_the_will_away(broker: Broker, version: int) -> None:
    watcher = broker.connected(version)
    watcher.subscribe("will")
    a = broker.connected(version, "a", will=will())
    a.disconnect()
    watcher.expect_nothing()
    broker.connected(version, "a").drop()
    watcher.expect_nothing()


@clause("MQTT3-3.1.2-10", "MQTT5-3.1.2-10")
def test_a_will_is_published_once(broker: Broker, version: int) -> None:
    watcher = broker.connected(version)
    watcher.subscribe("will")
    broker.connected(version, "a", clean=False, will=will(), **lasting(version)).drop()
    watcher.expect_message("will", b"gone")
    broker.connected(version, "a", clean=False, **lasting(version)).drop()
    watcher.expect_nothing()


@clause("MQTT3-3.1.2-12")
def test_without_a_will_flag_nothing_is_published(broker: Broker, version: int) -> None:
    watcher = broker.connected(version)
    watcher.subscribe("#")
    broker.connected(version, "a").drop()
    watcher.expect_nothing()


# keep alive


@clause("MQTT3-3.1.2-24", "MQTT5-3.1.2-22", "MQTT5-3.2.2-22")
def test_silence_for_one_and_a_half_times_keep_alive_ends_the_connection(timed: Broker, version: int) -> None:
    watcher = timed.connected(version, "watcher", keepalive=1000)
    watcher.subscribe("will")
    a = timed.connected(version, "a", keepalive=10, will=will())
    timed.advance(14.9)
    a.expect_nothing()
    timed.advance(0.3)
    a.expect_closed(0x8D)
    watcher.expect_message("will", b"gone")


@clause("MQTT3-3.1.2-24", "MQTT5-3.1.2-22")
def test_any_packet_counts_as_a_sign_of_life(timed: Broker, version: int) -> None:
    a = timed.connected(version, "a", keepalive=10)
    timed.advance(14)
    a.publish("a", b"x")
    timed.advance(14)
    a.ping()
    timed.advance(14)
    a.subscribe("b")
    timed.advance(14)
    a.expect_nothing()
    timed.advance(2)
    a.expect_closed(0x8D)


@clause("MQTT3-3.1.2-24", "MQTT5-3.1.2-22")
def test_the_incomplete_packet_of_a_silent_client_is_no_sign_of_life(timed: Broker, version: int) -> None:
    a = timed.connected(version, "a", keepalive=10)
    for _ in range(16):
        a.send(b"\x30" if not _ else b"\x7f" if _ == 1 else b"\0")
        timed.advance(1)
    a.expect_closed(0x8D)

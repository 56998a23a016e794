"""Topic names and filters, chapter 4.7, and transports: what both versions ask."""

import pytest

from bollard.engine.limits import Limits
from bollard.wire.codec import Packet
from bollard.wire.connect import Pingreq

from .clauses import clause
from .conftest import Build
from .conversation import Broker
from .packets import Message, connect, message, sub, subscribe

# filters


INVALID = ["", "#/a", "a/#/b", "a#", "a/b#", "+a", "a+", "a/+b", "a/b+/c", "##", "a/##", "++"]


@pytest.mark.parametrize("topic_filter", INVALID)
@clause("MQTT3-4.7.1-2", "MQTT3-4.7.1-3", "MQTT3-4.7.3-1", "MQTT5-4.7.1-1", "MQTT5-4.7.1-2", "MQTT5-4.7.3-1")
def test_a_filter_that_breaks_the_rules_is_malformed(broker: Broker, version: int, topic_filter: str) -> None:
    a = broker.connected(version)
    a.send(subscribe(1, sub("a", 1), sub(topic_filter, 1)))
    a.expect_closed(0x81)


MATCHES = [
    ("a", "a"),
    ("a/b", "a/b"),
    ("#", "a"),
    ("#", "a/b/c"),
    ("#", "/"),
    ("a/#", "a"),
    ("a/#", "a/"),
    ("a/#", "a/b/c"),
    ("+", "a"),
    ("+/+", "/a"),
    ("/+", "/a"),
    ("+/b", "a/b"),
    ("+/b", "/b"),
    ("a/+/c", "a//c"),
    ("a/+/#", "a/b"),
    ("+/#", "a"),
    ("a/ /b", "a/ /b"),
    ("/", "/"),
    ("$x/#", "$x/a"),
    ("$x/+", "$x/a"),
    ("a/$x", "a/$x"),
    ("a/#", "a/$x"),
]
MISSES = [
    ("a", "A"),
    ("a", "a/"),
    ("a", "/a"),
    ("a/b", "a"),
    ("+", "a/b"),
    ("+", "/a"),
    ("a/+", "a"),
    ("a/+", "a/b/c"),
    ("a/#", "ab"),
    ("#", "$x"),
    ("#", "$x/a"),
    ("+/a", "$x/a"),
    ("+", "$x"),
    ("+/#", "$x/a"),
]


@pytest.mark.parametrize(("topic_filter", "topic"), MATCHES)
@clause("MQTT3-4.7.1-2", "MQTT3-4.7.1-3", "MQTT5-4.7.1-1", "MQTT5-4.7.1-2", "MQTT3-3.3.2-3", "MQTT5-3.3.2-3")
def test_a_filter_that_matches_gets_the_message(
    broker: Broker, version: int, topic_filter: str, topic: str
) -> None:
    a = broker.connected(version)
    a.subscribe(topic_filter)
    a.publish(topic, b"x")
    a.expect_message(topic, b"x")


@pytest.mark.parametrize(("topic_filter", "topic"), MISSES)
@clause("MQTT3-4.7.2-1", "MQTT5-4.7.2-1", "MQTT3-4.7.3-4", "MQTT5-4.7.3-4", "MQTT3-3.3.2-3", "MQTT5-3.3.2-3")
def test_a_filter_that_does_not_match_gets_nothing(
    broker: Broker, version: int, topic_filter: str, topic: str
) -> None:
    broker.connected(version).publish(topic, b"kept", retain=True)
    a = broker.connected(version)
    a.subscribe(topic_filter)
    a.publish(topic, b"x")
    a.expect_nothing()


@clause("MQTT3-4.7.3-3", "MQTT5-4.7.3-3")
def test_the_longest_topic_that_the_server_takes_goes_through(build: Build, version: int) -> None:
    broker = build(limits=Limits(max_topic_bytes=65_535, max_packet_bytes=200_000))
    topic = "\u00e4" * 32_767 + "x"
    a = broker.connected(version)
    a.subscribe(topic)
    a.publish(topic, b"x")
    a.expect_message(topic, b"x")


@clause("MQTT3-4.1.0-2", "MQTT5-4.1.0-1")
def test_a_session_lasts_as_long_as_its_connection(timed: Broker, version: int) -> None:
    a = timed.connected(version, keepalive=60)
    a.subscribe("a", qos=1)
    for _ in range(30):
        timed.advance(50)
        a.ping()
    a.publish("a", b"x")
    a.expect_message("a", b"x")


@clause("MQTT3-7.1.1-1", "MQTT5-4.2.0-1")
def test_a_conversation_survives_being_cut_into_bytes(broker: Broker, version: int) -> None:
    a = broker.client(version)
    script: list[Packet | Message] = [
        connect(version, "a"),
        subscribe(1, sub("a", 1)),
        message("a", b"x" * 200),
        Pingreq(),
    ]
    whole = b"".join(a._encode(item) for item in script)
    for number in range(len(whole)):
        a.send(whole[number : number + 1])
    assert [a.raw()[0] >> 4 for _ in range(4)] == [2, 9, 3, 13]

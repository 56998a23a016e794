"""What client and server tell each other of their limits, chapters 3.1.2.11 and 3.2.2.3 of MQTT 5.0."""

from typing import Any

import pytest

from bollard.base.types import Action
from bollard.engine.limits import Limits
from bollard.wire.connect import Connack, Disconnect, Pingreq
from bollard.wire.properties import Properties

from .clauses import clause
from .conftest import Build
from .conversation import Broker
from .doors import METHOD, STRANGER, TOLD, Doorman, Rules, denying
from .memory import MemoryBroker
from .packets import V5, Message, connect, message, puback, pubrel, sub, subscribe, unsubscribe, will

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
def test_a_client_that_takes_no_aliases_gets_none(broker: Broker, options: dict[str, Any]) -> None:
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
    assert sorted(known) == [1, 2], "aliases save bytes, so they should be used"
    assert found == [(topic, topic.encode()) for topic in topics]


@pytest.mark.parametrize(("asked", "told"), [(None, None), (0, None), (1, "answers/everyone")])
@clause("MQTT5-3.1.2-28")
def test_response_information_is_returned_only_where_it_was_asked_for(
    asked: int | None, told: str | None
) -> None:
    broker = MemoryBroker(Limits(), Rules(), Doorman(), response_information="answers/${id}")
    answer = broker.client(V5).connect("a", request_response_information=asked)
    assert answer.properties.response_information == told


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


@clause("MQTT5-3.14.2-3", "MQTT5-3.1.2-24")
def test_a_reason_string_is_left_out_where_disconnect_would_be_too_large(broker: Broker) -> None:
    for size, told in ((None, True), (24, False)):
        a = broker.connected(V5, maximum_packet_size=size)
        a.publish("+", b"x")
        farewell = a.receive()
        assert isinstance(farewell, Disconnect)
        assert bool(farewell.properties.reason_string) is told
        a.expect_closed()


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
        answers = client.until_end()
        assert [answer[0] >> 4 for answer in answers] == [4, 5, 9, 11, 7, 14]
        assert max(len(answer) for answer in answers) <= limit


@clause("MQTT5-3.1.2-30")
@pytest.mark.parametrize(
    "sent", [Pingreq(), Message("a", b"x"), subscribe(1, sub("a"))], ids=["ping", "publish", "subscribe"]
)
def test_during_the_authentication_exchange_only_auth_is_in_place(broker: Broker, sent: Message) -> None:
    a = broker.client(V5)
    a.send(connect(V5, "a", authentication_method=METHOD))
    assert a.raw()[0] == 0xF0
    a.send(sent)
    a.expect_refused(0x82)


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

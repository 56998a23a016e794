"""The way of a PUBLISH, step by step."""

import pytest

from bollard.base.events import AccessDenied
from bollard.base.types import Action
from bollard.engine.limits import Limits
from bollard.wire.connect import Disconnect
from bollard.wire.publish import Ack
from bollard.wire.spec import PacketType, ReasonCode
from bollard.wire.subscribe import SubscribeFilter
from support.memory import House, publish, topics
from support.rights import Broken, Rights

PUBACK, PUBREC, PUBREL, PUBCOMP = (
    PacketType.PUBACK,
    PacketType.PUBREC,
    PacketType.PUBREL,
    PacketType.PUBCOMP,
)


def test_what_may_not_be_published_reaches_nobody(version: int) -> None:
    house = House(authorizer=Rights((None, Action.PUBLISH, "secret")))
    listener = house.connect(version=version)
    listener.subscribe("#", qos=2)
    device = house.connect(version=version)
    for qos in (0, 1, 2):
        device.publish("secret", qos=qos)
    assert listener.messages() == []
    assert house.broker.counters.denied_publish == 3
    assert not device.closed


def test_a_5_0_client_learns_that_it_was_denied() -> None:
    house = House(authorizer=Rights((None, Action.PUBLISH, None)))
    device = house.connect()
    device.publish("a", qos=1, packet_id=1)
    device.publish("a", qos=2, packet_id=2)
    denied = ReasonCode.NOT_AUTHORIZED
    assert device.acks() == [(PUBACK, 1, denied), (PUBREC, 2, denied)]


def test_a_denied_qos_2_message_of_3_1_1_takes_its_whole_way() -> None:
    house = House(authorizer=Rights((None, Action.PUBLISH, None)))
    device = house.connect(version=4)
    device.publish("a", qos=2, packet_id=2)
    device.ack(PUBREL, 2)
    assert device.acks() == [(PUBREC, 2, 0), (PUBCOMP, 2, 0)]


def test_the_right_is_asked_for_the_topic_behind_an_alias() -> None:
    house = House(authorizer=Rights((None, Action.PUBLISH, "secret")))
    listener = house.connect()
    listener.subscribe("#")
    device = house.connect()
    device.publish("secret", topic_alias=1)
    device.publish("", b"by alias", topic_alias=1)
    assert listener.messages() == []


def test_a_change_of_policy_is_felt_by_the_next_message(house: House, version: int) -> None:
    listener = house.connect(version=version)
    listener.subscribe("a")
    device = house.connect(version=version)
    device.publish("a")
    house.broker.set_authorizer(Rights((None, Action.PUBLISH, "a")), house.now)
    device.publish("a")
    house.broker.set_authorizer(Rights(), house.now)
    device.publish("a")
    assert len(listener.messages()) == 2


def test_the_policy_is_asked_once_for_each_topic_and_generation(version: int) -> None:
    rights = Rights()
    house = House(authorizer=rights)
    house.connect(version=version).subscribe("a")
    device = house.connect(version=version)
    device.publish("a")
    before = rights.asked
    for _ in range(100):
        device.publish("a")
    assert rights.asked == before


def test_an_authorizer_that_fails_denies(version: int) -> None:
    house = House(authorizer=Broken())
    device = house.connect(version=version)
    assert device.subscribe("a")[0] >= 0x80
    device.publish("a", qos=1)
    assert house.broker.counters.denied_publish == 1
    assert not device.closed


def test_a_retained_message_needs_a_right_of_its_own(version: int) -> None:
    house = House(authorizer=Rights((None, Action.RETAIN, "a")))
    device = house.connect(version=version)
    device.publish("a", retain=True)
    assert house.broker.core.retained.count == 0
    device.publish("a")
    device.publish("b", retain=True)
    assert house.broker.core.retained.count == 1


@pytest.mark.parametrize("topic", ["$SYS/broker/uptime", "$diag/plug/denied"])
def test_what_the_server_says_of_itself_is_nobody_elses_to_say(
    house: House, version: int, topic: str
) -> None:
    device = house.connect(version=version)
    device.publish(topic, qos=1, retain=True)
    assert house.broker.core.retained.count == 0
    house.broker.publish(topic, b"1", retain=True, now=house.now)
    assert house.broker.core.retained.count == 1


def test_nobody_gets_what_it_may_not_receive(version: int) -> None:
    house = House(authorizer=Rights(("spy", Action.RECEIVE, "secret")))
    spy = house.connect("s", version, principal="spy")
    spy.subscribe("#", qos=1)
    friend = house.connect("f", version, principal="friend")
    friend.subscribe("#", qos=1)
    device = house.connect(version=version)
    for topic in ("secret", "news"):
        device.publish(topic, qos=1)
    assert topics(spy.messages()) == ["news"]
    assert topics(friend.messages()) == ["secret", "news"]


def test_a_flood_of_denials_does_not_fill_the_log(version: int) -> None:
    house = House(authorizer=Rights((None, Action.PUBLISH, None)))
    device = house.connect(version=version)
    for _ in range(1000):
        device.publish("a")
    assert 16 <= len(house.told(AccessDenied)) <= 32


def test_a_message_is_delivered_once_at_the_highest_qos_with_all_identifiers(house: House) -> None:
    listener = house.connect()
    listener.subscribe("a", qos=0, identifier=3)
    listener.subscribe("+", qos=2, identifier=1)
    listener.subscribe("#", qos=1)
    house.connect().publish("a", qos=2)
    [message] = listener.messages()
    assert (message.qos, sorted(message.identifiers)) == (2, [1, 3])


def test_no_local_keeps_a_message_from_its_own_publisher(house: House) -> None:
    device, other = house.connect(), house.connect()
    for one in (device, other):
        one.subscribe(SubscribeFilter("a", no_local=True))
    device.publish("a")
    assert device.messages() == []
    assert len(other.messages()) == 1


def test_retain_stays_set_only_where_the_subscriber_asked_for_it(house: House) -> None:
    plain, keeping = house.connect(), house.connect()
    plain.subscribe("a")
    keeping.subscribe(SubscribeFilter("a", retain_as_published=True))
    house.connect().publish("a", retain=True)
    assert [plain.messages()[0].retain, keeping.messages()[0].retain] == [0, 1]


@pytest.mark.parametrize("sent", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_a_message_goes_out_at_the_lower_qos(house: House, version: int, sent: int, granted: int) -> None:
    listener = house.connect(version=version)
    listener.subscribe("a", qos=granted)
    house.connect(version=version).publish("a", qos=sent)
    assert [message.qos for message in listener.messages()] == [min(sent, granted)]


@pytest.mark.parametrize("source", [4, 5])
@pytest.mark.parametrize("target", [4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_crosses_from_any_version_to_any(source: int, target: int, qos: int) -> None:
    house = House()
    listener = house.connect(version=target)
    listener.subscribe("a/+", qos=2)
    options = {"content_type": "text", "user_properties": (("k", "v"),)} if source == 5 else {}
    house.connect(version=source).publish("a/b", b"payload", qos=qos, **options)
    [message] = listener.messages()
    assert (message.topic, message.payload, message.qos) == (b"a/b", b"payload", qos)
    if source == target == 5:
        assert message.properties().content_type == "text"
        assert message.properties().user_properties == (("k", "v"),)


def test_a_message_of_qos_2_is_delivered_once_however_often_it_is_sent(house: House, version: int) -> None:
    listener = house.connect(version=version)
    listener.subscribe("a", qos=2)
    device = house.connect(version=version)
    for dup in (False, True, True):
        device.publish("a", qos=2, packet_id=5, dup=dup)
    device.ack(PUBREL, 5)
    assert device.acks() == [(PUBREC, 5, 0)] * 3 + [(PUBCOMP, 5, 0)]
    assert len(listener.messages()) == 1


def test_after_pubrel_the_identifier_carries_a_new_message(house: House, version: int) -> None:
    listener = house.connect(version=version)
    listener.subscribe("a", qos=2)
    device = house.connect(version=version)
    for payload in (b"one", b"two"):
        device.publish("a", payload, qos=2, packet_id=5)
        device.ack(PUBREL, 5)
    assert listener.payloads() == [b"one", b"two"]


def test_a_qos_2_message_that_was_refused_may_be_sent_again_as_a_new_one() -> None:
    house = House(authorizer=Rights((None, Action.PUBLISH, "a")))
    listener = house.connect()
    listener.subscribe("#", qos=2)
    device = house.connect()
    device.publish("a", qos=2, packet_id=5)
    device.publish("b", qos=2, packet_id=5)
    assert topics(listener.messages()) == ["b"]


def test_a_qos_2_exchange_goes_on_after_a_reconnect(house: House, version: int) -> None:
    listener = house.connect(version=version)
    listener.subscribe("a", qos=2)
    device = house.connect("p", version, clean=False, expiry=100)
    device.publish("a", qos=2, packet_id=5)
    device.drop()
    device = house.connect("p", version, clean=False, expiry=100)
    device.publish("a", qos=2, packet_id=5, dup=True)
    device.ack(PUBREL, 5)
    assert device.acks() == [(PUBREC, 5, 0), (PUBCOMP, 5, 0)]
    assert len(listener.messages()) == 1


def test_pubrel_of_an_unknown_message_is_completed_with_not_found_in_5_0(house: House, version: int) -> None:
    device = house.connect(version=version)
    device.ack(PUBREL, 9)
    code = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND if version == 5 else 0
    assert device.acks() == [(PUBCOMP, 9, code)]


def test_a_5_0_publisher_learns_that_nobody_listens(house: House) -> None:
    device = house.connect()
    device.publish("a", qos=1, packet_id=1)
    device.publish("a", qos=2, packet_id=2)
    nobody = ReasonCode.NO_MATCHING_SUBSCRIBERS
    assert device.acks() == [(PUBACK, 1, nobody), (PUBREC, 2, nobody)]


@pytest.mark.parametrize("topic", ["a/+", "#", "a#", "a\0b"])
def test_a_wildcard_or_null_in_a_topic_name_ends_the_connection(
    house: House, version: int, topic: str
) -> None:
    device = house.connect(version=version)
    device.publish(topic)
    assert device.closed


def test_a_topic_that_is_not_utf_8_ends_the_connection(house: House, version: int) -> None:
    device = house.connect(version=version)
    device.send(b"\x30\x05\x00\x02\xc3\x28\x00" if version == 5 else b"\x30\x04\x00\x02\xc3\x28")
    assert device.closed


def test_a_subscription_identifier_from_a_client_is_a_protocol_error(house: House) -> None:
    device = house.connect()
    device.send(publish(5, "a", subscription_identifiers=(1,)))
    assert device.one(Disconnect).code == ReasonCode.PROTOCOL_ERROR


def test_more_qos_2_messages_at_once_than_receive_maximum_end_the_connection() -> None:
    house = House(Limits(receive_maximum=3))
    device = house.connect()
    for packet_id in (1, 2, 3):
        device.publish("a", qos=2, packet_id=packet_id)
    assert not device.closed
    device.publish("a", qos=2, packet_id=4)
    assert device.one(Disconnect).code == ReasonCode.RECEIVE_MAXIMUM_EXCEEDED


def test_a_completed_exchange_makes_room_within_receive_maximum() -> None:
    house = House(Limits(receive_maximum=1))
    device = house.connect()
    for packet_id in range(1, 10):
        device.publish("a", qos=2, packet_id=packet_id)
        device.ack(PUBREL, packet_id)
        device.publish("a", qos=1, packet_id=packet_id)
    assert not device.closed


def test_a_message_sent_again_is_within_receive_maximum() -> None:
    house = House(Limits(receive_maximum=1))
    device = house.connect()
    for _ in range(3):
        device.publish("a", qos=2, packet_id=1, dup=True)
    assert not device.closed


def test_the_servers_own_messages_need_no_right(version: int) -> None:
    house = House(authorizer=Rights((None, Action.PUBLISH, None)))
    listener = house.connect(version=version)
    listener.subscribe("$SYS/#", qos=1)
    house.broker.publish("$SYS/load", b"1", qos=1, now=house.now)
    house.settle()
    assert topics(listener.messages()) == ["$SYS/load"]


def test_messages_of_one_publisher_keep_their_order_for_each_qos(house: House, version: int) -> None:
    listener = house.connect(version=version)
    listener.subscribe("a", qos=2)
    listener.acknowledges = True
    device = house.connect(version=version)
    for number in range(300):
        qos = number % 3
        packet_id = device.publish("a", str(number).encode(), qos=qos)
        if qos == 2:
            device.ack(PUBREL, packet_id)
    found = [(message.qos, int(message.payload)) for message in listener.messages()]
    for qos in (0, 1, 2):
        assert [n for q, n in found if q == qos] == list(range(qos, 300, 3))


def test_routes_of_a_publisher_with_endless_topics_are_bounded(house: House, version: int) -> None:
    device = house.connect(version=version)
    for number in range(5000):
        device.feed(publish(version, f"t/{number}"))
    assert len(device.connection.routes) <= 1024


def test_an_ack_object_with_a_reason_is_understood(house: House) -> None:
    listener = house.connect()
    listener.subscribe("a", qos=1)
    house.connect().publish("a", qos=1)
    message = listener.messages()[0]
    listener.send(Ack(PUBACK, message.packet_id, ReasonCode.UNSPECIFIED_ERROR))
    session = house.session(listener.connection.client_id)
    assert session is not None
    assert session.inflight is not None
    assert session.inflight.count() == 0

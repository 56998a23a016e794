"""Each bound of `Limits` bites, says so, and leaves everyone else alone."""

from collections.abc import Callable
from dataclasses import fields

import pytest

from bollard.base.events import LimitReached
from bollard.engine.limits import Limits
from bollard.wire.codec import encode
from bollard.wire.connect import Connack, Connect, Disconnect, Pingresp, Will
from bollard.wire.properties import Properties
from bollard.wire.publish import Publish
from bollard.wire.spec import PacketType, ReasonCode
from support.memory import Device, House, connect, publish

#: What is agreed at CONNECT and so never reached: no event, but an agreement to show.
AGREED = {
    "keepalive_max_s",
    "session_expiry_max_s",
    "max_will_delay_s",
    "topic_alias_maximum",
    "maximum_qos",
    "retain_available",
    "max_inflight",
}


def reached(house: House) -> list[str]:
    return [event.limit for event in house.told(LimitReached)]


def offender(house: House, version: int = 5) -> Device:
    """The client that runs into the bound; its session is kept."""
    return house.connect("offender", version, principal="p", clean=False, expiry=1000)


def max_connect_bytes(house: House) -> None:
    house.open().send(encode(connect("c" * 200), 5))


def max_packet_bytes(house: House) -> None:
    device = offender(house)
    device.send(publish(5, "a", b"x" * 1000))
    assert device.one(Disconnect).code == ReasonCode.PACKET_TOO_LARGE


def connect_timeout_s(house: House) -> None:
    device = house.open()
    device.send(b"\x10")
    house.advance(6)
    assert device.closed


def max_outbox_bytes(house: House) -> None:
    device = offender(house)
    device.reading = False
    for _ in range(1000):
        device.ping()
    assert device.connection.closing


def receive_maximum(house: House) -> None:
    device = offender(house)
    for packet_id in range(1, 5):
        device.publish("a", qos=2, packet_id=packet_id)
    assert device.one(Disconnect).code == ReasonCode.RECEIVE_MAXIMUM_EXCEEDED


def max_sessions(house: House) -> None:
    for name in "ab":
        house.connect(name, principal="p", expiry=1000).drop()
    device = house.open()
    device.send(connect("c", principal="p"))
    assert device.one(Connack).code == ReasonCode.QUOTA_EXCEEDED
    house.connect("a", principal="p", clean=False)  # one that is there may come back


def max_subscriptions(house: House) -> None:
    device = offender(house)
    codes = device.subscribe("a", "b", "c")
    assert codes == (0, 0, ReasonCode.QUOTA_EXCEEDED)
    assert device.subscribe("a") == (0,)
    assert device.unsubscribe("a") == (0,)
    assert device.subscribe("c") == (0,)


def queued(house: House, *sizes: int) -> list[int]:
    """Messages of these sizes for the absent offender; those that were kept."""
    device = offender(house)
    device.subscribe("a", qos=1)
    device.drop()
    for size in sizes:
        house.connect().publish("a", b"x" * size, qos=1)
    device = offender(house)
    device.acknowledges = True
    return [len(message.payload) for message in device.messages()]


def max_queue_messages(house: House) -> None:
    assert queued(house, *range(10)) == [0, 1, 2, 3, 4]


def max_queue_bytes(house: House) -> None:
    assert queued(house, 500, 500, 500, 100) == [500, 100]


def max_retained_messages(house: House) -> None:
    device = offender(house)
    for topic in "abc":
        device.publish(topic, qos=1, retain=True)
    assert device.acks()[-1][2] == ReasonCode.QUOTA_EXCEEDED
    assert house.broker.core.retained.count == 2
    device.publish("a", b"new", qos=1, retain=True)
    assert device.acks()[-1][2] != ReasonCode.QUOTA_EXCEEDED


def max_retained_bytes(house: House) -> None:
    device = offender(house)
    device.publish("a", b"x" * 300, retain=True)
    device.publish("b", b"x" * 300, retain=True)
    assert house.broker.core.retained.count == 1
    assert house.broker.core.retained.bytes <= 500


def max_principal_subscriptions(house: House) -> None:
    device = offender(house)
    assert device.subscribe("a", "b") == (0, 0)
    second = house.connect("second", principal=device.connection.principal)
    assert device.subscribe("c") == (ReasonCode.QUOTA_EXCEEDED,)
    assert second.subscribe("a", "b") == (0, ReasonCode.QUOTA_EXCEEDED)


def max_principal_queue_bytes(house: House) -> None:
    device = offender(house)
    second = house.connect("second", principal=device.connection.principal)
    assert queued(house, 500, 500, 100) == [500, 100]
    assert not second.closed


def max_principal_retained(house: House) -> None:
    device = offender(house)
    for topic in "abc":
        device.publish(topic, qos=1, retain=True)
    assert device.acks()[-1][2] == ReasonCode.QUOTA_EXCEEDED
    other = house.connect("elsewhere", principal="elsewhere")
    other.publish("d", qos=1, retain=True)
    assert other.acks()[-1][2] != ReasonCode.QUOTA_EXCEEDED
    device.publish("a", b"", retain=True)
    device.publish("c", retain=True)
    assert house.broker.core.retained.count == 3


def max_principal_retained_bytes(house: House) -> None:
    device = offender(house)
    device.publish("a", b"x" * 300, retain=True)
    device.publish("b", b"x" * 300, retain=True)
    assert house.broker.core.retained.count == 1


def max_client_id_bytes(house: House) -> None:
    device = house.open()
    device.send(connect("c" * 21))
    assert device.one(Connack).code == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID


def max_topic_levels(house: House) -> None:
    device = offender(house)
    assert device.subscribe("a/b/c", "a/b/c/d", "$share/g/a/b/c") == (0, ReasonCode.TOPIC_FILTER_INVALID, 0)
    device.publish("a/b/c")
    assert not device.closed
    device.publish("a/b/c/d")
    assert device.one(Disconnect).code == ReasonCode.TOPIC_NAME_INVALID


def max_topic_bytes(house: House) -> None:
    device = offender(house)
    assert device.subscribe("a" * 20, "a" * 21) == (0, ReasonCode.TOPIC_FILTER_INVALID)
    device.publish("a" * 21)
    assert device.one(Disconnect).code == ReasonCode.TOPIC_NAME_INVALID


CASES: list[tuple[Callable[[House], None], dict[str, int]]] = [
    (max_connect_bytes, {"max_connect_bytes": 100}),
    (max_packet_bytes, {"max_packet_bytes": 500}),
    (connect_timeout_s, {"connect_timeout_s": 5}),
    (max_outbox_bytes, {"max_outbox_bytes": 1000}),
    (receive_maximum, {"receive_maximum": 3}),
    (max_sessions, {"max_sessions": 2}),
    (max_subscriptions, {"max_subscriptions": 2}),
    (max_queue_messages, {"max_queue_messages": 5}),
    (max_queue_bytes, {"max_queue_bytes": 1440}),
    (max_retained_messages, {"max_retained_messages": 2}),
    (max_retained_bytes, {"max_retained_bytes": 500}),
    (max_principal_subscriptions, {"max_principal_subscriptions": 3}),
    (max_principal_queue_bytes, {"max_principal_queue_bytes": 2880}),
    (max_principal_retained, {"max_principal_retained": 2}),
    (max_principal_retained_bytes, {"max_principal_retained_bytes": 500}),
    (max_client_id_bytes, {"max_client_id_bytes": 20}),
    (max_topic_levels, {"max_topic_levels": 3}),
    (max_topic_bytes, {"max_topic_bytes": 20}),
]


@pytest.mark.parametrize(("run", "limits"), CASES, ids=[run.__name__ for run, _ in CASES])
def test_a_bound_bites_says_so_and_leaves_others_alone(
    run: Callable[[House], None], limits: dict[str, int]
) -> None:
    house = House(Limits(**limits))
    other = house.connect("other", keepalive_s=3000)
    other.subscribe("other")
    run(house)
    assert set(reached(house)) == {run.__name__}
    house.broker.publish("other", b"alive", now=house.now)
    other.ping()
    found = other.take()
    assert [p.payload for p in found if isinstance(p, Publish)] == [b"alive"]
    assert isinstance(found[-1], Pingresp)


def test_every_bound_has_its_test() -> None:
    assert {run.__name__ for run, _ in CASES} | AGREED == {field.name for field in fields(Limits)}


def test_keep_alive_has_a_ceiling_that_the_client_is_told() -> None:
    house = House(Limits(keepalive_max_s=10))
    for asked in (0, 60):
        device = house.connect(keepalive_s=asked)
        assert device.connack is not None
        assert device.connack.properties.server_keep_alive == 10
    house.advance(16)
    assert device.closed


def test_the_session_expiry_has_a_ceiling(version: int) -> None:
    house = House(Limits(session_expiry_max_s=10))
    house.connect("c", version, clean=False, expiry=0xFFFFFFFF).drop()
    house.advance(9)
    assert house.session("c") is not None
    house.advance(1)
    assert house.session("c") is None


def test_disconnect_cannot_lift_the_session_expiry_over_its_ceiling() -> None:
    house = House(Limits(session_expiry_max_s=10))
    house.connect("c", expiry=5).leave(session_expiry_interval=1000)
    house.advance(10)
    assert house.session("c") is None


def test_the_will_delay_has_a_ceiling() -> None:
    house = House(Limits(max_will_delay_s=10))
    heir = house.connect(keepalive_s=3000)
    heir.subscribe("will")
    will = Will("will", b"gone", properties=Properties(will_delay_interval=10_000))
    house.connect(will=will, expiry=1000).drop()
    house.advance(10)
    assert heir.payloads() == [b"gone"]


def test_topic_aliases_are_bounded_in_both_directions() -> None:
    house = House(Limits(topic_alias_maximum=2))
    listener = house.connect(topic_alias_maximum=100)
    listener.subscribe("#")
    device = house.connect()
    for topic in "abc":
        device.publish(topic)
    assert [message.alias for message in listener.messages()] == [1, 2, 0]
    device.publish("a", topic_alias=3)
    assert device.one(Disconnect).code == ReasonCode.TOPIC_ALIAS_INVALID


def test_no_alias_is_used_towards_a_client_that_accepts_none(house: House) -> None:
    listener = house.connect()
    listener.subscribe("#")
    house.connect().publish("a")
    assert [message.alias for message in listener.messages()] == [0]


def test_a_qos_above_the_maximum_is_not_accepted_and_not_granted(version: int) -> None:
    house = House(Limits(maximum_qos=1))
    device = house.connect(version=version)
    assert device.subscribe("a", qos=2) == (1,)
    device.publish("a", qos=2)
    assert device.closed
    if version == 5:
        assert device.one(Disconnect).code == ReasonCode.QOS_NOT_SUPPORTED


def test_retain_is_not_accepted_where_it_is_not_offered(version: int) -> None:
    house = House(Limits(retain_available=False))
    device = house.connect(version=version)
    device.publish("a", retain=True)
    assert device.closed
    if version == 5:
        assert device.one(Disconnect).code == ReasonCode.RETAIN_NOT_SUPPORTED


def test_the_window_is_the_smaller_of_both_sides() -> None:
    house = House(Limits(max_inflight=3))
    for asked, expected in ((2, 2), (100, 3)):
        device = house.connect(receive_maximum=asked)
        device.subscribe("a", qos=1)
        for _ in range(10):
            house.connect().publish("a", qos=1)
        assert len(device.messages()) == expected
        device.leave()


def test_bytes_before_connack_are_bounded_while_the_question_is_open() -> None:
    house = House(Limits(max_connect_bytes=200))
    house.answers = False
    device = house.open()
    device.send(connect("c"))
    for _ in range(30):
        device.send(publish(5, "a", b"12345"))
    assert device.closed
    assert reached(house) == ["max_connect_bytes"]


def test_a_full_queue_is_reported_once_until_it_has_run_empty() -> None:
    house = House(Limits(max_queue_messages=1, max_inflight=1))
    device = offender(house)
    device.subscribe("a", qos=1)
    for round_ in (1, 2):
        for _ in range(5):
            house.connect().publish("a", qos=1)
        assert len(reached(house)) == round_
        for _ in range(2):
            device.ack(PacketType.PUBACK, device.messages()[0].packet_id)


def test_a_connect_larger_than_its_bound_is_refused_before_its_body() -> None:
    house = House(Limits(max_connect_bytes=100))
    device = house.open()
    device.send(b"\x10\xff\xff\xff\x7f")
    assert device.closed


def test_the_larger_bound_holds_once_the_client_is_known() -> None:
    house = House(Limits(max_connect_bytes=100, max_packet_bytes=5000))
    device = house.connect()
    device.publish("a", b"x" * 4000)
    assert not device.closed


def test_a_connect_packet_may_be_as_long_as_its_bound() -> None:
    data = encode(Connect(version=5, client_id="c"), 5)
    house = House(Limits(max_connect_bytes=len(data)))
    device = house.open()
    device.send(data)
    assert device.one(Connack).code == 0


def test_the_connections_of_one_principal_divide_their_output_among_them() -> None:
    few = Limits(max_outbox_bytes=4000, max_principal_queue_bytes=8000, max_packet_bytes=1000)
    house = House(few)
    bounds = [house.connect(f"c{n}", principal="many").connection.max_outbox_bytes for n in range(16)]
    assert bounds[:4] == [4000, 4000, 2666, 2000]
    assert bounds[8:] == [1000] * 8, "room for one packet"
    assert house.connect("c", principal="other").connection.max_outbox_bytes == 4000

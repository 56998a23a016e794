"""One peer that makes the broker remember: what it holds for a client is bounded in bytes, everywhere."""

import tracemalloc
from collections.abc import Callable

import pytest

from bollard.base.events import LimitReached
from bollard.engine.core import MAX_PLAN_BYTES, MAX_RIGHT_BYTES, PLAN_BYTES
from bollard.engine.limits import MIB, Limits
from bollard.engine.subscribe import FIRST_LEVELS, LEVELS_PER_SUBSCRIPTION
from bollard.session.connection import MAX_ROUTE_BYTES
from bollard.session.inflight import Inflight
from bollard.wire.spec import PacketType, ReasonCode
from support.memory import Device, House, publish

MESSAGE = b"x" * (512 * 1024)


def inflight_of(house: House, client_id: str) -> Inflight:
    session = house.session(client_id)
    assert session is not None
    return session.sending()


def reader(house: House, version: int, qos: int) -> Device:
    device = house.connect("reader", version, clean=False, expiry=1000)
    device.subscribe("a", qos=qos)
    return device


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [1, 2])
def test_a_client_that_reads_and_never_acknowledges_holds_bounded_memory(version: int, qos: int) -> None:
    house = House()
    reader(house, version, qos)
    author = house.connect("author")
    for _ in range(60):
        author.publish("a", MESSAGE, qos=qos)
    session = house.session("reader")
    assert session is not None
    held = [*inflight_of(house, "reader").sent.values(), *(session.queue or ())]
    assert sum(len(delivery.message.payload) for delivery in held) <= 16 * MIB


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [1, 2])
def test_the_window_opens_again_with_each_acknowledgement(version: int, qos: int) -> None:
    house = House(Limits(max_queue_bytes=2 * len(MESSAGE) + 1000, max_queue_messages=10))
    device = reader(house, version, qos)
    author = house.connect("author")
    for number in range(4):
        author.publish("a", MESSAGE + b"%d" % number, qos=qos)
    device.acknowledges = True
    sent = [packet for packet in device.packets if packet.qos]  # type: ignore[union-attr]
    assert len(sent) == 2
    for packet in sent:
        kind = PacketType.PUBACK if qos == 1 else PacketType.PUBREC
        device.ack(kind, packet.packet_id)  # type: ignore[union-attr]
    assert [payload[-1:] for payload in device.payloads()] == [b"0", b"1", b"2", b"3"]
    assert inflight_of(house, "reader").bytes == 0


def test_a_message_larger_than_the_window_goes_out_alone() -> None:
    house = House(Limits(max_queue_bytes=1000))
    device = reader(house, 5, 1)
    house.connect("author").publish("a", MESSAGE, qos=1)
    assert device.payloads() == [MESSAGE]


def test_what_was_sent_is_still_counted_after_the_client_came_back() -> None:
    house = House(Limits(max_queue_bytes=2 * len(MESSAGE) + 1000, max_queue_messages=10))
    device = reader(house, 5, 1)
    author = house.connect("author")
    author.publish("a", MESSAGE, qos=1)
    author.publish("a", MESSAGE, qos=1)
    device.drop()
    device = house.connect("reader", clean=False, expiry=1000)
    author.publish("a", MESSAGE, qos=1)
    assert len(device.payloads()) == 2
    assert inflight_of(house, "reader").bytes > 2 * len(MESSAGE)
    device.leave(session_expiry_interval=0)
    assert house.session("reader") is None


def test_routes_to_long_topics_are_forgotten() -> None:
    house = House()
    device = house.connect()
    for number in range(600):
        device.publish(f"{number:04}" + "t" * 4_000)
    assert sum(map(len, device.connection.routes)) <= MAX_ROUTE_BYTES
    assert len(device.connection.routes) > 1


def test_routes_are_weighed_with_the_plans_that_they_keep() -> None:
    house = House()
    for _ in range(20):
        house.connect().subscribe("#")
    device = house.connect()
    device.connection.route_bytes = MAX_ROUTE_BYTES - 10 * (20 * 8 + PLAN_BYTES)
    for number in range(30):
        device.publish(f"{number}")
    assert len(device.connection.routes) < 30


def test_plans_and_rights_of_endless_topics_are_forgotten() -> None:
    house = House()
    house.connect("reader").subscribe("#")
    device = house.connect()
    core = house.broker.core
    core.plan_bytes, core.right_bytes = MAX_PLAN_BYTES - 20_000, MAX_RIGHT_BYTES - 20_000
    for number in range(10):
        device.publish(f"{number}" + "t" * 4_000)
    assert len(core.plans) < 10
    assert len(core.rights) < 10
    assert core.plan_bytes < 50_000
    assert core.right_bytes < 50_000


def test_one_device_cannot_fill_the_retained_store_for_the_others() -> None:
    house = House(Limits(max_retained_messages=100, max_principal_retained=25))
    hostile = house.connect("hostile", principal="hostile")
    for number in range(100):
        hostile.publish(f"h/{number}", retain=True)
    healthy = house.connect("healthy", principal="healthy")
    healthy.publish("state", b"on", qos=1, retain=True)
    assert healthy.acks()[-1][2] != ReasonCode.QUOTA_EXCEEDED
    assert house.broker.core.retained.count == 26


def test_what_one_removes_of_another_counts_for_neither() -> None:
    house = House(Limits(max_principal_retained=2))
    one = house.connect("one", principal="one")
    two = house.connect("two", principal="two")
    for _ in range(5):
        one.publish("a", b"1", retain=True)
        two.publish("a", b"2", retain=True)
        two.publish("b", b"2", retain=True)
        one.publish("b", b"", retain=True)
    one.publish("c", b"1", qos=1, retain=True)
    one.publish("d", b"1", qos=1, retain=True)
    assert all(code != ReasonCode.QUOTA_EXCEEDED for _, _, code in one.acks())
    assert house.broker.core.retained.count == 3


def test_retained_messages_on_deep_topics_are_charged_for_their_levels() -> None:
    house = House(Limits(max_retained_messages=50))
    hostile = house.connect()
    for number in range(50):
        hostile.publish("/".join(f"{number}" for _ in range(32)), retain=True)
    assert house.broker.core.retained.nodes <= 1024 + 8 * 50


def test_filters_of_the_greatest_depth_are_charged_for_their_levels() -> None:
    house = House(Limits(max_principal_subscriptions=200, max_topic_levels=32))
    allowed = (FIRST_LEVELS + 200 * LEVELS_PER_SUBSCRIPTION) // 32
    hostile = house.connect("hostile")
    codes = [hostile.subscribe("/".join([str(number), *"x" * 31]))[0] for number in range(allowed + 10)]
    assert codes == [0] * allowed + [ReasonCode.QUOTA_EXCEEDED] * 10
    (event, *_) = [event for event in house.events if isinstance(event, LimitReached)]
    assert (event.limit, event.client_id) == ("max_principal_subscriptions", "hostile")
    assert house.connect("flat", principal="somebody-else").subscribe("a/b")[0] == 0


@pytest.mark.parametrize("version", [4, 5])
def test_what_waits_in_a_queue_weighs_what_the_queue_is_charged(version: int) -> None:
    house = House()
    house.connect("away", version, clean=False, expiry=1000).subscribe("a", qos=1)
    session = house.session("away")
    assert session is not None
    house.devices[-1].drop()
    author = house.connect("author", version)
    tracemalloc.start()
    try:
        for _ in range(20):
            author.publish("a", b"x" * 100_000, qos=1)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert session.waiting == 20
    assert held < 1.2 * session.queue_bytes


def silent_readers(house: House, count: int, **options: object) -> None:
    """Subscribers of "a" that read nothing."""
    for number in range(count):
        device = house.connect(f"reader{number}", **options)
        device.subscribe("a")
        device.reading = False


def held_after(house: House, send: Callable[[Device], None]) -> int:
    """The bytes that the broker holds more after an author has sent."""
    author = house.connect("author")
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        send(author)
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


LARGE = 300_000


def test_large_properties_are_held_once_for_all_receivers() -> None:
    house = House()
    silent_readers(house, 40)
    text = "p" * 60_000

    def send(author: Device) -> None:
        author.publish("a", b"", user_properties=(("k", text),) * (LARGE // len(text)))

    assert held_after(house, send) < 4 * LARGE


def test_a_large_payload_is_held_once_for_receivers_with_aliases_too() -> None:
    house = House(Limits(topic_alias_maximum=5))
    silent_readers(house, 40, topic_alias_maximum=5)
    assert held_after(house, lambda author: author.send(publish(5, "a", bytes(LARGE)))) < 4 * LARGE


def test_a_large_payload_is_held_once_for_all_shared_subscriptions() -> None:
    house = House()
    for number in range(40):
        device = house.connect(f"reader{number}")
        device.subscribe(f"$share/group{number}/a")
        device.reading = False
    assert held_after(house, lambda author: author.send(publish(5, "a", bytes(LARGE)))) < 4 * LARGE


def test_small_messages_are_not_copied_without_end_for_those_who_read_nothing() -> None:
    house = House()
    silent_readers(house, 10)
    count = 15_000

    def send(author: Device) -> None:
        for _ in range(count // 100):
            author.send(*[publish(5, "a", bytes(64))] * 100)

    assert held_after(house, send) < 10 * count * 64


def test_large_properties_are_paid_for_as_work() -> None:
    house = House()
    silent_readers(house, 30)
    author = house.connect("author")
    text = "p" * 60_000
    author.feed(publish(5, "a", b"", user_properties=(("k", text),) * 5))
    assert house.broker.core.spent > 30 * LARGE // 100

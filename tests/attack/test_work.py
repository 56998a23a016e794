"""One peer that makes the broker work, while everybody else waits: replays, floods of small packets."""

from bollard.engine.limits import Limits
from bollard.wire.connect import Pingresp
from bollard.wire.publish import encode_publish
from bollard.wire.subscribe import SubscribeFilter
from support.memory import Device, House, subscribe

PINGREQ = b"\xc0\x00"
#: A little more than what is acted on in one turn.
MANY = 3_500


def is_served(device: Device) -> bool:
    """Whether a ping is answered within one turn."""
    device.take()
    device.feed(PINGREQ)
    device.house._turn()
    return any(isinstance(packet, Pingresp) for packet in device.packets)


def full_store(house: House, count: int) -> Device:
    """`count` retained messages, and who wrote them."""
    author = house.connect("author")
    for number in range(count):
        author.publish(f"d/{number}/x", b"kept", retain=True)
    return author


def owes(house: House, device: Device) -> bool:
    return device.connection in house.broker.core.replays


def test_filters_that_look_at_the_whole_store_and_match_nothing_take_turns() -> None:
    house = House()
    full_store(house, 2_000)
    healthy = house.connect("healthy")
    hostile = house.connect("hostile")
    hostile.feed(subscribe(*(f"d/+/nothing/{number}" for number in range(50))))
    assert is_served(healthy)
    assert owes(house, hostile), "the whole store was searched fifty times in one turn"
    house.advance(1)
    assert not owes(house, hostile)


def test_filters_that_match_everything_and_deliver_nothing_take_turns() -> None:
    house = House()
    author = full_store(house, 2_000)
    healthy = house.connect("healthy")
    filters = ("d/#", "d/+/x", "d/+/+", "+/+/+", "#", "+/#")
    author.feed(subscribe(*(SubscribeFilter(filter, 0, True) for filter in filters)))
    assert is_served(healthy)
    assert owes(house, author)
    house.advance(1)
    assert not owes(house, author)
    assert author.messages() == []


def test_what_is_retained_comes_completely_although_it_takes_many_turns() -> None:
    house = House()
    full_store(house, 3_000)
    reader = house.connect("reader")
    reader.feed(subscribe("#"))
    house.advance(1)
    assert len(reader.messages()) == 3_000


def test_those_who_are_owed_retained_messages_share_the_turns() -> None:
    house = House()
    full_store(house, 2_000)
    readers = [house.connect() for _ in range(4)]
    for reader in readers:
        reader.feed(subscribe("d/+/x"))
    for _ in range(6):
        house._turn()
    shares = [len(reader.messages()) for reader in readers]
    assert min(shares) > 0, shares
    assert max(shares) < 2_000, shares


def test_a_read_full_of_tiny_packets_is_acted_on_in_slices() -> None:
    house = House()
    healthy = house.connect("healthy")
    hostile = house.connect("hostile")
    hostile.feed(PINGREQ * (3 * MANY))
    assert house.broker.busy_with(hostile.connection)
    assert house.broker.next_deadline() == house.now, "the rest must not wait for anything"
    assert is_served(healthy)
    assert house.broker.busy_with(hostile.connection)
    house.advance(1)
    assert not house.broker.busy_with(hostile.connection)
    assert len(hostile.take()) == 3 * MANY


def test_what_comes_while_a_connection_waits_for_its_turn_keeps_its_order() -> None:
    house = House()
    reader = house.connect("reader")
    reader.subscribe("a")
    hostile = house.connect("hostile")
    hostile.feed(PINGREQ * (2 * MANY))
    for number in range(5):
        hostile.feed(encode_publish(b"a", b"%d" % number, qos=0, version=5))
    assert reader.messages() == []
    house.settle()
    assert reader.payloads() == [b"0", b"1", b"2", b"3", b"4"]


def test_each_receiver_of_a_message_counts_as_work() -> None:
    house = House()
    for _ in range(100):
        house.connect().subscribe("a")
    hostile = house.connect("hostile")
    hostile.feed(encode_publish(b"a", b"", qos=0, version=5) * 20)
    assert house.broker.core.spent >= 20 * 100


def test_large_messages_count_as_more_work() -> None:
    house = House()
    for _ in range(10):
        house.connect().subscribe("a")
    hostile = house.connect("hostile")
    hostile.feed(encode_publish(b"a", b"x" * 64_000, qos=0, version=5))
    assert house.broker.core.spent >= 10 * 1_000


def test_members_of_a_shared_subscription_who_are_away_count_as_work() -> None:
    house = House(Limits(max_sessions=2_000))
    for number in range(300):
        member = house.connect(f"m{number}", expiry=1000)
        # Of QoS 0: none of them may keep what is published at QoS 1, so all are asked each time.
        member.subscribe("$share/g/a", qos=0)
        member.drop()
    hostile = house.connect("hostile")
    hostile.feed(encode_publish(b"a", b"", qos=1, packet_id=1, version=5) * 900)
    assert house.broker.busy_with(hostile.connection)


def test_a_connection_that_ends_amid_its_packets_is_forgotten() -> None:
    house = House()
    hostile = house.connect("hostile")
    hostile.feed(PINGREQ * (3 * MANY))
    hostile.drop()
    assert not house.broker.busy_with(hostile.connection)
    assert house.broker.next_deadline() > house.now


def worker(house: House, name: str) -> Device:
    device = house.connect(name, clean=False, expiry=1000)
    device.subscribe("$share/g/a", qos=1)
    return device


def test_absent_members_are_not_asked_while_somebody_is_there() -> None:
    house = House()
    here = worker(house, "here")
    for number in range(100):
        worker(house, f"away{number}").drop()
    author = house.connect("author")
    author.publish("a", b"0", qos=1)
    for number in range(1, 10):
        author.publish("a", b"%d" % number, qos=1)
        assert house.broker.core.spent < 100
    assert here.payloads() == [b"%d" % number for number in range(10)]


def test_a_member_that_comes_back_has_its_share_again() -> None:
    house = House()
    first, second = worker(house, "first"), worker(house, "second")
    author = house.connect("author")
    second.drop()
    author.publish("a", b"1", qos=1)
    author.publish("a", b"2", qos=1)
    assert first.payloads() == [b"1", b"2"]
    second = house.connect("second", clean=False, expiry=1000)
    author.publish("a", b"3", qos=1)
    author.publish("a", b"4", qos=1)
    assert len(first.payloads()) == len(second.payloads()) == 1


def test_work_waits_for_an_absent_member_when_all_are_away() -> None:
    house = House()
    worker(house, "only").drop()
    house.connect("author").publish("a", b"1", qos=1)
    assert house.connect("only", clean=False, expiry=1000).payloads() == [b"1"]


def test_sessions_that_end_in_the_same_second_end_in_turns() -> None:
    house = House(Limits(max_subscriptions=1_000))
    for number in range(12):
        device = house.connect(f"s{number}", expiry=10)
        device.subscribe(*(f"{number}/{each}" for each in range(500)))
        device.drop()
    healthy = house.connect("healthy")
    house.now += 11
    house.broker.tick(house.now)
    left = sum(1 for session in house.broker.sessions() if session.client_id != "healthy")
    assert 0 < left < 12
    assert house.broker.next_deadline() <= house.now
    assert is_served(healthy)
    house.advance(0.1)
    assert [session.client_id for session in house.broker.sessions()] == ["healthy"]


def test_subscribing_and_unsubscribing_without_end_costs_the_others_no_new_plans() -> None:
    house = House()
    reader, author, hostile = house.connect("reader"), house.connect("author"), house.connect("hostile")
    reader.subscribe("plant/#")
    author.publish("plant/line/1", b"x")
    plan = house.broker.core.plans["plant/line/1"]
    for number in range(50):
        hostile.subscribe(f"devices/hostile/{number}/+")
        hostile.unsubscribe(f"devices/hostile/{number}/+")
        author.publish("plant/line/1", b"x")
    assert house.broker.core.plans["plant/line/1"] is plan
    assert plan.generation == house.broker.core.tree.generation
    assert len(reader.messages()) == 51


def test_a_search_of_the_tree_that_finds_nothing_counts_as_work() -> None:
    house = House()
    healthy, hostile = house.connect("healthy"), house.connect("hostile")
    for wildcards in range(512):
        levels = ["+" if wildcards >> bit & 1 else "x" for bit in range(9)]
        hostile.subscribe("/".join([*levels, "nothing"]))
    topics = (f"x/x/x/x/x/x/x/x/x/{number}" for number in range(200))
    hostile.feed(b"".join(encode_publish(topic.encode(), b"", qos=0, version=5) for topic in topics))
    assert house.broker.busy_with(hostile.connection), (
        "two hundred thousand levels were looked at in one turn"
    )
    assert is_served(healthy)
    house.advance(1)
    assert not house.broker.busy_with(hostile.connection)

"""SUBSCRIBE and UNSUBSCRIBE, and the retained messages that follow."""

import sys

import pytest

from bollard.base.events import AccessDenied
from bollard.base.types import Action
from bollard.engine.subscribe import REPLAY_BYTES
from bollard.session.message import Message
from bollard.wire.connect import Disconnect
from bollard.wire.publish import Publish
from bollard.wire.spec import PacketType, ReasonCode
from bollard.wire.subscribe import Suback, SubscribeFilter, Unsubscribe
from support.memory import House, publish, subscribe, topics
from support.rights import Rights


def retained(house: House, *names: str, qos: int = 0) -> None:
    device = house.connect()
    for name in names:
        device.publish(name, name.encode(), qos=qos, retain=True)
    device.leave()


def many(house: House, count: int, payload: bytes = b"x" * 20, qos: int = 1) -> None:
    """Puts retained messages into the store directly: what is tested is how they come out."""
    for number in range(count):
        name = f"many/{number}"
        house.broker.core.retained.put(Message(name, name.encode(), payload, qos, 1, "", "", b"", 0.0))


def test_each_filter_has_its_own_answer(version: int) -> None:
    house = House(authorizer=Rights((None, Action.SUBSCRIBE, "no")))
    device = house.connect(version=version)
    denied = ReasonCode.NOT_AUTHORIZED if version == 5 else 0x80
    codes = device.subscribe(SubscribeFilter("a", 0), SubscribeFilter("no", 1), SubscribeFilter("b", 2))
    assert codes == (0, denied, 2)
    assert [event.topic for event in house.told(AccessDenied)] == ["no"]


def test_the_right_to_a_shared_filter_is_that_to_the_filter_in_it() -> None:
    house = House(authorizer=Rights((None, Action.SUBSCRIBE, "no")))
    assert house.connect().subscribe("$share/g/no", "$share/g/yes") == (ReasonCode.NOT_AUTHORIZED, 0)


def test_a_group_is_joined_only_by_who_has_the_right_to_it(version: int) -> None:
    house = House(authorizer=Rights(("spy", Action.SHARE, "g")))
    spy, worker = house.connect("s", version, principal="spy"), house.connect("w", version, principal="w")
    denied = ReasonCode.NOT_AUTHORIZED if version == 5 else 0x80
    assert spy.subscribe("$share/g/a", "$share/h/a", "a") == (denied, 0, 0)
    assert worker.subscribe("$share/g/a") == (0,)
    assert [event.topic for event in house.told(AccessDenied)] == ["$share/g/a"]


def test_a_malformed_filter_changes_nothing_and_ends_the_connection(house: House, version: int) -> None:
    device = house.connect("k", version, clean=False, expiry=100)
    device.send(subscribe("good", "bad#"))
    assert device.closed
    session = house.session("k")
    assert session is not None
    assert session.subscriptions == {}
    assert house.broker.core.tree.count == 0


def test_a_subscription_replaces_the_one_with_its_filter(house: House, version: int) -> None:
    device = house.connect(version=version)
    device.subscribe("a", qos=0)
    device.subscribe("a", qos=2)
    house.connect().publish("a", qos=2)
    assert [message.qos for message in device.messages()] == [2]


def test_unsubscribe_answers_each_filter_and_stops_the_messages(house: House, version: int) -> None:
    device = house.connect(version=version)
    device.subscribe("a", "b")
    codes = device.unsubscribe("a", "c")
    assert codes == ((0, ReasonCode.NO_SUBSCRIPTION_EXISTED) if version == 5 else ())
    publisher = house.connect()
    publisher.publish("a")
    publisher.publish("b")
    assert topics(device.messages()) == ["b"]


def test_unsubscribing_ends_the_replay_of_retained_messages(house: House, version: int) -> None:
    many(house, 2000, b"x" * 100)
    device = house.connect(version=version)
    device.reading = False
    device.feed(subscribe("#"))
    house.settle()
    device.feed(Unsubscribe(2, ("#",)))
    house.settle()
    device.read_again()
    assert 0 < len(device.messages()) < 1000
    assert house.broker.core.replays == {}


def test_what_was_sent_before_unsubscribe_is_finished(house: House) -> None:
    device = house.connect()
    device.subscribe("a", qos=1)
    house.connect().publish("a", qos=1)
    device.unsubscribe("a")
    [message] = device.messages()
    device.ack(PacketType.PUBACK, message.packet_id)
    assert not device.closed


def test_retained_messages_follow_a_subscription_with_retain_set(house: House, version: int) -> None:
    retained(house, "a/1", "a/2", "b")
    device = house.connect(version=version)
    device.subscribe("a/+", qos=1, identifier=7 if version == 5 else 0)
    found = device.messages()
    assert sorted(topics(found)) == ["a/1", "a/2"]
    assert all(m.retain and m.qos == 0 and m.identifiers == ((7,) if version == 5 else ()) for m in found)


def test_retain_handling_says_when_retained_messages_are_sent(house: House) -> None:
    retained(house, "a")
    device = house.connect()
    counts = []
    for handling in (2, 1, 1, 0, 0, 2):
        device.subscribe(SubscribeFilter("a", retain_handling=handling))
        counts.append(len(device.messages()))
        if handling == 2:
            device.unsubscribe("a")
    assert counts == [0, 1, 0, 1, 1, 0]


def test_shared_subscriptions_get_no_retained_messages(house: House) -> None:
    retained(house, "a")
    device = house.connect()
    device.subscribe("$share/g/a")
    assert device.messages() == []


def test_an_empty_retained_message_removes_and_is_not_kept(house: House, version: int) -> None:
    retained(house, "a")
    house.connect(version=version).publish("a", b"", retain=True)
    device = house.connect(version=version)
    device.subscribe("a")
    assert device.messages() == []
    assert house.broker.core.retained.count == 0


def test_a_retained_message_expires(house: House, version: int) -> None:
    house.connect().publish("a", retain=True, message_expiry_interval=10)
    house.advance(4)
    device = house.connect(version=version)
    device.subscribe("a")
    [message] = device.messages()
    if version == 5:
        assert message.expiry == 6
    house.advance(6)
    assert house.broker.core.retained.count == 0


@pytest.mark.parametrize("right", [Action.PUBLISH, Action.RETAIN])
def test_a_retained_message_is_withheld_when_its_author_lost_the_right(house: House, right: Action) -> None:
    house.connect("w", principal="writer").publish("a", retain=True)
    house.broker.set_authorizer(Rights(("writer", right, "a")), house.now)
    device = house.connect()
    device.subscribe("a")
    assert device.messages() == []


def test_a_retained_message_is_withheld_from_who_may_not_receive_it() -> None:
    house = House(authorizer=Rights(("spy", Action.RECEIVE, "secret")))
    retained(house, "secret", "news")
    device = house.connect(principal="spy")
    device.subscribe("#")
    assert topics(device.messages()) == ["news"]


def test_no_local_holds_for_retained_messages(house: House) -> None:
    device = house.connect()
    device.publish("a", retain=True)
    device.subscribe(SubscribeFilter("a", no_local=True))
    assert device.messages() == []


@pytest.mark.slow
def test_a_hundred_thousand_retained_messages_come_in_portions(house: House, version: int) -> None:
    many(house, 100_000)
    device = house.connect(version=version)
    other = house.connect(version=version)
    other.subscribe("live")
    device.acknowledges = True
    device.feed(subscribe("many/#", qos=1))
    largest = 0
    received = 0
    while turn := house.broker.drain():
        largest = max(largest, device.connection.size)
        for connection in turn:
            connection.owner._flush()
        received += len([packet for packet in device.take() if isinstance(packet, Publish)])
    assert received == 100_000
    assert largest < 2 * REPLAY_BYTES
    assert house.broker.core.replays == {}


def test_a_slow_reader_of_retained_messages_costs_only_itself(house: House, version: int) -> None:
    many(house, 20_000)
    slow, other = house.connect(version=version), house.connect(version=version)
    other.subscribe("live")
    slow.reading = False
    slow.feed(subscribe("#", qos=1))
    house.settle()
    waiting = slow.connection.size
    assert waiting < 2 * REPLAY_BYTES
    assert house.broker.next_deadline() > house.now
    house.connect().publish("live", b"now")
    assert other.payloads() == [b"now"]
    slow.reading = True
    slow.acknowledges = True
    slow.read_again()
    assert len(slow.messages()) >= 20_000


def test_asking_again_and_again_for_everything_piles_nothing_up(house: House, version: int) -> None:
    many(house, 1000)
    device = house.connect(version=version)
    device.reading = False
    for number in range(300):
        device.feed(subscribe("#", "many/#", qos=1, packet_id=number + 1))
    house.settle()
    assert sum(len(pending) for pending in house.broker.core.replays.values()) <= 2


def test_what_is_retained_during_a_replay_is_not_delivered_twice(house: House) -> None:
    many(house, 3000, b"x" * 100)
    device = house.connect()
    device.reading = False
    device.feed(subscribe("#", qos=1))
    house.settle()
    house.connect().publish("many/1", b"new", qos=1, retain=True)
    house.connect().publish("fresh", b"new", qos=1, retain=True)
    device.acknowledges = True
    device.read_again()
    found = device.messages()
    assert topics(found).count("fresh") == 1
    assert [m.payload for m in found if m.topic == b"many/1"] in ([b"new"], [b"x" * 100, b"new"])


def test_where_nothing_is_retained_nothing_is_owed(house: House, version: int) -> None:
    retained(house, "a/1")
    device = house.connect(version=version)
    device.feed(subscribe("a/2", "b/#", "a/1/+/x", "+/y/#"))
    [pending] = house.broker.core.replays.values()
    assert [replay.subscription.filter for replay in pending] == ["+/y/#"]


def test_only_the_first_in_turn_has_a_place_in_the_store(house: House, version: int) -> None:
    many(house, 3000, b"x" * 100)
    device = house.connect(version=version)
    device.reading = False
    device.feed(subscribe("many/#", "#", "+/1"))
    house.settle()
    [pending] = house.broker.core.replays.values()
    assert [(replay.subscription.filter, replay.messages is None) for replay in pending] == [
        ("many/#", False),
        ("#", True),
        ("+/1", True),
    ]


def test_a_replay_that_waits_for_its_turn_holds_what_was_retained_when_it_was_asked_for(house: House) -> None:
    many(house, 600)
    device = house.connect()
    device.reading = False
    device.feed(subscribe("many/+/x", "many/#", "late/#", "#"))
    house.connect().publish("late/1", b"new", retain=True)
    device.read_again()
    found = topics(device.messages())
    # As a live message, and not once more as what is retained.
    assert found.count("late/1") == 1
    assert found.count("many/1") == 2


def test_after_unsubscribing_from_everything_the_session_weighs_what_it_did(house: House) -> None:
    device = house.connect("k")
    session = house.session("k")
    assert session is not None
    before = sys.getsizeof(session.subscriptions)
    filters = [f"f/{number}" for number in range(100)]
    device.subscribe(*filters)
    assert sys.getsizeof(session.subscriptions) > before
    device.unsubscribe(*filters)
    assert sys.getsizeof(session.subscriptions) <= before


def test_a_replay_ends_with_its_connection(house: House, version: int) -> None:
    many(house, 3000, b"x" * 100)
    device = house.connect(version=version)
    device.reading = False
    device.feed(subscribe("#"))
    device.drop()
    assert house.broker.core.replays == {}


def test_a_suback_that_is_too_large_for_the_client_ends_the_connection(house: House) -> None:
    device = house.connect(maximum_packet_size=40)
    device.send(subscribe(*(f"f/{number}" for number in range(60))))
    assert device.one(Disconnect).code == ReasonCode.PACKET_TOO_LARGE
    assert not [packet for packet in device.take() if isinstance(packet, Suback)]


def test_dollar_topics_match_only_filters_that_name_them(house: House, version: int) -> None:
    house.broker.publish("$SYS/a", b"1", retain=True, now=house.now)
    device = house.connect(version=version)
    device.subscribe("#", "+/a")
    assert device.messages() == []
    device.subscribe("$SYS/#")
    assert topics(device.messages()) == ["$SYS/a"]


def test_a_subscription_outlives_a_policy_that_forbids_it_but_delivers_nothing(house: House) -> None:
    device = house.connect("k", clean=False, expiry=100)
    device.subscribe("a")
    house.broker.set_authorizer(Rights((None, Action.RECEIVE, None)), house.now)
    house.connect().send(publish(5, "a"))
    assert device.messages() == []

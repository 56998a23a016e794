"""One subscriber that is away for a flood of messages costs no more than its bounds, in memory and on disk."""

from bollard.engine.limits import Limits
from bollard.session.session import Session
from crash.world import Publisher, Subscriber, World

FLOOD = 3000
BOUND = 100


def test_a_subscriber_that_stays_away_costs_its_bounds_and_others_get_everything() -> None:
    world = World(Limits(max_queue_messages=BOUND))
    away = Subscriber(world, "away", 5, "t/#", 1)
    there = Subscriber(world, "there", 5, "t/#", 1)
    world.settle()
    away.drop()
    world.clients.remove(away)
    publisher = Publisher(world, "p", 5, "t/a", 1, FLOOD)
    publisher.window = 50
    world.settle()
    assert len(publisher.acknowledged) == FLOOD
    assert [number for _, number in there.got] == list(range(1, FLOOD + 1))
    session = world.broker.core.find("someone", "away")
    assert isinstance(session, Session)
    assert session.waiting == BOUND
    assert world.store.count("deliveries") == world.store.count("messages") == BOUND
    assert world.broker.core.counters.publish_dropped == FLOOD - BOUND
    world.crash()
    world.clients.append(away)
    world.settle()
    assert [number for _, number in away.got] == list(range(1, BOUND + 1))
    assert world.store.count("deliveries") == world.store.count("messages") == 0


def test_the_bound_in_bytes_holds_too() -> None:
    world = World(Limits(max_queue_bytes=10_000))
    away = Subscriber(world, "away", 4, "t/#", 2)
    world.settle()
    away.drop()
    world.clients.remove(away)
    publisher = Publisher(world, "p", 4, "t/a", 2, 500)
    world.settle()
    assert len(publisher.acknowledged) == 500
    session = world.broker.core.find("someone", "away")
    assert isinstance(session, Session)
    assert 0 < session.queue_bytes <= 10_000


def test_retained_messages_are_bounded_through_a_restart() -> None:
    world = World(Limits(max_retained_messages=5))
    publishers = [Publisher(world, f"p{number}", 5, f"r/{number}", 1, 3, retain=True) for number in range(10)]
    world.settle()
    assert sum(bool(publisher.refused) for publisher in publishers) == 5
    assert world.store.count("retained") == world.store.count("messages") == 5
    world.crash()
    assert world.broker.core.retained.count == 5

"""Kill the broker between any two steps of a conversation and of its journal; every promise must hold."""

import pytest

from crash.world import Publisher, Subscriber, World, chance, check

ACTIONS = 120


def cast(world: World, version: int) -> tuple[list[Publisher], list[Subscriber]]:
    """Two publishers and three subscribers with kept sessions, subscribed before anything is said."""
    subscribers = [Subscriber(world, f"s{qos}", version, "t/#", qos) for qos in (1, 2)]
    subscribers.append(Subscriber(world, "late", version, "t/#", 2))
    world.settle()
    publishers = [Publisher(world, f"p{qos}", version, f"t/{qos}", qos, 12) for qos in (1, 2)]
    return publishers, subscribers


def play(seed: int, version: int, crash_at: int) -> World:
    """The play of `seed`, with the power going at action `crash_at`; everyone comes back and finishes."""
    world = World(few_rows=(seed + version) % 2 * 16)
    dice = chance(seed)
    publishers, subscribers = cast(world, version)
    if dice.random() < 0.5:
        subscribers[-1].drop()
    for action in range(ACTIONS):
        if action == crash_at:
            world.crash()
        act(world, dice)
    world.settle()
    check(publishers, subscribers, since={"t/1": 1, "t/2": 1})
    for publisher in publishers:
        assert sorted({*publisher.acknowledged, *publisher.refused}) == list(range(1, 13))
    return world


def act(world: World, dice: object) -> None:
    """One small step of anybody: a client, the journal, the network."""
    roll = dice.random()  # type: ignore[attr-defined]
    if roll < 0.72:
        dice.choice(world.clients).step()  # type: ignore[attr-defined]
    elif roll < 0.80:
        world.take()
    elif roll < 0.88:
        world.write()
    elif roll < 0.96:
        world.commit()
    elif roll < 0.97:
        world.refuse()
    elif roll < 0.98:
        world.sort_in()
    else:
        dice.choice(world.clients).drop()  # type: ignore[attr-defined]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("seed", range(6))
def test_no_promise_is_broken_by_a_crash_at_any_step(seed: int, version: int) -> None:
    for crash_at in range(seed % 3, ACTIONS, 3):
        play(seed, version, crash_at)


@pytest.mark.parametrize("version", [4, 5])
def test_no_promise_is_broken_by_crash_after_crash(version: int) -> None:
    for seed in range(100, 115):
        world = World(few_rows=0)
        dice = chance(seed)
        publishers, subscribers = cast(world, version)
        for _ in range(400):
            act(world, dice)
            if dice.random() < 0.04:
                world.crash()
        world.settle()
        assert world.crashes
        check(publishers, subscribers, since={"t/1": 1, "t/2": 1})


def test_the_disk_is_empty_when_everything_is_done() -> None:
    world = play(1, 5, 60)
    left = {table: world.store.count(table) for table in ("messages", "deliveries", "received")}
    assert left == {"messages": 0, "deliveries": 0, "received": 0}

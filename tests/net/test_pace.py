"""Delays that grow, buckets and rates: arithmetic on made-up seconds."""

import gc

import pytest

from bollard.net import pace
from bollard.net.pace import Bucket, Delays, Link, Memory, Rate, Remembered, Ring


def test_the_first_ones_are_free_and_then_each_delay_is_twice_the_one_before() -> None:
    delays = Delays(free=2, max_s=60, forgive_s=1000)
    now = 0.0
    seen = []
    for _ in range(10):
        seen.append(delays.note("k", now))
        now += delays.wait_s("k", now)
    assert seen == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]


def test_a_delay_runs_out_and_is_of_one_key_alone() -> None:
    delays = Delays(free=0, max_s=60, forgive_s=1000)
    delays.note("k", 10)
    assert [delays.wait_s("k", now) for now in (10, 10.5, 11, 12)] == [1, 0.5, 0, 0]
    assert delays.wait_s("other", 10) == 0


def test_one_is_forgiven_at_a_time_and_only_after_the_delay() -> None:
    delays = Delays(free=1, max_s=8, forgive_s=100)
    now = 0.0
    for _ in range(4):  # 0, 1, 2, 4
        delays.note("k", now)
        now += delays.wait_s("k", now)
    assert delays.note("k", now) == 8
    now += 8
    assert delays.note("k", now + 300) == 2, "three of five were forgiven in 300 s, so the next is the third"


def test_forgiveness_is_not_put_off_for_ever() -> None:
    delays = Delays(free=1, max_s=1, forgive_s=1)
    for second in range(10_000):
        delays.note("k", second / 1000)
    assert delays.note("k", 100) == 0


def test_the_moment_that_passes_between_two_forgives_nothing() -> None:
    delays = Delays(free=2, max_s=60, forgive_s=1000)
    assert [delays.note("k", 1 + number / 1000) for number in range(3)] == [0, 0, 1]


def test_what_is_forgotten_starts_again() -> None:
    delays = Delays(free=1, max_s=8, forgive_s=100)
    assert [delays.note("k", 0), delays.note("k", 0)] == [0, 1]
    assert not delays.is_free("k")
    delays.forget("k")
    assert delays.is_free("k")
    assert delays.note("k", 0) == 0


def test_endless_keys_take_bounded_memory_and_the_silent_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "MAX_KEYS", 3)
    delays, rate = Delays(free=0, max_s=60, forgive_s=1), Rate(1, 1)
    for key in ("a", "b", "a", "c", "d"):
        delays.note(key, 0)
        rate.take(key, 0)
    assert len(delays) == len(rate) == 3
    assert delays.wait_s("b", 0) == 0
    assert delays.wait_s("a", 0) > 0


def test_a_bucket_lets_a_burst_through_and_then_as_much_as_flows_in() -> None:
    bucket = Bucket()
    assert bucket.take(100, rate=10, burst_s=10, now=50) == 0
    assert bucket.take(5, rate=10, burst_s=10, now=50) == 0.5
    assert bucket.take(5, rate=10, burst_s=10, now=51) == 0
    assert bucket.take(100, rate=10, burst_s=10, now=1000) == 0


def test_a_rate_refuses_without_taking() -> None:
    rate = Rate(per_s=2, burst=2)
    assert [rate.take("k", 0) for _ in range(4)] == [True, True, False, False]
    assert [rate.take("k", 0.5), rate.take("k", 0.5)] == [True, False]
    assert rate.take("other", 0)


def test_what_is_remembered_goes_when_it_was_silent_for_longest() -> None:
    memory = Memory(2)
    first, second, third = (Remembered(key) for key in "abc")
    memory.put(first)
    memory.put(second)
    memory.touch(first)
    memory.put(third)
    assert [memory.get(key) for key in "abc"] == [first, None, third]
    memory.forget("a")
    memory.forget("a")
    assert [memory.get("a"), len(memory)] == [None, 1]


def test_a_ring_keeps_the_order_and_lets_each_go_from_where_it_stands() -> None:
    ring, links = Ring(), [Link() for _ in range(4)]
    assert ring.first() is None
    for link in links:
        ring.put(link)
    ring.take(links[1])
    ring.take(links[1])
    ring.last(links[0])
    assert list(ring) == [links[2], links[3], links[0]]
    assert (ring.first(), ring.count) == (links[2], 3)


def test_what_is_forgotten_needs_no_search_for_cycles() -> None:
    delays = Delays(free=1, max_s=8, forgive_s=100)
    gc.disable()
    try:
        before = len(gc.get_objects())
        for number in range(1000):
            delays.note(number, 0)
            delays.forget(number)
        assert len(gc.get_objects()) < before + 100
    finally:
        gc.enable()

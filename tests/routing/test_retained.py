"""The retained store: one message a topic, found by filter, bounded."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.routing import retained
from bollard.routing.retained import RetainedStore
from support.topics import filters, naive_match, names


@dataclass(frozen=True)
class Kept:
    name: str
    size: int = 1
    author: str = ""


def store(*topics: str) -> RetainedStore[Kept]:
    made: RetainedStore[Kept] = RetainedStore(1000, 10_000)
    for topic in topics:
        made.put(Kept(topic))
    return made


def matched(kept: RetainedStore[Kept], filter: str) -> list[str]:
    return sorted(message.name for message in kept.match(filter))


@given(st.sets(names), filters)
def test_a_filter_finds_exactly_the_topics_that_it_matches(topics: set[str], filter: str) -> None:
    kept = store(*topics)
    assert matched(kept, filter) == sorted(topic for topic in topics if naive_match(filter, topic))


@given(st.sets(names), filters)
def test_nothing_is_found_where_nothing_may_match(topics: set[str], filter: str) -> None:
    kept = store(*topics)
    if not {"+", "#"} & set(filter.split("/")):
        assert kept.may_match(filter) == (filter in topics)
    elif not kept.may_match(filter):
        assert matched(kept, filter) == []


def test_wildcards_may_match_only_below_levels_that_are_there() -> None:
    kept = store("a/b/c")
    assert [kept.may_match(filter) for filter in ("a/+/x", "a/#", "#", "a/b/c/#")] == [True] * 4
    assert [kept.may_match(filter) for filter in ("b/#", "a/c/+", "a/b/c/+/x", "a/b")] == [False] * 4
    kept.remove("a/b/c")
    assert not kept.may_match("#")


@given(st.lists(st.tuples(st.booleans(), names, st.integers(0, 5))))
def test_count_and_bytes_are_those_of_what_is_kept(steps: list[tuple[bool, str, int]]) -> None:
    kept = store()
    expected: dict[str, int] = {}
    for put, topic, size in steps:
        if put:
            kept.put(Kept(topic, size))
            expected[topic] = size
        else:
            removed = kept.remove(topic)
            assert (removed is not None) == (topic in expected)
            expected.pop(topic, None)
    assert (kept.count, kept.bytes) == (len(expected), sum(expected.values()))
    assert {message.name: message.size for message in kept} == expected
    for topic in list(expected):
        kept.remove(topic)
    assert kept._root.children is None


def test_a_level_that_is_gone_hides_none_of_those_beside_it() -> None:
    topics = [f"t{number}" for number in range(2 * retained.MANY_NODES)]
    kept = store(*topics)
    for topic in topics[: retained.MANY_NODES - 1]:
        kept.remove(topic)
    assert {message.name for message in kept} == set(topics[retained.MANY_NODES - 1 :])


def test_removal_leaves_no_level_behind() -> None:
    kept = store("a/b/c", "a/b")
    kept.remove("a/b/c")
    assert matched(kept, "#") == ["a/b"]
    kept.remove("a/b")
    assert kept._root.children is None


def test_a_level_is_not_a_topic_of_its_own() -> None:
    kept = store("a/b")
    assert kept.get("a") is None
    assert kept.remove("a") is None
    assert kept.get("a/b") == Kept("a/b")


def test_too_many_messages_do_not_fit_but_a_replacement_does() -> None:
    kept: RetainedStore[Kept] = RetainedStore(2, 100)
    kept.put(Kept("a"))
    kept.put(Kept("b"))
    assert not kept.fits(Kept("c"))
    assert kept.fits(Kept("a"))


def test_too_many_bytes_do_not_fit_and_the_one_replaced_is_not_counted() -> None:
    kept: RetainedStore[Kept] = RetainedStore(100, 10)
    kept.put(Kept("a", 6))
    assert not kept.fits(Kept("b", 5))
    assert kept.fits(Kept("b", 4))
    assert kept.fits(Kept("a", 10))
    assert not kept.fits(Kept("a", 11))


@pytest.fixture(params=[1, 2, 512], autouse=True, scope="module")
def page(request: pytest.FixtureRequest) -> Iterator[None]:
    """Everything with small pages too, and with lists of few levels."""
    usual = retained.PAGE_NODES, retained.MANY_NODES
    retained.PAGE_NODES = retained.MANY_NODES = request.param
    yield
    retained.PAGE_NODES, retained.MANY_NODES = usual


@given(filters, st.lists(names, min_size=1, unique=True), st.data())
def test_the_store_may_change_while_a_match_is_under_way(
    filter: str, topics: list[str], data: st.DataObject
) -> None:
    kept = store(*topics)
    found: list[str] = []
    gone: set[str] = set()
    for message in kept.match(filter):
        found.append(message.name)
        victim = data.draw(st.sampled_from(topics))
        kept.remove(victim)
        replaced = data.draw(names)
        kept.put(Kept(replaced))
        gone |= {victim, replaced}
    assert len(found) == len(set(found))
    assert set(found) >= {topic for topic in topics if naive_match(filter, topic)} - gone


def test_what_is_put_after_a_match_began_is_not_part_of_it() -> None:
    kept = store("a", "b")
    match = kept.match("#", kept.stamp)
    kept.put(Kept("c"))
    kept.put(Kept("b", 2))
    assert [message.name for message in match] == ["a"]


def test_a_match_ends_although_new_topics_come_as_fast_as_it_goes_on() -> None:
    kept = store("t/a", "t/b")
    match = kept.walk("t/+")
    looks = 0
    for _ in match:
        looks += 1
        kept.put(Kept(f"t/new{looks}"))
    assert looks == 2


def test_a_place_in_a_large_store_weighs_little() -> None:
    kept: RetainedStore[Kept] = RetainedStore(20_000, 10**9)
    for number in range(20_000):
        kept.put(Kept(f"d/{number}/x"))
    tracemalloc.start()
    try:
        walks = [kept.walk("d/+/x") for _ in range(50)]
        for walk in walks:
            next(walk)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / len(walks) < 16_384, "20,000 topics would be 160,000 bytes"


def test_a_walk_goes_on_in_its_place_however_many_levels_go_meanwhile() -> None:
    kept: RetainedStore[Kept] = RetainedStore(5_000, 10**9)
    for number in range(3_000):
        kept.put(Kept(f"d/{number}"))
    match = kept.match("d/+")
    found = [next(match).name for _ in range(1_000)]
    for number in range(2_500):
        kept.remove(f"d/{number}")
    found += [message.name for message in match]
    assert len(found) == len(set(found))
    assert set(found) >= {f"d/{number}" for number in (*range(1_000), *range(2_500, 3_000))}


def test_a_retained_topic_weighs_little() -> None:
    kept: RetainedStore[Kept] = RetainedStore(20_000, 10**9)
    messages = [Kept(f"d/{number}/x") for number in range(2_000)]
    tracemalloc.start()
    try:
        for message in messages:
            kept.put(message)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / len(messages) < 450, "with a dict in each level it would be 800 bytes"

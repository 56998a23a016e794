"""The heap of deadlines: everything in time, once, and nothing kept of what is settled."""

import gc
import math
import weakref

from hypothesis import given
from hypothesis import strategies as st

from bollard.engine.expiry import NO_MORE, Deadlines
from support.memory import House


class Matter:
    """Something with a deadline."""

    def __init__(self) -> None:
        self.due: list[float] = []


def note(subject: Matter, now: float) -> float:
    subject.due.append(now)
    return NO_MORE


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 100), st.booleans())), st.integers(0, 100))
def test_what_is_due_happens_once_unless_it_was_moved_or_dropped(
    steps: list[tuple[int, int, bool]], now: int
) -> None:
    deadlines = Deadlines()
    matters = [Matter() for _ in range(6)]
    expected: dict[int, int] = {}
    for which, when, keep in steps:
        if keep:
            deadlines.add(when, note, matters[which])
            expected[which] = when
        else:
            deadlines.drop(note, matters[which])
            expected.pop(which, None)
    assert deadlines.next() == min(expected.values(), default=math.inf)
    assert len(deadlines) == len(expected)
    deadlines.run(now)
    deadlines.run(now)
    assert {n for n, matter in enumerate(matters) if matter.due} == {
        n for n, when in expected.items() if when <= now
    }
    assert all(matter.due in ([], [now]) for matter in matters)


def test_an_entry_that_asks_again_is_asked_again_but_not_at_once() -> None:
    deadlines = Deadlines()
    asked: list[float] = []

    def again(subject: str, now: float) -> float:
        asked.append(now)
        return now if len(asked) < 3 else NO_MORE

    deadlines.add(1.0, again, "x")
    deadlines.run(1.0)
    assert asked == [1.0]
    assert deadlines.next() > 1.0
    deadlines.run(2.0)
    deadlines.run(3.0)
    assert asked == [1.0, 2.0, 3.0]
    assert deadlines.next() == math.inf


def test_one_function_may_drop_another_that_is_due_at_the_same_time() -> None:
    deadlines = Deadlines()
    second = Matter()

    def first(subject: str, now: float) -> float:
        deadlines.drop(note, second)
        return NO_MORE

    deadlines.add(1.0, first, "x")
    deadlines.add(1.0, note, second)
    deadlines.run(1.0)
    assert second.due == []


def test_the_heap_does_not_grow_with_what_was_dropped() -> None:
    deadlines = Deadlines()
    for _ in range(10_000):
        matter = Matter()
        deadlines.add(1e9, note, matter)
        deadlines.drop(note, matter)
    assert len(deadlines) == 0
    assert deadlines._heap == []


def test_what_is_dropped_is_not_kept_alive() -> None:
    deadlines = Deadlines()
    matter = Matter()
    gone = weakref.ref(matter)
    deadlines.add(1e9, note, matter)
    deadlines.drop(note, matter)
    del matter
    gc.collect()
    assert gone() is None


def test_clients_that_come_and_go_leave_no_deadline_behind(house: House, version: int) -> None:
    for _ in range(50):
        house.connect("a", version).leave()
        house.connect("b", version, clean=False, expiry=100).drop()
        house.open(version).drop()
    assert len(house.broker.core.deadlines) == 1  # the kept session of b


def test_a_retained_message_that_is_replaced_leaves_no_deadline_behind(house: House) -> None:
    device = house.connect()
    before = len(house.broker.core.deadlines)
    for _ in range(50):
        device.publish("a", retain=True, message_expiry_interval=1000)
    assert len(house.broker.core.deadlines) == before + 1
    device.publish("a", b"", retain=True)
    assert len(house.broker.core.deadlines) == before

# cython: boundscheck=False, wraparound=False
"""One heap of deadlines: connections, session and will delays, retained expiry.

When a deadline is due, its function looks at its subject, acts if the matter still stands, and returns when
to ask again: so moving a deadline to a later time costs nothing, which keep-alive does with every packet.

Whoever begins a deadline keeps it, and ends it when it is settled before its time: it leaves the heap at once, so
that connections, sessions and messages that are gone hold no memory (attack: a client that reconnects, or
replaces a retained message, as fast as it can). Where nobody has a place to keep it, a matter (function and
subject) finds it again: `add` and `drop`; a matter has one deadline at most.
"""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from bollard.base.types import NEVER

Subject = TypeVar("Subject", bound=Hashable)
Act = Callable[[Any, float], float]

#: Returned by a deadline's function when there is nothing more to wait for.
NO_MORE = 0.0


def _to_the_end() -> bool:
    return True


class Deadline:
    """At `when`, monotonic seconds, `act(subject, now)` is called. `place` is where it stands in the heap, -1 for
    nowhere; `number` orders what is due at the same time."""

    __slots__ = ("act", "number", "place", "subject", "when")

    act: Act
    number: int
    place: int
    subject: Any
    when: float


def _precedes(one: Deadline, other: Deadline) -> bool:
    return one.when < other.when or (one.when == other.when and one.number < other.number)


class Deadlines:
    """Times are monotonic seconds. In the heap, each deadline precedes those at twice its place and one or two more."""

    __slots__ = ("_count", "_heap", "_matters")

    def __init__(self) -> None:
        self._heap: list[Deadline] = []
        self._matters: dict[tuple[Act, Any], Deadline] = {}
        self._count = 0

    def begin(self, when: float, act: Act, subject: Any) -> Deadline:
        """At `when`, call `act(subject, now)`, and again at the time that it returns, if any."""
        deadline = Deadline.__new__(Deadline)
        deadline.when = when
        deadline.act = act
        deadline.subject = subject
        self._insert(deadline)
        return deadline

    def end(self, deadline: Deadline | None) -> None:
        """It is settled; nothing happens when there was none, or it has ended before."""
        if deadline is not None:
            if deadline.place >= 0:
                self._remove(deadline)
            # Its owner may keep it for longer.
            deadline.subject = None

    def hasten(self, deadline: Deadline | None, when: float) -> None:
        """Be due at `when`, unless that is later than it is due anyway, or it has ended."""
        if deadline is not None and deadline.place >= 0 and when < deadline.when:
            deadline.when = when
            self._rise(deadline, deadline.place)

    def add(self, when: float, act: Callable[[Subject, float], float], subject: Subject) -> None:
        """As `begin`, in place of an earlier deadline of the same matter."""
        self.drop(act, subject)
        self._matters[(act, subject)] = self.begin(when, act, subject)

    def drop(self, act: Callable[[Subject, float], float], subject: Subject) -> None:
        """As `end`, of the matter's deadline if it has one."""
        if self._matters:
            self.end(self._matters.pop((act, subject), None))

    def next(self) -> float:
        """When the earliest is due; infinity when there is none."""
        heap = self._heap
        return heap[0].when if heap else NEVER

    def run(self, now: float, go_on: Callable[[], bool] = _to_the_end) -> None:
        """Act on what is due, earliest first, while `go_on` says so; the rest stays due.

        Attack: thousands of sessions, each with all that it may hold, that end in the same second.
        """
        while self._heap and self._heap[0].when <= now and go_on():
            deadline = self._heap[0]
            self._remove(deadline)
            act, subject = deadline.act, deadline.subject
            matter = (act, subject)
            known = self._matters.get(matter) is deadline
            if known:
                del self._matters[matter]
            again = act(subject, now)
            if not again or deadline.subject is None:
                continue
            # Never in the past: a deadline that asks again at once would spin.
            deadline.when = max(again, now + 0.001)
            if known:
                self.drop(act, subject)
                self._matters[matter] = deadline
            self._insert(deadline)

    def __len__(self) -> int:
        return len(self._heap)

    def _insert(self, deadline: Deadline) -> None:
        self._count += 1
        deadline.number = self._count
        heap = self._heap
        heap.append(deadline)
        self._rise(deadline, len(heap) - 1)

    def _remove(self, deadline: Deadline) -> None:
        heap = self._heap
        place = deadline.place
        deadline.place = -1
        last = heap.pop()
        if last is not deadline:
            self._sink(last, place)
            self._rise(last, last.place)

    def _rise(self, deadline: Deadline, place: int) -> None:
        """Put `deadline` at `place`, or above it where it precedes what is there."""
        heap = self._heap
        while place > 0:
            above = (place - 1) >> 1
            other = heap[above]
            if not _precedes(deadline, other):
                break
            heap[place] = other
            other.place = place
            place = above
        heap[place] = deadline
        deadline.place = place

    def _sink(self, deadline: Deadline, place: int) -> None:
        """Put `deadline` at `place`, or below it where what is there precedes it."""
        heap = self._heap
        size = len(heap)
        below = 2 * place + 1
        while below < size:
            other = heap[below]
            if below + 1 < size and _precedes(heap[below + 1], other):
                below += 1
                other = heap[below]
            if not _precedes(other, deadline):
                break
            heap[place] = other
            other.place = place
            place = below
            below = 2 * place + 1
        heap[place] = deadline
        deadline.place = place

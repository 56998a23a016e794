"""One heap of deadlines: keep-alive, connect timeout, session and will delays, retained expiry.

When an entry is due, its function looks at its subject, acts if the matter still stands, and returns when
to ask again: so moving a deadline costs nothing, which keep-alive does with every packet.

A matter (function and subject) has one entry at most. One that is settled before its time is dropped, so
that connections, sessions and messages that are gone hold no memory (attack: a client that reconnects, or
replaces a retained message, as fast as it can). The heap keeps a hollow tuple until those are the larger
part of it and are swept out together.
"""

import heapq
import math
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Subject = TypeVar("Subject", bound=Hashable)
Act = Callable[[Any, float], float]

#: Returned by a deadline's function when there is nothing more to wait for.
NO_MORE = 0.0
#: Hollow entries that are never worth a sweep.
FEW = 64


def _to_the_end() -> bool:
    return True


class Deadlines:
    """Times are monotonic seconds."""

    __slots__ = ("_count", "_heap", "_live", "_matters")

    def __init__(self) -> None:
        #: (when, number of the entry); the number orders what is due at the same time.
        self._heap: list[tuple[float, int]] = []
        self._live: dict[int, tuple[Act, Any]] = {}
        self._matters: dict[tuple[Act, Any], int] = {}
        self._count = 0

    def add(self, when: float, act: Callable[[Subject, float], float], subject: Subject) -> None:
        """At `when`, call `act(subject, now)`, and again at the time that it returns, if any; in place of
        an earlier entry for the same."""
        matter = (act, subject)
        self.drop(act, subject)
        self._count += 1
        self._live[self._count] = matter
        self._matters[matter] = self._count
        heapq.heappush(self._heap, (when, self._count))

    def drop(self, act: Callable[[Subject, float], float], subject: Subject) -> None:
        """The matter is settled; nothing happens when there was no entry."""
        number = self._matters.pop((act, subject), 0)
        if not number:
            return
        del self._live[number]
        if len(self._heap) - len(self._live) > len(self._live) + FEW:
            self._heap = [entry for entry in self._heap if entry[1] in self._live]
            heapq.heapify(self._heap)

    def next(self) -> float:
        """When the earliest entry is due; infinity when there is none."""
        heap = self._heap
        while heap and heap[0][1] not in self._live:
            heapq.heappop(heap)
        return heap[0][0] if heap else math.inf

    def run(self, now: float, go_on: Callable[[], bool] = _to_the_end) -> None:
        """Act on what is due, earliest first, while `go_on` says so; the rest stays due.

        Attack: thousands of sessions, each with all that it may hold, that end in the same second.
        """
        while self._heap and self._heap[0][0] <= now and go_on():
            _, number = heapq.heappop(self._heap)
            matter = self._live.pop(number, None)
            if matter is None:
                continue
            del self._matters[matter]
            act, subject = matter
            again = act(subject, now)
            if again:
                # Never in the past: a deadline that asks again at once would spin.
                self.add(max(again, now + 0.001), act, subject)

    def __len__(self) -> int:
        return len(self._live)

"""One heap of deadlines: keep-alive, connect timeout, session and will delays, retained expiry.

An entry is never searched or removed. When it is due, its function looks at its subject, acts if the
matter still stands, and returns when to ask again: so moving a deadline costs nothing, which keep-alive
does with every packet.
"""

import heapq
import math
from collections.abc import Callable
from typing import Any, TypeVar

Subject = TypeVar("Subject")

#: Returned by a deadline's function when there is nothing more to wait for.
NO_MORE = 0.0


class Deadlines:
    """Times are monotonic seconds."""

    __slots__ = ("_count", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[Any, float], float], Any]] = []
        self._count = 0

    def add(self, when: float, act: Callable[[Subject, float], float], subject: Subject) -> None:
        """At `when`, call `act(subject, now)`, and again at the time that it returns, if any."""
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, act, subject))

    def next(self) -> float:
        """When the earliest entry is due; infinity when there is none."""
        return self._heap[0][0] if self._heap else math.inf

    def run(self, now: float) -> None:
        """Act on everything that is due."""
        while self._heap and self._heap[0][0] <= now:
            _, _, act, subject = heapq.heappop(self._heap)
            again = act(subject, now)
            if again:
                # Never in the past: a deadline that asks again at once would spin.
                self.add(max(again, now + 0.001), act, subject)

    def __len__(self) -> int:
        return len(self._heap)

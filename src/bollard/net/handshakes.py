"""Where TLS handshakes get their processor time, so that they cannot starve connected clients.

A full handshake costs as much as forwarding hundreds of messages. Streams therefore hand in one step
at a time, and only as many as fit a budget run per turn of the loop; reads and writes of everyone else
come in between. Whoever wants handshakes on other cores replaces `submit`: a step touches nothing but
its own stream until `Stream.handshaken`.
"""

import asyncio
import time
from collections import deque
from typing import Protocol

#: Seconds of handshakes per turn of the loop: the delay that a storm of connections adds to others.
TURN_BUDGET_S = 0.002


class Step(Protocol):
    """Something with a handshake to move on."""

    def shake(self) -> None: ...


class Handshakes:
    """A queue of handshake steps, worked off in the order in which they came."""

    __slots__ = ("_budget_s", "_loop", "_queue", "_scheduled")

    def __init__(self, loop: asyncio.AbstractEventLoop, budget_s: float = TURN_BUDGET_S) -> None:
        self._loop = loop
        self._budget_s = budget_s
        self._queue: deque[Step] = deque()
        self._scheduled = False

    def submit(self, step: Step) -> None:
        """Run `step.shake()` soon, on the loop. `shake` must not raise."""
        self._queue.append(step)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        end = time.monotonic() + self._budget_s
        while self._queue:
            self._queue.popleft().shake()
            if time.monotonic() >= end:
                break
        if self._queue:
            self._schedule()

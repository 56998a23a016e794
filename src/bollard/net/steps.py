"""Where expensive steps get their processor time, so that they cannot starve everyone else.

A full TLS handshake costs as much as forwarding hundreds of messages, and a megabyte of tiny WebSocket
frames as much as many handshakes. Streams therefore hand in one step at a time, and only as many as fit a
budget run per turn of the loop; reads and writes of the others come in between. Whoever wants handshakes on
other cores replaces `submit`: a step touches nothing but its own stream until that joins the broker.
"""

import asyncio
from collections import deque
from typing import Protocol

from bollard.net import clock
from bollard.net.gate import address_key
from bollard.net.poller import Poller

#: Seconds of steps per turn of the loop: the delay that a storm of them adds for others.
TURN_BUDGET_S = 0.002


class Stepper(Protocol):
    """Something with a piece of work to move on, for a peer at `address`. `step` must not raise."""

    address: str

    def step(self) -> None: ...


class Turns:
    """Steps in the order in which they came, but one of each address after the other.

    Attack: one host that begins handshakes as fast as it can. All the others together would share what it
    leaves; so each of them has as much as it has.
    """

    __slots__ = ("_queues",)

    def __init__(self) -> None:
        self._queues: dict[str, deque[Stepper]] = {}

    def append(self, stepper: Stepper) -> None:
        key = address_key(stepper.address)
        queue = self._queues.get(key)
        if queue is None:
            self._queues[key] = deque((stepper,))
        else:
            queue.append(stepper)

    def popleft(self) -> Stepper:
        """The next one; its address comes last now."""
        key = next(iter(self._queues))
        queue = self._queues.pop(key)
        stepper = queue.popleft()
        if queue:
            self._queues[key] = queue
        return stepper

    def __bool__(self) -> bool:
        return bool(self._queues)


class Steps:
    """Two queues of steps, each worked off in the order in which they came, by turns.

    One is for what begins, the other for what was begun: in a storm of ten thousand handshakes those that
    are nearly through would otherwise wait behind all that have just come, and everybody would be served
    last. By turns, so that whoever keeps begun things busy cannot keep others from beginning.

    What was begun has two turns for each of what begins. One for one, the hundreds that begin before the first
    of them has answered would stay hundreds for as long as the storm lasts, each with its half of a handshake
    in memory, and none finds it in the processor's cache when its turn comes.
    """

    __slots__ = ("_begun", "_budget_s", "_loop", "_poller", "_queue", "_scheduled")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, poller: Poller, budget_s: float = TURN_BUDGET_S
    ) -> None:
        self._loop = loop
        self._poller = poller
        self._budget_s = budget_s
        self._queue = Turns()
        self._begun = Turns()
        self._scheduled = False

    def submit(self, stepper: Stepper) -> None:
        """Run `stepper.step()` once, soon, on the loop."""
        self._queue.append(stepper)
        self._schedule()

    def resume(self, stepper: Stepper) -> None:
        """As `submit`, for a stepper of which steps were run before."""
        self._begun.append(stepper)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        self._poller.begin_round()
        try:
            end = clock.monotonic() + self._budget_s
            while self._queue or self._begun:
                for queue in (self._begun, self._begun, self._queue):
                    if queue:
                        queue.popleft().step()
                if clock.monotonic() >= end:
                    break
        finally:
            self._poller.end_round()
        if self._queue or self._begun:
            self._schedule()

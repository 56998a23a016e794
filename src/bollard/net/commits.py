"""When the journal goes to the disk: the loop's half of group commit.

A batch is handed over as soon as the disk is free and somebody waits for it; if the loop is busy, when what
has arrived is taken in, at most `BUSY_S` later: acknowledgements of receivers come in meanwhile, and what
all of them have is not written at all. What nobody waits for, such as the end of a delivery, goes with the
next batch or after `LAZY_S`, which spares flash memory.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bollard.engine.broker import Broker
    from bollard.engine.journal import Batch

BUSY_S = 0.002
LAZY_S = 0.25
#: Between two attempts on a disk that fails.
RETRY_S = 0.5
#: Rows at which a batch goes even if nobody waits for it: a bound for the time of one commit.
MANY_ROWS = 10_000
NEVER = float("inf")


class Disk(Protocol):
    """Writes batches in order, elsewhere, and reports each through `Pump.committed`."""

    def submit(self, sequence: int, batch: "Batch") -> None: ...


class Commits:
    """The journal of one broker on its way to one disk. All but the disk's work happens on the loop."""

    __slots__ = ("_arrivals", "_broker", "_disk", "_done", "_retry_at", "_since", "_wake", "_writing", "due")

    def __init__(self, broker: "Broker", disk: Disk, wake: Callable[[], None]) -> None:
        """`wake` asks for a turn soon."""
        self._broker = broker
        self._disk = disk
        self._wake = wake
        self._writing = False
        self._since = 0.0
        self._retry_at = 0.0
        self._arrivals = 0
        self._done: asyncio.Event | None = None
        self.due = NEVER

    def turn(self, arrivals: int) -> bool:
        """At the end of a turn, with how often bytes have ever arrived. True: acknowledgements were let go
        and are to be written. Sets `due`, the time at which another turn is wanted."""
        broker = self._broker
        progress, self._arrivals = arrivals != self._arrivals, arrivals
        self.due = NEVER
        if self._writing or not broker.journal_waits:
            return False
        now = time.monotonic()
        if not self._since:
            self._since = now
        if now < self._retry_at:
            self.due = self._retry_at
            return False
        if not broker.journal_presses and len(broker.core.journal.batch) < MANY_ROWS:
            self.due = self._since + LAZY_S
            if now < self.due:
                return False
        elif progress and now - self._since < BUSY_S:
            self._wake()
            return False
        return self._hand_over(now)

    def _hand_over(self, now: float) -> bool:
        self._since = 0.0
        self.due = NEVER
        sequence, batch = self._broker.take_journal(time.time() - now)
        if len(batch):
            self._writing = True
            self._disk.submit(sequence, batch)
            return False
        # Every receiver has already acknowledged what was to be kept.
        self._broker.committed(sequence, now)
        return True

    def done(self, sequence: int, batch: "Batch", problem: str) -> None:
        """The disk has answered."""
        now = time.monotonic()
        self._writing = False
        if problem:
            self._retry_at = now + RETRY_S
            self._broker.refused(batch, problem, now)
        else:
            self._retry_at = 0.0
            self._broker.committed(sequence, now)
        if self._done is not None:
            self._done.set()

    async def finish(self, grace_s: float) -> bool:
        """Write what is left; False if the disk did not take it in time."""
        try:
            async with asyncio.timeout(grace_s):
                while self._writing or self._broker.journal_waits:
                    self._done = asyncio.Event()
                    if not self._writing:
                        await asyncio.sleep(max(self._retry_at - time.monotonic(), 0.0))
                        self._hand_over(time.monotonic())
                    if self._writing:
                        await self._done.wait()
        except TimeoutError:
            return False
        return True

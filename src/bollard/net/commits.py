"""When the journal goes to the disk: the loop's half of group commit.

A batch is handed over as soon as the disk is free, somebody waits for it, and what has arrived is taken in. If
receivers were quick lately, they get up to `BUSY_S` to acknowledge: what all of them have is not written at all, which
is sooner than any disk. Receivers that were slow, or are away, are not waited for. What nobody waits for, such as the
end of a delivery, goes with the next batch or after `LAZY_S`, which spares flash memory.

Publishers with full windows are let go together, and send again together. The first of them must not go to the disk
alone, while all the others wait for two commits. So as long as each look at the sockets finds more, it is taken in,
but for no longer than the last commit took; a look that finds nothing ends it, and nobody waits for a clock.

A slow disk needs large batches. Publishers that have used up their windows wait for one batch while the others wait
for the one that gathers meanwhile: without company each holds half of them, and everybody waits for two commits. So
the batch that has gathered waits, for a part of the time that the disk took, until as much has come as was let go.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from bollard.base.types import NEVER

if TYPE_CHECKING:
    from bollard.engine.broker import Broker
    from bollard.engine.journal import Batch

BUSY_S = 0.002
#: How sure one can be that receivers are quick, and how often that is tried anew, in batches.
MAX_HOPE = 8
#: What the next batch may wait for those whose acknowledgements have just gone out: this share of the last commit.
COMPANY_SHARE = 0.25
TRY_AGAIN = 64
LAZY_S = 0.25
#: Between two attempts on a disk that fails.
RETRY_S = 0.5
#: Rows at which a batch goes even if nobody waits for it: a bound for the time of one commit.
MANY_ROWS = 10_000


class Disk(Protocol):
    """Writes batches in order, elsewhere, and reports each through `Pump.committed`."""

    def submit(self, sequence: int, batch: "Batch") -> None: ...


class Company:
    """What a batch of `gathered` rows waits for: to have `rows`, but not beyond the monotonic second `until`."""

    __slots__ = ("gathered", "rows", "until")

    def __init__(self, until: float = 0.0, gathered: int = 0, rows: int = 0) -> None:
        self.until = until
        self.gathered = gathered
        self.rows = rows


class Commits:
    """The journal of one broker on its way to one disk. All but the disk's work happens on the loop."""

    __slots__ = (
        "_arrivals",
        "_began",
        "_broker",
        "_company",
        "_disk",
        "_done",
        "_hope",
        "_hoped_rows",
        "_retry_at",
        "_since",
        "_taken",
        "_took_s",
        "_trust",
        "_wake",
        "_writing",
        "due",
    )

    def __init__(self, broker: "Broker", disk: Disk, wake: Callable[[], None]) -> None:
        """`wake` asks for a turn soon."""
        self._broker = broker
        self._disk = disk
        self._wake = wake
        self._writing = False
        self._since = 0.0
        self._retry_at = 0.0
        self._arrivals = 0
        self._hope = MAX_HOPE
        self._hoped_rows = 0
        self._taken = 0
        self._began = 0.0
        self._took_s = 0.0
        self._company = Company()
        self._trust = MAX_HOPE
        self._done: asyncio.Event | None = None
        self.due = NEVER

    def turn(self, arrivals: int) -> bool:
        """At the end of a turn, with how often bytes have ever arrived. True: acknowledgements were let go
        and are to be written. Sets `due`, the time at which another turn is wanted."""
        broker = self._broker
        progress, self._arrivals = arrivals != self._arrivals, arrivals
        self.due = NEVER
        if self._writing or not broker.journal_waits():
            return False
        now = time.monotonic()
        if not self._since:
            self._since = now
        if now < self._retry_at:
            self.due = self._retry_at
            return False
        rows = len(broker.core.journal.batch)
        if not broker.journal_presses() and rows < MANY_ROWS:
            self.due = self._since + LAZY_S
            if now < self.due:
                return False
        elif now - self._since < BUSY_S and self._may_hope():
            return self._wait(self._since + BUSY_S, progress)
        elif progress and rows < MANY_ROWS and now - self._since < min(self._took_s, BUSY_S):
            self._wake()
            return False
        elif now < self._company.until and rows < min(self._company.rows, MANY_ROWS):
            return self._wait(self._company.until, progress)
        return self._hand_over(now)

    def _wait(self, until: float, progress: bool) -> bool:
        """Look again after what has arrived is acted on, or at `until` if nothing does."""
        if progress:
            self._wake()
        else:
            self.due = until
        return False

    def _may_hope(self) -> bool:
        """Whether the batch holds only what receivers can still make unnecessary, and they are quick."""
        batch = self._broker.core.journal.batch
        rows = len(batch)
        if not rows or not self._hope or rows != len(batch.deliveries) + len(batch.messages):
            return False
        self._hoped_rows = max(self._hoped_rows, rows)
        return True

    def _learn(self, rows: int) -> None:
        """Whether it was worth waiting: at least half of a batch must have become unnecessary."""
        self._taken += 1
        if self._hoped_rows:
            quick = rows * 2 <= self._hoped_rows
            self._hope = min(self._hope + 1, MAX_HOPE) if quick else self._hope - 1
            self._hoped_rows = 0
        elif self._taken % TRY_AGAIN == 0:
            self._hope = max(self._hope, 1)
        company, self._company = self._company, Company()
        if company.until:
            came = rows - company.gathered >= (company.rows - company.gathered) // 2
            self._trust = min(self._trust + 1, MAX_HOPE) if came else self._trust - 1
        elif self._taken % TRY_AGAIN == 0:
            self._trust = max(self._trust, 1)

    def _hand_over(self, now: float) -> bool:
        self._learn(len(self._broker.core.journal.batch))
        self._since = 0.0
        self.due = NEVER
        sequence, batch = self._broker.take_journal(time.time() - now)
        if len(batch):
            self._writing = True
            self._began = now
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
            self._took_s = now - self._began
            self._broker.committed(sequence, now)
            gathered = len(self._broker.core.journal.batch)
            if gathered and self._trust:
                patience_s = min(self._took_s * COMPANY_SHARE, BUSY_S)
                self._company = Company(now + patience_s, gathered, gathered + len(batch))
        if self._done is not None:
            self._done.set()

    async def finish(self, grace_s: float) -> bool:
        """Write what is left; False if the disk did not take it in time."""
        try:
            async with asyncio.timeout(grace_s):
                while self._writing or self._broker.journal_waits():
                    self._done = asyncio.Event()
                    if not self._writing:
                        await asyncio.sleep(max(self._retry_at - time.monotonic(), 0.0))
                        self._hand_over(time.monotonic())
                    if self._writing:
                        await self._done.wait()
        except TimeoutError:
            return False
        return True

"""The one thread that writes sessions: group commit, driven by load.

It takes a batch, makes it durable, says so, and takes the next. While it works the engine gathers the next
batch, which is how load makes groups: there is no delay to tune. When no batch has come for a moment it sorts in
what the store has let wait, a part at a time. It decides nothing about failures: a batch that SQLite refused is
reported with the reason and belongs to whoever submitted it.
"""

import queue
import sqlite3
import threading
import time
from collections.abc import Callable

from bollard.engine.journal import Batch
from bollard.store.sessions import SessionStore

#: Without a batch for so long, nobody is taken to send: time to tidy up.
QUIET_S = 0.25
#: How many times as long as a part of it took, the others have the processor before the next.
REST_SHARE = 4.0
#: Between two attempts to tidy up on a disk that fails.
RETRY_S = 5.0

#: Called by the writer's thread with a batch and why it is not on disk, "" if it is.
Done = Callable[[int, Batch, str], None]


class JournalWriter:
    """Writes batches, in the order in which they are submitted, until it is closed.

    `after_commit` is called after each commit, before anyone is told.
    """

    __slots__ = ("_after_commit", "_batches", "_done", "_pause_s", "_store", "_thread", "_untidy")

    def __init__(
        self, store: SessionStore, done: Done, *, after_commit: Callable[[], None] | None = None
    ) -> None:
        self._store = store
        self._done = done
        #: Whether there is something to tidy up, and after how many seconds without a batch.
        self._untidy = store.waiting_bytes > 0
        self._pause_s = QUIET_S
        self._after_commit = after_commit
        self._batches: queue.SimpleQueue[tuple[int, Batch] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, sequence: int, batch: Batch) -> None:
        """Have `batch` written. Not to be changed until `done` was called."""
        self._batches.put((sequence, batch))

    def close(self) -> None:
        """Wait until everything that was submitted is written or refused. The store stays open."""
        self._batches.put(None)
        self._thread.join()

    def _run(self) -> None:
        self._store.lengthen_log()
        while True:
            try:
                entry = self._batches.get(timeout=self._pause_s if self._untidy else None)
            except queue.Empty:
                self._tidy_up()
                continue
            if entry is None:
                return
            sequence, batch = entry
            self._done(sequence, batch, self._write(batch))
            self._untidy, self._pause_s = self._store.waiting_bytes > 0, QUIET_S
            while self._store.waiting_bytes > self._store.max_waiting_bytes and self._tidy_up():
                pass

    def _tidy_up(self) -> bool:
        """Sort in a part of what waits; when nothing does, do the rest. False if it is to be tried later."""
        began = time.monotonic()
        try:
            if self._store.catch_up():
                self._pause_s = REST_SHARE * (time.monotonic() - began)
            else:
                self._store.checkpoint()
                self._untidy = False
        except Exception:  # a boundary: all of it is durable, and the next batch matters more
            self._pause_s = RETRY_S
            return False
        self._committed()
        return True

    def _committed(self) -> None:
        if self._after_commit is not None:
            self._after_commit()

    def _write(self, batch: Batch) -> str:
        """Why the batch is not on disk; "" if it is."""
        try:
            self._store.apply(batch)
        except (sqlite3.Error, OSError) as error:
            return str(error) or type(error).__name__
        except Exception as error:  # a boundary: a fault of ours must stall, not lose what waits
            return f"internal error: {error!r}"
        self._committed()
        return ""

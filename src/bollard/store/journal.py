"""The one thread that writes sessions: group commit, driven by load.

It takes a batch, makes it durable, says so, and takes the next. While it works the engine gathers the next
batch, which is how load makes groups: there is no delay to tune. It decides nothing about failures: a batch
that SQLite refused is reported with the reason and belongs to whoever submitted it.
"""

import queue
import sqlite3
import threading
from collections.abc import Callable

from bollard.engine.journal import Batch
from bollard.store.sessions import SessionStore

#: Called by the writer's thread with a batch and why it is not on disk, "" if it is.
Done = Callable[[int, Batch, str], None]


class JournalWriter:
    """Writes batches, in the order in which they are submitted, until it is closed.

    `after_commit` is called after each commit, before anyone is told.
    """

    __slots__ = ("_after_commit", "_batches", "_done", "_store", "_thread")

    def __init__(
        self, store: SessionStore, done: Done, *, after_commit: Callable[[], None] | None = None
    ) -> None:
        self._store = store
        self._done = done
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
        while (entry := self._batches.get()) is not None:
            sequence, batch = entry
            self._done(sequence, batch, self._write(batch))

    def _write(self, batch: Batch) -> str:
        """Why the batch is not on disk; "" if it is."""
        try:
            self._store.apply(batch)
        except (sqlite3.Error, OSError) as error:
            return str(error) or type(error).__name__
        except Exception as error:  # a boundary: a fault of ours must stall, not lose what waits
            return f"internal error: {error!r}"
        if self._after_commit is not None:
            self._after_commit()
        return ""

"""The session store of a running broker: opened, restored from, written to, closed.

What is damaged is salvaged, whether SQLite finds it or the engine stumbles over it; either way the broker
starts and says loudly what it found.
"""

import gc
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bollard.base.errors import LocalError
from bollard.base.events import Event, ServerEvent, ServerWarning
from bollard.engine.broker import Broker
from bollard.engine.restore import Restored
from bollard.net.pump import Pump
from bollard.server.config import StoreConfig
from bollard.store.journal import JournalWriter
from bollard.store.salvage import Opened, open_sessions, salvage_again
from bollard.store.sessions import SessionStore


class Durability:
    """One store and its writer. `events` say how the store was found."""

    def __init__(self, path: Path, config: StoreConfig) -> None:
        """Open the store. LocalError if there can be none."""
        self._path = path
        self._relaxed = config.allow_relaxed_durability
        self._max_bytes = config.max_store_bytes
        self._writer: JournalWriter | None = None
        self.events: list[Event] = []
        self._store, opened = open_sessions(path, relaxed=self._relaxed, max_bytes=self._max_bytes)
        self._report(opened)
        # Unless it is started, it is left as it was found.
        self._stopped_well = not opened.unclean

    def restore(self, make: Callable[[], Broker]) -> Broker:
        """A broker from `make` with everything that the store holds."""
        began = time.monotonic()
        try:
            broker, restored = _load(make, self._store)
        except (sqlite3.Error, ValueError, TypeError, LookupError, OverflowError) as error:
            # Nothing but damage that SQLite cannot see puts such values into its own tables.
            self._store, opened = salvage_again(
                self._path, self._store, str(error), relaxed=self._relaxed, max_bytes=self._max_bytes
            )
            self._report(opened)
            broker, restored = self._load_saved(make)
        self._tell(restored, time.monotonic() - began)
        return broker

    def _load_saved(self, make: Callable[[], Broker]) -> tuple[Broker, Restored]:
        try:
            return _load(make, self._store)
        except (sqlite3.Error, ValueError, TypeError, LookupError, OverflowError) as error:
            raise LocalError(
                f"what was saved of {self._path} cannot be read either: {error}",
                "Move that file away, or put a backup in its place: bollard store restore FILE",
            ) from None

    def start(self, pump: Pump) -> None:
        """Have the writer write what the broker of `pump` journals."""
        self._store.begin()
        self._stopped_well = False
        self._writer = JournalWriter(self._store, pump.committed)
        pump.write_to(self._writer)
        self._writer.start()

    def stopped_well(self, well: bool) -> None:
        """Whether all that the broker had to write is written."""
        self._stopped_well = well

    def close(self) -> None:
        """After the pump has stopped: finish, and note that nothing needs to be checked next time."""
        if self._writer is not None:
            self._writer.close()
        try:
            self._store.close(clean=self._stopped_well)
        except sqlite3.Error as error:
            self.events.append(ServerWarning("store failing", f"it could not be closed: {error}"))

    def _report(self, opened: Opened) -> None:
        if opened.problem:
            self.events.append(ServerWarning("store damaged", str(opened)))
        elif opened.unclean:
            self.events.append(
                ServerEvent("store checked", "the broker was not stopped; the session store is sound")
            )

    def _tell(self, restored: Restored, took_s: float) -> None:
        if restored.left_out:
            self.events.append(
                ServerWarning(
                    "store damaged", f"{restored.left_out} rows were left out: they contradict the others"
                )
            )
        self.events.append(
            ServerEvent(
                "restored",
                f"{restored.sessions} sessions, {restored.subscriptions} subscriptions,"
                f" {restored.deliveries} unfinished deliveries, {restored.retained} retained messages"
                f" in {took_s:.1f} s",
            )
        )


def _load(make: Callable[[], Broker], store: SessionStore) -> tuple[Broker, Restored]:
    broker = make()
    with _no_collector():
        return broker, broker.restore(store, time.monotonic(), time.time())


@contextmanager
def _no_collector() -> Iterator[None]:
    """Much is made and nothing is garbage: looking for it would take most of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

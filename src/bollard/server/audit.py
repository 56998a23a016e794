"""The audit log of a running broker, or of a command: entries from any thread, written by one of its own.

The loop never waits for the disk here. What an operation changed is on disk before its user hears that it
is done (`after_writing`); what the loop saw follows within a moment. A disk that takes nothing is told once,
and what waits is written when it does; if too much waits, the log says how many entries are missing.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from bollard.base.errors import LocalError
from bollard.base.events import Event
from bollard.identity.ports import RegistryStorage
from bollard.identity.records import Identity
from bollard.server.actor import ACTOR
from bollard.server.audit_entries import Denials, of_denial, of_event, of_identity, of_request
from bollard.server.closing import Closing
from bollard.server.requests import Request
from bollard.store.audit import AuditLog
from bollard.store.audit_chain import Entry, Fact, Head

#: Entries that wait for a disk that takes nothing; more are counted and lost.
MAX_WAITING = 10_000
#: How often counted denials are looked at, and how often the signing key changes.
SWEEP_S = 5.0
KEY_LIFE_S = 3600.0
#: How long an operation waits for its entries before it answers all the same.
PATIENCE_S = 5.0

Answer = TypeVar("Answer")


class AuditTrail(Closing):
    """Takes entries and events and writes them. A context manager that ends with everything written."""

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        report: Callable[[str], None],
        *,
        long_lived: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the log in `folder`. Raises LocalError. `report` is told what goes wrong, in its thread.

        `long_lived` says that this is a broker, which changes the signing key at its start, each hour and at
        its end; a command leaves the key as it is.
        """
        self._clock = clock
        self._report = report
        self._long_lived = long_lived
        self._log = AuditLog(folder, max_bytes, now=clock())
        self._changed = threading.Condition()
        self._waiting: deque[Entry] = deque()
        self._denials = Denials(self._put)
        self._lost = 0
        self._failing = False
        self._busy = False
        self._closing = False
        self._key_changes_at = 0.0 if long_lived else float("inf")
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._tell()
        self._thread.start()

    @property
    def head(self) -> Head:
        """The newest entry that is on disk."""
        return self._log.head

    def record(self, kind: str, **facts: Fact) -> None:
        """Write one entry, with who asked for it. Any thread; returns at once."""
        actor = ACTOR.get()
        if actor:
            facts["by"] = actor
        with self._changed:
            self._put(Entry(kind, self._clock(), facts))
            self._changed.notify_all()

    def observe(self, event: Event) -> None:
        """Write `event` if it belongs here. Any thread; returns at once."""
        found = of_event(event)
        if found is not None:
            self.record(found[0], **found[1])
            return
        denial = of_denial(event)
        if denial is not None:
            with self._changed:
                self._denials.note(*denial, self._clock())
                if self._waiting:
                    self._changed.notify_all()

    def identity_changed(self, before: Identity | None, after: Identity) -> None:
        """Write what changed in an identity."""
        for kind, facts in of_identity(before, after):
            self.record(kind, **facts)

    def flush(self, timeout_s: float = PATIENCE_S) -> bool:
        """Wait until everything so far is on disk; False if it is not in time, or cannot be written now."""
        with self._changed:
            self._changed.notify_all()
            done = self._changed.wait_for(
                lambda: self._failing or not (self._waiting or self._busy), timeout_s
            )
            return done and not self._failing

    def after_writing(self, handle: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
        """`handle`, which then answers only when what it has recorded is on disk, also if it raises.

        Requests that change what no registry or file shows are recorded before they are handled.
        """

        def handled(request: Request) -> Answer:
            asked = of_request(request)
            if asked is not None:
                self.record(asked[0], **asked[1])
            try:
                return handle(request)
            finally:
                self.flush()

        return handled

    def close(self) -> None:
        """Write everything, counts included, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    # --- in its thread -------------------------------------------------------------------------------

    def _put(self, entry: Entry) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._lost += 1
        else:
            self._waiting.append(entry)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._closing and (self._failing or not self._waiting):
                    self._changed.wait(SWEEP_S)
                closing = self._closing
                self._denials.sweep(self._clock(), all_of_it=closing)
                batch, lost = list(self._waiting), self._lost
                self._busy = True
            error = self._write(batch, lost)
            with self._changed:
                self._busy = False
                if not error:
                    for _ in batch:
                        self._waiting.popleft()
                    self._lost -= lost
                failed, self._failing = self._failing, bool(error)
                self._changed.notify_all()
            error = error or self._change_key(closing)
            if error and not failed:
                self._report(f"the audit log cannot be written now: {error}")
            if closing:
                return

    def _write(self, batch: list[Entry], lost: int) -> str:
        """Write `batch`, and that `lost` entries are missing. What went wrong, or ""."""
        if lost:
            batch = [*batch, Entry("audit.lost", self._clock(), {"entries": lost})]
        error = _attempt(lambda: self._log.append(batch))
        self._tell()
        return error

    def _tell(self) -> None:
        """Report what the log has found out about its files."""
        notes, self._log.notes = self._log.notes, []
        for note in notes:
            self._report(note)

    def _change_key(self, closing: bool) -> str:
        """Change the signing key if it is time. What went wrong, or ""."""
        now = self._clock()
        if now < self._key_changes_at and not (closing and self._long_lived):
            return ""
        self._key_changes_at = now + KEY_LIFE_S
        error = _attempt(lambda: self._log.change_key(now))
        self._tell()
        return error


def _attempt(act: Callable[[], None]) -> str:
    try:
        act()
    except OSError as error:
        return error.strerror or str(error)
    except LocalError as error:
        return error.message
    return ""


class AuditedStorage:
    """`identity.ports.RegistryStorage` that tells of each change after it is stored."""

    __slots__ = ("_changed", "_known", "_storage")

    def __init__(
        self, storage: RegistryStorage, changed: Callable[[Identity | None, Identity], None]
    ) -> None:
        self._storage = storage
        self._changed = changed
        self._known = {identity.id: identity for identity in storage.load()}

    def load(self) -> list[Identity]:
        """As `RegistryStorage.load`."""
        return list(self._storage.load())

    def save(self, identity: Identity) -> None:
        """As `RegistryStorage.save`."""
        self._storage.save(identity)
        before, self._known[identity.id] = self._known.get(identity.id), identity
        self._changed(before, identity)

    def save_all(self, identities: Sequence[Identity]) -> None:
        """As `RegistryStorage.save_all`."""
        self._storage.save_all(identities)
        for identity in identities:
            before, self._known[identity.id] = self._known.get(identity.id), identity
            self._changed(before, identity)

"""Opens what a state directory knows of identities: registry, verifier of secrets, authorities.

One way for the broker and for commands that run without one. Whoever calls holds the `StateLock`.
"""

import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bollard.identity.authority import Authorities, load_authorities
from bollard.identity.credentials import Verifier, ensure_pepper
from bollard.identity.records import Identity
from bollard.identity.registry import Registry
from bollard.identity.unlock import BY_FILE, Unlock
from bollard.server.audit import AuditedStorage
from bollard.server.closing import Closing
from bollard.server.state import StateDirectory
from bollard.store.database import open_database
from bollard.store.devices import DeviceStore
from bollard.store.revocations import LoggedStorage, RevocationLog


@dataclass(frozen=True, slots=True)
class Identities(Closing):
    """The opened registry and what belongs to it; a context manager that closes it.

    `ended_again` names the identities that the revocation log has ended again: somebody restored an older
    registry.
    """

    registry: Registry
    authorities: Authorities
    verifier: Verifier = field(repr=False)
    database: sqlite3.Connection = field(repr=False)
    ended_again: tuple[str, ...] = ()

    def close(self) -> None:
        self.database.close()


def say_on_stderr(warning: str) -> None:
    """How a command without a broker says what went wrong beside its work."""
    print(f"bollard: {warning}", file=sys.stderr)  # noqa: T201  # a command's own words


def _nobody_asks(before: Identity | None, after: Identity) -> None:
    """What hears of changes that are in no audit log."""


def open_identities(
    state: StateDirectory,
    report: Callable[[str], None] = say_on_stderr,
    changed: Callable[[Identity | None, Identity], None] = _nobody_asks,
    unlock: Unlock = BY_FILE,
) -> Identities:
    """Registry and authorities of `state`. Raises LocalError if something is missing or damaged.

    `report` hears of what went wrong without making a change fail, `changed` of each identity as it was
    (None: new) and is, once that is stored.
    """
    authorities = load_authorities(state.root, unlock)
    database = open_database(state.registry)
    try:
        store = DeviceStore(database)
        verifier = Verifier(ensure_pepper(state.pepper, expected=store.has_verifiers()))
        storage = LoggedStorage(store, RevocationLog(state.revocations), report, now=time.time())
        registry = Registry(AuditedStorage(storage, changed), verifier, now=time.time())
    except BaseException:
        database.close()
        raise
    return Identities(registry, authorities, verifier, database, storage.restored)

"""Opens what a state directory knows of identities: registry, verifier of secrets, authorities.

One way for the broker and for commands that run without one. Whoever calls holds the `StateLock`.
"""

import sqlite3
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from bollard.identity.authority import Authorities, load_authorities
from bollard.identity.credentials import Verifier, ensure_pepper
from bollard.identity.registry import Registry
from bollard.server.state import StateDirectory
from bollard.store.database import open_database
from bollard.store.devices import DeviceStore


@dataclass(frozen=True, slots=True)
class Identities:
    """The opened registry and what belongs to it; a context manager that closes it."""

    registry: Registry
    authorities: Authorities
    verifier: Verifier = field(repr=False)
    database: sqlite3.Connection = field(repr=False)

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_identities(state: StateDirectory) -> Identities:
    """Registry and authorities of `state`. Raises LocalError if something is missing or damaged."""
    authorities = load_authorities(state.root)
    database = open_database(state.registry)
    try:
        store = DeviceStore(database)
        verifier = Verifier(ensure_pepper(state.pepper, expected=store.has_verifiers()))
        registry = Registry(store, verifier, now=time.time())
    except BaseException:
        database.close()
        raise
    return Identities(registry, authorities, verifier, database)

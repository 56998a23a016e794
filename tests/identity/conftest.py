"""Authorities made once for all tests of this floor, and a registry whose storage is a dictionary."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.authority import Authorities, create_authorities, load_authorities
from bollard.identity.credentials import Verifier
from bollard.identity.hosts import HostNames
from bollard.identity.records import Identity
from bollard.identity.registry import Registry
from bollard.identity.serving import ServerCertificates, ensure_server_certificates

#: 2026-11-23 00:00 UTC; what tests call now unless a real handshake needs the real time.
NOW = 1_795_392_000


@dataclass
class MemoryStorage:
    """`RegistryStorage` in a dictionary; `full` makes it refuse, as a full disk does."""

    saved: dict[str, Identity] = field(default_factory=dict)
    history: list[Identity] = field(default_factory=list)
    full: bool = False

    def load(self) -> list[Identity]:
        return [self.saved[name] for name in sorted(self.saved)]

    def save(self, identity: Identity) -> None:
        if self.full:
            raise LocalError("disk full")
        self.saved[identity.id] = identity
        self.history.append(identity)

    def save_all(self, identities: Sequence[Identity]) -> None:
        if self.full:
            raise LocalError("disk full")
        for identity in identities:
            self.save(identity)


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def verifier() -> Verifier:
    return Verifier(Secret(b"p" * 32))


@pytest.fixture
def registry(storage: MemoryStorage, verifier: Verifier) -> Registry:
    return Registry(storage, verifier, now=NOW)


@dataclass(frozen=True)
class Installation:
    """A state directory after its first run, for `localhost` and 127.0.0.1."""

    directory: Path
    recovery_file: Path
    authorities: Authorities
    names: HostNames
    server: ServerCertificates


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Installation]:
    """Makes an installation at a time, with names of its own."""

    def make(now: float) -> Installation:
        directory = tmp_path_factory.mktemp("state")
        recovery_file = create_authorities(directory, now=now)
        authorities = load_authorities(directory)
        names = HostNames("plant.local", (), ()).adding(["plant.local", "localhost", "127.0.0.1", "::1"])
        server = ensure_server_certificates(authorities, names, now=now)
        return Installation(directory, recovery_file, authorities, names, server)

    return make


@pytest.fixture(scope="session")
def pristine(install: Callable[[float], Installation]) -> Installation:
    """Made at `NOW`; not to be changed."""
    return install(NOW)


@pytest.fixture
def state(pristine: Installation, tmp_path: Path) -> Path:
    """A copy of the pristine state directory, to be damaged at will."""
    copy = tmp_path / "state"
    shutil.copytree(pristine.directory, copy)
    return copy

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.credentials import Verifier
from bollard.identity.records import CertificateRecord, CertificateState, Identity, State
from bollard.identity.registry import Registry
from bollard.store.database import open_database
from bollard.store.devices import DeviceStore

ISSUING, ACTIVE, REVOKED = CertificateState.ISSUING, CertificateState.ACTIVE, CertificateState.REVOKED
#: The largest serial: more than SQLite's integers hold.
SERIAL = (1 << 159) - 1
PLUG = Identity("plug", "uuid-plug", "device", State.PENDING, 10, 10)

ENDLESS = """
import sys
from pathlib import Path
from bollard.base.types import Secret
from bollard.identity.credentials import Verifier
from bollard.identity.registry import Registry
from bollard.store.database import open_database
from bollard.store.devices import DeviceStore
registry = Registry(DeviceStore(open_database(Path(sys.argv[1]))), Verifier(Secret(b"p" * 32)), now=1)
for i in range(1_000_000):
    secret = registry.add_with_password(f"plug-{i}", "device", now=i)
    print(f"plug-{i}", secret.reveal().decode(), flush=True)
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_database(tmp_path / "registry.db")
    yield connection
    connection.close()


@pytest.fixture
def store(database: sqlite3.Connection) -> DeviceStore:
    return DeviceStore(database)


def certificate(state: CertificateState = ACTIVE, serial: int = SERIAL) -> CertificateRecord:
    return CertificateRecord(serial, state, 99, 10, 10, b"" if state is ISSUING else b"\7" * 32)


@pytest.mark.parametrize("kept", [{"password_hash": "$6$x$y"}, {"psk_salt": b"s" * 16}])
def test_a_chosen_password_and_a_key_come_back_and_go(store: DeviceStore, kept: dict[str, str]) -> None:
    full = replace(PLUG, state=State.ACTIVE, **kept)  # type: ignore[arg-type]  # one of its fields
    store.save(full)
    assert store.load() == [full]
    assert store.has_verifiers()
    store.save(full.without_secrets)
    assert store.load() == [full.without_secrets]
    assert not store.has_verifiers()


def test_an_identity_comes_back_as_it_was_saved(store: DeviceStore) -> None:
    full = replace(
        PLUG,
        state=State.ACTIVE,
        verifier=b"v" * 32,
        certificates=(certificate(), certificate(ISSUING, 5)),
    )
    lamp = Identity("lamp", "uuid-lamp", "app", State.SUSPENDED, 11, 12)
    store.save(full)
    store.save(lamp)
    loaded = store.load()
    assert [i.id for i in loaded] == ["lamp", "plug"]
    assert loaded[0] == lamp
    assert replace(loaded[1], certificates=()) == replace(full, certificates=())
    assert set(loaded[1].certificates) == set(full.certificates)


def test_saving_again_replaces_what_was_there(store: DeviceStore) -> None:
    store.save(replace(PLUG, verifier=b"a" * 32, certificates=(certificate(ISSUING),)))
    changed = replace(
        PLUG,
        template="app",
        state=State.ACTIVE,
        changed_at=20,
        verifier=b"b" * 32,
        certificates=(certificate(),),
    )
    store.save(changed)
    assert store.load() == [changed]
    store.save(replace(changed, verifier=b""))
    assert store.load()[0].verifier == b""


def test_a_serial_is_never_forgotten(store: DeviceStore) -> None:
    store.save(replace(PLUG, certificates=(certificate(REVOKED),)))
    store.save(PLUG)
    assert store.load()[0].certificates == (certificate(REVOKED),)


def test_a_serial_does_not_change_its_owner(store: DeviceStore) -> None:
    store.save(replace(PLUG, certificates=(certificate(ISSUING),)))
    thief = Identity("thief", "uuid-thief", "device", State.ACTIVE, 10, 10, certificates=(certificate(),))
    with pytest.raises(LocalError, match="belongs to another identity"):
        store.save(thief)
    assert [i.id for i in store.load()] == ["plug"]
    assert store.load()[0].certificates[0].state is ISSUING


def test_a_save_is_whole_or_nothing(store: DeviceStore, database: sqlite3.Connection) -> None:
    store.save(PLUG)
    bad = replace(
        PLUG, state=State.ACTIVE, verifier=b"v" * 32, certificates=(certificate(), certificate(ACTIVE, 5))
    )
    with pytest.raises(LocalError, match="UNIQUE"):
        store.save(bad)
    assert store.load() == [PLUG]
    assert not store.has_verifiers()
    assert not database.in_transaction


def test_the_store_knows_whether_the_pepper_is_needed(store: DeviceStore) -> None:
    assert not store.has_verifiers()
    store.save(replace(PLUG, verifier=b"v" * 32))
    assert store.has_verifiers()


def test_a_damaged_row_is_said(store: DeviceStore, database: sqlite3.Connection) -> None:
    store.save(replace(PLUG, certificates=(certificate(),)))
    database.execute("UPDATE certificates SET serial = 'rubbish'")
    with pytest.raises(LocalError, match="registry is damaged"):
        store.load()
    database.execute("DROP TABLE verifiers")
    with pytest.raises(LocalError, match="registry is damaged"):
        store.has_verifiers()


def test_a_registry_finds_everything_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    verifier = Verifier(Secret(b"p" * 32))
    database = open_database(path)
    registry = Registry(DeviceStore(database), verifier, now=1)
    secret = registry.add_with_password("plug", "device", now=2)
    registry.begin_certificate("plug", SERIAL, not_after=99, now=3)
    registry.complete_certificate("plug", SERIAL, b"\7" * 32, now=4)
    registry.begin_certificate("plug", 5, not_after=99, now=5)
    database.close()
    database = open_database(path)
    restarted = Registry(DeviceStore(database), verifier, now=6).get("plug")
    database.close()
    assert verifier.check(secret, restarted.verifier)
    assert {c.serial: c.state for c in restarted.certificates} == {SERIAL: ACTIVE, 5: REVOKED}


def test_a_secret_in_the_clear_never_reaches_the_disk(tmp_path: Path) -> None:
    database = open_database(tmp_path / "state.db")
    registry = Registry(DeviceStore(database), Verifier(Secret(b"p" * 32)), now=1)
    secret = registry.add_with_password("plug", "device", now=2).reveal()
    on_disk = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert registry.get("plug").verifier in on_disk
    assert secret not in on_disk
    database.close()


def test_what_was_told_to_the_owner_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    with process.stdout:
        told = [process.stdout.readline() for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    verifier = Verifier(Secret(b"p" * 32))
    database = open_database(path)
    registry = Registry(DeviceStore(database), verifier, now=1)
    for line in told:
        name, secret = line.split()
        assert verifier.check(Secret(secret), registry.get(name.decode()).verifier)
    database.close()

"""The revocation log: appended to, never taken back, and stronger than a restored registry."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.credentials import Verifier
from bollard.identity.records import Identity, State
from bollard.identity.registry import Registry
from bollard.identity.revoke import Ending, What
from bollard.store.database import open_database
from bollard.store.devices import DeviceStore
from bollard.store.revocations import LoggedStorage, RevocationLog

LINE = Ending(10, "plug", "uuid-plug", What.REVOKED)
VERIFIER = Verifier(Secret(b"p" * 32))


class Installation:
    """Registry and log in a directory, opened and closed as often as one likes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = RevocationLog(folder / "revocations.log")
        self.reports: list[str] = []

    def work(self, act: Callable[[Registry], object]) -> tuple[str, ...]:
        """Open, `act`, close; the names that the log has ended again."""
        database = open_database(self.folder / "registry.db")
        try:
            storage = LoggedStorage(DeviceStore(database), self.log, self.reports.append, now=50)
            act(Registry(storage, VERIFIER, now=50))
            return storage.restored
        finally:
            database.close()

    def backup(self) -> None:
        shutil.copy(self.folder / "registry.db", self.folder / "backup.db")

    def restore(self) -> None:
        for leftover in ("registry.db-wal", "registry.db-shm"):
            (self.folder / leftover).unlink(missing_ok=True)
        shutil.copy(self.folder / "backup.db", self.folder / "registry.db")

    def identity(self, name: str) -> Identity:
        found: list[Identity] = []
        self.work(lambda registry: found.append(registry.get(name)))
        return found[0]


@pytest.fixture
def room(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def test_lines_come_back_in_order(room: Installation) -> None:
    other = Ending(11, "lamp", "uuid-lamp", What.PASSWORD, "ab" * 32)
    room.log.append([LINE])
    room.log.append([other, LINE])
    assert RevocationLog(room.folder / "revocations.log").load() == [LINE, other, LINE]
    assert (room.folder / "revocations.log").stat().st_mode & 0o777 == 0o600


def test_the_torn_end_of_a_write_that_was_cut_off_is_dropped(room: Installation) -> None:
    room.log.append([LINE])
    with (room.folder / "revocations.log").open("ab") as file:
        file.write(b'{"at":12,"iden')
    assert room.log.load() == [LINE]
    room.log.append([LINE])
    assert room.log.load() == [LINE, LINE]


@pytest.mark.parametrize("damage", [b"nonsense\n", b'{"at":1}\n', b"x" * 2000 + b"\n"])
def test_a_damaged_line_stops_the_start_because_guessing_could_let_somebody_in(
    room: Installation, damage: bytes
) -> None:
    room.log.append([LINE])
    with (room.folder / "revocations.log").open("ab") as file:
        file.write(damage)
    room.log.append([LINE])
    with pytest.raises(LocalError, match="line 2"):
        room.log.load()


def test_an_older_backup_of_the_registry_does_not_bring_a_revoked_device_back(room: Installation) -> None:
    room.work(lambda registry: registry.add_with_password("plug", "device", now=20))
    room.backup()
    room.work(lambda registry: registry.revoke("plug", now=30))
    room.restore()
    assert room.work(lambda registry: None) == ("plug",)
    assert room.identity("plug").state is State.REVOKED
    assert room.work(lambda registry: None) == ()


def test_an_older_backup_does_not_bring_a_replaced_password_back(room: Installation) -> None:
    room.work(lambda registry: registry.add_with_password("plug", "device", now=20))
    room.backup()
    room.work(lambda registry: registry.rotate_password("plug", now=30))
    room.restore()
    assert room.identity("plug").verifier == b""
    assert room.identity("plug").scram is None


def test_a_device_enrolled_and_revoked_after_the_backup_stays_revoked(room: Installation) -> None:
    room.work(lambda registry: None)
    room.backup()
    room.work(lambda registry: registry.add_with_password("plug", "device", now=20))
    room.work(lambda registry: registry.revoke("plug", now=30))
    room.restore()
    with pytest.raises(LocalError, match="was revoked"):
        room.work(lambda registry: registry.add_with_password("plug", "device", now=40))


def test_a_suspension_survives_an_older_backup_until_it_is_lifted(room: Installation) -> None:
    room.work(lambda registry: registry.add_with_password("plug", "device", now=20))
    room.backup()
    room.work(lambda registry: registry.suspend("plug", now=30))
    room.restore()
    assert room.identity("plug").state is State.SUSPENDED
    room.work(lambda registry: registry.resume("plug", now=40))
    room.restore()
    assert room.identity("plug").state is State.ACTIVE


def test_a_log_that_was_lost_is_made_anew_from_the_registry(room: Installation) -> None:
    room.work(lambda registry: registry.add_with_password("plug", "device", now=20))
    room.work(lambda registry: registry.revoke("plug", now=30))
    (room.folder / "revocations.log").unlink()
    room.work(lambda registry: None)
    assert [ending.what for ending in room.log.load()] == [What.REVOKED]


def test_a_revocation_that_the_database_did_not_take_is_made_up_for_at_the_next_start(
    room: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.work(lambda registry: registry.add_with_password("plug", "device", now=20))

    def full(self: DeviceStore, identity: Identity) -> None:
        raise LocalError("disk full", "Make room.")

    with monkeypatch.context() as broken:
        broken.setattr(DeviceStore, "save", full)
        with pytest.raises(LocalError, match="disk full") as raised:
            room.work(lambda registry: registry.revoke("plug", now=30))
        assert "revocation log" in raised.value.remedy
    assert room.identity("plug").state is State.REVOKED


def test_a_revocation_that_the_log_did_not_take_changes_nothing(room: Installation) -> None:
    room.work(lambda registry: registry.add_with_password("plug", "device", now=20))
    room.log = RevocationLog(room.folder / "no such directory" / "log")
    with pytest.raises(LocalError, match="revocation log"):
        room.work(lambda registry: registry.revoke("plug", now=30))
    assert room.identity("plug").state is State.ACTIVE


def test_a_replaced_password_that_could_not_be_noted_is_noted_with_the_next_change(
    room: Installation,
) -> None:
    folder = room.folder / "away"
    room.log = RevocationLog(folder / "log")

    def act(registry: Registry) -> None:
        registry.add_with_password("plug", "device", now=20)
        registry.rotate_password("plug", now=30)
        folder.mkdir()
        registry.add_with_password("lamp", "device", now=40)

    room.work(act)
    assert len(room.reports) == 1
    assert [ending.what for ending in room.log.load()] == [What.PASSWORD]


def test_a_write_that_fails_leaves_the_log_as_it_was(
    room: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.log.append([LINE])

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("bollard.store.revocations.os.fsync", fail)
        with pytest.raises(LocalError, match="No space left"):
            room.log.append([LINE])
    assert room.log.load() == [LINE]


def test_the_storage_gives_what_it_was_given(room: Installation) -> None:
    database: sqlite3.Connection = open_database(room.folder / "registry.db")
    storage = LoggedStorage(DeviceStore(database), room.log, room.reports.append, now=50)
    plug = Identity("plug", "uuid-plug", "device", State.PENDING, 10, 10)
    storage.save(plug)
    assert storage.load() == [plug] == DeviceStore(database).load()
    database.close()

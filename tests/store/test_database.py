import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.store.database import StateLock, lengthen_log, open_database, reading, transaction

HOLD = """
import sys
from collections.abc import Iterator
from pathlib import Path
from bollard.store.database import StateLock
with StateLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _generous_umask() -> Iterator[None]:
    """Rights must come from us, not from a careful umask."""
    before = os.umask(0)
    yield
    os.umask(before)


def pragma(database: sqlite3.Connection, name: str) -> object:
    return database.execute(f"PRAGMA {name}").fetchone()[0]


# --- opening


def test_a_database_is_made_durable_and_ours_alone(tmp_path: Path) -> None:
    database = open_database(tmp_path / "registry.db")
    assert pragma(database, "journal_mode") == "wal"
    assert pragma(database, "synchronous") == 2
    assert pragma(database, "foreign_keys") == 1
    assert pragma(database, "secure_delete") == 1
    assert pragma(database, "busy_timeout") == 5000
    files = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert files == {"registry.db": 0o600, "registry.db-wal": 0o600, "registry.db-shm": 0o600}
    database.close()


def test_what_was_written_is_there_after_a_reopen(tmp_path: Path) -> None:
    for expected in (0, 1):
        database = open_database(tmp_path / "registry.db")
        count = database.execute("SELECT count(*) FROM identities").fetchone()[0]
        assert count == expected
        with transaction(database):
            database.execute(
                "INSERT INTO identities VALUES (?, ?, 'device', 'active', 1, 1)", (f"i{expected}", expected)
            )
        database.close()


def test_a_database_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    open_database(path).close()
    path.chmod(0o644)
    with pytest.raises(LocalError, match="open to other users"):
        open_database(path)


@pytest.mark.parametrize("contents", [b"not a database" * 500, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_file_is_said_and_left_alone(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(contents)
    path.chmod(0o600)
    with pytest.raises(LocalError, match=r"cannot use .*registry\.db"):
        open_database(path)
    assert path.read_bytes() == contents
    assert open_files(path) == []


def test_a_database_of_a_newer_version_is_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    database = open_database(path)
    database.execute("INSERT INTO migrations VALUES ('quantum', 1)")
    database.close()
    with pytest.raises(LocalError, match="newer version"):
        open_database(path)
    assert open_files(path) == []


def open_files(path: Path) -> list[str]:
    """What this process has open whose name begins with `path`."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [name for name in map(os.readlink, links) if name.startswith(str(path))]


def test_another_thread_may_use_the_database(tmp_path: Path) -> None:
    database = open_database(tmp_path / "registry.db")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: database.execute("SELECT 1").fetchone()).result() == (1,)
    database.close()


def test_a_missing_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="No such file or directory"):
        open_database(tmp_path / "absent" / "registry.db")


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"")
    (tmp_path / "registry.db").symlink_to(tmp_path / "victim")
    with pytest.raises(LocalError, match="cannot use"):
        open_database(tmp_path / "registry.db")


# --- transactions


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    database = open_database(tmp_path / "registry.db")
    database.execute("CREATE TABLE t (x INTEGER PRIMARY KEY)")
    yield database
    database.close()


def rows(database: sqlite3.Connection) -> list[int]:
    return [x for (x,) in database.execute("SELECT x FROM t ORDER BY x")]


def insert(database: sqlite3.Connection, *numbers: int, interrupt: bool = False) -> None:
    """All of `numbers` in one transaction."""
    with transaction(database):
        for number in numbers:
            database.execute("INSERT INTO t VALUES (?)", (number,))
        if interrupt:
            raise KeyboardInterrupt


def test_a_transaction_is_whole_or_nothing(database: sqlite3.Connection) -> None:
    insert(database, 1, 2)
    with pytest.raises(KeyboardInterrupt):
        insert(database, 3, interrupt=True)
    assert rows(database) == [1, 2]
    assert not database.in_transaction


def test_what_sqlite_refuses_is_a_local_error_and_changes_nothing(database: sqlite3.Connection) -> None:
    with pytest.raises(LocalError, match="Nothing was changed"):
        insert(database, 1, 1)
    assert rows(database) == []
    insert(database, 1)
    assert rows(database) == [1]


def test_a_full_disk_is_a_local_error_and_changes_nothing(database: sqlite3.Connection) -> None:
    database.execute(f"PRAGMA max_page_count = {pragma(database, 'page_count')}")
    with pytest.raises(LocalError, match="full"):
        insert(database, *range(20_000))
    assert rows(database) == []


def test_what_cannot_be_read_is_a_local_error(database: sqlite3.Connection) -> None:
    with pytest.raises(LocalError, match="no such table"), reading(database):
        database.execute("SELECT * FROM absent")


# --- the lock


def test_a_second_process_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder.stdin, holder.stdout:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LocalError, match=f"in use by process {holder.pid}"), StateLock(tmp_path):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with StateLock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_the_same_process_cannot_hold_it_twice_by_mistake(tmp_path: Path) -> None:
    with StateLock(tmp_path), pytest.raises(LocalError, match="in use"), StateLock(tmp_path):
        pass


def test_the_lock_is_free_after_its_block_and_a_stale_file_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("4194304999\n")
    for _ in range(2):
        with StateLock(tmp_path):
            assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_the_lock_file_is_ours_alone(tmp_path: Path) -> None:
    with StateLock(tmp_path):
        assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_a_directory_that_is_missing_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="No such file"), StateLock(tmp_path / "absent"):
        pass


def test_a_lock_that_cannot_be_written_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(LocalError, match="No space left"), StateLock(tmp_path):
            pass
    with StateLock(tmp_path):
        pass


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def test_a_log_gets_its_length_once_and_keeps_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    database = open_database(path, ())
    database.execute("CREATE TABLE t (x INTEGER) STRICT")
    begun = log_of(path).read_bytes()
    lengthen_log(database, 1 << 20)
    assert log_of(path).read_bytes() == begun.ljust(1 << 20, b"\0")
    for number in range(100):
        database.execute("INSERT INTO t VALUES (?)", (number,))
    lengthen_log(database, 1 << 20)
    assert log_of(path).stat().st_size == 1 << 20
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT count(*) FROM t").fetchone() == (100,)
    other.close()
    database.close()


def test_a_log_with_zeros_behind_it_survives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    database = open_database(path, ())
    database.execute("CREATE TABLE t (x INTEGER) STRICT")
    lengthen_log(database, 1 << 18)
    database.execute("INSERT INTO t VALUES (1)")
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{path}{suffix}", f"{tmp_path / 'crashed.db'}{suffix}")
    database.close()
    with sqlite3.connect(tmp_path / "crashed.db") as crashed:
        assert crashed.execute("SELECT x FROM t").fetchall() == [(1,)]
    crashed.close()


def test_a_disk_with_little_room_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.db"
    database = open_database(path, ())
    before = log_of(path).stat().st_size
    room = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "fstatvfs", lambda _: room)
    lengthen_log(database, room.f_bavail * room.f_frsize)
    assert log_of(path).stat().st_size == before
    database.close()


def test_a_database_in_memory_has_no_log() -> None:
    database = sqlite3.connect(":memory:")
    lengthen_log(database, 1 << 20)
    database.close()


def test_a_log_that_is_another_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    database = open_database(path, ())
    (tmp_path / "other").write_bytes(b"")
    log_of(path).unlink()
    log_of(path).symlink_to(tmp_path / "other")
    lengthen_log(database, 1 << 16)
    assert (tmp_path / "other").stat().st_size == 0
    log_of(path).unlink()
    database.close()

"""Opening SQLite safely, transactions, and the lock that makes one process the writer.

What is in the tables belongs to the other files of this floor; their form to `migrations.py`.
"""

import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from bollard.base.errors import LocalError
from bollard.store.appending import write_whole
from bollard.store.migrations import MIGRATIONS, Migration, migrate

BUSY_TIMEOUT_S = 5.0
#: A disk with less room than so many times the length of a log keeps it for what comes.
_ROOM_FOR_LOG = 16

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # a commit that was reported is on disk, power cut or not
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # a replaced verifier does not stay in free pages
    "PRAGMA trusted_schema = OFF",  # a planted schema runs no functions
    "PRAGMA cell_size_check = ON",
)


def open_database(path: Path, migrations: tuple[Migration, ...] = MIGRATIONS) -> sqlite3.Connection:
    """The database at `path`, made with mode 0600 if missing, with its schema brought up to date.

    The connection is in autocommit mode (`transaction` groups), and may be used by any thread, one at a
    time. The caller holds the `StateLock`. `LocalError` if the file is damaged, open to other users,
    cannot be written, or was written by a newer version.
    """
    try:
        _make_private(path)
        database = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from None
    try:
        for pragma in _PRAGMAS:
            database.execute(pragma)
        migrate(database, migrations)
    except sqlite3.Error as error:
        database.close()
        raise _unusable(path, error) from None
    except BaseException:
        database.close()
        raise
    return database


def lengthen_log(database: sqlite3.Connection, length: int) -> None:
    """Make the write-ahead log of an opened database `length` bytes long with zeros behind its end: to force
    what replaces written blocks to the disk takes about half as long as what makes a file longer.

    SQLite reads its log up to the first frame that is not of this log, so zeros say nothing. On a disk that has
    little room, or for a database in memory, nothing is done.
    """
    path = str(database.execute("PRAGMA database_list").fetchone()[2]) + "-wal"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        room = os.fstatvfs(handle)
        missing = length - os.fstat(handle).st_size
        if missing > 0 and room.f_bavail * room.f_frsize > _ROOM_FOR_LOG * length:
            write_whole(handle, bytes(missing))
    except OSError:
        return  # it grows as it always has
    finally:
        os.close(handle)


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All of the block, on disk when it ends, or nothing if it raises. Not nested.

    What SQLite cannot do (full disk, damage, a lock held too long) is a `LocalError`.
    """
    try:
        try:
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:  # a full disk has rolled it back already
                database.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise LocalError(
            f"the registry could not be written: {error}",
            "Nothing was changed. Check that the disk has room and is not read-only.",
        ) from None


@contextmanager
def reading(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A block that only reads: what cannot be read, or makes no sense, is a `LocalError`."""
    try:
        yield database
    except (sqlite3.Error, ValueError) as error:
        raise LocalError(f"the registry is damaged: {error}", "Restore it from your backup.") from None


class StateLock:
    """One process works on a state directory at a time. A context manager around all of its work.

    The lock belongs to the process and ends with it, however it ends; the file `lock` stays behind.
    Entering raises `LocalError` with the process id of the holder if there is one.
    """

    __slots__ = ("_handle", "_path")

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._handle = -1

    def __enter__(self) -> Self:
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _unusable(self._path, error) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
            os.close(handle)
            raise LocalError(
                f"{self._path.parent} is in use by process {holder or 'unknown'}",
                "Stop that broker, or give this one another directory.",
            ) from None
        except OSError as error:
            os.close(handle)
            raise _unusable(self._path, error) from None
        self._handle = handle
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)
        self._handle = -1


def _make_private(path: Path) -> None:
    """SQLite would make the file with the umask's mode, and its WAL takes the mode of the file."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)
    if mode & 0o077:
        raise LocalError(f"{path} is open to other users (mode {mode:04o})", f"`chmod 600 {path}` closes it.")


def _unusable(path: Path, error: OSError | sqlite3.Error) -> LocalError:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return LocalError(
        f"cannot use {path}: {why}",
        "Check its owner and the disk, or restore it from your backup.",
    )

"""Opening the session store whatever state it is in, and what is left to save from a damaged one.

A store that a crash left behind is checked before it is used. One that is damaged is moved aside as it is,
never written again, and what can be read of it goes into a fresh store. Nothing here knows what rows mean:
the engine leaves out those that contradict each other.
"""

# ruff: noqa: S608  (what is put into statements are names of our tables)
import os
import shutil
import sqlite3
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bollard.base.errors import LocalError
from bollard.store.batches import Changes, DamagedBatch
from bollard.store.database import open_database
from bollard.store.sessions import LOG_BYTES, SessionStore
from bollard.store.tables import CLOSED, COLUMNS, ENDED, IN_USE, KEYS, SESSION_MIGRATIONS, Tables

PAGE_BYTES = 4096
_ALL_COLUMNS = {**COLUMNS, "batches": ("number", "changes")}
_ALL_KEYS = {**KEYS, "batches": ("number",)}
#: What SQLite says when the file is not to blame; whoever opens it for good will say it again.
_NOT_DAMAGE = ("locked", "readonly", "full", "unable to open")
#: Rows read at once from a damaged table: a page that fails costs no more than its neighbours.
_STEP = 64
#: Of a bounded store, the part that batches may take up which are not yet sorted into the tables.
_SHARE_WAITING = 8
#: How much longer than it is a truncated file may claim to have been (attack: a header that fills the disk).
_MAX_PADDED = 1000
#: Gaps in a damaged table that are stepped over before the rest is read from its end.
_MAX_GAPS = 64


@dataclass(frozen=True, slots=True)
class Opened:
    """How a store was found. `problem` is "" if nothing was wrong; `aside` where a damaged one is kept,
    `saved` how many rows of each table came from it."""

    unclean: bool = False
    problem: str = ""
    aside: Path | None = None
    saved: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """What the operator must know."""
        if self.aside is None:
            return self.problem
        counts = ", ".join(f"{count} {table}" for table, count in self.saved.items())
        return (
            f"the session store was damaged ({self.problem}). Saved from it: {counts}."
            f" The damaged file is kept as {self.aside}; what is not in the new store may be lost."
        )


def open_sessions(path: Path, *, relaxed: bool = False, max_bytes: int = 0) -> tuple[SessionStore, Opened]:
    """The session store at `path`, checked if it was not closed, salvaged if it is damaged.

    `relaxed` gives up the last moments before a power loss for fewer waits: a commit is not forced to the
    disk. `max_bytes` bounds the file; 0 does not. LocalError if no store can be had at all.
    """
    lost_wal = _wal_is_missing(path)
    state, problem = _examine(path)
    if problem:
        store, opened = _salvage(path, problem, relaxed, max_bytes)
        return store, opened
    store = _open(path, relaxed, max_bytes)
    if state == IN_USE and lost_wal:
        return store, Opened(
            True,
            f"{path.name}-wal is missing although the broker was not stopped: what was written last is lost",
        )
    return store, Opened(state != CLOSED)


def salvage_again(
    path: Path, store: SessionStore, problem: str, *, relaxed: bool = False, max_bytes: int = 0
) -> tuple[SessionStore, Opened]:
    """For a store that was opened and turned out to hold what cannot be read."""
    store.close(clean=None)
    return _salvage(path, problem, relaxed, max_bytes)


def check(path: Path) -> tuple[dict[str, int], str]:
    """Rows of each table, and what is wrong with the store ("" if nothing). A broker may be using it."""
    if not path.exists():
        raise LocalError(f"there is no session store at {path}", "It is made by the first start.")
    try:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        return {}, str(error)
    try:
        problem = _integrity(database)
        store = SessionStore(database)
        return ({} if problem else {table: store.count(table) for table in COLUMNS}), problem
    except sqlite3.Error as error:
        return {}, str(error)
    finally:
        database.close()


def backup(path: Path, target: Path) -> None:
    """Copy the store to `target`, which must not exist, in one consistent state. A broker may be using it."""
    if not path.exists():
        raise LocalError(f"there is no session store at {path}", "It is made by the first start.")
    _copy(path, target)


def restore_backup(source: Path, path: Path) -> Path | None:
    """Put the backup `source` in place of the store; where the old one is kept, if there was one.

    The caller holds the state directory's lock. LocalError, and nothing was changed, if `source` is no
    sound session store.
    """
    if not source.is_file():
        raise LocalError(f"there is no backup at {source}", "Name a file that `bollard store backup` made.")
    _, problem = check(source)
    if problem:
        raise LocalError(f"{source} is damaged or no session store: {problem}", "Use another backup.")
    fresh = path.with_name(path.name + ".new")
    _remove(fresh)
    _copy(source, fresh)
    aside = _move_aside(path, "replaced") if path.exists() else None
    fresh.rename(path)
    _sync_directory(path.parent)
    return aside


def _copy(source: Path, target: Path) -> None:
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        raise LocalError(f"{target} exists", "Name a file that does not.") from None
    except OSError as error:
        raise LocalError(f"cannot write {target}: {error.strerror}") from None
    try:
        origin = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
        copy = sqlite3.connect(target)
        try:
            origin.backup(copy)
            # Whole, but not checked since: the broker that made it was, and will be, in the middle of its work.
            copy.execute("UPDATE state SET clean = ?", (ENDED,))
            copy.commit()
        finally:
            origin.close()
            copy.close()
        with target.open("rb") as handle:
            os.fsync(handle.fileno())
    except (sqlite3.Error, OSError) as error:
        _remove(target)
        raise LocalError(f"cannot copy {source} to {target}: {error}", "Nothing was changed.") from None


def _open(path: Path, relaxed: bool, max_bytes: int) -> SessionStore:
    database = open_database(path, SESSION_MIGRATIONS)
    for pragma in (
        "PRAGMA secure_delete = OFF",  # queued messages are no secrets of ours, and there are many
        f"PRAGMA synchronous = {'NORMAL' if relaxed else 'FULL'}",
        f"PRAGMA wal_autocheckpoint = {LOG_BYTES // PAGE_BYTES}",
        "PRAGMA journal_size_limit = 67108864",
        "PRAGMA cache_size = -16384",
    ):
        database.execute(pragma)
    if max_bytes:
        database.execute(f"PRAGMA max_page_count = {max(max_bytes // PAGE_BYTES, 256)}")
    store = SessionStore(database)
    if max_bytes:
        store.max_waiting_bytes = min(store.max_waiting_bytes, max_bytes // _SHARE_WAITING)
    return store


def _wal_is_missing(path: Path) -> bool:
    return path.exists() and not path.with_name(path.name + "-wal").exists()


def _examine(path: Path) -> tuple[int, str]:
    """How the store was left, and what is wrong with it."""
    if not path.exists() or path.stat().st_size == 0:
        wal = path.with_name(path.name + "-wal")
        empty = not wal.exists() or wal.stat().st_size == 0
        return CLOSED, "" if empty else "the file is gone, but for its write-ahead log"
    database = None
    try:
        # Only reading: what is damaged must stay as it is, and closing it would write the log into it.
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        state = SessionStore(database).state()
        return state, "" if state == CLOSED else _integrity(database)
    except sqlite3.Error as error:
        blameless = any(word in str(error) for word in _NOT_DAMAGE)
        return ENDED, "" if blameless else str(error)
    finally:
        if database is not None:
            database.close()


def _integrity(database: sqlite3.Connection) -> str:
    rows = [str(row[0]) for row in database.execute("PRAGMA integrity_check(3)")]
    if rows == ["ok"]:
        SessionStore(database).check_waiting()
        return ""
    return "; ".join(rows)


def _salvage(path: Path, problem: str, relaxed: bool, max_bytes: int) -> tuple[SessionStore, Opened]:
    aside = _move_aside(path, "damaged")
    # SQLite would write to what it reads: it gets a copy.
    copy = path.with_name(path.name + ".salvage")
    _remove(copy)
    for suffix in ("", "-wal"):
        origin = aside.with_name(aside.name + suffix)
        if origin.exists():
            part = copy.with_name(copy.name + suffix)
            part.touch(0o600)
            shutil.copyfile(origin, part)
    _pad(copy)
    saved = _transfer(copy, path)
    _remove(copy)
    return _open(path, relaxed, max_bytes), Opened(True, problem, aside, saved)


def _pad(path: Path) -> None:
    """Give a truncated copy its full length: SQLite reads nothing at all of a file that is too short."""
    with path.open("r+b") as handle:
        header = handle.read(100)
        if len(header) == 100:
            pages = int.from_bytes(header[28:32], "big")
            length = pages * PAGE_BYTES
            if path.stat().st_size < length <= _MAX_PADDED * max(path.stat().st_size, PAGE_BYTES):
                handle.truncate(length)


def _transfer(source: Path, target: Path) -> dict[str, int]:
    """Copy every row that can be read; how many of each table."""
    database = open_database(target, SESSION_MIGRATIONS)
    tables = Tables(database)
    try:
        origin = sqlite3.connect(source, isolation_level=None)
        origin.text_factory = lambda raw: raw.decode("utf-8", "strict")
        try:
            database.execute("BEGIN IMMEDIATE")
            for table in COLUMNS:
                _transfer_table(origin, tables, table)
            _transfer_batches(origin, database)
            database.execute("COMMIT")
        finally:
            origin.close()
        store = SessionStore(database)
        return {table: store.count(table) for table in COLUMNS}
    except sqlite3.Error as error:
        raise LocalError(
            f"the session store is damaged and a new one cannot be written: {error}",
            "Check that the disk has room. The damaged store was kept.",
        ) from None
    finally:
        database.close()


def _transfer_table(origin: sqlite3.Connection, tables: Tables, table: str) -> None:
    for rows in _readable(origin, table):
        for row in rows:
            try:
                tables.insert(table, [row])
            except (sqlite3.IntegrityError, OverflowError):
                continue  # a value that the table does not allow: damage that SQLite did not see


def _transfer_batches(origin: sqlite3.Connection, database: sqlite3.Connection) -> None:
    """Batches that were not sorted in: those that are what was written."""
    for rows in _readable(origin, "batches"):
        for number, value in rows:
            try:
                Changes().follow(value)
            except DamagedBatch:
                continue
            database.execute("INSERT OR REPLACE INTO batches VALUES (?, ?)", (number, value))


def _readable(origin: sqlite3.Connection, table: str) -> Iterator[list[tuple[Any, ...]]]:
    """Rows from the start of a table over its gaps, and from its end up to the last gap."""
    last = yield from _forward(origin, table)
    if last is None:
        return
    key = ", ".join(f"{column} DESC" for column in _ALL_KEYS[table])
    columns = ", ".join(_ALL_COLUMNS[table])
    cursor = origin.cursor()
    try:
        cursor.execute(f"SELECT {columns} FROM {table} ORDER BY {key}")
        while rows := cursor.fetchmany(1):
            yield rows
    except (sqlite3.Error, UnicodeDecodeError):
        return


def _forward(
    origin: sqlite3.Connection, table: str
) -> Generator[list[tuple[Any, ...]], None, tuple[Any, ...] | None]:
    """Rows in the order of the key. Returns where it gave up, None if the table ended."""
    columns, keys = ", ".join(_ALL_COLUMNS[table]), _ALL_KEYS[table]
    places = [_ALL_COLUMNS[table].index(key) for key in keys]
    order = ", ".join(keys)
    marks = ", ".join("?" * len(keys))
    after: tuple[Any, ...] | None = None
    gaps, step = 0, _STEP
    while gaps < _MAX_GAPS:
        where = f"WHERE ({order}) > ({marks})" if after is not None else ""
        try:
            rows = origin.execute(
                f"SELECT {columns} FROM {table} {where} ORDER BY {order} LIMIT {step}", after or ()
            ).fetchall()
        except (sqlite3.Error, UnicodeDecodeError):
            if step > 1:
                step = 1
                continue
            gaps += 1
            after = _beyond(after, gaps)
            if after is None:
                return ()
            continue
        if not rows:
            return None
        yield rows
        after = tuple(rows[-1][place] for place in places)
        step = _STEP if gaps == 0 else step
    return after


def _beyond(after: tuple[Any, ...] | None, gaps: int) -> tuple[Any, ...] | None:
    """A key behind the one that cannot be read, further with every gap; None if it cannot be guessed."""
    if after is None or not isinstance(after[-1], int):
        return None
    return (*after[:-1], after[-1] + 2 ** min(gaps, 40))


def _move_aside(path: Path, why: str) -> Path:
    """Rename the store, with its write-ahead log, to a name that says when and why."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    aside = path.with_name(f"{path.name}.{why}-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{why}-{stamp}-{number}")
    try:
        for suffix in ("", "-wal"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
        _sync_directory(path.parent)
    except OSError as error:
        raise LocalError(f"cannot move {path} aside: {error.strerror}", "Check its folder.") from None
    return aside


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

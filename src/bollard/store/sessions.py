"""Sessions, what they are owed, and retained messages on disk: `engine.records.Kept` over SQLite.

One writer applies the journal's batches, each durable as a whole. A batch of more than a few rows becomes one row
of the table `batches` first: that is all that an acknowledgement has to wait for. `catch_up` sorts such batches into
the other tables, many in one transaction, when nobody waits or too many have gathered. Reading gives both together,
so what was sorted and what was not is the same to everybody else. Batches are written and read by `batches.py`,
tables by `tables.py`; opening, damage and threads are in other files.
"""

# ruff: noqa: S608  (what is put into statements are names of our tables)
import heapq
import sqlite3
import time
from collections.abc import Iterator

from bollard.engine.journal import Batch
from bollard.engine.records import (
    DeliveryRecord,
    MessageRecord,
    ReceivedRecord,
    SessionRecord,
    SubscriptionRecord,
)
from bollard.store.batches import Changes, encode, verify
from bollard.store.database import lengthen_log
from bollard.store.tables import CLOSED, COLUMNS, ENDED, IN_USE, KEYS, OF_SESSIONS, Row, Tables

#: A batch up to so many rows is sorted in at once, if no other waits: that is as fast, and is done then.
FEW_ROWS = 16
#: So is one whose payloads are larger than this for each row: writing them twice would cost more than it saves.
LARGE_ROW_BYTES = 512
#: Batches that wait, in bytes. Beyond, they are sorted in while the next ones come in, and before they are taken
#: when twice as much waits. A batch that alone is larger is sorted in with all that waits.
MAX_WAITING_BYTES = 32 << 20
#: Rows that are sorted in by one transaction, about: what a batch that comes meanwhile waits for.
ROWS_AT_ONCE = 512
#: Length of the write-ahead log from the start; it is copied to the database when it is about full.
LOG_BYTES = 24 << 20
#: Rows that are fetched at once when tables are streamed.
_FETCH = 1000


class SessionStore:
    """The store in an opened database. One thread at a time. `waiting_bytes` are in batches that are durable
    but not sorted in."""

    __slots__ = (
        "_database",
        "_last",
        "_logged_bytes",
        "_marked",
        "_overlay",
        "_rest_until",
        "_tables",
        "few_rows",
        "max_waiting_bytes",
        "rows_at_once",
        "waiting_bytes",
    )

    def __init__(self, database: sqlite3.Connection) -> None:
        """`sqlite3.Error` if it is damaged, or no store of ours."""
        self._database = database
        self._tables = Tables(database)
        self._marked = False
        self.few_rows = FEW_ROWS
        self.rows_at_once = ROWS_AT_ONCE
        self.max_waiting_bytes = MAX_WAITING_BYTES
        self._last, self.waiting_bytes = self._look()
        #: What waits, while it is read with the tables; and when everything may be sorted in at once again.
        self._overlay: Changes | None = None
        self._rest_until = 0.0
        #: What batches and their sorting in have about written since the last checkpoint.
        self._logged_bytes = 0

    def _look(self) -> tuple[int, int]:
        """The number of the last batch that waits, 0 if none does, and the bytes of all."""
        known = self._database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'batches'").fetchone()
        if known is None:  # a copy that an earlier version made
            return 0, 0
        last, size = self._database.execute(
            "SELECT coalesce(max(number), 0), coalesce(sum(length(changes)), 0) FROM batches"
        ).fetchone()
        return int(last), int(size)

    # --- writing -------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Note that from now on the store is in use, in the main file, so that the loss of its write-ahead
        log cannot hide it. On a disk that is full the first batch notes it."""
        self._overlay = None
        try:
            self._database.execute("UPDATE state SET clean = 0")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._marked = True
        except sqlite3.OperationalError:
            self._marked = False

    def lengthen_log(self) -> None:
        """Give the write-ahead log its length, if the disk has room: a tenth of a second, once after the start."""
        lengthen_log(self._database, LOG_BYTES)

    def apply(self, batch: Batch) -> None:
        """Make all of `batch` durable. `sqlite3.Error`: nothing of it is, and it may be tried again.

        What no table could take is a ValueError, TypeError or struct.error.
        """
        rows = len(batch)
        if not rows:
            return
        size = sum(len(message.payload) for message in batch.messages.values())
        large = size > self.max_waiting_bytes
        if large or (not self._last and (rows <= self.few_rows or size > LARGE_ROW_BYTES * rows)):
            self._sort_in(batch)
            return
        value = encode(batch)
        try:
            if self.waiting_bytes > 2 * self.max_waiting_bytes:
                self.catch_up()
            self._append(value)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL or time.monotonic() < self._rest_until:
                raise
            self._make_room(batch)

    def _make_room(self, batch: Batch) -> None:
        """What waits may be smaller once it is sorted in, and what has ended meanwhile makes room. Where that
        does not help, it is not tried all the time."""
        began = time.monotonic()
        try:
            self._sort_in(batch)
        except sqlite3.Error:
            now = time.monotonic()
            self._rest_until = now + 10 * (now - began)
            raise

    def _append(self, value: bytes) -> None:
        database = self._database
        if self._marked:
            database.execute("INSERT INTO batches VALUES (?, ?)", (self._last + 1, value))
        else:
            with _Transaction(database):
                database.execute("UPDATE state SET clean = 0")
                database.execute("INSERT INTO batches VALUES (?, ?)", (self._last + 1, value))
            self._marked = True
        self._last += 1
        self.waiting_bytes += len(value)
        self._logged_bytes += len(value)
        self._overlay = None

    def _sort_in(self, batch: Batch) -> None:
        """Everything that waits and then `batch`, in one transaction."""
        changes = self._all_waiting()
        changes.take(batch)
        with _Transaction(self._database) as database:
            if not self._marked:
                database.execute("UPDATE state SET clean = 0")
            if self._last:
                database.execute("DELETE FROM batches")
            changes.write(self._tables)
        self._marked = True
        self._last = self.waiting_bytes = 0
        self._overlay = None

    def catch_up(self) -> bool:
        """Sort in the oldest batches that wait, about `rows_at_once` rows; whether any waited.

        `sqlite3.Error`: nothing was changed, and all is as durable as it was.
        """
        if not self._last:
            return False
        changes, done, size = Changes(), 0, 0
        for number, value in self._waiting():
            changes.follow(value)
            done, size = number, size + len(value)
            if changes.rows >= self.rows_at_once:
                break
        with _Transaction(self._database) as database:
            database.execute("DELETE FROM batches WHERE number <= ?", (done,))
            changes.write(self._tables)
        self._overlay = None
        self.waiting_bytes -= size
        self._logged_bytes += size
        if done == self._last:
            self._last = self.waiting_bytes = 0
        return True

    def _waiting(self) -> Iterator[tuple[int, bytes]]:
        """Batches that are not sorted in, oldest first."""
        if self._last:
            yield from self._database.execute("SELECT number, changes FROM batches ORDER BY number")

    def _all_waiting(self) -> Changes:
        changes = Changes()
        for _, value in self._waiting():
            changes.follow(value)
        return changes

    def checkpoint(self) -> None:
        """Copy the write-ahead log to the database, so that no commit has to, if batches have filled much of it:
        little is not worth the wear. `sqlite3.Error`: not now."""
        if self._logged_bytes > LOG_BYTES // 4:
            self._database.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._logged_bytes = 0

    def close(self, *, clean: bool | None) -> None:
        """Close; `clean` says whether everything that was taken is in it, None writes nothing at all.

        What cannot be sorted in now stays what it is: durable, and read with the rest.
        """
        try:
            if clean is not None:
                while self.catch_up():
                    pass
        except sqlite3.Error:
            pass
        try:
            if clean is not None:
                self._database.execute("UPDATE state SET clean = ?", (CLOSED if clean else ENDED,))
        finally:
            self._database.close()

    # --- reading -------------------------------------------------------------------------------------

    def check_waiting(self) -> None:
        """`sqlite3.Error` if a batch that waits is not what was written."""
        for _, value in self._waiting():
            verify(value)

    def state(self) -> int:
        """How the last broker left the store: IN_USE, CLOSED or ENDED."""
        row = self._database.execute("SELECT clean FROM state").fetchone()
        return int(row[0]) if row is not None else IN_USE

    def sessions(self) -> Iterator[SessionRecord]:
        return map(SessionRecord._make, self._rows("sessions"))

    def subscriptions(self) -> Iterator[SubscriptionRecord]:
        return map(SubscriptionRecord._make, self._rows("subscriptions"))

    def received(self) -> Iterator[ReceivedRecord]:
        return map(ReceivedRecord._make, self._rows("received"))

    def messages(self) -> Iterator[MessageRecord]:
        return map(MessageRecord._make, self._rows("messages"))

    def deliveries(self) -> Iterator[DeliveryRecord]:
        return map(DeliveryRecord._make, self._rows("deliveries"))

    def retained(self) -> Iterator[int]:
        return (number for (number,) in self._rows("retained"))

    def count(self, table: str) -> int:
        """How many rows a table has."""
        if self._last:
            return sum(1 for _ in self._rows(table))
        return int(self._database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def _rows(self, table: str) -> Iterator[Row]:
        """A table in the order of its key, as it will be when all that waits is sorted in."""
        if not self._last:
            return self._stored(table)
        changes = self._overlay = self._overlay or self._all_waiting()
        changed = changes.of_table(table)
        ended = changes.ended_sessions if table in OF_SESSIONS else {}
        width = len(KEYS[table])
        left = (row for row in self._stored(table) if row[:width] not in changed and row[0] not in ended)
        come = sorted(row for row in changed.values() if row is not None)
        return heapq.merge(left, come, key=lambda row: row[:width])

    def _stored(self, table: str) -> Iterator[Row]:
        columns, key = ", ".join(COLUMNS[table]), ", ".join(KEYS[table])
        cursor = self._database.cursor()
        cursor.arraysize = _FETCH
        cursor.execute(f"SELECT {columns} FROM {table} ORDER BY {key}")
        while rows := cursor.fetchmany():
            yield from rows


class _Transaction:
    """All of the block, durable when it ends, or nothing if it raises."""

    __slots__ = ("_database",)

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        self._database.execute("BEGIN IMMEDIATE")
        return self._database

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:  # a full disk has rolled it back already
                self._database.execute("ROLLBACK")

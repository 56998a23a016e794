"""The tables of sessions, what they are owed, and retained messages: `engine.records.Kept` over SQLite.

One writer applies the journal's batches, each in one transaction; at start the same tables are streamed
back. What the rows mean is in `engine/records.py`. Opening, damage and threads are in other files.

Inserts and deletes go many to a statement: each statement gives up the interpreter's lock once, so a busy
event loop and the writer seldom wait for each other.
"""

# ruff: noqa: S608  (what is put into statements are names of our tables)
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from bollard.engine.journal import Batch
from bollard.engine.records import (
    DeliveryRecord,
    MessageRecord,
    ReceivedRecord,
    SessionRecord,
    SubscriptionRecord,
)
from bollard.store.migrations import Migration

SESSION_MIGRATIONS = (
    Migration(
        "sessions",
        (
            # One row: how the last broker left the store, so that one that was closed is not checked.
            "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), clean INTEGER NOT NULL) STRICT",
            "INSERT INTO state VALUES (1, 1)",
            """
            CREATE TABLE sessions (
                number INTEGER PRIMARY KEY,
                principal TEXT NOT NULL,
                client_id TEXT NOT NULL,
                connected INTEGER NOT NULL,
                expiry_s INTEGER NOT NULL,
                ends_at REAL NOT NULL,
                will_at REAL NOT NULL,
                will_name TEXT NOT NULL,
                will_payload BLOB NOT NULL,
                will_flags INTEGER NOT NULL,
                will_delay_s INTEGER NOT NULL,
                will_expiry_s INTEGER NOT NULL,
                will_forward BLOB NOT NULL
            ) STRICT
            """,
            """
            CREATE TABLE subscriptions (
                session INTEGER NOT NULL,
                filter TEXT NOT NULL,
                qos INTEGER NOT NULL,
                no_local INTEGER NOT NULL,
                retain_as_published INTEGER NOT NULL,
                identifier INTEGER NOT NULL,
                PRIMARY KEY (session, filter)
            ) STRICT, WITHOUT ROWID
            """,
            """
            CREATE TABLE received (
                session INTEGER NOT NULL,
                packet_id INTEGER NOT NULL,
                PRIMARY KEY (session, packet_id)
            ) STRICT, WITHOUT ROWID
            """,
            """
            CREATE TABLE messages (
                number INTEGER PRIMARY KEY,
                name TEXT NOT NULL,
                payload BLOB NOT NULL,
                flags INTEGER NOT NULL,
                author TEXT NOT NULL,
                client_id TEXT NOT NULL,
                forward BLOB NOT NULL,
                expires_at REAL NOT NULL
            ) STRICT
            """,
            """
            CREATE TABLE deliveries (
                session INTEGER NOT NULL,
                number INTEGER NOT NULL,
                message INTEGER NOT NULL,
                flags INTEGER NOT NULL,
                packet_id INTEGER NOT NULL,
                released INTEGER NOT NULL,
                identifiers TEXT,
                share TEXT,
                PRIMARY KEY (session, number)
            ) STRICT, WITHOUT ROWID
            """,
            "CREATE TABLE retained (message INTEGER PRIMARY KEY) STRICT",
        ),
    ),
)

#: How a store was left: by a crash, by a stop, by a stop for which the disk did not take everything.
IN_USE, CLOSED, ENDED = 0, 1, 2
#: Columns of each table, in the order of its records.
COLUMNS = {
    "sessions": SessionRecord._fields,
    "subscriptions": SubscriptionRecord._fields,
    "received": ReceivedRecord._fields,
    "messages": MessageRecord._fields,
    "deliveries": DeliveryRecord._fields,
    "retained": ("message",),
}
#: The key of each table.
KEYS = {
    "sessions": ("number",),
    "subscriptions": ("session", "filter"),
    "received": ("session", "packet_id"),
    "messages": ("number",),
    "deliveries": ("session", "number"),
    "retained": ("message",),
}
#: Rows to a statement: the most that pays off, one size for what is left over, and single rows.
_SIZES = (32, 8, 1)
#: Rows that are fetched at once when tables are streamed.
_FETCH = 1000


class SessionStore:
    """The tables in an opened database. One thread at a time."""

    __slots__ = ("_database", "_marked", "_statements")

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._statements: dict[tuple[str, str, int], str] = {}
        self._marked = False

    # --- writing -------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Note that from now on the store is in use, in the main file, so that the loss of its write-ahead
        log cannot hide it. On a disk that is full the first batch notes it."""
        try:
            self._database.execute("UPDATE state SET clean = 0")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._marked = True
        except sqlite3.OperationalError:
            self._marked = False

    def apply(self, batch: Batch) -> None:
        """Make all of `batch` durable. `sqlite3.Error`: nothing of it is, and it may be tried again.

        Keys go before rows come, so that a store that is full can make room.
        """
        if not len(batch):
            return
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            if not self._marked:
                database.execute("UPDATE state SET clean = 0")
            self._delete_keys(batch)
            self._insert_rows(batch)
            self._end_sessions(batch)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:  # a full disk has rolled it back already
                database.execute("ROLLBACK")
            raise
        self._marked = True

    def _delete_keys(self, batch: Batch) -> None:
        self._delete("deliveries", batch.ended_deliveries)
        self._delete("messages", ((number,) for number in batch.ended_messages))
        self._delete("retained", ((number,) for number, there in batch.retained.items() if not there))
        self._delete("received", (key for key, there in batch.received.items() if not there))
        self._delete("subscriptions", (key for key, record in batch.subscriptions.items() if not record))

    def _insert_rows(self, batch: Batch) -> None:
        self.insert("sessions", batch.sessions.values())
        self.insert("subscriptions", (record for record in batch.subscriptions.values() if record))
        self.insert("messages", batch.message_rows())
        self.insert("deliveries", batch.delivery_rows(False))
        self.insert("deliveries", batch.delivery_rows(True))
        self.insert("received", (key for key, there in batch.received.items() if there))
        self.insert("retained", ((number,) for number, there in batch.retained.items() if there))

    def _end_sessions(self, batch: Batch) -> None:
        numbers = [(number,) for number in batch.ended_sessions]
        if numbers:
            for table in ("deliveries", "received", "subscriptions"):
                self._database.executemany(f"DELETE FROM {table} WHERE session = ?", numbers)
            self._delete("sessions", numbers)

    def insert(self, table: str, rows: Iterable[tuple[Any, ...]]) -> int:
        """Insert or replace rows, inside the caller's transaction; how many."""
        width = len(COLUMNS[table])
        return self._many(rows, f"INSERT OR REPLACE INTO {table} VALUES ", width, "")

    def _delete(self, table: str, keys: Iterable[tuple[Any, ...]]) -> None:
        columns = ", ".join(KEYS[table])
        head = f"WITH gone ({columns}) AS (VALUES "
        tail = f") DELETE FROM {table} WHERE ({columns}) IN (SELECT {columns} FROM gone)"
        self._many(keys, head, len(KEYS[table]), tail)

    def _many(self, rows: Iterable[tuple[Any, ...]], head: str, width: int, tail: str) -> int:
        """Run a statement over `rows`, as many at a time as pays off."""
        source = iter(rows)
        database = self._database
        count = 0
        while group := list(islice(source, _SIZES[0])):
            count += len(group)
            for size in _SIZES:
                while len(group) >= size:
                    now, group = group[:size], group[size:]
                    statement = self._statement(head, size, width, tail)
                    database.execute(statement, tuple(chain.from_iterable(now)))
        return count

    def _statement(self, head: str, size: int, width: int, tail: str) -> str:
        known = self._statements.get((head, tail, size))
        if known is None:
            row = "(" + ", ".join("?" * width) + ")"
            known = self._statements[(head, tail, size)] = head + ", ".join([row] * size) + tail
        return known

    def close(self, *, clean: bool | None) -> None:
        """Close; `clean` says whether everything that was taken is in it, None writes nothing at all."""
        try:
            if clean is not None:
                self._database.execute("UPDATE state SET clean = ?", (CLOSED if clean else ENDED,))
        finally:
            self._database.close()

    # --- reading -------------------------------------------------------------------------------------

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
        return int(self._database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def _rows(self, table: str) -> Iterator[tuple[Any, ...]]:
        """A table in the order of its key."""
        columns, key = ", ".join(COLUMNS[table]), ", ".join(KEYS[table])
        cursor = self._database.cursor()
        cursor.arraysize = _FETCH
        cursor.execute(f"SELECT {columns} FROM {table} ORDER BY {key}")
        while rows := cursor.fetchmany():
            yield from rows

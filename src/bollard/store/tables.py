"""The tables of sessions: their schema, their keys, and the statements that put rows in and take them out.

Inserts and deletes go many to a statement: each statement gives up the interpreter's lock once, so a busy
event loop and the writer seldom wait for each other. What rows mean is in `engine/records.py`, what is done with
whole batches in `sessions.py`.
"""

# ruff: noqa: S608  (what is put into statements are names of our tables)
import sqlite3
from collections.abc import Iterable
from itertools import chain, islice
from typing import Any

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
    Migration(
        "batches",
        (
            # Batches that are durable and not yet in the other tables, in the order of their numbers.
            "CREATE TABLE batches (number INTEGER PRIMARY KEY, changes BLOB NOT NULL) STRICT",
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
#: The key of each table: its first columns.
KEYS = {
    "sessions": ("number",),
    "subscriptions": ("session", "filter"),
    "received": ("session", "packet_id"),
    "messages": ("number",),
    "deliveries": ("session", "number"),
    "retained": ("message",),
}
#: Tables whose rows end with the session in their first column.
OF_SESSIONS = ("deliveries", "received", "subscriptions", "sessions")
#: Rows to a statement: the most that pays off, one size for what is left over, and single rows.
_SIZES = (32, 8, 1)

Row = tuple[Any, ...]


class Tables:
    """Inserts and deletes in an opened database, inside the caller's transaction."""

    __slots__ = ("_database", "_statements")

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._statements: dict[tuple[str, str, int], str] = {}

    def insert(self, table: str, rows: Iterable[Row]) -> int:
        """Insert or replace rows; how many."""
        width = len(COLUMNS[table])
        return self._many(rows, f"INSERT OR REPLACE INTO {table} VALUES ", width, "")

    def delete(self, table: str, keys: Iterable[Row]) -> None:
        """Delete the rows with these keys, as far as they are there."""
        columns = ", ".join(KEYS[table])
        head = f"WITH gone ({columns}) AS (VALUES "
        tail = f") DELETE FROM {table} WHERE ({columns}) IN (SELECT {columns} FROM gone)"
        self._many(keys, head, len(KEYS[table]), tail)

    def end_sessions(self, numbers: Iterable[int]) -> None:
        """Delete sessions with all that belongs to them."""
        keys = [(number,) for number in numbers]
        if keys:
            for table in OF_SESSIONS:
                column = KEYS[table][0]
                self._database.executemany(f"DELETE FROM {table} WHERE {column} = ?", keys)

    def _many(self, rows: Iterable[Row], head: str, width: int, tail: str) -> int:
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

"""A batch as one value: how the journal's changes are written down before they are sorted into the tables.

One row with two hundred messages costs the disk and the processor a fraction of four hundred rows. `encode` makes
the value, `Changes` takes values in, in their order, and says what is to change in the tables in the end: what came
and went meanwhile is not in it. When that is done is for `sessions.py`.

A value is: its version and the CRC-32 of the rest; five counts; a JSON text with the rare kinds ("" for none); the
messages and the deliveries, each a head with its variable parts behind it; the numbers of ended messages; session and
number of ended deliveries. Integers are little-endian.
"""

import json
import sqlite3
from array import array
from collections.abc import Iterable
from itertools import chain
from struct import Struct
from struct import error as StructError
from sys import byteorder
from typing import Any
from zlib import crc32

from bollard.engine.journal import Batch
from bollard.store.tables import Row, Tables

VERSION = b"BB01"
_SEAL = Struct("<4sI")
#: Bytes of JSON; messages; deliveries; ended messages and deliveries.
_COUNTS = Struct("<5I")
#: Number, expiry, flags; bytes of name, payload, author, Client Identifier, forwarded properties.
_MESSAGE = Struct("<qdB5I")
#: Session, number, message, place among the PUBRELs, Packet Identifier, flags; bytes of identifiers and share.
_DELIVERY = Struct("<4qHB2I")
#: Columns of a session that are bytes.
_BYTES_OF_SESSION = (8, 12)
_SESSION_TYPES = (int, str, str, int, int, float, float, str, str, int, int, int, str)
_SUBSCRIPTION_TYPES = (int, str, int, int, int, int)

Key = tuple[int, Any]


class DamagedBatch(sqlite3.DatabaseError):
    """A value is not what was written: the store is damaged, as SQLite says of its own pages."""


def encode(batch: Batch) -> bytes:
    """The value of `batch`. ValueError, TypeError or struct.error if no table could take what is in it."""
    rare = _rare(batch)
    parts: list[bytes] = [rare]
    messages = _put_messages(parts, batch)
    deliveries = _put_deliveries(parts, batch, False) + _put_deliveries(parts, batch, True)
    parts.append(_numbers(batch.ended_messages))
    parts.append(_numbers(chain.from_iterable(batch.ended_deliveries)))
    counts = _COUNTS.pack(
        len(rare), messages, deliveries, len(batch.ended_messages), len(batch.ended_deliveries)
    )
    body = counts + b"".join(parts)
    return _SEAL.pack(VERSION, crc32(body)) + body


def _rare(batch: Batch) -> bytes:
    rows = {
        "sessions": [_plain_session(row) for row in batch.sessions.values()],
        "subscriptions": [
            [key, _checked(row, _SUBSCRIPTION_TYPES) if row else None]
            for key, row in batch.subscriptions.items()
        ],
        "received": list(batch.received.items()),
        "retained": list(batch.retained.items()),
        "ended_sessions": list(batch.ended_sessions),
    }
    return json.dumps(rows, separators=(",", ":")).encode("ascii") if any(rows.values()) else b""


def _plain_session(row: Row) -> list[Any]:
    plain = list(row)
    for place in _BYTES_OF_SESSION:
        plain[place] = plain[place].hex()
    return list(_checked(plain, _SESSION_TYPES))


def _checked(row: Iterable[Any], types: tuple[type, ...]) -> Iterable[Any]:
    """JSON would take what a table refuses later, when the batch was reported as durable."""
    for value, wanted in zip(row, types, strict=True):
        if not isinstance(value, (int, float) if wanted is float else wanted):
            raise TypeError(f"{value!r} is not {wanted.__name__}")
    return row


def _put_messages(parts: list[bytes], batch: Batch) -> int:
    put, pack, count = parts.append, _MESSAGE.pack, 0
    for number, name, payload, flags, author, client_id, forward, expires_at in batch.message_rows():
        names = name.encode(), author.encode(), client_id.encode()
        put(
            pack(
                number,
                expires_at,
                flags,
                len(names[0]),
                len(payload),
                len(names[1]),
                len(names[2]),
                len(forward),
            )
        )
        parts += (names[0], payload, names[1], names[2], forward)
        count += 1
    return count


def _put_deliveries(parts: list[bytes], batch: Batch, moved: bool) -> int:
    put, pack, count = parts.append, _DELIVERY.pack, 0
    for row in batch.delivery_rows(moved):
        session, number, message, flags, packet_id, released, identifiers, share = row
        given = identifiers.encode() if identifiers else b""
        through = share.encode() if share else b""
        put(pack(session, number, message, released, packet_id, flags, len(given), len(through)))
        if given or through:
            parts += (given, through)
        count += 1
    return count


def _numbers(numbers: Iterable[int]) -> bytes:
    values = array("q", numbers)
    if byteorder == "big":
        values.byteswap()
    return values.tobytes()


def verify(value: bytes) -> None:
    """DamagedBatch if `value` is not what `encode` gave."""
    if len(value) < _SEAL.size + _COUNTS.size:
        raise DamagedBatch("a batch is cut off")
    version, check = _SEAL.unpack_from(value)
    if version != VERSION or check != crc32(memoryview(value)[_SEAL.size :]):
        raise DamagedBatch("a batch does not fit its check sum")


class Changes:
    """What any number of batches, one after the other, change in the tables.

    Rows are by their keys, None for one that goes; those of sessions are by session first, so that a session
    ends at once. What the last batch says of a key counts, whatever is in the tables: after a restart a number
    may be used again.
    """

    __slots__ = (
        "deliveries",
        "ended_sessions",
        "messages",
        "received",
        "retained",
        "rows",
        "sessions",
        "subscriptions",
    )

    def __init__(self) -> None:
        #: How many rows the batches had, whatever is left of them.
        self.rows = 0
        self.ended_sessions: dict[int, bool] = {}
        self.sessions: dict[int, Row | None] = {}
        self.messages: dict[int, Row | None] = {}
        self.retained: dict[int, Row | None] = {}
        self.subscriptions: dict[int, dict[str, Row | None]] = {}
        self.received: dict[int, dict[int, Row | None]] = {}
        self.deliveries: dict[int, dict[int, Row | None]] = {}

    def take(self, batch: Batch) -> None:
        """Take in the next batch as it comes from the journal. Nothing of it is copied."""
        for number in batch.ended_messages:
            self.messages[number] = None
        for session, number in batch.ended_deliveries:
            self.deliveries.setdefault(session, {})[number] = None
        for message in batch.message_rows():
            self.messages[message[0]] = message
        for moved in (False, True):
            for delivery in batch.delivery_rows(moved):
                self.deliveries.setdefault(delivery[0], {})[delivery[1]] = delivery
        for record in batch.sessions.values():
            self.sessions[record.number] = record
        self._take_rare(
            batch.subscriptions.items(), batch.received.items(), batch.retained.items(), batch.ended_sessions
        )
        self.rows += len(batch)

    def follow(self, value: bytes) -> None:
        """Take in the value of the next batch. DamagedBatch if it cannot be read; then nothing here is of use any more."""
        try:
            self._read(value)
        except DamagedBatch:
            raise
        except (StructError, ValueError, TypeError, LookupError) as error:
            raise DamagedBatch(f"a batch makes no sense: {error}") from None

    def _read(self, value: bytes) -> None:
        verify(value)
        rare, messages, deliveries, *ended = _COUNTS.unpack_from(value, _SEAL.size)
        at = _SEAL.size + _COUNTS.size
        kinds = json.loads(value[at : at + rare]) if rare else {}
        at += rare
        numbers = array("q", value[len(value) - 8 * (ended[0] + 2 * ended[1]) :])
        if byteorder == "big":
            numbers.byteswap()
        for number in numbers[: ended[0]]:
            self.messages[number] = None
        for session, number in zip(numbers[ended[0] :: 2], numbers[ended[0] + 1 :: 2], strict=True):
            self.deliveries.setdefault(session, {})[number] = None
        at = self._read_messages(value, at, messages)
        at = self._read_deliveries(value, at, deliveries)
        if at + 8 * len(numbers) != len(value):
            raise DamagedBatch("a batch has another length than its parts")
        self.rows += messages + deliveries + sum(ended)
        if kinds:
            for row in kinds["sessions"]:
                for place in _BYTES_OF_SESSION:
                    row[place] = bytes.fromhex(row[place])
                self.sessions[row[0]] = tuple(row)
            rare = kinds["subscriptions"], kinds["received"], kinds["retained"], kinds["ended_sessions"]
            self._take_rare(*rare)
            self.rows += len(kinds["sessions"]) + sum(map(len, rare))

    def _read_messages(self, value: bytes, at: int, count: int) -> int:
        rows, unpack, size = self.messages, _MESSAGE.unpack_from, _MESSAGE.size
        for _ in range(count):
            number, expires_at, flags, *lengths = unpack(value, at)
            at += size
            parts = []
            for length in lengths:
                parts.append(value[at : at + length])
                at += length
            name, payload, author, client_id, forward = parts
            rows[number] = (
                number,
                name.decode(),
                payload,
                flags,
                author.decode(),
                client_id.decode(),
                forward,
                expires_at,
            )
        return at

    def _read_deliveries(self, value: bytes, at: int, count: int) -> int:
        unpack, size = _DELIVERY.unpack_from, _DELIVERY.size
        for _ in range(count):
            session, number, message, released, packet_id, flags, given, through = unpack(value, at)
            at += size
            identifiers = value[at : at + given].decode() if given else None
            at += given
            share = value[at : at + through].decode() if through else None
            at += through
            rows = self.deliveries.setdefault(session, {})
            rows[number] = (session, number, message, flags, packet_id, released, identifiers, share)
        return at

    def _take_rare(
        self,
        subscriptions: Iterable[tuple[tuple[int, str], Row | None]],
        received: Iterable[tuple[tuple[int, int], bool]],
        retained: Iterable[tuple[int, bool]],
        ended_sessions: Iterable[int],
    ) -> None:
        for (session, filter), record in subscriptions:
            self.subscriptions.setdefault(session, {})[filter] = tuple(record) if record else None
        for (session, packet_id), there in received:
            self.received.setdefault(session, {})[packet_id] = (session, packet_id) if there else None
        for number, there in retained:
            self.retained[number] = (number,) if there else None
        for session in ended_sessions:
            for table in (self.deliveries, self.received, self.subscriptions):
                table.pop(session, None)
            self.sessions.pop(session, None)
            self.ended_sessions[session] = True

    def of_table(self, table: str) -> dict[Row, Row | None]:
        """The rows of a table by their whole keys."""
        changed: dict[Any, Any] = getattr(self, table)
        if table in ("deliveries", "received", "subscriptions"):
            return {(first, key): row for first, rows in changed.items() for key, row in rows.items()}
        return {(key,): row for key, row in changed.items()}

    def write(self, tables: Tables) -> None:
        """Put all of it into the tables. Keys go before rows come, so that a store that is full makes room."""
        tables.end_sessions(self.ended_sessions)
        changed = {
            table: self.of_table(table)
            for table in ("deliveries", "messages", "retained", "received", "subscriptions", "sessions")
        }
        for table, rows in changed.items():
            tables.delete(table, (key for key, row in rows.items() if row is None))
        for table, rows in reversed(changed.items()):
            tables.insert(table, (row for row in rows.values() if row is not None))

"""Batches as values: what they say comes back, what they come to together, and damage never passes."""

import random
import sqlite3
import struct
from collections.abc import Callable

import pytest

from bollard.engine.journal import Batch
from bollard.engine.records import SessionRecord, SubscriptionRecord
from bollard.session.message import Delivery, Message
from bollard.store.batches import Changes, DamagedBatch, encode
from bollard.store.migrations import migrate
from bollard.store.tables import COLUMNS, KEYS, SESSION_MIGRATIONS, Row, Tables

SESSION = SessionRecord(7, "anna", "Téléphone \x00", True, 60, 1e9, 0.25, "w", b"\x00", 5, 3, -1, b"\x01\xff")
SUBSCRIPTION = SubscriptionRecord(7, '$share/g/"é"/+', 1, False, True, 268_435_455)


def message(name: str = "a/b", payload: bytes = b"\x00\xff", forward: bytes = b"") -> Message:
    return Message(name, name.encode(), payload, 2, 1, "anna", "phone", forward, 0.0)


def owe(batch: Batch, session: int, number: int, payload: bytes = b"x") -> None:
    sent = message(payload=payload)
    batch.messages[number] = sent
    batch.deliveries[(session, number)] = (Delivery(sent, 1, 0, (), 1), number, 0, 0)


def owing(session: int, number: int, payload: bytes = b"x") -> Batch:
    batch = Batch()
    owe(batch, session, number, payload)
    return batch


def taken(session: int, number: int) -> Batch:
    batch = Batch()
    batch.ended_deliveries[(session, number)] = True
    batch.ended_messages[number] = True
    return batch


def moved(session: int, number: int, packet_id: int) -> Batch:
    batch = Batch()
    batch.moved[(session, number)] = (Delivery(message(), 1, 0, (), 1), number, packet_id, 0)
    return batch


def together(*batches: Batch) -> Changes:
    changes = Changes()
    for batch in batches:
        changes.follow(encode(batch))
    return changes


def everything() -> Batch:
    batch = Batch()
    batch.sessions[7] = SESSION
    batch.subscriptions = {(7, SUBSCRIPTION.filter): SUBSCRIPTION, (7, "gone"): None}
    batch.received = {(7, 65_535): True, (7, 1): False}
    batch.messages[3] = message(forward=b"\x01\x00")
    batch.deliveries[(7, 1)] = (Delivery(message(), 1, 1, (5, 1), 1), 3, 9, 4)
    batch.moved[(8, 2)] = (Delivery(message(), 2, 0, (), 2), 4, 65_535, 2**40)
    batch.retained = {3: True, 4: False}
    batch.ended_sessions[9] = True
    batch.ended_messages[5] = True
    batch.ended_deliveries[(8, 6)] = True
    return batch


def as_it_is(batch: Batch) -> Changes:
    changes = Changes()
    changes.take(batch)
    return changes


@pytest.mark.parametrize("read", [together, as_it_is])
def test_every_kind_of_change_comes_back_as_it_was(read: Callable[[Batch], Changes]) -> None:
    changes = read(everything())
    assert changes.sessions == {7: tuple(SESSION)}
    assert changes.of_table("subscriptions") == {(7, SUBSCRIPTION.filter): SUBSCRIPTION, (7, "gone"): None}
    assert changes.of_table("received") == {(7, 65_535): (7, 65_535), (7, 1): None}
    assert changes.of_table("messages") == {
        (3,): (3, "a/b", b"\x00\xff", 6, "anna", "phone", b"\x01\x00", 0.0),
        (5,): None,
    }
    assert changes.of_table("deliveries") == {
        (7, 1): (7, 1, 3, 5, 9, 4, "5 1", None),
        (8, 2): (8, 2, 4, 2, 65_535, 2**40, None, None),
        (8, 6): None,
    }
    assert changes.of_table("retained") == {(3,): (3,), (4,): None}
    assert list(changes.ended_sessions) == [9]
    assert changes.rows == len(everything())


def test_a_message_that_came_and_went_is_never_written() -> None:
    changes = together(owing(1, 1), moved(1, 1, 5), taken(1, 1))
    assert changes.of_table("deliveries") == {(1, 1): None}
    assert changes.of_table("messages") == {(1,): None}


def test_a_number_that_is_used_again_stands_for_the_later_one() -> None:
    changes = together(taken(1, 1), owing(1, 1, b"later"))
    row = changes.of_table("messages")[(1,)]
    assert row is not None
    assert row[2] == b"later"


def test_a_delivery_that_moves_replaces_its_row() -> None:
    changes = together(owing(1, 1), moved(1, 1, 5), moved(1, 1, 6))
    row = changes.of_table("deliveries")[(1, 1)]
    assert row is not None
    assert row[4] == 6


def test_the_end_of_a_session_takes_what_came_before_and_not_what_comes_after() -> None:
    first, end, reborn = owing(7, 1), Batch(), owing(7, 2)
    first.sessions[7] = SESSION
    first.subscriptions[(7, "a")] = SubscriptionRecord(7, "a", 0, False, False, 0)
    first.received[(7, 1)] = True
    end.ended_sessions[7] = True
    # After a restart the number of a session that has ended may be another's.
    reborn.sessions[7] = SESSION._replace(client_id="other")
    changes = together(first, end, reborn)
    assert list(changes.ended_sessions) == [7]
    assert [row and row[2] for row in changes.sessions.values()] == ["other"]
    assert list(changes.of_table("deliveries")) == [(7, 2)]
    assert changes.of_table("subscriptions") == changes.of_table("received") == {}


class Reference:
    """What tables hold after one batch after the other, said as simply as it can be."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[Row, Row]] = {table: {} for table in COLUMNS}

    def apply(self, batch: Batch) -> None:
        put = self._put
        for number in batch.ended_messages:
            self.tables["messages"].pop((number,), None)
        for key in batch.ended_deliveries:
            self.tables["deliveries"].pop(key, None)
        for row in (*batch.delivery_rows(False), *batch.delivery_rows(True)):
            put("deliveries", row)
        for message_row in batch.message_rows():
            put("messages", message_row)
        for session in batch.sessions.values():
            put("sessions", session)
        for pair, there in batch.received.items():
            put("received", pair) if there else self.tables["received"].pop(pair, None)
        for ended in batch.ended_sessions:
            for table in ("sessions", "received", "deliveries"):
                self.tables[table] = {k: row for k, row in self.tables[table].items() if row[0] != ended}

    def _put(self, table: str, row: Row) -> None:
        self.tables[table][tuple(row[: len(KEYS[table])])] = tuple(row)


def something(dice: random.Random) -> Batch:
    """A batch with few different numbers, so that they are used again and again."""
    batch = Batch()
    for _ in range(dice.randrange(1, 5)):
        session, number = dice.randrange(3), dice.randrange(6)
        match dice.randrange(6):
            case 0:
                owe(batch, session, number, b"%d" % dice.randrange(100))
                batch.ended_deliveries.pop((session, number), None)
                batch.ended_messages.pop(number, None)
            case 1:
                batch.deliveries.pop((session, number), None)
                batch.moved.pop((session, number), None)
                batch.messages.pop(number, None)
                batch.ended_deliveries[(session, number)] = True
                batch.ended_messages[number] = True
            case 2:
                if (session, number) not in batch.deliveries | batch.ended_deliveries:
                    batch.moved.update(moved(session, number, dice.randrange(9)).moved)
            case 3:
                batch.received[(session, number)] = dice.random() < 0.5
            case 4:
                batch.sessions[session] = SESSION._replace(number=session)
            case 5 if dice.random() < 0.4:
                batch.sessions.pop(session, None)
                batch.ended_sessions[session] = True
    return batch


@pytest.mark.parametrize("seed", range(60))
def test_batches_sorted_in_by_any_portions_leave_the_same_as_one_by_one(seed: int) -> None:
    dice = random.Random(seed)
    database = sqlite3.connect(":memory:", isolation_level=None)
    migrate(database, SESSION_MIGRATIONS)
    tables, reference = Tables(database), Reference()
    for _ in range(8):
        portion = [something(dice) for _ in range(dice.randrange(1, 8))]
        for batch in portion:
            reference.apply(batch)
        together(*portion).write(tables)
        for table in ("messages", "deliveries", "received", "sessions"):
            found = list(database.execute(f"SELECT * FROM {table}"))
            assert sorted(found) == sorted(reference.tables[table].values()), table
    database.close()


def test_no_flipped_bit_and_no_shorter_length_passes() -> None:
    value = encode(everything())
    dice = random.Random(1)
    for _ in range(300):
        broken = bytearray(value)
        broken[dice.randrange(len(value))] ^= 1 << dice.randrange(8)
        with pytest.raises(DamagedBatch):
            Changes().follow(bytes(broken))
    for length in range(len(value)):
        with pytest.raises(DamagedBatch):
            Changes().follow(value[:length])


@pytest.mark.parametrize("counts", [(0, 9, 0, 0, 0), (0, 0, 0, 2**32 - 1, 0), (99, 0, 0, 0, 0)])
def test_a_value_with_a_right_check_sum_and_wrong_counts_is_damaged_too(counts: tuple[int, ...]) -> None:
    from zlib import crc32

    body = struct.pack("<5I", *counts)
    with pytest.raises(DamagedBatch):
        Changes().follow(struct.pack("<4sI", b"BB01", crc32(body)) + body)


def broken_subscription(batch: Batch) -> None:
    batch.subscriptions[(1, "a")] = SUBSCRIPTION._replace(qos="1")  # type: ignore[arg-type]


def broken_session(batch: Batch) -> None:
    batch.sessions[1] = SESSION._replace(expiry_s=None)  # type: ignore[arg-type]


def broken_text(batch: Batch) -> None:
    batch.messages[1] = Message("\ud800", b"", b"", 0, 0, "", "", b"", 0)


def broken_number(batch: Batch) -> None:
    batch.ended_messages[2**63] = True


@pytest.mark.parametrize("breaks", [broken_subscription, broken_session, broken_text, broken_number])
def test_what_no_table_could_take_is_refused_before_it_is_called_durable(
    breaks: Callable[[Batch], None],
) -> None:
    batch = owing(1, 1)
    breaks(batch)
    with pytest.raises((TypeError, ValueError, OverflowError)):
        encode(batch)

"""The tables: what goes in as a batch comes out as records, whole or not at all."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from bollard.engine.journal import Batch
from bollard.engine.records import SessionRecord, SubscriptionRecord
from bollard.session.message import Delivery, Message
from bollard.store.migrations import migrate
from bollard.store.sessions import CLOSED, ENDED, IN_USE, SESSION_MIGRATIONS, SessionStore


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, SESSION_MIGRATIONS)
    yield connection
    connection.close()


@pytest.fixture
def store(database: sqlite3.Connection) -> SessionStore:
    return SessionStore(database)


def message(name: str = "a/b", payload: bytes = b"\x00\xff") -> Message:
    return Message(name, name.encode(), payload, 2, 1, "anna", "phone", b"\x01\x00", 0.0)


def owing(session: int, count: int) -> Batch:
    """A batch in which `session` is owed messages 1 … `count`."""
    batch = Batch()
    for number in range(1, count + 1):
        sent = message(payload=b"%d" % number)
        batch.messages[number] = sent
        batch.deliveries[(session, number)] = (Delivery(sent, 1, 0, (), 1), number, 0, 0)
    return batch


def test_every_kind_of_record_comes_back_as_it_was(store: SessionStore) -> None:
    session = SessionRecord(7, "anna", "Téléphone", True, 60, 0.0, 0.0, "w", b"\x00", 5, 3, -1, b"\x01\x01")
    subscription = SubscriptionRecord(7, "$share/g/a/+", 1, False, True, 268_435_455)
    sent = message()
    batch = Batch()
    batch.sessions[7] = session
    batch.subscriptions[(7, subscription.filter)] = subscription
    batch.messages[3] = sent
    batch.deliveries[(7, 1)] = (Delivery(sent, 1, 1, (5, 1), 1), 3, 9, 4)
    batch.received[(7, 65_535)] = True
    batch.retained[3] = True
    store.apply(batch)
    assert list(store.sessions()) == [session]
    assert list(store.subscriptions()) == [subscription]
    assert list(store.messages()) == [(3, "a/b", b"\x00\xff", 6, "anna", "phone", b"\x01\x00", 0.0)]
    assert list(store.deliveries()) == [(7, 1, 3, 5, 9, 4, "5 1", None)]
    assert list(store.received()) == [(7, 65_535)]
    assert list(store.retained()) == [3]


def test_message_expiry_is_kept_in_wall_clock_seconds(store: SessionStore) -> None:
    batch = Batch()
    batch.wall_offset = 1_000.0
    batch.messages[1] = Message("a", b"a", b"", 0, 0, "", "", b"", 5.0)
    store.apply(batch)
    assert [record.expires_at for record in store.messages()] == [1_005.0]


@pytest.mark.parametrize("count", [1, 7, 8, 31, 32, 33, 100])
def test_any_number_of_rows_goes_in_and_out(store: SessionStore, count: int) -> None:
    store.apply(owing(1, count))
    assert [record.number for record in store.deliveries()] == list(range(1, count + 1))
    batch = Batch()
    batch.ended_deliveries = {(1, number): True for number in range(1, count + 1)}
    batch.ended_messages = dict.fromkeys(range(1, count + 1), True)
    store.apply(batch)
    assert store.count("deliveries") == store.count("messages") == 0


def test_deletions_touch_only_their_rows(store: SessionStore) -> None:
    store.apply(owing(1, 50))
    batch = Batch()
    batch.ended_deliveries = {(1, 10): True, (2, 11): True}
    batch.ended_messages = {10: True, 999: True}
    store.apply(batch)
    assert store.count("deliveries") == store.count("messages") == 49


def test_the_end_of_a_session_takes_all_its_rows(store: SessionStore) -> None:
    store.apply(owing(1, 3))
    batch = Batch()
    batch.sessions[1] = SessionRecord(1, "a", "a", False, 0, 0.0, 0.0)
    batch.subscriptions[(1, "a")] = SubscriptionRecord(1, "a", 0, False, False, 0)
    batch.subscriptions[(2, "a")] = SubscriptionRecord(2, "a", 0, False, False, 0)
    batch.received[(1, 5)] = True
    batch.sessions[2] = SessionRecord(2, "b", "b", False, 0, 0.0, 0.0)
    batch.ended_messages[1] = True
    store.apply(batch)
    batch = Batch()
    batch.ended_sessions[1] = True
    store.apply(batch)
    assert store.count("deliveries") == store.count("received") == 0
    assert [record.number for record in store.sessions()] == [2]
    assert store.count("messages") == 2
    assert [record.session for record in store.subscriptions()] == [2]


def test_a_batch_that_fails_leaves_nothing_of_itself(store: SessionStore) -> None:
    batch = owing(1, 40)
    batch.subscriptions[(1, "a")] = SubscriptionRecord(1, "a", "x", False, False, 0)  # type: ignore[arg-type]
    with pytest.raises(sqlite3.IntegrityError):
        store.apply(batch)
    assert store.count("deliveries") == store.count("messages") == 0
    batch.subscriptions.clear()
    store.apply(batch)
    assert store.count("deliveries") == 40


def test_a_batch_may_be_applied_again(store: SessionStore) -> None:
    store.apply(owing(1, 5))
    store.apply(owing(1, 5))
    assert store.count("deliveries") == 5


def test_deliveries_come_in_the_order_of_their_numbers(store: SessionStore) -> None:
    batch = Batch()
    for number in (5, 300, 20):
        batch.deliveries[(1, number)] = (Delivery(message(), 1, 0, (), 1), 1, 0, 0)
    store.apply(batch)
    assert [record.number for record in store.deliveries()] == [5, 20, 300]


def test_deletions_search_and_never_scan(store: SessionStore, database: sqlite3.Connection) -> None:
    statements: list[str] = []
    database.set_trace_callback(statements.append)
    batch = Batch()
    batch.ended_deliveries = {(1, number): True for number in range(40)}
    batch.ended_messages = dict.fromkeys(range(40), True)
    batch.received = {(1, number): False for number in range(40)}
    batch.retained = dict.fromkeys(range(40), False)
    batch.ended_sessions = {1: True}
    store.apply(batch)
    database.set_trace_callback(None)
    deletions = [statement for statement in statements if "DELETE" in statement]
    assert len(deletions) >= 8
    for statement in deletions:
        plan = [row[3] for row in database.execute("EXPLAIN QUERY PLAN " + statement)]
        assert plan[0].startswith("SEARCH"), (statement, plan)


def test_a_store_says_how_it_was_left(tmp_path: Path) -> None:
    def opened() -> SessionStore:
        connection = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        migrate(connection, SESSION_MIGRATIONS)
        return SessionStore(connection)

    store = opened()
    assert store.state() == CLOSED
    store.apply(owing(1, 1))
    assert store.state() == IN_USE
    for clean, state in ((False, ENDED), (True, CLOSED), (None, CLOSED)):
        store.close(clean=clean)
        store = opened()
        assert store.state() == state
    store.begin()
    assert store.state() == IN_USE
    store.close(clean=None)

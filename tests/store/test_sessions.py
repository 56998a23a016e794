"""The tables: what goes in as a batch comes out as records, whole or not at all."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from bollard.engine.journal import Batch
from bollard.engine.records import SessionRecord, SubscriptionRecord
from bollard.session.message import Delivery, Message
from bollard.store import sessions
from bollard.store.migrations import migrate
from bollard.store.salvage import open_sessions
from bollard.store.sessions import FEW_ROWS, LARGE_ROW_BYTES, SessionStore
from bollard.store.tables import CLOSED, ENDED, IN_USE, SESSION_MIGRATIONS


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


def owing(session: int, count: int, size: int = 0) -> Batch:
    """A batch in which `session` is owed messages 1 … `count`, of `size` bytes and their number."""
    batch = Batch()
    for number in range(1, count + 1):
        sent = message(payload=b"%d" % number + bytes(size))
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
    with pytest.raises(TypeError):
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
    assert store.catch_up()
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


def sort_in(store: SessionStore) -> None:
    while store.catch_up():
        pass


def rows_of(database: sqlite3.Connection, table: str) -> int:
    return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_small_batch_is_sorted_in_at_once_and_a_larger_one_waits(
    store: SessionStore, database: sqlite3.Connection
) -> None:
    store.apply(owing(1, FEW_ROWS // 2))
    assert (rows_of(database, "batches"), rows_of(database, "messages")) == (0, FEW_ROWS // 2)
    store.apply(owing(2, FEW_ROWS))
    assert (rows_of(database, "batches"), rows_of(database, "deliveries")) == (1, FEW_ROWS // 2)
    assert store.waiting_bytes > 0


def test_nothing_overtakes_a_batch_that_waits(store: SessionStore, database: sqlite3.Connection) -> None:
    store.apply(owing(1, 20))
    batch = Batch()
    batch.ended_messages[1] = True
    store.apply(batch)
    assert rows_of(database, "batches") == 2
    sort_in(store)
    assert (rows_of(database, "batches"), rows_of(database, "messages")) == (0, 19)
    assert store.waiting_bytes == 0


def test_large_messages_are_not_written_twice(store: SessionStore, database: sqlite3.Connection) -> None:
    store.apply(owing(1, 20, 3 * LARGE_ROW_BYTES))
    assert (rows_of(database, "batches"), rows_of(database, "messages")) == (0, 20)


def test_a_batch_larger_than_all_that_may_wait_is_sorted_in_with_it(
    store: SessionStore, database: sqlite3.Connection
) -> None:
    store.apply(owing(1, 20))
    store.max_waiting_bytes = 10_000
    batch = Batch()
    for number in range(10, 40):
        batch.messages[number] = message(payload=bytes(400))
    store.apply(batch)
    assert (rows_of(database, "batches"), rows_of(database, "messages")) == (0, 39)


def test_what_waits_is_read_with_what_is_sorted_in(store: SessionStore, database: sqlite3.Connection) -> None:
    for number in (1, 2):
        batch = owing(number, 0)
        batch.sessions[number] = SessionRecord(number, "a", "a", False, 0, 0.0, 0.0)
        store.apply(batch)
    store.apply(owing(1, 8))
    store.few_rows = 0
    batch = Batch()
    batch.ended_sessions[2] = True
    batch.ended_messages[3] = True
    batch.ended_deliveries[(1, 3)] = True
    batch.received[(1, 9)] = True
    store.apply(batch)
    later = Batch()
    later.deliveries[(1, 99)] = (Delivery(message(), 1, 0, (), 1), 5, 0, 0)
    later.moved[(1, 2)] = (Delivery(message(), 1, 0, (), 1), 2, 77, 0)
    store.apply(later)
    before = [list(rows()) for rows in (store.sessions, store.messages, store.deliveries, store.received)]
    assert [record.number for record in store.sessions()] == [1]
    assert [record.number for record in store.messages()] == [1, 2, 4, 5, 6, 7, 8]
    assert [(record.number, record.packet_id) for record in store.deliveries()][:3] == [
        (1, 0),
        (2, 77),
        (4, 0),
    ]
    assert [record.number for record in store.deliveries()][-1] == 99
    assert store.count("received") == 1
    assert rows_of(database, "batches") == 2
    sort_in(store)
    assert before == [
        list(rows()) for rows in (store.sessions, store.messages, store.deliveries, store.received)
    ]


def test_another_start_finds_what_waits(store: SessionStore, database: sqlite3.Connection) -> None:
    store.apply(owing(1, 20))
    store.apply(owing(2, 20))
    again = SessionStore(database)
    assert again.waiting_bytes == store.waiting_bytes
    assert [record.session for record in again.deliveries()] == [1] * 20 + [2] * 20
    again.few_rows = 0
    again.apply(owing(3, 1))
    sort_in(again)
    assert rows_of(database, "deliveries") == 41


def test_sorting_in_takes_portions_and_says_when_nothing_is_left(
    store: SessionStore, database: sqlite3.Connection
) -> None:
    store.rows_at_once = 100
    for session in range(1, 6):
        store.apply(owing(session, 30))
    left = []
    while store.catch_up():
        left.append(rows_of(database, "batches"))
    assert left == [3, 1, 0]
    assert rows_of(database, "deliveries") == 150


def test_a_portion_that_cannot_be_sorted_in_stays_durable(
    store: SessionStore, database: sqlite3.Connection
) -> None:
    store.apply(owing(1, 20))
    waiting = store.waiting_bytes
    database.execute("CREATE TRIGGER no BEFORE INSERT ON deliveries BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError):
        store.catch_up()
    assert (store.waiting_bytes, rows_of(database, "messages")) == (waiting, 0)
    assert store.count("deliveries") == 20
    database.execute("DROP TRIGGER no")
    sort_in(store)
    assert rows_of(database, "deliveries") == 20


def test_a_store_that_is_full_makes_room_by_sorting_in(
    store: SessionStore, database: sqlite3.Connection
) -> None:
    for first in range(50):
        batch = Batch()
        for number in range(first * 20 + 1, first * 20 + 21):
            batch.messages[number] = message(payload=bytes(100))
        store.apply(batch)
    pages = int(database.execute("PRAGMA page_count").fetchone()[0])
    database.execute(f"PRAGMA max_page_count = {pages}")
    freeing = Batch()
    freeing.ended_messages = dict.fromkeys(range(1, 901), True)
    store.apply(freeing)
    assert rows_of(database, "batches") == 0
    assert [record.number for record in store.messages()] == list(range(901, 1001))


def test_a_full_store_that_cannot_make_room_is_not_sorted_again_at_once(
    store: SessionStore, database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.apply(owing(1, 100))
    pages = int(database.execute("PRAGMA page_count").fetchone()[0])
    database.execute(f"PRAGMA max_page_count = {pages}")
    tried: list[int] = []
    sort_all = store._sort_in
    monkeypatch.setattr(SessionStore, "_sort_in", lambda _, value: (tried.append(1), sort_all(value)))
    more = owing(2, 4000)
    for _ in range(3):
        with pytest.raises(sqlite3.OperationalError, match="full"):
            store.apply(more)
    assert 1 <= len(tried) < 3
    assert store.count("deliveries") == 100


def test_more_than_twice_the_bound_never_waits(store: SessionStore) -> None:
    store.max_waiting_bytes = 10_000
    sizes = []
    for session in range(1, 100):
        store.apply(owing(session, 20))
        sizes.append(store.waiting_bytes)
    assert max(sizes) <= 2 * store.max_waiting_bytes + max(sizes[0], 2_000)
    assert store.count("deliveries") == 99 * 20


def test_a_damaged_batch_is_damage(store: SessionStore, database: sqlite3.Connection) -> None:
    store.apply(owing(1, 20))
    database.execute("UPDATE batches SET changes = zeroblob(length(changes))")
    again = SessionStore(database)
    for reading in (again.check_waiting, again.catch_up, lambda: list(again.messages())):
        with pytest.raises(sqlite3.DatabaseError, match="check sum"):
            reading()


def test_closing_leaves_nothing_waiting(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    migrate(connection, SESSION_MIGRATIONS)
    store = SessionStore(connection)
    store.apply(owing(1, 20))
    store.close(clean=True)
    connection = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    assert (rows_of(connection, "batches"), rows_of(connection, "messages")) == (0, 20)
    connection.close()


def test_the_log_is_copied_only_when_batches_have_filled_much_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = open_sessions(tmp_path / "s.db")
    store.begin()
    before = (tmp_path / "s.db").stat().st_size
    for session in range(1, 20):
        store.apply(owing(session, 50))
    sort_in(store)
    store.checkpoint()
    assert (tmp_path / "s.db").stat().st_size == before
    monkeypatch.setattr(sessions, "LOG_BYTES", 100_000)
    store.checkpoint()
    assert (tmp_path / "s.db").stat().st_size > before
    store.close(clean=True)

"""The writer's thread: in order, each batch reported once, and a refusal is a report."""

import sqlite3
import threading
from pathlib import Path

import pytest

from bollard.engine.journal import Batch
from bollard.session.message import Delivery, Message
from bollard.store import journal, sessions
from bollard.store.journal import JournalWriter
from bollard.store.salvage import open_sessions
from bollard.store.sessions import SessionStore


class Reports:
    """What the writer said, and a way to wait for it."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, str]] = []
        self._changed = threading.Condition()

    def __call__(self, sequence: int, batch: Batch, problem: str) -> None:
        with self._changed:
            self.seen.append((sequence, problem))
            self._changed.notify_all()

    def wait(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.seen) >= count, 10)


def batch(number: int) -> Batch:
    made = Batch()
    sent = Message("a", b"a", b"x", 1, 0, "", "", b"", 0.0)
    made.messages[number] = sent
    made.deliveries[(1, number)] = (Delivery(sent, 1, 0, (), 1), number, 0, 0)
    return made


def test_batches_are_durable_before_they_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store, _ = open_sessions(path)
    found: list[int] = []

    def done(sequence: int, written: Batch, problem: str) -> None:
        with sqlite3.connect(path) as other:
            found.extend(other.execute("SELECT count(*) FROM messages").fetchone())
        other.close()

    writer = JournalWriter(store, done)
    writer.start()
    for number in (1, 2, 3):
        writer.submit(number, batch(number))
    writer.close()
    store.close(clean=True)
    assert found == [1, 2, 3]


def test_closing_waits_for_what_was_submitted(tmp_path: Path) -> None:
    store, _ = open_sessions(tmp_path / "s.db")
    reports = Reports()
    commits: list[int] = []
    writer = JournalWriter(store, reports, after_commit=lambda: commits.append(len(reports.seen)))
    writer.start()
    for number in range(1, 21):
        writer.submit(number, batch(number))
    writer.close()
    assert reports.seen == [(number, "") for number in range(1, 21)]
    assert commits == list(range(20))
    assert store.count("messages") == 20
    store.close(clean=True)


def test_a_refused_batch_is_reported_with_its_reason_and_the_next_one_is_tried(tmp_path: Path) -> None:
    store, _ = open_sessions(tmp_path / "s.db", max_bytes=1)
    reports = Reports()
    writer = JournalWriter(store, reports)
    writer.start()
    large = Batch()
    large.messages[1] = Message("a", b"a", b"x" * 4_000_000, 1, 0, "", "", b"", 0.0)
    writer.submit(1, large)
    writer.submit(2, batch(2))
    writer.close()
    assert reports.seen == [(1, "database or disk is full"), (2, "")]
    assert store.count("messages") == 1
    store.close(clean=True)


def test_a_fault_of_ours_is_a_refusal_and_not_the_end_of_the_thread(tmp_path: Path) -> None:
    store, _ = open_sessions(tmp_path / "s.db")
    reports = Reports()
    writer = JournalWriter(store, reports)
    writer.start()
    broken = Batch()
    broken.deliveries[(1, 1)] = None  # type: ignore[assignment]
    writer.submit(1, broken)
    writer.submit(2, batch(2))
    reports.wait(2)
    writer.close()
    assert reports.seen[0][1].startswith("internal error")
    assert reports.seen[1] == (2, "")
    store.close(clean=True)


def test_a_relaxed_store_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    def synchronous(store: SessionStore) -> int:
        return int(store._database.execute("PRAGMA synchronous").fetchone()[0])

    strict, _ = open_sessions(tmp_path / "strict.db")
    relaxed, _ = open_sessions(tmp_path / "relaxed.db", relaxed=True)
    assert (synchronous(strict), synchronous(relaxed)) == (2, 1)
    strict.close(clean=True)
    relaxed.close(clean=True)


def test_a_store_that_was_read_only_for_a_while_takes_writes_again(tmp_path: Path) -> None:
    store, _ = open_sessions(tmp_path / "s.db")
    reports = Reports()
    writer = JournalWriter(store, reports)
    writer.start()
    store._database.execute("PRAGMA query_only = ON")
    writer.submit(1, batch(1))
    reports.wait(1)
    store._database.execute("PRAGMA query_only = OFF")
    writer.submit(2, batch(1))
    writer.close()
    assert reports.seen == [(1, "attempt to write a readonly database"), (2, "")]
    assert store.count("messages") == 1
    store.close(clean=True)


def large(session: int) -> Batch:
    """A batch that is not sorted in at once."""
    made = Batch()
    for number in range(100 * session, 100 * session + 20):
        made.messages[number] = batch(number).messages[number]
    return made


class Watch:
    """Called after each commit; waits until nothing is waiting any more."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.commits = 0
        self.sorted = threading.Event()

    def __call__(self) -> None:
        self.commits += 1
        if not self.store.waiting_bytes:
            self.sorted.set()


def test_what_waits_is_sorted_in_when_no_batch_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "QUIET_S", 0.001)
    store, _ = open_sessions(tmp_path / "s.db")
    store.rows_at_once = 1
    store.apply(large(1))
    store.apply(large(2))
    watch = Watch(store)
    writer = JournalWriter(store, Reports(), after_commit=watch)
    writer.start()
    assert watch.sorted.wait(10)
    writer.close()
    assert store._database.execute("SELECT count(*) FROM messages").fetchone() == (40,)
    assert watch.commits >= 2
    store.close(clean=True)


def test_too_much_that_waits_is_sorted_in_although_batches_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "QUIET_S", 1000.0)
    store, _ = open_sessions(tmp_path / "s.db")
    store.max_waiting_bytes = 1500
    watch, reports = Watch(store), Reports()
    writer = JournalWriter(store, reports, after_commit=watch)
    writer.start()
    writer.submit(1, large(1))
    writer.submit(2, large(2))
    assert watch.sorted.wait(10)
    assert reports.seen == [(1, ""), (2, "")]
    assert watch.commits > 2
    writer.close()
    store.close(clean=True)


def test_a_disk_that_refuses_to_sort_in_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "QUIET_S", 0.001)
    store, _ = open_sessions(tmp_path / "s.db")
    store.apply(large(1))
    tried = threading.Event()

    def refuse(_: SessionStore) -> bool:
        tried.set()
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(SessionStore, "catch_up", refuse)
        reports = Reports()
        writer = JournalWriter(store, reports)
        writer.start()
        assert tried.wait(10)
        writer.submit(1, large(2))
        reports.wait(1)
        writer.close()
    assert reports.seen == [(1, "")]
    assert store.count("messages") == 40
    store.close(clean=True)


def test_the_writer_gives_the_log_its_length_before_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "LOG_BYTES", 1 << 20)
    store, _ = open_sessions(tmp_path / "s.db")
    store.begin()
    reports = Reports()
    writer = JournalWriter(store, reports)
    writer.start()
    writer.submit(1, batch(1))
    reports.wait(1)
    assert (tmp_path / "s.db-wal").stat().st_size == 1 << 20
    writer.close()
    store.close(clean=True)

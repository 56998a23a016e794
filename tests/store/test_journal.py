"""The writer's thread: in order, each batch reported once, and a refusal is a report."""

import sqlite3
import threading
from pathlib import Path

from bollard.engine.journal import Batch
from bollard.session.message import Delivery, Message
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

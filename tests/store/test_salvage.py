"""Damaged, replaced and copied stores: nothing is overwritten, what can be read is saved, and it is said."""

import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.engine.journal import Batch
from bollard.engine.records import SessionRecord
from bollard.session.message import Delivery, Message
from bollard.store.database import open_database
from bollard.store.salvage import backup, check, open_sessions, restore_backup
from bollard.store.sessions import SessionStore
from bollard.store.tables import COLUMNS, SESSION_MIGRATIONS

ROWS = 2000
PAGE = 4096


def fill(store: SessionStore, first: int = 1, count: int = ROWS) -> None:
    batch = Batch()
    batch.sessions[1] = SessionRecord(1, "anna", "phone", False, 60, 1e9, 0.0)
    for number in range(first, first + count):
        sent = Message(f"t/{number}", b"", b"x" * 60, 1, 0, "anna", "phone", b"", 0.0)
        batch.messages[number] = sent
        batch.deliveries[(1, number)] = (Delivery(sent, 1, 0, (), 1), number, 0, 0)
    store.apply(batch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with rows, left behind as a crash leaves it: open, its log beside it."""
    live = tmp_path / "live.db"
    store, _ = open_sessions(live)
    store.begin()
    fill(store)
    while store.catch_up():
        pass
    store._database.execute("PRAGMA wal_checkpoint(FULL)")
    fill(store, ROWS + 1, 10)
    target = tmp_path / "sessions.db"
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{live}{suffix}", f"{target}{suffix}")
    target.chmod(0o600)
    store.close(clean=True)
    return target


def damage(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as handle:
        handle.seek(at)
        handle.write(data)


def test_a_new_store_is_private_and_has_nothing_to_say(tmp_path: Path) -> None:
    store, opened = open_sessions(tmp_path / "s.db")
    store.close(clean=True)
    assert (opened.unclean, str(opened)) == (False, "")
    assert (tmp_path / "s.db").stat().st_mode & 0o777 == 0o600


def test_a_store_that_was_left_open_is_checked_and_keeps_everything(path: Path) -> None:
    store, opened = open_sessions(path)
    assert (opened.unclean, opened.problem, opened.aside) == (True, "", None)
    assert store.count("messages") == ROWS + 10
    store.close(clean=True)
    store, opened = open_sessions(path)
    assert not opened.unclean
    store.close(clean=True)


def test_a_missing_log_is_said_although_the_rest_is_sound(path: Path) -> None:
    Path(f"{path}-wal").unlink()
    store, opened = open_sessions(path)
    assert "is missing" in str(opened)
    assert store.count("messages") == ROWS
    store.close(clean=True)


def salvaged(path: Path) -> tuple[dict[str, int], str]:
    """Open, expect a salvage, and give what was saved."""
    before = path.read_bytes() if path.exists() else b""
    store, opened = open_sessions(path)
    assert opened.aside is not None
    assert opened.aside.read_bytes() == before, "the damaged file was changed"
    assert str(opened.aside) in str(opened)
    counts = {table: store.count(table) for table in COLUMNS}
    assert counts == opened.saved
    fill(store, 90_001, 3)
    store.close(clean=True)
    assert check(path)[1] == ""
    return counts, str(opened)


@pytest.mark.parametrize("part", [0.25, 0.5, 0.9])
def test_a_truncated_store_gives_what_is_left(path: Path, part: float) -> None:
    Path(f"{path}-wal").unlink()
    os.truncate(path, int(path.stat().st_size * part) // PAGE * PAGE)
    counts, _ = salvaged(path)
    assert counts["messages"] + counts["deliveries"] > 0


def test_zeroed_pages_cost_their_own_rows(path: Path) -> None:
    pages = path.stat().st_size // PAGE
    for page in (pages // 2, pages // 2 + 1, pages - 5):
        damage(path, page * PAGE, b"\0" * PAGE)
    counts, _ = salvaged(path)
    assert counts["sessions"] == 1
    assert counts["messages"] + counts["deliveries"] > 2 * ROWS * 0.8


def test_a_file_that_is_no_database_is_kept_and_a_fresh_store_begun(path: Path) -> None:
    Path(f"{path}-wal").unlink()
    path.write_bytes(b"not a database at all" * 1000)
    counts, said = salvaged(path)
    assert not any(counts.values())
    assert "not a database" in said


def test_a_store_of_which_only_the_log_is_left_is_kept(path: Path) -> None:
    os.truncate(path, 0)
    store, opened = open_sessions(path)
    assert opened.aside is not None
    assert Path(f"{opened.aside}-wal").stat().st_size > 0
    store.close(clean=True)


@pytest.mark.parametrize("seed", range(12))
def test_flipped_bits_never_stop_the_start_and_are_never_overwritten(path: Path, seed: int) -> None:
    dice = random.Random(seed)
    size = path.stat().st_size
    for _ in range(40):
        at = dice.randrange(100, size)
        damage(path, at, bytes([path.read_bytes()[at] ^ 1 << dice.randrange(8)]))
    before = path.read_bytes()
    store, opened = open_sessions(path)
    if opened.aside is not None:
        assert opened.aside.read_bytes() == before
    for table in ("sessions", "messages", "deliveries"):
        store.count(table)
    store.close(clean=True)


def test_a_damaged_log_ends_where_the_damage_begins(path: Path) -> None:
    wal = Path(f"{path}-wal")
    damage(wal, wal.stat().st_size // 2, b"\xaa" * 100)
    store, opened = open_sessions(path)
    assert opened.problem == ""
    assert ROWS <= store.count("messages") <= ROWS + 10
    store.close(clean=True)


def test_two_damages_in_one_second_keep_two_files(path: Path) -> None:
    kept = set()
    for _ in range(2):
        Path(f"{path}-wal").unlink(missing_ok=True)
        path.write_bytes(b"garbage" * 1000)
        path.chmod(0o600)
        store, opened = open_sessions(path)
        kept.add(opened.aside)
        store.close(clean=True)
    assert len(kept) == 2


def test_a_backup_of_a_store_in_use_is_whole(tmp_path: Path) -> None:
    store, _ = open_sessions(tmp_path / "s.db")
    fill(store)
    backup(tmp_path / "s.db", tmp_path / "copy.db")
    fill(store, ROWS + 1, 5)
    counts, problem = check(tmp_path / "copy.db")
    assert (counts["messages"], problem) == (ROWS, "")
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    store.close(clean=True)


def test_a_backup_never_overwrites(tmp_path: Path) -> None:
    store, _ = open_sessions(tmp_path / "s.db")
    store.close(clean=True)
    (tmp_path / "copy.db").write_bytes(b"precious")
    with pytest.raises(LocalError, match="exists"):
        backup(tmp_path / "s.db", tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_bytes() == b"precious"


def test_a_restore_puts_the_backup_in_place_and_keeps_what_was_there(tmp_path: Path) -> None:
    live, copy = tmp_path / "s.db", tmp_path / "copy.db"
    store, _ = open_sessions(live)
    fill(store, 1, 10)
    backup(live, copy)
    fill(store, 11, 10)
    store.close(clean=True)
    aside = restore_backup(copy, live)
    assert aside is not None
    assert check(live)[0]["messages"] == 10
    assert check(aside)[0]["messages"] == 20
    store, opened = open_sessions(live)
    assert opened.problem == ""
    store.close(clean=True)


def test_a_backup_of_a_running_broker_is_checked_and_nothing_is_missing(tmp_path: Path) -> None:
    live, copy = tmp_path / "s.db", tmp_path / "copy.db"
    store, _ = open_sessions(live)
    store.begin()
    fill(store, 1, 10)
    backup(live, copy)
    store.close(clean=True)
    restore_backup(copy, live)
    store, opened = open_sessions(live)
    assert (opened.unclean, opened.problem) == (True, "")
    assert store.count("messages") == 10
    store.close(clean=True)


def test_a_damaged_backup_is_not_restored(tmp_path: Path) -> None:
    live, copy = tmp_path / "s.db", tmp_path / "copy.db"
    store, _ = open_sessions(live)
    fill(store, 1, 10)
    store.close(clean=True)
    copy.write_bytes(b"no database" * 1000)
    with pytest.raises(LocalError, match="damaged or no session store"):
        restore_backup(copy, live)
    assert check(live)[0]["messages"] == 10


def test_a_database_of_another_kind_is_not_restored(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (x)")
    other.commit()
    other.close()
    with pytest.raises(LocalError, match="no session store"):
        restore_backup(tmp_path / "other.db", tmp_path / "s.db")


def test_a_store_that_does_not_exist_cannot_be_checked(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="no session store"):
        check(tmp_path / "s.db")


@pytest.fixture
def waiting(tmp_path: Path) -> Path:
    """A store that a crash left with batches that are not sorted in."""
    live, target = tmp_path / "live.db", tmp_path / "sessions.db"
    store, _ = open_sessions(live)
    store.begin()
    store.lengthen_log()
    for first in (1, 101, 201):
        fill(store, first, 100)
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{live}{suffix}", f"{target}{suffix}")
    target.chmod(0o600)
    store.close(clean=True)
    return target


def test_batches_that_wait_survive_a_crash_a_check_and_a_backup(waiting: Path, tmp_path: Path) -> None:
    counts, problem = check(waiting)
    assert (counts["messages"], counts["deliveries"], problem) == (300, 300, "")
    backup(waiting, tmp_path / "copy.db")
    assert check(tmp_path / "copy.db") == (counts, "")
    store, opened = open_sessions(waiting)
    assert (opened.unclean, opened.problem) == (True, "")
    assert store.waiting_bytes > 0
    assert [record.number for record in store.messages()] == list(range(1, 301))
    store.close(clean=True)


def test_a_batch_that_is_damaged_costs_its_own_rows(waiting: Path) -> None:
    database = sqlite3.connect(waiting)
    database.execute("UPDATE batches SET changes = zeroblob(100) WHERE number = 2")
    database.commit()
    shutil.copyfile(waiting, f"{waiting}.kept")
    shutil.copyfile(f"{waiting}-wal", f"{waiting}.kept-wal")
    database.close()
    for suffix in ("", "-wal"):
        Path(f"{waiting}.kept{suffix}").rename(f"{waiting}{suffix}")
    waiting.chmod(0o600)
    assert "check sum" in check(waiting)[1]
    counts, said = salvaged(waiting)
    assert (counts["messages"], counts["deliveries"], counts["sessions"]) == (200, 200, 1)
    assert "check sum" in said


def test_a_store_of_an_earlier_version_is_opened_and_its_copy_checked(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    open_database(path, SESSION_MIGRATIONS[:1]).close()
    assert check(path) == (dict.fromkeys(COLUMNS, 0), "")
    store, opened = open_sessions(path)
    assert opened.problem == ""
    fill(store, 1, 20)
    assert store.count("messages") == 20
    store.close(clean=True)


def test_an_earlier_version_refuses_a_store_that_may_have_batches(tmp_path: Path) -> None:
    store, _ = open_sessions(tmp_path / "s.db")
    store.close(clean=True)
    with pytest.raises(LocalError, match="newer version"):
        open_database(tmp_path / "s.db", SESSION_MIGRATIONS[:1])


def test_a_small_store_lets_little_wait(tmp_path: Path) -> None:
    store, _ = open_sessions(tmp_path / "s.db", max_bytes=1 << 20)
    assert store.max_waiting_bytes == 1 << 17
    store.close(clean=True)


def test_a_log_cut_at_any_byte_gives_the_batches_before(waiting: Path, tmp_path: Path) -> None:
    log = Path(f"{waiting}-wal").read_bytes()
    end = len(log.rstrip(b"\0"))
    dice = random.Random(3)
    found = set()
    for cut in sorted(dice.sample(range(end), 16)):
        torn = tmp_path / f"torn-{cut}.db"
        shutil.copyfile(waiting, torn)
        # What follows the cut is what was there before: zeros.
        Path(f"{torn}-wal").write_bytes(log[:cut] + bytes(end + 100_000 - cut))
        counts, problem = check(torn)
        assert problem == ""
        found.add(counts["messages"])
        assert counts["messages"] == counts["deliveries"]
    assert found <= {0, 100, 200, 300}
    assert len(found) > 1

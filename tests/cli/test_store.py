"""`bollard store`: check, backup and restore, beside a running broker and without one."""

import json
from pathlib import Path

import pytest

from bollard.store.salvage import open_sessions
from cli.daemon import Daemon, bollard


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory whose broker has run and was stopped."""
    state = tmp_path_factory.mktemp("store") / "state"
    with Daemon(state):
        found = bollard("store", "check", "--dir", state)
        assert found.returncode == 0, found.stderr
        assert "sound" in found.stdout
        copied = bollard("store", "backup", state.parent / "live.db", "--dir", state)
        assert copied.returncode == 0, copied.stderr
        refused = bollard("store", "restore", state.parent / "live.db", "--dir", state)
        assert refused.returncode == 2
        assert "in use" in refused.stderr
    return state


def test_a_backup_that_was_made_of_a_running_broker_is_restored(room: Path) -> None:
    done = bollard("store", "restore", room.parent / "live.db", "--dir", room)
    assert done.returncode == 0, done.stderr
    assert "is kept as" in done.stdout
    with Daemon(room) as daemon:
        log = daemon.log
    assert not [line for line in log if "store damaged" in line]


def test_check_tells_programs_what_there_is(room: Path) -> None:
    found = json.loads(bollard("store", "check", "--dir", room, "--json").stdout)
    assert found["sound"]
    assert set(found["rows"]) == {
        "sessions",
        "subscriptions",
        "received",
        "messages",
        "deliveries",
        "retained",
    }


def test_check_of_a_damaged_store_ends_with_1(room: Path, tmp_path: Path) -> None:
    store = room / "sessions.db"
    sound = store.read_bytes()
    store.write_bytes(b"garbage" * 1000)
    found = bollard("store", "check", "--dir", room)
    store.write_bytes(sound)
    assert found.returncode == 1
    assert "damaged" in found.stdout


def test_a_backup_that_is_no_backup_is_refused(room: Path, tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"garbage" * 1000)
    refused = bollard("store", "restore", tmp_path / "x.db", "--dir", room)
    assert refused.returncode == 2
    assert "damaged" in refused.stderr
    missing = bollard("store", "restore", tmp_path / "none.db", "--dir", room)
    assert missing.returncode == 2
    store, opened = open_sessions(room / "sessions.db")
    store.close(clean=True)
    assert opened.problem == ""

"""The store of a running broker: opened, restored, salvaged, and what is said about each."""

import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from bollard.base.events import ServerEvent, ServerWarning
from bollard.engine.broker import Broker
from bollard.engine.limits import Limits
from bollard.server.config import StoreConfig
from bollard.server.durability import Durability
from bollard.store.sessions import SessionStore
from support.memory import Tokens
from support.rights import Rights


def make() -> Broker:
    return Broker(limits=Limits(), authorizer=Rights(), entropy=Tokens(), now=time.monotonic(), durable=True)


def start(path: Path) -> tuple[Durability, Broker]:
    durability = Durability(path, StoreConfig())
    return durability, durability.restore(make)


def write(durability: Durability, broker: Broker) -> None:
    _, batch = broker.take_journal(time.time() - time.monotonic())
    store: SessionStore = durability._store
    store.apply(batch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with two retained messages, left behind by a crash."""
    path = tmp_path / "sessions.db"
    durability, broker = start(path)
    for topic in ("a", "b"):
        broker.publish(topic, b"x", retain=True, now=time.monotonic())
    write(durability, broker)
    live: SessionStore = durability._store
    live.begin()
    crashed = tmp_path / "crashed.db"
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{path}{suffix}", f"{crashed}{suffix}")
    crashed.chmod(0o600)
    durability.close()
    return crashed


def texts(durability: Durability) -> list[str]:
    return [f"{event.name}: {getattr(event, 'what', '')}" for event in durability.events]


def test_what_was_kept_is_there_again(path: Path) -> None:
    durability, broker = start(path)
    assert sorted(message.name for message in broker.core.retained) == ["a", "b"]
    assert texts(durability) == ["server: store checked", "server: restored"]
    durability.stopped_well(True)
    durability.close()


def test_a_store_that_was_closed_is_not_checked(path: Path) -> None:
    durability, _ = start(path)
    durability.stopped_well(True)
    durability.close()
    durability, _ = start(path)
    assert texts(durability) == ["server: restored"]
    durability.close()


def test_a_stop_that_could_not_write_everything_is_no_clean_one(path: Path) -> None:
    durability, _ = start(path)
    durability.stopped_well(False)
    durability.close()
    durability, _ = start(path)
    assert "server: store checked" in texts(durability)
    durability.close()


@pytest.mark.parametrize("crashed", [True, False])
def test_a_start_that_came_to_nothing_leaves_the_store_as_it_was(path: Path, crashed: bool) -> None:
    if not crashed:
        durability, _ = start(path)
        durability.stopped_well(True)
        durability.close()
    durability, _ = start(path)
    durability.close()
    durability, _ = start(path)
    assert ("server: store checked" in texts(durability)) is crashed
    assert not any(isinstance(event, ServerWarning) for event in durability.events)
    durability.close()


def test_damage_is_a_loud_warning_with_the_place_of_the_old_file(path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)
    Path(f"{path}-wal").unlink(missing_ok=True)
    durability, broker = start(path)
    [warning] = [event for event in durability.events if isinstance(event, ServerWarning)]
    assert f"{path}.damaged-" in warning.detail
    assert broker.core.retained.count == 0
    durability.close()


def test_values_that_only_the_engine_stumbles_over_are_salvaged_too(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("UPDATE messages SET name = CAST(x'ff' AS TEXT) WHERE name = 'a'")
    database.commit()
    database.close()
    durability, broker = start(path)
    assert [message.name for message in broker.core.retained] == ["b"]
    assert any(isinstance(event, ServerWarning) for event in durability.events)
    durability.close()


def test_rows_that_were_left_out_are_told(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("DELETE FROM messages WHERE name = 'a'")
    database.commit()
    database.close()
    durability, _ = start(path)
    assert any("1 rows were left out" in getattr(event, "detail", "") for event in durability.events)
    assert isinstance(durability.events[-1], ServerEvent)
    durability.close()

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.store.database import open_database
from bollard.store.migrations import MIGRATIONS, Migration, migrate

FIRST = Migration("first", ("CREATE TABLE a (x) STRICT".replace("x", "x INTEGER"),))
SECOND = Migration("second", ("ALTER TABLE a ADD COLUMN y INTEGER", "INSERT INTO a VALUES (1, 2)"))
BROKEN = Migration("second", ("ALTER TABLE a ADD COLUMN y INTEGER", "INSERT INTO absent VALUES (1)"))


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


def columns(database: sqlite3.Connection) -> list[str]:
    return [row[1] for row in database.execute("PRAGMA table_info(a)")]


def test_steps_run_once_and_in_order(database: sqlite3.Connection) -> None:
    assert migrate(database, (FIRST,)) == ["first"]
    assert migrate(database, (FIRST, SECOND)) == ["second"]
    assert migrate(database, (FIRST, SECOND)) == []
    assert columns(database) == ["x", "y"]
    assert database.execute("SELECT count(*) FROM a").fetchone() == (1,)


def test_a_step_that_fails_leaves_no_half_of_itself(database: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="absent"):
        migrate(database, (FIRST, BROKEN))
    assert columns(database) == ["x"]
    assert not database.in_transaction
    assert migrate(database, (FIRST, SECOND)) == ["second"]


def test_a_newer_database_is_refused_before_anything_changes(database: sqlite3.Connection) -> None:
    migrate(database, (FIRST, SECOND))
    third = Migration("third", ("DROP TABLE a",))
    with pytest.raises(LocalError, match="newer version") as caught:
        migrate(database, (FIRST, third))
    assert "'second'" in caught.value.message
    assert columns(database) == ["x", "y"]


def test_opening_a_newer_database_says_so(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    database = open_database(path)
    database.execute("INSERT INTO migrations VALUES ('quantum', 1)")
    database.close()
    with pytest.raises(LocalError, match="the step 'quantum'"):
        open_database(path)


def test_names_of_steps_are_unique() -> None:
    names = [migration.name for migration in MIGRATIONS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO identities VALUES ('x', 'u', 'device', 'almighty', 1, 1)",
        "INSERT INTO identities VALUES ('x', 'u', 'device', 'active', 'soon', 1)",
        "INSERT INTO identities VALUES ('other', 'uuid-plug', 'device', 'active', 1, 1)",
        "INSERT INTO verifiers VALUES ('ghost', 'hmac-sha256', zeroblob(32))",
        "INSERT INTO verifiers VALUES ('plug', 'plaintext', zeroblob(32))",
        "INSERT INTO verifiers VALUES ('plug', 'hmac-sha256', zeroblob(31))",
        "INSERT INTO certificates VALUES ('02', 'plug', 'active', NULL, 9, 1, 1)",
        "INSERT INTO certificates VALUES ('02', 'plug', 'active', zeroblob(32), 9, 1, 1)",
        "INSERT INTO certificates VALUES ('02', 'ghost', 'issuing', NULL, 9, 1, 1)",
        "DELETE FROM identities",
    ],
)
def test_the_schema_itself_refuses_what_makes_no_sense(tmp_path: Path, statement: str) -> None:
    database = open_database(tmp_path / "registry.db")
    database.execute("INSERT INTO identities VALUES ('plug', 'uuid-plug', 'device', 'active', 1, 1)")
    database.execute("INSERT INTO certificates VALUES ('01', 'plug', 'active', zeroblob(32), 9, 1, 1)")
    with pytest.raises(sqlite3.IntegrityError):
        database.execute(statement)
    database.close()

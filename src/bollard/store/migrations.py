"""How the database's schema came to be, step by step, each with a name. Nothing here reads or writes data
of a running broker.

A step that was released is never edited: databases exist that have it. What changes is a new step at
the end of the list. Each runs in one transaction together with the note that it ran.
"""

import sqlite3
import time
from dataclasses import dataclass

from bollard.base.errors import LocalError


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: a name that is stored, and the statements that it consists of."""

    name: str
    statements: tuple[str, ...]


MIGRATIONS = (
    Migration(
        "registry",
        (
            """
            CREATE TABLE identities (
                id TEXT PRIMARY KEY,
                uuid TEXT NOT NULL UNIQUE,
                template TEXT NOT NULL,
                state TEXT NOT NULL CHECK (state IN ('pending', 'active', 'suspended', 'revoked')),
                created_at INTEGER NOT NULL,
                changed_at INTEGER NOT NULL
            ) STRICT, WITHOUT ROWID
            """,
            """
            CREATE TABLE verifiers (
                identity TEXT NOT NULL REFERENCES identities (id),
                kind TEXT NOT NULL CHECK (kind IN ('hmac-sha256')),
                value BLOB NOT NULL CHECK (length(value) = 32),
                PRIMARY KEY (identity, kind)
            ) STRICT, WITHOUT ROWID
            """,
            # A serial is hexadecimal: it has more bits than SQLite's integers.
            """
            CREATE TABLE certificates (
                serial TEXT PRIMARY KEY,
                identity TEXT NOT NULL REFERENCES identities (id),
                state TEXT NOT NULL CHECK (state IN ('issuing', 'active', 'superseded', 'revoked')),
                sha256 BLOB UNIQUE CHECK (length(sha256) = 32),
                not_after INTEGER NOT NULL,
                created_at INTEGER NOT NULL,
                changed_at INTEGER NOT NULL,
                CHECK (state NOT IN ('active', 'superseded') OR sha256 IS NOT NULL)
            ) STRICT, WITHOUT ROWID
            """,
            "CREATE INDEX certificates_of_identity ON certificates (identity, created_at)",
        ),
    ),
    Migration(
        "scram keys",
        (
            """
            CREATE TABLE scram_keys (
                identity TEXT PRIMARY KEY REFERENCES identities (id),
                salt BLOB NOT NULL,
                iterations INTEGER NOT NULL,
                stored_key BLOB NOT NULL CHECK (length(stored_key) = 32),
                server_key BLOB NOT NULL CHECK (length(server_key) = 32)
            ) STRICT, WITHOUT ROWID
            """,
        ),
    ),
    Migration(
        "enrollment tokens",
        (
            """
            CREATE TABLE tokens (
                identity TEXT PRIMARY KEY REFERENCES identities (id),
                verifier BLOB NOT NULL CHECK (length(verifier) = 32),
                created_at INTEGER NOT NULL,
                expires_at INTEGER NOT NULL,
                approval TEXT NOT NULL CHECK (approval IN ('none', 'required', 'granted')),
                key BLOB CHECK (length(key) = 32),
                spent_at INTEGER NOT NULL,
                certificate BLOB,
                CHECK (spent_at = 0 OR (key IS NOT NULL AND certificate IS NOT NULL))
            ) STRICT, WITHOUT ROWID
            """,
        ),
    ),
    Migration(
        "passwords of people",
        (
            """
            CREATE TABLE passwords (
                identity TEXT PRIMARY KEY REFERENCES identities (id),
                hash TEXT NOT NULL CHECK (length(hash) BETWEEN 1 AND 1100)
            ) STRICT, WITHOUT ROWID
            """,
        ),
    ),
    Migration(
        "pre-shared keys",
        (
            """
            CREATE TABLE psk_salts (
                identity TEXT PRIMARY KEY REFERENCES identities (id),
                salt BLOB NOT NULL CHECK (length(salt) = 16)
            ) STRICT, WITHOUT ROWID
            """,
        ),
    ),
)


def migrate(database: sqlite3.Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> list[str]:
    """Apply what is missing, in order, and return the names applied.

    `database` is in autocommit mode. `LocalError` if the database has a step that this version does not
    know: it was written by a newer one, and guessing at its meaning could lose data.
    """
    database.execute(
        "CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT"
    )
    applied = {str(name) for (name,) in database.execute("SELECT name FROM migrations")}
    unknown = sorted(applied - {migration.name for migration in migrations})
    if unknown:
        raise LocalError(
            f"the database was written by a newer version (it has the step {unknown[0]!r})",
            "Install that version again, or restore the backup from before its first start.",
        )
    missing = [migration for migration in migrations if migration.name not in applied]
    for migration in missing:
        _apply(database, migration)
    return [migration.name for migration in missing]


def _apply(database: sqlite3.Connection, migration: Migration) -> None:
    database.execute("BEGIN IMMEDIATE")
    try:
        for statement in migration.statements:
            database.execute(statement)
        database.execute("INSERT INTO migrations VALUES (?, ?)", (migration.name, int(time.time())))
    except BaseException:
        if database.in_transaction:  # a full disk has rolled it back already
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")

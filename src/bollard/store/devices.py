"""The registry's tables: `identity.ports.RegistryStorage` over SQLite. Decides nothing."""

import sqlite3
from collections.abc import Sequence

from bollard.identity.records import (
    Approval,
    CertificateRecord,
    CertificateState,
    Identity,
    State,
    Token,
)
from bollard.identity.scram import ScramKeys
from bollard.store.database import reading, transaction

_VERIFIER_KIND = "hmac-sha256"

_LOAD_IDENTITIES = "SELECT id, uuid, template, state, created_at, changed_at FROM identities ORDER BY id"
_LOAD_CERTIFICATES = """
    SELECT identity, serial, state, sha256, not_after, created_at, changed_at FROM certificates
    ORDER BY identity, created_at, serial
"""
_SAVE_IDENTITY = """
    INSERT INTO identities (id, uuid, template, state, created_at, changed_at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE
    SET template = excluded.template, state = excluded.state, changed_at = excluded.changed_at
"""
_SAVE_VERIFIER = """
    INSERT INTO verifiers (identity, kind, value) VALUES (?, ?, ?)
    ON CONFLICT (identity, kind) DO UPDATE SET value = excluded.value
"""
_LOAD_SCRAM = "SELECT identity, salt, iterations, stored_key, server_key FROM scram_keys"
_SAVE_SCRAM = """
    INSERT INTO scram_keys (identity, salt, iterations, stored_key, server_key) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (identity) DO UPDATE
    SET salt = excluded.salt, iterations = excluded.iterations, stored_key = excluded.stored_key,
        server_key = excluded.server_key
"""
_LOAD_ENROLLMENTS = """
    SELECT identity, verifier, created_at, expires_at, approval, key, spent_at, certificate FROM tokens
"""
_SAVE_ENROLLMENT = """
    INSERT INTO tokens (identity, verifier, created_at, expires_at, approval, key, spent_at, certificate)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (identity) DO UPDATE
    SET verifier = excluded.verifier, created_at = excluded.created_at, expires_at = excluded.expires_at,
        approval = excluded.approval, key = excluded.key, spent_at = excluded.spent_at,
        certificate = excluded.certificate
"""
_SAVE_HASH = """
    INSERT INTO passwords (identity, hash) VALUES (?, ?)
    ON CONFLICT (identity) DO UPDATE SET hash = excluded.hash
"""
_SAVE_PSK = """
    INSERT INTO psk_salts (identity, salt) VALUES (?, ?)
    ON CONFLICT (identity) DO UPDATE SET salt = excluded.salt
"""
_ANY_STORED = """
    SELECT 1 FROM verifiers UNION ALL SELECT 1 FROM tokens UNION ALL SELECT 1 FROM passwords
    UNION ALL SELECT 1 FROM psk_salts LIMIT 1
"""
# The owner of a serial never changes: a row that says otherwise is left alone, and the caller told.
_SAVE_CERTIFICATE = """
    INSERT INTO certificates (serial, identity, state, sha256, not_after, created_at, changed_at)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (serial) DO UPDATE
    SET state = excluded.state, sha256 = excluded.sha256, changed_at = excluded.changed_at
    WHERE identity = excluded.identity
"""


class DeviceStore:
    """Identities, verifiers and certificates in an opened database. One thread at a time."""

    __slots__ = ("_database",)

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def has_verifiers(self) -> bool:
        """Whether any password, token or key is stored, so that the pepper must exist."""
        with reading(self._database) as database:
            return database.execute(_ANY_STORED).fetchone() is not None

    def load(self) -> list[Identity]:
        """Every identity with its verifier and certificates, in order of name."""
        with reading(self._database) as database:
            verifiers = dict(
                database.execute("SELECT identity, value FROM verifiers WHERE kind = ?", (_VERIFIER_KIND,))
            )
            certificates: dict[str, list[CertificateRecord]] = {}
            for owner, *columns in database.execute(_LOAD_CERTIFICATES):
                certificates.setdefault(owner, []).append(_certificate(*columns))
            scram = {owner: ScramKeys(*columns) for owner, *columns in database.execute(_LOAD_SCRAM)}
            salts = dict(database.execute("SELECT identity, salt FROM psk_salts"))
            passwords = dict(database.execute("SELECT identity, hash FROM passwords"))
            tokens = {owner: _token(*columns) for owner, *columns in database.execute(_LOAD_ENROLLMENTS)}
            return [
                Identity(
                    name,
                    uuid,
                    template,
                    State(state),
                    created_at,
                    changed_at,
                    verifier=verifiers.get(name, b""),
                    certificates=tuple(certificates.get(name, ())),
                    scram=scram.get(name),
                    token=tokens.get(name),
                    password_hash=passwords.get(name, ""),
                    psk_salt=salts.get(name, b""),
                )
                for name, uuid, template, state, created_at, changed_at in database.execute(_LOAD_IDENTITIES)
            ]

    def save(self, identity: Identity) -> None:
        """Store `identity` as it is now, in one transaction; certificates are added or changed, never
        dropped. `LocalError` if the database does not take it: then nothing was changed."""
        self.save_all([identity])

    def save_all(self, identities: Sequence[Identity]) -> None:
        """As `save` for each of them, in one transaction."""
        with transaction(self._database):
            for identity in identities:
                self._save(identity)

    def _save(self, identity: Identity) -> None:
        database = self._database
        database.execute(
            _SAVE_IDENTITY,
            (
                identity.id,
                identity.uuid,
                identity.template,
                identity.state.value,
                identity.created_at,
                identity.changed_at,
            ),
        )
        if identity.verifier:
            database.execute(_SAVE_VERIFIER, (identity.id, _VERIFIER_KIND, identity.verifier))
        else:
            database.execute("DELETE FROM verifiers WHERE identity = ?", (identity.id,))
        if identity.password_hash:
            database.execute(_SAVE_HASH, (identity.id, identity.password_hash))
        else:
            database.execute("DELETE FROM passwords WHERE identity = ?", (identity.id,))
        if identity.psk_salt:
            database.execute(_SAVE_PSK, (identity.id, identity.psk_salt))
        else:
            database.execute("DELETE FROM psk_salts WHERE identity = ?", (identity.id,))
        self._save_scram(identity.id, identity.scram)
        self._save_token(identity.id, identity.token)
        for record in identity.certificates:
            self._save_certificate(identity.id, record)

    def _save_scram(self, owner: str, keys: ScramKeys | None) -> None:
        if keys is None:
            self._database.execute("DELETE FROM scram_keys WHERE identity = ?", (owner,))
            return
        row = (owner, keys.salt, keys.iterations, keys.stored_key, keys.server_key)
        self._database.execute(_SAVE_SCRAM, row)

    def _save_token(self, owner: str, token: Token | None) -> None:
        if token is None:
            self._database.execute("DELETE FROM tokens WHERE identity = ?", (owner,))
            return
        self._database.execute(
            _SAVE_ENROLLMENT,
            (
                owner,
                token.verifier,
                token.created_at,
                token.expires_at,
                token.approval.value,
                token.key or None,
                token.spent_at,
                token.certificate or None,
            ),
        )

    def _save_certificate(self, owner: str, record: CertificateRecord) -> None:
        saved = self._database.execute(
            _SAVE_CERTIFICATE,
            (
                f"{record.serial:040x}",
                owner,
                record.state.value,
                record.sha256 or None,
                record.not_after,
                record.created_at,
                record.changed_at,
            ),
        )
        if saved.rowcount != 1:
            raise sqlite3.IntegrityError(f"serial {record.serial:x} belongs to another identity")


def _certificate(
    serial: str, state: str, sha256: bytes | None, not_after: int, created_at: int, changed_at: int
) -> CertificateRecord:
    return CertificateRecord(
        int(serial, 16), CertificateState(state), not_after, created_at, changed_at, sha256 or b""
    )


def _token(
    verifier: bytes,
    created_at: int,
    expires_at: int,
    approval: str,
    key: bytes | None,
    spent_at: int,
    certificate: bytes | None,
) -> Token:
    return Token(
        verifier, created_at, expires_at, Approval(approval), key or b"", spent_at, certificate or b""
    )

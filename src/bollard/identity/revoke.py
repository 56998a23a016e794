"""What it means that an identity, or one of its credentials, has come to its end. Pure: no files, no loop.

Three defences that do not trust each other:

    the authorizer    `OnlyActive` stands before the policy, so that a pattern such as "*" in a group never
                      gives a right to who is suspended or revoked, and what such an identity wrote before
                      is not delivered any more while it is not active
    the log           an `Ending` for each credential and identity that ended, kept outside the registry's
                      database: restoring an older backup of that brings nobody back (`without_ended`)
    the sweep         `lapsed` tells whether the certificate that a connection was made with still counts,
                      because a connection outlives the handshake that looked at it

Ending live connections is the server's part, refusing new ones that of `principal.py`.
"""

import enum
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from bollard.base.allowance import PassedOn
from bollard.base.types import ANONYMOUS, Action, Decision, Peer, Principal
from bollard.identity.records import CertificateRecord, CertificateState, Identity, Snapshot, State

#: The name under which a denial of the registry is told, in place of a rule's.
REGISTRY = "registry"


class _Authorizer(Protocol):
    def decide(self, principal: Principal, action: Action, topic: str) -> Decision: ...


class OnlyActive(PassedOn):
    """An authorizer that asks `policy` about active identities only; immutable, for any thread.

    `others` are the principals that the registry does not hold and the policy decides about all the same.
    """

    __slots__ = ("_others", "_policy", "_registry")

    def __init__(
        self, policy: _Authorizer, registry: Snapshot, others: frozenset[Principal] = frozenset({ANONYMOUS})
    ) -> None:
        super().__init__(policy)
        self._policy = policy
        self._registry = registry
        self._others = others

    def decide(self, principal: Principal, action: Action, topic: str) -> Decision:
        """As the policy decides for who is active; no for everybody else, whatever a rule says."""
        identity = self._registry.identities.get(principal)
        if identity is None:
            if principal in self._others:
                return self._policy.decide(principal, action, topic)
            return Decision(False, REGISTRY, "it is not enrolled")
        if identity.state is not State.ACTIVE:
            return Decision(False, REGISTRY, f"the identity is {identity.state}")
        return self._policy.decide(principal, action, topic)


class What(enum.StrEnum):
    """What an `Ending` ended, or for RESUMED: which end is over."""

    REVOKED = "revoked"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    CERTIFICATE = "certificate"
    PASSWORD = "password"  # noqa: S105  # a word, not a password


@dataclass(frozen=True, slots=True)
class Ending:
    """One line of the revocation log. `at` in seconds since the epoch.

    `value` is the serial in hex for a CERTIFICATE, and the SHA-256 of what is stored of a PASSWORD:
    enough to know it again, nothing to guess from.
    """

    at: int
    identity: str
    uuid: str
    what: What
    value: str = ""


def endings_of_identity(before: Identity | None, after: Identity) -> list[Ending]:
    """What must be on disk before `after` is stored: a revocation or suspension is never forgotten."""
    known = before.state if before is not None else State.PENDING
    if after.state is known or after.state not in (State.REVOKED, State.SUSPENDED):
        return []
    return [Ending(after.changed_at, after.id, after.uuid, What(after.state.value))]


def endings_of_credentials(before: Identity | None, after: Identity) -> list[Ending]:
    """What is noted once `after` is stored: credentials that were replaced, and the end of a suspension.

    In the other order, a crash between the two would end the old credential of a device that has not got
    the new one yet.
    """
    if before is None:
        return []
    at = after.changed_at
    found = []
    if before.state is State.SUSPENDED and after.state is State.ACTIVE:
        found.append(Ending(at, after.id, after.uuid, What.RESUMED))
    if before.verifier and before.verifier != after.verifier:
        found.append(Ending(at, after.id, after.uuid, What.PASSWORD, _digest(before.verifier)))
    if before.password_hash and before.password_hash != after.password_hash:
        value = _digest(before.password_hash.encode())
        found.append(Ending(at, after.id, after.uuid, What.PASSWORD, value))
    if before.psk_salt and before.psk_salt != after.psk_salt:
        found.append(Ending(at, after.id, after.uuid, What.PASSWORD, _digest(before.psk_salt)))
    ended_before = {c.serial for c in before.certificates if _has_ended(c)}
    for record in after.certificates:
        if _has_ended(record) and record.serial not in ended_before:
            found.append(Ending(at, after.id, after.uuid, What.CERTIFICATE, f"{record.serial:x}"))
    return found


def unnoted(identities: Iterable[Identity], log: Iterable[Ending]) -> list[Ending]:
    """What the registry says has ended and the log does not: what a log that is new, or was cut off, needs."""
    ends = _Ends(log)
    missing = []
    for identity in identities:
        if identity.state is State.REVOKED and identity.id not in ends.revoked:
            missing.append(Ending(identity.changed_at, identity.id, identity.uuid, What.REVOKED))
        if identity.state is State.SUSPENDED and identity.uuid not in ends.suspended:
            missing.append(Ending(identity.changed_at, identity.id, identity.uuid, What.SUSPENDED))
        for record in identity.certificates:
            serial = f"{record.serial:x}"
            if _has_ended(record) and serial not in ends.serials:
                missing.append(
                    Ending(record.changed_at, identity.id, identity.uuid, What.CERTIFICATE, serial)
                )
    return missing


def without_ended(identities: Iterable[Identity], log: Iterable[Ending], *, now: int) -> list[Identity]:
    """The identities that the log contradicts, as they have to be: revoked ones revoked, also those that
    the registry has forgotten; replaced credentials without effect. Empty where both agree."""
    ends = _Ends(log)
    changed = []
    seen = set()
    for identity in identities:
        seen.add(identity.id)
        corrected = _corrected(identity, ends, now)
        if corrected != identity:
            changed.append(replace(corrected, changed_at=now))
    for ending in ends.revoked.values():
        if ending.identity not in seen:
            # A name that was revoked stays taken, or its next owner would inherit what rules say of it.
            changed.append(Identity(ending.identity, ending.uuid, "", State.REVOKED, ending.at, now))
    return changed


def lapsed(registry: Snapshot, certificate: bytes, now: float) -> str:
    """Why the certificate (DER) that a connection was made with does not count any more, or ""."""
    found = registry.by_certificate(hashlib.sha256(certificate).digest())
    if found is None:
        return "its certificate is not in the registry"
    _identity, record = found
    if record.state is not CertificateState.ACTIVE:
        return f"its certificate is {record.state}"
    return "its certificate has expired" if now >= record.not_after else ""


def outdated(registry: Snapshot, principal: Principal, peer: Peer, now: float) -> str:
    """Why a connection of `principal` goes on with a credential that has ended, or "".

    `peer` tells the certificate, or the key for TLS-PSK, that it was made with; else it was a password.
    """
    if peer.certificate is not None:
        return lapsed(registry, peer.certificate, now)
    identity = registry.identities.get(principal)
    if peer.psk is not None:
        return "its key was replaced" if identity is None or identity.psk_salt != peer.psk[1] else ""
    return "its password was replaced" if identity is not None and not identity.has_password else ""


class _Ends:
    """The log by what it is asked."""

    __slots__ = ("passwords", "revoked", "serials", "suspended")

    def __init__(self, log: Iterable[Ending]) -> None:
        self.revoked: dict[str, Ending] = {}
        self.suspended: set[str] = set()
        self.serials: set[str] = set()
        self.passwords: set[str] = set()
        for ending in log:
            match ending.what:
                case What.REVOKED:
                    self.revoked.setdefault(ending.identity, ending)
                case What.SUSPENDED:
                    self.suspended.add(ending.uuid)
                case What.RESUMED:
                    self.suspended.discard(ending.uuid)
                case What.CERTIFICATE:
                    self.serials.add(ending.value)
                case What.PASSWORD:
                    self.passwords.add(ending.value)


def _corrected(identity: Identity, ends: _Ends, now: int) -> Identity:
    state = identity.state
    if identity.id in ends.revoked:
        state = State.REVOKED
    elif state is State.ACTIVE and identity.uuid in ends.suspended:
        state = State.SUSPENDED
    certificates = tuple(
        replace(c, state=CertificateState.REVOKED, changed_at=now)
        if not _has_ended(c) and (state is State.REVOKED or f"{c.serial:x}" in ends.serials)
        else c
        for c in identity.certificates
    )
    retired = bool(identity.verifier) and _digest(identity.verifier) in ends.passwords
    kept = replace(identity, state=state, certificates=certificates)
    if kept.password_hash and _digest(kept.password_hash.encode()) in ends.passwords:
        kept = replace(kept, password_hash="")
    if kept.psk_salt and _digest(kept.psk_salt) in ends.passwords:
        kept = replace(kept, psk_salt=b"")
    return replace(kept, verifier=b"", scram=None) if retired else kept


def _has_ended(record: CertificateRecord) -> bool:
    return record.state in (CertificateState.SUPERSEDED, CertificateState.REVOKED)


def _digest(verifier: bytes) -> str:
    return hashlib.sha256(verifier).hexdigest()

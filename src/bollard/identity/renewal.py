"""When a device renews, until when it may, and what becomes of the certificate before.

A device renews when two thirds of its certificate's life are over, give or take a tenth, so that a fleet
that was enrolled in one afternoon does not come back in one afternoon. One that slept past the end may
still renew within the grace, if it proves the old key. The certificate before stays good beside the next
one until that is used for the first time, or for three days.
"""

import hashlib
from collections.abc import Set as AbstractSet
from dataclasses import replace

from cryptography import x509

from bollard.identity.profile import BACKDATE_S, DAY_S
from bollard.identity.records import CertificateRecord, CertificateState, Identity, Snapshot, State
from bollard.identity.refusals import FORBIDDEN, UNAUTHORIZED, UNAVAILABLE, EnrollmentRefused

RENEW_AFTER = 2 / 3
JITTER = 0.1
GRACE_S = 365 * DAY_S
#: How long the certificate before may still be used when nobody has used the next one.
OVERLAP_S = 3 * DAY_S
#: Certificates that one identity gets within a day. A device needs one a year, and a few more if answers get lost.
MAX_A_DAY = 16


def renew_at(certificate: x509.Certificate) -> float:
    """When this certificate's device asks for the next: seconds since the epoch, always the same answer."""
    begin = certificate.not_valid_before_utc.timestamp() + BACKDATE_S
    life_s = certificate.not_valid_after_utc.timestamp() - begin
    serial = certificate.serial_number.to_bytes(20, "big")
    chance = int.from_bytes(hashlib.sha256(serial).digest()[:4], "big") / 0xFFFF_FFFF
    return begin + life_s * (RENEW_AFTER + JITTER * (2 * chance - 1))


def check_renewable(registry: Snapshot, certificate: bytes, now: float) -> Identity:
    """Whose certificate (DER) this is, if it may be renewed with it. Raises `EnrollmentRefused`.

    The caller has made sure that the asker holds its key.
    """
    found = registry.by_certificate(hashlib.sha256(certificate).digest())
    if found is None:
        raise EnrollmentRefused(UNAUTHORIZED, "this certificate was not issued here")
    identity, record = found
    if identity.state is not State.ACTIVE:
        raise EnrollmentRefused(FORBIDDEN, f"this identity is {identity.state.value}")
    if record.state is not CertificateState.ACTIVE:
        raise EnrollmentRefused(FORBIDDEN, f"this certificate is {record.state.value}")
    if not may_renew(record, now):
        raise EnrollmentRefused(
            FORBIDDEN, "this certificate expired more than a year ago; enroll the device again"
        )
    return identity


def may_renew(record: CertificateRecord, now: float) -> bool:
    """Whether the time to renew `record` is not over."""
    return record.state is CertificateState.ACTIVE and now < record.not_after + GRACE_S


def check_pace(identity: Identity, now: float) -> None:
    """Raises `EnrollmentRefused` if `identity` got too many certificates of late.

    Attack: a device that renews without end. Each certificate is a signature, a row that is kept for ever,
    and a new policy for everybody.
    """
    recent = sum(abs(now - record.created_at) < DAY_S for record in identity.certificates)
    if recent >= MAX_A_DAY:
        raise EnrollmentRefused(UNAVAILABLE, f"it got {recent} certificates within a day; try again tomorrow")


def without_others(identity: Identity, keep: AbstractSet[int], now: int) -> Identity:
    """`identity` with no active certificates but those in `keep`: the current one and the next.

    Attack: a device that renews again and again, to hold many keys that a thief could take. The current
    one stays, because an answer may be lost: then the device has nothing else.
    """
    active = {record.serial for record in identity.active_certificates}
    return _superseding(identity, active - keep, now)


def used(identity: Identity, serial: int, now: int) -> Identity:
    """`identity` after its certificate `serial` was used: those that it replaced have ended."""
    older = _older(identity, serial)
    return _superseding(identity, older, now) if older else identity


def replaces_others(identity: Identity, serial: int) -> bool:
    """Whether the use of certificate `serial` ends others."""
    return len(identity.certificates) > 1 and bool(_older(identity, serial))


def outlived(identity: Identity, record: CertificateRecord, now: float) -> bool:
    """Whether `record` was replaced so long ago that it no longer counts, though its device never came."""
    return len(identity.certificates) > 1 and any(
        other.created_at > record.created_at and now > other.created_at + OVERLAP_S
        for other in identity.active_certificates
    )


def _older(identity: Identity, serial: int) -> set[int]:
    active = {record.serial: record for record in identity.active_certificates}
    used_now = active.get(serial)
    if used_now is None:
        return set()
    return {s for s, record in active.items() if record.created_at < used_now.created_at}


def _superseding(identity: Identity, serials: set[int], now: int) -> Identity:
    certificates = tuple(
        replace(record, state=CertificateState.SUPERSEDED, changed_at=now)
        if record.serial in serials
        else record
        for record in identity.certificates
    )
    return replace(identity, certificates=certificates, changed_at=now)

"""The revocation list of the device authorities, for third parties that check device certificates.

The broker itself never reads it: the registry is asked at every CONNECT, which a resumed TLS session does
not pass by, and a list that has expired cannot lock everybody out. A suspended identity is on hold in the
list and leaves it when it is resumed; what expired a list's life ago is left out.
"""

import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from bollard.identity.files import write_private
from bollard.identity.profile import DAY_S, Signer
from bollard.identity.records import CertificateState, Identity, State

#: What a list says of its successor; it is made anew each day and with each change.
LIFE_S = 7 * DAY_S
REISSUE_AFTER_S = DAY_S

_END = b"-----END X509 CRL-----\n"

Entry = tuple[int, int, x509.ReasonFlags]


def revoked_serials(identities: Iterable[Identity], *, now: float) -> list[Entry]:
    """Serial, time and reason of every certificate that counts no more, in order of serial."""
    entries = []
    for identity in identities:
        for record in identity.certificates:
            if record.not_after + LIFE_S <= now or record.state is CertificateState.ISSUING:
                continue
            if identity.state is State.REVOKED:
                entry = (record.serial, record.changed_at, x509.ReasonFlags.cessation_of_operation)
            elif record.state is CertificateState.REVOKED:
                entry = (record.serial, record.changed_at, x509.ReasonFlags.unspecified)
            elif record.state is CertificateState.SUPERSEDED:
                entry = (record.serial, record.changed_at, x509.ReasonFlags.superseded)
            elif identity.state is State.SUSPENDED:
                entry = (record.serial, identity.changed_at, x509.ReasonFlags.certificate_hold)
            else:
                continue
            entries.append(entry)
    return sorted(entries, key=lambda entry: entry[0])


def make_crl(
    signer: Signer, entries: Iterable[Entry], *, number: int, now: float
) -> x509.CertificateRevocationList:
    """A signed list. `number` must be greater than that of every list before it."""
    issuer_key_id = signer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority_key_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(signer.certificate.subject)
        .last_update(datetime.fromtimestamp(int(now), UTC))
        .next_update(datetime.fromtimestamp(int(now) + LIFE_S, UTC))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(authority_key_id, critical=False)
    )
    for serial, at, reason in entries:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(serial)
            .revocation_date(datetime.fromtimestamp(at, UTC))
            .add_extension(x509.CRLReason(reason), critical=False)
            .build()
        )
    return builder.sign(signer.key, hashes.SHA256())


def publish_crl(path: Path, signers: Iterable[Signer], identities: Iterable[Identity], *, now: float) -> Path:
    """Put a new list of each of `signers` at `path` (PEM, one after the other), whole or not at all.

    The file is 0644: a list is no secret. `LocalError` if it cannot be written.
    """
    entries = revoked_serials(identities, now=now)
    number = max([int(now), *(previous + 1 for previous in _numbers(path))])
    lists = [make_crl(signer, entries, number=number, now=now) for signer in signers]
    write_private(path, b"".join(crl.public_bytes(serialization.Encoding.PEM) for crl in lists))
    with contextlib.suppress(OSError):
        path.chmod(0o644)
    return path


def is_due(path: Path, *, now: float) -> bool:
    """Whether the list at `path` is missing, damaged, or a day old."""
    lists = _read(path)
    return not lists or not all(0 <= now - crl.last_update_utc.timestamp() < REISSUE_AFTER_S for crl in lists)


def _read(path: Path) -> list[x509.CertificateRevocationList]:
    """The lists at `path`; none where the file is missing or damaged."""
    try:
        blocks = path.read_bytes().split(_END)[:-1]
        return [x509.load_pem_x509_crl(block + _END) for block in blocks]
    except (OSError, ValueError):
        return []


def _numbers(path: Path) -> list[int]:
    return [crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for crl in _read(path)]

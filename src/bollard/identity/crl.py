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
    builder = x509.CertificateRevocationListBuilder(
        signer.certificate.subject,
        datetime.fromtimestamp(int(now), UTC),
        datetime.fromtimestamp(int(now) + LIFE_S, UTC),
        [
            x509.CRLNumber(number),
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id),
        ]
        and [],
        [_entry(*entry) for entry in entries],
    )
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id), critical=False
    )
    return builder.sign(signer.key, hashes.SHA256())

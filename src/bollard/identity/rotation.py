"""Replacing authorities while devices go on: the server CAs with the recovery sheet, the device CA with an
overlap, and the count of who is ready.

The server CAs are replaced at once: devices pin the roots above them, the server sends the new CA along
with its certificate, and its key stays. The device CA is replaced in two steps: `begin_device_ca` makes a
new one that issues from then on, beside the old one that is still trusted; each renewal moves a device
over; `finish_device_ca` takes the old one away.

Every step is whole or not at all: a new certificate comes into force with one replacement of a file, and
its key waits beside it under a name that loading looks for.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity import profile
from bollard.identity.authority import (
    DEVICE_CA,
    RETIRING_KEY,
    SERVER_CA,
    SERVER_CA_RSA,
    Authorities,
    next_key_file,
    pem,
    read_roots,
)
from bollard.identity.files import write_private
from bollard.identity.profile import BACKDATE_S, PrivateKey, Signer
from bollard.identity.records import Identity, State

#: A sheet is a few kilobytes; more is another file.
MAX_SHEET_BYTES = 65_536

_PASSPHRASE = re.compile(r"^Passphrase:\s+([A-Z2-7-]{20,64})\s*$", re.MULTILINE)
_KEY = re.compile(r"-----BEGIN ENCRYPTED PRIVATE KEY-----.+?-----END ENCRYPTED PRIVATE KEY-----\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Readiness:
    """How far the replacement of the device CA is. `waiting` still use certificates of the old one only."""

    ready: int
    waiting: tuple[str, ...]


def renew_server_authorities(authorities: Authorities, sheet: Secret, *, now: float) -> None:
    """New server CAs under the same roots; `sheet` is the text of the recovery sheet.

    `LocalError` if the sheet is not that of these roots; then nothing was changed. The caller reloads the
    authorities, and the server certificates are made anew for the keys that they had.
    """
    root, root_rsa = _open(authorities, sheet)
    tag = _common_name(root).rpartition(" ")[2]
    _replace_server_ca(authorities, SERVER_CA, root, f"Bollard server CA {tag}", profile.new_ec_key(), now)
    name = f"Bollard server CA RSA {tag}"
    _replace_server_ca(authorities, SERVER_CA_RSA, root_rsa, name, profile.new_rsa_key(), now)


def begin_device_ca(authorities: Authorities, *, now: float) -> None:
    """A new device CA that issues from now on; certificates of the present one stay valid meanwhile.

    `LocalError` if a replacement is under way. The caller reloads the authorities.
    """
    if authorities.retiring is not None:
        raise LocalError(
            "the device CA is being replaced already",
            "`bollard authority` shows who is not ready; `bollard authority rotate device-ca --finish` ends it.",
        )
    ca = authorities.directory / "ca"
    old = authorities.device_ca
    tag = x509.random_serial_number().to_bytes(20, "big").hex()[:8]
    new = profile.self_signed(profile.DEVICE_CA, f"Bollard device CA {tag}", profile.new_ec_key(), now=now)
    old_key, new_key = authorities.encrypted(old.key, new.key)
    write_private(ca / RETIRING_KEY, old_key)
    write_private(next_key_file(ca, DEVICE_CA), new_key)
    write_private(ca / f"{DEVICE_CA}.crt", pem(new.certificate, old.certificate))
    next_key_file(ca, DEVICE_CA).replace(ca / f"{DEVICE_CA}.key")


def readiness(authorities: Authorities, identities: Iterable[Identity], *, now: float) -> Readiness | None:
    """Who has a certificate of the new device CA, and who has not; None if none is being replaced.

    Counted are identities with a certificate that counts now; passwords do not depend on authorities.
    """
    if authorities.retiring is None:
        return None
    ready, waiting = 0, []
    for identity in identities:
        valid = [record for record in identity.active_certificates if record.not_after > now]
        if identity.state is State.REVOKED or not valid:
            continue
        if any(record.created_at > begun_at(authorities) for record in valid):
            ready += 1
        else:
            waiting.append(identity.id)
    return Readiness(ready, tuple(sorted(waiting)))


def begun_at(authorities: Authorities) -> int:
    """When the present device CA was made: certificates recorded after it are its own."""
    return int(authorities.device_ca.certificate.not_valid_before_utc.timestamp()) + BACKDATE_S


def finish_device_ca(authorities: Authorities) -> None:
    """Trust the new device CA alone, from the next start on; until then the registry keeps the others out.

    `LocalError` if none is being replaced. The caller has ended the certificates of the old one, and
    reloads the authorities.
    """
    if authorities.retiring is None:
        raise LocalError("the device CA is not being replaced", "Begin: bollard authority rotate device-ca")
    ca = authorities.directory / "ca"
    write_private(ca / f"{DEVICE_CA}.crt", pem(authorities.device_ca.certificate))
    (ca / RETIRING_KEY).unlink()


def _open(authorities: Authorities, sheet: Secret) -> tuple[Signer, Signer]:
    """The signers of both roots, out of the sheet."""
    text = sheet.reveal().decode("utf-8", "replace")
    passphrase = _PASSPHRASE.search(text)
    blocks = _KEY.findall(text)
    if len(text) > MAX_SHEET_BYTES or passphrase is None or len(blocks) != 2:
        raise LocalError(
            "this is not a recovery sheet: it needs the line with the passphrase and two encrypted keys",
            "It is the file that the first run made, server-root-recovery.txt.",
        )
    signers = []
    for block, root in zip(blocks, read_roots(authorities.directory), strict=True):
        key = _decrypt(block, passphrase[1])
        if key is None or key.public_key() != root.public_key():
            raise LocalError(
                "this recovery sheet does not open the roots of this broker",
                "It may be that of another broker, or damaged. Compare the pin in it: bollard authority",
            )
        signers.append(Signer(root, key))
    return signers[0], signers[1]


def _decrypt(block: str, passphrase: str) -> PrivateKey | None:
    try:
        key = serialization.load_pem_private_key(block.encode(), passphrase.encode())
    except (ValueError, TypeError):
        return None
    return key  # type: ignore[return-value]  # compared with the root's own key by the caller


def _replace_server_ca(
    authorities: Authorities, file: str, root: Signer, name: str, key: PrivateKey, now: float
) -> None:
    ca = authorities.directory / "ca"
    certificate = profile.signed_by(root, profile.SERVER_CA, name, key.public_key(), now=now)
    write_private(next_key_file(ca, file), *authorities.encrypted(key))
    write_private(ca / f"{file}.crt", pem(certificate))
    next_key_file(ca, file).replace(ca / f"{file}.key")


def _common_name(signer: Signer) -> str:
    names = signer.certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value)

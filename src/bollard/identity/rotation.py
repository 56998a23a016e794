"""Replacing authorities while devices go on: the server CAs with the recovery sheet, the device CA and the
server roots with an overlap, and the count of who is ready.

The server CAs are replaced at once: devices pin the roots above them, the server sends the new CA along
with its certificate, and its key stays. The device CA is replaced in two steps: `begin_device_ca` makes a
new one that issues from then on, beside the old one that is still trusted; each renewal moves a device
over; `finish_device_ca` takes the old one away.

The server roots are what devices verify us by, so here it is the devices that need both. `begin_server_root`
makes the roots that are to follow and puts them beside those in force, in everything that tells devices whom
to trust; the server still shows a chain under the roots in force, so nobody notices. Devices fetch them over
connections that the old root has verified, and are noted down. `finish_server_root` makes new server CAs
under the new roots, with their recovery sheet, and the server shows only those from then on;
`abandon_server_root` goes back instead. The new root is not certified by the old one: its constraint of the
path's length forbids that in TLS, and such a certificate would outlive a replacement that was given up.

Every step is whole or not at all: a new certificate comes into force with one replacement of a file, and
its key waits beside it under a name that loading looks for.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity import profile
from bollard.identity.authority import (
    DEVICE_CA,
    RETIRING_KEY,
    ROOT_KEYS,
    SERVER_CA,
    SERVER_CA_RSA,
    Authorities,
    new_roots,
    new_server_cas,
    next_key_file,
    pem,
)
from bollard.identity.files import read_private, write_private, write_private_directory
from bollard.identity.profile import BACKDATE_S, PrivateKey, Signer
from bollard.identity.records import Identity, State
from bollard.identity.renewal import may_renew
from bollard.identity.roots import (
    LEFT_BEHIND_FILE,
    NEXT,
    RECOVERY_FILE,
    ROOT_FILE,
    TAKEOVER,
    NextRoots,
    drop_next,
    left_behind_file,
    settle,
)

#: A sheet is a few kilobytes; more is another file.
MAX_SHEET_BYTES = 65_536

#: What of `next-root` comes into force as it is: certificates, encrypted keys, and the sheet if it is still there.
_KEPT = frozenset({ROOT_FILE, ROOT_KEYS, RECOVERY_FILE})

_PASSPHRASE = re.compile(r"^Passphrase:\s+([A-Z2-7-]{20,64})\s*$", re.MULTILINE)
_KEY = re.compile(r"-----BEGIN ENCRYPTED PRIVATE KEY-----.+?-----END ENCRYPTED PRIVATE KEY-----\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Readiness:
    """How far the replacement of the device CA is. `waiting` still use certificates of the old one only."""

    ready: int
    waiting: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RootReadiness:
    """Who has the server roots that are to follow, by name.

    `waiting` do not have them, and get them by themselves: they enrolled with a string, so they speak to us
    about certificates; or their string, still to be spent, pins the root in force. `unknown` were configured
    by hand and have not been given a new file since.
    """

    ready: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def renew_server_authorities(authorities: Authorities, sheet: Secret, *, now: float) -> None:
    """New server CAs under the same roots; `sheet` is the text of the recovery sheet.

    `LocalError` if the sheet is not that of these roots; then nothing was changed. The caller reloads the
    authorities, and the server certificates are made anew for the keys that they had.
    """
    root, root_rsa = _open(authorities.roots, sheet)
    keys = authorities.keys
    tag = _common_name(root).rpartition(" ")[2]
    _replace_server_ca(
        authorities, SERVER_CA, root, f"Bollard server CA {tag}", keys.new_ec_key(SERVER_CA), now
    )
    name = f"Bollard server CA RSA {tag}"
    _replace_server_ca(authorities, SERVER_CA_RSA, root_rsa, name, keys.new_rsa_key(SERVER_CA_RSA), now)


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
    key = authorities.keys.new_ec_key(DEVICE_CA)
    new = profile.self_signed(profile.DEVICE_CA, f"Bollard device CA {tag}", key, now=now)
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


def begin_server_root(authorities: Authorities, *, now: float) -> Path:
    """New server roots that are to follow those in force; the path of their recovery sheet.

    `LocalError` if a replacement is under way, or the sheet of the roots in force still lies here: two of
    them would be mistaken for each other. The caller reloads the authorities.
    """
    ca = authorities.directory / "ca"
    if authorities.next_roots is not None:
        raise LocalError(
            "the server root is being replaced already",
            "`bollard authority` shows who is not ready; `bollard authority rotate server-root` with --finish "
            "ends it, with --abandon gives it up.",
        )
    if (ca / RECOVERY_FILE).exists():
        raise LocalError(
            "the recovery sheet of the present server root is still on this machine",
            "Move it away before there is a second one: bollard authority export FILE",
        )
    write_private_directory(ca / NEXT, new_roots(now)[2])
    try:
        settle(ca)
    except LocalError:
        drop_next(ca)
        raise
    return ca / NEXT / RECOVERY_FILE


def root_readiness(
    authorities: Authorities, identities: Iterable[Identity], *, now: float
) -> RootReadiness | None:
    """Who has the server roots that are to follow; None if none are.

    Counted is who may come by what it has: a password, a certificate that is valid or may be renewed, or
    an enrollment string. Keys for TLS-PSK do not depend on roots.
    """
    if authorities.next_roots is None:
        return None
    holders = authorities.next_roots.holders.names
    found: dict[str, list[str]] = {"ready": [], "waiting": [], "unknown": []}
    for identity in sorted(identities, key=lambda each: each.id):
        how = _root_standing(identity, holders, now)
        if how:
            found[how].append(identity.id)
    return RootReadiness(**{how: tuple(names) for how, names in found.items()})


def finish_server_root(
    authorities: Authorities, sheet: Secret, left_behind: Iterable[str], *, now: float
) -> None:
    """Trust in and serve under the new roots alone; `sheet` is the text of their recovery sheet, which is so
    known to be at hand. `left_behind` are those who do not have them, for the record.

    `LocalError` if none are to follow, or the sheet is not theirs; then nothing was changed. The caller
    reloads the authorities, and the server certificates are made anew for the keys that they had.
    """
    following = _following(authorities)
    root, root_rsa = _open(following.certificates, sheet)
    ca = authorities.directory / "ca"
    kept = {path.name: read_private(path) for path in (ca / NEXT).iterdir() if path.name in _KEPT}
    write_private_directory(
        ca / TAKEOVER,
        {
            **kept,
            **new_server_cas(root, root_rsa, now, authorities.keys),
            LEFT_BEHIND_FILE: left_behind_file(now, left_behind),
        },
    )
    settle(ca)


def abandon_server_root(authorities: Authorities) -> None:
    """Give up the roots that are to follow: devices drop them when they ask again.

    `LocalError` if none are. The caller reloads the authorities.
    """
    _following(authorities)
    ca = authorities.directory / "ca"
    drop_next(ca)
    settle(ca)


def _following(authorities: Authorities) -> NextRoots:
    if authorities.next_roots is None:
        raise LocalError(
            "the server root is not being replaced", "Begin: bollard authority rotate server-root"
        )
    return authorities.next_roots


def _root_standing(identity: Identity, holders: frozenset[str], now: float) -> str:
    """The field of `RootReadiness` that `identity` belongs to; "" for none."""
    if identity.state is State.REVOKED:
        return ""
    token = identity.token
    if token is not None and not token.spent_at and now < token.expires_at:
        return "waiting"
    if not identity.has_password and not any(may_renew(each, now) for each in identity.active_certificates):
        return ""
    if identity.id in holders:
        return "ready"
    return "waiting" if token is not None and token.spent_at else "unknown"


def _open(roots: Sequence[x509.Certificate], sheet: Secret) -> tuple[Signer, Signer]:
    """The signers of `roots`, P-256 and RSA, out of their sheet."""
    text = sheet.reveal().decode("utf-8", "replace")
    passphrase = _PASSPHRASE.search(text)
    blocks = _KEY.findall(text)
    if len(text) > MAX_SHEET_BYTES or passphrase is None or len(blocks) != 2:
        raise LocalError(
            "this is not a recovery sheet: it needs the line with the passphrase and two encrypted keys",
            "It is the file that the first run made, server-root-recovery.txt.",
        )
    signers = []
    for block, root in zip(blocks, roots, strict=True):
        key = _decrypt(block, passphrase[1])
        if key is None or key.public_key() != root.public_key():
            raise LocalError(
                "this recovery sheet does not open the roots of this broker",
                "It may be that of another broker or of another root, or damaged. Compare the pin in it: "
                "bollard authority",
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

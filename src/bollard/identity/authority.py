"""The authorities of a state directory: how they are made and loaded, and the device certificates
that they issue. Server certificates are in `serving.py`, what a certificate holds in `profile.py`.

Two hierarchies that share nothing:

    server root P-256      -> server CA P-256      -> server certificate P-256        devices trust these
    server root RSA-2048   -> server CA RSA-2048   -> server certificate RSA-2048     two roots
    device CA P-256        -> device certificates                                     only the broker does

A device certificate can so never pass as the broker, not even before a client that ignores extended
key usage: no client trusts the device CA.

Why two server roots. A client that only does RSA (the one cipher suite family of much firmware) has no
code to verify an ECDSA signature, so every signature of its chain, up to the root that it trusts, must
be RSA; one P-256 root above an RSA leaf would work in OpenSSL and fail on the devices that need RSA.
And an RSA root above the P-256 leaf would make the small chain large and slow for everyone else. So
each algorithm has its own chain, and `server-root.crt` holds both roots: whatever reads a bundle of
authorities (OpenSSL, mbedTLS, BearSSL, Node, Go) picks the one it needs. The RSA keys have 2048 bits,
also the root's, because an ESP8266 cannot verify more; the P-256 root is the one that `pin` names.

The roots' keys are used once, here, and then lie encrypted under a passphrase that only the recovery
file holds. The keys of the other authorities are encrypted too, see `unlock.py`; a server's own are not.
Every key is in a file of mode 0600.
"""

import base64
import hashlib
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity import profile
from bollard.identity.files import read_private, write_private, write_private_directory
from bollard.identity.keys import Keys, damaged, is_plain, pem_key, read_key
from bollard.identity.profile import DAY_S, PrivateKey, PublicKey, Signer
from bollard.identity.records import Identity
from bollard.identity.registry import Registry
from bollard.identity.roots import (
    IN_FORCE,
    RECOVERY_FILE,
    ROOT_FILE,
    NextRoots,
    pin_of,
    read_certificates,
    read_next,
    settle,
)
from bollard.identity.unlock import BY_FILE, Unlock

DEVICE_LIFE_S = profile.DEVICE_LEAF.life_s
DEVICE_LIFE_MAX_S = 2 * 365 * DAY_S

ROOT_KEYS = "server-root.key.enc"
SERVER_CA, SERVER_CA_RSA, DEVICE_CA = "server-ca", "server-ca-rsa", "device-ca"
#: The key of the device CA before the present one, whose certificate is the second of the bundle.
RETIRING_KEY = "device-ca-retiring.key"

#: No clock can be right that is behind this (2026-01-01): authorities made by it would have expired.
_EARLIEST = 1_767_225_600

_RECOVERY_TEXT = """\
Recovery sheet of the server roots "{name}"

This file opens the keys of your server roots. The broker does not need them to run; you need them to
replace the server authorities, in five years at the latest or after a theft. Move this file off this
machine now: onto a USB stick, or onto paper, in a place where you keep papers. Whoever has it can pass
as your broker.

Passphrase:  {passphrase}
Pin (SHA-256 of the P-256 root):  {pin}

"""


@dataclass(slots=True)
class Authorities:
    """The authorities of a state directory as they are now, without the server roots' keys. One object for
    everybody: `reload` changes it in place, so ask it anew for each use.

    Paths for TLS: `root_file` is what clients trust (both server roots, and those that are to follow),
    `device_ca_file` what the broker trusts for client certificates. `roots` are those in force, P-256
    first; `pin` is the hex SHA-256 of that one's DER. `next_roots` are those that are to follow, and
    `retiring` is the device CA before this one, while certificates of both are in use (`rotation.py`).
    `encrypted_now` names the key files that lay there unencrypted until they were loaded.
    """

    directory: Path
    root_file: Path
    device_ca_file: Path
    pin: str
    server_ca: Signer = field(repr=False)
    server_ca_rsa: Signer = field(repr=False)
    device_ca: Signer = field(repr=False)
    retiring: Signer | None = field(default=None, repr=False)
    unlock: Unlock = field(default=BY_FILE, repr=False)
    encrypted_now: tuple[str, ...] = field(default=(), repr=False)
    roots: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    next_roots: NextRoots | None = field(default=None, repr=False)

    def reload(self) -> None:
        """Read everything again. `LocalError` leaves all as it was."""
        fresh = load_authorities(self.directory, self.unlock)
        for entry in fields(self):
            setattr(self, entry.name, getattr(fresh, entry.name))

    def encrypted(self, *keys: PrivateKey) -> list[bytes]:
        """Each key as it is to lie in `ca`. `LocalError` if the passphrase is not to be had."""
        opened = self.keys
        return [opened.stored(key) for key in keys]

    @property
    def keys(self) -> Keys:
        """What makes and stores the keys of authorities. `LocalError` if the passphrase is not to be had."""
        return self.unlock.keys(self.directory)

    @property
    def root(self) -> bytes:
        """DER of the P-256 server root in force, the one that `pin` names."""
        return self.roots[0].public_bytes(serialization.Encoding.DER)

    @property
    def trusted(self) -> tuple[x509.Certificate, ...]:
        """All that `root_file` holds: what a device is to trust from now on."""
        return self.roots if self.next_roots is None else (*self.roots, *self.next_roots.certificates)

    def handed_over(self, identity: str) -> None:
        """`identity` has all of `trusted`: it was given to it, or it says so."""
        following = self.next_roots  # once: another thread may reload
        if following is not None:
            following.holders.add(identity)

    @property
    def crl_file(self) -> Path:
        """The revocation list of the device authorities."""
        return self.directory / "ca" / f"{DEVICE_CA}.crl"

    @property
    def device_authorities(self) -> tuple[Signer, ...]:
        """Those whose certificates are in use, the one that issues first."""
        return (self.device_ca,) if self.retiring is None else (self.device_ca, self.retiring)


@dataclass(frozen=True, slots=True)
class DeviceCredential:
    """A device's new certificate and key, PEM. `chain_pem` is the leaf followed by the device CA."""

    identity: str
    serial: int
    not_after: int
    certificate_pem: bytes
    chain_pem: bytes
    key_pem: Secret = field(repr=False)


def authorities_exist(directory: Path) -> bool:
    """Whether this state directory has authorities. They appear whole or not at all."""
    return (directory / "ca").exists()


def create_authorities(directory: Path, *, now: float, unlock: Unlock = BY_FILE) -> Path:
    """Make all authorities in `directory`/ca, all or nothing, and return the recovery file's path.

    Tell the owner to move the recovery file off the machine: it opens the server roots' keys, which
    are never needed in daily runs. `now` in seconds since the epoch. The caller holds the `StateLock`.
    `LocalError` if authorities exist, the directory cannot be written, or the clock is behind.
    """
    if authorities_exist(directory):
        raise LocalError(
            f"{directory / 'ca'} exists already",
            "Every device trusts the authorities in it; move it away only to start over with new devices.",
        )
    if now < _EARLIEST:
        raise LocalError(
            "the clock of this machine is years behind, and certificates made by it would not be valid",
            "Set the date, then start again.",
        )
    write_private_directory(directory / "ca", _new_hierarchies(now, unlock.keys(directory)))
    return directory / "ca" / RECOVERY_FILE


def load_authorities(directory: Path, unlock: Unlock = BY_FILE) -> Authorities:
    """The authorities of a state directory. Keys that are not encrypted yet are, once all is known to be right.

    `LocalError` for what is missing, damaged, does not fit together, has a key open to others, or does not
    open with the passphrase; then no key is changed.
    """
    ca = directory / "ca"
    settle(ca)
    roots = read_roots(directory)
    keys = unlock.keys(directory)
    loaded = Authorities(
        directory=directory,
        root_file=ca / ROOT_FILE,
        device_ca_file=ca / f"{DEVICE_CA}.crt",
        pin=pin_of(roots[0]),
        server_ca=_load_signer(ca, SERVER_CA, roots, keys),
        server_ca_rsa=_load_signer(ca, SERVER_CA_RSA, roots, keys),
        device_ca=_load_signer(ca, DEVICE_CA, None, keys),
        retiring=_load_retiring(ca, keys),
        unlock=unlock,
        roots=tuple(roots),
        next_roots=read_next(ca),
    )
    loaded.encrypted_now = _encrypt_plain(ca, keys)
    return loaded


def issue_device_certificate(
    authorities: Authorities,
    registry: Registry,
    identity: str,
    *,
    now: float,
    life_s: int = DEVICE_LIFE_S,
    supersede: bool = False,
) -> DeviceCredential:
    """A new key and certificate for an identity that `registry.add`, or an earlier enrollment, made.

    Its serial is recorded before it is signed, and it becomes usable in one transaction after: no
    certificate exists that the registry does not know. `supersede` ends the identity's earlier
    certificates in that transaction. `life_s` is at most `DEVICE_LIFE_MAX_S`; the certificate ends no
    later than the device CA. `LocalError` if the identity is unknown or revoked.
    """
    key = profile.new_ec_key()
    certificate, not_after = certify(
        authorities, registry, identity, key.public_key(), now=now, life_s=life_s, supersede=supersede
    )
    leaf, issuer = pem(certificate), pem(authorities.device_ca.certificate)
    serial = certificate.serial_number
    return DeviceCredential(identity, serial, not_after, leaf, leaf + issuer, Secret(pem_key(key)))


def certify(
    authorities: Authorities,
    registry: Registry,
    identity: str,
    key: PublicKey,
    *,
    now: float,
    life_s: int = DEVICE_LIFE_S,
    supersede: bool = False,
    also: Callable[[Identity, x509.Certificate], Identity] | None = None,
) -> tuple[x509.Certificate, int]:
    """A certificate for a key that the device has made, and its end; else as `issue_device_certificate`.

    `also` is a further change of the identity in the transaction that makes the certificate usable.
    """
    if not 0 < life_s <= DEVICE_LIFE_MAX_S:
        raise LocalError(f"a device certificate lives for at most {DEVICE_LIFE_MAX_S // DAY_S} days")
    known = registry.get(identity)
    serial = profile.new_serial()
    not_after = profile.end_of_life(authorities.device_ca, life_s, now=now)
    registry.begin_certificate(identity, serial, not_after=not_after, now=now)
    try:
        certificate = profile.signed_by(
            authorities.device_ca,
            profile.DEVICE_LEAF,
            identity,
            key,
            now=now,
            not_after=not_after,
            serial=serial,
            alternative_names=[x509.UniformResourceIdentifier(uuid.UUID(known.uuid).urn)],
        )
    except LocalError:  # of a token
        registry.abandon_certificate(identity, serial, now=now)
        raise
    sha256 = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()
    registry.complete_certificate(
        identity,
        serial,
        sha256,
        now=now,
        supersede=supersede,
        also=None if also is None else lambda after: also(after, certificate),
    )
    return certificate, not_after


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)


def _encrypt_plain(ca: Path, keys: Keys) -> tuple[str, ...]:
    """Encrypt the keys that are not yet, each file in one step; their names."""
    plain = [path for path in sorted(ca.glob("*.key")) if is_plain(read_private(path))]
    for path in plain:
        write_private(path, keys.stored(read_key(path)))
    return tuple(path.name for path in plain)


def _new_hierarchies(now: float, keys: Keys) -> dict[str, bytes]:
    """File name to contents, of everything in `ca`. The keys of the roots have a passphrase of their own."""
    root, root_rsa, files = new_roots(now)
    device_ca = profile.self_signed(
        profile.DEVICE_CA, f"Bollard device CA {os.urandom(4).hex()}", keys.new_ec_key(DEVICE_CA), now=now
    )
    return {
        **files,
        **new_server_cas(root, root_rsa, now, keys),
        f"{DEVICE_CA}.crt": pem(device_ca.certificate),
        f"{DEVICE_CA}.key": keys.stored(device_ca.key),
    }


def new_roots(now: float) -> tuple[Signer, Signer, dict[str, bytes]]:
    """New server roots, P-256 and RSA, and their files: certificates, encrypted keys, and the recovery sheet.

    A tag keeps the names of two pairs apart: clients that know two roots of the same name take the wrong one.
    """
    name = f"Bollard server root {os.urandom(4).hex()}"
    rsa_name = name.replace("root", "root RSA")
    root = profile.self_signed(profile.SERVER_ROOT, name, profile.new_ec_key(), now=now)
    root_rsa = profile.self_signed(profile.SERVER_ROOT, rsa_name, profile.new_rsa_key(), now=now)
    certificates = {ROOT_FILE: pem(root.certificate, root_rsa.certificate)}
    return root, root_rsa, certificates | _root_keys(name, root, root_rsa)


def new_server_cas(root: Signer, root_rsa: Signer, now: float, keys: Keys) -> dict[str, bytes]:
    """Files of new server CAs under these roots, with the tag of their names."""
    tag = root.certificate.subject.rfc4514_string().rpartition(" ")[2]
    ec_key, rsa_key = keys.new_ec_key(SERVER_CA), keys.new_rsa_key(SERVER_CA_RSA)
    return {
        **_server_ca(SERVER_CA, root, f"Bollard server CA {tag}", ec_key, now, keys),
        **_server_ca(SERVER_CA_RSA, root_rsa, f"Bollard server CA RSA {tag}", rsa_key, now, keys),
    }


def _root_keys(name: str, root: Signer, root_rsa: Signer) -> dict[str, bytes]:
    """The encrypted keys of both roots, and the sheet that opens them and is complete by itself."""
    text = base64.b32encode(os.urandom(20)).decode()
    passphrase = "-".join(text[i : i + 4] for i in range(0, len(text), 4))
    keys = b"".join(pem_key(signer.key, passphrase.encode()) for signer in (root, root_rsa))
    sheet = _RECOVERY_TEXT.format(name=name, passphrase=passphrase, pin=pin_of(root.certificate)).encode()
    certificates = pem(root.certificate, root_rsa.certificate)
    return {ROOT_KEYS: keys, RECOVERY_FILE: sheet + certificates + keys}


def _server_ca(
    file: str, root: Signer, common_name: str, key: PrivateKey, now: float, keys: Keys
) -> dict[str, bytes]:
    certificate = profile.signed_by(root, profile.SERVER_CA, common_name, key.public_key(), now=now)
    return {f"{file}.crt": pem(certificate), f"{file}.key": keys.stored(key)}


def _load_signer(ca: Path, file: str, roots: list[x509.Certificate] | None, keys: Keys) -> Signer:
    """An authority whose key is its certificate's, and which one of `roots`, or itself, has signed."""
    certificate = read_certificates(ca / f"{file}.crt")[0]
    key = _finish_replacement(ca, file, certificate, keys) or keys.read(ca / f"{file}.key")
    if key.public_key() != certificate.public_key():
        raise damaged(ca / f"{file}.key")
    if not any(is_issued_by(certificate, root) for root in roots or [certificate]):
        raise damaged(ca / f"{file}.crt")
    return Signer(certificate, key)


def next_key_file(ca: Path, file: str) -> Path:
    """Where the key of a new authority waits until its certificate is in force."""
    return ca / f"{file}.next.key"


def read_roots(directory: Path) -> list[x509.Certificate]:
    """The certificates of the server roots in force: P-256, then RSA."""
    return read_certificates(directory / "ca" / ROOT_FILE)[:IN_FORCE]


def _finish_replacement(ca: Path, file: str, certificate: x509.Certificate, keys: Keys) -> PrivateKey | None:
    """The key of `certificate`, if a replacement was cut off between its certificate and its key."""
    waiting = next_key_file(ca, file)
    if not waiting.exists():
        return None
    key = keys.read(waiting)
    if key.public_key() != certificate.public_key():
        return None  # cut off before the certificate: the old authority stays
    waiting.replace(ca / f"{file}.key")
    return key


def _load_retiring(ca: Path, keys: Keys) -> Signer | None:
    """The device CA that is being replaced, if there is one."""
    if not (ca / RETIRING_KEY).exists():
        return None
    certificates = read_certificates(ca / f"{DEVICE_CA}.crt")
    key = keys.read(ca / RETIRING_KEY)
    if len(certificates) == 1:
        return None  # of a rotation that was cut off before its first step counted, or after its last
    if key.public_key() != certificates[1].public_key():
        raise damaged(ca / RETIRING_KEY)
    return Signer(certificates[1], key)


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the name and the signature of `certificate` are those of `issuer`."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):  # by what does not fit
        return False
    return True

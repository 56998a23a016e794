"""Batches of identities that a factory makes before anybody knows whose they will be.

    manifest   JSON, signed with the manufacturer's Ed25519 key: of each device its name, its policy template,
               and the SHA-256 of its label's secret. It is no secret itself: nobody finds 160 random bits by
               their hash
    label      BOLF1:ID.SECRET, on the device; the secret may be spent once, at the broker of whoever has
               imported the manifest. Host and pin are not on it: they are not known yet

A label is spent as an enrollment string is (`tokens.py`, `enroll.py`); only its verifier is made otherwise
(`Verifier.make_for_label`), because the broker never sees the secret before the device shows it.
"""

import hashlib
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.credentials import Verifier, generate_secret
from bollard.identity.files import make_private_directory, read_private, write_private
from bollard.identity.names import check_identity, is_identity
from bollard.identity.records import Identity, Snapshot, State, Token
from bollard.identity.registry import Registry
from bollard.identity.tokens import EnrollmentString, read_enrollment_string, read_pin

LABEL_PREFIX = "BOLF1:"
#: Devices in one manifest: few enough that they go through control, registry and audit log in one step.
MAX_DEVICES = 4000
#: Room for that many of the longest names; what is larger is no manifest and is not read.
MAX_MANIFEST_BYTES = 2 * 1024 * 1024
MAX_NUMBER = 999_999
DAY_S = 86_400
MAX_LIFE_DAYS = 3650
_NAMED_CLASHES = 5

#: Begins what is signed, so that no signature of this key for something else is one of a manifest.
_DOMAIN = b"bollard factory manifest\n"
_LABEL = re.compile(r"BOLF1:(?P<id>[A-Za-z0-9_.-]{1,64})\.(?P<secret>[A-Z2-7]{32})")
_PIN = re.compile(r"[A-Z2-7]{26}")

Name = Annotated[str, msgspec.Meta(max_length=64)]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class FactoryDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One device of a manifest. `secret_sha256` is over the text of its secret, in hex."""

    id: Name
    template: Name
    secret_sha256: Digest


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed: these fields as compact JSON in this order, after `_DOMAIN`."""

    version: Literal[1]
    created_at: int
    devices: Annotated[tuple[FactoryDevice, ...], msgspec.Meta(min_length=1, max_length=MAX_DEVICES)]


class _Signed(_Content, frozen=True, forbid_unknown_fields=True):
    """The file. `key` is the public key, 32 bytes, and `signature` 64, both in hex."""

    key: Digest
    signature: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{128}$")]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest whose signature is right. Whose key that is tells only its `fingerprint`."""

    fingerprint: str
    created_at: int
    devices: tuple[FactoryDevice, ...]


@dataclass(frozen=True, slots=True)
class Label:
    """What a device's label says."""

    identity: str
    secret: Secret = field(repr=False)

    def text(self) -> str:
        """The string itself: a secret."""
        return f"{LABEL_PREFIX}{self.identity}.{self.secret.reveal().decode()}"

    def at_server(self, host: str, port: int, pin: str) -> EnrollmentString:
        """The enrollment string that it becomes at the broker of its buyer; `pin` may be several, with commas
        between them. `LocalError` for a bad part."""
        host = f"[{host}]" if ":" in host else host
        pins = [each.strip() for each in pin.split(",")]
        if not all(map(_PIN.fullmatch, pins)):
            raise LocalError(
                "the pin is not one: it has 26 of A-Z 2-7, and several have commas between them",
                "`bollard factory import` prints it. The one of 64 hex digits is for pub and sub.",
            )
        secret = self.secret.reveal().decode()
        first = read_enrollment_string(f"BOL1:{host}:{port}#{pins[0]}.{self.identity}.{secret}")
        return replace(first, other_pins=tuple(map(read_pin, pins[1:])))


def read_label(text: str) -> Label:
    """Raises `LocalError` that does not repeat the label, which is a secret."""
    found = _LABEL.fullmatch("".join(text.split()))
    if found is None or not is_identity(found["id"]):
        raise LocalError(
            "this is not the text of a label", f"It begins with {LABEL_PREFIX}. Copy or scan all of it."
        )
    return Label(found["id"], Secret(found["secret"].encode()))


# --- the manufacturer's side -------------------------------------------------------------------------


def ensure_key(path: Path) -> tuple[Ed25519PrivateKey, bool]:
    """The manufacturer's key at `path` (PEM, 0600), and whether it was made now. `LocalError` if it is none,
    or open to others."""
    made = not path.exists()
    if made:
        make_private_directory(path.absolute().parent)
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(path, pem)
    try:
        key = serialization.load_pem_private_key(read_private(path, follow=True), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise LocalError(
            f"{path} is no Ed25519 key without a password", "Name another file: --key FILE makes it."
        )
    return key, made


def fingerprint(key: Ed25519PublicKey) -> str:
    """What people compare: the SHA-256 of the public key (SubjectPublicKeyInfo), in hex."""
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()


def make_labels(prefix: str, *, start: int, count: int) -> list[Label]:
    """Labels PREFIX-000001 and on, each with a fresh secret. `LocalError` for what cannot be."""
    if not 1 <= count <= MAX_DEVICES:
        raise LocalError(
            f"a batch has 1 to {MAX_DEVICES} devices", "Make several, each with its own --start and --out."
        )
    if start < 1 or start + count - 1 > MAX_NUMBER:
        raise LocalError(f"numbers go from 1 to {MAX_NUMBER}", "Choose another --start, or another prefix.")
    return [
        Label(check_identity(f"{prefix}-{number:06}"), generate_secret())
        for number in range(start, start + count)
    ]


def write_manifest(labels: Sequence[Label], template: str, key: Ed25519PrivateKey, *, now: float) -> bytes:
    """The signed manifest of `labels`. It holds no secret."""
    devices = tuple(
        FactoryDevice(label.identity, template, hashlib.sha256(label.secret.reveal()).hexdigest())
        for label in labels
    )
    content = _Content(1, int(now), devices)
    signed = _Signed(
        1,
        int(now),
        devices,
        key=key.public_key().public_bytes_raw().hex(),
        signature=key.sign(_signed_bytes(content)).hex(),
    )
    return msgspec.json.format(msgspec.json.encode(signed), indent=1) + b"\n"


# --- the buyer's side --------------------------------------------------------------------------------


def load_manifest(path: Path) -> Manifest:
    """As `read_manifest`, from a file of which no more is read than a manifest can have."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}", "Check the path and its rights.") from None
    return read_manifest(data)


def read_manifest(data: bytes) -> Manifest:
    """The content of a manifest, if its signature is right and it is sound. `LocalError` if not.

    The signature alone proves nothing: the caller compares the fingerprint with one that it trusts.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise LocalError(
            f"the manifest is larger than {MAX_MANIFEST_BYTES} bytes",
            f"One has at most {MAX_DEVICES} devices; ask for several.",
        )
    try:
        signed = msgspec.json.decode(data, type=_Signed)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise LocalError(
            f"this is not a whole factory manifest: {error}", "Ask the manufacturer for it again."
        ) from None
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signed.key))
    content = _Content(signed.version, signed.created_at, signed.devices)
    try:
        key.verify(bytes.fromhex(signed.signature), _signed_bytes(content))
    except InvalidSignature:
        raise LocalError(
            "the signature of the manifest is wrong: it was changed after it was signed",
            "Do not use it. Ask the manufacturer for it again, in another way.",
        ) from None
    _check_devices(signed.devices)
    return Manifest(fingerprint(key), signed.created_at, signed.devices)


def adopt(
    registry: Registry, devices: Sequence[FactoryDevice], *, now: float, life_s: int
) -> tuple[int, int]:
    """Enroll `devices`, all in one transaction; each label may be spent for `life_s` from now.

    Those that came with the same label before are left as they are, spent or revoked as they may be: a
    repeated import brings nothing back. Returns how many are new, and how many were there. `LocalError` for
    a name that is otherwise taken, or a life of less than a day or more than `MAX_LIFE_DAYS`.
    """
    _check_devices(devices)
    if not DAY_S <= life_s <= MAX_LIFE_DAYS * DAY_S:
        raise LocalError(f"a label lives for 1 to {MAX_LIFE_DAYS} days", "For example: --life 365")
    added = registry.add_all(lambda known: _new(known, registry.verifier, devices, int(now), life_s))
    return len(added), len(devices) - len(added)


def _new(
    known: Snapshot, verifier: Verifier, devices: Sequence[FactoryDevice], now: int, life_s: int
) -> list[Identity]:
    """Those of `devices` that are not there yet. `LocalError` names those whose name is taken."""
    new, clashes = [], []
    for device in devices:
        made = verifier.make_for_label(bytes.fromhex(device.secret_sha256))
        there = known.identities.get(device.id)
        if there is None:
            token = Token(made, created_at=now, expires_at=now + life_s)
            new.append(
                Identity(device.id, str(uuid.uuid4()), device.template, State.PENDING, now, now, token=token)
            )
        elif there.token is None or there.token.verifier != made:
            clashes.append(device.id)
    if clashes:
        more = f" and {len(clashes) - _NAMED_CLASHES} more" if len(clashes) > _NAMED_CLASHES else ""
        raise LocalError(
            f"these names are taken by other devices: {', '.join(clashes[:_NAMED_CLASHES])}{more}",
            "Nothing was imported. Ask the manufacturer for a batch with another prefix.",
        )
    return new


def _check_devices(devices: Sequence[FactoryDevice]) -> None:
    """`LocalError` for too many, for names that cannot be, and for a name or a secret that comes twice."""
    if not 1 <= len(devices) <= MAX_DEVICES:
        raise LocalError(f"a batch has 1 to {MAX_DEVICES} devices", "Ask the manufacturer for several.")
    for device in devices:
        check_identity(device.id)
    for what in ({d.id for d in devices}, {d.secret_sha256 for d in devices}):
        if len(what) != len(devices):
            raise LocalError(
                "a name or a secret comes twice in the manifest", "Ask the manufacturer for a sound one."
            )


def _signed_bytes(content: _Content) -> bytes:
    return _DOMAIN + msgspec.json.encode(content)

"""Signed scopes: the owner's Ed25519 key, and the signature beside a scope file.

The signature is the plain one over the bytes of the file, 64 bytes in `FILE.sig`, so that an owner without this
program can make it with OpenSSL. Which key is the owner's is for people to agree on, by its fingerprint.
"""

import hashlib
import os
from datetime import date
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bollard.assess.scope import Scope, parse_scope
from bollard.base.errors import ConfigError, LocalError

SIGNATURE_BYTES = 64
#: Scope files and keys are small; what is larger is none.
MAX_FILE_BYTES = 1_048_576


def signature_of(scope_file: Path) -> Path:
    """Where the signature of a scope file lies."""
    return scope_file.with_name(scope_file.name + ".sig")


def public_of(key_file: Path) -> Path:
    """Where `create_key` puts the public half."""
    return key_file.with_name(key_file.name + ".pub")


def create_key(key_file: Path) -> str:
    """Make a key, readable by its owner alone, and its public half beside it. Returns the fingerprint.

    Raises `LocalError` where one of the files exists already.
    """
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for path, data, mode in ((key_file, private, 0o600), (public_of(key_file), public, 0o644)):
        _create(path, data, mode)
    return fingerprint(key.public_key())


def _create(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise LocalError(f"{path} exists already", "Name another file, or remove it.") from None
    except OSError as error:
        raise LocalError(
            f"cannot write {path}: {error.strerror}", "Check the folder and its rights."
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def fingerprint(key: Ed25519PublicKey) -> str:
    """What people compare: the SHA-256 of the public key (SubjectPublicKeyInfo), in hexadecimal."""
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()


def sign(scope_file: Path, key_file: Path, today: date) -> tuple[Scope, str]:
    """Sign a scope file, after it was checked. Returns what it says, and the fingerprint.

    One that expired before `today` is refused: its signature could never count, so the date is a mistake that its
    owner can still mend here. One that is valid later may be signed ahead. Raises `ConfigError` or `LocalError`.
    """
    data = _read(scope_file)
    scope = parse_scope(data, scope_file)
    if scope.valid_until < today:
        raise ConfigError(
            f"this expired on {scope.valid_until}; it was not signed",
            scope_file,
            remedy="Set valid_until to the last day on which you allow it.",
        )
    try:
        key = serialization.load_pem_private_key(_read(key_file), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise LocalError(
            f"{key_file} is no Ed25519 key without a password", "Make one: bollard scope key FILE."
        )
    try:
        signature_of(scope_file).write_bytes(key.sign(data))
    except OSError as error:
        raise LocalError(
            f"cannot write {signature_of(scope_file)}: {error.strerror}", "Check the folder and its rights."
        ) from None
    return scope, fingerprint(key.public_key())


def verify(scope_file: Path, owner_key: Path) -> tuple[Scope, str]:
    """The scope that the owner of this public key has signed, and the key's fingerprint.

    What is verified is what is parsed: the file is read once. Raises `ConfigError` or `LocalError`.
    """
    data = _read(scope_file)
    try:
        key = serialization.load_pem_public_key(_read(owner_key))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise LocalError(f"{owner_key} is no public Ed25519 key", "It is the file that ends in .pub.")
    try:
        key.verify(_read(signature_of(scope_file)), data)
    except InvalidSignature:
        raise ConfigError(
            "the signature is not of this key, or the file was changed after it was signed",
            scope_file,
            remedy="Let its owner read and sign it again: bollard scope sign.",
        ) from None
    return parse_scope(data, scope_file), fingerprint(key)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}", "Check the path and its rights.") from None
    if len(data) > MAX_FILE_BYTES:
        raise LocalError(f"{path} is too large", "Scope files and keys are small.")
    return data

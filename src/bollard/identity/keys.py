"""How the private keys of the authorities lie on disk, and the one way to make, write and read them.

A key file in `ca/` holds one of two things: the key itself, PKCS#8 encrypted under a passphrase (`ByPassphrase`,
here), or a reference to a key that is in a PKCS#11 token and never leaves it (`pkcs11.py`). Whoever replaces
an authority asks `Keys`, and need not know which. Where the passphrase comes from is in `unlock.py`.
"""

from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity import profile
from bollard.identity.files import read_private
from bollard.identity.profile import PrivateKey

#: How a file begins whose key is in a token (RFC 7512).
REFERENCE = b"pkcs11:"


class Keys(Protocol):
    """The keys of one state directory, opened. Every method raises LocalError for what cannot be done."""

    def new_ec_key(self, name: str) -> ec.EllipticCurvePrivateKey:
        """A new P-256 key for the authority `name`."""
        ...

    def new_rsa_key(self, name: str) -> rsa.RSAPrivateKey:
        """A new RSA key of 2048 bits for the authority `name`."""
        ...

    def stored(self, key: PrivateKey) -> bytes:
        """The contents of the key file of `key`."""
        ...

    def read(self, path: Path) -> PrivateKey:
        """The key that the file at `path` holds or names."""
        ...


class ByPassphrase:
    """`Keys` in files, encrypted under one passphrase."""

    def __init__(self, passphrase: Secret) -> None:
        self.passphrase = passphrase

    def new_ec_key(self, name: str) -> ec.EllipticCurvePrivateKey:
        return profile.new_ec_key()

    def new_rsa_key(self, name: str) -> rsa.RSAPrivateKey:
        return profile.new_rsa_key()

    def stored(self, key: PrivateKey) -> bytes:
        return pem_key(key, self.passphrase.reveal())

    def read(self, path: Path) -> PrivateKey:
        if is_reference(read_private(path)):
            raise LocalError(
                f"the key of {path} is in a PKCS#11 token, and [authorities] does not say so",
                'Write unlock = "pkcs11" with the module and the token there.',
            )
        return read_key(path, self.passphrase)


def is_encrypted(text: bytes) -> bool:
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in text


def is_reference(text: bytes) -> bool:
    return text.startswith(REFERENCE)


def is_plain(text: bytes) -> bool:
    """Whether a key file holds a key that nothing protects but the rights of the file."""
    return not is_encrypted(text) and not is_reference(text)


def pem_key(key: PrivateKey, passphrase: bytes = b"") -> bytes:
    """PKCS#8, encrypted if there is a passphrase."""
    encryption = (
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def read_key(path: Path, passphrase: Secret | None = None) -> PrivateKey:
    """A private key, P-256 or RSA, from a file that only we can read; else `LocalError`.

    With a passphrase it may be encrypted, without one it must not be.
    """
    text = read_private(path)
    closed = passphrase is not None and is_encrypted(text)
    try:
        key = serialization.load_pem_private_key(text, passphrase.reveal() if passphrase and closed else None)
    except (ValueError, TypeError):
        raise _locked(path) if closed else damaged(path) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise damaged(path)
    return key


def damaged(path: Path) -> LocalError:
    return LocalError(f"{path} is damaged or does not belong to the others", "Restore it from your backup.")


def _locked(path: Path) -> LocalError:
    return LocalError(
        f"{path} does not open: the passphrase is another one, or the file is damaged",
        "Use the passphrase that belongs to these keys ([authorities] says where it is); nothing was changed.",
    )

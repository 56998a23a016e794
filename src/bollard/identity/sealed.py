"""A secret sealed under a passphrase that a person remembers.

The keys of the authorities are encrypted under 256 random bits. Where a person is to open them, those bits
lie here, encrypted under the person's passphrase. Two reasons for the step between. Such a passphrase can
be guessed, so it is stretched by scrypt, which PKCS#8 as we write it cannot. And a change of the passphrase,
or of who opens the keys, is the replacement of one small file instead of every key.

The file is JSON: the parameters of scrypt, its salt, and the AES-256-GCM ciphertext, which covers them too.
"""

import os
from typing import Annotated, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from bollard.base.errors import LocalError
from bollard.base.types import Secret

#: A third of a second and 128 MiB, once at a start.
COST = 2**17
#: What a file may ask for. Whoever could plant one would else have the next start take all memory.
MIN_COST, MAX_COST = 2**14, 2**18
MAX_FILE_BYTES = 4096
_BLOCK = 8

_Bytes16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=64)]


class _Sealed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`n`, `r` and `p` are scrypt's: the memory is 128·n·r bytes, the time n·r·p."""

    version: Literal[1] = 1
    kdf: Literal["scrypt"] = "scrypt"
    n: int
    r: Literal[8] = _BLOCK  # type: ignore[assignment]  # the same number
    p: Annotated[int, msgspec.Meta(ge=1, le=4)] = 1
    salt: _Bytes16
    nonce: Annotated[bytes, msgspec.Meta(min_length=12, max_length=12)]
    sealed: Annotated[bytes, msgspec.Meta(min_length=17, max_length=2048)]


def seal(secret: Secret, passphrase: Secret) -> bytes:
    """The contents of a file that gives `secret` back for `passphrase`."""
    salt, nonce = os.urandom(32), os.urandom(12)
    empty = _Sealed(n=COST, salt=salt, nonce=nonce, sealed=bytes(17))
    cipher = AESGCM(_stretched(passphrase, empty))
    sealed = cipher.encrypt(nonce, secret.reveal(), _bound(empty))
    return msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(empty, sealed=sealed))) + b"\n"


def unseal(text: bytes, passphrase: Secret) -> Secret | None:
    """The secret; None if the passphrase is another one.

    `LocalError` if `text` is damaged or asks for more than `MAX_COST`: nothing is allocated for it then.
    """
    about = _parsed(text)
    cipher = AESGCM(_stretched(passphrase, about))
    try:
        return Secret(cipher.decrypt(about.nonce, about.sealed, _bound(about)))
    except InvalidTag:
        return None


def _parsed(text: bytes) -> _Sealed:
    try:
        if len(text) > MAX_FILE_BYTES:
            raise ValueError("it is too large")
        about = msgspec.json.decode(text, type=_Sealed)
        if not MIN_COST <= about.n <= MAX_COST or about.n & (about.n - 1):
            raise ValueError(f"n has to be a power of two from {MIN_COST} to {MAX_COST}")
    except ValueError as error:
        raise LocalError(
            f"the file with the sealed passphrase is damaged: {error}", "Restore it from your backup."
        ) from None
    return about


def _stretched(passphrase: Secret, about: _Sealed) -> bytes:
    try:
        return Scrypt(salt=about.salt, length=32, n=about.n, r=about.r, p=about.p).derive(passphrase.reveal())
    except MemoryError:
        need = 128 * about.n * about.r // 1_048_576
        raise LocalError(
            f"opening the keys needs {need} MiB of memory for a moment, and there is less"
        ) from None


def _bound(about: _Sealed) -> bytes:
    """What the ciphertext vouches for beside itself."""
    return f"bollard sealed {about.version} {about.kdf} {about.n} {about.r} {about.p} ".encode() + about.salt

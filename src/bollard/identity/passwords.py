"""Passwords that people chose: what is stored of them, and how one is checked. Slow on purpose.

Generated secrets do not belong here (`credentials.py`). What is stored is text that says itself how it was
made:

    $peppered$argon2id$v=19$m=19456,t=2,p=1$salt$hash   made here; the pepper is Argon2's secret, so that a
                                                        stolen database alone cannot be searched
    $argon2id$v=19$m=...,t=...,p=...$salt$hash          carried over from another broker, as are these:
    $7$rounds$salt$hash                                 PBKDF2 with SHA-512, base64 (mosquitto_passwd)
    $6$salt$hash                                        one salted SHA-512, base64 (older mosquitto_passwd)
    $pbkdf2-sha256$rounds$salt$hash                     PBKDF2; base64 with `.` for `+` and no padding
    $pbkdf2-sha512$rounds$salt$hash

What was carried over counts until the password is set again here.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from bollard.base.errors import LocalError
from bollard.base.types import Secret

#: What one check of our own costs: 19 MiB and about 16 ms.
MEMORY_KIB, PASSES, LANES = 19_456, 2, 1
SALT_BYTES, HASH_BYTES = 16, 32
#: What a check of a hash that was carried over may cost at most: whoever knows a name could make us pay it.
MAX_MEMORY_KIB, MAX_PASSES, MAX_LANES = 65_536, 10, 8
MAX_ROUNDS = 250_000
MAX_STORED_CHARS = 1024

MIN_CHARS, MAX_BYTES = 12, 256
MIN_DIFFERENT = 5

_PEPPERED = "$peppered"
_ARGON2 = re.compile(
    r"\$argon2id\$v=19\$m=(\d{1,6}),t=(\d{1,3}),p=(\d{1,2})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}"
)


def check_chosen(identity: str, password: Secret) -> None:
    """Raise `LocalError` if `password` is too short, too long, no text, or as good as guessed."""
    try:
        text = password.reveal().decode()
    except UnicodeDecodeError:
        raise LocalError("a password has to be text, as UTF-8") from None
    if len(text) < MIN_CHARS:
        raise LocalError(f"the password has {len(text)} characters; at least {MIN_CHARS} are needed", _ADVICE)
    if len(password.reveal()) > MAX_BYTES:
        raise LocalError(f"the password is longer than {MAX_BYTES} bytes")
    if not text.isprintable():
        raise LocalError("the password holds characters that cannot be typed")
    named = len(identity) >= 4 and identity.lower() in text.lower()
    if len(set(text)) < MIN_DIFFERENT or named:
        raise LocalError(
            "the password would be guessed: it repeats a few characters, or holds the name", _ADVICE
        )


_ADVICE = "Four or five words that have nothing to do with each other are good."


def make_hash(pepper: bytes, password: Secret) -> str:
    """What to store of `password`: Argon2id with a fresh salt. Takes about 16 ms."""
    return _PEPPERED + _ours(os.urandom(SALT_BYTES), pepper).derive_phc_encoded(password.reveal())


def waste(pepper: bytes, password: Secret) -> None:
    """The work of one check, for a name that has nothing to check against."""
    _ours(bytes(SALT_BYTES), pepper).derive(password.reveal())


def _ours(salt: bytes, pepper: bytes) -> Argon2id:
    return Argon2id(
        salt=salt,
        length=HASH_BYTES,
        iterations=PASSES,
        lanes=LANES,
        memory_cost=MEMORY_KIB,
        secret=pepper,
    )


def matches(pepper: bytes, password: Secret, stored: str) -> bool:
    """Whether `stored` was made from `password`. False for what is not of a kind above."""
    try:
        if stored.startswith(_PEPPERED):
            return _argon2(password.reveal(), stored.removeprefix(_PEPPERED), pepper)
        if stored.startswith("$argon2id$"):
            check_stored(stored)
            return _argon2(password.reveal(), stored, None)
        expected, actual = _rounds(stored, password.reveal())
    except (ValueError, LocalError):
        return False
    return hmac.compare_digest(expected, actual)


def is_carried_over(stored: str) -> bool:
    """Whether `stored` was made by another broker."""
    return bool(stored) and not stored.startswith(_PEPPERED)


def check_stored(stored: str) -> str:
    """`stored`, if it is a hash of another broker that can be checked here. Raises `LocalError`, without
    the hash in it, for one of an unknown kind, a broken one, or one that would cost too much."""
    if len(stored) > MAX_STORED_CHARS:
        raise LocalError("the stored password is too long to be one")
    if stored.startswith("$argon2id$"):
        found = _ARGON2.fullmatch(stored)
        if found is None:
            raise LocalError("the stored password is not a whole Argon2id hash")
        memory, passes, lanes = map(int, found.groups())
        if not (8 <= memory <= MAX_MEMORY_KIB and 1 <= passes <= MAX_PASSES and 1 <= lanes <= MAX_LANES):
            raise LocalError(f"an Argon2id hash with m={memory}, t={passes}, p={lanes} costs too much")
        return stored
    try:
        _parse(stored)
    except ValueError as error:
        raise LocalError(f"the stored password cannot be used: {error}") from None
    return stored


def _argon2(password: bytes, phc: str, pepper: bytes | None) -> bool:
    try:
        Argon2id.verify_phc_encoded(password, phc, secret=pepper)
    except (InvalidKey, ValueError):
        return False
    return True


def _parse(stored: str) -> tuple[str, int, bytes, bytes]:
    """Digest, rounds (0: one plain digest), salt and hash. Raises ValueError."""
    match stored.split("$"):
        case ["", "7", rounds, salt, digest]:
            name, count, decode = "sha512", _count(rounds), _base64
        case ["", "6", salt, digest]:
            name, count, decode = "sha512", 0, _base64
        case ["", "pbkdf2-sha256" | "pbkdf2-sha512" as kind, rounds, salt, digest]:
            name, count, decode = kind.removeprefix("pbkdf2-"), _count(rounds), _adapted_base64
        case _:
            raise ValueError("it is of an unknown kind")
    raw_salt, raw = decode(salt), decode(digest)
    if len(raw_salt) < 8 or len(raw) != hashlib.new(name).digest_size:
        raise ValueError("its salt or its hash has the wrong length")
    return name, count, raw_salt, raw


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise ValueError("its number of rounds is no number")
    if int(text) > MAX_ROUNDS:
        raise ValueError(f"more than {MAX_ROUNDS} rounds cost too much")
    return int(text)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("it is not base64") from None


def _adapted_base64(text: str) -> bytes:
    return _base64(text.replace(".", "+") + "=" * (-len(text) % 4))


def _rounds(stored: str, password: bytes) -> tuple[bytes, bytes]:
    """The hash that is stored, and that of `password`."""
    name, count, salt, expected = _parse(stored)
    if not count:
        return expected, hashlib.new(name, password + salt).digest()
    return expected, hashlib.pbkdf2_hmac(name, password, salt, count)

"""How secrets are told of without being kept: a length, a salted hash, a kind, an end of life."""

import base64
import binascii
import hashlib
import json
import re
import secrets
from datetime import UTC, datetime

_SALT = secrets.token_bytes(32)
#: It begins where a word does: else a text of nothing but beginnings would be walked through again from each.
_JWT = re.compile(rb"(?<![\w-])eyJ[\w-]{5,4096}\.eyJ[\w-]{5,8192}\.[\w-]{0,2048}")
_BEARER = re.compile(rb"(?i)\bbearer\s+([\w.~+/=-]{8,8192})")
MAX_TOKEN_BYTES = 16_384


def digest(secret: bytes) -> str:
    """A short hash under the salt of this run alone: equal secrets are equal, and nobody can guess from it."""
    return hashlib.blake2b(secret, key=_SALT, digest_size=8).hexdigest()


def mask(text: str) -> str:
    """A user name of which only enough is left to find it again: some systems use tokens as names."""
    return f"{text[:2]}… ({len(text)} characters)" if len(text) > 2 else f"({len(text)} characters)"


def signed_token(data: bytes) -> bytes:
    """The first signed token (JWT) in `data`, b"" if there is none."""
    found = _JWT.search(data[:MAX_TOKEN_BYTES])
    return found[0] if found else b""


def bearer(data: bytes) -> bytes:
    """The bearer secret in a line of an HTTP head, b"" if there is none."""
    found = _BEARER.search(data[:MAX_TOKEN_BYTES])
    return found[1] if found else b""


def expiry(token: bytes) -> int | None:
    """When a signed token says that it ends, in seconds since 1970. Its signature is not looked at."""
    try:
        part = token.split(b".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
        end = claims.get("exp") if isinstance(claims, dict) else None
        return int(end) if isinstance(end, int | float) and 0 <= end < 32_503_680_000 else None
    except (ValueError, IndexError, RecursionError, binascii.Error):
        return None


def utc(time_ns: int) -> str:
    """A moment of the capture, to the millisecond; "" for one that no calendar has."""
    try:
        moment = datetime.fromtimestamp(time_ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"

"""The one-time enrollment string: what it holds, how it is written and read, and when it may be spent.

    BOL1:broker.example:8883#PIN.ID.SECRET

PIN is the beginning of the SHA-256 of the server root, so that a device can recognize its broker before it
says a secret; SECRET may be spent once, for ID. Both are base32. The QR code holds the same text.
"""

import base64
import hashlib
import re
from dataclasses import dataclass, field, replace

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.names import is_identity
from bollard.identity.records import Approval, Token
from bollard.identity.refusals import FORBIDDEN, UNAUTHORIZED, UNAVAILABLE, EnrollmentRefused

PREFIX = "BOL1:"
#: 128 bits: enough that nobody makes a second root with the same beginning.
PIN_BYTES = 16
#: How long a device that lost power in the middle may ask again with the same key.
RETRY_S = 600
DEFAULT_LIFE_S = 3600
MAX_LIFE_S = 30 * 86_400
#: A clock that was set back by more than this makes every token's end meaningless.
CLOCK_SLACK_S = 300

_FORM = re.compile(
    r"BOL1:(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253}):(?P<port>\d{1,5})"
    r"#(?P<pin>[A-Z2-7]{26})\.(?P<id>[A-Za-z0-9_.-]{1,64})\.(?P<secret>[A-Z2-7]{32})"
)


@dataclass(frozen=True, slots=True)
class EnrollmentString:
    """What a device learns from the string. `pin` are the first `PIN_BYTES` bytes of the root's SHA-256;
    `other_pins` those of other roots that count as well, which no text of a string holds."""

    host: str
    port: int
    pin: bytes
    identity: str
    secret: Secret = field(repr=False)
    other_pins: tuple[bytes, ...] = ()

    def text(self) -> str:
        """The string itself: a secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        pin = base64.b32encode(self.pin).decode().rstrip("=")
        return f"{PREFIX}{host}:{self.port}#{pin}.{self.identity}.{self.secret.reveal().decode()}"

    def recognizes(self, root: bytes) -> bool:
        """Whether `root`, the DER of a certificate, is a pinned one."""
        return pin_of(root) in (self.pin, *self.other_pins)


def pin_of(root: bytes) -> bytes:
    return hashlib.sha256(root).digest()[:PIN_BYTES]


def read_pin(text: str) -> bytes:
    """The bytes of a pin as strings have it: 26 of A-Z 2-7."""
    return base64.b32decode(text + "======")


def read_enrollment_string(text: str) -> EnrollmentString:
    """Raises `LocalError` that does not repeat the string, which is a secret."""
    found = _FORM.fullmatch("".join(text.split()))
    if found is None or not 0 < int(found["port"]) < 65_536 or not is_identity(found["id"]):
        raise LocalError(
            "this is not an enrollment string",
            f"It begins with {PREFIX} and is printed by `bollard enroll ID --token`. Copy all of it.",
        )
    return EnrollmentString(
        found["host"].strip("[]"),
        int(found["port"]),
        read_pin(found["pin"]),
        found["id"],
        Secret(found["secret"].encode()),
    )


def check_life(life_s: float) -> None:
    """`LocalError` for a life that is not between a minute and 30 days."""
    if not 60 <= life_s <= MAX_LIFE_S:
        raise LocalError(
            "an enrollment string lives for a minute to 30 days", "For example: --expires 2h, or --expires 7d"
        )


def new_token(verifier: bytes, *, now: int, life_s: float, approval: bool) -> Token:
    """A token that nobody has used. Errors as `check_life`."""
    check_life(life_s)
    needed = Approval.REQUIRED if approval else Approval.NONE
    return Token(verifier, created_at=now, expires_at=now + int(life_s), approval=needed)


def may_connect(token: Token, now: float) -> str:
    """Why whoever knows the secret of `token` may not even ask with it; "" if they may."""
    if now < token.created_at - CLOCK_SLACK_S:
        return "the server's clock was set back; its owner must set it"
    if token.spent_at:
        return "" if now <= token.spent_at + RETRY_S else "this enrollment string has been used"
    return "" if now < token.expires_at else "this enrollment string has expired"


def claimed(token: Token | None, key_sha256: bytes, now: float) -> Token:
    """The token bound to the key that presents it.

    Raises `EnrollmentRefused` if it cannot be spent by this key. It is not spent by this: a device that
    lost power asks again with the same key, and another key is another device.
    """
    if token is None:
        raise EnrollmentRefused(UNAUTHORIZED, "this identity has no enrollment string")
    refusal = may_connect(token, now)
    if refusal:
        raise EnrollmentRefused(UNAVAILABLE if "clock" in refusal else FORBIDDEN, refusal)
    if token.key and token.key != key_sha256:
        raise EnrollmentRefused(
            FORBIDDEN,
            "this enrollment string was used with another key; if that was not you, tell the broker's owner",
        )
    return replace(token, key=key_sha256)

"""Words that every floor uses: who, what, may, and where a peer came from."""

import enum
import math
from dataclasses import dataclass

import msgspec

#: The identity that authentication established, such as "kitchen-plug" or "anonymous".
Principal = str
#: What a client calls itself in CONNECT. Never an identity: a session belongs to both together.
ClientId = str

ANONYMOUS: Principal = "anonymous"

#: A deadline that does not come, in monotonic seconds.
NEVER = math.inf
#: Output above which a client is taken for one that does not read. It gets references from then on (attack: readers
#: that read nothing, and for each of them a copy of all that waits).
MUCH_BYTES = 262_144


class Action(enum.IntEnum):
    """What a principal may be allowed to do.

    `SUBSCRIBE` is asked about a topic *filter*, `SHARE` about the name of a shared group; all others about a
    topic *name*. `RECEIVE` is asked again for each message that is about to be delivered.
    """

    PUBLISH = 0
    SUBSCRIBE = 1
    RECEIVE = 2
    RETAIN = 3
    WILL = 4
    SHARE = 5


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one access question. The zero value denies.

    `rule` names the policy rule that decided ("template.device"), `reason` says it in a sentence.
    """

    allowed: bool = False
    rule: str = ""
    reason: str = "no rule grants this"


class Secret:
    """Bytes that never show: not in `repr`, `str`, logs, tracebacks or reports."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes themselves, for the one comparison or derivation that needs them."""
        return self._value

    def __repr__(self) -> str:
        return "Secret()"

    def __bool__(self) -> bool:
        return bool(self._value)


class Peer(msgspec.Struct, frozen=True, gc=False):
    """Where a connection came from, as the transport knows it.

    `address` is the IP address, or "unix" for a Unix socket; `port` its TCP port, else 0.
    `certificate` is the DER of a client certificate that the transport has verified up to the
    device authority, else None. `allow_anonymous` repeats what the listener's configuration allows.
    `tls_server_end_points` are the RFC 5929 hashes of the certificates that the listener may have shown,
    for channel binding; none without TLS. `psk` is the identity whose pre-shared key the handshake has
    proved, and the salt of that key; None without TLS-PSK.
    """

    address: str = ""
    port: int = 0
    listener: str = ""
    transport: str = "tls"
    certificate: bytes | None = None
    allow_anonymous: bool = False
    tls_server_end_points: tuple[bytes, ...] = ()
    psk: tuple[str, bytes] | None = None

    def __repr__(self) -> str:
        """Without what is long or belongs to a secret."""
        return f"Peer({self.address!r}, {self.port}, {self.listener!r}, {self.transport!r})"

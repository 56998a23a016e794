"""How many connections there may be, and for how long they may stay strangers.

One `Gate` counts for all listeners of a process. It knows addresses and ages, nothing of bytes: what
refuses or ends a connection here is always a number in `TransportLimits`.
"""

import ipaddress
import resource
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bollard.net.stream import Stream

#: File descriptors kept back for the store, the logs and the control socket.
RESERVED_FILES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportLimits:
    """Bounds of the transports. Every default is safe; names are also keys of [limits].

    `max_connections` is lowered to what the process may open. `max_connections_per_address` counts an
    IPv6 /64 as one address, because its owner has all of it. `max_handshakes` bounds those still in one:
    TLS, WebSocket, or a CONNECT that was not accepted yet. `handshake_timeout_s` runs from accept to the end of TLS and of the
    WebSocket upgrade; `close_timeout_s` is what a peer gets to take our last bytes.
    `max_connect_bytes` and `max_packet_bytes` bound what WebSocket framing may hold back before and
    after the CONNECT was accepted.
    """

    max_connections: int = 10_000
    max_connections_per_address: int = 1000
    max_handshakes: int = 2000
    handshake_timeout_s: float = 10
    close_timeout_s: float = 5
    max_connect_bytes: int = 65_536
    max_packet_bytes: int = 1_048_576


class Gate:
    """Counts connections in and out; see `TransportLimits` for the bounds."""

    __slots__ = ("_awaited", "_by_address", "_capacity", "_deadlines", "_unauthenticated", "limits", "total")

    def __init__(self, limits: TransportLimits) -> None:
        self.limits = limits
        self.total = 0
        self._by_address: dict[str, int] = {}
        # All in order of arrival; with one time-out for all, that is the order of deadlines too.
        self._unauthenticated: dict[Stream, None] = {}
        self._awaited: dict[Stream, None] = {}
        self._deadlines: dict[Stream, float] = {}
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._capacity = min(limits.max_connections, max(files - RESERVED_FILES, 1))

    def enter(self, stream: "Stream", now: float) -> str:
        """Count `stream` in, or return the name of the limit that refuses it."""
        if self.total >= self._capacity:
            return "max_connections"
        key = address_key(stream.address)
        count = self._by_address.get(key, 0)
        # A Unix socket has no addresses to tell apart: the rights of its file guard it.
        if count >= self.limits.max_connections_per_address and key != "unix":
            return "max_connections_per_address"
        self.total += 1
        self._by_address[key] = count + 1
        self._unauthenticated[stream] = self._awaited[stream] = None
        self._deadlines[stream] = now + self.limits.handshake_timeout_s
        return ""

    def surplus(self) -> "Stream | None":
        """The stranger that has kept us waiting for longest if too many do, else None.

        Evicting it costs a working client nothing: it lets us wait for milliseconds, while whoever occupies
        slots on purpose grows old in them. Who waits for us, in a storm of thousands, is not to blame.
        """
        if len(self._awaited) <= self.limits.max_handshakes:
            return None
        return next(iter(self._awaited))

    def working(self, stream: "Stream") -> None:
        """It is our turn: its next step waits for the processor."""
        self._awaited.pop(stream, None)

    def waiting(self, stream: "Stream") -> None:
        """It is its peer's turn again."""
        if stream in self._unauthenticated:
            self._awaited[stream] = None

    def established(self, stream: "Stream") -> None:
        """TLS and WebSocket are done: from here on the broker's own time-outs apply."""
        self._deadlines.pop(stream, None)

    def authenticated(self, stream: "Stream") -> None:
        """Its CONNECT was accepted: it is no stranger any more."""
        self._unauthenticated.pop(stream, None)
        self._awaited.pop(stream, None)

    def dismissed(self, stream: "Stream") -> None:
        """It is being closed: it holds a connection, but no stranger's slot and no deadline here."""
        self._deadlines.pop(stream, None)
        self._unauthenticated.pop(stream, None)
        self._awaited.pop(stream, None)

    def leave(self, stream: "Stream") -> None:
        """Count out a stream that `enter` had let in."""
        self.dismissed(stream)
        self.total -= 1
        key = address_key(stream.address)
        left = self._by_address[key] - 1
        if left:
            self._by_address[key] = left
        else:
            del self._by_address[key]

    def next_deadline(self) -> float:
        """When the oldest handshake runs out of time; infinity if there is none."""
        return next(iter(self._deadlines.values())) if self._deadlines else float("inf")

    def overdue(self, now: float) -> "list[Stream]":
        """The streams whose time for TLS and WebSocket is over. One that waits for us gets it once more."""
        late: list[Stream] = []
        again: list[Stream] = []
        for stream, deadline in self._deadlines.items():
            if deadline > now:
                break
            (late if stream in self._awaited else again).append(stream)
        for stream in again:
            del self._deadlines[stream]
            self._deadlines[stream] = now + self.limits.handshake_timeout_s
        return late

    def strangers(self) -> "list[Stream]":
        """Every stream whose CONNECT was not accepted yet, oldest first."""
        return list(self._unauthenticated)


def address_key(address: str) -> str:
    """What counts as one address: an IPv4 address, an IPv6 /64, or "unix"."""
    if ":" not in address:
        return address
    return str(ipaddress.IPv6Network((address.partition("%")[0], 64), strict=False).network_address)

"""How many connections there may be, and for how long they may stay strangers.

One `Gate` counts for all listeners of a process. It knows addresses and ages, nothing of bytes: what
refuses or ends a connection here is always a number in `TransportLimits`.
"""

import ipaddress
import resource
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bollard.base.types import NEVER
from bollard.net.pace import Link, Rate, Ring

if TYPE_CHECKING:
    from bollard.net.stream import Stream

#: File descriptors kept back for the store, the logs and the control socket.
RESERVED_FILES = 128
#: Connections above the bound, for moments: those that begin while strangers that give way are being closed.
SPARE = 32
#: This many strangers at once are a crowd, as after a power cut. Who came before it has gone has this many
#: times the time-out: everybody is slow then, and no slot is taken away from others by waiting (`Gate.surplus`).
CROWD = 200
PATIENCE_IN_A_CROWD = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportLimits:
    """Bounds of the transports. Every default is safe; names are also keys of [limits].

    `max_connections` is lowered to what the process may open; when it is reached, the stranger that has kept us
    waiting for longest gives way. `max_connections_per_address` counts an IPv6 /64 as one address, because its owner
    has all of it. `max_handshakes` bounds those still in one: TLS, WebSocket, or a CONNECT that was not accepted yet;
    `max_handshake_bytes` what all of those may have sent of their CONNECT. `handshake_timeout_s` runs from accept to
    the end of TLS and of the WebSocket upgrade, and is longer in a crowd; `close_timeout_s` is what a peer gets to
    take our last bytes. `max_connect_bytes` and `max_packet_bytes` bound what WebSocket framing may hold back before
    and after the CONNECT was accepted.

    Rates are a second, bursts what may come at once after a rest; an address is meant as above, a Unix socket is
    none. `guard.py` keeps those of guesses and of clients that come too often: `max_guesses` wrong credentials of one
    address for one identity, and `max_guesses_per_address` for all, begin delays that grow to `guess_delay_max_s`; a
    client is an identity with one client identifier, and its pause grows to `flapping_pause_max_s`. `traffic.py`
    keeps those of packets and bytes, with a burst of `traffic_burst_s` times the rate: who sends more is read more
    slowly. A WebSocket frame counts as 64 packets, which is what it costs.
    """

    max_connections: int = 12_000
    max_connections_per_address: int = 1000
    max_handshakes: int = 10_000
    max_handshake_bytes: int = 67_108_864
    handshake_timeout_s: float = 10
    close_timeout_s: float = 5
    max_connect_bytes: int = 65_536
    max_packet_bytes: int = 1_048_576
    connection_rate_per_address: int = 500
    connection_burst_per_address: int = 60_000
    max_guesses: int = 5
    max_guesses_per_address: int = 50
    guess_delay_max_s: float = 300
    connection_rate_per_client: int = 1
    connection_burst_per_client: int = 60
    connection_rate_per_identity: int = 100
    connection_burst_per_identity: int = 20_000
    flapping_pause_max_s: float = 60
    packet_rate_per_identity: int = 1_000_000
    byte_rate_per_identity: int = 268_435_456
    packet_rate_per_address: int = 4_000_000
    byte_rate_per_address: int = 1_073_741_824
    traffic_burst_s: float = 20


class _Wait(Link):
    """The place of `stream` among those that keep us waiting."""

    __slots__ = ("stream",)

    stream: "Stream"


class _Guest(Link):
    """What there is to know of a stranger. It is a link of those with a deadline; the rest of `stream` is its own."""

    __slots__ = ("arrival", "deadline", "sent", "stream", "wait")

    arrival: float
    deadline: float
    sent: int
    stream: "Stream"
    wait: _Wait


def _new_guest(stream: "Stream", now: float, deadline: float) -> _Guest:
    wait = _Wait.__new__(_Wait)
    wait._alone()
    wait.stream = stream
    guest = _Guest.__new__(_Guest)
    guest._alone()
    guest.stream = stream
    guest.arrival = now
    guest.deadline = deadline
    guest.sent = 0
    guest.wait = wait
    return guest


class Gate:
    """Counts connections in and out; see `TransportLimits` for the bounds."""

    __slots__ = (
        "_arrivals",
        "_awaited",
        "_by_address",
        "_capacity",
        "_crowd",
        "_crowd_at",
        "_early_bytes",
        "_handshake_timeout_s",
        "_max_handshake_bytes",
        "_max_handshakes",
        "_max_per_address",
        "_spare",
        "_strangers",
        "_timed",
        "limits",
        "total",
    )

    def __init__(self, limits: TransportLimits) -> None:
        self.limits = limits
        self._max_per_address = limits.max_connections_per_address
        self._max_handshakes = limits.max_handshakes
        self._max_handshake_bytes = limits.max_handshake_bytes
        self._handshake_timeout_s = limits.handshake_timeout_s
        self._crowd, self._spare = CROWD, SPARE
        self.total = 0
        self._by_address: dict[str, int] = {}
        self._arrivals = Rate(limits.connection_rate_per_address, limits.connection_burst_per_address)
        #: Whose CONNECT was not accepted yet, in order of arrival.
        self._strangers: dict[Stream, _Guest] = {}
        #: The waits of those whose turn it is, in order of its beginning.
        self._awaited = Ring()
        #: Those with a deadline. It is moved only to the time-out from now on, so they stay in order.
        self._timed = Ring()
        self._early_bytes = 0
        self._crowd_at = float("-inf")
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._capacity = min(limits.max_connections, max(files - RESERVED_FILES, 1))

    def enter(self, stream: "Stream", now: float) -> str:
        """Count `stream` in, or return the name of the limit that refuses it."""
        if self.total >= self._capacity + (self._spare if self._awaited.count else 0):
            return "max_connections"
        key = address_key(stream.address)
        count = self._by_address.get(key, 0)
        # A Unix socket has no addresses to tell apart: the rights of its file guard it.
        if key != "unix":
            if count >= self._max_per_address:
                return "max_connections_per_address"
            # Attack: handshakes as fast as they go, each worth hundreds of messages.
            if not self._arrivals.take(key, now):
                return "connection_rate_per_address"
        self.total += 1
        self._by_address[key] = count + 1
        guest = self._strangers[stream] = _new_guest(stream, now, now + self._handshake_timeout_s)
        self._awaited.put(guest.wait)
        self._timed.put(guest)
        if len(self._strangers) >= self._crowd:
            self._crowd_at = now
        return ""

    def surplus(self) -> "Stream | None":
        """The stranger that has kept us waiting for longest if too many do, or every place is taken; else None.

        Evicting it costs a working client nothing: it lets us wait for milliseconds, while whoever occupies
        slots on purpose grows old in them. Who waits for us, in a storm of thousands, is not to blame.
        """
        if self._awaited.count <= self._max_handshakes and self.total <= self._capacity:
            return None
        wait: _Wait | None = self._awaited.first()
        return wait.stream if wait is not None else None

    def working(self, stream: "Stream") -> None:
        """It is our turn: its next step waits for the processor."""
        guest = self._strangers.get(stream)
        if guest is not None:
            self._awaited.take(guest.wait)

    def waiting(self, stream: "Stream") -> None:
        """It is its peer's turn again."""
        guest = self._strangers.get(stream)
        if guest is not None and guest.wait.after is None:
            self._awaited.put(guest.wait)

    def established(self, stream: "Stream") -> None:
        """TLS and WebSocket are done: from here on the broker's own time-outs apply."""
        guest = self._strangers.get(stream)
        if guest is not None:
            self._timed.take(guest)

    def bears(self, stream: "Stream", size: int) -> bool:
        """Count `size` bytes of a stranger in; False if they are too many.

        When strangers together have sent more than they may, whoever has sent more than an equal share has to go.
        Attack: thousands of long CONNECTs that lack their end. An honest one is far smaller than a share.
        """
        guest = self._strangers.get(stream)
        if guest is None:
            return True
        guest.sent += size
        self._early_bytes += size
        bound = self._max_handshake_bytes
        return self._early_bytes <= bound or guest.sent <= bound // len(self._strangers)

    def authenticated(self, stream: "Stream") -> None:
        """Its CONNECT was accepted: it is no stranger any more."""
        self.dismissed(stream)

    def dismissed(self, stream: "Stream") -> None:
        """It is being closed: it holds a connection, but no stranger's slot and no deadline here."""
        guest = self._strangers.get(stream)
        if guest is not None:
            del self._strangers[stream]
            self._awaited.take(guest.wait)
            self._timed.take(guest)
            self._early_bytes -= guest.sent

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
        first: _Guest | None = self._timed.first()
        return first.deadline if first is not None else NEVER

    def overdue(self, now: float) -> "list[Stream]":
        """The streams whose time for TLS and WebSocket is over. One that waits for us gets it once more, and
        so does one that came in a crowd, a few times."""
        timeout_s = self._handshake_timeout_s
        late: list[Stream] = []
        again: list[_Guest] = []
        for guest in self._timed:
            if guest.deadline > now:
                break
            arrival = guest.arrival
            in_a_crowd = arrival <= self._crowd_at and now - arrival < PATIENCE_IN_A_CROWD * timeout_s
            if in_a_crowd or guest.wait.after is None:
                again.append(guest)
            else:
                late.append(guest.stream)
        for guest in again:
            guest.deadline = now + timeout_s
            self._timed.last(guest)
        return late

    def strangers(self) -> "list[Stream]":
        """Every stream whose CONNECT was not accepted yet, oldest first."""
        return list(self._strangers)


#: What `address_key` has said of late, and of how many addresses.
_KEYS: dict[str, str] = {}
MAX_ADDRESSES = 4096


def address_key(address: str) -> str:
    """What counts as one address: an IPv4 address, also one in IPv6's clothes, an IPv6 /64, or "unix"."""
    key = _KEYS.get(address)
    if key is None:
        if len(_KEYS) >= MAX_ADDRESSES:
            _KEYS.clear()
        key = _KEYS[address] = _address_key(address)
    return key


def _address_key(address: str) -> str:
    plain = address.partition("%")[0]
    if "." in plain or ":" not in plain:
        return plain.removeprefix("::ffff:")
    return str(ipaddress.IPv6Network((plain, 64), strict=False).network_address)

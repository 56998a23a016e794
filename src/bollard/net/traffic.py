"""How much each identity and each address may send: packets and bytes a second, with a burst.

Nothing is refused or dropped: whoever sends more is not read for a while, so that its own transport holds it
back. A stream has an allowance of bytes and settles with its meters when that is used up, so a message costs
nothing here and a read one subtraction. Meters outlive connections, or each new one would bring a new burst.
"""

import heapq
from typing import TYPE_CHECKING

from bollard.base.types import ANONYMOUS, NEVER, Principal
from bollard.net.gate import TransportLimits, address_key
from bollard.net.pace import MAX_KEYS, Bucket, Memory, Remembered

if TYPE_CHECKING:
    from bollard.net.stream import Stream

#: Bytes between two settlements, at most, and the least that makes sense.
ALLOWANCE_BYTES = 65_536
MIN_ALLOWANCE_BYTES = 64
#: How long one stream waits at most before it is looked at again.
MAX_PAUSE_S = 10.0


class Meter(Remembered):
    """What one identity or one address has sent, by all its connections."""

    __slots__ = ("byte_rate", "bytes", "limit_of_bytes", "limit_of_packets", "packet_rate", "packets")

    def __init__(self, name: str, whose: str, packet_rate: int, byte_rate: int) -> None:
        """`name` is that of the identity or the address; `whose`, which of the two, ends the names of the limits."""
        self._open(name)
        self.packet_rate = packet_rate
        self.byte_rate = byte_rate
        self.limit_of_packets = f"packet_rate_per_{whose}"
        self.limit_of_bytes = f"byte_rate_per_{whose}"
        self.packets = Bucket()
        self.bytes = Bucket()

    def spend(self, packets: int, size: int, burst_s: float, now: float) -> tuple[float, str]:
        """Seconds until more is welcome, and the limit that says so; (0.0, "") for at once."""
        for_packets = self.packets.take(packets, self.packet_rate, burst_s, now)
        for_bytes = self.bytes.take(size, self.byte_rate, burst_s, now)
        if for_bytes > for_packets:
            return for_bytes, self.limit_of_bytes
        return (for_packets, self.limit_of_packets) if for_packets else (0.0, "")


class Meters:
    """Those of all identities, or of all addresses."""

    __slots__ = ("_byte_rate", "_known", "_packet_rate", "_whose")

    def __init__(self, whose: str, packet_rate: int, byte_rate: int) -> None:
        self._whose = whose
        self._packet_rate = packet_rate
        self._byte_rate = byte_rate
        self._known = Memory(MAX_KEYS)

    def of(self, name: str) -> Meter:
        """The meter of `name`, as it was left."""
        meter: Meter | None = self._known.recall(name)
        if meter is None:
            meter = Meter(name, self._whose, self._packet_rate, self._byte_rate)
            self._known.put(meter)
        return meter


class Pauses:
    """Who is not read, and until when."""

    __slots__ = ("_count", "_heap", "_until")

    def __init__(self) -> None:
        self._until: dict[Stream, float] = {}
        self._heap: list[tuple[float, int, Stream]] = []
        self._count = 0

    def add(self, stream: "Stream", until: float) -> None:
        """Do not read `stream` until then; a pause that is under way stays as it is."""
        if stream not in self._until:
            self._until[stream] = until
            self._count += 1
            heapq.heappush(self._heap, (until, self._count, stream))

    def __contains__(self, stream: object) -> bool:
        return stream in self._until

    def next(self) -> float:
        """When the first pause ends; infinity if there is none."""
        return self._heap[0][0] if self._heap else NEVER

    def over(self, now: float) -> "list[Stream]":
        """Those whose pause has ended; they are paused no more."""
        ended: list[Stream] = []
        while self._heap and self._heap[0][0] <= now:
            stream = heapq.heappop(self._heap)[2]
            del self._until[stream]
            ended.append(stream)
        return ended


class Traffic:
    """The meters of everybody. `allowance` is what a stream may read before it settles."""

    __slots__ = ("_addresses", "_identities", "_limits", "allowance")

    def __init__(self, limits: TransportLimits) -> None:
        self._limits = limits
        self._identities = Meters("identity", limits.packet_rate_per_identity, limits.byte_rate_per_identity)
        self._addresses = Meters("address", limits.packet_rate_per_address, limits.byte_rate_per_address)
        # No packet is shorter than two bytes: a low rate must not be overrun within one allowance.
        least = min(
            2 * min(limits.packet_rate_per_identity, limits.packet_rate_per_address),
            min(limits.byte_rate_per_identity, limits.byte_rate_per_address),
        )
        self.allowance = int(min(ALLOWANCE_BYTES, max(least * limits.traffic_burst_s, MIN_ALLOWANCE_BYTES)))

    def meters(self, address: str, principal: Principal) -> tuple[Meter, ...]:
        """Who pays for a client that was let in. All anonymous clients are one principal and no identity, and
        a Unix socket is no address."""
        if address == "unix":
            return () if principal == ANONYMOUS else (self._identities.of(principal),)
        of_address = self._addresses.of(address_key(address))
        return (of_address,) if principal == ANONYMOUS else (self._identities.of(principal), of_address)

    def settle(self, stream: "Stream", packets: int, size: int, now: float) -> tuple[float, str]:
        """`stream` has received so much since the last time: how long it is not to be read, and why."""
        longest, reason = 0.0, ""
        for meter in stream.meters:
            wait_s, limit = meter.spend(packets, size, self._limits.traffic_burst_s, now)
            if wait_s > longest:
                longest, reason = wait_s, limit
        return min(longest, MAX_PAUSE_S), reason

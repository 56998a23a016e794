"""From segments to streams: TCP put together in order, within bounds, without guessing.

Theory of operation. Each direction of a connection is a `Half` that knows the next sequence number. What comes in
order is handed on at once and not kept; what comes early waits, a bounded number of bytes; what comes twice is
dropped. When too much waits, or the connection ends, the missing part counts as lost: the reader is told of the
gap and nothing is invented to fill it. Where two segments disagree about the same bytes, the first one counts.
A connection that nobody reads costs one look-up a frame.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bollard.assess.capture.layers import FIN, RST, SYN, Segment, reverse

#: Connections that are followed at the same time; beyond it, those that were silent longest are let go.
MAX_CONNECTIONS = 16_384
#: What may wait for one direction, and in all directions together, in readers as well.
MAX_WAITING_SEGMENTS = 64
MAX_WAITING_BYTES = 131_072
MAX_HELD_BYTES = 64 * 1_048_576

_MASK = 0xFFFFFFFF
_PAST = 0x80000000


class Budget:
    """Bytes that may be held at the same time, by everybody together."""

    __slots__ = ("left",)

    def __init__(self, left: int = MAX_HELD_BYTES) -> None:
        self.left = left

    def take(self, size: int) -> bool:
        """Is there room for `size` bytes more? If so, they are taken."""
        if size > self.left:
            return False
        self.left -= size
        return True


class Sink(Protocol):
    """Reads one direction of a connection."""

    def data(self, data: bytes, frame: int, time_ns: int) -> None:
        """Bytes that follow those of the last call, from this frame."""

    def gap(self) -> None:
        """Bytes are missing here."""


class Reader(Protocol):
    """Reads a connection. `sinks` are those of the initiator and of the other end; None ignores a direction."""

    sinks: list[Sink | None]

    def end(self, how: str, frame: int, time_ns: int) -> None:
        """Nothing more will come after `time_ns`. `how`: "closed", "reset", "refused"; "open" if it was let go."""


@dataclass(slots=True)
class Counts:
    """What became of the segments. `gaps` are places where bytes are missing, `cut` those that the recorder cut."""

    connections: int = 0
    middle: int = 0
    repeated: int = 0
    overlapping: int = 0
    early: int = 0
    gaps: int = 0
    cut: int = 0
    given_up: int = 0


class Half:
    """One direction. `next_seq` is None before anything was seen of it."""

    __slots__ = ("connection", "fin", "index", "next_seq", "waiting", "waiting_bytes")

    def __init__(self, connection: "Connection", index: int) -> None:
        self.connection = connection
        self.index = index
        self.next_seq: int | None = None
        self.fin = False
        self.waiting: list[tuple[int, bytes, int, int, int]] = []
        self.waiting_bytes = 0


class Connection:
    """Both directions, their keys, and who reads them."""

    __slots__ = ("halves", "keys", "last_ns", "reader", "syn_seq")

    def __init__(self, key: bytes, syn_seq: int | None) -> None:
        self.keys = (key, reverse(key))
        self.halves = (Half(self, 0), Half(self, 1))
        self.syn_seq = syn_seq
        self.last_ns = 0
        self.reader: Reader


Opener = Callable[[bytes, bool, int, int], Reader]
"""Makes the reader of a new connection: key of its initiator, whether its beginning was seen, frame, time."""


class Streams:
    """All connections of a capture. Feed it segments in their order, then `finish`."""

    def __init__(self, opener: Opener, budget: Budget, max_connections: int = MAX_CONNECTIONS) -> None:
        self.counts = Counts()
        self._opener = opener
        self._budget = budget
        self._max_connections = max_connections
        self._halves: dict[bytes, Half] = {}

    def segment(self, segment: Segment, buffer: bytes, frame: int, time_ns: int) -> None:
        """Take one segment, whose data lies in `buffer`."""
        key, seq, flags, start, end, length = segment
        half = self._halves.get(key)
        if half is None or flags & SYN:
            half = self._opened(key, half, seq, flags, length, frame, time_ns)
            if half is None:
                return
            if flags & SYN:
                seq = seq + 1 & _MASK
        connection = half.connection
        connection.last_ns = time_ns
        if length:
            sink = connection.reader.sinks[half.index]
            if sink is not None:
                if seq == half.next_seq and end - start == length and not half.waiting:
                    half.next_seq = seq + length & _MASK
                    sink.data(buffer[start:end], frame, time_ns)
                else:
                    self._arrive(half, seq, buffer[start:end], length, frame, time_ns)
        if flags & (FIN | RST):
            self._closing(half, flags, seq + length & _MASK, frame)

    def finish(self, frame: int) -> None:
        """The capture has ended: so do all connections that are still there."""
        for half in list(self._halves.values()):
            if half.index == 0:
                self._end(half.connection, "open", frame)

    def _opened(
        self, key: bytes, half: Half | None, seq: int, flags: int, length: int, frame: int, time_ns: int
    ) -> Half | None:
        """The half that a segment belongs to which is the first of one, or a SYN; None if it opens nothing."""
        if flags & SYN and flags & 0x10:
            if half is None:
                # The beginning went by unseen: whoever answers with SYN is the server.
                self._open(reverse(key), None, frame, time_ns)
                half = self._halves[key]
            if half.next_seq is None:
                half.next_seq = seq + 1 & _MASK
            return half
        if flags & SYN:
            if half is not None and half.index == 0 and half.connection.syn_seq == seq:
                return half
            if half is not None:
                self._end(half.connection, "open", frame)
            return self._open(key, seq, frame, time_ns)
        return self._open(key, None, frame, time_ns) if length and not flags & RST else None

    def _open(self, key: bytes, syn_seq: int | None, frame: int, time_ns: int) -> Half:
        if len(self._halves) >= 2 * self._max_connections:
            self._let_go(frame)
        self.counts.connections += 1
        self.counts.middle += syn_seq is None
        connection = Connection(key, syn_seq)
        connection.reader = self._opener(key, syn_seq is not None, frame, time_ns)
        for each, half in zip(connection.keys, connection.halves, strict=True):
            self._halves[each] = half
        half = connection.halves[0]
        if syn_seq is not None:
            half.next_seq = syn_seq + 1 & _MASK
        return self._halves[key]

    def _let_go(self, frame: int) -> None:
        """Stop following the quarter of the connections that was silent longest."""
        everyone = [half.connection for half in self._halves.values() if half.index == 0]
        everyone.sort(key=lambda each: each.last_ns)
        for connection in everyone[: len(everyone) // 4 + 1]:
            self.counts.given_up += 1
            self._end(connection, "open", frame)

    def _arrive(self, half: Half, seq: int, data: bytes, length: int, frame: int, time_ns: int) -> None:
        """Take what is not simply the next whole segment."""
        if half.next_seq is None:
            half.next_seq = seq
        ahead = seq - half.next_seq & _MASK
        if 0 < ahead < _PAST:
            if not self._budget.take(len(data)):
                self._lost(half)
                return self._arrive(half, seq, data, length, frame, time_ns)
            self.counts.early += 1
            half.waiting.append((seq, data, length, frame, time_ns))
            half.waiting_bytes += len(data)
            if len(half.waiting) > MAX_WAITING_SEGMENTS or half.waiting_bytes > MAX_WAITING_BYTES:
                self._skip_gap(half)
            return None
        self._deliver(half, seq, data, length, frame, time_ns)
        self._drain(half)
        return None

    def _deliver(self, half: Half, seq: int, data: bytes, length: int, frame: int, time_ns: int) -> None:
        """Hand on what is new in a segment that begins at or before the next number."""
        assert half.next_seq is not None
        behind = half.next_seq - seq & _MASK
        if behind:
            if behind >= length:
                self.counts.repeated += 1
                return
            self.counts.overlapping += 1
            data, length = data[behind:], length - behind
        half.next_seq = half.next_seq + length & _MASK
        sink = half.connection.reader.sinks[half.index]
        if sink is None:
            return
        if data:
            sink.data(data, frame, time_ns)
        if len(data) < length:
            self.counts.cut += 1
            self._tell_gap(half)

    def _drain(self, half: Half) -> None:
        """Hand on what has waited and is now in order."""
        while half.waiting:
            next_seq = half.next_seq
            assert next_seq is not None
            ready = [each for each in half.waiting if not 0 < (each[0] - next_seq & _MASK) < _PAST]
            if not ready:
                return
            # Of those that begin at the same place or before it, the first one to come counts.
            half.waiting = [each for each in half.waiting if each not in ready]
            for seq, data, length, frame, time_ns in ready:
                self._free(half, len(data))
                self._deliver(half, seq, data, length, frame, time_ns)

    def _skip_gap(self, half: Half) -> None:
        """What is missing before the first that waits is lost."""
        next_seq = half.next_seq
        assert next_seq is not None
        half.next_seq = min((each[0] for each in half.waiting), key=lambda seq: seq - next_seq & _MASK)
        self.counts.gaps += 1
        self._tell_gap(half)
        self._drain(half)

    def _lost(self, half: Half) -> None:
        """No room: forget what waits, and begin anew with whatever comes next."""
        for each in half.waiting:
            self._free(half, len(each[1]))
        half.waiting.clear()
        half.next_seq = None
        self.counts.gaps += 1
        self._tell_gap(half)

    def _tell_gap(self, half: Half) -> None:
        sink = half.connection.reader.sinks[half.index]
        if sink is not None:
            sink.gap()

    def _free(self, half: Half, size: int) -> None:
        half.waiting_bytes -= size
        self._budget.left += size

    def _closing(self, half: Half, flags: int, after: int, frame: int) -> None:
        connection = half.connection
        other = connection.halves[1 - half.index]
        if flags & RST:
            refused = half.index == 1 and half.next_seq is None and connection.syn_seq is not None
            return self._end(connection, "refused" if refused else "reset", frame)
        half.fin = True
        ignored = connection.reader.sinks[half.index] is None
        if other.fin and (ignored or (not half.waiting and half.next_seq in (after, None))):
            self._end(connection, "closed", frame)
        return None

    def _end(self, connection: Connection, how: str, frame: int) -> None:
        for half in connection.halves:
            while half.waiting and connection.reader.sinks[half.index] is not None:
                self._skip_gap(half)
            for each in half.waiting:
                self._free(half, len(each[1]))
            half.waiting.clear()
        for key, half in zip(connection.keys, connection.halves, strict=True):
            if self._halves.get(key) is half:
                del self._halves[key]
        connection.reader.end(how, frame, connection.last_ns)

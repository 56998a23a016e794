"""Output that gathers until it is written: what is small is copied into one buffer, what is large referred to.

A message that goes to one client needs no object of its own on the way from the bytes that came in to those that
go out. One that goes to many is not copied for each, if it is large.
"""

from collections import deque

from bollard.base import memory
from bollard.base.types import MUCH_BYTES
from bollard.wire.reader import varint_size

#: Up to here, `put` copies; above, it keeps a reference, and so it does when `MUCH_BYTES` have been copied already.
COPIED_BYTES = 1024
#: The buffer that a connection begins with, and what it grows to before another one begins.
BUFFER_BYTES = 512
PIECE_BYTES = 65_536
#: A buffer that holds as much is handed over itself; of one that holds less, a copy.
HANDED_BYTES = 32_768
#: Buffers that wait to be used again: most connections are idle and need none.
MAX_SPARES = 32
_SPARES: list[bytearray] = []


class Outbox:
    """Bytes in the order in which they were put."""

    __slots__ = ("_buffer", "_copied", "_filled", "_parts")

    def __init__(self) -> None:
        self._open()

    def _open(self) -> None:
        self._buffer: bytearray | None = None
        self._filled = 0
        self._copied = 0
        self._parts: deque[bytes | bytearray] | None = None

    def put(self, data: bytes) -> None:
        """Append `data`."""
        size = len(data)
        if size <= COPIED_BYTES and self._copied <= MUCH_BYTES:
            memory.copy(self._room(size), self._filled, data, 0, size)
            self._filled += size
            self._copied += size
        else:
            self._close_buffer()
            if self._parts is None:
                self._parts = deque()
            self._parts.append(data)

    def put_range(self, source: bytes, start: int, end: int) -> None:
        """Append `source[start:end]`, of which the caller has checked the bounds."""
        memory.copy(self._room(end - start), self._filled, source, start, end)
        self._filled += end - start

    def put_identified(self, source: bytes, start: int, middle: int, packet_id: int, end: int) -> None:
        """Append `source[start:end]` with `packet_id` in place of the two bytes at `middle`."""
        buffer = self._room(end - start)
        filled = self._filled
        memory.copy(buffer, filled, source, start, middle)
        filled += middle - start
        memory.copy_two_bytes(buffer, filled, packet_id)
        memory.copy(buffer, filled + 2, source, middle + 2, end)
        self._filled = filled + end - middle

    def put_publish(
        self,
        first: int,
        topic: bytes,
        packet_id: int,
        properties: bytes | None,
        source: bytes,
        start: int,
        end: int,
    ) -> None:
        """Append a PUBLISH whose first byte is `first` and whose payload is `source[start:end]`; if that is large
        and all of `source`, it is referred to.

        `packet_id` is 0 at QoS 0, `properties` the block without its length, None in 3.1.1.
        """
        rest = 2 + len(topic) + end - start
        if packet_id:
            rest += 2
        if properties is not None:
            rest += len(properties) + varint_size(len(properties))
        whole = end - start <= COPIED_BYTES or end - start < len(source)
        buffer = self._room(5 + rest if whole else 5 + rest - len(source))
        filled = memory.copy_varint(buffer, self._filled, first)
        filled = memory.copy_varint(buffer, filled, rest)
        memory.copy_two_bytes(buffer, filled, len(topic))
        memory.copy(buffer, filled + 2, topic, 0, len(topic))
        filled += 2 + len(topic)
        if packet_id:
            memory.copy_two_bytes(buffer, filled, packet_id)
            filled += 2
        if properties is not None:
            filled = memory.copy_varint(buffer, filled, len(properties))
            memory.copy(buffer, filled, properties, 0, len(properties))
            filled += len(properties)
        self._filled = filled
        if whole:
            memory.copy(buffer, filled, source, start, end)
            self._filled += end - start
        else:
            self.put(source)

    def put_ack(self, start: int, packet_id: int) -> None:
        """Append the four bytes of an acknowledgement: its first two, as an integer, and `packet_id`."""
        buffer = self._room(4)
        memory.copy_two_bytes(buffer, self._filled, start)
        memory.copy_two_bytes(buffer, self._filled + 2, packet_id)
        self._filled += 4

    def take(self) -> bytes:
        """Everything since the last time, in one piece; b"" if there is nothing."""
        self._close_buffer()
        parts, self._parts = self._parts, None
        self._copied = 0
        return b"".join(parts) if parts is not None else b""

    def take_piece(self) -> bytes | bytearray:
        """What comes next of everything since the last time, some `PIECE_BYTES` or something large; b"" if there
        is nothing. It goes through the processor's cache as a whole, to be enciphered and sent; then `reuse` it, if you like."""
        parts = self._parts
        if parts is None:
            self._copied = 0
            return self._take_buffer()
        data = parts.popleft()
        if parts and len(data) + len(parts[0]) <= PIECE_BYTES:
            pieces = [data]
            size = len(data)
            while parts and size + len(parts[0]) <= PIECE_BYTES:
                size += len(parts[0])
                pieces.append(parts.popleft())
            data = b"".join(pieces)
        if not parts:
            self._parts = None
        return data

    def clear(self) -> None:
        """Forget everything."""
        self._copied = 0
        self._parts = None
        if self._buffer is not None:
            self._give_back(self._buffer)

    def _room(self, size: int) -> bytearray:
        """The buffer, with room for `size` bytes."""
        if self._filled + size > PIECE_BYTES:
            self._close_buffer()
        buffer = self._buffer
        if buffer is None:
            buffer = self._buffer = _SPARES.pop() if _SPARES else bytearray(BUFFER_BYTES)
        memory.reserve(buffer, self._filled, size, PIECE_BYTES)
        return buffer

    def _close_buffer(self) -> None:
        """Make what the buffer holds a part."""
        if self._filled:
            if self._parts is None:
                self._parts = deque()
            self._parts.append(self._take_buffer())

    def _take_buffer(self) -> bytes | bytearray:
        """What the buffer holds."""
        buffer = self._buffer
        if buffer is None:
            return b""
        if self._filled < HANDED_BYTES:
            data = memory.first(buffer, self._filled)
            self._give_back(buffer)
            return data
        memory.cut(buffer, self._filled)
        self._buffer = None
        self._filled = 0
        return buffer

    def _give_back(self, buffer: bytearray) -> None:
        self._buffer = None
        self._filled = 0
        _spare(buffer)


def reuse(piece: bytes | bytearray) -> None:
    """A piece that was taken is needed no more: what it was made in may hold what comes."""
    if isinstance(piece, bytearray):
        _spare(piece)


def _spare(buffer: bytearray) -> None:
    """Keep a buffer that nobody needs, unless there are many, or it is large."""
    if len(_SPARES) < MAX_SPARES and len(buffer) <= PIECE_BYTES:
        _SPARES.append(buffer)


def new_outbox() -> Outbox:
    """`Outbox()` without the cost of its call."""
    made = Outbox.__new__(Outbox)
    made._open()
    return made

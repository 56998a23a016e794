# cython: boundscheck=False, wraparound=False
"""Stream of bytes in, whole packets out: the fixed header and nothing else.

Here live the two bounds that come before everything: a packet whose length says that it is too large is
refused before one byte of its body is kept, and an unfinished packet costs no more than its own size. What a
packet means, and whether its flags are legal, is not decided here.

Theory of operation: `feed` makes the data that arrived the buffer; `next` walks over it and puts the place of
the next whole packet in the fields. When only a part of a packet is left, that part goes into a growing store
and the buffer is let go; the store becomes a buffer again once its packet is whole, and what came behind that
packet is the buffer after it, where it is. So each byte is copied a bounded number of times, however small the
pieces are in which a peer sends (attack: a large packet, one byte at a time, against a framer that joins at
each), and of large reads only what belongs to an unfinished packet.
"""

from bollard.base.errors import MalformedPacket, PeerError


class Framer:
    """Cuts one connection's stream into packets.

    After `next` returned True: `header` is the first byte of a packet, `buffer[start:end]` the whole packet and
    `buffer[body:end]` what follows its fixed header. These hold until the following `next` or `feed`.

    `max_packet_bytes` bounds a whole packet, fixed header included; it may be changed between packets.
    """

    __slots__ = (
        "_needed",
        "_position",
        "_rest",
        "_rest_at",
        "_store",
        "body",
        "buffer",
        "end",
        "header",
        "max_packet_bytes",
        "start",
    )

    def __init__(self, max_packet_bytes: int) -> None:
        self._open(max_packet_bytes)

    def _open(self, max_packet_bytes: int) -> None:
        self.buffer = b""
        self.header = 0
        self.start = 0
        self.body = 0
        self.end = 0
        self.max_packet_bytes = max_packet_bytes
        self._position = 0
        self._store: bytearray | None = None
        #: How many bytes there must be in the store; 0 where the length of the packet is not known yet.
        self._needed = 0
        #: The buffer after this one, and where it begins.
        self._rest = b""
        self._rest_at = 0

    @property
    def pending(self) -> int:
        """Bytes held that `next` has not yet returned as part of a packet."""
        if self._store is not None:
            return len(self._store)
        return len(self.buffer) - self._position + len(self._rest) - self._rest_at

    def feed(self, data: bytes) -> None:
        """Add what arrived. Call `next` until it says False before feeding again: else the rest is copied."""
        store = self._store
        if store is not None:
            missing = self._needed - len(store)
            if missing > len(data):
                store += data
                return
            if 0 < missing < len(data):
                self._rest = data
                self._rest_at = missing
                data = data[:missing]
            self.buffer = b"".join((store, data))
            self._store = None
        elif self._position < len(self.buffer) or self._rest:
            self.buffer = self.buffer[self._position :] + self._rest[self._rest_at :] + data
            self._let_go_of_rest()
        else:
            self.buffer = data
        self._position = 0

    def next(self) -> bool:
        """Find the next whole packet; False when more bytes are needed.

        Raises `PeerError` 0x95 as soon as the length is known to be above `max_packet_bytes`, and
        `MalformedPacket` for packet type 0 and for a length of more than four bytes or with needless ones.
        """
        buffer = self.buffer
        size = len(buffer)
        position = self._position
        if position >= size:
            if not size:
                return False
            # The packet that was completed first, or everything, is through.
            buffer = self.buffer = self._rest
            position = self._position = self._rest_at
            self._let_go_of_rest()
            size = len(buffer)
            if position >= size:
                return False
        view = buffer
        header = view[position]
        if header < 0x10:
            raise MalformedPacket("packet type 0 is reserved", "MQTT5-2.1.2")
        index = position + 1
        length = 0
        shift = 0
        while True:
            if index >= size:
                self._keep(position, 0)
                return False
            digit = view[index]
            index += 1
            length |= (digit & 0x7F) << shift
            if digit < 0x80:
                break
            shift += 7
            if shift > 21:
                raise MalformedPacket("the length of the packet has more than four bytes", "MQTT5-1.5.5-1")
        if digit == 0 and shift:
            raise MalformedPacket("the length of the packet has needless bytes", "MQTT5-1.5.5-1")
        end = index + length
        if end - position > self.max_packet_bytes:
            raise PeerError(0x95, f"a packet of {end - position} bytes is too large", "MQTT5-3.2.2-15")
        if end > size:
            self._keep(position, end - position)
            return False
        self.header = header
        self.start = position
        self.body = index
        self.end = end
        self._position = end
        return True

    def _keep(self, position: int, needed: int) -> None:
        """Move the unfinished packet into the store, until `needed` bytes of it are there, 0 for any more."""
        self._store = bytearray(self.buffer[position:])
        self._needed = needed
        self.buffer = b""
        self._position = 0

    def _let_go_of_rest(self) -> None:
        self._rest = b""
        self._rest_at = 0


def new_framer(max_packet_bytes: int) -> Framer:
    """`Framer(...)` without the cost of its call."""
    made = Framer.__new__(Framer)
    made._open(max_packet_bytes)
    return made

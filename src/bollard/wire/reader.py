# cython: boundscheck=False, wraparound=False
"""A bounded cursor over the body of one packet, and the integers and strings that all packets are made of.

Every read is checked against the end first, so a length that lies raises `MalformedPacket` and never shows a
neighbour's bytes. What the values mean is not decided here.
"""

from bollard.base.errors import LocalError, MalformedPacket
from bollard.wire.spec import FIXED_FLAGS


class Reader:
    """Reads `buffer[pos:end]` from the front. Each method moves `pos`; all raise `MalformedPacket` at the end."""

    __slots__ = ("_buffer", "end", "pos")

    def __init__(self, buffer: bytes, pos: int, end: int) -> None:
        """`ValueError` when the range does not lie within the buffer: a mistake of ours, not of the peer."""
        self._open(buffer, pos, end)

    def _open(self, buffer: bytes, pos: int, end: int) -> None:
        if not 0 <= pos <= end <= len(buffer):
            raise ValueError("the range is not within the buffer")
        self._buffer = buffer
        self.pos = pos
        self.end = end

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return self.end - self.pos

    def u8(self) -> int:
        """One byte."""
        pos = self.pos
        if pos >= self.end:
            raise MalformedPacket("a byte is missing")
        view = self._buffer
        self.pos = pos + 1
        return view[pos]

    def u16(self) -> int:
        """Two bytes, big-endian."""
        pos = self.pos
        if self.end - pos < 2:
            raise MalformedPacket("a two-byte integer is cut short")
        view = self._buffer
        self.pos = pos + 2
        return view[pos] << 8 | view[pos + 1]

    def u32(self) -> int:
        """Four bytes, big-endian."""
        high = self.u16()
        return high << 16 | self.u16()

    def varint(self) -> int:
        """A variable byte integer, 0 to 268,435,455, in as few bytes as it needs. [MQTT5-1.5.5-1]"""
        view = self._buffer
        pos = self.pos
        value = 0
        shift = 0
        while True:
            if pos >= self.end:
                raise MalformedPacket("a variable byte integer is cut short")
            digit = view[pos]
            pos += 1
            value |= (digit & 0x7F) << shift
            if digit < 0x80:
                break
            shift += 7
            if shift > 21:
                raise MalformedPacket("a variable byte integer has more than four bytes", "MQTT5-1.5.5-1")
        if digit == 0 and shift:
            raise MalformedPacket("a variable byte integer has needless bytes", "MQTT5-1.5.5-1")
        self.pos = pos
        return value

    def binary(self) -> bytes:
        """Binary data: a two-byte length and as many bytes. [MQTT5-1.5.6]"""
        size = self.u16()
        pos = self.pos
        if size > self.end - pos:
            raise MalformedPacket("binary data is cut short")
        view = self._buffer
        self.pos = pos + size
        return view[pos : pos + size]

    def utf8(self) -> str:
        """A UTF-8 string: a two-byte length and as many bytes, as `decode_utf8` wants them."""
        size = self.u16()
        pos = self.pos
        if size > self.end - pos:
            raise MalformedPacket("a string is cut short")
        self.pos = pos + size
        return decode_utf8(self._buffer, pos, pos + size)

    def slice(self, size: int) -> "Reader":
        """A reader over the next `size` bytes, which this one then has behind it."""
        pos = self.pos
        if not 0 <= size <= self.end - pos:
            raise MalformedPacket("a part is cut short")
        self.pos = pos + size
        return new_reader(self._buffer, pos, pos + size)

    def rest(self) -> bytes:
        """Everything up to the end."""
        pos = self.pos
        view = self._buffer
        self.pos = self.end
        return view[pos : self.end]

    def done(self) -> None:
        """`MalformedPacket` unless everything was read."""
        if self.pos != self.end:
            raise MalformedPacket("bytes are left at the end")


def new_reader(buffer: bytes, pos: int, end: int) -> Reader:
    """`Reader(...)` without the cost of its call."""
    made = Reader.__new__(Reader)
    made._open(buffer, pos, end)
    return made


#: `FIXED_FLAGS` by the type of the packet.
_FLAGS = bytes(FIXED_FLAGS.get(packet_type, 0) for packet_type in range(16))


def open_body(buffer: bytes, header: int, body: int, end: int) -> Reader:
    """A reader over `buffer[body:end]`, the body of any packet but PUBLISH, whose flags must be as fixed."""
    flags = _FLAGS
    if header & 15 != flags[header >> 4 & 15]:
        raise MalformedPacket("the flags in the first byte are wrong", "MQTT5-2.1.3-1")
    return new_reader(buffer, body, end)


def decode_utf8(buffer: bytes, start: int, end: int) -> str:
    """The string in `buffer[start:end]`.

    Strict UTF-8 without surrogates [MQTT5-1.5.4-1] [MQTT3-1.5.3-1] and without U+0000 [MQTT5-1.5.4-2]
    [MQTT3-1.5.3-2]; a byte order mark is an ordinary character [MQTT5-1.5.4-3] [MQTT3-1.5.3-3]. Control
    characters and non-characters are accepted, as both specifications permit.
    """
    if not 0 <= start <= end <= len(buffer):
        raise ValueError("the range is not within the buffer")
    view = buffer
    try:
        text = view[start:end].decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedPacket("a string is not UTF-8", "MQTT5-1.5.4-1") from None
    if "\0" in text:
        raise MalformedPacket("a string holds U+0000", "MQTT5-1.5.4-2")
    return text


_SINGLES: list[bytes] = [bytes((value,)) for value in range(128)]
# Every two-byte integer, 3.6 MB: a copy of a message is then three shared references, and a short head is made
# of two pieces instead of being assembled byte by byte.
_PAIRS: list[bytes] = [value.to_bytes(2, "big") for value in range(65_536)]


def two_bytes(value: int) -> bytes:
    """A two-byte integer, 0 to 65,535: always the same object."""
    if not 0 <= value <= 0xFFFF:
        raise ValueError("a two-byte integer is from 0 to 65,535")
    return _PAIRS[value]


def encode_varint(value: int) -> bytes:
    """A variable byte integer of 0 to 268,435,455, `LocalError` above that. [MQTT5-1.5.5-1]"""
    if 0 <= value < 0x80:
        return _SINGLES[value]
    if 0 <= value < 0x4000:
        return two_bytes((value & 0x7F | 0x80) << 8 | value >> 7)
    if 0 <= value < 0x200000:
        return two_bytes((value & 0x7F | 0x80) << 8 | value >> 7 & 0x7F | 0x80) + _SINGLES[value >> 14]
    if 0 <= value < 0x10000000:
        high = value >> 14
        low = (value & 0x7F | 0x80) << 8 | value >> 7 & 0x7F | 0x80
        return two_bytes(low) + two_bytes((high & 0x7F | 0x80) << 8 | high >> 7)
    raise LocalError(
        "a packet cannot be longer than 268,435,455 bytes", "Send the payload in several messages."
    )


def varint_size(value: int) -> int:
    """How many bytes a variable byte integer takes, which must be one."""
    if value < 0x80:
        return 1
    return 2 if value < 0x4000 else 3 if value < 0x200000 else 4


def encode_binary(data: bytes) -> bytes:
    """Binary data with its two-byte length; `LocalError` above 65,535 bytes."""
    size = len(data)
    if size > 65_535:
        raise LocalError(f"binary data of {size} bytes is too long", "MQTT allows 65,535 bytes here.")
    return two_bytes(size) + data


def encode_utf8(text: str) -> bytes:
    """A string with its two-byte length; `LocalError` for what no receiver may accept."""
    if "\0" in text:
        raise LocalError("a string holds U+0000", "MQTT does not allow that character in any string.")
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise LocalError("a string holds a surrogate", "Only Unicode scalar values can be sent.") from None
    if len(data) > 65_535:
        raise LocalError(f"a string of {len(data)} bytes is too long", "MQTT allows 65,535 bytes here.")
    return two_bytes(len(data)) + data

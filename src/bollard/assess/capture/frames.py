"""Files of recorded frames, pcap and pcapng, read as a stream of any length in constant memory.

What a frame holds is not looked at here. A file that breaks off or lies about a length ends the reading there;
what was read before stays good, and `fault` says where and why.
"""

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from bollard.base.errors import LocalError

#: Number from 1, time in ns since 1970, link type, buffer, start, end, and the length that it had on the wire.
Frame = tuple[int, int, int, bytes, int, int, int]

#: Read at once; a frame or block may be as large as the second (attack: a length that makes us allocate).
CHUNK_BYTES = 1 << 20
MAX_FRAME_BYTES = 1 << 20
MAX_INTERFACES = 1_024

_PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
_SECTION = b"\x0a\x0d\x0d\x0a"
_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 1, 2, 3, 6
_RESOLUTION = 9
_SECOND_NS = 1_000_000_000

#: What a file raises that cannot be read on, compressed or not.
_UNREADABLE = (OSError, EOFError, zlib.error)

Progress = Callable[[int, int], None]
"""Told the bytes and the frames that were read; called once for each chunk."""


def _ignore(_bytes: int, _frames: int) -> None:
    """Nobody watches."""


class Frames:
    """The frames of one file, to be walked over once.

    `read_bytes` counts after decompression. `fault` is "" or why the rest of the file could not be read; `format`
    is "pcap" or "pcapng". Raises LocalError at once for what is no capture.
    """

    def __init__(self, file: BinaryIO, progress: Progress = _ignore) -> None:
        self.read_bytes = 0
        self.frames = 0
        self.fault = ""
        self._progress = progress
        self._buffer = b""
        self._position = 0
        self._source = _opened(file)
        self.format = self._recognise()

    def _recognise(self) -> str:
        try:
            self._have(4)
        except _UNREADABLE as error:
            raise LocalError(f"the capture cannot be read: {error}", "Is it a whole file?") from None
        magic = self._buffer[:4]
        if magic in _PCAP:
            return "pcap"
        if magic == _SECTION:
            return "pcapng"
        raise LocalError("this is no capture", "Expected is a pcap or pcapng file, as tcpdump -w writes it.")

    def __iter__(self) -> Iterator[Frame]:
        walk = self._pcap() if self.format == "pcap" else self._pcapng()
        try:
            yield from walk
        except _UNREADABLE as error:
            self.fault = f"the file breaks off after frame {self.frames}: {error}"

    def _have(self, size: int) -> bool:
        """Make `size` bytes available at the position; False at the end of the file."""
        while len(self._buffer) - self._position < size:
            more = self._source.read1(CHUNK_BYTES)
            if not more:
                return False
            self._buffer = self._buffer[self._position :] + more
            self._position = 0
            self.read_bytes += len(more)
            self._progress(self.read_bytes, self.frames)
        return True

    def _skip(self, size: int) -> bool:
        """Pass over `size` bytes of any number without keeping them."""
        while size:
            if not self._have(1):
                return False
            step = min(size, len(self._buffer) - self._position)
            self._position += step
            size -= step
        return True

    def _ends(self, needed: str) -> None:
        if len(self._buffer) > self._position:
            self.fault = f"the file breaks off after frame {self.frames}: {needed} is cut short"

    def _pcap(self) -> Iterator[Frame]:
        if not self._have(24):
            return self._ends("the file's head")
        order, scale = _PCAP[self._buffer[:4]]
        (link,) = struct.unpack_from(f"{order}I", self._buffer, 20)
        link &= 0x0FFFFFFF  # the bits above tell of a checksum at the end of each frame
        self._position = 24
        unpack = struct.Struct(f"{order}IIII").unpack_from
        while self._have(16):
            # As many frames as there are whole in the buffer; only then more of the file.
            buffer, position, size = self._buffer, self._position, len(self._buffer)
            while position + 16 <= size:
                seconds, fraction, kept, length = unpack(buffer, position)
                start = position + 16
                end = start + kept
                if end > size:
                    break
                position = end
                self.frames += 1
                yield self.frames, seconds * _SECOND_NS + fraction * scale, link, buffer, start, end, length
            self._position = position
            if size - position >= 16:
                kept = unpack(buffer, position)[2]
                if kept > MAX_FRAME_BYTES:
                    self.fault = f"frame {self.frames + 1} says that it has {kept} bytes: the file is broken"
                    return None
                if not self._have(16 + kept):
                    break
        return self._ends(f"frame {self.frames + 1}")

    def _pcapng(self) -> Iterator[Frame]:
        order = "<"
        interfaces: list[tuple[int, int, int]] = []
        while self._have(12):
            kind_bytes = self._buffer[self._position : self._position + 4]
            if kind_bytes == _SECTION:
                order = (
                    ">"
                    if self._buffer[self._position + 8 : self._position + 12] == b"\x1a\x2b\x3c\x4d"
                    else "<"
                )
                interfaces = []
            kind, size = struct.unpack_from(f"{order}II", self._buffer, self._position)
            if size < 12 or size % 4:
                self.fault = f"a block after frame {self.frames} has the length {size}: the file is broken"
                return None
            frame = None
            if kind in (_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET):
                if size > MAX_FRAME_BYTES:
                    self.fault = f"a block after frame {self.frames} has {size} bytes: the file is broken"
                    return None
                if not self._have(size):
                    break
                if kind == _INTERFACE:
                    self._interface(order, size, interfaces)
                else:
                    self.frames += 1
                    frame = self._frame(order, kind, size, interfaces)
            if frame is not None:
                yield frame
            if not self._skip(size):
                break
        return self._ends("a block")

    def _interface(self, order: str, size: int, interfaces: list[tuple[int, int, int]]) -> None:
        """Note an interface: link type, and its clock's ticks as a fraction of a second in ns."""
        if size < 20 or len(interfaces) >= MAX_INTERFACES:
            return
        start = self._position
        link, snap_bytes = struct.unpack_from(f"{order}HxxI", self._buffer, start + 8)
        position, end = start + 16, start + size - 4
        resolution = 6
        while position + 4 <= end:
            code, length = struct.unpack_from(f"{order}HH", self._buffer, position)
            if code == _RESOLUTION and length == 1 and position + 5 <= end:
                resolution = self._buffer[position + 4]
            position += 4 + length + -length % 4
        ticks = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10 ** min(resolution, 18)
        interfaces.append((link, ticks, snap_bytes))

    def _frame(
        self, order: str, kind: int, size: int, interfaces: list[tuple[int, int, int]]
    ) -> Frame | None:
        """The frame of a packet block; None for one that contradicts itself."""
        buffer, block = self._buffer, self._position
        if kind == _SIMPLE_PACKET:
            if size < 16 or not interfaces:
                return None
            (length,) = struct.unpack_from(f"{order}I", buffer, block + 8)
            link, _, snap_bytes = interfaces[0]
            kept = min(length, snap_bytes or length, size - 16)
            start = block + 12
            return self.frames, 0, link, buffer, start, start + kept, length
        if size < 32:
            return None
        layout = "IIIII" if kind == _PACKET else "HxxIIII"
        number, high, low, kept, length = struct.unpack_from(order + layout, buffer, block + 8)
        if number >= len(interfaces) or kept > size - 32:
            return None
        link, ticks, _ = interfaces[number]
        time_ns = (high << 32 | low) * _SECOND_NS // ticks
        start = block + 28
        return self.frames, time_ns, link, buffer, start, start + kept, length


def _opened(file: BinaryIO) -> io.BufferedReader:
    """`file`, decompressed if it is a gzip file."""
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, file))
    try:
        compressed = buffered.peek(2)[:2] == b"\x1f\x8b"
    except OSError as error:
        raise LocalError(f"the capture cannot be read: {error.strerror}", "Name a file.") from None
    return cast(io.BufferedReader, gzip.GzipFile(fileobj=buffered)) if compressed else buffered

"""MQTT within recorded WebSockets: the upgrade's head, and the frames of both directions, in bounded memory."""

from bollard.assess.capture.streams import Sink

MAX_HEAD_BYTES = 16_384
#: Frames of browsers and brokers are far smaller; what is longer is no MQTT of anybody.
MAX_FRAME_BYTES = 1 << 28
_CONTINUATION, _BINARY, _CLOSE = 0, 2, 8
MAX_FIELDS = 100


def head_of(data: bytes) -> bytes | None:
    """The head of an HTTP message with its empty line; None while it is not whole."""
    end = data.find(b"\r\n\r\n")
    return data[: end + 4] if end >= 0 else None


def headers_of(head: bytes) -> dict[bytes, bytes]:
    """The header fields, names in lower case; of those that stand twice the first."""
    found: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n", MAX_FIELDS)[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            found.setdefault(name.strip().lower(), value.strip())
    return found


def asks_for_websocket(head: bytes) -> bool:
    """Is this request an upgrade to a WebSocket?"""
    return b"websocket" in headers_of(head).get(b"upgrade", b"").lower()


class FrameSink:
    """Takes the frames of one direction apart, and hands their payloads on as a stream.

    `dead` says that nothing more can be read: the peer closed, a part is missing, or the frames are compressed.
    """

    __slots__ = ("_held", "_left", "_mask", "_offset", "_opcode", "_sink", "dead")

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._held = b""
        self._left = 0
        self._mask = b""
        self._offset = 0
        self._opcode = _BINARY
        self.dead = ""

    def gap(self) -> None:
        self.dead = self.dead or "WebSockets with missing bytes"

    def data(self, data: bytes, frame: int, time_ns: int) -> None:
        data = self._held + data
        self._held = b""
        position, size = 0, len(data)
        while position < size and not self.dead:
            if not self._left:
                used = self._begin(data, position)
                if not used:
                    self._held = data[position:]
                    return
                position += used
                continue
            step = min(self._left, size - position)
            part = data[position : position + step]
            if self._opcode in (_CONTINUATION, _BINARY):
                self._sink.data(self._unmasked(part), frame, time_ns)
            self._left -= step
            self._offset += step
            position += step

    def _begin(self, data: bytes, position: int) -> int:
        """Read the head of a frame; how many bytes it has, 0 while it is not whole."""
        if len(data) - position < 2:
            return 0
        first, second = data[position], data[position + 1]
        extended = {126: 2, 127: 8}.get(second & 0x7F, 0)
        size = 2 + extended + (4 if second & 0x80 else 0)
        if len(data) - position < size:
            return 0
        length = second & 0x7F
        if extended:
            length = int.from_bytes(data[position + 2 : position + 2 + extended], "big")
        if first & 0x70:
            self.dead = "compressed WebSockets"
        elif length > MAX_FRAME_BYTES:
            self.dead = "broken WebSockets"
        self._opcode = first & 0x0F
        if self._opcode == _CLOSE:
            self.dead = self.dead or "closed"
        self._mask = data[position + size - 4 : position + size] if second & 0x80 else b""
        self._offset = 0
        self._left = length
        return size

    def _unmasked(self, part: bytes) -> bytes:
        if not self._mask:
            return part
        turn = self._offset & 3
        mask = self._mask[turn:] + self._mask[:turn]
        whole = (mask * (len(part) // 4 + 1))[: len(part)]
        return (int.from_bytes(part, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(part), "big")

"""Cutting a recorded stream into MQTT packets, and recognising MQTT without having seen its beginning.

The framer of `bollard.wire` ends a connection when a packet is too large; a reader of captures must go on, so it
keeps only the head of such a packet here. What a packet says is decoded by `bollard.wire`.
"""

from collections.abc import Iterator

from bollard.assess.capture.streams import Budget
from bollard.base.errors import MalformedPacket, PeerError
from bollard.wire.codec import decode
from bollard.wire.publish import Publish
from bollard.wire.spec import V5, V311, PacketType
from bollard.wire.topics import check_topic_name

#: Of a longer packet, only so much is kept and read.
MAX_KEPT_BYTES = 16_384

FROM_CLIENT = frozenset(
    (PacketType.CONNECT, PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE, PacketType.PINGREQ)
)
FROM_SERVER = frozenset((PacketType.CONNACK, PacketType.SUBACK, PacketType.UNSUBACK, PacketType.PINGRESP))

#: First byte, buffer, start and end of the body, and whether the packet is whole.
Cut = tuple[int, bytes, int, int, bool]


class NoRoom(Exception):
    """All that may be held at the same time is held."""


class Cutter:
    """Cuts one direction. Holds at most the head of one packet."""

    __slots__ = ("_budget", "_held", "_needed", "_skip", "_taken")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = bytearray()
        self._needed = 0
        self._skip = 0
        self._taken = 0

    def cut(self, data: bytes) -> Iterator[Cut]:
        """The packets that `data` completes. Raises `MalformedPacket` where no packet can be, and `NoRoom`."""
        if self._skip:
            step = min(self._skip, len(data))
            self._skip -= step
            if step == len(data):
                return
            data = data[step:]
        if self._held:
            self._keep(data)
            if len(self._held) < self._needed:
                return
            data = bytes(self._held)
            self.forget()
        position, size = 0, len(data)
        while position < size:
            header = data[position]
            if header < 0x10:
                raise MalformedPacket("packet type 0 is reserved", "MQTT5-2.1.2")
            body, end = measure(data, position, size)
            if end > size:
                if not body:
                    self._needed = size - position + 1
                    return self._keep(data[position:])
                if size - position < min(MAX_KEPT_BYTES, end - position):
                    self._needed = min(MAX_KEPT_BYTES, end - position)
                    return self._keep(data[position:])
                self._skip = end - size
                yield header, data, body, size, False
                return
            yield header, data, body, end, True
            position = end

    def _keep(self, data: bytes) -> None:
        if not self._budget.take(len(data)):
            raise NoRoom
        self._taken += len(data)
        self._held += data

    def forget(self) -> None:
        """Let go of what is held, and of what is left of a packet."""
        self._budget.left += self._taken
        self._taken = 0
        self._held = bytearray()
        self._needed = 0
        self._skip = 0


def measure(data: bytes, position: int, size: int) -> tuple[int, int]:
    """Where the body of the packet at `position` begins and ends; (0, size + 1) if more bytes must tell."""
    index = position + 1
    length = shift = 0
    while True:
        if index >= size:
            return 0, size + 1
        digit = data[index]
        index += 1
        length |= (digit & 0x7F) << shift
        if digit < 0x80:
            return index, index + length
        shift += 7
        if shift > 21:
            raise MalformedPacket("the length of the packet has more than four bytes", "MQTT5-1.5.5-1")


def begins_mqtt(data: bytes) -> bool | None:
    """Do these first bytes of a connection begin with a CONNECT? None: more bytes must tell."""
    if data[:1] != b"\x10":
        return False if data else None
    try:
        body, _ = measure(data, 0, len(data))
    except MalformedPacket:
        return False
    if not body:
        return None
    for name in (b"\0\4MQTT", b"\0\6MQIsdp"):
        head = data[body : body + len(name)]
        if head == name:
            return True
        if name.startswith(head) and body + len(head) == len(data):
            return None
    return False


def plausible(data: bytes) -> list[int]:
    """The types of the packets that begin with `data`, [] unless all of them are legal.

    The last one may be incomplete, the first one may not. Both versions are tried.
    """
    for version in (V311, V5):
        found = _walk(data, version)
        if found:
            return found
    return []


def _walk(data: bytes, version: int) -> list[int]:
    found: list[int] = []
    position, size = 0, len(data)
    try:
        while position < size and len(found) < 8:
            body, end = measure(data, position, size)
            if end > size:
                return found
            packet = decode(data, data[position], body, end, version)
            if isinstance(packet, Publish):
                topic = packet.topic.decode()
                check_topic_name(topic)
                if not topic.isprintable():
                    return []
            found.append(data[position] >> 4)
            position = end
    except (PeerError, UnicodeDecodeError):
        return []
    return found

# cython: boundscheck=False, wraparound=False
"""PUBLISH and its four acknowledgements, for the way through a broker and for both ends.

`Publish` is one object that is filled again and again. What a server must pass on unaltered stays raw bytes, so
that forwarding needs no decoding and keeps the order of user properties. Whether a topic is legal, what an
alias stands for and whether a packet is allowed at this moment is not decided here.
"""

from bollard.base import memory
from bollard.base.errors import LocalError, MalformedPacket, PeerError, ProtocolError
from bollard.wire.properties import Properties, check_response_topic, decode_properties, encode_properties
from bollard.wire.reader import Reader, decode_utf8, encode_varint, open_body, two_bytes, varint_size
from bollard.wire.spec import MAX_SUBSCRIPTION_IDENTIFIERS, MAX_USER_PROPERTIES, REASON_CODES, PacketType


class Publish:
    """One PUBLISH.

    `topic` is UTF-8 as it came, b"" where an alias replaces it. `packet_id` is 0 for QoS 0. `alias` is 0 and
    `expiry`, in seconds, -1 when absent. `forward` is what a server must pass on unaltered and in order: payload
    format, content type, response topic, correlation data and user properties as raw bytes, without a length.
    `identifiers` are the Subscription Identifiers. The last four are empty in 3.1.1. `size` is that of the payload, which
    stands at `at` in the packet's buffer; `responds` says that a Response Topic is in `forward`.
    """

    __slots__ = (
        "_buffer",
        "alias",
        "at",
        "dup",
        "expiry",
        "forward",
        "identifiers",
        "packet_id",
        "payload",
        "qos",
        "responds",
        "retain",
        "size",
        "topic",
    )

    def __init__(self) -> None:
        self._buffer = b""
        self.at = 0
        self.size = 0
        self.responds = False
        self.dup = 0
        self.qos = 0
        self.retain = 0
        self.topic = b""
        self.packet_id = 0
        self.payload = b""
        self.alias = 0
        self.expiry = -1
        self.forward = b""
        self.identifiers: tuple[int, ...] = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Publish):
            return NotImplemented
        return self._fields() == other._fields()

    def __repr__(self) -> str:
        return (
            f"Publish(topic={self.topic!r}, qos={self.qos}, retain={self.retain}, dup={self.dup}, "
            f"packet_id={self.packet_id}, payload of {len(self.payload)} bytes)"
        )

    def _fields(self) -> tuple[object, ...]:
        return (
            *(self.dup, self.qos, self.retain, self.topic, self.packet_id, self.payload),
            *(self.alias, self.expiry, self.forward, self.identifiers),
        )

    def decode(self, buffer: bytes, header: int, body: int, end: int, version: int) -> None:
        """Fill every field from the packet whose body is `buffer[body:end]`.

        Checks all but the topic, which may even be no UTF-8: whoever caches topics checks each once. Raises
        `MalformedPacket`, `ProtocolError`, or `PeerError` 0x94 for alias 0; the fields are undefined then.
        """
        self.scan(buffer, header, body, end, version)
        self.payload = self.content()
        self._buffer = b""

    def scan(self, buffer: bytes, header: int, body: int, end: int, version: int) -> None:
        """As `decode`, for who may not need the payload: `content` makes it, as long as no packet follows.

        A topic that is the last one's again stays the same object.
        """
        if not 0 <= body <= end <= len(buffer):
            raise ValueError("the range is not within the buffer")
        view = buffer
        qos = header >> 1 & 3
        if qos == 3:
            raise MalformedPacket("QoS 3 does not exist", "MQTT5-3.3.1-4")
        if qos == 0 and header & 8:
            raise MalformedPacket("DUP must be 0 with QoS 0", "MQTT5-3.3.1-2")
        if end - body < 2:
            raise MalformedPacket("the topic is missing", "MQTT5-3.3.2-1")
        position = body + 2
        size = view[body] << 8 | view[body + 1]
        if size > end - position:
            raise MalformedPacket("the topic is cut short", "MQTT5-3.3.2-1")
        if not memory.same(buffer, position, size, self.topic):
            self.topic = view[position : position + size]
        position += size
        packet_id = 0
        if qos:
            if end - position < 2:
                raise MalformedPacket("the packet identifier is missing", "MQTT5-2.2.1-2")
            packet_id = view[position] << 8 | view[position + 1]
            position += 2
            if packet_id == 0:
                raise ProtocolError("packet identifier 0", "MQTT5-2.2.1-3")
        self.dup = header >> 3 & 1
        self.qos = qos
        self.retain = header & 1
        self.packet_id = packet_id
        self.alias = 0
        self.expiry = -1
        self.forward = b""
        self.identifiers = ()
        self.responds = False
        if version == 5:
            if position < end and view[position] == 0:
                position += 1
            else:
                position = self._decode_properties(buffer, position, end)
        if size == 0 and self.alias == 0:
            if version == 5:
                raise ProtocolError("neither a topic nor a topic alias", "MQTT5-3.3.2.1")
            raise MalformedPacket("an empty topic", "MQTT3-4.7.3-1")
        self._buffer = buffer
        self.at = position
        self.size = end - position

    def content(self) -> bytes:
        """The payload of the packet that was scanned."""
        view = self._buffer
        return view[self.at : self.at + self.size]

    def _decode_properties(self, buffer: bytes, position: int, end: int) -> int:
        """Read the property block at `position`; the position after it."""
        view = buffer
        if position >= end:
            raise MalformedPacket("the properties are missing", "MQTT5-2.2.2-1")
        size = view[position]
        position += 1
        if size >= 0x80:
            reader = Reader(buffer, position - 1, end)
            size = reader.varint()
            position = reader.pos
        if size > end - position:
            raise MalformedPacket("the properties are cut short")
        end = position + size
        seen = 0
        one = 1  # as wide as `seen` when compiled
        users = 0
        kept = position  # where the present run of bytes to pass on begins
        while position < end:
            identifier = view[position]
            if identifier == 0x26:
                users += 1
                if users > MAX_USER_PROPERTIES:
                    raise PeerError(0x97, f"more than {MAX_USER_PROPERTIES} user properties")
                position = _skip_string(buffer, _skip_string(buffer, position + 1, end), end)
                continue
            if identifier < 0x30 and identifier != 0x0B:
                if seen >> identifier & 1:
                    raise ProtocolError(f"property 0x{identifier:02X} stands twice")
                seen |= one << identifier
            if identifier == 0x08:
                self.responds = True
            start = position
            position = _skip_forwarded(buffer, identifier, position + 1, end)
            if position == 0:
                if start > kept:
                    self.forward = self.forward + view[kept:start]
                position = self._decode_own(buffer, identifier, start + 1, end)
                kept = position
        if position > kept:
            self.forward = self.forward + view[kept:position]
        return position

    def _decode_own(self, buffer: bytes, identifier: int, position: int, end: int) -> int:
        """One property that concerns this hop only, whose value stands at `position`; the position after it."""
        view = buffer
        if identifier == 0x23:
            if end - position < 2:
                raise MalformedPacket("the topic alias is cut short")
            self.alias = view[position] << 8 | view[position + 1]
            if self.alias == 0:
                raise PeerError(0x94, "topic alias 0", "MQTT5-3.3.2-8")
            return position + 2
        if identifier == 0x02:
            if end - position < 4:
                raise MalformedPacket("the message expiry interval is cut short")
            high = view[position] << 8 | view[position + 1]
            self.expiry = high << 16 | view[position + 2] << 8 | view[position + 3]
            return position + 4
        if identifier != 0x0B:
            raise MalformedPacket(f"property 0x{identifier:02X} does not belong in PUBLISH", "MQTT5-2.2.2.2")
        reader = Reader(buffer, position, end)
        number = reader.varint()
        if number == 0:
            raise ProtocolError("subscription identifier 0", "MQTT5-3.3.2.3.8")
        if len(self.identifiers) >= MAX_SUBSCRIPTION_IDENTIFIERS:
            raise PeerError(0x97, f"more than {MAX_SUBSCRIPTION_IDENTIFIERS} subscription identifiers")
        self.identifiers = (*self.identifiers, number)
        return reader.pos

    def properties(self) -> Properties:
        """The properties decoded, for whoever reads the message rather than passing it on."""
        block = property_bytes(self.forward, self.expiry, self.alias, self.identifiers)
        return decode_properties(Reader(block, 0, len(block)), 3)


def _skip_forwarded(buffer: bytes, identifier: int, position: int, end: int) -> int:
    """Check a property that is passed on, whose value stands at `position`; the position after it.

    0 when `identifier` is not one of those.
    """
    if identifier == 0x01:
        view = buffer
        if position >= end:
            raise MalformedPacket("the payload format indicator is cut short")
        if view[position] > 1:
            raise ProtocolError("a payload format indicator is 0 or 1", "MQTT5-3.3.2.3.2")
        return position + 1
    if identifier == 0x03:
        return _skip_string(buffer, position, end)
    if identifier == 0x08:
        after = _skip_binary(buffer, position, end)
        check_response_topic(decode_utf8(buffer, position + 2, after))
        return after
    if identifier == 0x09:
        return _skip_binary(buffer, position, end)
    return 0


def _skip_binary(buffer: bytes, position: int, end: int) -> int:
    """The position after the length and the bytes that stand at `position`."""
    view = buffer
    if end - position < 2:
        raise MalformedPacket("a property is cut short")
    after = position + 2 + (view[position] << 8 | view[position + 1])
    if after > end:
        raise MalformedPacket("a property is cut short")
    return after


def _skip_string(buffer: bytes, position: int, end: int) -> int:
    """As `_skip_binary`, and what it skips is a legal UTF-8 string."""
    view = buffer
    after = _skip_binary(buffer, position, end)
    for index in range(position + 2, after):
        if not 0 < view[index] < 0x80:
            decode_utf8(buffer, position + 2, after)
            break
    return after


def publish_head(topic: bytes, qos: int, retain: int, dup: int, rest: int) -> bytes:
    """Everything of a PUBLISH up to its topic, which `rest` bytes are to follow.

    Those are the packet identifier when `qos` is not 0, the properties in 5.0, and the payload.
    """
    size = len(topic)
    if size > 65_535:
        raise LocalError(f"a topic of {size} bytes is too long", "MQTT allows 65,535 bytes.")
    if not (0 <= qos <= 2 and 0 <= retain <= 1 and 0 <= dup <= 1 and rest >= 0):
        raise ValueError("QoS, RETAIN or DUP out of range")
    first = 0x30 | dup << 3 | qos << 1 | retain
    length = 2 + size + rest
    if length < 0x80:
        return two_bytes(first << 8 | length) + two_bytes(size) + topic
    return bytes((first,)) + encode_varint(length) + two_bytes(size) + topic


def publish_size(topic: bytes, qos: int, properties: bytes | None, size: int) -> int:
    """The bytes of a whole PUBLISH with a payload of `size` bytes. `properties` is their block without its length,
    None in 3.1.1."""
    rest = 2 + len(topic) + size + (2 if qos else 0)
    if properties is not None:
        rest += len(properties) + varint_size(len(properties))
    return 1 + varint_size(rest) + rest


def property_bytes(forward: bytes, expiry: int, alias: int, identifiers: tuple[int, ...]) -> bytes:
    """`property_block` with its length."""
    block = property_block(forward, expiry, alias, identifiers)
    return encode_varint(len(block)) + block


def property_block(forward: bytes, expiry: int, alias: int, identifiers: tuple[int, ...]) -> bytes:
    """The properties of a PUBLISH, without their length: `expiry` < 0 and `alias` 0 mean none."""
    block = forward
    if expiry >= 0:
        block = b"\x02" + two_bytes(expiry >> 16) + two_bytes(expiry & 0xFFFF) + block
    if alias:
        block = b"\x23" + two_bytes(alias) + block
    for number in identifiers:
        block += b"\x0b" + encode_varint(number)
    return block


def encode_publish(
    topic: bytes,
    payload: bytes,
    *,
    qos: int = 0,
    retain: int = 0,
    dup: int = 0,
    packet_id: int = 0,
    version: int = 4,
    properties: Properties | None = None,
) -> bytes:
    """A whole PUBLISH; `LocalError` when it cannot be one, `ValueError` without an identifier it needs."""
    if qos and not packet_id:
        raise ValueError("QoS 1 and 2 need a packet identifier")  # [MQTT5-2.2.1-3] [MQTT3-2.3.1-1]
    middle = packet_id_bytes(packet_id) if qos else b""
    if version == 5:
        middle += encode_properties(properties, 3)
    return publish_head(topic, qos, retain, dup, len(middle) + len(payload)) + middle + payload


class Ack:
    """PUBACK, PUBREC, PUBREL or PUBCOMP, as `packet_type` says. `properties` is None when there are none."""

    __slots__ = ("packet_id", "packet_type", "properties", "reason_code")

    def __init__(
        self, packet_type: int, packet_id: int, reason_code: int = 0, properties: Properties | None = None
    ) -> None:
        self.packet_type = packet_type
        self.packet_id = packet_id
        self.reason_code = reason_code
        self.properties = properties

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ack):
            return NotImplemented
        return (self.packet_type, self.packet_id, self.reason_code, self.properties) == (
            other.packet_type,
            other.packet_id,
            other.reason_code,
            other.properties,
        )

    def __repr__(self) -> str:
        return f"Ack({PacketType(self.packet_type).name}, {self.packet_id}, 0x{self.reason_code:02X})"


#: Which reason codes an acknowledgement may have.
ACK_CLAUSES = {4: "MQTT5-3.4.2-1", 5: "MQTT5-3.5.2-1", 6: "MQTT5-3.6.2-1", 7: "MQTT5-3.7.2-1"}


def decode_ack(buffer: bytes, header: int, body: int, end: int, version: int) -> Ack:
    """Any of the four; `MalformedPacket` or `ProtocolError` when it is not legal in `version`."""
    reader = open_body(buffer, header, body, end)
    packet_type = header >> 4
    size = end - body
    if version != 5 and size != 2:
        raise MalformedPacket("an acknowledgement of the wrong length", "MQTT3-2.3.1-6")
    packet_id = reader.u16()
    if packet_id == 0:
        raise ProtocolError("packet identifier 0", "MQTT5-2.2.1-3")
    if size == 2:
        return Ack(packet_type, packet_id)
    reason_code = reader.u8()
    if reason_code and reason_code not in REASON_CODES[packet_type]:
        raise ProtocolError(f"0x{reason_code:02X} is no reason code of this packet", ACK_CLAUSES[packet_type])
    if size == 3:
        return Ack(packet_type, packet_id, reason_code)
    properties = decode_properties(reader, packet_type)
    reader.done()
    return Ack(packet_type, packet_id, reason_code, properties)


def encode_ack(
    packet_type: int,
    packet_id: int,
    reason_code: int = 0,
    version: int = 4,
    properties: Properties | None = None,
) -> bytes:
    """The shortest form that says it: 5.0 leaves out reason code 0 and empty properties. [MQTT5-3.4.2.1]"""
    if version != 5 or (reason_code == 0 and properties is None):
        return short_ack(packet_type, packet_id)
    tail = two_bytes(packet_id) + bytes((reason_code,))
    if properties is not None:
        tail += encode_properties(properties, packet_type)
    first = packet_type << 4 | (2 if packet_type == 6 else 0)
    return bytes((first,)) + encode_varint(len(tail)) + tail


def short_ack_start(packet_type: int) -> int:
    """The first two bytes of an acknowledgement that says success, as an integer. [MQTT5-3.6.1-1]"""
    return 0x6202 if packet_type == 6 else packet_type << 12 | 2


def short_ack(packet_type: int, packet_id: int) -> bytes:
    """The four bytes that acknowledge with success, in both versions."""
    if not (4 <= packet_type <= 7 and 0 <= packet_id <= 0xFFFF):
        raise ValueError("not the type of an acknowledgement, or not a packet identifier")
    return two_bytes(short_ack_start(packet_type)) + two_bytes(packet_id)


def packet_id_bytes(packet_id: int) -> bytes:
    """A packet identifier, 0 to 65,535, as it stands in a packet: always the same object."""
    return two_bytes(packet_id)

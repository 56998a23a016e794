"""CONNECT, CONNACK, DISCONNECT, AUTH and the two pings, as records.

Decoding says whether the bytes are such a packet. Whether a client may connect, whether an identifier will
do, and whether a packet is allowed at this moment is the engine's business.
"""

from dataclasses import dataclass, field

from bollard.base.errors import LocalError, MalformedPacket, PeerError, ProtocolError
from bollard.wire.properties import Properties, decode_properties, encode_properties
from bollard.wire.reader import Reader, encode_binary, encode_utf8, encode_varint, open_body
from bollard.wire.spec import (
    CONNACK_RETURN_CODE,
    DEFAULT_RETURN_CODE,
    REASON_CODES,
    REASON_OF_RETURN_CODE,
    V5,
    V311,
    WILL_PROPERTIES,
    PacketType,
)

CONNECT = int(PacketType.CONNECT)
CONNACK = int(PacketType.CONNACK)
#: The properties of decoded packets that have none: read, never written to.
NO_PROPERTIES = Properties()


@dataclass(slots=True)
class Will:
    """The message to publish for a client that goes without a word. The topic is not checked here."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties = field(default_factory=Properties)


class Connect:
    """`keepalive_s` 0 means none. `username` and `password` are None when absent, which "" and b"" are not."""

    __slots__ = (
        "clean_start",
        "client_id",
        "keepalive_s",
        "password",
        "properties",
        "username",
        "version",
        "will",
    )

    def __init__(
        self,
        version: int = V311,
        clean_start: bool = True,
        keepalive_s: int = 60,
        client_id: str = "",
        username: str | None = None,
        password: bytes | None = None,
        will: Will | None = None,
        properties: Properties | None = None,
    ) -> None:
        self.version = version
        self.clean_start = clean_start
        self.keepalive_s = keepalive_s
        self.client_id = client_id
        self.username = username
        self.password = password
        self.will = will
        self.properties = properties if properties is not None else Properties()

    def _told(self) -> tuple[object, ...]:
        """Everything but the password."""
        return (
            *(self.version, self.clean_start, self.keepalive_s, self.client_id),
            *(self.username, self.will, self.properties),
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Connect):
            return NotImplemented
        return self._told() == other._told() and self.password == other.password

    def __repr__(self) -> str:
        """All but the password."""
        return f"Connect{self._told()!r}"


@dataclass(slots=True)
class Connack:
    """`code` is a reason code of 5.0 in both versions; 3.1.1 has but six, and only those travel."""

    session_present: bool = False
    code: int = 0
    properties: Properties = field(default_factory=Properties)


@dataclass(slots=True)
class Disconnect:
    code: int = 0
    properties: Properties = field(default_factory=Properties)


@dataclass(slots=True)
class Auth:
    code: int = 0
    properties: Properties = field(default_factory=Properties)


@dataclass(slots=True)
class Pingreq:
    """A client is there."""


@dataclass(slots=True)
class Pingresp:
    """So is the server."""


#: The decoded DISCONNECT that says nothing else: read, never written to.
GOOD_BYE = Disconnect(0, NO_PROPERTIES)


def refusal_version(buffer: bytes, body: int, end: int) -> int:
    """In which version to answer a CONNECT that cannot be decoded: 4, 5, or 0 when it shows none.

    Levels below 4 get the answer of 3.1.1, levels above 5 that of 5.0. [MQTT5-3.1.2-2] [MQTT3-3.1.2-2]
    """
    for name in (b"\0\4MQTT", b"\0\6MQIsdp"):
        level = body + len(name)
        if level < end and buffer[body:level] == name:
            return V311 if buffer[level] <= V311 else V5
    return 0


def decode_connect(buffer: bytes, header: int, body: int, end: int) -> Connect:
    """A CONNECT of either version, which it names itself.

    `PeerError` 0x84 for MQTT of any other level, `MalformedPacket` for another protocol's name.
    """
    reader = open_body(buffer, header, body, end)
    version = _decode_protocol(reader)
    flags = reader.u8()
    _check_connect_flags(flags, version)
    keepalive_s = reader.u16()
    properties = decode_properties(reader, CONNECT) if version == V5 else NO_PROPERTIES
    if properties.authentication_data is not None and properties.authentication_method is None:
        raise ProtocolError("authentication data without a method", "MQTT5-3.1.2.11.10")
    connect = Connect.__new__(Connect)
    connect.version = version
    connect.clean_start = flags & 2 != 0
    connect.keepalive_s = keepalive_s
    connect.properties = properties
    connect.client_id = reader.utf8()
    connect.will = _decode_will(reader, flags, version) if flags & 0x04 else None
    connect.username = reader.utf8() if flags & 0x80 else None
    connect.password = reader.binary() if flags & 0x40 else None
    reader.done()
    return connect


def _decode_protocol(reader: Reader) -> int:
    name = reader.binary()
    if name == b"MQIsdp":
        raise PeerError(0x84, "MQTT 3.1 is not spoken here", "MQTT3-3.1.2-2")
    if name != b"MQTT":
        raise MalformedPacket("this is not MQTT", "MQTT5-3.1.2-1")
    version = reader.u8()
    if version != V311 and version != V5:
        raise PeerError(0x84, f"MQTT of level {version} is not spoken here", "MQTT5-3.1.2-2")
    return version


def _check_connect_flags(flags: int, version: int) -> None:
    if flags & 0x01:
        raise MalformedPacket("the reserved flag of CONNECT is set", "MQTT5-3.1.2-3")
    if not flags & 0x04 and flags & 0x38:
        raise MalformedPacket("will flags without a will", "MQTT5-3.1.2-11")
    if flags & 0x18 == 0x18:
        raise MalformedPacket("a will of QoS 3", "MQTT5-3.1.2-12")
    if version == V311 and flags & 0x40 and not flags & 0x80:
        raise MalformedPacket("a password without a user name", "MQTT3-3.1.2-22")


def _decode_will(reader: Reader, flags: int, version: int) -> Will:
    properties = decode_properties(reader, WILL_PROPERTIES) if version == V5 else Properties()
    topic = reader.utf8()
    return Will(topic, reader.binary(), flags >> 3 & 3, bool(flags & 0x20), properties)


def encode_connect(connect: Connect) -> bytes:
    """The CONNECT; `LocalError` when it cannot be one."""
    will = connect.will
    if connect.version == V311 and connect.password is not None and connect.username is None:
        raise LocalError("a password without a user name", "MQTT 3.1.1 needs both; MQTT 5.0 does not.")
    if not 0 <= connect.keepalive_s <= 0xFFFF:
        raise LocalError(f"a keep-alive of {connect.keepalive_s} s", "It must be from 0 to 65535 seconds.")
    flags = (
        connect.clean_start << 1 | (connect.password is not None) << 6 | (connect.username is not None) << 7
    )
    if will is not None:
        if not 0 <= will.qos <= 2:
            raise LocalError(f"a will of QoS {will.qos}", "QoS is 0, 1 or 2.")
        flags |= 0x04 | will.qos << 3 | will.retain << 5
    parts = [
        b"\0\4MQTT",
        bytes((connect.version, flags)),
        connect.keepalive_s.to_bytes(2, "big"),
        encode_properties(connect.properties, PacketType.CONNECT) if connect.version == V5 else b"",
        encode_utf8(connect.client_id),
    ]
    if will is not None:
        parts.append(encode_properties(will.properties, WILL_PROPERTIES) if connect.version == V5 else b"")
        parts += (encode_utf8(will.topic), encode_binary(will.payload))
    if connect.username is not None:
        parts.append(encode_utf8(connect.username))
    if connect.password is not None:
        parts.append(encode_binary(connect.password))
    return _packet(PacketType.CONNECT, b"".join(parts))


def decode_connack(buffer: bytes, header: int, body: int, end: int, version: int) -> Connack:
    """A CONNACK; `code` is given as the 5.0 reason code in both versions."""
    reader = open_body(buffer, header, body, end)
    flags = reader.u8()
    if flags > 1:
        raise MalformedPacket("a reserved flag of CONNACK is set", "MQTT5-3.2.2-1")
    code = reader.u8()
    if version == V5:
        if code not in REASON_CODES[PacketType.CONNACK]:
            raise ProtocolError(f"0x{code:02X} is no reason code of CONNACK", "MQTT5-3.2.2-8")
        properties = decode_properties(reader, PacketType.CONNACK)
    elif code in REASON_OF_RETURN_CODE:
        code = REASON_OF_RETURN_CODE[code]
        properties = Properties()
    else:
        raise MalformedPacket(f"{code} is no return code of CONNACK", "MQTT3-3.2.2.3")
    reader.done()
    if flags and code:
        raise ProtocolError("a refusal that says that a session is present", "MQTT5-3.2.2-6")
    return Connack(bool(flags), int(code), properties)


def encode_connack(connack: Connack, version: int) -> bytes:
    """The CONNACK. A refusal never says that a session is present. [MQTT5-3.2.2-6] [MQTT3-3.2.2-4]"""
    present = int(connack.session_present and connack.code == 0)
    if version == V5:
        tail = bytes((present, connack.code)) + encode_properties(connack.properties, CONNACK)
    else:
        tail = bytes((present, CONNACK_RETURN_CODE.get(connack.code, DEFAULT_RETURN_CODE)))
    return _packet(CONNACK, tail)


def decode_disconnect(buffer: bytes, header: int, body: int, end: int, version: int) -> Disconnect:
    """A DISCONNECT, which in 5.0 may leave out the properties, or the code as well. [MQTT5-3.14.2.1]"""
    reader = open_body(buffer, header, body, end)
    if version != V5 or body == end:
        reader.done()
        return GOOD_BYE
    code = reader.u8()
    if code not in REASON_CODES[PacketType.DISCONNECT]:
        raise ProtocolError(f"0x{code:02X} is no reason code of DISCONNECT", "MQTT5-3.14.2-1")
    if not reader.left:
        return Disconnect(code, NO_PROPERTIES)
    properties = decode_properties(reader, PacketType.DISCONNECT)
    reader.done()
    return Disconnect(code, properties)


def encode_disconnect(disconnect: Disconnect, version: int) -> bytes:
    """The shortest DISCONNECT that says it; in 3.1.1 it can say nothing."""
    if version != V5:
        return b"\xe0\x00"
    tail = encode_properties(disconnect.properties, PacketType.DISCONNECT)
    if tail == b"\0":
        tail = b""
    if disconnect.code or tail:
        tail = bytes((disconnect.code,)) + tail
    return _packet(PacketType.DISCONNECT, tail)


def decode_auth(buffer: bytes, header: int, body: int, end: int, version: int) -> Auth:
    """An AUTH. Only plain success may leave out code and properties, and with them the method."""
    if version != V5:
        raise MalformedPacket("packet type 15 does not exist in MQTT 3.1.1", "MQTT3-2.2.1")
    reader = open_body(buffer, header, body, end)
    if not reader.left:
        return Auth()
    code = reader.u8()
    if code not in REASON_CODES[PacketType.AUTH]:
        raise ProtocolError(f"0x{code:02X} is no reason code of AUTH", "MQTT5-3.15.2-1")
    properties = decode_properties(reader, PacketType.AUTH)
    reader.done()
    if properties.authentication_method is None:
        raise ProtocolError("AUTH without an authentication method", "MQTT5-3.15.2.2.2")
    return Auth(code, properties)


def encode_auth(auth: Auth, version: int) -> bytes:
    """The AUTH; `LocalError` in 3.1.1, which has none."""
    if version != V5:
        raise LocalError("MQTT 3.1.1 has no AUTH packet", "Use MQTT 5.0 for enhanced authentication.")
    block = encode_properties(auth.properties, PacketType.AUTH)
    if auth.code == 0 and block == b"\0":
        return b"\xf0\x00"
    return _packet(PacketType.AUTH, bytes((auth.code,)) + block)


def decode_ping(buffer: bytes, header: int, body: int, end: int) -> Pingreq | Pingresp:
    """PINGREQ or PINGRESP, as the header says."""
    open_body(buffer, header, body, end).done()
    return Pingreq() if header >> 4 == PacketType.PINGREQ else Pingresp()


def _packet(packet_type: int, tail: bytes) -> bytes:
    return bytes((packet_type << 4,)) + encode_varint(len(tail)) + tail

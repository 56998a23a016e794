"""Properties of MQTT 5.0: which one, in which packet, of which type, once or many, with which values.

One table says all of it and both directions follow the table. PUBLISH on its way through the broker does not
come by here (see `publish`); everything else does.
"""

from bollard.base.errors import LocalError, MalformedPacket, PeerError, ProtocolError
from bollard.wire.reader import Reader, encode_binary, encode_utf8, encode_varint
from bollard.wire.spec import (
    MAX_SUBSCRIPTION_IDENTIFIERS,
    MAX_USER_PROPERTIES,
    MAX_VARINT,
    WILL_PROPERTIES,
    PacketType,
    PropertyId,
)


class Properties:
    """The properties of one packet, by their names in the specification; None where absent.

    Numbers stay numbers: what the specification calls 0 or 1 is 0 or 1 here. The two that may stand more than
    once are tuples, empty where absent, and keep their order.
    """

    __slots__ = (
        "assigned_client_identifier",
        "authentication_data",
        "authentication_method",
        "content_type",
        "correlation_data",
        "maximum_packet_size",
        "maximum_qos",
        "message_expiry_interval",
        "payload_format_indicator",
        "reason_string",
        "receive_maximum",
        "request_problem_information",
        "request_response_information",
        "response_information",
        "response_topic",
        "retain_available",
        "server_keep_alive",
        "server_reference",
        "session_expiry_interval",
        "shared_subscription_available",
        "subscription_identifiers",
        "subscription_identifiers_available",
        "topic_alias",
        "topic_alias_maximum",
        "user_properties",
        "wildcard_subscription_available",
        "will_delay_interval",
    )

    def __init__(
        self,
        *,
        payload_format_indicator: int | None = None,
        message_expiry_interval: int | None = None,
        content_type: str | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        subscription_identifiers: tuple[int, ...] = (),
        session_expiry_interval: int | None = None,
        assigned_client_identifier: str | None = None,
        server_keep_alive: int | None = None,
        authentication_method: str | None = None,
        authentication_data: bytes | None = None,
        request_problem_information: int | None = None,
        will_delay_interval: int | None = None,
        request_response_information: int | None = None,
        response_information: str | None = None,
        server_reference: str | None = None,
        reason_string: str | None = None,
        receive_maximum: int | None = None,
        topic_alias_maximum: int | None = None,
        topic_alias: int | None = None,
        maximum_qos: int | None = None,
        retain_available: int | None = None,
        user_properties: tuple[tuple[str, str], ...] = (),
        maximum_packet_size: int | None = None,
        wildcard_subscription_available: int | None = None,
        subscription_identifiers_available: int | None = None,
        shared_subscription_available: int | None = None,
    ) -> None:
        self.payload_format_indicator = payload_format_indicator
        self.message_expiry_interval = message_expiry_interval
        self.content_type = content_type
        self.response_topic = response_topic
        self.correlation_data = correlation_data
        self.subscription_identifiers = subscription_identifiers
        self.session_expiry_interval = session_expiry_interval
        self.assigned_client_identifier = assigned_client_identifier
        self.server_keep_alive = server_keep_alive
        self.authentication_method = authentication_method
        self.authentication_data = authentication_data
        self.request_problem_information = request_problem_information
        self.will_delay_interval = will_delay_interval
        self.request_response_information = request_response_information
        self.response_information = response_information
        self.server_reference = server_reference
        self.reason_string = reason_string
        self.receive_maximum = receive_maximum
        self.topic_alias_maximum = topic_alias_maximum
        self.topic_alias = topic_alias
        self.maximum_qos = maximum_qos
        self.retain_available = retain_available
        self.user_properties = user_properties
        self.maximum_packet_size = maximum_packet_size
        self.wildcard_subscription_available = wildcard_subscription_available
        self.subscription_identifiers_available = subscription_identifiers_available
        self.shared_subscription_available = shared_subscription_available

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Properties):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _NAMES)

    def __repr__(self) -> str:
        """What is present; authentication data, which may be a secret, only as the fact that it is."""
        shown = []
        for name in _NAMES:
            value = getattr(self, name)
            if value is not None and value != ():
                shown.append(f"{name}=..." if name == "authentication_data" else f"{name}={value!r}")
        return f"Properties({', '.join(shown)})"


# Types of a value, in the order of chapter 1.5.
_FLAG, _U16, _U32, _VARINT, _BINARY, _UTF8, _PAIR = range(7)

_MESSAGE = (PacketType.PUBLISH, WILL_PROPERTIES)
_LOGIN = (PacketType.CONNECT, PacketType.CONNACK, PacketType.AUTH)
_BOTH_CONNECT = (PacketType.CONNECT, PacketType.CONNACK)
_ANSWERS = (
    *(PacketType.CONNACK, PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP),
    *(PacketType.SUBACK, PacketType.UNSUBACK, PacketType.DISCONNECT, PacketType.AUTH),
)
_EVERY = (
    *(packet for packet in PacketType if packet not in (PacketType.PINGREQ, PacketType.PINGRESP)),
    WILL_PROPERTIES,
)

#: Table 2-4: identifier -> (attribute, type, smallest value, packets). [MQTT5-2.2.2.2]
PROPERTY_TABLE: dict[int, tuple[str, int, int, frozenset[int]]] = {
    identifier: (name, kind, smallest, frozenset(packets))
    for identifier, name, kind, smallest, packets in (
        (PropertyId.PAYLOAD_FORMAT_INDICATOR, "payload_format_indicator", _FLAG, 0, _MESSAGE),
        (PropertyId.MESSAGE_EXPIRY_INTERVAL, "message_expiry_interval", _U32, 0, _MESSAGE),
        (PropertyId.CONTENT_TYPE, "content_type", _UTF8, 0, _MESSAGE),
        (PropertyId.RESPONSE_TOPIC, "response_topic", _UTF8, 0, _MESSAGE),
        (PropertyId.CORRELATION_DATA, "correlation_data", _BINARY, 0, _MESSAGE),
        (
            *(PropertyId.SUBSCRIPTION_IDENTIFIER, "subscription_identifiers", _VARINT, 1),
            (PacketType.PUBLISH, PacketType.SUBSCRIBE),
        ),
        (
            *(PropertyId.SESSION_EXPIRY_INTERVAL, "session_expiry_interval", _U32, 0),
            (*_BOTH_CONNECT, PacketType.DISCONNECT),
        ),
        (
            *(PropertyId.ASSIGNED_CLIENT_IDENTIFIER, "assigned_client_identifier", _UTF8, 0),
            (PacketType.CONNACK,),
        ),
        (PropertyId.SERVER_KEEP_ALIVE, "server_keep_alive", _U16, 0, (PacketType.CONNACK,)),
        (PropertyId.AUTHENTICATION_METHOD, "authentication_method", _UTF8, 0, _LOGIN),
        (PropertyId.AUTHENTICATION_DATA, "authentication_data", _BINARY, 0, _LOGIN),
        (
            *(PropertyId.REQUEST_PROBLEM_INFORMATION, "request_problem_information", _FLAG, 0),
            (PacketType.CONNECT,),
        ),
        (PropertyId.WILL_DELAY_INTERVAL, "will_delay_interval", _U32, 0, (WILL_PROPERTIES,)),
        (
            *(PropertyId.REQUEST_RESPONSE_INFORMATION, "request_response_information", _FLAG, 0),
            (PacketType.CONNECT,),
        ),
        (PropertyId.RESPONSE_INFORMATION, "response_information", _UTF8, 0, (PacketType.CONNACK,)),
        (
            *(PropertyId.SERVER_REFERENCE, "server_reference", _UTF8, 0),
            (PacketType.CONNACK, PacketType.DISCONNECT),
        ),
        (PropertyId.REASON_STRING, "reason_string", _UTF8, 0, _ANSWERS),
        (PropertyId.RECEIVE_MAXIMUM, "receive_maximum", _U16, 1, _BOTH_CONNECT),
        (PropertyId.TOPIC_ALIAS_MAXIMUM, "topic_alias_maximum", _U16, 0, _BOTH_CONNECT),
        (PropertyId.TOPIC_ALIAS, "topic_alias", _U16, 1, (PacketType.PUBLISH,)),
        (PropertyId.MAXIMUM_QOS, "maximum_qos", _FLAG, 0, (PacketType.CONNACK,)),
        (PropertyId.RETAIN_AVAILABLE, "retain_available", _FLAG, 0, (PacketType.CONNACK,)),
        (PropertyId.USER_PROPERTY, "user_properties", _PAIR, 0, _EVERY),
        (PropertyId.MAXIMUM_PACKET_SIZE, "maximum_packet_size", _U32, 1, _BOTH_CONNECT),
        (
            *(PropertyId.WILDCARD_SUBSCRIPTION_AVAILABLE, "wildcard_subscription_available", _FLAG, 0),
            (PacketType.CONNACK,),
        ),
        (
            *(PropertyId.SUBSCRIPTION_IDENTIFIER_AVAILABLE, "subscription_identifiers_available", _FLAG, 0),
            (PacketType.CONNACK,),
        ),
        (
            *(PropertyId.SHARED_SUBSCRIPTION_AVAILABLE, "shared_subscription_available", _FLAG, 0),
            (PacketType.CONNACK,),
        ),
    )
}
_NAMES: tuple[str, ...] = tuple(row[0] for row in PROPERTY_TABLE.values())
_LARGEST = {_FLAG: 1, _U16: 0xFFFF, _U32: 0xFFFFFFFF, _VARINT: MAX_VARINT}


def decode_properties(reader: Reader, packet: int) -> Properties:
    """Read a property block, length first, of `packet`: a `PacketType`, or `WILL_PROPERTIES`.

    An identifier that does not exist or does not belong there, or a value that is cut short, is
    `MalformedPacket` [MQTT5-2.2.2.2]; one that stands twice or has a value that is not allowed is
    `ProtocolError`; topic alias 0 is `PeerError` 0x94; too many of those that may repeat, 0x97.
    """
    size = reader.varint()
    if size > reader.left:
        raise MalformedPacket("the properties are cut short")
    properties = Properties()
    if size == 0:
        return properties
    block = reader.slice(size)
    seen = 0
    one = 1  # as wide as `seen` when compiled
    users: list[tuple[str, str]] = []
    numbers: list[int] = []
    while block.left:
        identifier = block.varint()
        row = PROPERTY_TABLE.get(identifier)
        if row is None:
            raise MalformedPacket(f"property 0x{identifier:02X} does not exist", "MQTT5-2.2.2.2")
        name, kind, smallest, packets = row
        if packet not in packets:
            raise MalformedPacket(f"property {name} does not belong in this packet", "MQTT5-2.2.2.2")
        if kind == _PAIR:
            if len(users) >= MAX_USER_PROPERTIES:
                raise PeerError(0x97, f"more than {MAX_USER_PROPERTIES} user properties")
            users.append((block.utf8(), block.utf8()))
        elif kind == _VARINT:
            _add_identifier(numbers, block.varint(), packet)
        else:
            if seen >> identifier & 1:
                raise ProtocolError(f"property {name} stands twice")
            seen |= one << identifier
            setattr(properties, name, _decode_value(block, kind, name, smallest))
    properties.user_properties = tuple(users)
    properties.subscription_identifiers = tuple(numbers)
    return properties


def _add_identifier(numbers: list[int], number: int, packet: int) -> None:
    if number == 0:
        raise ProtocolError("subscription identifier 0", "MQTT5-3.8.2.1.2")
    if numbers and packet == PacketType.SUBSCRIBE:
        raise ProtocolError("property subscription_identifier stands twice", "MQTT5-3.8.2.1.2")
    if len(numbers) >= MAX_SUBSCRIPTION_IDENTIFIERS:
        raise PeerError(0x97, f"more than {MAX_SUBSCRIPTION_IDENTIFIERS} subscription identifiers")
    numbers.append(number)


def _decode_value(reader: Reader, kind: int, name: str, smallest: int) -> int | str | bytes:
    if kind == _UTF8:
        text = reader.utf8()
        if name == "response_topic":
            check_response_topic(text)
        return text
    if kind == _BINARY:
        return reader.binary()
    value = reader.u8() if kind == _FLAG else reader.u16() if kind == _U16 else reader.u32()
    if value < smallest:
        if name == "topic_alias":
            raise PeerError(0x94, "topic alias 0", "MQTT5-3.3.2-8")
        raise ProtocolError(f"property {name} must not be 0")
    if kind == _FLAG and value > 1:
        raise ProtocolError(f"property {name} must be 0 or 1")
    return value


def check_response_topic(topic: str) -> None:
    """`ProtocolError` unless it can be a topic name."""
    if not topic:
        raise ProtocolError("an empty response topic", "MQTT5-4.7.3-1")
    if "+" in topic or "#" in topic:
        raise ProtocolError("a response topic must not hold a wildcard", "MQTT5-3.3.2-14")


def encode_properties(properties: Properties | None, packet: int) -> bytes:
    """The property block with its length; None is an empty one.

    `LocalError` names a property that does not belong in `packet` or whose value cannot be sent.
    """
    if properties is None:
        return b"\0"
    parts: list[bytes] = []
    for identifier, (name, kind, smallest, packets) in PROPERTY_TABLE.items():
        value = getattr(properties, name)
        if value is None or value == ():
            continue
        if packet not in packets:
            raise LocalError(f"property {name} does not belong in this packet", "Leave it out.")
        mark = bytes((identifier,))
        for one in value if kind in (_VARINT, _PAIR) else (value,):
            parts += (mark, _encode_value(one, kind, name, smallest))
    block = b"".join(parts)
    return encode_varint(len(block)) + block


def _encode_value(value: int | str | bytes | tuple[str, str], kind: int, name: str, smallest: int) -> bytes:
    if isinstance(value, tuple):
        return encode_utf8(value[0]) + encode_utf8(value[1])
    if isinstance(value, str):
        return encode_utf8(value)
    if isinstance(value, bytes):
        return encode_binary(value)
    largest = _LARGEST[kind]
    if not smallest <= value <= largest:
        raise LocalError(f"property {name} is {value}", f"It must be from {smallest} to {largest}.")
    if kind == _VARINT:
        return encode_varint(value)
    return value.to_bytes(1 if kind == _FLAG else 2 if kind == _U16 else 4, "big")

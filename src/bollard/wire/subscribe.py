"""SUBSCRIBE, UNSUBSCRIBE and their acknowledgements, as records.

Filters are strings here and no more: their syntax is judged one by one by whoever answers, because each has
its own reason code in SUBACK and UNSUBACK.
"""

from dataclasses import dataclass, field

from bollard.base.errors import LocalError, MalformedPacket, PeerError, ProtocolError
from bollard.wire.properties import Properties, decode_properties, encode_properties
from bollard.wire.reader import Reader, encode_utf8, encode_varint, open_body
from bollard.wire.spec import MAX_FILTERS, REASON_CODES, V5, PacketType

_SUBACK_311 = frozenset((0, 1, 2, 0x80))


@dataclass(slots=True)
class SubscribeFilter:
    """One filter with its options; only `qos` exists in 3.1.1."""

    filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


@dataclass(slots=True)
class Subscribe:
    packet_id: int
    filters: tuple[SubscribeFilter, ...]
    properties: Properties = field(default_factory=Properties)


@dataclass(slots=True)
class Suback:
    """One code for each filter of the SUBSCRIBE, in its order. Codes above 0x80 become 0x80 in 3.1.1."""

    packet_id: int
    codes: tuple[int, ...]
    properties: Properties = field(default_factory=Properties)


@dataclass(slots=True)
class Unsubscribe:
    packet_id: int
    filters: tuple[str, ...]
    properties: Properties = field(default_factory=Properties)


@dataclass(slots=True)
class Unsuback:
    """One code for each filter in its order, none at all in 3.1.1."""

    packet_id: int
    codes: tuple[int, ...] = ()
    properties: Properties = field(default_factory=Properties)


def decode_subscribe(buffer: bytes, header: int, body: int, end: int, version: int) -> Subscribe:
    """A SUBSCRIBE of one to `MAX_FILTERS` filters."""
    reader = open_body(buffer, header, body, end)
    packet_id = _decode_packet_id(reader)
    properties = decode_properties(reader, PacketType.SUBSCRIBE) if version == V5 else Properties()
    filters: list[SubscribeFilter] = []
    while reader.left:
        _check_count(filters)
        filters.append(_decode_filter(reader, version))
    if not filters:
        raise ProtocolError("SUBSCRIBE without a filter", "MQTT5-3.8.3-2")
    return Subscribe(packet_id, tuple(filters), properties)


def _decode_filter(reader: Reader, version: int) -> SubscribeFilter:
    text = reader.utf8()
    options = reader.u8()
    qos = options & 3
    if version != V5:
        if options > 2:
            raise MalformedPacket("the requested QoS is not 0, 1 or 2", "MQTT3-3.8.3-4")
        return SubscribeFilter(text, qos)
    if options & 0xC0:
        raise MalformedPacket("a reserved subscription option is set", "MQTT5-3.8.3-5")
    if qos == 3:
        raise ProtocolError("a maximum QoS of 3", "MQTT5-3.8.3.1")
    retain_handling = options >> 4 & 3
    if retain_handling == 3:
        raise ProtocolError("a retain handling of 3", "MQTT5-3.8.3.1")
    no_local = bool(options & 4)
    if no_local and text.startswith("$share/"):
        raise ProtocolError("no-local on a shared subscription", "MQTT5-3.8.3-4")
    return SubscribeFilter(text, qos, no_local, bool(options & 8), retain_handling)


def encode_subscribe(subscribe: Subscribe, version: int) -> bytes:
    """The SUBSCRIBE; `LocalError` for options that the version does not have."""
    parts: list[bytes] = []
    for one in subscribe.filters:
        options = one.qos | one.no_local << 2 | one.retain_as_published << 3 | one.retain_handling << 4
        if not 0 <= one.qos <= 2 or (version != V5 and options != one.qos):
            raise LocalError(f"subscription options of {one.filter}", "MQTT 3.1.1 has only QoS 0, 1 or 2.")
        parts += (encode_utf8(one.filter), bytes((options,)))
    return _packet(PacketType.SUBSCRIBE, subscribe.packet_id, subscribe.properties, version, b"".join(parts))


def decode_suback(buffer: bytes, header: int, body: int, end: int, version: int) -> Suback:
    """A SUBACK of at least one code."""
    reader = open_body(buffer, header, body, end)
    packet_id = _decode_packet_id(reader)
    properties = decode_properties(reader, PacketType.SUBACK) if version == V5 else Properties()
    codes = tuple(reader.rest())
    if version == V5:
        _check_codes(codes, PacketType.SUBACK, "MQTT5-3.9.3-2")
    elif not codes or not _SUBACK_311.issuperset(codes):
        raise MalformedPacket("SUBACK without return codes, or with unknown ones", "MQTT3-3.9.3-2")
    return Suback(packet_id, codes, properties)


def encode_suback(suback: Suback, version: int) -> bytes:
    codes = suback.codes if version == V5 else tuple(min(code, 0x80) for code in suback.codes)
    return _packet(PacketType.SUBACK, suback.packet_id, suback.properties, version, bytes(codes))


def decode_unsubscribe(buffer: bytes, header: int, body: int, end: int, version: int) -> Unsubscribe:
    """An UNSUBSCRIBE of one to `MAX_FILTERS` filters."""
    reader = open_body(buffer, header, body, end)
    packet_id = _decode_packet_id(reader)
    properties = decode_properties(reader, PacketType.UNSUBSCRIBE) if version == V5 else Properties()
    filters: list[str] = []
    while reader.left:
        _check_count(filters)
        filters.append(reader.utf8())
    if not filters:
        raise ProtocolError("UNSUBSCRIBE without a filter", "MQTT5-3.10.3-2")
    return Unsubscribe(packet_id, tuple(filters), properties)


def encode_unsubscribe(unsubscribe: Unsubscribe, version: int) -> bytes:
    tail = b"".join(map(encode_utf8, unsubscribe.filters))
    return _packet(PacketType.UNSUBSCRIBE, unsubscribe.packet_id, unsubscribe.properties, version, tail)


def decode_unsuback(buffer: bytes, header: int, body: int, end: int, version: int) -> Unsuback:
    """An UNSUBACK: of at least one code in 5.0, of none in 3.1.1."""
    reader = open_body(buffer, header, body, end)
    packet_id = _decode_packet_id(reader)
    if version != V5:
        reader.done()
        return Unsuback(packet_id)
    properties = decode_properties(reader, PacketType.UNSUBACK)
    codes = tuple(reader.rest())
    _check_codes(codes, PacketType.UNSUBACK, "MQTT5-3.11.3-2")
    return Unsuback(packet_id, codes, properties)


def encode_unsuback(unsuback: Unsuback, version: int) -> bytes:
    codes = bytes(unsuback.codes) if version == V5 else b""
    return _packet(PacketType.UNSUBACK, unsuback.packet_id, unsuback.properties, version, codes)


def _decode_packet_id(reader: Reader) -> int:
    packet_id = reader.u16()
    if packet_id == 0:
        raise MalformedPacket("packet identifier 0", "MQTT5-2.2.1-3")
    return packet_id


def _check_codes(codes: tuple[int, ...], packet_type: int, clause: str) -> None:
    if not codes:
        raise MalformedPacket("an acknowledgement without reason codes", clause)
    if not REASON_CODES[packet_type].issuperset(codes):
        raise ProtocolError("an acknowledgement with an unknown reason code", clause)


def _check_count(filters: list[SubscribeFilter] | list[str]) -> None:
    if len(filters) >= MAX_FILTERS:
        raise PeerError(0x97, f"more than {MAX_FILTERS} filters in one packet")


def _packet(packet_type: int, packet_id: int, properties: Properties, version: int, tail: bytes) -> bytes:
    flags = 2 if packet_type in (PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE) else 0
    block = encode_properties(properties, packet_type) if version == V5 else b""
    tail = packet_id.to_bytes(2, "big") + block + tail
    return bytes((packet_type << 4 | flags,)) + encode_varint(len(tail)) + tail

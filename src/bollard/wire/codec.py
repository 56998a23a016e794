"""Any packet, both directions, both versions: the two tables from type to decoder and encoder.

Direction and state are not looked at: a client's CONNACK decodes, and the engine says that it may not come.
"""

from collections.abc import Callable

from bollard.base.errors import MalformedPacket
from bollard.wire import connect, publish, subscribe
from bollard.wire.connect import Auth, Connack, Connect, Disconnect, Pingreq, Pingresp
from bollard.wire.framer import Framer
from bollard.wire.publish import Ack, Publish
from bollard.wire.spec import MAX_REMAINING_LENGTH, V5, PacketType
from bollard.wire.subscribe import Suback, Subscribe, Unsuback, Unsubscribe

Packet = (
    Connect
    | Connack
    | Publish
    | Ack
    | Subscribe
    | Suback
    | Unsubscribe
    | Unsuback
    | Pingreq
    | Pingresp
    | Disconnect
    | Auth
)

_Decoder = Callable[[bytes, int, int, int, int], Packet]


def _decode_connect(buffer: bytes, header: int, body: int, end: int, version: int) -> Connect:
    return connect.decode_connect(buffer, header, body, end)


def _decode_publish(buffer: bytes, header: int, body: int, end: int, version: int) -> Publish:
    packet = Publish()
    packet.decode(buffer, header, body, end, version)
    return packet


def _decode_ping(buffer: bytes, header: int, body: int, end: int, version: int) -> Pingreq | Pingresp:
    return connect.decode_ping(buffer, header, body, end)


_DECODERS: dict[int, _Decoder] = {
    PacketType.CONNECT: _decode_connect,
    PacketType.CONNACK: connect.decode_connack,
    PacketType.PUBLISH: _decode_publish,
    PacketType.PUBACK: publish.decode_ack,
    PacketType.PUBREC: publish.decode_ack,
    PacketType.PUBREL: publish.decode_ack,
    PacketType.PUBCOMP: publish.decode_ack,
    PacketType.SUBSCRIBE: subscribe.decode_subscribe,
    PacketType.SUBACK: subscribe.decode_suback,
    PacketType.UNSUBSCRIBE: subscribe.decode_unsubscribe,
    PacketType.UNSUBACK: subscribe.decode_unsuback,
    PacketType.PINGREQ: _decode_ping,
    PacketType.PINGRESP: _decode_ping,
    PacketType.DISCONNECT: connect.decode_disconnect,
    PacketType.AUTH: connect.decode_auth,
}


def decode(buffer: bytes, header: int, body: int, end: int, version: int) -> Packet:
    """The packet whose first byte is `header` and whose body is `buffer[body:end]`.

    Raises `MalformedPacket`, `ProtocolError` or another `PeerError`. A CONNECT names its version itself.
    """
    decoder = _DECODERS.get(header >> 4)
    if decoder is None:
        raise MalformedPacket("packet type 0 is reserved", "MQTT5-2.1.2")
    return decoder(buffer, header, body, end, version)


def encode(packet: Packet, version: int) -> bytes:
    """The packet as bytes; `LocalError` when `version` cannot say it. A CONNECT names its version itself."""
    match packet:
        case Publish():
            return _encode_publish(packet, version)
        case Ack():
            return publish.encode_ack(
                packet.packet_type, packet.packet_id, packet.reason_code, version, packet.properties
            )
        case Connect():
            return connect.encode_connect(packet)
        case Connack():
            return connect.encode_connack(packet, version)
        case Subscribe():
            return subscribe.encode_subscribe(packet, version)
        case Suback():
            return subscribe.encode_suback(packet, version)
        case Unsubscribe():
            return subscribe.encode_unsubscribe(packet, version)
        case Unsuback():
            return subscribe.encode_unsuback(packet, version)
        case Pingreq():
            return b"\xc0\x00"
        case Pingresp():
            return b"\xd0\x00"
        case Disconnect():
            return connect.encode_disconnect(packet, version)
        case Auth():
            return connect.encode_auth(packet, version)


def _encode_publish(packet: Publish, version: int) -> bytes:
    middle = publish.packet_id_bytes(packet.packet_id) if packet.qos else b""
    if version == V5:
        middle += publish.property_bytes(packet.forward, packet.expiry, packet.alias, packet.identifiers)
    rest = len(middle) + len(packet.payload)
    head = publish.publish_head(packet.topic, packet.qos, packet.retain, packet.dup, rest)
    return head + middle + packet.payload


def decode_all(data: bytes, version: int) -> list[Packet]:
    """Every packet of `data`, which must end where a packet ends: for tests and tools."""
    framer = Framer(MAX_REMAINING_LENGTH + 5)
    framer.feed(data)
    packets = []
    while framer.next():
        packets.append(decode(framer.buffer, framer.header, framer.body, framer.end, version))
    if framer.pending:
        raise MalformedPacket("the last packet is cut short")
    return packets

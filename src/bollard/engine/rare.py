"""The packets that are rare, those before CONNACK, and what a fault of the peer leads to."""

from bollard.base.errors import MalformedPacket, PeerError, ProtocolError
from bollard.base.events import ConnectRefused
from bollard.engine.connect import receive_auth, receive_connect
from bollard.engine.core import Core
from bollard.engine.leave import close, receive_disconnect
from bollard.engine.subscribe import receive_subscribe, receive_unsubscribe
from bollard.session.connection import Connection
from bollard.session.session import Session
from bollard.session.states import CONNECTED, LEGAL, OPENED
from bollard.wire.codec import Packet, decode, encode
from bollard.wire.connect import (
    Auth,
    Connack,
    Disconnect,
    Pingreq,
    decode_connect,
    decode_disconnect,
    refusal_version,
)
from bollard.wire.properties import Properties
from bollard.wire.spec import PacketType, ReasonCode
from bollard.wire.subscribe import Subscribe, Unsubscribe

CONNECT = int(PacketType.CONNECT)
DISCONNECT = int(PacketType.DISCONNECT)
PINGRESP = b"\xd0\x00"


def dispatch(core: Core, connection: Connection, session: Session, kind: int) -> None:
    """A packet of a connected client. [MQTT5-3.1.0-2] [MQTT3-3.1.0-2]"""
    if kind == DISCONNECT:
        framer = connection.framer
        receive_disconnect(
            core,
            connection,
            decode_disconnect(framer.buffer, framer.header, framer.body, framer.end, connection.version),
        )
        return
    if kind not in LEGAL[CONNECTED]:
        if connection.framer.header & 0x0F:
            raise MalformedPacket("a reserved flag is set", "MQTT5-2.1.3-1")
        raise ProtocolError(f"packet type {kind} is not allowed now", "MQTT5-3.1.0-2")
    match _decode(connection):
        case Pingreq():
            connection.put(PINGRESP)  # [MQTT5-3.12.4-1] [MQTT3-3.12.4-1]
        case Subscribe() as packet:
            receive_subscribe(core, connection, session, packet)
        case Unsubscribe() as packet:
            receive_unsubscribe(core, connection, session, packet)
        case Auth() as packet:
            receive_auth(core, connection, packet)


def unconnected(core: Core, connection: Connection, kind: int) -> None:
    """A packet before CONNACK: CONNECT, then what its authentication takes."""
    if connection.state == OPENED:
        if kind == CONNECT:
            framer = connection.framer
            packet = decode_connect(framer.buffer, framer.header, framer.body, framer.end)
            receive_connect(core, connection, packet)
        else:
            # No word to who does not begin with CONNECT. [MQTT5-3.1.0-1] [MQTT3-3.1.0-1]
            _refuse_silently(core, connection, ReasonCode.PROTOCOL_ERROR, "it did not begin with CONNECT")
        return
    if kind not in LEGAL[connection.state]:
        raise ProtocolError(f"packet type {kind} during authentication", "MQTT5-3.1.2-30")
    match _decode(connection):
        case Auth() as auth:
            receive_auth(core, connection, auth)
        case Disconnect() as disconnect:
            receive_disconnect(core, connection, disconnect)


def _decode(connection: Connection) -> Packet:
    framer = connection.framer
    return decode(framer.buffer, framer.header, framer.body, framer.end, connection.version)


def fault_of(core: Core, connection: Connection, fault: PeerError) -> None:
    """The peer broke the protocol: tell it what the version has words for, and close.
    [MQTT5-4.13.1-1] [MQTT5-4.13.2-1] [MQTT3-4.8.0-1]"""
    core.counters.protocol_errors += 1
    if fault.code == ReasonCode.PACKET_TOO_LARGE:
        bound = "max_packet_bytes" if connection.state == CONNECTED else "max_connect_bytes"
        core.limit(bound, connection.session, connection, fault.text)
    if connection.state == CONNECTED:
        close(core, connection, fault.code, str(fault), tell=fault.text)
        return
    version = connection.version
    if connection.state == OPENED:
        framer = connection.framer
        version = refusal_version(framer.buffer, framer.body, framer.end)
        connection.version = version or 4
    if version == 5 or (version and fault.code == ReasonCode.UNSUPPORTED_PROTOCOL_VERSION):
        connection.put(encode(Connack(False, fault.code, Properties()), version))
    _refuse_silently(core, connection, fault.code, str(fault))


def _refuse_silently(core: Core, connection: Connection, code: int, reason: str) -> None:
    core.counters.connects_refused += 1
    peer = connection.peer
    core.events.append(
        ConnectRefused(peer.address, peer.listener, connection.client_id, "", int(code), reason)
    )
    close(core, connection, 0, reason)

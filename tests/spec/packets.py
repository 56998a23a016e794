"""Packets as scripts write them: short builders, and raw pieces for packets that break the rules."""

from dataclasses import dataclass, field
from typing import Any

from bollard.wire.connect import Connect, Will
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack
from bollard.wire.spec import PacketType
from bollard.wire.subscribe import Subscribe, SubscribeFilter, Unsubscribe

V311, V5 = 4, 5


@dataclass(frozen=True)
class Message:
    """A PUBLISH as a client sees it. `alias` is 0 for none; it is not repeated in `properties`."""

    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    alias: int = 0
    properties: Properties = field(default_factory=Properties)


def properties_of(**properties: Any) -> Properties:
    """`Properties` from keywords, None meaning absent. Nothing is checked: scripts also say forbidden things."""
    given = {name: value for name, value in properties.items() if value is not None}
    return Properties(**given)


OWN = ("qos", "retain", "dup", "packet_id", "alias")


def message(topic: str, payload: bytes = b"", **options: Any) -> Message:
    """A PUBLISH: qos, retain, dup, packet_id, alias; every other option is a property."""
    own = {name: options.pop(name) for name in OWN if name in options}
    return Message(topic, payload, properties=properties_of(**options), **own)


def connect(
    version: int,
    client_id: str,
    *,
    clean: bool = True,
    keepalive: int = 60,
    username: str | None = None,
    password: bytes | None = None,
    will: Will | None = None,
    **properties: Any,
) -> Connect:
    """A CONNECT. In 3.1.1 `clean` is Clean Session and there are no properties."""
    return Connect(
        version, clean, keepalive, client_id, username, password, will, properties_of(**properties)
    )


def lasting(version: int) -> dict[str, Any]:
    """What a 5.0 client adds so that its session is kept as in 3.1.1 with Clean Session 0."""
    return {"session_expiry_interval": 600} if version == V5 else {}


def will(
    topic: str = "will", payload: bytes = b"gone", *, qos: int = 0, retain: bool = False, **rest: Any
) -> Will:
    """A Will Message; `rest` are its properties."""
    return Will(topic, payload, qos, retain, properties_of(**rest))


def sub(
    topic_filter: str,
    qos: int = 0,
    no_local: bool = False,
    retain_as_published: bool = False,
    retain_handling: int = 0,
) -> SubscribeFilter:
    """One filter of a SUBSCRIBE with its options."""
    return SubscribeFilter(topic_filter, qos, no_local, retain_as_published, retain_handling)


def subscribe(packet_id: int, *filters: SubscribeFilter, **properties: Any) -> Subscribe:
    return Subscribe(packet_id, filters, properties_of(**properties))


def unsubscribe(packet_id: int, *filters: str) -> Unsubscribe:
    return Unsubscribe(packet_id, filters, Properties())


def puback(packet_id: int, code: int = 0) -> Ack:
    return Ack(PacketType.PUBACK, packet_id, code)


def pubrec(packet_id: int, code: int = 0) -> Ack:
    return Ack(PacketType.PUBREC, packet_id, code)


def pubrel(packet_id: int, code: int = 0) -> Ack:
    return Ack(PacketType.PUBREL, packet_id, code)


def pubcomp(packet_id: int, code: int = 0) -> Ack:
    return Ack(PacketType.PUBCOMP, packet_id, code)


def text(value: str | bytes) -> bytes:
    """A length-prefixed field as it stands in a packet; bytes may be no UTF-8."""
    data = value.encode() if isinstance(value, str) else value
    return len(data).to_bytes(2, "big") + data


def packet(header: int, body: bytes) -> bytes:
    """A raw packet: its first byte, its length, its body. Bodies of up to 16,383 bytes."""
    size = len(body)
    length = bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))
    return bytes((header,)) + length + body

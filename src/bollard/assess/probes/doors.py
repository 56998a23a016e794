"""Who gets in, and what an accepted client is granted."""

import secrets

from bollard.assess.probes.evidence import Doors, Entry, NoAnswer, Offer
from bollard.assess.probes.line import Line
from bollard.assess.probes.room import ANONYMOUS, Identity, Room
from bollard.base.types import Secret
from bollard.wire.codec import encode
from bollard.wire.connect import Connect
from bollard.wire.spec import V5, V311

#: What asks for everything: the longest keep alive, and a session that never ends.
LONGEST_KEEPALIVE_S = 65_535
NEVER = 0xFFFFFFFF


async def probe_doors(room: Room) -> tuple[Doors]:
    """Knock as nobody, as a user that cannot exist, without password, in MQTT 3.1, and with what was given."""
    anonymous = tuple([await enter(room, ANONYMOUS, version) for version in (V5, V311)])
    _learn(room, ANONYMOUS, anonymous)
    given: list[Entry] = []
    for identity in room.identities:
        entries = tuple([await enter(room, identity, version) for version in (V5, V311)])
        _learn(room, identity, entries)
        given += entries
    name = f"mqttassess-{secrets.token_hex(6)}"
    invented = Identity(label="invented user", username=name, password=Secret(secrets.token_hex(16).encode()))
    nobody = Identity(label="user with an empty password", username=name, password=Secret(b""))
    bare = Identity(label="user without password", username=name)
    return (
        Doors(
            anonymous=anonymous,
            invented=await enter(room, invented, V311),
            empty_password=await enter(room, nobody, V311),
            no_password=await enter(room, bare, V311),
            old_version=await _enter_31(room),
            given=tuple(given),
        ),
    )


def _learn(room: Room, identity: Identity, entries: tuple[Entry, ...]) -> None:
    for entry in reversed(entries):
        if entry.accepted:
            room.versions[identity.label] = entry.version


async def enter(room: Room, identity: Identity, version: int) -> Entry:
    """One CONNECT as this identity, politely ended. Invented passwords may travel in the clear."""
    invented = identity not in room.identities
    try:
        packet = (
            _packet(identity, version, room.client_id())
            if invented
            else room.hello(identity, version=version)
        )
        async with await Line.open(room, identity=ANONYMOUS if invented else identity) as line:
            entry = await line.connect(packet)
            if entry.accepted:
                await line.goodbye()
            return entry
    except NoAnswer as reason:
        room.reasons[identity.label] = str(reason)
        return Entry(version=version, outcome="closed")


def _packet(identity: Identity, version: int, client_id: str) -> Connect:
    password = identity.password.reveal() if identity.password is not None else None
    return Connect(version=version, client_id=client_id, username=identity.username, password=password)


async def _enter_31(room: Room) -> Entry:
    """A CONNECT of MQTT 3.1, as whoever is let in at all, else as nobody."""
    try:
        identity, _ = room.member()
    except NoAnswer:
        identity = ANONYMOUS
    data = as_31(encode(room.hello(identity, version=V311), V311))
    try:
        async with await Line.open(room, identity=identity) as line:
            entry = await line.enter(data, 3)
            if entry.accepted:
                await line.goodbye()
            return entry
    except NoAnswer:
        return Entry(version=3, outcome="closed")


def as_31(connect: bytes) -> bytes:
    """A CONNECT of 3.1.1 as MQTT 3.1 writes it: another protocol name, another level. At most 16,383 bytes."""
    start = connect.index(b"\0\4MQTT\4")
    body = b"\0\6MQIsdp\3" + connect[start + 7 :]
    size = len(body)
    length = bytes((size,)) if size < 128 else bytes((size & 0x7F | 0x80, size >> 7))
    return connect[:1] + length + body


async def probe_offer(room: Room) -> tuple[Offer]:
    """Ask for everything in one CONNECT of 5.0, read what is granted, and give the session back."""
    identity, version = room.member()
    if version != V5:
        raise NoAnswer("only MQTT 5.0 tells its limits, and this broker does not speak it")
    packet = room.hello(identity, keepalive_s=LONGEST_KEEPALIVE_S, expiry_s=NEVER)
    async with await Line.open(room, identity=identity) as line:
        entry = await line.connect(packet)
        if line.connack is None:
            raise NoAnswer(f"a client that asks for everything was not let in (0x{entry.code:02X})")
        granted = line.connack.properties
        await line.goodbye()
    return (
        Offer(
            identity=identity.label,
            keepalive_s=granted.server_keep_alive,
            session_expiry_s=granted.session_expiry_interval,
            max_packet_bytes=granted.maximum_packet_size,
            topic_alias_maximum=granted.topic_alias_maximum or 0,
            receive_maximum=granted.receive_maximum or 65_535,
        ),
    )

"""What outlives a revocation: the operator's own command revokes the second identity, and the first looks what still works.

Before that, the second identity leaves behind what it can: a connection, a will, a retained message, one in a queue,
half of a QoS 2 exchange, an alias. Only what had reached the first identity before the revocation is judged after it.
"""

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass, field

from bollard.assess.probes.canary import enter, flight_s
from bollard.assess.probes.evidence import NoAnswer, RevocationTrial
from bollard.assess.probes.line import Line
from bollard.assess.probes.room import Identity, Room
from bollard.base.errors import PeerError
from bollard.wire.codec import encode
from bollard.wire.connect import Connack, Pingreq, Pingresp, Will
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack, encode_publish
from bollard.wire.spec import V5, PacketType
from bollard.wire.subscribe import Subscribe, SubscribeFilter

#: How long the operator's command may take, and how long its effect may then take to arrive.
COMMAND_S = 60.0
SETTLE_S = 1.0
_STALLED_ID, _ALIAS = 900, 1


@dataclass(slots=True)
class Legacy:
    """What was left behind, and who looks after it. `left` names what reached the observer, or was granted."""

    room: Room
    observer: Identity
    victim: Identity
    base: str
    ear: Line
    mouth: Line
    will: Line
    parked_id: str
    token: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    left: set[str] = field(default_factory=set)


async def probe_revocation(room: Room) -> tuple[RevocationTrial]:
    """Leave everything behind, revoke, and look. Raises `NoAnswer` where that cannot be done."""
    if not room.revoke_command:
        raise NoAnswer("it needs --revoke-command, which revokes the second user during the scan")
    members = room.members()
    if len(members) < 2:
        raise NoAnswer("it needs two sets of credentials that are let in; the second is revoked")
    observer, victim = members[:2]
    base = f"{room.shared_topic}/{room.namespace}" if room.shared_topic else room.namespace
    will = Will(f"{base}/will", secrets.token_bytes(16), qos=1)
    async with (
        await enter(room, observer, room.versions[observer.label]) as ear,
        await enter(room, victim, room.versions[victim.label]) as mouth,
        await _with_will(room, victim, will) as cut,
    ):
        legacy = Legacy(room, observer, victim, base, ear, mouth, cut, room.client_id())
        await _control(legacy)
        await _leave(legacy)
        took_ms = await revoke(room)
        await asyncio.sleep(SETTLE_S)
        try:
            working = await _look(legacy, will.payload)
        finally:
            await _clean(legacy)
    ways = legacy.left | {"login", "connection", "will"}
    return (
        RevocationTrial(
            still_working=tuple(sorted(working)),
            ended=tuple(sorted(ways - working)),
            revoked=victim.label,
            command_ms=took_ms,
        ),
    )


async def _with_will(room: Room, victim: Identity, will: Will) -> Line:
    version = room.versions[victim.label]
    line = await Line.open(room, version=version, identity=victim)
    if not (await line.connect(room.hello(victim, version=version, will=will))).accepted:
        await line.abort()
        raise NoAnswer("the second identity may not leave a will under --shared-topic")
    return line


async def _control(legacy: Legacy) -> None:
    """Nothing can be judged unless the two reach each other before the revocation."""
    topic = f"{legacy.base}/control"
    await legacy.ear.subscribe(f"{legacy.base}/#", qos=1)
    await legacy.mouth.publish(topic, legacy.token)
    if not await legacy.ear.awaits(topic, legacy.token, flight_s(legacy.room)):
        raise NoAnswer(
            f"what {legacy.victim.label} publishes does not reach {legacy.observer.label}: name a topic that both "
            "may use with --shared-topic"
        )


async def _leave(legacy: Legacy) -> None:
    """Leave behind what can be left; each success is noted."""
    room, mouth, base = legacy.room, legacy.mouth, legacy.base
    async with await _parked(legacy) as parked:
        (code,) = await parked.subscribe(f"{base}/queued", qos=1)
    if code in (1, 2):
        await mouth.publish(f"{base}/queued", legacy.token)
        legacy.left.add("queued message")
    await mouth.publish(f"{base}/kept", legacy.token, retain=True)
    async with await enter(room, legacy.observer, room.versions[legacy.observer.label]) as later:
        await later.send(encode(Subscribe(1, (SubscribeFilter(f"{base}/kept"),)), later.version))
        if await later.awaits(f"{base}/kept", legacy.token, flight_s(room)):
            legacy.left.add("retained message")
        await later.goodbye()
    if (await mouth.subscribe(f"{base}/down"))[0] in (0, 1, 2):
        legacy.left.add("subscription")
    if isinstance(mouth.connack, Connack) and mouth.connack.properties.topic_alias_maximum:
        await mouth.send(_aliased(f"{base}/alias".encode(), legacy.token))
        legacy.left.add("topic alias")
    await mouth.send(
        encode_publish(
            f"{base}/stalled".encode(), legacy.token, qos=2, packet_id=_STALLED_ID, version=mouth.version
        )
    )
    while (packet := await mouth.receive(flight_s(room))) is not None:
        if isinstance(packet, Ack) and packet.packet_type == PacketType.PUBREC and packet.reason_code < 0x80:
            legacy.left.add("half of a QoS 2 exchange")
            break


def _aliased(topic: bytes, token: bytes) -> bytes:
    return encode_publish(topic, token, version=V5, properties=Properties(topic_alias=_ALIAS))


async def _parked(legacy: Legacy) -> Line:
    """The observer's other session, which waits while nobody is connected."""
    room, version = legacy.room, legacy.room.versions[legacy.observer.label]
    line = await Line.open(room, version=version, identity=legacy.observer)
    packet = room.hello(
        legacy.observer,
        version=version,
        client_id=legacy.parked_id,
        clean_start=False,
        expiry_s=300 if version == V5 else None,
    )
    if not (await line.connect(packet)).accepted:
        await line.abort()
        raise NoAnswer(f"{legacy.observer.label} was let in once, and then no more")
    return line


async def revoke(room: Room) -> int:
    """Run the operator's command; how long it took, in ms. Its output goes nowhere. Raises `NoAnswer`."""
    began = time.monotonic()
    try:
        process = await asyncio.create_subprocess_exec(
            *room.revoke_command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise NoAnswer(f"the command that revokes could not be run: {error.strerror}") from None
    try:
        async with asyncio.timeout(COMMAND_S):
            code = await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise NoAnswer(f"the command that revokes had not ended after {COMMAND_S:g} s") from None
    if code:
        raise NoAnswer(f"the command that revokes failed with exit code {code}")
    return int((time.monotonic() - began) * 1000)


async def _look(legacy: Legacy, will_token: bytes) -> set[str]:
    """What still works."""
    working: set[str] = set()
    if await _alive(legacy.mouth, legacy.room):
        working.add("connection")
        working |= await _through_connection(legacy)
    await legacy.will.abort()
    if await legacy.ear.awaits(f"{legacy.base}/will", will_token, flight_s(legacy.room)):
        working.add("will")
    with contextlib.suppress(NoAnswer):
        async with await enter(
            legacy.room, legacy.victim, legacy.room.versions[legacy.victim.label]
        ) as again:
            working.add("login")
            await again.goodbye()
    return working | await _left_messages(legacy)


async def _alive(line: Line, room: Room) -> bool:
    await line.send(encode(Pingreq(), line.version))
    with contextlib.suppress(PeerError):
        while (packet := await line.receive(flight_s(room))) is not None:
            if isinstance(packet, Pingresp):
                return True
    return False


async def _through_connection(legacy: Legacy) -> set[str]:
    """What the old connection still can do."""
    room, mouth, base = legacy.room, legacy.mouth, legacy.base
    working: set[str] = set()
    if "subscription" in legacy.left:
        await legacy.ear.publish(f"{base}/down", legacy.token)
        if await mouth.awaits(f"{base}/down", legacy.token, flight_s(room)):
            working.add("subscription")
    if "half of a QoS 2 exchange" in legacy.left:
        await mouth.send(encode(Ack(PacketType.PUBREL, _STALLED_ID), mouth.version))
        if await legacy.ear.awaits(f"{base}/stalled", legacy.token, flight_s(room)):
            working.add("half of a QoS 2 exchange")
    if "topic alias" in legacy.left:
        token = secrets.token_bytes(16)
        await mouth.send(_aliased(b"", token))
        if await legacy.ear.awaits(f"{base}/alias", token, flight_s(room)):
            working.add("topic alias")
    return working


async def _left_messages(legacy: Legacy) -> set[str]:
    """Whether messages of the revoked identity are still handed out."""
    room, working = legacy.room, set()
    if "queued message" in legacy.left:
        async with await _parked(legacy) as parked:
            if await parked.awaits(f"{legacy.base}/queued", legacy.token, flight_s(room)):
                working.add("queued message")
    if "retained message" in legacy.left:
        async with await enter(room, legacy.observer, room.versions[legacy.observer.label]) as later:
            topic = f"{legacy.base}/kept"
            await later.send(encode(Subscribe(1, (SubscribeFilter(topic),)), later.version))
            if await later.awaits(topic, legacy.token, flight_s(room)):
                working.add("retained message")
            await later.goodbye()
    return working


async def _clean(legacy: Legacy) -> None:
    """Clear what is retained and end the session that waited."""
    with contextlib.suppress(NoAnswer, PeerError):
        if not legacy.ear.closed:
            await legacy.ear.publish(f"{legacy.base}/kept", b"", retain=True)
        async with await enter(
            legacy.room,
            legacy.observer,
            legacy.room.versions[legacy.observer.label],
            client_id=legacy.parked_id,
        ) as parked:
            await parked.goodbye()

"""Proof by an own message: published by one connection, awaited by another.

Everything happens under the room's random namespace, expires by itself where the version allows it, and what
was retained is cleared, verified by a later subscriber.
"""

import secrets

from bollard.assess.probes.evidence import Canary, NoAnswer
from bollard.assess.probes.line import Line
from bollard.assess.probes.room import Identity, Room
from bollard.wire.codec import encode
from bollard.wire.subscribe import Subscribe, SubscribeFilter

#: How long a canary may take on its way. A broker on another continent needs far less.
FLIGHT_S = 2.0
#: Beyond what any device needs: a topic tree of so many levels costs memory and time.
DEEP_LEVELS = 130


async def enter(room: Room, identity: Identity, version: int, *, client_id: str = "") -> Line:
    """A connection that is let in. Raises `NoAnswer` when it is not."""
    line = await Line.open(room, version=version, identity=identity)
    entry = await line.connect(room.hello(identity, version=version, client_id=client_id))
    if not entry.accepted:
        await line.abort()
        raise NoAnswer(f"{identity.label} was let in once, and then no more (0x{entry.code:02X})")
    return line


def pair(room: Room) -> tuple[Identity, Identity, int]:
    """Who sends, who receives, and in which version: two identities if there are two."""
    members = room.members()
    if len(members) >= 2:
        return members[0], members[1], min(room.versions[each.label] for each in members[:2])
    member, version = room.member()
    return member, member, version


async def probe_canary(room: Room) -> tuple[Canary]:
    """Publish, retain, overlap and nest deeply, each with a canary of its own."""
    sender, receiver, version = pair(room)
    topic, token = f"{room.namespace}/canary", secrets.token_bytes(16)
    async with await enter(room, receiver, version) as ear, await enter(room, sender, version) as mouth:
        (heard_code,) = await ear.subscribe(topic)
        sent_code = await mouth.publish(topic, token)
        arrived = bool(await ear.awaits(topic, token, flight_s(room))) if heard_code in (0, 1, 2) else False
        known = {
            "namespace": room.namespace,
            "sender": sender.label,
            "receiver": receiver.label,
            "distinct": sender.label != receiver.label,
            "version": version,
            "sent_code": sent_code,
            "heard_code": heard_code,
            "arrived": arrived,
        }
        if not arrived:
            await mouth.goodbye()
            return (Canary(**known),)  # type: ignore[arg-type]  # a dict of mixed values
        everything = await _by_wildcard(room, receiver, version, mouth)
        copies = await _overlap(room, ear, mouth)
        deep_code, deep_arrived = await _deep(room, ear, mouth)
    kept = await _retain(room, sender, receiver, version)
    extra = {**everything, **kept, "copies": copies, "deep_code": deep_code, "deep_arrived": deep_arrived}
    return (Canary(**known, **extra),)  # type: ignore[arg-type]  # as above


def flight_s(room: Room) -> float:
    return min(FLIGHT_S, room.timeout_s)


async def _by_wildcard(room: Room, receiver: Identity, version: int, mouth: Line) -> dict[str, object]:
    """Whether a subscription to everything delivers what another connection published."""
    topic, token = f"{room.namespace}/everything", secrets.token_bytes(16)
    async with await enter(room, receiver, version) as ear:
        (code,) = await ear.subscribe("#")
        arrived = False
        if code in (0, 1, 2):
            await mouth.publish(topic, token)
            arrived = bool(await ear.awaits(topic, token, flight_s(room)))
        await ear.goodbye()
    return {"everything_code": code, "everything_arrived": arrived}


async def _overlap(room: Room, ear: Line, mouth: Line) -> int:
    """How many copies one message makes on four filters that all match it."""
    space = room.namespace
    topic, token = f"{space}/overlap", secrets.token_bytes(16)
    await ear.subscribe(topic, f"{space}/#", f"{space}/+", f"+/{space.rpartition('/')[2]}/overlap")
    await mouth.publish(topic, token)
    return await ear.awaits(topic, token, flight_s(room))


async def _deep(room: Room, ear: Line, mouth: Line) -> tuple[int, bool]:
    """Whether a topic of many levels is carried: the code of its SUBACK, and whether it arrived."""
    if ear.closed or mouth.closed:
        return -1, False
    topic, token = room.namespace + "/d" * DEEP_LEVELS, secrets.token_bytes(16)
    (code,) = await ear.subscribe(topic)
    if code not in (0, 1, 2):
        return code, False
    await mouth.publish(topic, token)
    return code, bool(await ear.awaits(topic, token, flight_s(room)))


async def _retain(room: Room, sender: Identity, receiver: Identity, version: int) -> dict[str, object]:
    """Retain a canary, read it as a later subscriber, clear it, and look whether it is gone."""
    topic, token = f"{room.namespace}/kept", secrets.token_bytes(16)
    async with await enter(room, sender, version) as mouth:
        code = await mouth.publish(topic, token, retain=True)
        try:
            async with await enter(room, receiver, version) as ear:
                arrived = await _finds(room, ear, topic, token)
                await ear.goodbye()
        finally:
            if mouth.closed:
                mouth = await enter(room, sender, version)
            await mouth.publish(topic, b"", retain=True)
            await mouth.goodbye()
    async with await enter(room, receiver, version) as ear:
        cleaned = not await _finds(room, ear, topic, token)
        await ear.goodbye()
    return {"retained_code": code, "retained_arrived": arrived, "cleaned": cleaned}


async def _finds(room: Room, ear: Line, topic: str, token: bytes) -> bool:
    """Subscribes anew, so that a retained message comes; it may come before the SUBACK."""
    await ear.send(encode(Subscribe(1, (SubscribeFilter(topic),)), ear.version))
    return bool(await ear.awaits(topic, token, flight_s(room)))

"""Ways around a refusal: other spellings of a filter, shared subscriptions, wills, ids with wildcards, and the
client id of somebody else.

Nothing is said here that was not first refused in plain words: without a refusal there is nothing to get around.
"""

import secrets

from bollard.assess.probes.canary import enter, flight_s, pair
from bollard.assess.probes.evidence import Bypass, Fence, NoAnswer, Takeover, Trick
from bollard.assess.probes.line import Line
from bollard.assess.probes.room import Identity, Room
from bollard.wire.connect import Disconnect, Will
from bollard.wire.properties import Properties
from bollard.wire.spec import V5

#: Filters under which device topics usually lie, with a wildcard where an id would be put in.
ID_PATTERNS = ("devices/+/#", "clients/+/#", "users/+/#", "device/+/#", "+/#", "#")
REFUSED = 0x80


async def probe_bypass(room: Room) -> tuple[Bypass]:
    """Ask plainly, and where that is refused, ask in other words; prove each success by a canary."""
    sender, receiver, version = pair(room)
    topic = f"{room.namespace}/denied"
    async with await enter(room, receiver, version) as ear, await enter(room, sender, version) as mouth:
        publish_code = await mouth.publish(topic, b"")
        codes = {each: (await ear.subscribe(each))[0] for each in ("#", topic)}
        denied = tuple(Trick(filter=each, code=code) for each, code in codes.items() if code >= REFUSED)
        tricks = {"same": _equivalents(room, denied), "shared": _shared(room, denied)}
        found = {
            kind: tuple([await _try(room, ear, mouth, topic, each) for each in filters])
            for kind, filters in tricks.items()
        }
        can_hear = codes[topic] < REFUSED and not ear.closed
        await ear.goodbye()
        await mouth.goodbye()
    publish_denied = publish_code >= REFUSED
    will_outcome, will_arrived = "", False
    if publish_denied:
        will_outcome, will_arrived = await _will(room, sender, receiver, version, topic, can_hear)
    wildcard, gained = await _wildcard_id(room, sender, version)
    return (
        Bypass(
            denied=denied,
            equivalents=found["same"],
            shared=found["shared"],
            publish_denied=publish_denied,
            can_hear=can_hear,
            will_outcome=will_outcome,
            will_arrived=will_arrived,
            wildcard_id=wildcard,
            wildcard_gained=gained,
        ),
    )


def _equivalents(room: Room, denied: tuple[Trick, ...]) -> list[str]:
    filters = {trick.filter for trick in denied}
    found = []
    if "#" in filters:
        found += ["+/#", "+/+/+", "/#", "+/+/#"]
    if f"{room.namespace}/denied" in filters:
        found += [f"{room.namespace}/+", f"{room.namespace}/denied/#"]
    return found


def _shared(room: Room, denied: tuple[Trick, ...]) -> list[str]:
    return [f"$share/mqttassess/{trick.filter}" for trick in denied]


async def _try(room: Room, ear: Line, mouth: Line, topic: str, filter: str) -> Trick:
    """One filter: refused, granted, or granted and proven by a canary that came through it."""
    if ear.closed:
        return Trick(filter=filter, code=-1)
    (code,) = await ear.subscribe(filter)
    if code not in (0, 1, 2) or mouth.closed:
        return Trick(filter=filter, code=code)
    token = secrets.token_bytes(16)
    await mouth.publish(topic, token)
    return Trick(filter=filter, code=code, arrived=bool(await ear.awaits(topic, token, flight_s(room))))


async def _will(
    room: Room, sender: Identity, receiver: Identity, version: int, topic: str, can_hear: bool
) -> tuple[str, bool]:
    """A will on a topic that may not be published to; the connection is cut, and the receiver listens."""
    token = secrets.token_bytes(16)
    properties = Properties(message_expiry_interval=60) if version == V5 else Properties()
    will = Will(topic, token, properties=properties)
    async with await Line.open(room, version=version, identity=sender) as victim:
        entry = await victim.connect(room.hello(sender, version=version, will=will))
        if not entry.accepted or not can_hear:
            if entry.accepted:
                await victim.goodbye()
            return entry.outcome, False
        async with await enter(room, receiver, version) as ear:
            await ear.subscribe(topic)
            await victim.abort()
            arrived = bool(await ear.awaits(topic, token, flight_s(room)))
            await ear.goodbye()
    return entry.outcome, arrived


async def _wildcard_id(room: Room, identity: Identity, version: int) -> tuple[str, tuple[str, ...]]:
    """Whether the client id "+" is let in, and which filters it may have that an ordinary id may not."""
    async with await enter(room, identity, version) as plain:
        refused = [each for each in ID_PATTERNS if (await plain.subscribe(each))[0] >= REFUSED]
        await plain.goodbye()
    if not refused:
        return "", ()
    try:
        async with await enter(room, identity, version, client_id="+") as odd:
            gained = [each for each in refused if (await odd.subscribe(each))[0] in (0, 1, 2)]
            await odd.goodbye()
    except NoAnswer:
        return "refused", ()
    return "accepted", tuple(gained)


async def probe_fence(room: Room) -> tuple[Fence]:
    """Publish where only the first identity belongs, and listen as both. Not retained; nothing is left behind."""
    members = room.members()
    if len(members) < 2 or not room.own_topic:
        raise NoAnswer("it needs two sets of credentials, and --own-topic: where only the first may read")
    owner, other = members[:2]
    topic = f"{room.own_topic}/{room.namespace}"
    filters = ("#", "+/#", topic, f"$share/mqttassess/{topic}", "$share/mqttassess/#")
    async with (
        await enter(room, owner, room.versions[owner.label]) as control,
        await enter(room, owner, room.versions[owner.label]) as mouth,
    ):
        await control.subscribe(topic)
        tricks = tuple([await _over(room, other, mouth, topic, filter) for filter in filters])
        token = secrets.token_bytes(16)
        await mouth.publish(topic, token)
        arrived = bool(await control.awaits(topic, token, flight_s(room)))
        await mouth.goodbye()
        await control.goodbye()
    return (Fence(owner=owner.label, other=other.label, control=arrived, tricks=tricks),)


async def _over(room: Room, other: Identity, mouth: Line, topic: str, filter: str) -> Trick:
    """One filter of the other identity, on a connection of its own."""
    async with await enter(room, other, room.versions[other.label]) as ear:
        return await _try(room, ear, mouth, topic, filter)


async def probe_takeover(room: Room) -> tuple[Takeover]:
    """Two identities, one client id. Raises `NoAnswer` unless two identities are let in."""
    members = room.members()
    if len(members) < 2:
        raise NoAnswer("it needs two sets of credentials that are let in")
    first, second = members[:2]
    client_id = room.client_id()
    async with await _join(room, first, client_id) as owner:
        await _leave_something(room, owner)
    async with await _join(room, first, client_id) as owner:
        kept = owner.connack is not None and owner.connack.session_present
        entry, taken = await _steal(room, second, client_id)
        ended = await owner.receive(flight_s(room))
        first_ended = owner.closed or isinstance(ended, Disconnect)
        code = ended.code if isinstance(ended, Disconnect) else 0
        await owner.abort()
    _, left = await _steal(room, second, client_id)
    await _forget(room, first, client_id)
    if entry == "accepted":
        await _forget(room, second, client_id)
    return (
        Takeover(
            second_outcome=entry,
            first_ended=first_ended,
            first_code=code,
            session_handed_over=taken or left,
            session_kept=kept,
        ),
    )


async def _leave_something(room: Room, owner: Line) -> None:
    """A subscription, without which some brokers keep no session; refusals are no matter."""
    topics = (f"{room.own_topic}/{room.namespace}" if room.own_topic else "", room.namespace)
    for topic in filter(None, topics):
        if not owner.closed and (await owner.subscribe(topic, qos=1))[0] in (0, 1, 2):
            return


async def _join(room: Room, identity: Identity, client_id: str) -> Line:
    """A connection that keeps its session for a minute, or, in 3.1.1, until `_forget`."""
    version = room.versions[identity.label]
    line = await Line.open(room, version=version, identity=identity)
    packet = room.hello(
        identity,
        version=version,
        client_id=client_id,
        clean_start=False,
        expiry_s=60 if version == V5 else None,
    )
    if not (await line.connect(packet)).accepted:
        await line.abort()
        raise NoAnswer(f"{identity.label} was let in once, and then no more")
    return line


async def _steal(room: Room, identity: Identity, client_id: str) -> tuple[str, bool]:
    """The outcome of a CONNECT with somebody else's client id, and whether a session was there."""
    version = room.versions[identity.label]
    async with await Line.open(room, version=version, identity=identity) as line:
        entry = await line.connect(
            room.hello(identity, version=version, client_id=client_id, clean_start=False)
        )
        present = line.connack is not None and line.connack.session_present
        if entry.accepted:
            await line.goodbye()
        return entry.outcome, present


async def _forget(room: Room, identity: Identity, client_id: str) -> None:
    """End the session that was left for the theft, or by it."""
    async with await enter(room, identity, room.versions[identity.label], client_id=client_id) as line:
        await line.goodbye()

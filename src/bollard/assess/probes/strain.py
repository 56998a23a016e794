"""How the broker takes bad manners: silence, malformed packets, wrong passwords, foreign pages, other doors.

Each is one connection, or ten guesses of a kind at most; nothing here is repeated to see what breaks.
"""

import asyncio
import contextlib
import secrets
import time

from websockets.exceptions import InvalidStatus

from bollard.assess.probes.canary import enter
from bollard.assess.probes.doors import enter as knock
from bollard.assess.probes.evidence import (
    Abuse,
    Busy,
    Entry,
    Guesses,
    NoAnswer,
    OpenPort,
    Origins,
    Patience,
    Ports,
    Strictness,
)
from bollard.assess.probes.line import Line
from bollard.assess.probes.room import Identity, Room
from bollard.base.errors import PeerError
from bollard.base.types import Secret
from bollard.wire.codec import encode
from bollard.wire.connect import Pingreq, Pingresp
from bollard.wire.reader import encode_varint
from bollard.wire.spec import V5, V311

#: What vendors and tutorials ship: never more than ten.
DEFAULT_LOGINS = (
    ("admin", "public"),
    ("admin", "admin"),
    ("guest", "guest"),
    ("mqtt", "mqtt"),
    ("mosquitto", "mosquitto"),
    ("admin", "password"),
    ("user", "user"),
    ("test", "test"),
)
WRONG_TRIES = 10
FOREIGN_ORIGIN = "https://foreign-page.invalid"

ADMINISTRATION = {
    18083: "EMQX dashboard",
    8081: "NanoMQ or EMQX management API",
    15672: "RabbitMQ management",
    8888: "VerneMQ status page",
    9883: "Mosquitto HTTP API",
}
CLUSTER = {
    4369: "Erlang port mapper",
    4370: "EMQX cluster",
    25672: "RabbitMQ cluster",
    44053: "VerneMQ cluster",
}


async def probe_patience(room: Room) -> tuple[Patience]:
    """Watch one connection that says nothing and one that says half a CONNECT."""
    if room.bounds.patience_s <= 0:
        raise NoAnswer("--patience 0 was given")
    half = encode(room.hello(), V5)[:7]
    silent, halved = await asyncio.gather(_watch(room, b""), _watch(room, half))
    return (Patience(silent_s=silent, half_s=halved, waited_s=room.bounds.patience_s),)


async def _watch(room: Room, data: bytes) -> float | None:
    """Seconds until the connection ended; None when it outlasted our patience."""
    try:
        line = await Line.open(room)
    except InvalidStatus:
        raise NoAnswer("the WebSocket was refused") from None
    async with line:
        began = time.monotonic()
        if data:
            await line.send(data)
        with contextlib.suppress(PeerError):
            while not line.closed and time.monotonic() - began < room.bounds.patience_s:
                await line.receive(room.bounds.patience_s - (time.monotonic() - began))
        return round(time.monotonic() - began, 1) if line.closed else None


def _publish(version: int, name: bytes, first: int = 0x30, packet_id: bytes = b"") -> bytes:
    body = len(name).to_bytes(2, "big") + name + packet_id + (b"\0" if version == V5 else b"")
    return bytes((first,)) + encode_varint(len(body)) + body


def _subscribe(version: int, name: bytes, packet_id: bytes) -> bytes:
    properties = b"\0" if version == V5 else b""
    body = packet_id + properties + len(name).to_bytes(2, "big") + name + b"\0"
    return b"\x82" + encode_varint(len(body)) + body


async def probe_strictness(room: Room) -> tuple[Strictness]:
    """Send each malformed packet on a connection of its own, and ask whether it is still alive.

    Some brokers end the connection for a topic that is not allowed, which says nothing of their parser. So a sound
    packet goes first, and where that one ends it too, the malformed ones of its kind count as not tested.
    """
    identity, version = room.member()
    topics = [room.namespace, *([f"{room.own_topic}/{room.namespace}"] if room.own_topic else [])]
    published = await _sound(room, identity, version, [_publish(version, each.encode()) for each in topics])
    subscribed = await _sound(
        room, identity, version, [_subscribe(version, each.encode(), b"\0\1") for each in topics]
    )
    topic = topics[max(published, 0)].encode()
    packets = {
        "NUL in a topic": _publish(version, topic + b"/\0"),
        "topic that is no UTF-8": _publish(version, topic + b"/\xc3\x28"),
        "QoS 3": _publish(version, topic, 0x36, b"\0\1"),
        "wildcard in a topic name": _publish(version, topic + b"/+/#"),
    }
    results = [await _abuse(room, identity, version, *each, published >= 0) for each in packets.items()]
    nought = _subscribe(version, topics[max(subscribed, 0)].encode(), b"\0\0")
    results.append(
        await _abuse(room, identity, version, "packet identifier 0", nought, tested=subscribed >= 0)
    )
    return (Strictness(identity=identity.label, packets=tuple(results)),)


async def _sound(room: Room, identity: Identity, version: int, packets: list[bytes]) -> int:
    """Which of these sound packets is the first to leave the connection alive; -1 when none does."""
    for number, data in enumerate(packets):
        if await _survives(room, identity, version, data):
            return number
    return -1


async def _abuse(room: Room, identity: Identity, version: int, name: str, data: bytes, tested: bool) -> Abuse:
    survived = tested and await _survives(room, identity, version, data)
    return Abuse(name=name, survived=survived, tested=tested)


async def _survives(room: Room, identity: Identity, version: int, data: bytes) -> bool:
    async with await enter(room, identity, version) as line:
        await line.send(data)
        await line.send(encode(Pingreq(), version))
        with contextlib.suppress(PeerError):
            while (packet := await line.receive()) is not None:
                if isinstance(packet, Pingresp):
                    await line.goodbye()
                    return True
    return False


async def probe_guesses(room: Room) -> tuple[Guesses]:
    """The default logins; then ten wrong passwords of one invented user; and whether a known user is answered
    otherwise. Whatever stops us ends it.

    Raises `NoAnswer` where everybody is let in: then there is nothing to guess.
    """
    if "anonymous" in room.versions:
        raise NoAnswer("everybody is let in, so there is no password to guess")
    known, unknown = await _compare_users(room)
    defaults: list[Entry] = []
    for username, password in DEFAULT_LOGINS:
        defaults.append(await _guess(room, username, password))
        if defaults[-1].outcome != "refused":
            break
    if len(defaults) == 1 and defaults[0].outcome == "closed":
        raise NoAnswer("the connection was ended before a password could be judged")
    last = defaults[-1]
    user = DEFAULT_LOGINS[len(defaults) - 1][0] if last.accepted else ""
    wrong: list[Entry] = []
    # Always the same user, and one that nobody has: who counts by user counts these, and nobody is locked out.
    nobody = f"mqttassess-{secrets.token_hex(4)}"
    while len(wrong) < WRONG_TRIES and (wrong or [last])[-1].outcome in ("refused", "accepted"):
        wrong.append(await _guess(room, nobody, secrets.token_hex(8)))
    return (_guesses(defaults, user, wrong, known, unknown),)


async def _guess(room: Room, username: str, password: str) -> Entry:
    identity = Identity(label=f"guess of {username}", username=username, password=Secret(password.encode()))
    try:
        return await knock(room, identity, V311)
    except Busy:
        # Being told to slow down is just what is hoped for here.
        return Entry(version=V311, outcome="throttled")


async def _compare_users(room: Room) -> tuple[list[Entry], list[Entry]]:
    """A wrong password for a user that exists and for one that does not: one try each."""
    names = [each.username for each in room.members() if each.username]
    if not names:
        return [], []
    wrong = secrets.token_hex(8)
    return [await _guess(room, names[0], wrong)], [await _guess(room, f"x{secrets.token_hex(6)}", wrong)]


def _guesses(
    defaults: list[Entry], user: str, wrong: list[Entry], known: list[Entry], unknown: list[Entry]
) -> Guesses:
    failed = [entry for entry in (*defaults, *wrong) if not entry.accepted]
    slow = len(wrong) > 1 and wrong[-1].elapsed_ms > max(200, 3 * wrong[0].elapsed_ms)
    changed = [entry.outcome != "refused" or entry.code in (0x88, 0x89, 0x8A) for entry in failed]
    return Guesses(
        tried=len(defaults),
        default_login=user,
        wrong_tries=len(wrong),
        first_ms=wrong[0].elapsed_ms if wrong else 0,
        last_ms=wrong[-1].elapsed_ms if wrong else 0,
        throttled=slow or any(changed),
        stopped=any(changed[: len(defaults)]),
        codes=tuple(entry.code for entry in failed),
        known_user_codes=tuple(entry.code for entry in (*known, *unknown)),
        known_user_ms=known[0].elapsed_ms if known else 0,
        unknown_user_ms=unknown[0].elapsed_ms if unknown else 0,
    )


async def probe_origins(room: Room) -> tuple[Origins]:
    """Ask for a WebSocket as a foreign web page would, and as a program does."""
    if room.transport not in ("ws", "wss"):
        raise NoAnswer("this listener does not speak WebSocket")
    return (Origins(foreign=await _handshake(room, FOREIGN_ORIGIN), none=await _handshake(room, None)),)


async def _handshake(room: Room, origin: str | None) -> int:
    try:
        async with await Line.open(room, origin=origin):
            return 101
    except InvalidStatus as error:
        return error.response.status_code
    except NoAnswer:
        return 0


async def probe_ports(room: Room) -> tuple[Ports]:
    """Knock at the administration and cluster ports. Raises `NoAnswer` when only one port was named."""
    if not room.whole_host:
        raise NoAnswer("only this port was named: bollard scan HOST, without a port, looks at the others")
    opened = {port: await _open(room, port) for port in (*ADMINISTRATION, *CLUSTER)}
    return (
        Ports(
            looked=tuple(opened),
            administration=tuple(
                OpenPort(port=port, purpose=name) for port, name in ADMINISTRATION.items() if opened[port]
            ),
            cluster=tuple(
                OpenPort(port=port, purpose=name) for port, name in CLUSTER.items() if opened[port]
            ),
        ),
    )


async def _open(room: Room, port: int) -> bool:
    await room.pace()
    try:
        async with asyncio.timeout(min(room.timeout_s, 2.0)):
            _, writer = await asyncio.open_connection(room.place.address, port)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True

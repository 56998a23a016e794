"""What can be listened to: others' messages, the broker's own figures, its control topics.

Payloads are looked through for what looks like a secret and forgotten at once; only counts, kinds and topics
are kept. How much is taken in is bounded in time, messages and bytes.
"""

import contextlib
import re
import time
from collections.abc import Iterable

from bollard.assess.probes.evidence import Ears, Heard, NoAnswer, Product, Sighting
from bollard.assess.probes.line import Line
from bollard.assess.probes.room import Identity, Room
from bollard.base.errors import PeerError
from bollard.wire.codec import encode
from bollard.wire.publish import Publish
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter
from bollard.wire.topics import matches

#: Of each filter, so many topics are kept as a sample, and so many sightings.
MAX_TOPICS = 20
MAX_SIGHTINGS = 20
#: After the first system topic, the others follow at once.
SYSTEM_S = 2.0

KINDS = {
    "password": rb"(?i)(pass(word|wd|phrase)?|pwd)[\"']?\s*[:=]\s*[\"']?[^\s\"',}]{3,}",
    "token or key": rb"(?i)(api[_-]?key|secret|token|authorization)[\"']?\s*[:=]\s*[\"']?[\w.+/=-]{8,}",
    "signed token": rb"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}",
    "private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "e-mail address": rb"[\w.+-]{1,64}@[\w-]{1,64}(\.[\w-]{1,64}){1,4}",
    "position": rb"(?i)[\"'](lat|latitude)[\"']\s*:\s*-?\d{1,2}\.\d{3,}.{0,80}[\"'](lon|lng|longitude)[\"']\s*:",
}
_KINDS = {kind: re.compile(pattern, re.DOTALL) for kind, pattern in KINDS.items()}
#: So much of each payload is looked through.
MAX_LOOK_BYTES = 16_384

_VERSIONS = (
    ("mosquitto", "$SYS/broker/version", r"mosquitto version (\d[\w.-]*)"),
    ("bollard", "$SYS/broker/version", r"(?i)bollard (\d[\w.-]*)"),
    ("amqtt", "$SYS/broker/version", r"(?i)(?:amqtt|hbmqtt) version (\d[\w.-]*)"),
    ("emqx", "$SYS/brokers/+/version", r"(\d[\w.-]*)"),
    ("aedes", "$SYS/+/version", r"(?i)aedes (\d[\w.-]*)"),
)
#: Topics that give a broker away although it tells no version.
_TRACES = (
    ("aedes", r"\$SYS/[^/]+/(heartbeat|memory/heap/(current|maximum))"),
    ("vernemq", r"\$SYS/VerneMQ@[^/]+/.+"),
    ("emqx", r"\$SYS/brokers/.+"),
)


def kinds_of_secret(payload: bytes) -> list[str]:
    """What this payload seems to hold. It is not kept."""
    payload = payload[:MAX_LOOK_BYTES]
    return [kind for kind, pattern in _KINDS.items() if pattern.search(payload)]


async def probe_ears(room: Room) -> tuple[Ears, Product]:
    """Subscribe to everything, to `$SYS/#` and to `$CONTROL/#`, one after the other."""
    identity, version = room.member()
    versions: dict[str, str] = {}
    everything = await _hear(room, identity, version, "#", room.bounds.listen_s, {})
    system = await _hear(room, identity, version, "$SYS/#", min(SYSTEM_S, room.bounds.listen_s), versions)
    control = await _hear(room, identity, version, "$CONTROL/#", min(1.0, room.bounds.listen_s), {})
    ears = Ears(
        identity=identity.label, version=version, everything=everything, system=system, control=control
    )
    return ears, recognise(versions, system.topics)


async def _hear(
    room: Room, identity: Identity, version: int, filter: str, seconds: float, short: dict[str, str]
) -> Heard:
    """What comes for one filter, on a connection of its own. Short texts under `$SYS` go into `short`."""
    async with await Line.open(room, version=version, identity=identity) as line:
        if not (await line.connect(room.hello(identity, version=version))).accepted:
            raise NoAnswer("the broker let us in once, and then no more")
        ear = _Ear(room, filter, short)
        # A broken message of others is no reason to forget what was heard before.
        with contextlib.suppress(PeerError):
            await ear.listen(line, seconds)
        await line.goodbye()
        return ear.heard()


class _Ear:
    """Counts what comes for one filter."""

    def __init__(self, room: Room, filter: str, short: dict[str, str]) -> None:
        self._room = room
        self._filter = filter
        self._short = short
        self._code = -1
        self._messages = self._bytes = self._retained = 0
        self._topics: dict[str, None] = {}
        self._sightings: list[Sighting] = []

    async def listen(self, line: Line, seconds: float) -> None:
        bounds = self._room.bounds
        await line.send(encode(Subscribe(1, (SubscribeFilter(self._filter),)), line.version))
        end = time.monotonic() + max(seconds, 0.0) + self._room.timeout_s
        while self._messages < bounds.listen_messages and self._bytes < bounds.listen_bytes:
            left = end - time.monotonic()
            packet = await line.receive(left) if left > 0 else None
            if packet is None:
                return
            if isinstance(packet, Suback):
                self._code = packet.codes[0]
                if self._code >= 0x80:
                    return
                end = time.monotonic() + seconds
            elif isinstance(packet, Publish):
                self._take(packet)

    def _take(self, packet: Publish) -> None:
        topic = packet.topic.decode(errors="replace")
        # Some brokers send what the filter does not cover: that is no proof of what it was asked for.
        if topic.startswith(self._room.namespace) or not matches(self._filter, topic):
            return
        self._messages += 1
        self._bytes += len(packet.payload)
        self._retained += packet.retain
        if len(self._topics) < MAX_TOPICS:
            self._topics[topic] = None
        if topic.startswith("$SYS/") and topic.endswith("version") and len(packet.payload) < 100:
            self._short[topic] = packet.payload.decode(errors="replace")
        for kind in kinds_of_secret(packet.payload):
            if len(self._sightings) < MAX_SIGHTINGS:
                self._sightings.append(Sighting(kind=kind, topic=topic, retained=bool(packet.retain)))

    def heard(self) -> Heard:
        return Heard(
            filter=self._filter,
            code=self._code,
            messages=self._messages,
            payload_bytes=self._bytes,
            retained=self._retained,
            topics=tuple(self._topics),
            sightings=tuple(self._sightings),
        )


def recognise(texts: dict[str, str], topics: Iterable[str] = ()) -> Product:
    """The broker that these system topics name: by the version in their `texts`, else by `topics` alone."""
    for name, pattern, version in _VERSIONS:
        shape = re.compile(re.escape(pattern).replace(r"\+", "[^/]+"))
        for topic, text in texts.items():
            found = re.match(version, text)
            if shape.fullmatch(topic) and found:
                return Product(name=name, version=found[1], source=topic)
    seen = tuple(topics)
    for name, pattern in _TRACES:
        for topic in seen:
            if re.fullmatch(pattern, topic):
                return Product(name=name, source=topic)
    return Product()

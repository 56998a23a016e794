"""Clients for `tools/crash.py`: they keep what MQTT wants clients to keep through any crash of the broker,
reconnect for ever, and keep the books by which promises are judged. Nothing here knows which broker it is.
"""

import asyncio
import random
import time
from dataclasses import dataclass, field

from bollard.wire.codec import Packet, decode, encode
from bollard.wire.connect import Connack, Connect
from bollard.wire.framer import Framer
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack, Publish, encode_publish
from bollard.wire.spec import PacketType
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter

MAX_PACKET_BYTES = 1_000_000
EXPIRY_S = 86_400
PAUSE_S = 0.02


class Client:
    """One MQTT client with a kept session. `port` may change between connections."""

    def __init__(self, name: str, version: int, port: int) -> None:
        self.name = name
        self.version = version
        self.port = port
        self.sessions_lost = 0
        self.connected = False
        self._writer: asyncio.StreamWriter | None = None
        self._was_known = False

    async def run(self) -> None:
        """Connect, serve, and connect again, until cancelled."""
        while True:
            try:
                await self._once()
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                self.connected = False
                if self._writer is not None:
                    self._writer.transport.abort()
                    self._writer = None
            await asyncio.sleep(PAUSE_S)

    async def _once(self) -> None:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        properties = Properties(session_expiry_interval=EXPIRY_S) if self.version == 5 else Properties()
        self.send(
            Connect(
                version=self.version,
                clean_start=False,
                keepalive_s=60,
                client_id=self.name,
                properties=properties,
            )
        )
        framer = Framer(MAX_PACKET_BYTES)
        while data := await reader.read(65_536):
            framer.feed(data)
            while framer.next():
                self._take(decode(framer.buffer, framer.header, framer.body, framer.end, self.version))
            await self._writer.drain()

    def _take(self, packet: Packet) -> None:
        if isinstance(packet, Connack):
            if packet.code:
                raise ConnectionError(f"refused with 0x{packet.code:02X}")
            if self._was_known and not packet.session_present:
                self.sessions_lost += 1
            self._was_known = True
            self.connected = True
            self.welcome(packet.session_present)
        else:
            self.read(packet)

    def hang_up(self) -> None:
        """The network of this client breaks."""
        if self._writer is not None:
            self._writer.transport.abort()

    def send(self, packet: Packet | bytes) -> None:
        if self._writer is not None and not self._writer.transport.is_closing():
            self._writer.write(packet if isinstance(packet, bytes) else encode(packet, self.version))

    def welcome(self, present: bool) -> None:
        raise NotImplementedError

    def read(self, packet: Packet) -> None:
        raise NotImplementedError


class Publisher(Client):
    """Publishes 1, 2, 3 … on its topic as fast as its window lets it. `acknowledged` is the number of
    messages, from the first on, that the broker has taken over without a gap; `taken` those beyond."""

    def __init__(self, name: str, version: int, port: int, qos: int, window: int, *, retain: bool = False):
        super().__init__(name, version, port)
        self.topic = f"crash/{name}"
        self.qos = qos
        self.window = window
        self.retain = retain
        self.running = False
        self.sent = 0
        self.refused = 0
        self.acknowledged: list[int] = []
        self._unfinished: dict[int, int] = {}
        self._released: set[int] = set()
        self._packet_id = 0

    @property
    def idle(self) -> bool:
        return not self._unfinished

    def welcome(self, present: bool) -> None:
        for packet_id, number in list(self._unfinished.items()):
            if packet_id not in self._released:
                self._publish(number, packet_id, dup=present)
            elif present:
                self.send(Ack(PacketType.PUBREL, packet_id))
            else:
                self._finish(packet_id)
        self.fill()

    def fill(self) -> None:
        """Send as many new messages as the window allows."""
        while self.running and self.connected and len(self._unfinished) < self.window:
            self._packet_id = self._packet_id % 65_535 + 1
            if self._packet_id not in self._unfinished:
                self.sent += 1
                self._unfinished[self._packet_id] = self.sent
                self._publish(self.sent, self._packet_id, dup=False)

    def _publish(self, number: int, packet_id: int, dup: bool) -> None:
        self.send(
            encode_publish(
                self.topic.encode(),
                b"%016d" % number + b"." * 48,
                qos=self.qos,
                retain=int(self.retain),
                dup=int(dup),
                packet_id=packet_id,
                version=self.version,
            )
        )

    def read(self, packet: Packet) -> None:
        if not isinstance(packet, Ack):
            return
        if packet.packet_type == PacketType.PUBREC and packet.reason_code < 0x80:
            if packet.packet_id in self._unfinished and packet.packet_id not in self._released:
                self._released.add(packet.packet_id)
                self.acknowledged.append(self._unfinished[packet.packet_id])
            self.send(Ack(PacketType.PUBREL, packet.packet_id))
            return
        if packet.packet_id in self._unfinished:
            if packet.reason_code >= 0x80:
                self.refused += 1
            elif packet.packet_type == PacketType.PUBACK:
                self.acknowledged.append(self._unfinished[packet.packet_id])
            self._finish(packet.packet_id)
        self.fill()

    def _finish(self, packet_id: int) -> None:
        self._unfinished.pop(packet_id, None)
        self._released.discard(packet_id)


@dataclass
class Stream:
    """What one subscriber saw of one topic."""

    highest: int = 0
    missing: set[int] = field(default_factory=set)
    twice: int = 0
    late: int = 0

    def saw(self, number: int) -> None:
        if number > self.highest:
            self.missing.update(range(self.highest + 1, number))
            self.highest = number
        elif number in self.missing:
            self.missing.discard(number)
            self.late += 1
        else:
            self.twice += 1


class Subscriber(Client):
    """Takes everything, acknowledges everything, and knows a QoS 2 message when it comes again."""

    def __init__(self, name: str, version: int, port: int, qos: int) -> None:
        super().__init__(name, version, port)
        self.qos = qos
        self.subscribed = False
        self.streams: dict[str, Stream] = {}
        self.received = 0
        self.last_at = 0.0
        self._known: set[int] = set()

    def welcome(self, present: bool) -> None:
        if not present:
            self._known.clear()
        if not (present and self.subscribed):
            self.subscribed = False
            self.send(Subscribe(65_000, (SubscribeFilter("crash/#", self.qos),), Properties()))

    def read(self, packet: Packet) -> None:
        if isinstance(packet, Suback):
            self.subscribed = True
        elif isinstance(packet, Publish):
            self._count(packet)
        elif isinstance(packet, Ack) and packet.packet_type == PacketType.PUBREL:
            self._known.discard(packet.packet_id)
            self.send(Ack(PacketType.PUBCOMP, packet.packet_id))

    def _count(self, packet: Publish) -> None:
        self.received += 1
        self.last_at = time.monotonic()
        if packet.qos < 2 or packet.packet_id not in self._known:
            stream = self.streams.setdefault(packet.topic.decode(), Stream())
            stream.saw(int(packet.payload[:16]))
        if packet.qos == 2:
            self._known.add(packet.packet_id)
        kind = PacketType.PUBACK if packet.qos == 1 else PacketType.PUBREC
        self.send(Ack(kind, packet.packet_id))


@dataclass
class Verdict:
    """Counts over all streams; the first four must be 0."""

    lost: int = 0
    twice_qos2: int = 0
    out_of_order: int = 0
    sessions_lost: int = 0
    acknowledged: int = 0
    received: int = 0
    again_qos1: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def violations(self) -> int:
        return self.lost + self.twice_qos2 + self.out_of_order + self.sessions_lost


def judge(publishers: list[Publisher], subscribers: list[Subscriber]) -> Verdict:
    """Every acknowledged message at every subscriber, QoS 2 once, each topic in order."""
    verdict = Verdict()
    verdict.sessions_lost = sum(client.sessions_lost for client in [*publishers, *subscribers])
    for publisher in publishers:
        verdict.acknowledged += len(set(publisher.acknowledged))
        for subscriber in subscribers:
            stream = subscriber.streams.get(publisher.topic, Stream())
            lost = [n for n in publisher.acknowledged if n > stream.highest or n in stream.missing]
            verdict.lost += len(lost)
            verdict.out_of_order += stream.late
            if min(publisher.qos, subscriber.qos) == 2:
                verdict.twice_qos2 += stream.twice
            else:
                verdict.again_qos1 += stream.twice
            if lost:
                verdict.examples.append(f"{subscriber.name} misses {lost[:5]} of {publisher.topic}")
    verdict.received = sum(subscriber.received for subscriber in subscribers)
    return verdict


async def disturb(subscribers: list[Subscriber], dice: random.Random) -> None:
    """Break the network of one subscriber after the other, as networks do."""
    while True:
        await asyncio.sleep(dice.uniform(0.2, 0.8))
        dice.choice(subscribers).hang_up()

"""A durable broker whose disk survives it, and clients that remember what MQTT wants them to remember.

`World` is one broker after another on the same disk, which is the store's own SQLite in memory: a batch is on
it whole or not at all. A crash forgets everything else. `Publisher` and `Subscriber` keep their session state
through it, as real clients do, and keep the books: what was acknowledged, what arrived.
"""

import random
import sqlite3
from collections import deque

from bollard.base.authentication import Accepted
from bollard.base.types import Peer
from bollard.engine.broker import Broker
from bollard.engine.journal import Batch
from bollard.engine.limits import Limits
from bollard.session.connection import Connection
from bollard.store.migrations import migrate
from bollard.store.sessions import FEW_ROWS, SessionStore
from bollard.store.tables import SESSION_MIGRATIONS
from bollard.wire.codec import Packet, decode, encode
from bollard.wire.connect import Connack
from bollard.wire.framer import Framer
from bollard.wire.publish import Ack, Publish
from bollard.wire.spec import PacketType
from bollard.wire.subscribe import Suback
from support.memory import Tokens, connect, publish, subscribe
from support.rights import Rights

WALL = 1_700_000_000.0


class World:
    """Time stands still but for `advance`; nothing moves unless a test says so.

    With `few_rows` 0 each batch waits in the table of batches until `sort_in` sorts some of them in."""

    def __init__(self, limits: Limits | None = None, few_rows: int = FEW_ROWS) -> None:
        self.limits = limits or Limits()
        self.few_rows = few_rows
        self.database = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self.database, SESSION_MIGRATIONS)
        self.clients: list[Client] = []
        self.now = 1000.0
        self.crashes = 0
        self.taken: tuple[int, Batch] | None = None
        self._start()

    def _start(self) -> None:
        self.broker = Broker(
            limits=self.limits, authorizer=Rights(), entropy=Tokens(), now=self.now, durable=True
        )
        self.store = SessionStore(self.database)
        self.store.few_rows = self.few_rows
        self.store.rows_at_once = 8
        self.restored = self.broker.restore(self.store, self.now, WALL + self.now)
        self.taken = None

    def crash(self, downtime_s: float = 0.0) -> None:
        """The process dies with everything that is not on the disk; the next one starts."""
        self.crashes += 1
        for client in self.clients:
            client.cut()
        self.now += downtime_s
        self._start()
        self.broker.tick(self.now)

    def take(self) -> None:
        """The writer gets the next batch, if it is free."""
        if self.taken is None and self.broker.journal_waits():
            self.taken = self.broker.take_journal()

    def commit(self) -> None:
        """The batch is on the disk, and the broker hears of it."""
        self.write()
        self.tell()

    def write(self) -> None:
        """The batch is on the disk, and nobody knows yet."""
        if self.taken is not None:
            self.store.apply(self.taken[1])

    def sort_in(self) -> None:
        """The writer has time for some of the batches that wait."""
        self.store.catch_up()

    def tell(self) -> None:
        if self.taken is not None:
            sequence, _ = self.taken
            self.taken = None
            self.broker.committed(sequence, self.now)
            self.flush()

    def refuse(self) -> None:
        """The disk does not take the batch."""
        if self.taken is not None:
            _, batch = self.taken
            self.taken = None
            self.broker.refused(batch, "disk full", self.now)
            self.flush()

    def flush(self) -> None:
        """What the shell does at the end of a turn."""
        broker = self.broker
        for question in broker.take_questions():
            broker.answer(question, Accepted("someone"), self.now)
        for connection in broker.drain():
            data = connection.take_output()
            client = connection.owner
            if isinstance(client, Client) and client.connection is connection:
                client.arrived(data)
                if connection.closing:
                    client.cut()
            if connection.closing:
                broker.lost(connection, self.now)
        broker.take_events()

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.broker.tick(self.now)
        self.flush()

    def settle(self) -> None:
        """Let everybody finish: all connect, everything is read, written and acknowledged."""
        for _ in range(10_000):
            for client in self.clients:
                if client.connection is None:
                    client.dial()
                client.work()
            self.take()
            if self.taken is not None:
                self.commit()
            elif all(client.idle() for client in self.clients):
                return
        raise AssertionError("it never comes to rest")


class Client:
    """What every MQTT client does. Packets that arrived wait in `inbox` until `step` looks at them."""

    def __init__(self, world: World, name: str, version: int) -> None:
        self.world = world
        self.name = name
        self.version = version
        self.connection: Connection | None = None
        self.connected = False
        self.inbox: deque[Packet] = deque()
        self._framer = Framer(1_000_000)
        world.clients.append(self)

    def dial(self) -> None:
        """Connect to the kept session."""
        self._framer = Framer(1_000_000)
        self.connection = self.world.broker.accept(Peer(), self.world.now)
        self.connection.owner = self
        self.send(connect(self.name, self.version, clean=False, expiry=10_000))

    def send(self, packet: Packet | bytes) -> None:
        if self.connection is not None:
            data = packet if isinstance(packet, bytes) else encode(packet, self.version)
            self.world.broker.receive(self.connection, data, self.world.now)
            self.world.flush()

    def arrived(self, data: bytes) -> None:
        framer = self._framer
        framer.feed(data)
        while framer.next():
            self.inbox.append(decode(framer.buffer, framer.header, framer.body, framer.end, self.version))

    def drop(self) -> None:
        """The network breaks; what was not read is lost."""
        connection = self.connection
        self.cut()
        if connection is not None:
            self.world.broker.lost(connection, self.world.now)
            self.world.flush()

    def cut(self) -> None:
        self.connection = None
        self.connected = False
        self.inbox.clear()

    def step(self) -> None:
        """Look at one packet, or do one thing of one's own."""
        if self.connection is None:
            self.dial()
        elif self.inbox:
            packet = self.inbox.popleft()
            if isinstance(packet, Connack):
                assert packet.code == 0, f"refused with 0x{packet.code:02X}"
                self.connected = True
                self.welcome(packet.session_present)
            else:
                self.read(packet)
        elif self.connected:
            self.act()

    def work(self) -> None:
        while self.inbox or (self.connected and not self.idle()):
            before = (len(self.inbox), self.state())
            self.step()
            if not self.inbox and (len(self.inbox), self.state()) == before:
                return

    def welcome(self, present: bool) -> None:
        raise NotImplementedError

    def read(self, packet: Packet) -> None:
        raise NotImplementedError

    def act(self) -> None:
        raise NotImplementedError

    def idle(self) -> bool:
        raise NotImplementedError

    def state(self) -> object:
        raise NotImplementedError


class Publisher(Client):
    """Publishes 1, 2, 3 … on `topic`; never sends a message again under another identifier unless its
    session was lost. `acknowledged` is what it may forget."""

    def __init__(
        self, world: World, name: str, version: int, topic: str, qos: int, count: int, *, retain: bool = False
    ) -> None:
        super().__init__(world, name, version)
        self.topic = topic
        self.qos = qos
        self.left = deque(range(1, count + 1))
        self.retain = retain
        self.unfinished: dict[int, int] = {}
        self.released: set[int] = set()
        self.acknowledged: list[int] = []
        self.refused: list[int] = []
        self.was_known = False
        self.window = 5
        self._packet_id = 0

    def welcome(self, present: bool) -> None:
        assert present or not self.was_known, f"the session of {self.name} is lost"
        self.was_known = True
        for packet_id, number in list(self.unfinished.items()):
            if packet_id in self.released:
                self.send(Ack(PacketType.PUBREL, packet_id))
            else:
                self._send(number, packet_id, dup=True)

    def act(self) -> None:
        if self.left and len(self.unfinished) < self.window:
            self._packet_id = self._packet_id % 65_535 + 1
            number = self.left.popleft()
            self.unfinished[self._packet_id] = number
            self._send(number, self._packet_id, dup=False)

    def _send(self, number: int, packet_id: int, dup: bool) -> None:
        payload = b"%d" % number
        self.send(
            publish(
                self.version,
                self.topic,
                payload,
                qos=self.qos,
                packet_id=packet_id,
                dup=dup,
                retain=self.retain,
            )
        )

    def read(self, packet: Packet) -> None:
        if not isinstance(packet, Ack):
            return
        if packet.packet_type == PacketType.PUBREC and packet.reason_code < 0x80:
            # From here on the message is the broker's.
            if packet.packet_id in self.unfinished and packet.packet_id not in self.released:
                self.released.add(packet.packet_id)
                self.acknowledged.append(self.unfinished[packet.packet_id])
            self.send(Ack(PacketType.PUBREL, packet.packet_id))
            return
        number = self.unfinished.pop(packet.packet_id, None)
        if number is None:
            return
        if packet.packet_type == PacketType.PUBACK or packet.reason_code >= 0x80:
            (self.refused if packet.reason_code >= 0x80 else self.acknowledged).append(number)
        self.released.discard(packet.packet_id)

    def idle(self) -> bool:
        return self.connected and not (self.left or self.unfinished or self.inbox)

    def state(self) -> object:
        return len(self.left), dict(self.unfinished), set(self.released)


class Subscriber(Client):
    """Subscribes once, acknowledges everything, knows QoS 2 messages again. `got` is (topic, number) in
    the order of arrival, `retained` what came with RETAIN set."""

    def __init__(self, world: World, name: str, version: int, filter: str, qos: int) -> None:
        super().__init__(world, name, version)
        self.filter = filter
        self.qos = qos
        self.subscribed = False
        self.asked = False
        self.got: list[tuple[str, int]] = []
        self.known: set[int] = set()

    def welcome(self, present: bool) -> None:
        assert present or not self.subscribed, f"the subscription of {self.name} is lost"
        self.asked = False

    def act(self) -> None:
        if not self.subscribed and not self.asked:
            self.asked = True
            self.send(subscribe(self.filter, qos=self.qos, packet_id=9_999))

    def read(self, packet: Packet) -> None:
        if isinstance(packet, Suback):
            self.subscribed = True
        elif isinstance(packet, Publish):
            self._take(packet)
        elif isinstance(packet, Ack) and packet.packet_type == PacketType.PUBREL:
            self.known.discard(packet.packet_id)
            self.send(Ack(PacketType.PUBCOMP, packet.packet_id))

    def _take(self, packet: Publish) -> None:
        if packet.qos < 2 or packet.packet_id not in self.known:
            self.got.append((packet.topic.decode(), int(packet.payload)))
        if packet.qos == 2:
            self.known.add(packet.packet_id)
        if packet.qos:
            kind = PacketType.PUBACK if packet.qos == 1 else PacketType.PUBREC
            self.send(Ack(kind, packet.packet_id))

    def idle(self) -> bool:
        return self.connected and self.subscribed and not self.inbox

    def state(self) -> object:
        return len(self.got), self.asked, set(self.known)


def check(publishers: list[Publisher], subscribers: list[Subscriber], *, since: dict[str, int]) -> None:
    """No acknowledged message is missing, none of QoS 2 came twice, each topic is in order.

    `since` is the number of the first message that each topic owes to subscribers.
    """
    for subscriber in subscribers:
        for publisher in publishers:
            numbers = [number for topic, number in subscriber.got if topic == publisher.topic]
            owed = [n for n in publisher.acknowledged if n >= since[publisher.topic]]
            missing = set(owed) - set(numbers)
            assert not missing, f"{subscriber.name} misses {sorted(missing)} of {publisher.topic}"
            first = list(dict.fromkeys(numbers))
            assert first == sorted(first), f"{publisher.topic} is out of order at {subscriber.name}: {first}"
            if min(publisher.qos, subscriber.qos) == 2:
                assert len(first) == len(numbers), f"{publisher.topic} came twice at {subscriber.name}"


def chance(seed: int) -> random.Random:
    """The same dice for the same seed, on every machine."""
    return random.Random(seed)

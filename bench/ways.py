"""The hot ways through the engine, as scripts of reads that can be played again.

A way is recorded once, with clients that answer as real ones do, and then played against a fresh broker: the
engine gives the same answers in every run, so what the clients said fits again, and nothing of what they cost is
in what is measured. No socket, no clock, no disk; policy and limits are as in a real broker. One way, "admission", has
before the engine what every connection passes in a real one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bollard.base.authentication import Accepted
from bollard.base.toml import Document
from bollard.base.types import Peer, Secret
from bollard.engine.broker import Broker, Limits
from bollard.identity.credentials import Verifier
from bollard.identity.principal import RegistryAuthenticator
from bollard.identity.records import Snapshot
from bollard.net.gate import Gate, TransportLimits
from bollard.net.guard import Guard
from bollard.net.traffic import Traffic
from bollard.policy.compile import Policy
from bollard.policy.rules import read_rules
from bollard.server.failures import Failures
from bollard.server.hearing import Hearing
from bollard.session.connection import Connection
from bollard.wire.codec import Packet, decode, encode
from bollard.wire.connect import Connect, Disconnect
from bollard.wire.framer import Framer
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack, Publish, encode_publish
from bollard.wire.spec import MAX_REMAINING_LENGTH, PacketType
from bollard.wire.subscribe import Subscribe, SubscribeFilter

OPEN = """\
version = 1
[template.open]
publish = ["#"]
subscribe = ["#"]
retain = ["#"]
will = ["#"]
[group.anyone]
members = ["*"]
apply = ["open"]
"""
TOPIC = b"bench/topic"
PAYLOAD = bytes(64)
#: Packets in one read: about what a loaded connection brings in a turn.
BATCH = 100
#: What one read of a script may be followed by: no answer takes more rounds than QoS 2 has packets.
ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Step:
    """Client number `client` sends `data`; without any, its network is lost."""

    client: int
    data: bytes


Steps = list[Step]


class Counting:
    """Entropy that nobody has to guess here."""

    def __init__(self) -> None:
        self.given = 0

    def token(self) -> str:
        self.given += 1
        return f"client{self.given}"


class Visitor:
    """A stream, as far as the gate knows one."""

    __slots__ = ("address",)

    def __init__(self, address: str) -> None:
        self.address = address


class Entrance:
    """What every connection passes before and behind the engine: gate, guard, registry, meters, observers."""

    def __init__(self) -> None:
        limits, registry = TransportLimits(), Snapshot()
        self.gate = Gate(limits)
        self.traffic = Traffic(limits)
        self.hearing = Hearing(lambda kind: (Failures(lambda: registry).observe,))
        verifier = Verifier(Secret(bytes(32)))
        authenticator = RegistryAuthenticator(lambda: registry, verifier, clock=lambda: 0.0)
        self.guard = Guard(authenticator, limits, self.hearing.tell, clock=lambda: 0.0)


class GuardedStage:
    """As `Stage`, with an `Entrance`; connections are anonymous and come and go one after the other."""

    def __init__(self, policy: Policy) -> None:
        self.entrance = Entrance()
        self.broker = Broker(limits=Limits(), authorizer=policy, entropy=Counting(), now=0.0)
        self.output: dict[int, list[bytes]] = {}
        self.connection: Connection | None = None

    def play(self, steps: Steps) -> None:
        for step in steps:
            if self.connection is None:
                self.connection = self._enter()
            if step.data:
                self.broker.receive(self.connection, step.data, 0.0)
            else:
                self._leave(self.connection)
            self._turn()

    def _enter(self) -> Connection:
        gate, visitor = self.entrance.gate, Visitor("192.0.2.1")
        assert not gate.enter(visitor, 0.0)  # type: ignore[arg-type]
        gate.established(visitor)  # type: ignore[arg-type]
        connection = self.broker.accept(Peer("192.0.2.1", 1, "bench", allow_anonymous=True), 0.0)
        connection.owner = visitor
        return connection

    def _leave(self, connection: Connection) -> None:
        self.broker.lost(connection, 0.0)
        self.entrance.gate.leave(connection.owner)
        self.connection = None

    def _turn(self) -> None:
        broker, entrance = self.broker, self.entrance
        for question in broker.take_questions():
            answer = entrance.guard.answer(question)
            assert isinstance(answer, Accepted)
            broker.answer(question, answer, 0.0)
            entrance.gate.authenticated(question.connection.owner)
            entrance.traffic.meters("192.0.2.1", answer.principal)
        for connection in broker.drain():
            connection.take_output()
        for event in broker.take_events():
            entrance.hearing.tell(event)


class Stage:
    """A broker and the shell around it, which plays steps. `output` is what each client was sent and has not read."""

    def __init__(self, policy: Policy, durable: bool) -> None:
        self.broker = Broker(limits=Limits(), authorizer=policy, entropy=Counting(), now=0.0, durable=durable)
        self.connections: dict[int, Connection] = {}
        self.output: dict[int, list[bytes]] = {}

    def play(self, steps: Steps) -> None:
        broker = self.broker
        for step in steps:
            connection = self.connections.get(step.client)
            if connection is None:
                connection = self.connections[step.client] = broker.accept(Peer("192.0.2.1", 1, "bench"), 0.0)
                connection.owner = step.client
            if step.data:
                broker.receive(connection, step.data, 0.0)
            else:
                broker.lost(connection, 0.0)
                del self.connections[step.client]
            self._turn()

    def _turn(self) -> None:
        """What the shell does after each read, until there is nothing left to do."""
        broker = self.broker
        while True:
            for question in broker.take_questions():
                broker.answer(question, Accepted(question.client_id), 0.0)
            sequence, records = broker.take_journal()
            if records:
                broker.committed(sequence, 0.0)
            ready = broker.drain()
            for connection in ready:
                self.output.setdefault(connection.owner, []).append(connection.take_output())
            broker.take_events()
            if not ready and not records:
                return


class Client:
    """A client of the recording, which acknowledges what it is sent."""

    def __init__(self, number: int, version: int) -> None:
        self.number = number
        self.version = version
        self.framer = Framer(MAX_REMAINING_LENGTH + 5)

    def answers(self, output: bytes) -> bytes:
        self.framer.feed(output)
        given = []
        while self.framer.next():
            framer = self.framer
            packet = decode(framer.buffer, framer.header, framer.body, framer.end, self.version)
            answer = self._answer(packet)
            if answer is not None:
                given.append(encode(answer, self.version))
        return b"".join(given)

    def _answer(self, packet: Packet) -> Ack | None:
        if isinstance(packet, Publish) and packet.qos:
            return Ack(PacketType.PUBACK if packet.qos == 1 else PacketType.PUBREC, packet.packet_id)
        if isinstance(packet, Ack) and packet.packet_type == PacketType.PUBREC:
            return Ack(PacketType.PUBREL, packet.packet_id)
        if isinstance(packet, Ack) and packet.packet_type == PacketType.PUBREL:
            return Ack(PacketType.PUBCOMP, packet.packet_id)
        return None


@dataclass
class Way:
    """One way: `begin` is played before anything counts; `turn` gives what comes in its turn number n, before the
    clients' answers; `messages` is what one turn counts as. `delivered` says that each is sent to somebody."""

    name: str
    begin: Steps
    turn: Callable[[int], Steps]
    messages: int = BATCH
    version: int = 4
    policy: str = OPEN
    durable: bool = False
    delivered: bool = True
    guarded: bool = False
    clients: dict[int, Client] = field(default_factory=dict)

    def stage(self) -> Stage | GuardedStage:
        rules = read_rules(Document(Path("policy.toml"), self.policy))
        policy = Policy(rules, {}, datetime(2026, 1, 1, tzinfo=UTC))
        return GuardedStage(policy) if self.guarded else Stage(policy, self.durable)

    def record(self, turns: int) -> "Recording":
        """The steps of so many turns, with what the clients answer."""
        stage = self.stage()
        stage.play(self.begin)
        stage.output.clear()
        script = []
        for number in range(turns):
            steps = list(self._recorded(stage, self.turn(number)))
            script.append(steps)
        if self.delivered:
            sent = stage.broker.counters.publish_sent
            assert sent == turns * self.messages, f"{self.name}: {sent} deliveries of {turns * self.messages}"
        return Recording(self, script)

    def _recorded(self, stage: Stage | GuardedStage, steps: Steps) -> Iterator[Step]:
        for _ in range(ROUNDS):
            stage.play(steps)
            yield from steps
            outputs, stage.output = stage.output, {}
            steps = [
                Step(number, answers)
                for number, output in outputs.items()
                if (answers := self._client(number).answers(b"".join(output)))
            ]
            if not steps:
                return
        raise AssertionError(f"{self.name}: the clients did not come to an end")

    def _client(self, number: int) -> Client:
        return self.clients.setdefault(number, Client(number, self.version))


@dataclass(frozen=True, slots=True)
class Recording:
    """Turns of a way that can be played against a fresh broker."""

    way: Way
    turns: list[Steps]

    def fresh(self) -> Stage | GuardedStage:
        """A broker at which the clients are there, and nothing was sent yet."""
        stage = self.way.stage()
        stage.play(self.way.begin)
        return stage


def joins(number: int, version: int = 4, *, clean: bool = True, aliases: int = 0) -> Step:
    properties = Properties(topic_alias_maximum=aliases) if aliases else Properties()
    connect = Connect(version, clean, 0, f"client{number}", None, None, None, properties)
    return Step(number, encode(connect, version))


def listens(number: int, *filters: str, qos: int = 0, version: int = 4) -> Step:
    wanted = tuple(SubscribeFilter(one, qos) for one in filters)
    return Step(number, encode(Subscribe(1, wanted, Properties()), version))


def sends(topics: list[bytes], qos: int = 0, *, retain: int = 0, version: int = 4) -> Steps:
    """One read with a message to each of `topics`, by client 0."""
    packets = [
        encode_publish(
            topic, PAYLOAD, qos=qos, packet_id=number if qos else 0, retain=retain, version=version
        )
        for number, topic in enumerate(topics, 1)
    ]
    return [Step(0, b"".join(packets))]


def pairs(qos: int) -> Way:
    begin = [joins(0), joins(1), listens(1, TOPIC.decode(), qos=qos)]
    return Way(f"pairs QoS {qos}", begin, lambda _: sends([TOPIC] * BATCH, qos))


def fanout(qos: int, receivers: int = 100) -> Way:
    begin = [joins(0)]
    for number in range(1, receivers + 1):
        begin += [joins(number), listens(number, TOPIC.decode(), qos=qos)]
    return Way(f"fan-out QoS {qos}", begin, lambda _: sends([TOPIC] * 10, qos), messages=10 * receivers)


def aliased() -> Way:
    """MQTT 5.0 at QoS 1: an alias instead of the topic on both sides, and two user properties."""
    properties = Properties(topic_alias=1, user_properties=(("unit", "celsius"), ("room", "kitchen")))

    def turn(_: int) -> Steps:
        packets = [
            encode_publish(b"", PAYLOAD, qos=1, packet_id=number, version=5, properties=properties)
            for number in range(1, BATCH + 1)
        ]
        return [Step(0, b"".join(packets))]

    named = Properties(topic_alias=1)
    begin = [
        joins(0, 5),
        Step(0, encode_publish(TOPIC, PAYLOAD, version=5, properties=named)),
        joins(1, 5, aliases=10),
        listens(1, TOPIC.decode(), qos=1, version=5),
    ]
    return Way("5.0 alias QoS 1", begin, turn, version=5)


def connecting(name: str = "connect", *, guarded: bool = False) -> Way:
    """CONNECT, the question who it is, CONNACK, DISCONNECT and the end of the transport."""
    leave = encode(Disconnect(0, Properties()), 4)

    def turn(_: int) -> Steps:
        steps = []
        for number in range(BATCH):
            steps += [joins(number), Step(number, leave), Step(number, b"")]
        return steps

    return Way(name, [], turn, delivered=False, guarded=guarded)


def fresh_topics(turn: int) -> list[bytes]:
    return [b"site/%d/room/%d/state" % (turn, number) for number in range(BATCH)]


def uncached_match(others: int = 1000) -> Way:
    """Each message on a topic never seen before, among so many other filters; one matches."""
    filters = [f"site/+/room/+/sensor{number}" for number in range(others)]
    begin = [joins(0), joins(1), listens(1, "site/+/room/+/state")]
    for number, start in enumerate(range(0, others, 500), 2):
        begin += [joins(number), listens(number, *filters[start : start + 500])]
    return Way("match uncached", begin, lambda number: sends(fresh_topics(number)))


def uncached_decision(rules: int = 200) -> Way:
    """Each message on a topic never seen before, under so many rules, of which one allows it."""
    text = ['version = 1\n[template.bench]\npublish = ["site/#"]\nsubscribe = ["site/#"]\n']
    for number in range(rules):
        text.append(
            f'[template.t{number}]\npublish = ["area-{number}/${{id}}/#", "+/line-{number}/+/state"]\n'
            f'[deny.d{number}]\nwho = "*"\npublish = ["+/+/secret-{number}/#"]\n'
        )
    names = ", ".join(f'"t{number}"' for number in range(rules))
    text.append(f'[group.anyone]\nmembers = ["*"]\napply = ["bench", {names}]\n')
    begin = [joins(0), joins(1), listens(1, "site/#")]
    return Way("decision uncached", begin, lambda number: sends(fresh_topics(number)), policy="".join(text))


def shared(members: int = 20) -> Way:
    begin = [joins(0)]
    for number in range(1, members + 1):
        begin += [joins(number), listens(number, f"$share/group/{TOPIC.decode()}")]
    return Way("shared QoS 0", begin, lambda _: sends([TOPIC] * BATCH))


def queued() -> Way:
    """QoS 1 to a kept session whose client is away, written to the journal before PUBACK."""
    begin = [
        joins(0),
        joins(1, clean=False),
        listens(1, TOPIC.decode(), qos=1),
        Step(1, encode(Disconnect(0, Properties()), 4)),
        Step(1, b""),
    ]
    turn = sends([TOPIC] * BATCH, 1)
    return Way("queued QoS 1", begin, lambda _: turn, durable=True, delivered=False)


def retained() -> Way:
    """A retained message takes the place of another."""
    topics = [b"state/%d" % number for number in range(BATCH)]
    turn = sends(topics, 1, retain=1)
    return Way("retained QoS 1", [joins(0)], lambda _: turn, delivered=False)


def ways() -> list[Way]:
    """Every way, in the order of the tables."""
    return [
        *(pairs(qos) for qos in (0, 1, 2)),
        fanout(0),
        fanout(1),
        aliased(),
        shared(),
        queued(),
        retained(),
        uncached_match(),
        uncached_decision(),
        connecting(),
        connecting("admission", guarded=True),
    ]

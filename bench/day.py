"""A day in the life of a broker, by chance: clients of both versions that do everything they may, and what they may not.

The engine in memory, with a clock that the day turns, policies that change and a disk that refuses. At the end of
each hour everybody has left and everything that was kept has expired, so that `leak.py` can count what stays behind.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ways import OPEN, Client, Counting

from bollard.base.authentication import Accepted, Refused
from bollard.base.toml import Document
from bollard.base.types import Peer
from bollard.engine.broker import Broker, Limits
from bollard.policy.compile import Policy
from bollard.policy.rules import read_rules
from bollard.session.connection import Connection
from bollard.wire.codec import encode
from bollard.wire.connect import Connect, Disconnect, Pingreq, Will
from bollard.wire.properties import Properties
from bollard.wire.publish import encode_publish
from bollard.wire.spec import ReasonCode
from bollard.wire.subscribe import Subscribe, SubscribeFilter, Unsubscribe

HOUR_S = 3600
#: Kept sessions and delayed wills end within an hour of everybody's leaving.
LIMITS = Limits(
    session_expiry_max_s=1800,
    max_will_delay_s=600,
    max_queue_messages=50,
    max_inflight=20,
    receive_maximum=40,
)
PRINCIPALS = [f"device{number}" for number in range(12)]
CROWD = 60
FILTERS = [
    "home/#",
    "home/+/state",
    "+/+/state",
    "home/1/state",
    "$share/g/home/#",
    "$share/g/jobs/+",
    "jobs/#",
]
POLICIES = (
    OPEN,
    """version = 1
[template.some]
publish = ["home/#"]
subscribe = ["home/#", "jobs/#"]
will = ["home/#"]
rate = "200/s"
max_qos = 1
[group.anyone]
members = ["*"]
apply = ["some"]
[deny.one]
who = "device1"
publish = ["home/1/#"]
""",
)
WRONG = (
    b"\x00\x00",
    b"\xf0\x00",
    b"\x36\x05\x00\x01a\x00\x00",
    b"\x82\x02\x00\x00",
    b"\x30\xff\xff\xff\xff",
    b"\x62\x01",
)


def policy_of(text: str) -> Policy:
    rules = read_rules(Document(Path("policy.toml"), text))
    return Policy(rules, {}, datetime(2026, 1, 1, tzinfo=UTC))


@dataclass
class Live:
    """A connection as its client sees it. One that is deaf acknowledges nothing any more."""

    connection: Connection
    client: Client
    deaf: bool = False
    packet_id: int = 0


class Day:
    """The broker, its clients, and chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.policies = [policy_of(text) for text in POLICIES]
        self.broker = Broker(
            limits=LIMITS, authorizer=self.policies[0], entropy=Counting(), now=0.0, durable=True
        )
        self.crowd: list[Live] = []
        self.made = 0
        self.done: Counter[str] = Counter()
        self.operations: list[tuple[Callable[[], None], int]] = [
            (self.join, 12),
            (self.publish, 50),
            (self.subscribe, 10),
            (self.unsubscribe, 3),
            (self.clear, 5),
            (self.leave, 5),
            (self.lose, 4),
            (self.fall_silent, 2),
            (self.stop_reading, 2),
            (self.err, 2),
            (self.ping, 3),
            (self.own_message, 1),
            (self.change_policy, 1),
            (self.revoke, 1),
            (self.refuse_disk, 1),
        ]

    def hour(self, operations: int) -> None:
        """An hour of so many operations; at its end nobody is there, and nothing is kept."""
        chosen = self.chance.choices(*zip(*self.operations, strict=True), k=operations)
        for operation in chosen:
            operation()
            self.done[operation.__name__] += 1
            self.pass_time(HOUR_S / operations)
        self.close_down()

    def close_down(self) -> None:
        for live in list(self.crowd):
            self._lost(live)
        self.broker.set_authorizer(self.policies[0], self.now)
        self.pass_time(HOUR_S)
        for message in list(self.broker.core.retained):
            self.broker.publish(message.name, b"", now=self.now, retain=True)
        self.broker.set_authorizer(self.policies[0], self.now)
        self.turn()

    # The shell -----------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self.broker.next_deadline() <= end:
            self.now = max(self.now, self.broker.next_deadline())
            self.broker.tick(self.now)
            self.turn()
        self.now = end

    def turn(self) -> None:
        """What the shell does after each verb, and what the clients answer, until there is nothing left."""
        broker = self.broker
        while True:
            questions = broker.take_questions()
            for question in questions:
                known = question.username in PRINCIPALS
                answer = (
                    Accepted(question.username) if known else Refused(ReasonCode.NOT_AUTHORIZED, "unknown")
                )
                broker.answer(question, answer, self.now)
            sequence, records = broker.take_journal()
            if records:
                broker.committed(sequence, self.now)
            ready = broker.drain()
            for connection in ready:
                self._read(connection)
            broker.take_events()
            broker.take_requests()
            if not (ready or records or questions):
                return

    def _read(self, connection: Connection) -> None:
        live: Live | None = connection.owner
        if connection.writable:
            output = connection.take_output()
            if live is not None and output:
                answers = live.client.answers(output)
                if answers and not live.deaf and not connection.closing:
                    self.broker.receive(connection, answers, self.now)
        if connection.closing:
            self.broker.lost(connection, self.now)
            if live is not None and live in self.crowd:
                self.crowd.remove(live)

    def _send(self, live: Live, data: bytes) -> None:
        self.broker.receive(live.connection, data, self.now)
        self.turn()

    def _lost(self, live: Live) -> None:
        if live in self.crowd:
            self.crowd.remove(live)
        self.broker.lost(live.connection, self.now)
        self.turn()

    def _someone(self) -> Live:
        if not self.crowd:
            self.join()
        return self.chance.choice(self.crowd) if self.crowd else self._stranger()

    def _stranger(self) -> Live:
        connection = self.broker.accept(Peer("192.0.2.1", 1, "leak"), self.now)
        live = Live(connection, Client(self.made, 4))
        connection.owner = live
        return live

    # What happens ---------------------------------------------------------------------------------------

    def join(self) -> None:
        """Somebody new, or somebody who comes back or takes over; now and then a stranger, who is refused."""
        chance = self.chance
        if len(self.crowd) >= CROWD:
            self._lost(chance.choice(self.crowd))
        live = self._stranger()
        self.made += 1
        version = live.client.version = chance.choice((4, 5))
        name = f"client{chance.randrange(40)}" if chance.random() < 0.7 else f"once{self.made}"
        clean = chance.random() < 0.4
        properties = Properties()
        if version == 5:
            properties = Properties(
                session_expiry_interval=chance.choice((0, 60, 1800)),
                topic_alias_maximum=chance.choice((None, 5)),
                receive_maximum=chance.choice((None, 3)),
            )
        principal = chance.choice(PRINCIPALS) if chance.random() < 0.95 else "nobody"
        connect = Connect(version, clean, 0, name, principal, None, self._will(version), properties)
        self.crowd.append(live)
        self._send(live, encode(connect, version))

    def _will(self, version: int) -> Will | None:
        if self.chance.random() < 0.5:
            return None
        delay = self.chance.choice((None, 5, 600)) if version == 5 else None
        retain = self.chance.random() < 0.3
        return Will(
            self._topic(), b"gone", self.chance.randrange(3), retain, Properties(will_delay_interval=delay)
        )

    def _topic(self) -> str:
        chance = self.chance
        if chance.random() < 0.1:
            return f"home/{self.made}.{chance.randrange(10**6)}/state"
        return chance.choice(("home/1/state", "home/2/state", "jobs/1", "jobs/2", "other"))

    def publish(self) -> None:
        """Some messages in one read, of one client, some of them retained."""
        live, chance = self._someone(), self.chance
        packets = []
        for _ in range(chance.randrange(1, 6)):
            qos = chance.randrange(3)
            live.packet_id = live.packet_id % 30 + 1
            packets.append(self._message(live, qos, int(chance.random() < 0.1)))
        self._send(live, b"".join(packets))

    def _message(self, live: Live, qos: int, retain: int, payload: bytes = bytes(64)) -> bytes:
        version, chance = live.client.version, self.chance
        topic, properties = self._topic().encode(), None
        if version == 5 and chance.random() < 0.5:
            alias = chance.choice((None, 1, 2))
            properties = Properties(
                topic_alias=alias,
                message_expiry_interval=chance.choice((None, 1, 300)),
                user_properties=(("a", "b"),) * chance.randrange(3),
            )
        packet_id = live.packet_id if qos else 0
        return encode_publish(
            topic,
            payload,
            qos=qos,
            retain=retain,
            packet_id=packet_id,
            version=version,
            properties=properties,
        )

    def clear(self) -> None:
        live = self._someone()
        live.packet_id = live.packet_id % 30 + 1
        self._send(live, self._message(live, 1, 1, b""))

    def subscribe(self) -> None:
        live, chance = self._someone(), self.chance
        filters = [*chance.sample(FILTERS, 2), f"home/{self.made}/+"]
        wanted = tuple(SubscribeFilter(one, chance.randrange(3)) for one in filters)
        identifier = chance.choice(((), (7,))) if live.client.version == 5 else ()
        properties = Properties(subscription_identifiers=identifier)
        self._send(live, encode(Subscribe(1, wanted, properties), live.client.version))

    def unsubscribe(self) -> None:
        live = self._someone()
        filters = tuple(self.chance.sample(FILTERS, 2))
        self._send(live, encode(Unsubscribe(1, filters), live.client.version))

    def leave(self) -> None:
        live = self._someone()
        code = self.chance.choice((0, 4)) if live.client.version == 5 else 0
        self._send(live, encode(Disconnect(code, Properties()), live.client.version))

    def lose(self) -> None:
        self._lost(self._someone())

    def fall_silent(self) -> None:
        """No acknowledgements from now on, until it is lost."""
        self._someone().deaf = True

    def stop_reading(self) -> None:
        """The transport of one takes nothing any more, that of another takes all again."""
        self._someone().connection.writable = False
        self.broker.writable(self._someone().connection, self.now)
        self.turn()

    def err(self) -> None:
        """What no client may send; or half a packet, and then nothing."""
        live = self._someone()
        self._send(live, self.chance.choice(WRONG))
        self._send(self._stranger(), self.chance.choice((*WRONG, b"\x10\x20\x00\x04MQ")))

    def ping(self) -> None:
        self._send(self._someone(), encode(Pingreq(), 4))

    def own_message(self) -> None:
        self.broker.publish("$SYS/broker/load", b"1", now=self.now, retain=True)
        self.turn()

    def change_policy(self) -> None:
        self.broker.set_authorizer(self.chance.choice(self.policies), self.now)
        self.turn()

    def revoke(self) -> None:
        principal = self.chance.choice(PRINCIPALS)
        purge = self.chance.random() < 0.5
        self.broker.kick(principal, ReasonCode.ADMINISTRATIVE_ACTION, "revoked", self.now, purge=purge)
        self.turn()

    def refuse_disk(self) -> None:
        """A batch that the disk does not take comes again with the next one."""
        live = self._someone()
        live.packet_id = live.packet_id % 30 + 1
        self.broker.receive(live.connection, self._message(live, 1, 0), self.now)
        _, records = self.broker.take_journal()
        if records:
            self.broker.refused(records, "no space left on device", self.now)
        self.turn()

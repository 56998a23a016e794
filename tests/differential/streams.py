"""Random byte streams of several clients, and what a broker answers to them: one program for every variant.

Run as `python streams.py SEED COUNT CUT`, it plays COUNT streams and prints, one JSON line each, everything that
can be seen from outside: the bytes of each connection, its end, the events, the counters, the sessions. CUT is
"whole" or "bytes". The first line says whether the variant is compiled.
"""

import json
import random
import sys
from collections.abc import Iterator
from typing import Any

from bollard.base.authentication import Accepted
from bollard.base.types import Action, Decision, Peer
from bollard.engine import publish as engine_publish
from bollard.engine.broker import Broker
from bollard.engine.limits import Limits
from bollard.session.connection import Connection
from bollard.wire.codec import encode
from bollard.wire.connect import Auth, Connect, Disconnect, Pingreq, Will
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack, encode_publish
from bollard.wire.subscribe import Subscribe, SubscribeFilter, Unsubscribe

TOPICS = ["a", "b", "a/b", "a//b", "$SYS/x", "denied", "é/ü", "/"]
FILTERS = ["a", "#", "+", "a/#", "+/b", "$SYS/#", "$share/g/a", "$share/g/#", "denied", "/+"]

#: Whose turn it is, whether on a new connection, and what is sent.
Turn = tuple[int, bool, bytes]


def compiled() -> bool:
    """Is the engine of this process machine code?"""
    return not str(engine_publish.__file__).endswith(".py")


class Rights:
    def decide(self, principal: str, action: Action, topic: str) -> Decision:
        return Decision(topic != "denied" or action == Action.SUBSCRIBE, "rule", "as written")


class Tokens:
    def __init__(self) -> None:
        self.count = 0

    def token(self) -> str:
        self.count += 1
        return f"token{self.count:020}"


def properties(chance: random.Random, *names: str) -> Properties:
    values: dict[str, Any] = {
        "message_expiry_interval": chance.randrange(5),
        "topic_alias": chance.randrange(1, 3),
        "content_type": "text",
        "user_properties": (("k", "v"), ("k", "w")),
        "correlation_data": b"\0\xff",
        "session_expiry_interval": chance.choice([0, 3, 1000]),
        "receive_maximum": chance.randrange(1, 5),
        "maximum_packet_size": chance.choice([20, 60, 1000]),
        "topic_alias_maximum": chance.randrange(3),
        "will_delay_interval": chance.randrange(4),
    }
    return Properties(**{name: values[name] for name in names if chance.random() < 0.3})


def connect(chance: random.Random, version: int) -> bytes:
    will = None
    if chance.random() < 0.4:
        given = properties(chance, "will_delay_interval", "content_type") if version == 5 else Properties()
        will = Will(chance.choice(TOPICS), b"will", chance.randrange(3), chance.random() < 0.3, given)
    names = ("session_expiry_interval", "receive_maximum", "maximum_packet_size", "topic_alias_maximum")
    packet = Connect(
        version=version,
        clean_start=chance.random() < 0.5,
        keepalive_s=chance.choice([0, 2, 60]),
        client_id=chance.choice(["x", "y", "z"]),
        username=chance.choice(["ann", "bob"]),
        will=will,
        properties=properties(chance, *names) if version == 5 else Properties(),
    )
    return encode(packet, version)


def packet(chance: random.Random, version: int) -> bytes:
    """One packet that a client might send; mostly legal."""
    kind = chance.randrange(10)
    packet_id = chance.randrange(1, 6)
    if kind < 5:
        qos = chance.randrange(3)
        names = ("message_expiry_interval", "topic_alias", "content_type", "user_properties")
        return encode_publish(
            chance.choice(TOPICS).encode(),
            bytes(chance.randrange(256) for _ in range(chance.choice([0, 3, 200]))),
            qos=qos,
            retain=int(chance.random() < 0.2),
            dup=int(qos > 0 and chance.random() < 0.2),
            packet_id=packet_id if qos else 0,
            version=version,
            properties=properties(chance, *names) if version == 5 else None,
        )
    if kind < 6:
        return encode(Ack(chance.randrange(4, 8), packet_id), version)
    if kind < 8:
        wanted = [SubscribeFilter(chance.choice(FILTERS), chance.randrange(3)) for _ in range(2)]
        return encode(Subscribe(packet_id, tuple(wanted)), version)
    rest = [Pingreq(), Unsubscribe(packet_id, (chance.choice(FILTERS),)), Disconnect(), Pingreq()]
    if version == 5:
        rest.append(Auth(0x19, Properties(authentication_method="m")))
    return encode(chance.choice(rest), version)


def spoil(chance: random.Random, data: bytes) -> bytes:
    """Now and then, a byte is wrong, missing or too many."""
    if not data or chance.random() > 0.02:
        return data
    at = chance.randrange(len(data))
    return data[:at] + bytes([chance.randrange(256)]) * chance.randrange(3) + data[at + 1 :]


def turns(chance: random.Random) -> Iterator[Turn]:
    """Which connection sends which bytes, in order."""
    versions = [chance.choice([4, 5]) for _ in range(4)]
    for which in range(4):
        yield which, True, spoil(chance, connect(chance, versions[which]))
    for _ in range(chance.randrange(5, 40)):
        which = chance.randrange(4)
        if chance.random() < 0.25:
            versions[which] = chance.choice([4, 5])
            yield which, True, spoil(chance, connect(chance, versions[which]))
        yield which, False, b"".join(spoil(chance, packet(chance, versions[which])) for _ in range(3))


class Play:
    """One stream against one broker."""

    def __init__(self, cut: str) -> None:
        self.cut = cut
        self.now = 1000.0
        limits = Limits(max_inflight=3, receive_maximum=4, max_queue_messages=5, max_packet_bytes=400)
        self.broker = Broker(limits=limits, authorizer=Rights(), entropy=Tokens(), now=self.now)
        self.connections: list[Connection] = []
        self.current: dict[int, Connection] = {}
        self.output: list[bytearray] = []
        self.events: list[str] = []

    def open(self, which: int) -> None:
        """A new connection in the place of an old one, which just stays silent."""
        connection = self.broker.accept(Peer(address=f"192.0.2.{which}"), self.now)
        connection.owner = len(self.connections)
        self.connections.append(connection)
        self.current[which] = connection
        self.output.append(bytearray())

    def run(self, stream: list[Turn]) -> dict[str, Any]:
        for which, opens, data in stream:
            if opens:
                self.open(which)
            pieces = [data] if self.cut == "whole" else [data[n : n + 1] for n in range(len(data))]
            for piece in pieces:
                self.broker.receive(self.current[which], piece, self.now)
            self.turn()
            self.now += 0.25
            self.broker.tick(self.now)
            self.turn()
        for step in (1.0, 10.0, 2000.0):
            self.now += step
            self.broker.tick(self.now)
            self.turn()
        return self.seen()

    def turn(self) -> None:
        while True:
            for question in self.broker.take_questions():
                self.broker.answer(question, Accepted(question.username or "anonymous"), self.now)
            ready = self.broker.drain()
            for connection in ready:
                self.output[connection.owner] += connection.take_output()
                if connection.closing:
                    self.broker.lost(connection, self.now)
            self.events += [repr(event) for event in self.broker.take_events()]
            if not ready:
                return

    def seen(self) -> dict[str, Any]:
        core = self.broker.core
        counters = core.counters.as_dict()
        # What follows a fault is not read: how much of it had arrived is a matter of the cuts.
        del counters["bytes_received"]
        return {
            "output": [data.hex() for data in self.output],
            "closing": [connection.closing for connection in self.connections],
            "events": self.events,
            "counters": counters,
            "sessions": sorted((s.principal, s.client_id, s.waiting) for s in self.broker.sessions()),
            "subscriptions": [core.tree.count, core.tree.shared_count],
            "retained": sorted(message.name for message in core.retained),
        }


def play(seed: int, cut: str) -> dict[str, Any]:
    return Play(cut).run(list(turns(random.Random(seed))))


def main() -> None:
    seed, count, cut = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    print(json.dumps(compiled()))
    for number in range(seed, seed + count):
        print(json.dumps(play(number, cut), sort_keys=True))


if __name__ == "__main__":
    main()

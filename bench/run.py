"""Deliveries per CPU second of the engine alone, in memory: compiled, where installed so, and uncompiled.

No socket, no TLS: what remains is what this project's own code costs a message. For figures against other
brokers, over sockets, use a load generator. Compare runs of one machine only.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bollard.base.authentication import Accepted
from bollard.base.types import Action, Decision, Peer
from bollard.engine.broker import Broker, Limits
from bollard.server.build import is_compiled
from bollard.session.connection import Connection
from bollard.wire.codec import encode
from bollard.wire.connect import Connect
from bollard.wire.properties import Properties
from bollard.wire.publish import encode_publish
from bollard.wire.spec import PacketType
from bollard.wire.subscribe import Subscribe, SubscribeFilter

SOURCE = Path(__file__).parent.parent / "src"
PAYLOAD = bytes(64)
#: Packets in one read, and reads in one case: about what a loaded connection brings in a turn.
BATCH = 100
ROUNDS = 300


class Everything:
    """An authorizer that allows; the engine caches its answers as it caches a policy's."""

    def decide(self, principal: str, action: Action, topic: str) -> Decision:
        return Decision(allowed=True)


class Counting:
    """Entropy that nobody has to guess here."""

    def __init__(self) -> None:
        self.given = 0

    def token(self) -> str:
        self.given += 1
        return f"client{self.given}"


def new_broker() -> Broker:
    return Broker(limits=Limits(), authorizer=Everything(), entropy=Counting(), now=0.0)


def join(broker: Broker, name: str, version: int) -> Connection:
    """A connected client."""
    connection = broker.accept(Peer("192.0.2.1", 1, "bench"), 0.0)
    connect = Connect(version, True, 0, name, None, None, None, Properties())
    broker.receive(connection, encode(connect, version), 0.0)
    for question in broker.take_questions():
        broker.answer(question, Accepted(name), 0.0)
    take(broker)
    return connection


def listen(broker: Broker, connection: Connection, topic: str, qos: int, version: int) -> None:
    request = Subscribe(1, (SubscribeFilter(topic, qos),), Properties())
    broker.receive(connection, encode(request, version), 0.0)
    take(broker)


def take(broker: Broker) -> dict[Connection, bytes]:
    """What a turn of the loop would write."""
    output = {connection: connection.take_output() for connection in broker.drain()}
    broker.take_events()
    return output


def pairs(qos: int, version: int) -> Callable[[], int]:
    """One publisher and one subscriber; at QoS 1 every message is acknowledged both ways."""
    broker = new_broker()
    sender, receiver = join(broker, "sender", version), join(broker, "receiver", version)
    listen(broker, receiver, "bench/topic", qos, version)
    packets = b"".join(
        encode_publish(b"bench/topic", PAYLOAD, qos=qos, packet_id=number if qos else 0, version=version)
        for number in range(1, BATCH + 1)
    )

    def turn() -> int:
        broker.receive(sender, packets, 0.0)
        output = take(broker)[receiver]
        if qos:
            broker.receive(receiver, acknowledgements(output), 0.0)
            take(broker)
        return BATCH

    return turn


def acknowledgements(output: bytes) -> bytes:
    """PUBACKs for the PUBLISH packets of `output`, which all have one length and one topic."""
    size = len(output) // BATCH
    at = 4 + len(b"bench/topic")
    head = bytes((PacketType.PUBACK << 4, 2))
    return b"".join(head + output[start + at : start + at + 2] for start in range(0, len(output), size))


def fanout(receivers: int, version: int) -> Callable[[], int]:
    """One publisher and many subscribers at QoS 0."""
    broker = new_broker()
    sender = join(broker, "sender", version)
    for number in range(receivers):
        listen(broker, join(broker, f"receiver{number}", version), "bench/topic", 0, version)
    packets = encode_publish(b"bench/topic", PAYLOAD, version=version) * 10

    def turn() -> int:
        broker.receive(sender, packets, 0.0)
        take(broker)
        return 10 * receivers

    return turn


def measure(turn: Callable[[], int]) -> float:
    """Deliveries per CPU second: the best of five, since whatever disturbs only slows down."""
    best = 0.0
    for _ in range(5):
        began, delivered = time.process_time(), 0
        for _ in range(ROUNDS):
            delivered += turn()
        best = max(best, delivered / (time.process_time() - began))
    return best


def main() -> int:
    variant = "compiled" if is_compiled() else "uncompiled"
    for version in (4, 5):
        name = {4: "3.1.1", 5: "5.0"}[version]
        cases = {
            "pairs QoS 0": pairs(0, version),
            "pairs QoS 1": pairs(1, version),
            "fan-out 1 to 100": fanout(100, version),
        }
        for case, turn in cases.items():
            print(f"{variant:10}  MQTT {name:5}  {case:16}  {measure(turn):12,.0f} /s", flush=True)
    if is_compiled() and "--alone" not in sys.argv:
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        return subprocess.run([sys.executable, __file__, "--alone"], env=environment, check=False).returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())

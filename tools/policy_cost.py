"""What authorization costs: a policy of a thousand rules against one that lets everybody do everything.

    python tools/policy_cost.py write DIR [--rules 1000] [--port 18870]
    python tools/policy_cost.py measure [--rules 1000] [--seconds 2]

`write` makes DIR/open and DIR/rules, each with a `bollard.toml` (plaintext and anonymous, on loopback, at PORT
and PORT + 1) and its `policy.toml`: run the same load against both, `bollard serve --config DIR/open/bollard.toml`
and the other, with topics below `bench/`. `measure` needs no socket: it runs the engine in memory under both, in
turns of one process, and prints deliveries per CPU second.

All rules apply to the clients, and what decides is one filter among theirs.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from bollard.base.authentication import Accepted
from bollard.base.toml import Document
from bollard.base.types import ANONYMOUS, Action, Peer
from bollard.engine.broker import Broker, Limits
from bollard.policy.compile import Policy
from bollard.policy.rules import read_rules
from bollard.session.connection import Connection
from bollard.wire.codec import encode
from bollard.wire.connect import Connect
from bollard.wire.properties import Properties
from bollard.wire.publish import encode_publish
from bollard.wire.subscribe import Subscribe, SubscribeFilter

OPEN = """\
version = 1
[template.open]
publish = ["#"]
subscribe = ["#"]
retain = ["#"]
will = ["#"]
[group.anyone]
members = ["anonymous"]
apply = ["open"]
"""
CONFIG = """\
state_dir = "state"
policy = "policy.toml"
sys_interval_s = 0
[[listener]]
bind = "127.0.0.1:{port}"
allow_plaintext = true
allow_anonymous = true
"""
PAYLOAD = bytes(64)
BATCH = 100


def policy_of(rules: int) -> str:
    """A policy of so many templates, grants and denies, all of which mean anonymous clients."""
    denies, grants = rules * 3 // 10, rules * 4 // 10
    templates = rules - denies - grants - 1
    text = ["version = 1\n"]
    for n in range(templates):
        text.append(
            f'[template.t{n}]\npublish = ["site-{n}/${{id}}/data/#", "+/line-{n}/+/state"]\n'
            f'subscribe = ["site-{n}/${{id}}/cmd/#"]\nretain = ["+/line-{n}/+/state"]\n'
        )
    for n in range(grants):
        text.append(
            f'[grant.g{n}]\nwho = "anonymous"\npublish = ["shop-{n}/+/order"]\nsubscribe = ["shop-{n}/#"]\n'
        )
    for n in range(denies):
        text.append(
            f'[deny.d{n}]\nwho = "*"\npublish = ["+/+/secret-{n}/#", "vault-{n}/#"]\nsubscribe = ["+/secret-{n}"]\n'
        )
    text.append('[template.bench]\npublish = ["bench/#"]\nsubscribe = ["bench/#"]\nretain = ["bench/#"]\n')
    names = ", ".join(f'"t{n}"' for n in range(templates))
    text.append(f'[group.anyone]\nmembers = ["anonymous"]\napply = ["bench", {names}]\n')
    return "".join(text)


def write(folder: Path, rules: int, port: int) -> None:
    for number, (name, policy) in enumerate((("open", OPEN), ("rules", policy_of(rules)))):
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "bollard.toml").write_text(CONFIG.format(port=port + number))
        (place / "policy.toml").write_text(policy)
        sys.stdout.write(f"bollard serve --config {place / 'bollard.toml'}   # port {port + number}\n")


class Counting:
    """Identifiers that nobody has to guess here."""

    def __init__(self) -> None:
        self.given = 0

    def token(self) -> str:
        self.given += 1
        return f"client{self.given}"


def compiled(text: str) -> Policy:
    return Policy(read_rules(Document(Path("policy.toml"), text)), {}, datetime.now(UTC))


class Scene:
    """One publisher and one subscriber of everything below bench/, under one policy."""

    def __init__(self, text: str) -> None:
        self.broker = Broker(limits=Limits(), authorizer=compiled(text), entropy=Counting(), now=0.0)
        self.sender, self.receiver = self._join("sender"), self._join("receiver")
        request = Subscribe(1, (SubscribeFilter("bench/#", 0),), Properties())
        self.broker.receive(self.receiver, encode(request, 5), 0.0)
        self.take()

    def _join(self, name: str) -> Connection:
        broker = self.broker
        connection = broker.accept(Peer("192.0.2.1", 1, "bench"), 0.0)
        broker.receive(connection, encode(Connect(5, True, 0, name, None, None, None, Properties()), 5), 0.0)
        for question in broker.take_questions():
            broker.answer(question, Accepted(ANONYMOUS), 0.0)
        self.take()
        return connection

    def take(self) -> None:
        for connection in self.broker.drain():
            connection.take_output()
        self.broker.take_events()

    def send(self, packets: bytes) -> None:
        self.broker.receive(self.sender, packets, 0.0)
        while self.broker.busy_with(self.sender):
            self.take()
        self.take()


def batches(topics: Callable[[int], str]) -> Iterator[bytes]:
    """Endless reads of `BATCH` messages, message number n on topic `topics(n)`."""
    number = 0
    while True:
        names = [topics(n).encode() for n in range(number, number + BATCH)]
        yield b"".join(encode_publish(name, PAYLOAD, version=5) for name in names)
        number += BATCH


CASES: dict[str, Callable[[int], str]] = {
    "one topic": lambda _: "bench/topic",
    "500 topics": lambda n: f"bench/{n % 500}/state",
    "never the same topic": lambda n: f"bench/{n}/state",
}


def measure(rules: int, seconds: float) -> None:
    texts = {"open": OPEN, f"{rules} rules": policy_of(rules)}
    for case, topics in CASES.items():
        rates = _rates([Scene(text) for text in texts.values()], topics, seconds)
        told = "   ".join(f"{name} {rate:10,.0f} /s" for name, rate in zip(texts, rates, strict=True))
        sys.stdout.write(f"{case:22} {told}   cost {100 * (1 - rates[1] / rates[0]):5.1f} %\n")


def _rates(scenes: list[Scene], topics: Callable[[int], str], seconds: float) -> list[float]:
    """Deliveries per CPU second of each scene; they take turns, so that what disturbs hits both."""
    spent = [0.0] * len(scenes)
    counts = [0] * len(scenes)
    sources = [batches(topics) for _ in scenes]
    while min(spent) < seconds:
        for index, scene in enumerate(scenes):
            reads = [next(sources[index]) for _ in range(20)]
            began = time.process_time()
            for read in reads:
                scene.send(read)
            spent[index] += time.process_time() - began
            counts[index] += 20 * BATCH
    return [count / cpu_s for count, cpu_s in zip(counts, spent, strict=True)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What a policy of many rules costs against an open one.")
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write")
    writing.add_argument("folder", type=Path)
    writing.add_argument("--port", type=int, default=18_870)
    measuring = commands.add_parser("measure")
    measuring.add_argument("--seconds", type=float, default=2.0)
    for command in (writing, measuring):
        command.add_argument("--rules", type=int, default=1_000)
    options = parser.parse_args(arguments)
    assert compiled(policy_of(options.rules)).decide(ANONYMOUS, Action.PUBLISH, "bench/x").allowed
    if options.command == "write":
        write(options.folder, options.rules, options.port)
    else:
        measure(options.rules, options.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())

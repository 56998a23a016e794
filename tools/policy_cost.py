"""What authorization costs: a policy of a thousand rules against one that lets everybody do everything.

`write` makes DIR/open and DIR/rules, each with a `bollard.toml` (plaintext and anonymous, on loopback, at PORT
and PORT + 1) and its `policy.toml`: run the same load against both, `bollard serve --config DIR/open/bollard.toml`
and the other, with topics below `bench/`. `measure` needs no socket: it runs the engine in memory and prints
deliveries for each second of processor time.

All rules apply to the clients, and what decides is one filter among theirs.

Every figure comes from a process of its own, in turns: open, rules, rules, open makes a round. Two engines in one
process would pay for each other, because the garbage collector looks at the objects of both, in the time of the
one that happens to set it off: where every topic is new that is half of all the time. What the engine remembers
is filled once before anything counts, and then through whole fillings: it is emptied when full, and a part of such
a cycle has more or less of that.
"""

import argparse
import gc
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from commandline import INTERRUPTED, CannotRun, end_with, running, tell, whole

from bollard.base.authentication import Accepted
from bollard.base.toml import Document
from bollard.base.types import ANONYMOUS, Action, Peer
from bollard.engine.broker import Broker, Limits
from bollard.engine.core import MAX_RIGHTS
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


@dataclass(frozen=True)
class Case:
    """So many different topics, 0 for no end of them, and the messages that are enough to measure."""

    topics: int
    messages: int

    def topic(self, number: int) -> str:
        return f"bench/{number % self.topics if self.topics else number}/state"

    def batches(self) -> Iterator[bytes]:
        """Endless reads of `BATCH` messages each."""
        endless = (self._batch(first) for first in itertools.count(0, BATCH))
        if not self.topics:
            return endless
        return itertools.cycle(list(itertools.islice(endless, max(self.topics // BATCH, 1))))

    def _batch(self, first: int) -> bytes:
        names = [self.topic(number).encode() for number in range(first, first + BATCH)]
        return b"".join(encode_publish(name, PAYLOAD, version=5) for name in names)


#: The plans of topics are emptied more often than the rights, and both are when the rights are.
CASES = {
    "one topic": Case(1, 5_000_000),
    "500 topics": Case(500, 5_000_000),
    "never the same topic": Case(0, MAX_RIGHTS),
}
#: The turns of a round, so that what changes with time hits both alike.
TURNS = ("open", "rules", "rules", "open")


def rate(text: str, case: Case, messages: int) -> float:
    """Deliveries for each second of processor time, of `messages`, after as many that fill what is remembered."""
    scene, source = Scene(text), case.batches()
    for read in itertools.islice(source, messages // BATCH):
        scene.send(read)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as the broker's process does
    spent_s = 0.0
    for _ in range(messages // BATCH):
        read = next(source)
        began = time.process_time()
        scene.send(read)
        spent_s += time.process_time() - began
    return messages / spent_s


@dataclass
class Found:
    """The rates of one case under both policies, in the order of the turns."""

    open: list[float]
    rules: list[float]

    def costs(self) -> list[float]:
        """What the rules cost, in per cent, round by round: two turns of each."""
        pairs = range(0, len(self.open), 2)
        return [100 * (1 - sum(self.rules[at : at + 2]) / sum(self.open[at : at + 2])) for at in pairs]


def measure(rules: int, rounds: int, messages: int | None) -> dict[str, Found]:
    """Every case, `rounds` times; `messages` None means as many as each case needs."""
    found = {name: Found([], []) for name in CASES}
    for number in range(rounds):
        for name in CASES:
            tell(f"round {number + 1} of {rounds}: {name}")
            for turn in TURNS:
                getattr(found[name], turn).append(_in_a_process(name, turn, rules, messages))
    return found


def _in_a_process(case: str, turn: str, rules: int, messages: int | None) -> float:
    command = [
        sys.executable,
        __file__,
        "one",
        "--case",
        case,
        "--rules",
        str(rules if turn == "rules" else 0),
    ]
    command += ["--messages", str(messages or CASES[case].messages)]
    with running(command) as process:
        measured = process.communicate()[0]
    if process.returncode:
        raise CannotRun(f"the process that measures failed: exit code {process.returncode}")
    return float(measured)


def table(found: dict[str, Found], rules: int) -> str:
    """Medians, and of the cost the lowest and the highest round."""
    lines = [
        f"| deliveries for each second of processor time | open | {rules} rules | the rules cost | rounds |",
        "|---|---|---|---|---|",
    ]
    for name, one in found.items():
        costs = one.costs()
        rates = f"{statistics.median(one.open):,.0f} | {statistics.median(one.rules):,.0f}"
        between = f"{min(costs):.1f} to {max(costs):.1f} %"
        lines.append(f"| {name} | {rates} | {statistics.median(costs):.1f} % | {between} |")
    return "\n".join(lines) + "\n"


def told(found: dict[str, Found], rules: int) -> str:
    cases = {
        name: {"open": one.open, "rules": one.rules, "cost_percent": one.costs()}
        for name, one in found.items()
    }
    return json.dumps({"rules": rules, "cases": cases}) + "\n"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{write,measure}")
    shape = argparse.RawDescriptionHelpFormatter
    writing = commands.add_parser(
        "write", help="write both configurations", epilog=EPILOG, formatter_class=shape
    )
    writing.add_argument("folder", type=Path, metavar="DIR")
    writing.add_argument("--port", type=whole(1, 65_534), default=18_870, help="and the next one (18870)")
    measuring = commands.add_parser(
        "measure", help="measure the engine under both", epilog=EPILOG, formatter_class=shape
    )
    measuring.add_argument("--rounds", type=whole(1, 100), default=3, help="of four turns each (3)")
    measuring.add_argument("--json", action="store_true", help="every figure, for scripts")
    one = commands.add_parser("one")
    one.add_argument("--case", choices=CASES, required=True)
    for command in (measuring, one):
        command.add_argument(
            "--messages", type=whole(BATCH, 10**9), help="for each figure (as many as the case needs)"
        )
    for command, fewest in ((writing, 10), (measuring, 10), (one, 0)):
        command.add_argument(
            "--rules", type=whole(fewest, 100_000), default=1_000, help="of the policy (1000)"
        )
    return parser.parse_args(arguments)


EPILOG = """\
Example: python tools/policy_cost.py measure --rules 1000 --rounds 3
         python tools/policy_cost.py write /tmp/cost --port 18870

Exit codes: 0 done; 2 usage, or it could not run; 130 interrupted.
"""


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if options.command == "write":
        write(options.folder, options.rules, options.port)
    elif options.command == "one":
        text = policy_of(options.rules) if options.rules else OPEN
        try:
            sys.stdout.write(f"{rate(text, CASES[options.case], options.messages)}\n")
        except KeyboardInterrupt:
            return INTERRUPTED  # who started this process says so
    else:
        assert compiled(policy_of(options.rules)).decide(ANONYMOUS, Action.PUBLISH, "bench/x").allowed
        found = measure(options.rules, options.rounds, options.messages)
        sys.stdout.write(told(found, options.rules) if options.json else table(found, options.rules))
    return 0


if __name__ == "__main__":
    end_with("policy cost", main)

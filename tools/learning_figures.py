"""Learns a simulated network of 200 mixed devices and prints what came of it.

The engine runs in memory, as in tests. The network has sensors, switches, plugs, meters, a Home Assistant, a
Sparkplug edge node with its host, and one intruder that reads everything, commands devices and poses as
others. It is learned, rules are proposed, and the same traffic runs again under them alone.

    tools/learning_figures.py [--rounds N] [--show]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bollard.base.toml import Document
from bollard.identity.records import Snapshot
from bollard.policy.compile import Policy
from bollard.policy.learn_text import add_rules
from bollard.policy.rules import read_rules
from bollard.server.learning import Learning
from bollard.server.learning_operations import learn
from bollard.server.learning_records import LearnPropose, LearnStart
from bollard.wire.connect import Connack, Will
from support.memory import Device, House, connect

APPLICATIONS = ("home-assistant", "scada")
INTRUDER = "camera-7"
#: What there is before anything is learned: a deny, which learning has to respect.
POLICY = """\
version = 1

# Nobody sends firmware around.
[deny.firmware]
who = "*"
publish = ["home/+/ota/#"]
"""


@dataclass
class Script:
    """What one device does: its will, its subscriptions, what it publishes each round, and once at its start.

    Messages are (topic, payload size, QoS, RETAIN).
    """

    identity: str
    filters: list[str] = field(default_factory=list)
    births: list[tuple[str, int, int, bool]] = field(default_factory=list)
    messages: list[tuple[str, int, int, bool]] = field(default_factory=list)
    will: tuple[str, bool] | None = None


def sensor(name: str) -> Script:
    own = f"home/{name}"
    return Script(
        name,
        filters=[f"{own}/cmd/#", "homeassistant/status"],
        births=[
            (f"homeassistant/sensor/{name}/temperature/config", 300, 1, True),
            (f"homeassistant/sensor/{name}/humidity/config", 300, 1, True),
            (f"{own}/status", 6, 1, True),
        ],
        messages=[
            (f"{own}/temperature", 5, 0, False),
            (f"{own}/humidity", 5, 0, False),
            (f"{own}/battery", 3, 1, True),
        ],
        will=(f"{own}/status", True),
    )


def switch(name: str) -> Script:
    own = f"home/{name}"
    return Script(
        name,
        filters=[f"{own}/set"],
        births=[(f"homeassistant/switch/{name}/config", 400, 1, True)],
        messages=[(f"{own}/state", 3, 1, True)],
        will=(f"{own}/availability", True),
    )


def tasmota(name: str) -> Script:
    return Script(
        name,
        filters=[f"cmnd/{name}/#", "cmnd/tasmotas/#"],
        births=[(f"tele/{name}/INFO1", 200, 0, False)],
        messages=[
            (f"tele/{name}/STATE", 250, 0, False),
            (f"tele/{name}/SENSOR", 200, 0, False),
            (f"stat/{name}/RESULT", 20, 0, False),
        ],
        will=(f"tele/{name}/LWT", True),
    )


def meter(name: str) -> Script:
    phases = [(f"energy/{name}/phase/{phase}/power", 6, 1, False) for phase in ("L1", "L2", "L3")]
    return Script(
        name, filters=[f"energy/{name}/reset"], messages=[*phases, (f"energy/{name}/total", 8, 1, True)]
    )


def edge_node(name: str) -> Script:
    base = "spBv1.0/plant"
    devices = ["pump", "valve", "fan", "heater"]
    return Script(
        name,
        filters=[f"{base}/NCMD/{name}/#", f"{base}/DCMD/{name}/#", "spBv1.0/STATE/scada"],
        births=[(f"{base}/NBIRTH/{name}", 900, 0, False)]
        + [(f"{base}/DBIRTH/{name}/{device}", 500, 0, False) for device in devices],
        messages=[(f"{base}/NDATA/{name}", 60, 0, False)]
        + [(f"{base}/DDATA/{name}/{device}", 80, 0, False) for device in devices],
        will=(f"{base}/NDEATH/{name}", False),
    )


def home_assistant(scripts: list[Script]) -> Script:
    commands = [
        (script.filters[0], 3, 1, False) for script in scripts if script.identity.startswith("switch")
    ]
    commands += [
        (f"cmnd/{script.identity}/POWER", 3, 1, False)
        for script in scripts
        if script.identity.startswith("tasmota")
    ]
    return Script(
        "home-assistant",
        filters=["home/#", "homeassistant/#", "tele/#", "stat/#", "energy/+/total"],
        births=[("homeassistant/status", 6, 1, True)],
        messages=commands,
        will=("homeassistant/status", True),
    )


def network() -> list[Script]:
    """The 199 devices that belong here."""
    scripts = [sensor(f"sensor-{n:03}") for n in range(1, 101)]
    scripts += [switch(f"switch-{n:02}") for n in range(1, 61)]
    scripts += [tasmota(f"tasmota-{0x1A2B3C + 7 * n:06X}") for n in range(21)]
    scripts += [meter(f"meter-{n:02}") for n in range(1, 16)]
    scripts.append(edge_node("edge-1"))
    host = "spBv1.0/plant/NCMD/edge-1"
    scada = Script(
        "scada", ["spBv1.0/plant/#"], [("spBv1.0/STATE/scada", 40, 1, True)], [(host, 50, 0, False)]
    )
    scada.will = ("spBv1.0/STATE/scada", True)
    return [*scripts, scada, home_assistant(scripts)]


def intruder() -> Script:
    """It looks like a camera at first, and then it does what intruders do."""
    return Script(
        INTRUDER,
        filters=["#", "home/+/set", "cmnd/#", "$SYS/#", "home/sensor-001/cmd/#"],
        births=[("homeassistant/lock/front/config", 300, 1, True), ("home/camera-7/status", 6, 1, True)],
        messages=[
            ("home/camera-7/motion", 2, 0, False),
            ("home/switch-07/set", 3, 1, False),
            ("home/sensor-004/temperature", 5, 1, True),
            ("cmnd/tasmotas/Upgrade", 1, 1, False),
            ("home/camera-7/ota/all", 900, 1, False),
            ("spBv1.0/plant/DCMD/edge-1/pump", 30, 1, False),
        ],
        will=("home/switch-01/state", True),
    )


@dataclass
class Tally:
    """What became of what devices wanted: as many as were sent and passed, by identity of those that did not."""

    sent: int = 0
    passed: int = 0
    refused: list[str] = field(default_factory=list)

    def count(self, what: str, passed: bool) -> None:
        self.sent += 1
        self.passed += passed
        if not passed:
            self.refused.append(what)


class Network:
    """Devices on one broker in memory. Everybody speaks MQTT 5.0, as only that tells who was refused."""

    def __init__(self, house: House, scripts: list[Script], tally: Callable[[str], Tally]) -> None:
        self.house = house
        self.scripts = scripts
        self.tally = tally
        self.devices: dict[str, Device] = {}

    def run(self, rounds: int) -> None:
        """Connect everybody, subscribe, speak for some rounds, and break all connections, so that wills fire."""
        for script in self.scripts:
            self._connect(script)
        for script in self.scripts:
            self._subscribe(script)
        for number in range(rounds + 1):
            for script in self.scripts:
                for message in script.births if number == 0 else script.messages:
                    self._publish(script.identity, *message)
        for device in self.devices.values():
            device.drop()

    def _connect(self, script: Script) -> None:
        name = script.identity
        if script.will is not None:
            will = Will(script.will[0], b"gone", qos=1, retain=script.will[1])
            device = self.house.open()
            device.send(connect(name, principal=name, will=will))
            passed = device.one(Connack).code == 0
            self.tally(name).count(f"{name} will {script.will[0]}", passed)
            if passed:
                self.devices[name] = device
        if name not in self.devices:
            self.devices[name] = self.house.connect(name, principal=name)
        self.devices[name].acknowledges = True

    def _subscribe(self, script: Script) -> None:
        for wanted in script.filters:
            (code,) = self.devices[script.identity].subscribe(wanted, qos=1)
            self.tally(script.identity).count(f"{script.identity} subscribe {wanted}", code < 0x80)

    def _publish(self, name: str, topic: str, size: int, qos: int, retain: bool) -> None:
        device = self.devices[name]
        denied = self.house.broker.counters.denied_publish
        device.publish(topic, b"x" * size, qos=qos, retain=retain)
        passed = self.house.broker.counters.denied_publish == denied
        self.tally(name).count(f"{name} publish {topic}", passed)
        device.take()


@dataclass
class Outcome:
    """What learning came to."""

    text: str
    rules: str
    suspects: dict[str, str]
    observed: int
    seconds: float
    learned: dict[str, Tally]
    enforced: dict[str, Tally]

    def total(self, tallies: dict[str, Tally], *, intruder: bool) -> Tally:
        """All of the intruder's, or all of everybody else's."""
        sums = Tally()
        for name, tally in tallies.items():
            if (name == INTRUDER) is intruder:
                sums.sent += tally.sent
                sums.passed += tally.passed
                sums.refused += tally.refused
        return sums


def simulate(folder: Path, rounds: int) -> Outcome:
    """Learn the network for `rounds`, propose, and run it again under the proposal alone."""
    path = folder / "policy.toml"
    path.write_text(POLICY)
    base = read_rules(Document(path, POLICY))
    clock = iter_clock()
    learning = Learning(folder / "learning.json", clock=lambda: next(clock))
    learning.start(LearnStart(("*",), ceiling=("#", "$SYS/#")), base)
    house = House(authorizer=learning.over(Policy(base, {}), path, base, dict))
    scripts = [*network(), intruder()]
    learned: dict[str, Tally] = {}
    Network(house, scripts, lambda name: learned.setdefault(name, Tally())).run(rounds)
    began = time.perf_counter()
    proposal = learn(learning, LearnPropose(applications=APPLICATIONS), path, Snapshot())
    seconds = time.perf_counter() - began
    text = add_rules(path, POLICY, proposal.rules)
    enforced: dict[str, Tally] = {}
    under = House(authorizer=Policy(read_rules(Document(path, text)), {}))
    Network(under, scripts, lambda name: enforced.setdefault(name, Tally())).run(rounds)
    observed = len(learning.state().seen)
    return Outcome(proposal.text, proposal.rules, proposal.suspects, observed, seconds, learned, enforced)


def iter_clock() -> Iterator[float]:
    """A week in small steps."""
    now = 1_900_000_000.0
    while True:
        yield now
        now += 0.01


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how often each device speaks")
    parser.add_argument("--show", action="store_true", help="print the proposal as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = simulate(Path(folder), options.rounds)
    if options.show:
        print(outcome.text)  # noqa: T201
    legitimate = outcome.total(outcome.enforced, intruder=False)
    theirs = outcome.total(outcome.enforced, intruder=True)
    while_learning = outcome.total(outcome.learned, intruder=True)
    filters = outcome.rules.count('  "')
    lines = [
        f"devices                {len(outcome.learned)}, of which 1 intruder",
        f"observed               {outcome.observed} (identity, right, topic)",
        f"proposed               {outcome.rules.count('[template.')} templates, "
        f"{outcome.rules.count('[grant.')} grants, {filters} filters, in {outcome.seconds:.2f} s",
        f"suspicious             {', '.join(outcome.suspects)}",
        f"legitimate, enforced   {legitimate.passed} of {legitimate.sent} pass",
        f"intruder, learning     {while_learning.passed} of {while_learning.sent} pass (the ceiling was #)",
        f"intruder, enforced     {theirs.passed} of {theirs.sent} pass",
    ]
    print("\n".join(lines))  # noqa: T201
    return 0 if legitimate.passed == legitimate.sent and theirs.passed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())

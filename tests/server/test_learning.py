"""Learning: the ceiling, the memory and its bounds, the shadow, and the whole on a simulated network."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.base.types import Action, Decision
from bollard.engine.ports import Authorizer
from bollard.identity.records import Identity, Snapshot, State
from bollard.policy.compile import Policy
from bollard.policy.learn_text import add_rules
from bollard.policy.rules import parse_policy
from bollard.server import learning_memory
from bollard.server.learning import Learning, LearningRights
from bollard.server.learning_operations import MAX_PROPOSAL_BYTES, learn
from bollard.server.learning_records import (
    OWN_TOPICS,
    AskLearning,
    LearningInfo,
    LearnProposal,
    LearnPropose,
    LearnStart,
    LearnStop,
)
from bollard.server.policy_operations import edit_policy
from server.tools import load_tool
from support.memory import House

POLICY = """\
version = 1

[group.plugs]
members = ["plug-*"]

[grant.status]
who = "*"
subscribe = ["status"]

[deny.ota]
who = "*"
publish = ["home/+/ota"]
"""


class Room:
    """A state directory with a policy, something learned in it, and time that passes when a test says so."""

    def __init__(self, folder: Path) -> None:
        self.policy = folder / "policy.toml"
        self.policy.write_text(POLICY)
        self.path = folder / "learning.json"
        self.now = 1_900_000_000.0
        self.records: list[tuple[str, Mapping[str, object]]] = []
        self.learning = self.open()

    def open(self) -> Learning:
        return Learning(
            self.path, lambda kind, **facts: self.records.append((kind, facts)), clock=lambda: self.now
        )

    def start(self, *who: str, ceiling: tuple[str, ...] = OWN_TOPICS) -> LearningInfo:
        return self.learning.start(LearnStart(who or ("*",), 3600.0, ceiling), parse_policy(self.policy))

    def rights(self) -> Authorizer:
        """What the engine asks, as of now."""
        rules = parse_policy(self.policy)
        return self.learning.over(Policy(rules, {}), self.policy, rules, dict)

    def house(self) -> House:
        return House(authorizer=self.rights())

    def ask(self, request: LearnPropose | AskLearning | LearnStop) -> LearningInfo | LearnProposal:
        return learn(self.learning, request, self.policy, Snapshot())

    def propose(self) -> LearnProposal:
        answer = self.ask(LearnPropose())
        assert isinstance(answer, LearnProposal)
        return answer


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


# The ceiling -------------------------------------------------------------------------------------------


def test_nothing_stands_before_the_policy_while_nothing_is_learned(room: Room) -> None:
    assert isinstance(room.rights(), Policy)
    assert room.house().broker.core.tap is None


@pytest.mark.parametrize(
    ("principal", "action", "topic", "allowed"),
    [
        ("plug-1", Action.PUBLISH, "home/plug-1/state", True),
        ("plug-1", Action.PUBLISH, "plug-1/state", True),
        ("plug-1", Action.PUBLISH, "spBv1.0/g/NDATA/plug-1", True),
        ("plug-1", Action.SUBSCRIBE, "cmnd/plug-1/#", True),
        ("plug-1", Action.RECEIVE, "cmnd/plug-1/x", True),
        ("plug-1", Action.WILL, "home/plug-1/lwt", True),
        ("plug-1", Action.RETAIN, "home/plug-1/lwt", True),
        ("plug-1", Action.PUBLISH, "home/plug-2/state", False),
        ("plug-1", Action.SUBSCRIBE, "#", False),
        ("plug-1", Action.PUBLISH, "home/plug-1/ota", False),
        ("plug-1", Action.WILL, "home/plug-1/ota", False),
        ("plug-1", Action.SHARE, "plug-1", False),
        ("lamp", Action.PUBLISH, "home/lamp/state", False),
        ("anonymous", Action.PUBLISH, "home/anonymous/state", False),
    ],
)
def test_the_ceiling_is_for_own_topics_of_those_who_are_learned_where_no_rule_denies(
    room: Room, principal: str, action: Action, topic: str, allowed: bool
) -> None:
    room.start("group:plugs")
    closed = POLICY + '[grant.workers]\nwho = "x"\nshare = ["workers"]\n'
    room.policy.write_text(closed)
    assert room.rights().decide(principal, action, topic).allowed is allowed


def test_what_the_registry_or_the_server_denies_stays_denied(room: Room) -> None:
    room.start("*", ceiling=("#",))

    class Registry:
        def decide(self, principal: str, action: Action, topic: str) -> Decision:
            return Decision(False, "registry", "the identity is suspended")

    rules = parse_policy(room.policy)
    over = room.learning.over(Registry(), room.policy, rules, dict)
    assert isinstance(over, LearningRights)
    assert not over.decide("plug-1", Action.PUBLISH, "home/plug-1/state").allowed


def test_a_ceiling_of_everything_leaves_topics_of_the_server_alone(room: Room) -> None:
    room.start("*", ceiling=("#",))
    assert room.rights().decide("plug-1", Action.SUBSCRIBE, "#").allowed
    assert not room.rights().decide("plug-1", Action.SUBSCRIBE, "$SYS/#").allowed


def test_the_ceiling_ends_by_itself(room: Room) -> None:
    room.start("*")
    over = room.rights()
    assert isinstance(over, LearningRights)
    assert not room.learning.lapsed()
    assert room.learning.weaknesses()[0].startswith("learning: until 2030-03-17")
    room.now += 3601
    assert room.learning.lapsed()
    assert isinstance(room.rights(), Policy)
    assert not room.learning.lapsed()
    assert room.learning.weaknesses() == ()
    assert room.learning.info().phase == "over"


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (LearnStart(("plug",), 1.0), "a minute to 90 days"),
        (LearnStart(("plug",), 1e9), "a minute to 90 days"),
        (LearnStart(("group:none",)), "none"),
        (LearnStart(("a/b",)), "a/b"),
        (LearnStart(("plug",), ceiling=("a/#/b",)), "a/#/b"),
    ],
)
def test_what_cannot_be_learned_is_refused(room: Room, request_: LearnStart, told: str) -> None:
    with pytest.raises(LocalError, match=told):
        room.learning.start(request_, parse_policy(room.policy))
    assert room.learning.info().phase == "off"
    room.start("plug-1")
    with pytest.raises(LocalError, match=told):  # not that something is being learned already
        room.learning.start(request_, parse_policy(room.policy))


def test_one_thing_is_learned_at_a_time(room: Room) -> None:
    room.start("plug-1")
    with pytest.raises(LocalError, match="already"):
        room.start("plug-2")
    room.learning.stop(forget=False, applied=False)
    assert room.start("plug-2").who == ("plug-2",)


# The memory --------------------------------------------------------------------------------------------


def test_what_is_done_is_remembered_without_payloads(room: Room) -> None:
    room.start("*")
    device = room.house().connect("c", principal="plug-1")
    device.publish("home/plug-1/state", b"secret", qos=1, retain=True)
    room.now += 60
    device.publish("home/plug-1/state", b"secret and longer")
    device.publish("elsewhere", b"x")
    device.subscribe("$share/g/home/plug-1/set")
    seen = {(one.right, one.topic): one for one in room.learning.state().seen}
    assert seen.keys() == {
        ("publish", "home/plug-1/state"),
        ("retain", "home/plug-1/state"),
        ("publish", "elsewhere"),
        ("subscribe", "home/plug-1/set"),
        ("share", "g"),
    }
    state = seen["publish", "home/plug-1/state"]
    assert (state.count, state.qos, state.size, state.allowed) == (2, 1, 17, True)
    assert state.last - state.first == 60
    assert not seen["publish", "elsewhere"].allowed
    room.learning.save()
    assert b"secret" not in room.path.read_bytes()
    assert room.path.stat().st_mode & 0o777 == 0o600


def test_only_who_is_learned_is_remembered(room: Room) -> None:
    room.start("group:plugs")
    house = room.house()
    house.connect("c", principal="lamp").publish("home/lamp/state")
    house.connect("d", principal="plug-1").publish("home/plug-1/state")
    assert {one.identity for one in room.learning.state().seen} == {"plug-1"}


def test_endless_topics_are_counted_and_not_kept(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_memory, "MAX_TOPICS", 10)
    room.start("*", ceiling=("#",))
    house = room.house()
    flood = house.connect("c", principal="flood")
    for number in range(50):
        flood.publish(f"t/{number}")
    flood.publish("x" * 600)
    house.connect("d", principal="plug-1").publish("home/plug-1/state")
    info = room.learning.info()
    assert info.topics == 11
    assert info.left_out == {"flood": 41}


def test_what_was_learned_outlives_a_restart(room: Room) -> None:
    room.start("*")
    room.house().connect("c", principal="plug-1").publish("home/plug-1/state")
    room.learning.save()
    room.learning = room.open()
    assert room.learning.active
    room.house().connect("c", principal="plug-1").publish("home/plug-1/state")
    assert [one.count for one in room.learning.state().seen] == [2]


def test_a_damaged_file_is_told_with_what_to_do(room: Room) -> None:
    room.path.write_text("{")
    with pytest.raises(LocalError, match="damaged") as told:
        room.open()
    assert "Remove it" in told.value.remedy


def test_stop_keeps_what_was_seen_and_forget_does_not(room: Room) -> None:
    room.start("*")
    room.house().connect("c", principal="plug-1").publish("home/plug-1/state")
    assert room.learning.stop(forget=False, applied=False).topics == 1
    assert isinstance(room.rights(), Policy)
    assert room.propose().members == 1
    assert room.learning.stop(forget=True, applied=False).phase == "off"
    assert not room.path.exists()
    with pytest.raises(LocalError, match="nothing is being learned"):
        room.learning.stop(forget=True, applied=False)


# Proposal and shadow -----------------------------------------------------------------------------------


def test_a_proposal_is_judged_without_effect_from_then_on(room: Room) -> None:
    room.start("*")
    room.house().connect("c", principal="plug-1").publish("home/plug-1/state")
    proposal = room.propose()
    assert (proposal.messages, proposal.passes, proposal.members) == (1, 1, 1)
    device = room.house().connect("c", principal="plug-1")
    denied = room.learning.info().denied
    for _ in range(3):
        device.publish("home/plug-1/state")
        device.publish("home/plug-1/new")
    info = room.learning.info()
    assert info.judged == 6
    assert [(one.topic, one.count) for one in info.would_deny] == [("home/plug-1/new", 3)]
    assert info.denied == denied
    assert room.policy.read_text() == POLICY
    assert room.propose().passes == 7
    assert room.learning.info().would_deny == ()


def test_the_shadow_and_its_counts_outlive_a_restart(room: Room) -> None:
    room.start("*")
    room.house().connect("c", principal="plug-1").publish("home/plug-1/state")
    room.propose()
    room.house().connect("c", principal="plug-1").publish("home/plug-1/new")
    room.learning.save()
    room.learning = room.open()
    room.house().connect("c", principal="plug-1").publish("home/plug-1/new")
    assert [(one.topic, one.count) for one in room.learning.info().would_deny] == [("home/plug-1/new", 2)]


def test_names_in_the_registry_are_known_though_they_were_never_seen(room: Room) -> None:
    room.start("*", ceiling=("#",))
    room.house().connect("c", principal="cam").publish("home/vault/state")
    vault = Identity("vault", "u", "device", State.ACTIVE, 1, 1)
    answer = learn(room.learning, LearnPropose(), room.policy, Snapshot(identities={"vault": vault}))
    assert isinstance(answer, LearnProposal)
    assert "names another device, vault" in answer.suspects["cam"]
    assert answer.left_out[0].topic == "home/vault/state"


def test_whatever_an_attacker_does_the_proposal_fits_into_the_policy_and_honest_devices_are_in_it(
    room: Room,
) -> None:
    room.start("*", ceiling=("#",))
    tap = getattr(room.rights(), "tap")  # noqa: B009  # an authorizer need not have one
    for n in range(20):
        for m in range(250):
            tap.published(f"cam{n}x", f"cam{n}x/{'é' * 180}{n}/{m}", 0, True, 10, True)
    for _ in range(3):
        tap.published("boiler", "home/boiler/heat", 1, False, 10, True)
    proposal = room.propose()
    assert len(proposal.rules.encode()) <= MAX_PROPOSAL_BYTES
    assert "home/${id}/heat" in proposal.rules
    reasons = {one.reason.partition(":")[0] for one in proposal.left_out}
    assert reasons == {"more than the 100 topics that one rule may have", "no room for it in the policy file"}
    edit_policy(room.policy, lambda path, text: add_rules(path, text, proposal.rules))
    assert "learned-boiler" in parse_policy(room.policy).grants


def test_each_step_is_in_the_audit_log(room: Room) -> None:
    room.start("plug-1")
    room.propose()
    room.ask(LearnStop(applied=True))
    assert [kind for kind, _ in room.records] == ["learning.started", "learning.proposed", "learning.applied"]


def test_without_anything_learned_there_is_nothing_to_propose(room: Room) -> None:
    with pytest.raises(LocalError, match="nothing was learned"):
        room.propose()


def test_a_group_that_is_gone_is_not_learned_any_more(room: Room) -> None:
    room.start("group:plugs")
    room.policy.write_text("version = 1\n")
    assert isinstance(room.rights(), Policy)


# A whole network ---------------------------------------------------------------------------------------


def test_a_network_of_200_devices_is_learned_and_its_intruder_is_not(tmp_path: Path) -> None:
    figures = load_tool("learning_figures")
    outcome = figures.simulate(tmp_path, 2)
    assert len(outcome.learned) == 200
    legitimate = outcome.total(outcome.enforced, intruder=False)
    assert legitimate.refused == []
    assert legitimate.passed == legitimate.sent > 2000
    intruder = outcome.total(outcome.enforced, intruder=True)
    assert (intruder.passed, list(outcome.suspects)) == (0, ["camera-7"])
    while_learning = outcome.total(outcome.learned, intruder=True)
    assert while_learning.passed > 0
    assert any("/ota/" in what for what in while_learning.refused)
    found = tomllib.loads(outcome.rules)
    rules = [*found["template"].values(), *found["grant"].values()]
    assert not any("#" in filter for rule in rules for filter in rule.get("publish", ()))
    assert found["template"]["learned-meter"]["publish"] == [
        "energy/${id}/phase/+/power",
        "energy/${id}/total",
    ]

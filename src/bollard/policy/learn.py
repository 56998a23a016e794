"""Least privilege from observed traffic: what was seen comes in, a proposal with its evidence goes out.

Pure. Whatever is seen while learning may be an attacker's, so nothing here takes effect by itself: a person
reads the proposal. It is made so that the person has little to find:

    suspicious    who speaks in another device's name, writes where devices are commanded, reads what names
                  others, or uses topics of the server, gets nothing at all, unless its owner says that it is
                  an application (`applications`) or trusts it (`trusted`)
    odd           what was seen once and of one device, and what one of several like devices does alone, is
                  left out; unless its own name stands in the topic, which harms nobody else
    the rest      is generalised, but no further than `learn_shapes.py` says

What the policy grants already was decided by a person and is neither suspicious nor odd.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bollard.base.types import Action
from bollard.policy.compile import Policy
from bollard.policy.learn_shapes import (
    MIN_DEVICES,
    MIN_SIBLINGS,
    Shape,
    collapse,
    commands,
    kinds,
    narrowest,
    shape,
)
from bollard.policy.model import ID, IDENTITY, RIGHTS
from bollard.policy.space import meet

#: Comparisons of one identity's wildcard filters with what names others (attack: a thousand filters, so that a
#: proposal takes minutes). Who needs more is suspicious.
MAX_COMPARED = 100_000

#: Topics in one proposed rule, those of the most devices first (attack: a device with a thousand topics, so that
#: nobody can read the proposal, and no policy file takes it).
MAX_RULE_TOPICS = 100

ACTIONS = {
    "publish": Action.PUBLISH,
    "subscribe": Action.SUBSCRIBE,
    "retain": Action.RETAIN,
    "will": Action.WILL,
    "share": Action.SHARE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """That `identity` used `right` on `topic` (a filter for "subscribe"), `count` times from `first` to `last`.

    Times in seconds since the epoch, `size` the largest payload in bytes, `qos` the highest. `allowed` says
    whether it was let through when it was last seen.
    """

    identity: str
    right: str
    topic: str
    count: int = 1
    first: float = 0.0
    last: float = 0.0
    qos: int = 0
    size: int = 0
    allowed: bool = True


@dataclass(frozen=True, slots=True)
class Excluded:
    """An observation that no rule is proposed for, and why."""

    seen: Observation
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedFilter:
    """One filter of a proposed rule, as policy files write it, and what it stands on."""

    filter: str
    devices: int
    count: int
    first: float
    last: float
    qos: int
    size: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LearnedRule:
    """Rights for `members`: a template and a group if there are several, a grant for one."""

    name: str
    members: tuple[str, ...]
    rights: Mapping[str, tuple[LearnedFilter, ...]]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is proposed; `suspects` are those who get nothing, with the first reason."""

    rules: tuple[LearnedRule, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    suspects: Mapping[str, str] = field(default_factory=dict)


def propose(
    seen: Iterable[Observation],
    policy: Policy,
    known: Collection[str],
    *,
    applications: Collection[str] = (),
    trusted: Collection[str] = (),
    complete: bool = False,
) -> Proposal:
    """The rules that what was `seen` asks for beyond doubt, under the `policy` in force.

    `known` are the names of all identities, so that another's name in a topic is recognized. Rules are for
    what the policy does not grant yet; with `complete` for all of it, so that they could stand alone.
    """
    observations = [one for one in seen if IDENTITY.fullmatch(one.identity)]
    names = {*known, *(one.identity for one in observations)}
    judge = _Judge(policy, names, observations, frozenset(applications), frozenset(trusted))
    excluded: list[Excluded] = []
    usable: list[Observation] = []
    suspects: dict[str, str] = {}
    for one in observations:
        reason = judge.unusable(one)
        doubt = "" if reason else judge.suspicion(one)
        if doubt:
            suspects.setdefault(one.identity, f"{one.right} {one.topic}: {doubt}")
        if reason or doubt:
            excluded.append(Excluded(one, reason or doubt))
        else:
            usable.append(one)
    for one in usable:
        if one.identity in suspects:
            excluded.append(Excluded(one, "its device is suspicious for something else"))
    usable = [one for one in usable if one.identity not in suspects]
    rules, odd = _rules(usable, excluded, judge, complete)
    return Proposal(tuple(rules), (*excluded, *odd), suspects)


class _Judge:
    """What speaks against one observation."""

    def __init__(
        self,
        policy: Policy,
        names: set[str],
        seen: Sequence[Observation],
        applications: frozenset[str],
        trusted: frozenset[str],
    ) -> None:
        self._policy = policy
        rules = policy.rules
        self.groups_closed = rules.grants_groups
        self.taken = {*rules.templates, *rules.groups, *rules.grants}
        self._names = names
        self._applications = applications
        self._trusted = trusted
        self._named = _Named(seen)

    def granted(self, one: Observation) -> bool:
        """Whether a person has granted it already."""
        return self._policy.decide(one.identity, ACTIONS[one.right], one.topic).allowed

    def vouched(self, one: Observation) -> bool:
        """Whether a person stands for it: by a rule, or by a word for the identity."""
        return one.identity in self._trusted or one.identity in self._applications or self.granted(one)

    def unusable(self, one: Observation) -> str:
        """Why no rule can or may be made of it, whoever it was; or ""."""
        if "${" in one.topic:
            return "its topic would be read as a variable"
        decision = self._policy.decide(one.identity, ACTIONS[one.right], one.topic)
        if decision.allowed:
            return ""
        if decision.rule:
            return f"denied by {decision.rule}"
        return "" if one.allowed else "it was denied: outside of what is allowed while learning"

    def suspicion(self, one: Observation) -> str:
        """Why whoever did this should get nothing; or ""."""
        if one.identity in self._trusted or self.granted(one):
            return ""
        if one.topic.startswith("$"):
            return "it is a topic of the server"
        if one.identity in self._applications:
            return ""
        levels = one.topic.split("/")
        others = (level for level in levels if level != one.identity and level in self._names)
        other = next(others, None)
        if other in self._applications and one.right == "subscribe":
            return ""  # what an application says of itself is for everybody
        if other is not None:
            return f"it names another device, {other}"
        if one.right != "subscribe":
            return "it commands devices" if commands(levels) else ""
        if "+" in levels or "#" in levels:
            return self._named.reading(tuple(levels), one.identity)
        return ""


class _Named:
    """Topics that name who uses them: a filter that meets one reads what is somebody else's."""

    def __init__(self, seen: Iterable[Observation]) -> None:
        self._names: dict[Shape, set[str]] = {}
        for one in seen:
            levels = shape(one.topic, one.identity)
            if one.right in ("publish", "subscribe") and ID in levels:
                self._names.setdefault(levels, set()).add(one.identity)
        self._spent: dict[str, int] = {}

    def reading(self, filter: Shape, identity: str) -> str:
        """Why `identity` reads what is another's with `filter`; "" if it does not."""
        self._spent[identity] = self._spent.get(identity, 0) + len(self._names)
        if self._spent[identity] > MAX_COMPARED:
            return "it subscribes to more than can be compared"
        for levels, names in self._names.items():
            if meet(filter, tuple("+" if level == ID else level for level in levels)) is None:
                continue
            own = [wanted for wanted, level in zip(filter, levels, strict=False) if level == ID]
            asked = set(own) - {"+", "#"} or names
            other = next((name for name in sorted(asked & names)[:2] if name != identity), None)
            if other is not None:
                return f"it reads what names another device, {other}"
        return ""


def _rules(
    usable: Sequence[Observation], excluded: Sequence[Excluded], judge: _Judge, complete: bool
) -> tuple[list[LearnedRule], list[Excluded]]:
    """Rules for everybody in `usable`, kind by kind, and what turned out to be odd."""
    shapes: dict[str, set[Shape]] = {}
    for one in usable:
        shapes.setdefault(one.identity, set()).add((one.right, *shape(one.topic, one.identity)))
    by_identity: dict[str, list[Observation]] = {}
    for one in usable:
        by_identity.setdefault(one.identity, []).append(one)
    rules: list[LearnedRule] = []
    odd: list[Excluded] = []
    for name, members in kinds(shapes):
        kind = _Kind(members, [one for member in members for one in by_identity[member]], excluded, judge)
        if not complete:
            kind.leave_granted()
        if not judge.groups_closed:
            kind.leave_open_groups()
        rules += kind.rules(name)
        odd += kind.odd
    return rules, odd


#: What was seen by right and shape.
_Uses = dict[tuple[str, Shape], list[Observation]]


class _Kind:
    """Devices of one kind, and what becomes of what they did."""

    def __init__(
        self,
        members: tuple[str, ...],
        seen: Sequence[Observation],
        excluded: Sequence[Excluded],
        judge: _Judge,
    ) -> None:
        self._members = members
        self._judge = judge
        self._forbidden = [(one.seen.right, tuple(one.seen.topic.split("/"))) for one in excluded]
        self.odd: list[Excluded] = []
        self._seen: dict[tuple[str, Shape], list[Observation]] = {}
        for one in seen:
            self._seen.setdefault((one.right, shape(one.topic, one.identity)), []).append(one)
        for key in [key for key in self._seen if key[0] != "retain"]:
            reason = self._oddity(key)
            if reason:
                self.odd += [Excluded(one, reason) for one in self._seen.pop(key)]
        # Nothing is retained where nothing may be said.
        for right, levels in [key for key in self._seen if key[0] == "retain"]:
            if ("publish", levels) not in self._seen and ("will", levels) not in self._seen:
                left = self._seen.pop((right, levels))
                self.odd += [Excluded(one, "retained where nothing else is proposed") for one in left]

    def leave_granted(self) -> None:
        """Forget what the policy grants all who did it."""
        for key, seen in list(self._seen.items()):
            if all(map(self._judge.granted, seen)):
                del self._seen[key]

    def leave_open_groups(self) -> None:
        """Forget shared groups: one that a rule named would close all others to everybody."""
        self._seen = {key: seen for key, seen in self._seen.items() if key[0] != "share"}

    def _oddity(self, key: tuple[str, Shape]) -> str:
        right, levels = key
        seen = self._seen[key]
        if ID in levels or any(self._judge.vouched(one) for one in seen):
            return ""
        devices = {one.identity for one in seen}
        if right == "publish" and len(devices) == 1 and sum(one.count for one in seen) == 1:
            return "seen once, of one device"
        siblings = len(self._members) - 1
        if len(devices) == 1 and siblings + 1 >= MIN_SIBLINGS:
            return f"none of the {siblings} devices like it does this"
        return ""

    def rules(self, name: str) -> list[LearnedRule]:
        """One rule for what they share, and one for each that does more."""
        taken = self._judge.taken
        shared: _Uses = {}
        own: dict[str, _Uses] = {}
        for right in RIGHTS:
            supported = {
                levels: frozenset(one.identity for one in seen)
                for (of, levels), seen in self._seen.items()
                if of == right
            }
            made = collapse(supported, lambda wild, right=right: self._acceptable(right, wild))  # type: ignore[misc]
            for levels in narrowest(made):
                seen = [one for part in made[levels] for one in self._seen[right, part]]
                devices = sorted({one.identity for one in seen})
                if len(devices) >= MIN_DEVICES or len(self._members) == 1:
                    shared[right, levels] = seen
                else:
                    own.setdefault(devices[0], {})[right, levels] = seen
        rules = [_rule(name, self._members, self._bounded(shared), taken)] if shared else []
        own_rules = ((member, self._bounded(uses)) for member, uses in sorted(own.items()))
        return rules + [_rule(member, (member,), rights, taken) for member, rights in own_rules]

    def _bounded(self, uses: "_Uses") -> dict[str, list[LearnedFilter]]:
        """The filters of one rule; what is beyond its bound is left out."""
        seen_on: dict[Shape, list[Observation]] = {}
        for (_, levels), seen in uses.items():
            seen_on.setdefault(levels, []).extend(seen)
        ranked = sorted(seen_on, key=lambda levels: (*_weight(seen_on[levels]), levels))
        kept = set(ranked[:MAX_RULE_TOPICS])
        found: dict[str, list[LearnedFilter]] = {}
        for (right, levels), seen in uses.items():
            if levels in kept:
                found.setdefault(right, []).append(_filter(levels, seen))
            else:
                reason = f"more than the {MAX_RULE_TOPICS} topics that one rule may have: grant it by hand"
                self.odd += [Excluded(one, reason) for one in seen]
        return found

    def _acceptable(self, right: str, wild: Shape) -> bool:
        """Whether a wildcard lets in nothing that was excluded, and nothing that they are commanded by."""
        wide = tuple("+" if level == ID else level for level in wild)
        for of, levels in self._forbidden:
            if of == right and meet(wide, levels) is not None and self._own(wild, levels):
                return False
        if right == "subscribe":
            return True
        return not any(
            of == "subscribe" and commands(levels) and meet(wild, levels) is not None
            for of, levels in self._seen
        )

    def _own(self, wild: Shape, levels: Shape) -> bool:
        """Whether `levels` have, where `wild` has `${id}`, a member of this kind or a wildcard."""
        theirs = (other for level, other in zip(wild, levels, strict=False) if level == ID)
        return all(other in self._members or other in ("+", "#") for other in theirs)


def _weight(seen: Sequence[Observation]) -> tuple[int, int]:
    """Sorts what many devices do, and what is done often, to the front."""
    return -len({one.identity for one in seen}), -sum(one.count for one in seen)


def _filter(levels: Shape, seen: Sequence[Observation]) -> LearnedFilter:
    return LearnedFilter(
        filter="/".join(levels),
        devices=len({one.identity for one in seen}),
        count=sum(one.count for one in seen),
        first=min(one.first for one in seen),
        last=max(one.last for one in seen),
        qos=max(one.qos for one in seen),
        size=max(one.size for one in seen),
        examples=tuple(sorted({one.topic for one in seen})[:3]),
    )


def _rule(
    name: str, members: tuple[str, ...], rights: Mapping[str, Sequence[LearnedFilter]], taken: set[str]
) -> LearnedRule:
    """A rule under a name that nothing else has."""
    base = f"learned-{name[:50].rstrip('-_.')}"
    free, number = base, 1
    while free in taken:
        number += 1
        free = f"{base}-{number}"
    taken.add(free)
    return LearnedRule(free, members, {right: tuple(filters) for right, filters in rights.items()})

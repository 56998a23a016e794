"""Why a decision is what it is, and what an identity may do at all, for people.

Explains what decide.py decides and never decides anything itself: `why` asks the policy, then compares the
rules one by one to say how near they came. Slow, for commands; never for messages.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bollard.base.types import Action, Decision, Principal
from bollard.policy.bounds import in_force
from bollard.policy.cases import questions
from bollard.policy.compile import IMPLIED, NEEDED, Applied, Policy
from bollard.policy.model import ID, RIGHTS, Grant, Pattern, Rights
from bollard.policy.space import meet


@dataclass(frozen=True, slots=True)
class Nearest:
    """The granted filter that agrees with the topic furthest, variables filled in.

    `level`, from 1, is the first that differs: there the filter has `wanted` and the topic `found`, either of
    which is None where the levels have ended.
    """

    rule: str
    filter: str
    level: int
    wanted: str | None
    found: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and how it came about. `nearest` is there when nothing granted it; `notes` are sentences;
    `asked` are the questions that were put to the policy."""

    principal: Principal
    action: Action
    topic: str
    decision: Decision
    template: str
    groups: tuple[str, ...]
    nearest: Nearest | None
    notes: tuple[str, ...]
    asked: tuple[tuple[Action, str], ...]


@dataclass(frozen=True, slots=True)
class EffectiveRight:
    """One filter that is granted (`allows`) or denied; `via` says how its rule came to apply, "" if by itself."""

    right: str
    allows: bool
    filter: str
    rule: str
    via: str


@dataclass(frozen=True, slots=True)
class EffectiveLimit:
    """One limit that holds, such as "rate" with "10/s", and the rule that it comes from."""

    name: str
    value: str
    rule: str


@dataclass(frozen=True, slots=True)
class Effective:
    """All that applies to an identity, each right's grants before its denies.

    `any_group`: it may join any shared group that no deny names, because the policy grants `share` to nobody.
    """

    principal: Principal
    template: str
    groups: tuple[str, ...]
    rights: tuple[EffectiveRight, ...]
    any_group: bool
    limits: tuple[EffectiveLimit, ...]


def why(policy: Policy, principal: Principal, action: Action, topic: str) -> Explanation:
    """What `policy` decides when `principal` does `action` on `topic`, with what explains it.

    For a shared subscription, `$share/GROUP/FILTER`, it is explained by its filter, or by its group if only
    that is refused.
    """
    asked = questions(action, topic)
    refused = [one for one in asked if not policy.decide(principal, *one).allowed]
    told = _why(policy, principal, *(refused or asked)[0])
    return replace(told, action=action, topic=topic, asked=tuple(asked)) if len(asked) > 1 else told


def _why(policy: Policy, principal: Principal, action: Action, topic: str) -> Explanation:
    decision = policy.decide(principal, action, topic)
    applied = policy.applied(principal)
    silent = not decision.allowed and not decision.rule
    notes: list[str] = []
    if silent:
        notes = _why_silent(policy, principal, action, topic)
    elif decision.allowed and action == Action.SUBSCRIBE:
        notes = _partly_denied(applied, principal, topic)
    if decision.allowed and action != Action.RECEIVE:
        notes += _limited(policy, principal)
    return Explanation(
        principal,
        action,
        topic,
        decision,
        policy.template(principal),
        policy.groups(principal),
        _nearest(applied, principal, action, topic) if silent else None,
        tuple(notes),
        ((action, topic),),
    )


def missing_rights(policy: Policy, explanation: Explanation) -> dict[str, str]:
    """The rights that a grant would have to give, and on what; none if it is allowed, or if a deny is in the way.

    RETAIN is asked beside PUBLISH, so both are needed.
    """
    asked = list(explanation.asked)
    if explanation.action == Action.RETAIN:
        asked.append((Action.PUBLISH, explanation.topic))
    decisions = {one: policy.decide(explanation.principal, *one) for one in asked}
    if explanation.decision.allowed or any(d.rule and not d.allowed for d in decisions.values()):
        return {}
    needed = {NEEDED[one]: on for (one, on), decision in decisions.items() if not decision.allowed}
    return {right: needed[right] for right in RIGHTS if right in needed}


def effective(policy: Policy, principal: Principal) -> Effective:
    """Every filter that `policy` grants or denies `principal`, with `${id}` filled in."""
    rights = [
        EffectiveRight(right, rule.allows, "/".join(_filled(pattern, principal)), rule.rule, rule.via)
        for right in RIGHTS
        for allows in (True, False)
        for rule in policy.applied(principal)
        if rule.allows is allows and rule.rule != IMPLIED
        for pattern in rule.rights.of(right)
    ]
    any_group = any(rule.rule == IMPLIED for rule in policy.applied(principal))
    groups = policy.groups(principal)
    limits = tuple(
        EffectiveLimit(name, str(value), rule)
        for name, (value, rule) in in_force(policy.bounds(principal)).items()
    )
    return Effective(principal, policy.template(principal), groups, tuple(rights), any_group, limits)


def describe(explanation: Explanation) -> list[str]:
    """`explanation` as lines of text, the verdict first. Topics are quoted, so that odd ones do no harm."""
    decision = explanation.decision
    lines = [f"{'ALLOWED' if decision.allowed else 'DENIED'}: {decision.reason}"]
    near = explanation.nearest
    if near:
        wanted = "its end" if near.wanted is None else f'"{near.wanted}"'
        found = "has ended" if near.found is None else f"has {near.found!r}"
        lines.append(
            f"nearest: {near.rule}, {near.filter} (differs at level {near.level}: {wanted}, the topic {found})"
        )
    lines += explanation.notes
    template = f'template "{explanation.template}"' if explanation.template else "no template of its own"
    groups = ", ".join(explanation.groups) or "none"
    return [*lines, f"{explanation.principal!r} has {template}; groups: {groups}"]


def _filled(pattern: Pattern, principal: str) -> list[str]:
    return [principal if level == ID else level for level in pattern.levels]


def _difference(filter: Sequence[str], asked: Sequence[str]) -> int:
    """The first level, from 0, at which `filter` does not cover `asked`; -1 if it covers it all."""
    if asked[0].startswith("$") and filter[0] in ("+", "#"):
        return 0
    for index, level in enumerate(filter):
        if level == "#":
            return -1
        if index == len(asked):
            return index
        if level != asked[index] and (level != "+" or asked[index] == "#"):
            return index
    return -1 if len(filter) == len(asked) else len(filter)


def _levels(action: Action, topic: str) -> list[str]:
    return ["+", "#"] if action == Action.SUBSCRIBE and topic == "#" else topic.split("/")


def _covers(rights: Rights, principal: str, action: Action, topic: str) -> bool:
    asked = _levels(action, topic)
    return any(_difference(_filled(pattern, principal), asked) < 0 for pattern in rights.of(NEEDED[action]))


def _nearest(applied: Sequence[Applied], principal: str, action: Action, topic: str) -> Nearest | None:
    asked = _levels(action, topic)
    written = topic.split("/")
    best: Nearest | None = None
    for rule in applied:
        for pattern in rule.rights.of(NEEDED[action]) if rule.allows else ():
            filter = _filled(pattern, principal)
            at = _difference(filter, asked)
            if at >= 0 and (best is None or at >= best.level):
                wanted = filter[at] if at < len(filter) else None
                found = (written if at < len(written) else asked)[at] if at < len(asked) else None
                best = Nearest(rule.rule, "/".join(filter), at + 1, wanted, found)
    return best


def _why_silent(policy: Policy, principal: str, action: Action, topic: str) -> list[str]:
    """Sentences about what would have granted it, but does not."""
    notes = [
        f'grant "{grant.name}" would allow it, but it {_out_of_force(grant)}'
        for grant in policy.asleep(principal)
        if _covers(grant.rights, principal, action, topic)
    ]
    if action in (Action.RETAIN, Action.WILL):
        published = policy.decide(principal, Action.PUBLISH, topic)
        if published.allowed:
            notes.append(f"{published.rule} grants publish here; {NEEDED[action]} is a right of its own")
    if topic.startswith("$"):
        notes.append("topics that begin with $ must be granted by name: wildcards never match that level")
    return notes


def _limited(policy: Policy, principal: str) -> list[str]:
    """A sentence about what is refused all the same, for being too much."""
    limits = [
        f"{name} {value} ({rule})" for name, (value, rule) in in_force(policy.bounds(principal)).items()
    ]
    return [f"limits: {', '.join(limits)}"] if limits else []


def _out_of_force(grant: Grant) -> str:
    bounds = [
        f"{word} {moment.isoformat()}"
        for word, moment in (("from", grant.starts), ("until", grant.ends))
        if moment is not None
    ]
    return f"is in force only {' '.join(bounds)}"


def _partly_denied(applied: Sequence[Applied], principal: str, topic: str) -> list[str]:
    """Sentences about denies that stop a part of what the filter `topic` subscribes to."""
    asked = tuple(topic.split("/"))
    return [
        f"{rule.rule} stops the part of it that matches {pattern.text}"
        for rule in applied
        if not rule.allows
        for pattern in rule.rights.subscribe
        if meet(tuple(_filled(pattern, principal)), asked) is not None
    ]

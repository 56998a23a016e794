"""From rules to an authorizer: who is meant by which rule, settled once for each identity.

Identities with the same rules share one profile, however many there are. Groups, patterns, grants and the
template of the enrolment end here; what is left for each message is in decide.py. Nothing is read, and no
clock: the caller says what time it is.
"""

import fnmatch
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar

from bollard.base.allowance import Allowance
from bollard.base.types import ANONYMOUS, Action, Decision, Principal
from bollard.policy.bounds import Bound, allowance_of, in_force
from bollard.policy.decide import Node, Profile, decide
from bollard.policy.model import GROUP, IDENTITY, RIGHTS, Deny, Grant, Group, Pattern, Rights, Rules, Subjects

#: Which right each action needs, by the number of the action.
NEEDED = {
    Action.PUBLISH: "publish",
    Action.SUBSCRIBE: "subscribe",
    Action.RECEIVE: "subscribe",
    Action.RETAIN: "retain",
    Action.WILL: "will",
    Action.SHARE: "share",
}

#: What holds of shared groups where no rule gives a right to any: the right to the filter is enough.
ANY_GROUP = Pattern(("+",), "+", 0)
IMPLIED = "built-in.groups"

#: Where the broker tells a device what it was refused. Everybody but anonymous may read its own, whatever the
#: rules say; that of others is granted by name.
OWN_NEWS = "$diag/"
READS_OWN_NEWS = Decision(True, "built-in.diag", "everybody may read what it was denied itself")

#: Attack: a client for each of very many identities, to fill the memory with what is remembered of them.
MAX_REMEMBERED = 65_536

_Named = TypeVar("_Named", Grant, Deny)


@dataclass(frozen=True, slots=True)
class Applied:
    """A rule as it applies to one identity: `rights` with `${group}` filled in, `${id}` still open.

    `rule` is its name in decisions, such as "template.device" or "preset.ha"; `via` says how it came to apply.
    """

    rule: str
    via: str
    allows: bool
    rights: Rights
    group: str = ""


def denied_topic(principal: Principal) -> str:
    """Where the broker tells `principal` what it was denied."""
    return f"{OWN_NEWS}{principal}/denied"


def _reads_own_news(principal: Principal, action: Action, topic: str) -> bool:
    # Anonymous clients are many: what one of them asked for is none of the others' business.
    return (
        action in (Action.SUBSCRIBE, Action.RECEIVE)
        and topic == denied_topic(principal)
        and principal != ANONYMOUS
        and IDENTITY.fullmatch(principal) is not None
    )


class Policy:
    """What the rules allow, as an `Authorizer`: immutable, in memory, for any thread; `decide` never raises.

    A wildcard of the policy never brings `anonymous` in to what is allowed, and never leaves it out of what
    is denied: neither "*" nor "an*" nor a template of an enrolment gives it anything, only its own name.
    """

    __slots__ = (
        "_allowances",
        "_asleep",
        "_bounded",
        "_denies",
        "_grants",
        "_literal",
        "_lock",
        "_older",
        "_patterns",
        "_profiles",
        "_recent",
        "_templates",
        "bounds_qos",
        "changes_at",
        "rules",
    )

    def __init__(self, rules: Rules, templates: Mapping[str, str], at: datetime | None = None) -> None:
        """`templates` has the name of the template that each identity was enrolled with.

        Grants with `from`, `until` or `for` are in force as of `at`, which has a time zone; without `at` they
        are not in force at all. `changes_at` is the moment at which one of them starts or ends and a new
        policy has to take the place of this one, or None.
        """
        self.rules = rules
        self._templates = dict(templates)
        awake = {name: grant for name, grant in rules.grants.items() if _in_force(grant, at)}
        asleep = [grant for name, grant in rules.grants.items() if name not in awake]
        self._grants = _Index(awake.values())
        self._asleep = _Index(asleep)
        self._denies = _Index(rules.denies.values())
        bounds = [
            rule.bounds
            for rules_of_kind in (rules.templates, rules.groups, rules.grants)
            for rule in rules_of_kind.values()
        ]
        self._bounded = any(bounds)
        self.bounds_qos = any(each.max_qos is not None for each in bounds)
        self._literal: dict[str, set[str]] = {}
        self._patterns: list[tuple[re.Pattern[str], str]] = []
        self._index_members(rules.groups.values())
        self.changes_at = _next_change(rules.grants.values(), at)
        self._lock = threading.Lock()
        self._profiles: dict[tuple[object, ...], Profile] = {}
        self._recent: dict[str, Profile] = {}
        self._allowances: dict[str, Allowance | None] = {}
        self._older: dict[str, Profile] = {}

    def decide(self, principal: Principal, action: Action, topic: str) -> Decision:
        """May `principal` do `action` on `topic`: a filter without $share for SUBSCRIBE, else a topic name?

        RECEIVE is allowed where a subscribe filter matches. RETAIN is asked beside PUBLISH or WILL, and WILL
        instead of PUBLISH: the right to a will is enough to publish that will. SHARE is asked about the name
        of a group, beside SUBSCRIBE and RECEIVE.
        """
        if topic.startswith(OWN_NEWS) and _reads_own_news(principal, action, topic):
            return READS_OWN_NEWS
        profile = self._recent.get(principal)
        if profile is None:
            profile = self._profile(principal)
        return decide(profile, principal, action, topic)

    @property
    def allow_foreign_response_topics(self) -> bool:
        return self.rules.allow_foreign_response_topics

    def template(self, principal: Principal) -> str:
        """The name of the template that `principal` was enrolled with, known to the rules or not; "" if none."""
        return "" if principal == ANONYMOUS else self._templates.get(principal, "")

    def groups(self, principal: Principal, *, wide: bool = False) -> tuple[str, ...]:
        """The groups that `principal` is a member of, sorted. `wide` lets patterns mean `anonymous` too."""
        if not IDENTITY.fullmatch(principal):
            return ()
        found = set(self._literal.get(principal, ()))
        if wide or principal != ANONYMOUS:
            found.update(group for pattern, group in self._patterns if pattern.match(principal))
        return tuple(sorted(found))

    def applied(self, principal: Principal) -> tuple[Applied, ...]:
        """The rules in force for `principal`, sorted by name; none for what cannot be an identity."""
        if not IDENTITY.fullmatch(principal):
            return ()
        groups = self.groups(principal)
        named = principal != ANONYMOUS
        found = [
            Applied(f"grant.{g.name}", "", True, g.rights) for g in self._grants.of(principal, groups, named)
        ]
        found += self._from_templates(principal, groups)
        wide = groups if named else self.groups(principal, wide=True)
        found += [
            Applied(f"deny.{deny.name}", "", False, deny.rights)
            for deny in self._denies.of(principal, wide, everyone=True)
            if not _means(deny.exempt, principal, groups)
        ]
        if not self.rules.grants_groups and any(rule.allows and rule.rights.subscribe for rule in found):
            found.append(Applied(IMPLIED, "no rule grants share", True, Rights(share=(ANY_GROUP,))))
        return tuple(sorted(found, key=lambda applied: (applied.rule, applied.group)))

    def allowance(self, principal: Principal) -> Allowance | None:
        """How much `principal` may use of its rights; None if no rule limits it."""
        if not self._bounded or not IDENTITY.fullmatch(principal):
            return None
        known = self._allowances
        if principal in known:
            return known[principal]
        found = allowance_of(in_force(self.bounds(principal)))
        with self._lock:
            if len(self._allowances) >= MAX_REMEMBERED:
                self._allowances = {}
            self._allowances[principal] = found
        return found

    def bounds(self, principal: Principal) -> list[Bound]:
        """The limits that rules in force set for `principal`. Patterns mean `anonymous` too, as in a deny."""
        if not IDENTITY.fullmatch(principal):
            return []
        groups = self.groups(principal)
        named = principal != ANONYMOUS
        wide = groups if named else self.groups(principal, wide=True)
        applied = {name for group in wide for name in self.rules.groups[group].apply}
        applied.add(self.template(principal))
        templates = [template for name, template in self.rules.templates.items() if name in applied]
        found = [Bound(template.rule, False, template.bounds) for template in templates]
        found += [Bound(f"group.{group}", False, self.rules.groups[group].bounds) for group in wide]
        found += [
            Bound(f"grant.{grant.name}", True, grant.bounds)
            for grant in self._grants.of(principal, groups, named)
        ]
        return [bound for bound in found if bound.allowance]

    def asleep(self, principal: Principal) -> list[Grant]:
        """The grants that mean `principal` and are not in force: over, not begun, or no time was given."""
        return self._asleep.of(principal, self.groups(principal), everyone=principal != ANONYMOUS)

    def _from_templates(self, principal: str, groups: Sequence[str]) -> list[Applied]:
        found: dict[tuple[str, str], Applied] = {}
        own = self.template(principal)
        sources = [(own, "", "enrolled with it")] if own else []
        sources += [
            (name, group, f'group "{group}"') for group in groups for name in self.rules.groups[group].apply
        ]
        for name, group, via in sources:
            template = self.rules.templates.get(name)
            if template is None:
                continue
            rights = template.rights
            if rights.uses(GROUP):
                rights = _fill_group(rights, group)
            else:
                group = ""
            found.setdefault((name, group), Applied(template.rule, via, True, rights, group))
        return list(found.values())

    def _index_members(self, groups: Iterable[Group]) -> None:
        for group in groups:
            for member in group.members:
                if "*" in member or "?" in member:
                    self._patterns.append((re.compile(fnmatch.translate(member)), group.name))
                else:
                    self._literal.setdefault(member, set()).add(group.name)

    def _profile(self, principal: str) -> Profile:
        """The profile of `principal`, remembered. The longest unused are forgotten, in bulk."""
        if not IDENTITY.fullmatch(principal):
            return _profile_of((), "an identity has 1 to 64 letters, digits, - _ and full stops")
        with self._lock:
            profile = self._older.get(principal) or self._compile(principal)
            if len(self._recent) >= MAX_REMEMBERED:
                self._older = self._recent
                self._recent = {}
            self._recent[principal] = profile
        return profile

    def _compile(self, principal: str) -> Profile:
        applied = self.applied(principal)
        fault = ""
        template = self.template(principal)
        if template and template not in self.rules.templates:
            fault = f'it is enrolled with template "{template}", which the policy does not have'
        elif principal == ANONYMOUS:
            fault = "only rules that name anonymous itself give it anything"
        key = (fault, *((rule.rule, rule.group) for rule in applied))
        profile = self._profiles.get(key)
        if profile is None:
            if len(self._profiles) >= MAX_REMEMBERED:
                self._profiles.clear()
            profile = self._profiles[key] = _profile_of(applied, fault)
        return profile


class _Index(Generic[_Named]):
    """Rules by whom they mean, so that nobody is compared with rules that name others."""

    __slots__ = ("_everyone", "_groups", "_identities")

    def __init__(self, rules: Iterable[_Named]) -> None:
        self._everyone: list[_Named] = []
        self._groups: dict[str, list[_Named]] = {}
        self._identities: dict[str, list[_Named]] = {}
        for rule in rules:
            if rule.who.everyone:
                self._everyone.append(rule)
            for name in rule.who.groups:
                self._groups.setdefault(name, []).append(rule)
            for name in rule.who.identities:
                self._identities.setdefault(name, []).append(rule)

    def of(self, identity: str, groups: Iterable[str], everyone: bool) -> list[_Named]:
        """The rules that mean `identity`, a member of `groups`; `everyone`: and who is meant by "*"."""
        found = {rule.name: rule for rule in self._identities.get(identity, ())}
        for group in groups:
            found.update((rule.name, rule) for rule in self._groups.get(group, ()))
        if everyone:
            found.update((rule.name, rule) for rule in self._everyone)
        return list(found.values())


def _means(subjects: Subjects, identity: str, groups: Iterable[str]) -> bool:
    return identity in subjects.identities or not subjects.groups.isdisjoint(groups)


def _in_force(grant: Grant, at: datetime | None) -> bool:
    if grant.starts is None and grant.ends is None:
        return True
    if at is None:
        return False
    return (grant.starts is None or grant.starts <= at) and (grant.ends is None or at < grant.ends)


def _next_change(grants: Iterable[Grant], at: datetime | None) -> datetime | None:
    if at is None:
        return None
    moments = [moment for grant in grants for moment in (grant.starts, grant.ends) if moment and moment > at]
    return min(moments, default=None)


def _fill_group(rights: Rights, group: str) -> Rights:
    """`rights` with `${group}` as the level `group`. Without a group, filters that need one are left out."""

    def filled(patterns: tuple[Pattern, ...]) -> tuple[Pattern, ...]:
        return tuple(
            replace(pattern, levels=tuple(group if level == GROUP else level for level in pattern.levels))
            for pattern in patterns
            if group or GROUP not in pattern.levels
        )

    return Rights(*(filled(rights.of(right)) for right in RIGHTS))


def _profile_of(applied: Iterable[Applied], fault: str) -> Profile:
    denied: dict[str, Node] = {}
    allowed: dict[str, Node] = {}
    for rule in applied:
        for right in RIGHTS:
            for pattern in rule.rights.of(right):
                _add(allowed if rule.allows else denied, rule, right, right, pattern)
                if right == "publish" and not rule.allows:
                    # Attack: what one may not publish, left behind as a will and then published by dying.
                    _add(denied, rule, "will", "publish, and so a will,", pattern)
    silence = [f"no rule grants {NEEDED[action]}" + (f": {fault}" if fault else "") for action in Action]
    return Profile(
        [denied.get(NEEDED[action]) for action in Action],
        [allowed.get(NEEDED[action]) for action in Action],
        [Decision(False, "", reason) for reason in silence],
    )


def _add(tries: dict[str, Node], rule: Applied, right: str, words: str, pattern: Pattern) -> None:
    kind, _, name = rule.rule.partition(".")
    reason = f'{kind} "{name}" {"grants" if rule.allows else "forbids"} {words} on {pattern.text}'
    tries.setdefault(right, Node()).add(pattern.levels, Decision(rule.allows, rule.rule, reason))

"""What is right in a policy file and still not what its writer can have meant, said with the rule named.

Warnings only: what is wrong is an error and found while reading. Nothing is decided here. Variables are
compared as texts of their own, since what they stand for is never written out in a filter; where it is, for
a rule about one identity, its name is filled in.
"""

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from bollard.base.types import ANONYMOUS
from bollard.policy.model import GROUP, ID, RIGHTS, Deny, Grant, Pattern, Rights, Rules, Subjects, Template
from bollard.policy.space import Levels, covers, overlap

#: Stable names of the warnings, and what each says.
CODES: Mapping[str, str] = {
    "never-matches": "A rule, or a filter in it, has no effect whatever happens.",
    "no-such-template": "An identity was enrolled with a template that the policy does not have.",
    "broader-than-template": "A grant gives all of what a template gives in part, to those who have it.",
    "shadowed-deny": "A deny forbids nothing that another deny does not forbid already.",
    "broad": "A right reaches further than people mean as a rule.",
}

#: The rights that are about topics. `share` is about names of groups, and reaches no topic by itself.
TOPIC_RIGHTS = tuple(right for right in RIGHTS if right != "share")


@dataclass(frozen=True, slots=True, order=True)
class Remark:
    """`rule` is the rule's name, such as "grant.service", `line` where it stands, `code` one of `CODES`, or
    of a note of `absent.py`."""

    line: int
    rule: str
    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text} [{self.code}]"


def lint(rules: Rules, at: datetime, enrolled: Mapping[str, str] | None = None) -> list[Remark]:
    """Warnings about `rules` as of `at`, by line. `enrolled` maps identities to templates, if they are known.

    Raises `TooComplex` for filters that nobody could compare.
    """
    found: set[Remark] = set()
    for check in (
        *(_idle_grants, _idle_groups, _idle_exceptions, _idle_retains, _idle_shares),
        *(_forbidden, _shadowed, _broad),
    ):
        found.update(check(rules, at))
    found.update(_broader(rules, enrolled or {}))
    found.update(_strangers(rules, enrolled or {}))
    return sorted(found)


# --- whom a rule means -----------------------------------------------------------------------------------


def _names_of(rules: Rules, group: str) -> frozenset[str]:
    return frozenset(rules.groups[group].members)


def _member(rules: Rules, identity: str, groups: Iterable[str]) -> bool:
    """Is `identity` a member of one of `groups`, patterns included, which never mean `anonymous`?"""
    return any(
        identity == name or (identity != ANONYMOUS and fnmatch.fnmatchcase(identity, name))
        for group in groups
        for name in _names_of(rules, group)
    )


def _within(rules: Rules, inner: Subjects, outer: Subjects) -> bool:
    """Does `outer` mean everybody, beside `anonymous`, whom `inner` means?"""
    if outer.everyone:
        return True
    return (
        not inner.everyone
        and inner.groups <= outer.groups
        and all(name in outer.identities or _member(rules, name, outer.groups) for name in inner.identities)
    )


def _spares(rules: Rules, deny: Deny, who: Subjects) -> bool:
    """Might an exception of `deny` spare somebody whom `who` means?"""
    exempt = deny.exempt
    if who.everyone or who.groups:
        return bool(exempt.identities or exempt.groups)
    return any(name in exempt.identities or _member(rules, name, exempt.groups) for name in who.identities)


# --- rules as filters ------------------------------------------------------------------------------------


def _filters(patterns: Iterable[Pattern], identity: str = "") -> list[Levels]:
    return [tuple(identity if identity and level == ID else level for level in p.levels) for p in patterns]


def _loose(patterns: Iterable[Pattern]) -> list[Levels]:
    """The filters with variables as wide as they could be."""
    return [tuple("+" if level in (ID, GROUP) else level for level in p.levels) for p in patterns]


def _denied(deny: Deny, right: str) -> tuple[Pattern, ...]:
    """What `deny` forbids of `right`: to forbid publishing is to forbid wills, too."""
    return deny.rights.of(right) + (deny.rights.publish if right == "will" else ())


def _givers(rules: Rules) -> Iterator[tuple[str, int, Subjects, Rights]]:
    """Every rule that gives rights: its name, line, whom it means and what it gives."""
    for template in rules.templates.values():
        yield template.rule, template.line, Subjects(everyone=True), template.rights
    for grant in rules.grants.values():
        yield f"grant.{grant.name}", grant.line, grant.who, grant.rights


# --- rules that can never match --------------------------------------------------------------------------


def _idle_grants(rules: Rules, at: datetime) -> Iterator[Remark]:
    for grant in rules.grants.values():
        name = f"grant.{grant.name}"
        if grant.ends is not None and grant.ends <= at:
            text = f"it ended at {grant.ends.isoformat()}; remove it: bollard grant --revoke {grant.name}"
            yield Remark(grant.line, name, "never-matches", text)
    for name, line, who in _rules_about(rules):
        if not who.everyone and not who.identities and not any(_names_of(rules, g) for g in who.groups):
            yield Remark(line, name, "never-matches", "it means nobody: its groups have no members")


def _rules_about(rules: Rules) -> Iterator[tuple[str, int, Subjects]]:
    for grant in rules.grants.values():
        yield f"grant.{grant.name}", grant.line, grant.who
    for deny in rules.denies.values():
        yield f"deny.{deny.name}", deny.line, deny.who


def _idle_groups(rules: Rules, _at: datetime) -> Iterator[Remark]:
    named = {group for _, _, who in _rules_about(rules) for group in who.groups}
    named.update(group for deny in rules.denies.values() for group in deny.exempt.groups)
    for group in rules.groups.values():
        name = f"group.{group.name}"
        if not group.members:
            yield Remark(group.line, name, "never-matches", "it has no members, so it does nothing")
        elif not group.apply and group.name not in named:
            text = "it applies no template and no rule names it, so it does nothing"
            yield Remark(group.line, name, "never-matches", text)


def _idle_exceptions(rules: Rules, _at: datetime) -> Iterator[Remark]:
    for deny in rules.denies.values():
        if deny.who.everyone or deny.who.groups:
            continue  # whoever is excepted may be among these
        for name in sorted(deny.exempt.identities - deny.who.identities):
            text = f'it excepts "{name}", whom it does not mean'
            yield Remark(deny.line, f"deny.{deny.name}", "never-matches", text)


def _idle_retains(rules: Rules, _at: datetime) -> Iterator[Remark]:
    """A message is retained only by who may publish it, or leave it as a will."""
    sent = [
        levels for _, _, _, rights in _givers(rules) for levels in _loose((*rights.publish, *rights.will))
    ]
    for name, _, _, rights in _givers(rules):
        for pattern in rights.retain:
            if not overlap(sent, _loose([pattern])):
                text = f"retain on {pattern.text} never matches: no rule grants publish or will there"
                yield Remark(pattern.line, name, "never-matches", text)


def _idle_shares(rules: Rules, _at: datetime) -> Iterator[Remark]:
    """A shared group is joined only by who may subscribe to something."""
    givers = list(_givers(rules))
    if any(rights.subscribe for _, _, _, rights in givers):
        return
    for name, _, _, rights in givers:
        for pattern in rights.share:
            text = f"share on {pattern.text} never matches: no rule grants subscribe"
            yield Remark(pattern.line, name, "never-matches", text)


def _forbidden(rules: Rules, _at: datetime) -> Iterator[Remark]:
    """What is granted in vain, since a deny without a gap forbids all of it."""
    forbidden = {
        (deny.name, right): _filters(_denied(deny, right))
        for deny in rules.denies.values()
        for right in RIGHTS
    }
    for name, _, who, rights in _givers(rules):
        denies = [
            deny.name
            for deny in rules.denies.values()
            if _within(rules, who, deny.who) and not _spares(rules, deny, who)
        ]
        for right in RIGHTS if denies else ():
            for pattern in rights.of(right):
                culprits = [deny for deny in denies if overlap(forbidden[deny, right], [pattern.levels])]
                together = [levels for deny in culprits for levels in forbidden[deny, right]]
                if together and covers(together, [pattern.levels]):
                    by = ", ".join(f"deny.{deny}" for deny in culprits)
                    text = f"{right} on {pattern.text} never matches: {by} forbids all of it"
                    yield Remark(pattern.line, name, "never-matches", text)


def _strangers(rules: Rules, enrolled: Mapping[str, str]) -> Iterator[Remark]:
    for identity, template in enrolled.items():
        if template and template not in rules.templates:
            text = f'"{identity}" is enrolled with it, and the policy has no such template'
            yield Remark(0, f"template.{template}", "no-such-template", text)


# --- one rule against another ----------------------------------------------------------------------------


def _shadowed(rules: Rules, _at: datetime) -> Iterator[Remark]:
    denies = sorted(rules.denies.values(), key=lambda deny: deny.line)
    for deny in denies:
        for other in denies:
            if other is not deny and _shadows(rules, other, deny):
                if deny.line < other.line and _shadows(rules, deny, other):
                    continue  # they forbid the same, and one of them is enough to tell
                text = f"deny.{other.name} forbids all of it already"
                yield Remark(deny.line, f"deny.{deny.name}", "shadowed-deny", text)
                break


def _shadows(rules: Rules, other: Deny, deny: Deny) -> bool:
    """Does `other` forbid all that `deny` forbids, to everybody?"""
    return (
        _within(rules, deny.who, other.who)
        and _within(rules, other.exempt, deny.exempt)
        and all(covers(_filters(_denied(other, r)), _filters(deny.rights.of(r))) for r in RIGHTS)
    )


def _broader(rules: Rules, enrolled: Mapping[str, str]) -> Iterator[Remark]:
    for grant in rules.grants.values():
        templates = list(_templates_of(rules, grant, enrolled))
        for right in RIGHTS:
            for pattern in grant.rights.of(right):
                names = {t.rule: None for t, identity in templates if _exceeds(pattern, t, right, identity)}
                if names:
                    text = f"{right} on {pattern.text} is broader than what they get from {', '.join(names)}"
                    yield Remark(pattern.line, f"grant.{grant.name}", "broader-than-template", text)


def _exceeds(pattern: Pattern, template: Template, right: str, identity: str) -> bool:
    """Does `pattern` hold a filter that `template` gives for `right`, and more?"""
    wide = _filters([pattern], identity)
    return any(
        covers(wide, narrow) and not covers(narrow, wide)
        for narrow in ([levels] for levels in _filters(template.rights.of(right), identity))
    )


def _templates_of(rules: Rules, grant: Grant, enrolled: Mapping[str, str]) -> Iterator[tuple[Template, str]]:
    """The templates of those whom `grant` means, each with the identity to fill in, if it is one alone.

    With nothing known of whom it means, they could have any template.
    """
    for identity in sorted(grant.who.identities):
        names = {enrolled[identity]} if identity in enrolled else set()
        for group in rules.groups.values():
            if _member(rules, identity, [group.name]):
                names.update(group.apply)
        for name in sorted(names & rules.templates.keys()):
            yield rules.templates[name], identity
    applied = {name for group in grant.who.groups for name in rules.groups[group].apply}
    if grant.who.everyone or (grant.who.groups and not applied):
        applied = set(rules.templates)
    for name in sorted(applied):
        yield rules.templates[name], ""


# --- rights that reach far -------------------------------------------------------------------------------


def _broad(rules: Rules, _at: datetime) -> Iterator[Remark]:
    for name, _, _, rights in _givers(rules):
        for right in TOPIC_RIGHTS:
            for pattern in rights.of(right):
                if pattern.levels[0] in ("+", "#"):
                    text = f"{right} on {pattern.text} reaches into every topic tree but those with $"
                    yield Remark(pattern.line, name, "broad", text)
    for grant in rules.grants.values():
        if not grant.who.everyone:
            continue
        for right in ("publish", "retain", "will"):
            for pattern in grant.rights.of(right):
                if pattern.levels[0] not in ("+", "#") and ID not in pattern.levels:
                    text = f"{right} on {pattern.text} lets everybody speak for everybody there"
                    yield Remark(pattern.line, f"grant.{grant.name}", "broad", text)
    yield from _broad_anonymous(rules)


def _broad_anonymous(rules: Rules) -> Iterator[Remark]:
    """What anybody who reaches a listener that admits anonymous clients may do in more than one topic."""
    given = [
        (f"group.{group.name}", group.line, rules.templates[name].rights)
        for group in rules.groups.values()
        if ANONYMOUS in group.members
        for name in group.apply
    ]
    given += [
        (f"grant.{grant.name}", grant.line, grant.rights)
        for grant in rules.grants.values()
        if ANONYMOUS in grant.who.identities
        or any(ANONYMOUS in _names_of(rules, g) for g in grant.who.groups)
    ]
    for name, line, rights in given:
        for right in TOPIC_RIGHTS:
            for pattern in rights.of(right):
                if "+" in pattern.levels or "#" in pattern.levels:
                    text = f"it gives {right} on {pattern.text} to anonymous, which is anybody who connects"
                    yield Remark(line, name, "broad", text)

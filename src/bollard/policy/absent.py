"""Rules that are right and mean nobody who is there: told as notes, since an identity may be enrolled later.

What no enrollment could mend is a warning of `lint.py`. Nothing is decided here.
"""

import fnmatch
from collections.abc import Collection, Iterator

from bollard.base.types import ANONYMOUS
from bollard.policy.default import DEFAULT_POLICY
from bollard.policy.lint import Remark
from bollard.policy.model import Rules, Subjects

#: The code of every note.
NOBODY = "nobody"


def absent(rules: Rules, templates: Collection[str], present: Collection[str]) -> list[Remark]:
    """Notes about rules that mean nobody, by line.

    `present` are the identities that may connect, now or when they are resumed, with `anonymous` if a listener
    admits it; `templates` those that somebody of them was enrolled with.
    """
    found = [*_rules(rules, present), *_groups(rules, present), *_templates(rules, templates)]
    return sorted(Remark(line, rule, NOBODY, text) for rule, line, text in found)


def _rules(rules: Rules, present: Collection[str]) -> Iterator[tuple[str, int, str]]:
    for kind, entries in (("grant", rules.grants), ("deny", rules.denies)):
        for entry in entries.values():
            for name in sorted(entry.who.identities.difference(present)):
                yield f"{kind}.{entry.name}", entry.line, _missing(name)
            if _only_empty_groups(rules, entry.who, present):
                yield f"{kind}.{entry.name}", entry.line, "nobody is in its groups"


def _only_empty_groups(rules: Rules, who: Subjects, present: Collection[str]) -> bool:
    """Does `who` mean groups alone, of which each has members in the policy and none that is there?"""
    members = [name for group in who.groups for name in rules.groups[group].members]
    return bool(members) and not (
        who.everyone or who.identities or any(_is_there(n, present) for n in members)
    )


def _groups(rules: Rules, present: Collection[str]) -> Iterator[tuple[str, int, str]]:
    for group in rules.groups.values():
        for name in group.members:
            if not _is_there(name, present):
                yield f"group.{group.name}", group.line, _missing(name)


def _templates(rules: Rules, templates: Collection[str]) -> Iterator[tuple[str, int, str]]:
    used = {name for group in rules.groups.values() for name in group.apply}.union(templates)
    for template in rules.templates.values():
        # What the first run writes waits for the first device and the first application.
        if template.name not in used and f"\n[template.{template.name}]\n" not in DEFAULT_POLICY:
            yield template.rule, template.line, "nobody is enrolled with it, and no group applies it"


def _is_there(member: str, present: Collection[str]) -> bool:
    if not _is_pattern(member):
        return member in present
    return any(name != ANONYMOUS and fnmatch.fnmatchcase(name, member) for name in present)


def _is_pattern(member: str) -> bool:
    return any(char in member for char in "*?")


def _missing(name: str) -> str:
    if name == ANONYMOUS:
        return "no listener admits anonymous"
    return (
        f'nobody is enrolled as "{name}", or it is revoked'
        if not _is_pattern(name)
        else f'nobody is like "{name}"'
    )

"""The rules of a policy as values: what a policy file becomes, and what everything here decides by.

Words and types only. How a file becomes them is in rules.py; what follows from them is in compile.py.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bollard.base.allowance import UNBOUNDED, Allowance

#: Levels of a filter that stand for something else. No other level may hold "${".
ID = "${id}"
GROUP = "${group}"

#: The names of the rights in a policy file; attributes of `Rights`.
RIGHTS = ("publish", "subscribe", "retain", "will", "share")

IDENTITY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""What an identity may consist of: nothing that means something in a topic, so that it can stand as a level."""

#: What stands before the name of a group where an identity could stand.
GROUP_PREFIX = "group:"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A topic filter of a right: `levels` are texts, `+`, `#`, `ID` or `GROUP`; `text` is as it was written.

    One of the right `share` is about names of shared groups, which are one level and hold no `#`.
    """

    levels: tuple[str, ...]
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Rights:
    """The filters of each right; none of it is implied by another."""

    publish: tuple[Pattern, ...] = ()
    subscribe: tuple[Pattern, ...] = ()
    retain: tuple[Pattern, ...] = ()
    will: tuple[Pattern, ...] = ()
    share: tuple[Pattern, ...] = ()

    def of(self, right: str) -> tuple[Pattern, ...]:
        """The filters of the right called `right`, one of `RIGHTS`."""
        patterns: tuple[Pattern, ...] = getattr(self, right)
        return patterns

    def uses(self, variable: str) -> bool:
        """Does a filter of any right hold `variable`?"""
        return any(variable in pattern.levels for right in RIGHTS for pattern in self.of(right))


@dataclass(frozen=True, slots=True)
class Subjects:
    """Who is meant: everyone, or these identities and the members of these groups."""

    everyone: bool = False
    identities: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Template:
    """Rights and limits under a name. `preset` is the built-in that they came from, "" for those of the file."""

    name: str
    line: int
    rights: Rights
    preset: str = ""
    bounds: Allowance = UNBOUNDED

    @property
    def rule(self) -> str:
        """Its name in decisions: "template.NAME" or "preset.NAME"."""
        return f"{'preset' if self.preset else 'template'}.{self.name}"


@dataclass(frozen=True, slots=True)
class Group:
    """`members` are identities and patterns in which `*` is any text and `?` one character; `bounds` are the
    limits of each of them."""

    name: str
    line: int
    members: tuple[str, ...]
    apply: tuple[str, ...]
    bounds: Allowance = UNBOUNDED


@dataclass(frozen=True, slots=True)
class Grant:
    """In force from `starts` until just before `ends`; None is no bound. Both have a time zone."""

    name: str
    line: int
    who: Subjects
    rights: Rights
    starts: datetime | None
    ends: datetime | None
    reason: str
    bounds: Allowance = UNBOUNDED


@dataclass(frozen=True, slots=True)
class Deny:
    name: str
    line: int
    who: Subjects
    exempt: Subjects
    rights: Rights


@dataclass(frozen=True, slots=True)
class Rules:
    """A whole policy file, each kind of rule by its name. Without any, everything is denied.

    `allow_foreign_response_topics`: messages may ask for answers on topics that their sender may not receive.

    Presets are among the templates: both are applied and enrolled with by name, so a name is one of them.
    """

    templates: Mapping[str, Template]
    groups: Mapping[str, Group]
    grants: Mapping[str, Grant]
    denies: Mapping[str, Deny]
    allow_foreign_response_topics: bool = False

    @property
    def grants_groups(self) -> bool:
        """Is `share` written in a template or a grant? Then joining a shared group needs that right; else
        who may subscribe to a filter may do so in any group, unless a deny says no."""
        written = [template.rights for template in self.templates.values() if not template.preset]
        written += [grant.rights for grant in self.grants.values()]
        return any(rights.share for rights in written)

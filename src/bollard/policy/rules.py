"""The rules of a policy file: their types, and how the file becomes them.

Whatever is wrong in the file is found here, before anything is decided by it, and told with its line.
Nothing is decided here, and nothing is known of the identities that exist: an identity may be enrolled
before or after the policy names it.

The file is TOML. Its order never matters.

    version = 1                             always, so that a later language can be told apart
    [template.NAME]                         rights that identities are enrolled with, or get from a group
    [group.NAME]  members, apply            members are identities or patterns: "esp-*", "*"
    [grant.NAME]  who, from, until, for, reason     rights for some, perhaps only for a time
    [deny.NAME]   who, except               what stays forbidden, whatever else grants it

`publish`, `subscribe`, `retain` and `will` are the rights: arrays of topic filters, in which a level may be
a variable. `who` and `except` name an identity, "group:NAME", or "*" for all.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from bollard.base.errors import ConfigError, PeerError
from bollard.base.toml import Document, Key, dotted, kind, load_toml, suggest
from bollard.wire.topics import check_filter

#: Levels of a filter that stand for something else. No other level may hold "${".
ID = "${id}"
GROUP = "${group}"

#: The names of the rights in a policy file; attributes of `Rights`.
RIGHTS = ("publish", "subscribe", "retain", "will")

IDENTITY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""What an identity may consist of: nothing that means something in a topic, so that it can stand as a level."""

_MEMBER = re.compile(r"[A-Za-z0-9_.*?-]{1,64}")
_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_GROUP_PREFIX = "group:"
_EXAMPLES = {
    "members": '["esp-*", "anna"]',
    "apply": '["device"]',
    "who": '"anna"',
    "except": '["group:operators"]',
    "from": "2030-01-31T08:00:00Z",
    "until": "2030-01-31T18:00:00Z",
    "for": '"4h"',
    "reason": '"annual service"',
}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A topic filter of a right: `levels` are texts, `+`, `#`, `ID` or `GROUP`; `text` is as it was written."""

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
    name: str
    line: int
    rights: Rights


@dataclass(frozen=True, slots=True)
class Group:
    """`members` are identities and patterns in which `*` is any text and `?` one character."""

    name: str
    line: int
    members: tuple[str, ...]
    apply: tuple[str, ...]


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


@dataclass(frozen=True, slots=True)
class Deny:
    name: str
    line: int
    who: Subjects
    exempt: Subjects
    rights: Rights


@dataclass(frozen=True, slots=True)
class Rules:
    """A whole policy file, each kind of rule by its name. Without any, everything is denied."""

    templates: Mapping[str, Template]
    groups: Mapping[str, Group]
    grants: Mapping[str, Grant]
    denies: Mapping[str, Deny]


def parse_policy(path: Path) -> Rules:
    """The rules in the file at `path`. Raises ConfigError, with file and line, for anything that is wrong."""
    return read_rules(load_toml(path))


def read_rules(document: Document) -> Rules:
    """The rules in a parsed policy file. Raises ConfigError, with file and line, as `parse_policy` does."""
    document.check_keys((), ("version", "template", "group", "grant", "deny"))
    version = document.data.get("version")
    if type(version) is not int or version != 1:
        found = "there is no version" if version is None else "this version is not known"
        raise document.error(found, "version", remedy="Write version = 1 at the top of the file.")
    groups = _entries(document, "group", _group)
    rules = Rules(
        templates=_entries(document, "template", lambda entry: _template(entry, groups)),
        groups=groups,
        grants=_entries(document, "grant", lambda entry: _grant(entry, groups)),
        denies=_entries(document, "deny", lambda entry: _deny(entry, groups)),
    )
    _check_applied(document, rules)
    return rules


def _entries(document: Document, section: str, read: Callable[["_Entry"], _T]) -> dict[str, _T]:
    """What `read` makes of each table [section.NAME], by name."""
    tables = document.data.get(section, {})
    if not isinstance(tables, dict):
        remedy = f"Write a table [{section}.NAME]."
        raise document.error(f"{section} is {kind(tables)}, expected tables", section, remedy=remedy)
    return {name: read(_Entry(document, section, name, table)) for name, table in tables.items()}


def _template(entry: "_Entry", groups: Mapping[str, Group]) -> Template:
    entry.only(*RIGHTS)
    rights = entry.rights(ID, GROUP)
    if rights.uses(GROUP) and not any(entry.name in group.apply for group in groups.values()):
        message = f'{GROUP} has no value in template "{entry.name}": no group applies it'
        raise entry.error(message, remedy=f'Give a group apply = ["{entry.name}"], or write the name out.')
    return Template(entry.name, entry.line, rights)


def _group(entry: "_Entry") -> Group:
    entry.only("members", "apply")
    members = entry.texts("members")
    for index, member in enumerate(members):
        if member.startswith(_GROUP_PREFIX):
            raise entry.error(
                f'"{member}" is a group, and groups have no groups as members',
                "members",
                index,
                remedy="List its members here.",
            )
        if not _MEMBER.fullmatch(member):
            raise entry.error(
                f'"{member}" cannot be a member',
                "members",
                index,
                remedy="Write an identity (1 to 64 letters, digits, - _ .), or a pattern with * and ?.",
            )
    return Group(entry.name, entry.line, members, entry.texts("apply"))


def _grant(entry: "_Entry", groups: Mapping[str, Group]) -> Grant:
    entry.only("who", "from", "until", "for", "reason", *RIGHTS)
    starts, ends = entry.window()
    return Grant(
        entry.name,
        entry.line,
        who=entry.subjects("who", groups),
        rights=entry.some_rights(ID),
        starts=starts,
        ends=ends,
        reason=entry.text("reason"),
    )


def _deny(entry: "_Entry", groups: Mapping[str, Group]) -> Deny:
    entry.only("who", "except", *RIGHTS)
    who = entry.subjects("who", groups)
    exempt = entry.subjects("except", groups) if "except" in entry else Subjects()
    if exempt.everyone or (
        not who.everyone and who.identities <= exempt.identities and who.groups <= exempt.groups
    ):
        message = "this denies nobody: everyone it names is excepted"
        raise entry.error(message, "except", remedy="Except fewer, or remove the rule.")
    return Deny(entry.name, entry.line, who, exempt, entry.some_rights(ID))


def _check_applied(document: Document, rules: Rules) -> None:
    """Refuse groups that apply templates which do not exist."""
    for group in rules.groups.values():
        for index, name in enumerate(group.apply):
            if name not in rules.templates:
                message = f'there is no template "{name}"'
                remedy = suggest(name, rules.templates)
                raise document.error(message, "group", group.name, "apply", index, remedy=remedy)


class _Entry:
    """One table of the file, such as [template.sensor], while it is read; each method may raise ConfigError."""

    __slots__ = ("_document", "_keys", "_table", "line", "name")

    def __init__(self, document: Document, section: str, name: str, table: object) -> None:
        self._document = document
        self._keys = (section, name)
        self.name = name
        self.line = document.line(section, name)
        if not isinstance(table, dict):
            remedy = f"Write a table [{section}.NAME]."
            raise self.error(f"{dotted(section, name)} is {kind(table)}, expected a table", remedy=remedy)
        if not IDENTITY.fullmatch(name):
            remedy = "Use 1 to 64 letters, digits, - _ and full stops."
            raise self.error(f'"{name}" cannot be the name of a {section}', remedy=remedy)
        self._table: dict[str, object] = table

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def error(self, message: str, *keys: Key, remedy: str = "") -> ConfigError:
        return self._document.error(message, *self._keys, *keys, remedy=remedy)

    def only(self, *known: str) -> None:
        self._document.check_keys(self._keys, known)

    def text(self, key: str) -> str:
        """The one line of text at `key`, "" if it is not there."""
        value = self._table.get(key, "")
        if not isinstance(value, str):
            raise self._wrong(key, value, "a string")
        if not value.isprintable():
            raise self.error(f"{key} holds characters that do not print", key, remedy="Write one plain line.")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """The strings of the array at `key`, none if it is not there."""
        value = self._table.get(key, [])
        if not isinstance(value, list):
            raise self._wrong(key, value, "an array of strings")
        for index, item in enumerate(value):
            if not isinstance(item, str):
                raise self._wrong(key, item, "a string", index)
        return tuple(value)

    def rights(self, *variables: str) -> Rights:
        """The filters of all four rights; only `variables` may stand in them."""
        publish, subscribe, retain, will = (
            tuple(
                self._pattern(right, index, text, variables) for index, text in enumerate(self.texts(right))
            )
            for right in RIGHTS
        )
        return Rights(publish, subscribe, retain, will)

    def some_rights(self, *variables: str) -> Rights:
        """As `rights`, refusing none at all: such a rule does nothing, and its writer thinks it does."""
        rights = self.rights(*variables)
        if rights == Rights():
            remedy = f"Add at least one of: {', '.join(RIGHTS)}."
            raise self.error(f"{dotted(*self._keys)} has no rights, so it does nothing", remedy=remedy)
        return rights

    def subjects(self, key: str, groups: Mapping[str, Group]) -> Subjects:
        """Who is named at `key`: one text, or an array of them."""
        if key not in self._table:
            raise self.error(f"{key} is missing", remedy=f'Write {key} = an identity, "group:NAME" or "*".')
        single = isinstance(self._table[key], str)
        names = (self.text(key),) if single else self.texts(key)
        if not names:
            raise self.error(f"{key} names nobody", key, remedy='Write an identity, "group:NAME" or "*".')
        identities, members = set(), set()
        for index, name in enumerate(names):
            place = (key,) if single else (key, index)
            if name.startswith(_GROUP_PREFIX):
                members.add(self._known_group(name.removeprefix(_GROUP_PREFIX), groups, *place))
            elif name != "*":
                identities.add(self._identity(name, *place))
        return Subjects("*" in names, frozenset(identities), frozenset(members))

    def window(self) -> tuple[datetime | None, datetime | None]:
        """(from, until), where `for` says until as a duration after from."""
        starts, ends = self._moment("from"), self._moment("until")
        if "for" in self._table:
            if ends is not None:
                raise self.error("both until and for say when it ends", "for", remedy="Remove one of them.")
            if starts is None:
                remedy = "Add from = 2030-01-31T08:00:00Z, or write until instead."
                raise self.error("for needs from: a file has no moment to count from", "for", remedy=remedy)
            ends = self._later(starts)
        if starts is not None and ends is not None and ends <= starts:
            raise self.error("this is never in force: it ends before it starts", "from", remedy="Swap them.")
        return starts, ends

    def _later(self, starts: datetime) -> datetime:
        found = _DURATION.fullmatch(self.text("for"))
        if found is None:
            remedy = 'Write a number and s, m, h or d, such as for = "4h".'
            raise self.error(f'"{self.text("for")}" is not a duration', "for", remedy=remedy)
        try:
            return starts + timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
        except OverflowError:
            raise self.error("this duration is too long", "for", remedy="Leave it out.") from None

    def _moment(self, key: str) -> datetime | None:
        value = self._table.get(key)
        if value is None:
            return None
        if not isinstance(value, datetime):
            raise self._wrong(key, value, "a date and time with a zone, such as 2030-01-31T18:00:00Z")
        if value.tzinfo is None:
            remedy = f"Write {value.isoformat()}Z for UTC, or an offset such as +02:00."
            raise self.error(f"{key} has no time zone", key, remedy=remedy)
        return value

    def _identity(self, name: str, *keys: Key) -> str:
        if IDENTITY.fullmatch(name):
            return name
        if _MEMBER.fullmatch(name):
            remedy = 'Make it a member of a group, and name that as "group:NAME".'
            raise self.error(
                f'"{name}" is a pattern, and patterns stand in groups only', *keys, remedy=remedy
            )
        remedy = 'Write an identity (1 to 64 letters, digits, - _ .), "group:NAME" or "*".'
        raise self.error(f'"{name}" cannot be an identity', *keys, remedy=remedy)

    def _known_group(self, name: str, groups: Mapping[str, Group], *keys: Key) -> str:
        if name not in groups:
            raise self.error(f'there is no group "{name}"', *keys, remedy=suggest(name, groups))
        return name

    def _pattern(self, right: str, index: int, text: str, variables: tuple[str, ...]) -> Pattern:
        levels = tuple(text.split("/"))
        for level in levels:
            if "${" in level and level not in variables:
                raise self._wrong_variable(right, index, level, variables)
        if levels[0] == "$share":
            remedy = "Write the filter inside it: a shared subscription needs the right to that."
            raise self.error(f'"{text}" is a shared filter', right, index, remedy=remedy)
        try:
            check_filter(text)
        except PeerError as error:
            message = f'"{text}" is not a topic filter: {error.text}'
            remedy = "Write levels between slashes; + is any one level, # at the end all below."
            raise self.error(message, right, index, remedy=remedy) from None
        return Pattern(levels, text, self._document.line(*self._keys, right, index))

    def _wrong_variable(self, right: str, index: int, level: str, variables: tuple[str, ...]) -> ConfigError:
        if any(variable in level for variable in variables):
            remedy = "Give it a level of its own, between slashes."
            return self.error(f'"{level}": a variable fills a whole level', right, index, remedy=remedy)
        remedy = f"Known here: {', '.join(variables)}."
        return self.error(f'"{level}" is not a variable that is known here', right, index, remedy=remedy)

    def _wrong(self, key: str, value: object, expected: str, *keys: Key) -> ConfigError:
        message = f"{dotted(*self._keys, key, *keys)} is {kind(value)}, expected {expected}"
        example = _EXAMPLES.get(key, '["devices/${id}/#"]')
        return self.error(message, key, *keys, remedy=f"For example: {key} = {example}")

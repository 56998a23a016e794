"""One table of a policy file, such as [template.sensor], while it is read.

Each value is judged here, with the line to blame; which tables and keys there are is for rules.py.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bollard.base.allowance import BOUNDS, UNITS, Allowance, Rate
from bollard.base.errors import ConfigError, PeerError
from bollard.base.sizes import parse_size
from bollard.base.toml import Document, Key, dotted, kind, suggest
from bollard.policy.model import GROUP_PREFIX, IDENTITY, RIGHTS, Group, Pattern, Rights, Subjects
from bollard.wire.spec import MAX_REMAINING_LENGTH
from bollard.wire.topics import check_filter

MEMBER = re.compile(r"[A-Za-z0-9_.*?-]{1,64}")
"""An identity, or a pattern of identities."""

_RATE = re.compile(r"([1-9][0-9]{0,6})/(s|m|h)")
MAX_NUMBER = 1_000_000
_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
NO_GROUPS = 'There are no groups yet: add [group.{name}] with members = ["ID"] to the policy file.'
_EXAMPLES = {
    "members": '["esp-*", "anna"]',
    "apply": '["device"]',
    "who": '"anna"',
    "except": '["group:operators"]',
    "from": "2030-01-31T08:00:00Z",
    "until": "2030-01-31T18:00:00Z",
    "for": '"4h"',
    "reason": '"annual service"',
    "use": '"homeassistant"',
}


def duration(text: str) -> timedelta | None:
    """What `text`, such as "90s" or "4h", says; None if it is no duration."""
    found = _DURATION.fullmatch(text)
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]]) if found else None


class Entry:
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
        """The filters of all rights; only `variables` may stand in them."""
        return Rights(
            *(
                tuple(
                    self._pattern(right, index, text, variables)
                    for index, text in enumerate(self.texts(right))
                )
                for right in RIGHTS
            )
        )

    def levels(self, key: str) -> tuple[str, ...]:
        """The levels of the text at `key`, which stands for a part of a filter: no wildcards, no variables."""
        value = self.text(key)
        levels = tuple(value.split("/")) if value else ()
        if not all(levels) or value.startswith("$") or any(sign in value for sign in ("+", "#", "${")):
            remedy = f'Write levels of a topic, such as {key} = "home" or "home/floor-1".'
            raise self.error(f'{key} = "{value}" is not a part of a topic', key, remedy=remedy)
        return levels

    def preset_rights(self, texts: Mapping[str, Sequence[str]]) -> Rights:
        """The filters in `texts`, by right, of a preset; they stand on the line of `use`."""
        return Rights(
            *(tuple(self._checked(text, "use") for text in texts.get(right, ())) for right in RIGHTS)
        )

    def bounds(self) -> Allowance:
        """The limits of this rule."""
        size = self._table.get("max_payload")
        return Allowance(
            max_qos=self._number("max_qos", 0, 2),
            max_payload=None if size is None else self._size("max_payload", size),
            rate=self._rate("rate") if "rate" in self._table else None,
            max_subscriptions=self._number("max_subscriptions", 0, MAX_NUMBER),
            max_connections=self._number("max_connections", 1, MAX_NUMBER),
        )

    def _number(self, key: str, low: int, high: int) -> int | None:
        value = self._table.get(key)
        if value is None:
            return None
        if type(value) is not int or not low <= value <= high:
            remedy = f"Write a number without quotes, such as {key} = {min(high, 10)}."
            raise self.error(f"{key} is not a whole number of {low} to {high:,}", key, remedy=remedy)
        return value

    def _size(self, key: str, value: object) -> int:
        try:
            size = parse_size(value)
        except ValueError as error:
            raise self.error(f"{key} is not {error}", key, remedy=f'Write {key} = "4KiB".') from None
        if not 0 <= size <= MAX_REMAINING_LENGTH:
            remedy = f'Write {key} = "4KiB", or leave it out.'
            raise self.error(
                f"{key} is not a size of 0 to {MAX_REMAINING_LENGTH:,} bytes", key, remedy=remedy
            )
        return size

    def _rate(self, key: str) -> Rate:
        found = _RATE.fullmatch(self.text(key))
        if found is None:
            remedy = 'Write messages in a second, minute or hour, such as rate = "10/s", "100/m" or "5/h".'
            raise self.error(f'"{self.text(key)}" is not a rate', key, remedy=remedy)
        seconds = next(seconds for seconds, unit in UNITS.items() if unit == found[2])
        return Rate(int(found[1]), seconds)

    def some_rights(self, *variables: str) -> Rights:
        """As `rights`, refusing none at all, and no limits: such a rule does nothing, and its writer thinks
        it does."""
        rights = self.rights(*variables)
        if rights == Rights() and not any(key in self._table for key in BOUNDS):
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
            if name.startswith(GROUP_PREFIX):
                members.add(self._known_group(name.removeprefix(GROUP_PREFIX), groups, *place))
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
        length = duration(self.text("for"))
        if length is None:
            remedy = 'Write a number and s, m, h or d, such as for = "4h".'
            raise self.error(f'"{self.text("for")}" is not a duration', "for", remedy=remedy)
        try:
            return starts + length
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
        if MEMBER.fullmatch(name):
            remedy = 'Make it a member of a group, and name that as "group:NAME".'
            raise self.error(
                f'"{name}" is a pattern, and patterns stand in groups only', *keys, remedy=remedy
            )
        remedy = 'Write an identity (1 to 64 letters, digits, - _ .), "group:NAME" or "*".'
        raise self.error(f'"{name}" cannot be an identity', *keys, remedy=remedy)

    def _known_group(self, name: str, groups: Mapping[str, Group], *keys: Key) -> str:
        if name not in groups:
            remedy = suggest(name, groups) if groups else NO_GROUPS.format(name=name)
            raise self.error(f'there is no group "{name}"', *keys, remedy=remedy)
        return name

    def _pattern(self, right: str, index: int, text: str, variables: tuple[str, ...]) -> Pattern:
        for level in text.split("/"):
            if "${" in level and level not in variables:
                raise self._wrong_variable(right, index, level, variables)
        if right == "share" and ("/" in text or "#" in text):
            message = f'"{text}" is not the name of a shared group: it is one level, and + is any name'
            remedy = 'Write share = ["workers"], and the topics under subscribe.'
            raise self.error(message, right, index, remedy=remedy)
        return self._checked(text, right, index)

    def _checked(self, text: str, *keys: Key) -> Pattern:
        """The filter `text`, its variables known to be right; written at `keys`."""
        levels = tuple(text.split("/"))
        if levels[0] == "$share":
            remedy = "Write the filter inside it here, and the name of the group under share."
            raise self.error(f'"{text}" is a shared filter', *keys, remedy=remedy)
        try:
            check_filter(text)
        except PeerError as error:
            message = f'"{text}" is not a topic filter: {error.text}'
            remedy = "Write levels between slashes; + is any one level, # at the end all below."
            raise self.error(message, *keys, remedy=remedy) from None
        return Pattern(levels, text, self._document.line(*self._keys, *keys))

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

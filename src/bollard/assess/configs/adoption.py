"""What an import makes: texts of our own files, notes for people, and who has to be enrolled.

Words only. What becomes what is in mosquitto_policy.py and mosquitto_config.py; writing files is for others.
"""

import enum
import json
import re
from dataclasses import dataclass, field

from bollard.assess.configs.source import NOWHERE, Place, Unread
from bollard.base.types import Secret

_IDENTITY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_RESERVED = ("anonymous",)


class Kind(enum.StrEnum):
    """What a note is about."""

    SAFER = "safer"
    CHANGED = "changed"
    BY_HAND = "by hand"


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence about what is different now, and where the old file says it."""

    kind: Kind
    text: str
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Somebody who needs a credential: `user` is the old name, `credential` password or certificate.

    `stored` is the hash of a password that is carried over; empty for who has to get a new one.
    """

    identity: str
    user: str
    credential: str
    reason: str
    stored: Secret = Secret(b"")  # noqa: RUF009  # it cannot be changed


@dataclass(slots=True)
class Adoption:
    """The whole outcome. `config` and `policy` are complete texts of bollard.toml and policy.toml.

    `foreign` is the first line that is wrong if the source is no configuration of the broker at all.
    """

    source: str
    version: str
    config: str = ""
    policy: str = ""
    notes: list[Note] = field(default_factory=list)
    enrolments: list[Enrolment] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    foreign: Place | None = None

    @property
    def carried(self) -> list[Enrolment]:
        """Those whose passwords are carried over."""
        return [each for each in self.enrolments if each.stored]

    def note(self, kind: Kind, text: str, place: Place = NOWHERE) -> None:
        """Add a note, once."""
        found = Note(kind, text, place)
        if found not in self.notes:
            self.notes.append(found)


@dataclass(slots=True)
class Access:
    """What is allowed and denied, as topic filters of the policy language."""

    publish: list[str] = field(default_factory=list)
    subscribe: list[str] = field(default_factory=list)
    deny_publish: list[str] = field(default_factory=list)
    deny_subscribe: list[str] = field(default_factory=list)

    def add(self, other: "Access") -> None:
        """Add the rules of `other`, none twice."""
        for name in self.__slots__:
            mine = getattr(self, name)
            mine.extend(each for each in getattr(other, name) if each not in mine)


class Names:
    """Identities for user names: the same where it may be one, else one as near as possible, never twice."""

    __slots__ = ("_taken", "_users")

    def __init__(self, users: list[str]) -> None:
        """`users` that may keep their names do so, whatever the others are called."""
        self._users = {user: user for user in users if is_identity(user)}
        self._taken = {identity.lower() for identity in self._users}

    def identity(self, user: str) -> str:
        """The identity of `user`, always the same."""
        found = self._users.get(user)
        if found is None:
            base = re.sub(r"[^A-Za-z0-9_.-]+", "-", user).strip("-.")[:56] or "user"
            found, number = base, 1
            while not is_identity(found) or found.lower() in self._taken:
                number += 1
                found = f"{base}-{number}"
            self._users[user] = found
            self._taken.add(found.lower())
        return found


def is_identity(name: str) -> bool:
    """Could `name` be enrolled as it is?"""
    return _IDENTITY.fullmatch(name) is not None and name.lower() not in _RESERVED


def quoted(text: str) -> str:
    """`text` as a TOML string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def array(texts: list[str]) -> str:
    """`texts` as a TOML array, on one line or on one line each."""
    flat = f"[{', '.join(map(quoted, texts))}]"
    return flat if len(flat) <= 90 else "[\n" + "".join(f"  {quoted(text)},\n" for text in texts) + "]"

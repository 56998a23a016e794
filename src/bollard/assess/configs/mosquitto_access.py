"""Mosquitto's ACL, password and PSK files.

Of pre-shared keys only the identity is kept. The hash of a password is a `Secret`: it goes nowhere but into a
registry that takes it over.
"""

from dataclasses import dataclass, field
from pathlib import Path

from bollard.assess.configs.source import Place, Reading, lines
from bollard.assess.configs.source import word as as_word
from bollard.base.errors import PeerError
from bollard.base.types import Secret
from bollard.wire.topics import check_filter

MAX_RULES = 100_000
NOTHING = Secret(b"")

ACCESS = ("read", "write", "readwrite", "deny")


@dataclass(frozen=True, slots=True)
class AclRule:
    """One `topic` or `pattern` line. `access` is one of `ACCESS`; a deny is for both directions."""

    access: str
    topic: str
    place: Place

    @property
    def reads(self) -> bool:
        return self.access in ("read", "readwrite")

    @property
    def writes(self) -> bool:
        return self.access in ("write", "readwrite")

    @property
    def denies(self) -> bool:
        return self.access == "deny"

    def __str__(self) -> str:
        return f"{self.access} {self.topic}"


@dataclass(slots=True)
class AclFile:
    """The rules of a file: for clients without a name, for each user, and patterns for everybody.

    A user that is named without any rule is there with none: such a user may do what the patterns allow.
    """

    path: str
    anonymous: list[AclRule] = field(default_factory=list)
    users: dict[str, list[AclRule]] = field(default_factory=dict)
    patterns: list[AclRule] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Password:
    """A user of a password file and how the password is kept: plain, sha512, pbkdf2, argon2 or unknown.

    `stored` is what is kept, empty for a plain password.
    """

    user: str
    kind: str
    place: Place
    iterations: int = 0
    stored: Secret = NOTHING


@dataclass(slots=True)
class PasswordFile:
    path: str
    users: dict[str, Password] = field(default_factory=dict)


def read_acl(path: Path, reading: Reading, asked: Place) -> AclFile | None:
    """The rules of the ACL file at `path`, None if it cannot be read; what is not understood is listed."""
    text = reading.text(path, asked)
    if text is None:
        return None
    acl = AclFile(str(path))
    rules = acl.anonymous
    for number, line in enumerate(lines(text), 1):
        if not line or line.startswith("#"):
            continue
        place = Place(str(path), number)
        word, _, rest = line.strip(" ").partition(" ")
        rest = rest.strip(" \t")
        if word == "user" and rest:
            rules = acl.users.setdefault(rest, [])
        elif word in ("topic", "pattern"):
            rule = _rule(rest, place, reading)
            if rule is not None and number <= MAX_RULES:
                (acl.patterns if word == "pattern" else rules).append(rule)
        elif word:
            reason = "expected user, topic or pattern" if word != "user" else "expected a name after user"
            # It may be the line of a password file, named in the wrong place.
            reading.missed(place, as_word(word), reason)
    if text.count("\n") > MAX_RULES:
        reading.missed(Place(str(path), MAX_RULES), "", "longer than is read")
    return acl


def _rule(rest: str, place: Place, reading: Reading) -> AclRule | None:
    first, _, topic = rest.partition(" ")
    topic = topic.strip(" \t")
    if topic and first not in ACCESS:
        reading.missed(place, rest, "expected read, write, readwrite or deny before the topic")
        return None
    access, topic = (first, topic) if topic else ("readwrite", first)
    try:
        check_filter(topic)
    except PeerError as error:
        reading.missed(place, topic, error.text)
        return None
    return AclRule(access, topic, place)


def read_passwords(path: Path, reading: Reading, asked: Place) -> PasswordFile | None:
    """The users of the password file at `path`, None if it cannot be read."""
    text = reading.text(path, asked)
    if text is None:
        return None
    found = PasswordFile(str(path))
    for number, line in enumerate(lines(text), 1):
        if not line or line.startswith("#"):
            continue
        place = Place(str(path), number)
        user, colon, verifier = line.partition(":")
        user = user.strip(" ")
        if not colon or not user:
            # A line without a colon may be a password alone: nothing of it is told.
            reading.missed(place, "", "expected name:hash, as mosquitto_passwd writes it")
            continue
        if user in found.users:
            reading.missed(place, user, "this user stands here twice; Mosquitto does not start")
        found.users[user] = _password(user, verifier.strip(" "), place)
    return found


def _password(user: str, verifier: str, place: Place) -> Password:
    parts = verifier.split("$")
    if len(parts) < 3 or parts[0]:
        return Password(user, "plain", place)
    stored = Secret(verifier.encode())
    if parts[1] == "6":
        return Password(user, "sha512", place, 1, stored)
    if parts[1] == "7":
        iterations = int(parts[2]) if parts[2].isascii() and parts[2].isdigit() and len(parts[2]) < 10 else 0
        return Password(user, "pbkdf2", place, iterations, stored)
    kind = "argon2" if parts[1].startswith("argon2") else "unknown"
    return Password(user, kind, place, stored=stored)


def read_psk(path: Path, reading: Reading, asked: Place) -> dict[str, Place] | None:
    """The identities of the PSK file at `path` and where they stand, None if it cannot be read."""
    text = reading.text(path, asked)
    if text is None:
        return None
    found: dict[str, Place] = {}
    for number, line in enumerate(lines(text), 1):
        identity, colon, _key = line.partition(":")
        if not line or line.startswith("#"):
            continue
        if not colon or not identity:
            reading.missed(Place(str(path), number), "", "expected identity:key")
            continue
        found[identity.strip(" ")] = Place(str(path), number)
    return found

"""The form of the audit log: how an entry becomes a line, and how lines are checked. No files, no clock.

A line is one JSON object in ASCII:

    {"n":17,"time":"2030-01-31T18:00:00.000Z","kind":"identity.state", ... ,"prev":"...","sig":"..."}

`n` counts from 1. `prev` is the SHA-256 of the line before, 64 zeros in the first. `sig` is an Ed25519
signature over all that stands before it. The key changes again and again: an entry with `key` announces,
signed by the key so far, the one that signs what follows, and the old one is destroyed. So somebody who
takes the machine can sign new entries, but not the old ones anew.

What the chain cannot show by itself: that whole entries are missing at its end, and that everything was
written anew from the first key on. Both are seen by whoever kept a `Head` somewhere else.
"""

import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bollard.base.documents import load_json

#: Before what is signed, so that a signature of this key means an entry and nothing else.
_DOMAIN = b"bollard audit entry\n"
NO_ENTRY = "0" * 64
#: `,"sig":"` and 64 bytes in base64 and `"}`.
_SIGNED_TAIL = re.compile(rb',"sig":"([A-Za-z0-9+/]{86}==)"\}\Z')
_TAIL_BYTES = 98
_HASH = re.compile(r"[0-9a-f]{64}\Z")

#: Peers choose parts of what is written: text is cut, and a longer line is none of ours.
MAX_TEXT_CHARS = 500
MAX_LINE_BYTES = 64 * 1024

#: The first entry of a log, and the one that announces the next key; both have `key`.
BEGAN, KEY = "audit.began", "audit.key"
#: The oldest entries were removed to make room: `last` was the last of them, `head` its hash.
DROPPED = "audit.dropped"

_OWN = frozenset({"n", "time", "kind", "prev", "sig"})

Fact = str | int | float | bool | list[str]
Signer = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """Something to be written down. `at` in seconds since the epoch; `facts` by name, none of them secret."""

    kind: str
    at: float
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Head:
    """An entry's number and the hash of its line: enough to know later that nothing up to it was altered."""

    number: int = 0
    hash: str = NO_ENTRY

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"

    @classmethod
    def read(cls, text: str) -> "Head":
        """The head that `str` has made. Raises ValueError."""
        number, _, digest = text.strip().partition(":")
        if not number.isdecimal() or not _HASH.match(digest):
            raise ValueError("a head is a number, a colon and 64 hexadecimal digits")
        return cls(int(number), digest)


@dataclass(frozen=True, slots=True)
class Fault:
    """The first line that cannot be what was written there; `line` counts from 1, 0 is the log as a whole."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check has found. `first` is the number of the oldest entry there is, `head` the newest good one;
    `notes` are sentences about what is no fault."""

    entries: int
    first: int
    head: Head
    fault: Fault | None
    notes: tuple[str, ...]


def encode_line(entry: Entry, after: Head, sign: Signer) -> tuple[bytes, Head]:
    """The line of `entry` behind the entry `after`, with its newline, and the head that it makes."""
    facts = {name: _cut(value) for name, value in entry.facts.items() if name not in _OWN and value != ""}
    number = after.number + 1
    record = {"n": number, "time": timestamp(entry.at), "kind": entry.kind, **facts, "prev": after.hash}
    body = json.dumps(record, separators=(",", ":")).encode("ascii")
    signature = b64encode(sign(_DOMAIN + body))
    line = body[:-1] + b',"sig":"' + signature + b'"}'
    return line + b"\n", Head(number, hashlib.sha256(line).hexdigest())


def decode_line(line: bytes) -> dict[str, Any]:
    """The object of a line, unchecked. Raises ValueError for what cannot be one."""
    record = load_json(line, MAX_LINE_BYTES)
    if (
        not isinstance(record, dict)
        or type(record.get("n")) is not int
        or not all(isinstance(record.get(name), str) for name in ("time", "kind", "prev"))
    ):
        raise ValueError("it has no number, time, kind or hash")
    return record


def timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cut(value: Fact) -> Fact:
    if isinstance(value, str):
        return value[:MAX_TEXT_CHARS]
    return [text[:MAX_TEXT_CHARS] for text in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it lies in a file; `whole` says that it has its newline, `last` that it ends the log."""

    file: str
    number: int
    data: bytes
    whole: bool = True
    last: bool = False


def verify(
    lines: Iterable[Line], keys: Iterable[str] = (), kept: Head | None = None, *, begun: bool = False
) -> Verdict:
    """Check a log from its oldest line to its newest.

    `keys` are the public keys (hex) that the key file knows; if there are any, the one announced last has to
    be among them. `kept` is a head from earlier that the log has to agree with. `begun` says that there was a
    log, so that none at all is a fault.
    """
    return _Check(kept, begun).run(lines, frozenset(keys))


class _Wrong(Exception):
    """The line at hand is not what was written there."""


class _Check:
    def __init__(self, kept: Head | None, begun: bool) -> None:
        self._kept = kept
        self._begun = begun
        self._agreed = kept is None
        self._head = Head()
        self._first: Head | None = None
        self._announced = ""
        self._dropped: set[tuple[object, object]] = set()
        self._notes: list[str] = []
        self._entries = 0
        self._file = "the audit log"

    def run(self, lines: Iterable[Line], keys: frozenset[str]) -> Verdict:
        fault: Fault | None = None
        for line in lines:
            self._file = line.file
            if not line.whole and line.last:
                self._notes.append(
                    f"{line.file}:{line.number}: the last line is torn: the broker was killed, or is writing"
                )
                break
            try:
                self._take(line)
            except _Wrong as wrong:
                fault = Fault(line.file, line.number, str(wrong))
                break
        if fault is None:
            text = self._whole(keys)
            fault = Fault(self._file, 0, text) if text else None
        first = self._first.number + 1 if self._first is not None else 0
        return Verdict(self._entries, first, self._head, fault, tuple(self._notes))

    def _take(self, line: Line) -> None:
        try:
            record = decode_line(line.data)
        except ValueError as error:
            raise _Wrong(f"not an entry: {error}") from None
        number, before = record["n"], record["prev"]
        if self._first is None:
            self._begin(record, Head(number - 1, before))
        if number != self._head.number + 1:
            raise _Wrong(
                f"entry {number} stands where {self._head.number + 1} belongs: some are missing or moved"
            )
        if before != self._head.hash:
            raise _Wrong(f"entry {number} does not follow from the line before: one of them was exchanged")
        self._check_signature(record, line.data)
        self._head = Head(number, hashlib.sha256(line.data).hexdigest())
        self._entries += 1
        if self._kept is not None and number == self._kept.number:
            self._agree(self._head)
        if record["kind"] == DROPPED:
            self._dropped.add((record.get("last"), record.get("head")))

    def _begin(self, record: dict[str, Any], before: Head) -> None:
        """The oldest line there is: from its key on, everything can be checked."""
        self._first = self._head = before
        if self._kept is not None and self._kept.number == before.number:
            self._agree(before)
        if record["kind"] not in (BEGAN, KEY) or (before.number == 0) != (record["kind"] == BEGAN):
            raise _Wrong("a log cannot begin with this entry: older ones are missing")
        if record["kind"] == KEY:
            self._announced = str(record.get("key", ""))

    def _check_signature(self, record: dict[str, Any], data: bytes) -> None:
        first = self._first is not None and self._entries == 0
        announces = record["kind"] in (BEGAN, KEY)
        if record["kind"] == BEGAN:
            reason = str(record.get("reason", ""))
            if not first:
                raise _Wrong(f"the log was begun anew here: {reason or 'no reason is given'}")
            if reason:
                self._notes.append(f"the log was begun although there was one: {reason}")
            self._announced = str(record.get("key", ""))
        if not (first and record["kind"] == KEY):  # whose key went with the entries that were dropped
            check_signature(data, self._announced)
        if announces:
            self._announced = str(record.get("key", ""))

    def _agree(self, head: Head) -> None:
        assert self._kept is not None
        if head.hash != self._kept.hash:
            raise _Wrong(f"entry {head.number} is not the one whose head was kept: the log was written anew")
        self._agreed = True

    def _whole(self, keys: frozenset[str]) -> str:
        """What is wrong with the log as a whole, or ""."""
        first = self._first
        if first is None:
            if self._kept is not None and self._kept.number:
                return f"there is no entry: entries up to {self._kept.number} are gone"
            return "there is no entry: what was written is gone" if keys or self._begun else ""
        if first.number and (first.number, first.hash) not in self._dropped:
            return (
                f"the entries before {first.number + 1} are missing, and no entry says that they were removed"
            )
        if keys and self._announced not in keys:
            return "its signing key is another one: entries at the end were cut off, or the log was exchanged"
        if not self._agreed and self._kept is not None:
            if self._kept.number > self._head.number:
                return f"it ends with entry {self._head.number}, before the head that was kept: the end was cut off"
            self._notes.append(f"entry {self._kept.number}, whose head was kept, was removed to make room")
        if first.number:
            self._notes.append(
                f"entries up to {first.number} were removed to make room, as the log itself says"
            )
        return ""


def check_signature(data: bytes, key: str) -> None:
    """Raise unless the line `data` is signed by the public `key` (hex)."""
    found = _SIGNED_TAIL.search(data[-_TAIL_BYTES:])
    if found is None:
        raise _Wrong("it is not signed")
    body = data[:-_TAIL_BYTES] + b"}"
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        signature = b64decode(found[1])
        if b64encode(signature) != found[1]:  # attack: a change of bits that base64 leaves unused
            raise ValueError
        public.verify(signature, _DOMAIN + body)
    except (InvalidSignature, ValueError):
        raise _Wrong("its signature is wrong: the line was changed, or is not of this log") from None


def announced_key(lines: Iterable[bytes]) -> Iterator[str]:
    """The keys that `lines` announce, in order; lines that cannot be read are passed over."""
    for line in lines:
        if b'"key":' not in line:
            continue
        try:
            record = decode_line(line)
        except ValueError:
            continue
        if record["kind"] in (BEGAN, KEY) and isinstance(record.get("key"), str):
            yield record["key"]

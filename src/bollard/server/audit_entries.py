"""What is written to the audit log: events and changes of the registry as entries. No files, no threads.

Identity, policy, configuration and denials; who merely connects and leaves is not in it. A denial is written
at once when it is the first of its kind in a while, and the rest of that while as one entry with a count:
whoever is refused ten thousand times a second gets two entries a minute. All denials together have a pace
as well, so that many who take turns fill neither the disk nor push out what else was written.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from bollard.base.events import (
    AccessDenied,
    ConnectRefused,
    Event,
    LimitReached,
    ServerEvent,
    ServerWarning,
    TransportRefused,
)
from bollard.base.types import ANONYMOUS
from bollard.identity.records import Identity, Token
from bollard.net.gate import address_key
from bollard.server.requests import HandedRoots, Request, RotateAuthority
from bollard.server.revocation import IdentityEnded
from bollard.store.audit_chain import Entry, Fact

#: How long denials of one kind by one peer are counted together.
WINDOW_S = 60.0
#: Kinds and peers that are counted at one time; others share one count (attack: endless names).
MAX_COUNTED = 256
#: Topics that are told of a count.
MAX_TOPICS = 5
#: Entries of denials: so many at once, and so many an hour after that, for enrolled identities and again for
#: everybody else; together less than 2 MB a day.
BURST_ENTRIES = 500
ENTRIES_PER_HOUR = 60.0

Facts = Mapping[str, Fact]


class FileLoaded(Event, frozen=True):
    """A file that decides what the broker does is in force as it was then: `what` is "policy" or
    "configuration", `sha256` of its bytes."""

    name: ClassVar[str] = "file.loaded"
    level: ClassVar[str] = "debug"
    what: str
    file: str
    sha256: str

    @classmethod
    def of(cls, what: str, path: Path) -> "FileLoaded":
        """The file at `path` as it is; the hash is "" if it cannot be read."""
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            digest = ""
        return cls(what, str(path), digest)


#: Events of the server that are written, and under which kind.
_SERVER_EVENTS = {
    "started": "server.started",
    "stopping": "server.stopping",
    "policy reloaded": "policy.reloaded",
    "certificates reloaded": "certificates.reloaded",
    "certificate issued": "certificates.issued",
    "store recovered": "store.recovered",
    "store checked": "store.checked",
}

#: All kinds of entries that a log may hold; `audit.…` is what it says of itself.
KINDS = frozenset(
    {
        *_SERVER_EVENTS.values(),
        *(f"{event.name}" for event in (IdentityEnded, AccessDenied, ConnectRefused, TransportRefused)),
        *(f"{event.name}" for event in (LimitReached, ServerWarning)),
        *(f"identity.{what}" for what in ("enrolled", "template", "state", "password", "psk", "certificate")),
        "identity.enrollment_string",
        "enrollment",
        "denials.others",
        *(f"{what}.loaded" for what in ("policy", "configuration")),
        "authority.rotation",
        "authority.unlock",
        *(f"learning.{what}" for what in ("started", "proposed", "stopped", "applied")),
        *(f"audit.{what}" for what in ("began", "key", "dropped", "torn", "lost")),
    }
)


def of_event(event: Event) -> tuple[str, Facts] | None:
    """Kind and facts of what is written whenever it happens; None for denials and for everything else."""
    match event:
        case IdentityEnded():
            return event.name, {
                "identity": event.principal,
                "reason": event.reason,
                "connections": event.connections,
                "sessions": event.sessions,
                "wills": event.wills,
                "retained": event.retained,
            }
        case FileLoaded():
            return f"{event.what}.loaded", {"file": event.file, "sha256": event.sha256}
        case ServerEvent() if event.what in _SERVER_EVENTS:
            return _SERVER_EVENTS[event.what], {"detail": event.detail}
    return None


def of_denial(event: Event) -> tuple[str, str, Facts] | None:
    """Kind, whose it is, and facts of what is counted when it repeats; None for everything else."""
    match event:
        case AccessDenied():
            who = {"identity": event.principal, "client_id": event.client_id}
            what = {"action": event.action, "topic": event.topic, "rule": event.rule, "reason": event.reason}
            return event.name, f"{event.principal} {event.action}", {**who, **what}
        case ConnectRefused():
            claimed = {"client_id": event.client_id, "username": event.username}
            facts = {"address": event.address, "listener": event.listener, **claimed}
            return (
                event.name,
                address_key(event.address),
                {**facts, "code": event.code, "reason": event.reason},
            )
        case TransportRefused():
            facts = {"address": event.address, "listener": event.listener, "reason": event.reason}
            return event.name, address_key(event.address), facts
        case LimitReached():
            who = {"identity": event.principal, "client_id": event.client_id, "address": event.address}
            whose = f"{event.principal or address_key(event.address)} {event.limit}"
            return event.name, whose, {**who, "limit": event.limit, "detail": event.detail}
        case ServerWarning():
            detail = _one_line(event.detail)
            return event.name, f"{event.what} {detail}", {"what": event.what, "detail": detail}
        case ServerEvent() if event.what == "enrollment":
            return "enrollment", _enrollment(event.detail), {"detail": event.detail}
    return None


def _enrollment(detail: str) -> str:
    """Whose an answer to an enrollment is, and of which kind: "WHO: ANSWER ..." without what differs from one to
    the next, such as the seconds that are left to wait (attack: an entry for each)."""
    who, _, answer = detail.partition(": ")
    way, by_address, address = who.rpartition(" from ")
    whose = f"{way} {address_key(address)}" if by_address else who
    return " ".join([whose, *answer.split()[:2]])


def _one_line(text: str) -> str:
    """What a warning says: the first line, or of a traceback the last."""
    lines = text.strip().splitlines() or [""]
    return lines[-1 if lines[0].startswith("Traceback") else 0]


def of_request(request: Request) -> tuple[str, Facts] | None:
    """Kind and facts of an operation that is written because it was asked for; None for all whose effect is
    written anyway, and for those that only look."""
    match request:
        case RotateAuthority():
            return "authority.rotation", {
                "authority": request.authority,
                "finish": request.finish,
                "force": request.force,
                **({"abandon": True} if request.abandon else {}),
            }
        case HandedRoots():
            return "authority.rotation", {"authority": "server-root", "handed": ", ".join(request.ids[:50])}
    return None


def of_identity(before: Identity | None, after: Identity) -> list[tuple[str, Facts]]:
    """Kind and facts of each thing that changed in an identity. Hashes and serials, never a secret."""
    name = {"identity": after.id}
    found: list[tuple[str, Facts]] = []
    if before is None:
        found.append(("identity.enrolled", {**name, "template": after.template, "state": after.state.value}))
    else:
        if before.template != after.template:
            found.append(("identity.template", {**name, "before": before.template, "after": after.template}))
        if before.state is not after.state:
            facts = {**name, "before": before.state.value, "after": after.state.value}
            found.append(("identity.state", facts))
    secret = (before.verifier, before.password_hash) if before is not None else (b"", "")
    if secret != (after.verifier, after.password_hash):
        change = _change(any(secret), after.has_password)
        found.append(("identity.password", {**name, "change": change}))
    salt = before.psk_salt if before is not None else b""
    if salt != after.psk_salt:
        found.append(("identity.psk", {**name, "change": _change(salt, after.psk_salt)}))
    token = before.token if before is not None else None
    if token != after.token:
        found.append(("identity.enrollment_string", {**name, "change": _token_change(token, after.token)}))
    return found + _of_certificates(before, after)


def _change(before: object, after: object) -> str:
    if before and after:
        return "replaced"
    return "set" if after else "ended"


def _token_change(before: Token | None, after: Token | None) -> str:
    if before is None or after is None or before.verifier != after.verifier:
        return _change(before, after)
    if before.spent_at != after.spent_at:
        return "spent"
    return "approval" if before.approval is not after.approval else "claimed"


def _of_certificates(before: Identity | None, after: Identity) -> list[tuple[str, Facts]]:
    known = {record.serial: record for record in before.certificates} if before is not None else {}
    found: list[tuple[str, Facts]] = []
    for record in after.certificates:
        old = known.get(record.serial)
        if old is None or old.state is not record.state:
            facts = {"identity": after.id, "serial": f"{record.serial:x}", "state": record.state.value}
            found.append(("identity.certificate", facts))
    return found


@dataclass(slots=True)
class _Count:
    """Denials of one kind by one peer, since the first was written."""

    kind: str
    facts: dict[str, Fact]
    since: float
    count: int = 0
    topics: list[str] = field(default_factory=list)


class Denials:
    """Counts denials together and paces what is written of them. Time is an argument, in seconds since the
    epoch; not thread-safe.

    What enrolled identities were denied has a pace of its own. Attack: a stranger with many addresses, who uses
    up what may be written before somebody else's denials come.
    """

    def __init__(self, add: Callable[[Entry], None]) -> None:
        """`add` takes the entries that are to be written."""
        self._of_identities = _Paced(add)
        self._of_others = _Paced(add)

    def note(self, kind: str, whose: str, facts: Facts, now: float) -> None:
        """One denial."""
        known = facts.get("identity") not in (None, "", ANONYMOUS)
        (self._of_identities if known else self._of_others).note(kind, whose, facts, now)

    def sweep(self, now: float, *, all_of_it: bool = False) -> None:
        """Write the counts whose while is over, or all."""
        self._of_identities.sweep(now, all_of_it=all_of_it)
        self._of_others.sweep(now, all_of_it=all_of_it)

    @property
    def counting(self) -> bool:
        return self._of_identities.counting or self._of_others.counting


class _Paced:
    """Denials that share one pace."""

    def __init__(self, add: Callable[[Entry], None]) -> None:
        """`add` takes the entries that are to be written."""
        self._add = add
        self._counted: OrderedDict[tuple[str, str], _Count] = OrderedDict()
        self._tokens = float(BURST_ENTRIES)
        self._filled_at = 0.0
        self._left_out = 0

    def note(self, kind: str, whose: str, facts: Facts, now: float) -> None:
        """One denial."""
        key = (kind, whose)
        known = self._counted.get(key)
        if known is None and len(self._counted) >= MAX_COUNTED:
            key, kind, facts = ("", ""), "denials.others", {}
            known = self._counted.get(key)
        if known is None:
            count = self._counted[key] = _Count(kind, dict(facts), now)
            if facts:
                self._write(Entry(kind, now, facts))
            else:
                count.count = 1
            return
        known.count += 1
        topic = facts.get("topic")
        if isinstance(topic, str) and len(known.topics) < MAX_TOPICS and topic not in known.topics:
            known.topics.append(topic)

    def sweep(self, now: float, *, all_of_it: bool = False) -> None:
        """Write the counts whose while is over, or all."""
        for key, count in list(self._counted.items()):
            if not all_of_it and 0 <= now - count.since < WINDOW_S:
                break  # in the order in which they began
            del self._counted[key]
            if count.count:
                self._write(Entry(count.kind, now, _sum(count, now)))

    @property
    def counting(self) -> bool:
        return bool(self._counted)

    def _write(self, entry: Entry) -> None:
        gained = max(entry.at - self._filled_at, 0.0) * ENTRIES_PER_HOUR / 3600
        self._tokens = min(self._tokens + gained, float(BURST_ENTRIES))
        self._filled_at = entry.at
        if self._tokens < 1:
            self._left_out += 1
            return
        self._tokens -= 1
        if self._left_out:
            entry = Entry(entry.kind, entry.at, {**entry.facts, "left_out": self._left_out})
            self._left_out = 0
        self._add(entry)


def _sum(count: _Count, now: float) -> Facts:
    """What is told of denials that were counted: who, how many within how long, and some of the topics."""
    kept = ("identity", "address", "listener", "action", "limit", "what", "detail", "rule", "code")
    facts: dict[str, Fact] = {name: count.facts[name] for name in kept if name in count.facts}
    facts |= {"repeated": count.count, "within_s": max(round(now - count.since), 0)}
    if count.topics:
        facts["topics"] = count.topics
    return facts

"""A broker that is too simple to be wrong: lists, loops, and no notion of packets or connections.

It answers one question: which session is owed which message at which QoS. Every message is one number, which
is also its payload, so that whatever a client receives can be traced to who published it and when. It knows
nothing of windows, queues, resending or batches: those must not change what is owed.
"""

import math
from dataclasses import dataclass, field
from itertools import permutations

from bollard.base.types import Action, Decision
from support.topics import naive_match

Slot = tuple[str, str]


@dataclass
class Entry:
    """One message owed to one session. `optional`: rights, time or an unsubscription may have taken it away."""

    number: int
    topic: str
    qos: int
    retain: bool
    identifiers: tuple[int, ...]
    expires_at: float
    optional: bool = False


@dataclass
class Job:
    """One message for one member of each group that matches it. `members` are those who could get it, and at
    which QoS; `holders` have got it. `optional`: somebody left or rights changed, so others may take over."""

    number: int
    topic: str
    qos: int
    members: dict[tuple[str, str], dict[Slot, int]]
    expires_at: float
    optional: bool = False
    holders: list[tuple[Slot, int]] = field(default_factory=list)

    def fair(self) -> bool:
        """Can each holder have got it as the one member of a group of its own?"""
        if len(self.holders) > len(self.members):
            return False
        return any(
            all(groups[slot] == qos if slot in groups else False for (slot, qos), groups in pairs)
            for chosen in permutations(self.members.values(), len(self.holders))
            for pairs in [list(zip(self.holders, chosen, strict=True))]
        )


@dataclass
class Wish:
    """A subscription."""

    qos: int
    no_local: bool = False
    keeps_retain: bool = False
    identifier: int = 0


@dataclass
class Will:
    """Its number is given when its client connects, because the payload is."""

    topic: str
    qos: int
    delay_s: int
    number: int = 0


@dataclass
class Session:
    slot: Slot
    kept_s: int = 0
    online: bool = True
    wishes: dict[str, Wish] = field(default_factory=dict)
    shares: dict[tuple[str, str], Wish] = field(default_factory=dict)
    owed: list[Entry] = field(default_factory=list)
    will: Will | None = None
    will_at: float = math.inf
    ends_at: float = math.inf


@dataclass
class Kept:
    """A retained message."""

    number: int
    qos: int
    author: Slot
    expires_at: float


class Policy:
    """All rights but those denied, as (principal, action, topic)."""

    def __init__(self, denied: frozenset[tuple[str, Action, str]]) -> None:
        self.denied = denied

    def decide(self, principal: str, action: Action, topic: str) -> Decision:
        return Decision((principal, action, topic) not in self.denied, "model", "as drawn")


class Reference:
    """Sessions, retained messages and rights, by the book."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.sessions: dict[Slot, Session] = {}
        self.retained: dict[str, Kept] = {}
        self.jobs: dict[int, Job] = {}
        self.denied: frozenset[tuple[str, Action, str]] = frozenset()
        self.authors: dict[int, Slot] = {}
        self.wills: set[int] = set()
        self.count = 0

    def may(self, principal: str, action: Action, topic: str) -> bool:
        return (principal, action, topic) not in self.denied

    # Sessions ----------------------------------------------------------------------------------------

    def connect(self, slot: Slot, clean: bool, kept_s: int, will: Will | None) -> bool:
        """A client comes; True when its session was there."""
        if slot in self.sessions:
            self.lose(slot)
        if clean and slot in self.sessions:
            self.end(slot)
        present = slot in self.sessions
        session = self.sessions.setdefault(slot, Session(slot))
        session.online, session.kept_s = True, kept_s
        session.will, session.will_at, session.ends_at = will, math.inf, math.inf
        return present

    def lose(self, slot: Slot) -> None:
        """A client goes without a word."""
        session = self.sessions[slot]
        if not session.online:
            return
        session.online = False
        if session.will is not None:
            if session.will.delay_s and session.kept_s:
                session.will_at = self.now + session.will.delay_s
            else:
                self.publish_will(session)
        self.away(session)

    def leave(self, slot: Slot) -> None:
        """A client says good-bye."""
        self.sessions[slot].will = None
        self.lose(slot)

    def away(self, session: Session) -> None:
        if not session.kept_s:
            self.end(session.slot)
            return
        session.ends_at = self.now + session.kept_s
        session.owed = [entry for entry in session.owed if entry.qos]
        for entry in session.owed:
            # Retained messages that were not sent yet are not kept for an absent client.
            entry.optional |= entry.retain
        self.unsettle(session)

    def end(self, slot: Slot) -> None:
        session = self.sessions[slot]
        del self.sessions[slot]
        self.publish_will(session)
        self.unsettle(session)

    def unsettle(self, session: Session) -> None:
        """What a member of a group leaves behind may go to others, or to nobody when nobody is there."""
        for job in self.jobs.values():
            job.optional |= any(group in session.shares for group in job.members)

    def publish_will(self, session: Session) -> None:
        will, session.will, session.will_at = session.will, None, math.inf
        if will is not None and self.may(session.slot[0], Action.WILL, will.topic):
            self.distribute(will.number, session.slot, will.topic, will.qos, False, math.inf)

    def next_event(self) -> float:
        times = [session.will_at for session in self.sessions.values()]
        times += [session.ends_at for session in self.sessions.values()]
        return min(times, default=math.inf)

    def pass_time(self, now: float) -> None:
        """Everything up to `now` happens, in order."""
        while (event := self.next_event()) <= now:
            self.now = event
            for session in list(self.sessions.values()):
                if session.will_at <= event:
                    self.publish_will(session)
            for session in list(self.sessions.values()):
                if session.ends_at <= event:
                    self.end(session.slot)
        self.now = now
        for topic in [topic for topic, kept in self.retained.items() if kept.expires_at <= now]:
            del self.retained[topic]
        for entry in self.everything_owed():
            entry.optional |= entry.expires_at <= now

    def everything_owed(self) -> list[Entry | Job]:
        found: list[Entry | Job] = [e for session in self.sessions.values() for e in session.owed]
        return found + list(self.jobs.values())

    # Rights ------------------------------------------------------------------------------------------

    def set_policy(self, denied: frozenset[tuple[str, Action, str]]) -> None:
        self.denied = denied
        for session in self.sessions.values():
            for entry in session.owed:
                entry.optional |= not self.deliverable(entry.number, entry.topic, session.slot)
                entry.optional |= entry.retain
        for job in self.jobs.values():
            job.optional = True

    def deliverable(self, number: int, topic: str, receiver: Slot) -> bool:
        """Both still have their rights; an author who may leave a will there may have said it, too."""
        author = self.authors[number][0]
        says = self.may(author, Action.PUBLISH, topic) or self.may(author, Action.WILL, topic)
        return says and self.may(receiver[0], Action.RECEIVE, topic)

    # Messages ----------------------------------------------------------------------------------------

    def number(self, author: Slot) -> int:
        self.count += 1
        self.authors[self.count] = author
        return self.count

    def publish(
        self, number: int, author: Slot, topic: str, qos: int, retain: bool, expires_at: float
    ) -> bool:
        """A message comes; False when its author may not publish it."""
        if not self.may(author[0], Action.PUBLISH, topic):
            return False
        if retain:
            if not self.may(author[0], Action.RETAIN, topic):
                return False
            self.forget_retained(topic)
            self.retained[topic] = Kept(number, qos, author, expires_at)
        self.distribute(number, author, topic, qos, retain, expires_at)
        return True

    def forget_retained(self, topic: str) -> None:
        """Another one takes its place: who was still owed the old one as retained may not get it."""
        self.retained.pop(topic, None)
        for session in self.sessions.values():
            for entry in session.owed:
                entry.optional |= entry.retain and entry.topic == topic

    def distribute(
        self, number: int, author: Slot, topic: str, qos: int, retain: bool, expires_at: float
    ) -> None:
        groups: dict[tuple[str, str], dict[Slot, int]] = {}
        for session in self.sessions.values():
            for group, wish in session.shares.items():
                reachable = session.online or min(qos, wish.qos) > 0
                allowed = self.may(session.slot[0], Action.RECEIVE, topic)
                allowed = allowed and self.may(session.slot[0], Action.SHARE, group[0])
                if naive_match(group[1], topic) and reachable and allowed:
                    groups.setdefault(group, {})[session.slot] = min(qos, wish.qos)
            matching = [
                wish
                for filter, wish in session.wishes.items()
                if naive_match(filter, topic) and not (wish.no_local and session.slot == author)
            ]
            if not matching or not self.may(session.slot[0], Action.RECEIVE, topic):
                continue
            granted = min(qos, max(wish.qos for wish in matching))
            if granted or session.online:
                kept = retain and any(wish.keeps_retain for wish in matching)
                identifiers = tuple(sorted(wish.identifier for wish in matching if wish.identifier))
                session.owed.append(Entry(number, topic, granted, kept, identifiers, expires_at))
        if groups:
            self.jobs[number] = Job(number, topic, qos, groups, expires_at)

    # Subscriptions -----------------------------------------------------------------------------------

    def subscribe(self, slot: Slot, filter: str, wish: Wish, retain_handling: int) -> None:
        session = self.sessions[slot]
        new = filter not in session.wishes
        for entry in session.owed:
            # What an earlier subscription was still owed of retained messages ends with it.
            entry.optional |= entry.retain
        session.wishes[filter] = wish
        if retain_handling == 2 or (retain_handling == 1 and not new):
            return
        for topic, kept in self.retained.items():
            if not naive_match(filter, topic) or (wish.no_local and kept.author == slot):
                continue
            # A right that is missing may be there again when the message's turn comes.
            allowed = self.deliverable(kept.number, topic, slot)
            allowed = allowed and self.may(kept.author[0], Action.RETAIN, topic)
            identifiers = (wish.identifier,) if wish.identifier else ()
            qos = min(kept.qos, wish.qos)
            entry = Entry(kept.number, topic, qos, True, identifiers, kept.expires_at, not allowed)
            session.owed.append(entry)

    def share(self, slot: Slot, group: tuple[str, str], wish: Wish) -> None:
        self.sessions[slot].shares[group] = wish
        self.unsettle(self.sessions[slot])

    def unsubscribe(self, slot: Slot, filter: str) -> None:
        session = self.sessions[slot]
        session.wishes.pop(filter, None)
        for entry in session.owed:
            entry.optional |= entry.retain

    def unshare(self, slot: Slot, group: tuple[str, str]) -> None:
        session = self.sessions[slot]
        self.unsettle(session)
        session.shares.pop(group, None)

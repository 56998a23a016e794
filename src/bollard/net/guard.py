"""Who may try again, and when: guesses at credentials, and clients that come and go too often.

`Guesses` remembers wrong credentials by (address, identity) and by address. After a few of them an attempt is
refused unseen until a delay is over, and the delay grows. It never belongs to an identity alone, or a
stranger could keep a victim out: from another address, or with its certificate, the victim gets in at once.
An address that tries many identities is delayed as a whole, but for those that have got in from it before:
a fleet behind one address shares it with whoever attacks from there.

Behind one address the owner of an identity must not have to wait for whoever guesses at it there. So what nobody
can guess, a secret of 160 random bits, is looked at also within a delay, and gets in if it is right; if not, the
answer is the one that everybody gets. And for an identity that has got in from there before, delays stay short.

`Arrivals` remembers how often a client, and an identity with all its clients, was let in. Who flaps is
refused for a pause that grows; the connection that it has, if any, stays. So two devices that fight for one
client identifier stop taking the session from each other, and only they wait.

`Guard` is the authenticator with both in front. The answers of all mechanisms pass through it, late ones too.
"""

import math
import time
from collections.abc import Callable

from bollard.base.authentication import Accepted, Answer, Authenticator, Later, Question, Refused
from bollard.base.events import Event
from bollard.base.types import ANONYMOUS
from bollard.net.gate import TransportLimits, address_key
from bollard.net.pace import MAX_KEYS, Delays, Memory, Remembered
from bollard.net.reports import Reports

#: [MQTT5 reason code] Connection rate exceeded; "server unavailable" in 3.1.1.
CONNECTION_RATE_EXCEEDED = 0x9F
#: What a delay grows to for an identity that has got in from the same address before: a person who shares it with
#: somebody who guesses at the name waits no longer, and a password of twelve characters bears 17,000 guesses a day.
KNOWN_DELAY_MAX_S = 5.0
#: Longest beginning of a name that is remembered: no identity is longer.
NAME_CHARS = 64
#: Slow checks of one address at the same time: for one identity, and for all that have not got in from it before.
MAX_UNDER_WAY = 16
MAX_UNDER_WAY_PER_ADDRESS = 64
TOLD = "too many attempts, try again later"


class Guesses:
    """Wrong credentials and what they cost. `now` is monotonic seconds; on the loop only."""

    __slots__ = ("_by_address", "_by_pair", "_known", "_under_way", "_under_way_of")

    def __init__(self, limits: TransportLimits) -> None:
        forgive_s = max(limits.guess_delay_max_s, 1.0)
        self._by_pair = Delays(limits.max_guesses, limits.guess_delay_max_s, forgive_s)
        self._by_address = Delays(limits.max_guesses_per_address, limits.guess_delay_max_s, forgive_s)
        #: Pairs that have got in.
        self._known = Memory(MAX_KEYS)
        self._under_way: dict[tuple[str, str], int] = {}
        self._under_way_of: dict[str, int] = {}

    def begin(self, address: str, identity: str) -> None:
        """A check that takes its time has begun."""
        pair = _pair(address, identity)
        self._under_way[pair] = self._under_way.get(pair, 0) + 1
        self._under_way_of[pair[0]] = self._under_way_of.get(pair[0], 0) + 1

    def end(self, address: str, identity: str) -> None:
        """Such a check is through."""
        pair = _pair(address, identity)
        left = self._under_way.pop(pair, 1) - 1
        if left:
            self._under_way[pair] = left
        left = self._under_way_of.pop(pair[0], 1) - 1
        if left:
            self._under_way_of[pair[0]] = left

    def busy(self, address: str, identity: str) -> bool:
        """Whether so many of its slow checks are under way that another would take the place of somebody else's."""
        pair = _pair(address, identity)
        if self._under_way.get(pair, 0) >= MAX_UNDER_WAY:
            return True
        stranger = self._known.get(pair) is None and pair[0] != "unix"
        return stranger and self._under_way_of.get(pair[0], 0) >= MAX_UNDER_WAY_PER_ADDRESS

    def wait(self, address: str, identity: str, now: float) -> tuple[str, float]:
        """Why nothing that `address` presents for `identity` is looked at, and for how many seconds; ("", 0.0)
        if it is."""
        pair = _pair(address, identity)
        wait_s = self._by_pair.wait_s(pair, now)
        if self.busy(address, identity):
            # Attack: a thousand guesses at once, before the first is found wrong.
            wait_s = max(wait_s, 1.0)
        if self._known.get(pair) is None and pair[0] != "unix":
            shared_s = self._by_address.wait_s(pair[0], now)
            if shared_s > wait_s:
                return "max_guesses_per_address", shared_s
        return ("max_guesses", wait_s) if wait_s else ("", 0.0)

    def wrong(self, address: str, identity: str, now: float) -> tuple[str, float]:
        """A credential was wrong: the limit that was reached and the delay that begins, ("", 0.0) for none."""
        pair = _pair(address, identity)
        # One device with an old password, trying for ever, has its own delay: it must not use up its address's.
        counts = self._by_pair.is_free(pair) and pair[0] != "unix"
        known = self._known.get(pair) is not None
        own_s = self._by_pair.note(pair, now, KNOWN_DELAY_MAX_S if known else math.inf)
        shared_s = self._by_address.note(pair[0], now) if counts else 0.0
        if shared_s > own_s:
            return "max_guesses_per_address", shared_s
        return ("max_guesses", own_s) if own_s else ("", 0.0)

    def right(self, address: str, identity: str) -> None:
        """A credential was right: what was wrong before it is forgotten for this pair, and for it alone."""
        pair = _pair(address, identity)
        self._by_pair.forget(pair)
        if self._known.recall(pair) is None:
            self._known.put(Remembered(pair))


class Arrivals:
    """How often clients come. On the loop only."""

    __slots__ = ("_of_client", "_of_identity")

    def __init__(self, limits: TransportLimits) -> None:
        pause_s = limits.flapping_pause_max_s
        self._of_client = Delays(
            limits.connection_burst_per_client, pause_s, 1 / limits.connection_rate_per_client
        )
        self._of_identity = Delays(
            limits.connection_burst_per_identity, pause_s, 1 / limits.connection_rate_per_identity
        )

    def arrive(self, principal: str, client_id: str, address: str, now: float) -> tuple[str, float]:
        """Somebody is about to be let in: the limit that refuses it and how long, ("", 0.0) for none."""
        # All anonymous clients are one principal: there the address tells them apart, or one could have
        # another's client identifier refused.
        owner = principal if principal != ANONYMOUS else address_key(address)
        client = (owner, client_id[:NAME_CHARS]) if client_id else None
        wait_s = self._of_client.wait_s(client, now) if client else 0.0
        if wait_s:
            return "connection_rate_per_client", wait_s
        of_identity = principal != ANONYMOUS
        wait_s = self._of_identity.wait_s(principal, now) if of_identity else 0.0
        if wait_s:
            return "connection_rate_per_identity", wait_s
        wait_s = self._of_client.note(client, now) if client else 0.0
        if wait_s:
            return "connection_rate_per_client", wait_s
        wait_s = self._of_identity.note(principal, now) if of_identity else 0.0
        return ("connection_rate_per_identity", wait_s) if wait_s else ("", 0.0)


class Guard:
    """`Authenticator` that asks `inner` only when it is time. `report` gets events and must not block.

    `unguessable` is one that lets in only by secrets that nobody can guess, and is asked at any time.
    """

    __slots__ = ("_arrivals", "_clock", "_inner", "_reports", "_unguessable", "guesses")

    def __init__(
        self,
        inner: Authenticator,
        limits: TransportLimits,
        report: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        unguessable: Authenticator | None = None,
    ) -> None:
        self._unguessable = unguessable
        self.guesses = Guesses(limits)
        self._arrivals = Arrivals(limits)
        self._inner = inner
        self._reports = Reports(report)
        self._clock = clock

    def answer(self, question: Question) -> Answer | Later:
        """As `inner` answers, or a refusal because it is too early."""
        name = claimed_name(question)
        if name is not None:
            limit, wait_s = self.guesses.wait(question.peer.address, name, self._clock())
            if limit:
                certain = self._unguessable.answer(question) if self._unguessable is not None else None
                if isinstance(certain, Accepted):
                    return self._judged(question, name, certain)
                self._tell(limit, question, name, f"too many wrong credentials; wait {wait_s:.0f} s")
                return _too_early(f"too many wrong credentials for {name[:NAME_CHARS]!r}", wait_s)
        elif question.password is not None and self.guesses.busy(question.peer.address, ""):
            # Attack: a device with its certificate, and wrong passwords beside it that cost a slow check each.
            return _too_early("too many checks of one address", 1.0)
        answer = self._inner.answer(question)
        if type(answer) is Later:
            return self._later(question, name, answer)
        return self._judged(question, name, answer)

    def _later(self, question: Question, name: str | None, later: Later) -> Later:
        """An answer that takes its time, judged as others are when it is there."""
        address, claimed = question.peer.address, name or ""
        self.guesses.begin(address, claimed)

        def conclude() -> Answer:
            self.guesses.end(address, claimed)
            return self._judged(question, name, later.conclude())

        return Later(later.when_done, conclude)

    def _judged(self, question: Question, name: str | None, answer: Answer) -> Answer:
        """Remember what came of it."""
        if isinstance(answer, Accepted):
            if name is not None:
                self.guesses.right(question.peer.address, name)
            if question.step != "reauthenticate" and not question.principal:
                return self._arrive(question, answer)
        elif isinstance(answer, Refused) and answer.wrong_credential:
            limit, delay_s = self.guesses.wrong(question.peer.address, name or "", self._clock())
            if limit:
                detail = f"wrong credentials; the next attempt is looked at in {delay_s:g} s"
                self._tell(limit, question, name or "", detail)
        return answer

    def _arrive(self, question: Question, answer: Accepted) -> Answer:
        principal, address = answer.principal, question.peer.address
        limit, pause_s = self._arrivals.arrive(principal, question.client_id, address, self._clock())
        if not limit:
            return answer
        self._tell(limit, question, principal, f"it connects too often; it may again in {pause_s:.0f} s")
        return _too_early(f"{principal!r} connects too often", pause_s)

    def _tell(self, limit: str, question: Question, principal: str, detail: str) -> None:
        name, address = principal[:NAME_CHARS], question.peer.address
        self._reports.limit(limit, name, question.client_id, address, detail, self._clock())


def claimed_name(question: Question) -> str | None:
    """Whose secret `question` presents; None where no secret is about to be checked.

    A certificate decides for itself, and a password beside it can only be that of the same identity. A proof
    by a mechanism is checked beside a certificate too, and would tell whether it was right.
    """
    if question.method:
        name = getattr(question.exchange, "claimed", None) if question.step == "continue" else None
        return name if isinstance(name, str) else None
    if question.password is None or question.peer.certificate is not None:
        return None
    return question.username or ""


def _pair(address: str, identity: str) -> tuple[str, str]:
    return address_key(address), identity[:NAME_CHARS]


def _too_early(why: str, wait_s: float) -> Refused:
    return Refused(CONNECTION_RATE_EXCEEDED, f"{why}; not looked at for another {wait_s:.0f} s", TOLD)

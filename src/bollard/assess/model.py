"""The words of an assessment: definitions, evidence, verdicts, results, the report.

Everything here is frozen and knows nothing of MQTT, so that scans, audits, captures and traps share it. What
looks at the world is a probe, what judges is a check; neither lives here.
"""

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

#: Grows when a reader of the canonical JSON would misunderstand a newer report.
SCHEMA = "bollard.assessment/1"


class State(enum.StrEnum):
    """The four outcomes. Only `PASS` may ever look green."""

    FAIL = "fail"
    PASS = "pass"  # noqa: S105 -- a state, no password
    INCONCLUSIVE = "inconclusive"
    NOT_TESTED = "not-tested"


class Severity(enum.StrEnum):
    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    @property
    def rank(self) -> int:
        """4 for critical down to 0 for info."""
        return 4 - list(Severity).index(self)

    def raised(self) -> "Severity":
        """One step worse; info stays what it is, because it is no problem."""
        order = list(Severity)
        return self if self in (Severity.INFO, Severity.CRITICAL) else order[order.index(self) - 1]


class Caution(enum.StrEnum):
    """How much a check disturbs: it only looks; writes in its own namespace; or strains the target."""

    SAFE = "safe"
    ACTIVE = "active"
    INTRUSIVE = "intrusive"


class Duty(enum.StrEnum):
    """Who can fix it."""

    OPERATOR = "broker operator"
    DEVICE_MAKER = "device maker"
    INTEGRATOR = "integrator"
    OWNER = "owner"


class Confidence(enum.StrEnum):
    """Proven by a closed loop, observed directly, or inferred from something else such as a version."""

    PROVEN = "proven"
    OBSERVED = "observed"
    INFERRED = "inferred"


class Status(enum.StrEnum):
    """How a probe ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the catalogue: everything about a check but its code.

    `owner_text` is one sentence for whoever owns the system and knows nothing of MQTT. `remedy` says
    what to do in the words of the field, `owner_remedy` in those of the owner ("" in older reports). `remediation`
    names, for each broker product, what to change. `relevant` names, for each standard, the provisions that the evidence is
    relevant to; it says nothing about compliance. `modifiers` names what raises the severity by one step. `subject`
    is what one result is about: a listener, a host, a file, a device.
    """

    id: str
    version: int = 1
    title: str
    owner_text: str
    technical_text: str
    severity: Severity
    modifiers: tuple[str, ...] = ()
    caution: Caution = Caution.SAFE
    requires: tuple[str, ...] = ()
    helped_by: tuple[str, ...] = ()
    evidence: str
    subject: str = "listener"
    remedy: str
    owner_remedy: str = ""
    remediation: dict[str, str] = {}
    group: str
    cwe: int
    duty_holder: Duty = Duty.OPERATOR
    references: tuple[str, ...] = ()
    relevant: dict[str, tuple[str, ...]] = {}


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what probes return: facts as they were seen, without secrets and without payloads."""


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """Where in a file a result stands. `line` 0: the file as a whole."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a check says. `observed` is one sentence: what was seen, or why nothing can be said.

    `severity` replaces that of the definition where the check knows better. `location` is set by checks on files.
    """

    state: State
    observed: str
    evidence: dict[str, Any] = {}
    severity: Severity | None = None
    confidence: Confidence = Confidence.OBSERVED
    location: Location | None = None


class Missing(Exception):
    """Evidence that a check asked for is not there; the reason becomes its *not-tested*."""


KindOfEvidence = TypeVar("KindOfEvidence", bound=Evidence)


class Facts:
    """All evidence about one target, as a check asks for it: by its type."""

    def __init__(self, evidence: Iterable[Evidence], missing: Mapping[type[Evidence], str] = {}) -> None:
        self._evidence = {type(each): each for each in evidence}
        self._missing = dict(missing)

    def get(self, kind: type[KindOfEvidence]) -> KindOfEvidence:
        """The evidence of this type. Raises `Missing` with the reason why there is none."""
        found = self._evidence.get(kind)
        if isinstance(found, kind):
            return found
        raise Missing(self._missing.get(kind, "no probe has looked for this"))

    def find(self, kind: type[KindOfEvidence]) -> KindOfEvidence | None:
        """The evidence of this type, for a check that can do without it."""
        found = self._evidence.get(kind)
        return found if isinstance(found, kind) else None


class Check(msgspec.Struct, frozen=True):
    """A definition and the pure function that judges by it."""

    definition: Definition
    judge: Callable[[Facts], Verdict]


class Acceptance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A risk that somebody has accepted: it stays visible and no longer counts, until the day it expires.

    `target` "" means every target. `expires` is a date, the last day on which it holds.
    """

    check: str
    target: str = ""
    reason: str
    by: str = ""
    expires: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One check on one target. `change` says how it differs from an earlier report: new, open or fixed."""

    check: str
    target: str
    state: State
    severity: Severity
    title: str
    observed: str
    evidence: dict[str, Any] = {}
    confidence: Confidence = Confidence.OBSERVED
    accepted: Acceptance | None = None
    change: str = ""
    location: Location | None = None

    @property
    def open(self) -> bool:
        """Is this a confirmed problem that nobody has accepted? Information alone is no problem."""
        return self.state is State.FAIL and self.severity is not Severity.INFO and self.accepted is None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One probe on one target: how it ended and, if it did, the evidence as plain data."""

    probe: str
    target: str
    status: Status
    reason: str = ""
    kind: str = ""
    evidence: dict[str, Any] = {}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What was assessed: `name` as in every result, and what is known about it in `product`."""

    name: str
    kind: str
    address: str = ""
    product: str = ""


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was seen in a network: a device or a server, with what is known about it by name.

    `hardware` are addresses of network cards. `facts` hold texts, numbers, lists of texts and counts by name, none
    of them secret; texts are an attacker's to choose.
    """

    name: str
    kind: str
    addresses: tuple[str, ...] = ()
    hardware: tuple[str, ...] = ()
    facts: dict[str, Any] = {}


class Grade(msgspec.Struct, frozen=True, kw_only=True):
    """A to F by the worst of the `open` problems, "?" when nothing was tested.

    `ran` of `total` checks gave an answer.
    """

    letter: str
    open: int = 0
    ran: int
    total: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The canonical report: all that a renderer needs, without the catalogue at hand.

    `complete` is False for the state of a scan that was interrupted; `done` then names what need not be looked at
    again. `unused` are acceptances that have no effect, each in a sentence that says why.
    """

    schema: str = SCHEMA
    kind: str
    tool: str
    tool_version: str
    started: str
    finished: str
    complete: bool = True
    done: tuple[str, ...] = ()
    authorization: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    targets: tuple[Target, ...] = ()
    grade: Grade
    results: tuple[Result, ...] = ()
    fixed: tuple[Result, ...] = ()
    unused: tuple[str, ...] = ()
    checks: dict[str, Definition] = {}
    attempts: tuple[Attempt, ...] = ()
    notes: tuple[str, ...] = ()
    inventory: tuple[Asset, ...] = ()


_LETTERS = {
    Severity.CRITICAL: "F",
    Severity.HIGH: "D",
    Severity.MEDIUM: "C",
    Severity.LOW: "B",
}


def grade(results: Iterable[Result]) -> Grade:
    """The grade of these results: worst open problem, beside how much was looked at."""
    results = tuple(results)
    ran = sum(result.state in (State.FAIL, State.PASS) for result in results)
    worst = max((result.severity for result in results if result.open), key=lambda s: s.rank, default=None)
    letter = "?" if not ran else "A" if worst is None else _LETTERS[worst]
    count = sum(result.open for result in results)
    return Grade(letter=letter, open=count, ran=ran, total=len(results))


def judge(check: Check, target: str, facts: Facts, *, raised: bool = False) -> Result:
    """What `check` says about `target`. `raised` makes a failure one step worse where the definition allows."""
    definition = check.definition
    try:
        verdict = check.judge(facts)
    except Missing as reason:
        verdict = Verdict(state=State.NOT_TESTED, observed=str(reason))
    severity = verdict.severity or definition.severity
    if raised and verdict.state is State.FAIL and "internet" in definition.modifiers:
        severity = severity.raised()
    return Result(
        check=definition.id,
        target=target,
        state=verdict.state,
        severity=severity,
        title=definition.title,
        observed=verdict.observed,
        evidence=verdict.evidence,
        confidence=verdict.confidence,
        location=verdict.location,
    )


def fails(
    observed: str,
    *,
    shown: Mapping[str, Any] = {},
    proven: bool = False,
    severity: Severity | None = None,
    **evidence: Any,
) -> Verdict:
    """The flaw is there. `proven` when an own canary came through, rather than only an answer seen.

    The evidence is `shown` and the further keywords together.
    """
    confidence = Confidence.PROVEN if proven else Confidence.OBSERVED
    return Verdict(
        state=State.FAIL,
        observed=observed,
        evidence={**shown, **evidence},
        severity=severity,
        confidence=confidence,
    )


def passes(observed: str, *, shown: Mapping[str, Any] = {}, proven: bool = False, **evidence: Any) -> Verdict:
    """The flaw was looked for and is not there."""
    confidence = Confidence.PROVEN if proven else Confidence.OBSERVED
    return Verdict(state=State.PASS, observed=observed, evidence={**shown, **evidence}, confidence=confidence)


def unsure(
    observed: str, *, shown: Mapping[str, Any] = {}, inferred: bool = False, **evidence: Any
) -> Verdict:
    """It was looked for, and what was seen proves neither."""
    confidence = Confidence.INFERRED if inferred else Confidence.OBSERVED
    return Verdict(
        state=State.INCONCLUSIVE, observed=observed, evidence={**shown, **evidence}, confidence=confidence
    )


def untested(reason: str) -> Verdict:
    """Nobody looked, and why."""
    return Verdict(state=State.NOT_TESTED, observed=reason)

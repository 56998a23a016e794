"""What all reports say in the same words, and how the words of others are kept from doing harm.

Topics, client ids, names in certificates and reasons of servers are an attacker's to choose. `clean` takes from
them whatever could move a terminal or reorder a line; each format then escapes in its own way.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from bollard.assess.model import Caution, Definition, Report, Result, Severity, State

#: Longer texts of others are cut in every report but the canonical one.
MAX_TEXT = 500

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
GRADES = {
    "A": "Nothing wrong was found in what was looked at.",
    "B": "Small things to tidy up at the next service.",
    "C": "Something should be repaired within weeks.",
    "D": "Something serious should be repaired within days.",
    "F": "Strangers can do harm here. Act today.",
    "?": "Nothing could be tested, so there is no grade.",
}
STATES = {
    State.FAIL: "problem",
    State.PASS: "fine",
    State.INCONCLUSIVE: "unclear",
    State.NOT_TESTED: "not tested",
}
#: How soon, in the words of the owner's page.
URGENCY = {
    Severity.CRITICAL: "today",
    Severity.HIGH: "within days",
    Severity.MEDIUM: "within weeks",
    Severity.LOW: "at the next service",
    Severity.INFO: "good to know",
}
DUTIES = {
    "broker operator": "the person or firm that set up your message server (often the one that looks after your computers)",
    "device maker": "the maker of the device; ask where you bought it",
    "integrator": "the person or firm that set up your devices and apps",
    "owner": "you, or the person or firm that looks after your computers",
}


class Problem(NamedTuple):
    """One check that failed, wherever it did: what an owner reads once rather than for each listener."""

    definition: Definition
    severity: Severity
    results: tuple[Result, ...]

    @property
    def targets(self) -> str:
        return ", ".join(clean(result.target) for result in self.results)

    @property
    def who(self) -> str:
        return DUTIES[self.definition.duty_holder]


class Task(NamedTuple):
    """One thing to do, and all problems that it ends: an owner reads it once. The worst problem comes first."""

    problems: tuple[Problem, ...]

    @property
    def severity(self) -> Severity:
        return self.problems[0].severity

    @property
    def urgency(self) -> str:
        return URGENCY[self.severity]

    @property
    def statements(self) -> list[str]:
        """What is wrong, in sentences; a setting and what it leads to may be told by the same one."""
        return list(dict.fromkeys(each.definition.owner_text for each in self.problems))

    @property
    def remedy(self) -> str:
        return _asked(self.problems[0].definition)

    @property
    def who(self) -> str:
        """Whoever can fix it, each once."""
        return ", or ".join(dict.fromkeys(each.who for each in self.problems))

    @property
    def ids(self) -> str:
        return ", ".join(each.definition.id for each in self.problems)


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """`text` with everything unprintable as escapes, in one line, cut to `limit` characters."""
    if len(text) > limit:
        text = text[:limit] + "…"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def problems(report: Report) -> list[Problem]:
    """Open problems, the worst first."""
    return _merged(report, (result for result in report.results if result.open))


def tasks(report: Report) -> list[Task]:
    """What is to be done about the open problems, the most urgent first."""
    groups: dict[str, list[Problem]] = {}
    for problem in problems(report):
        groups.setdefault(_asked(problem.definition), []).append(problem)
    return [Task(tuple(group)) for group in groups.values()]


def _asked(definition: Definition) -> str:
    """What an owner asks for; a report of an older version has only the words of the field."""
    return definition.owner_remedy or definition.remedy


def day(moment: str) -> str:
    """A moment of the report, such as 2026-11-23T10:32:06Z, as people write it where the page is made.

    What is no moment stays as it is.
    """
    try:
        at = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S%z").astimezone()
    except (ValueError, OverflowError):
        return clean(moment)
    # A zone without a name of its own gives its distance, such as -03.
    zone = f"{at:%Z}" if f"{at:%Z}"[:1].isalpha() else f"UTC{at:%Z}"
    return f"{at.day} {MONTHS[at.month - 1]} {at.year}, {at:%H:%M} {zone}"


def notes(report: Report) -> list[Problem]:
    """What failed and is no problem by itself: information."""
    results = (
        result
        for result in report.results
        if result.state is State.FAIL and result.severity is Severity.INFO and result.accepted is None
    )
    return _merged(report, results)


def _merged(report: Report, results: Iterable[Result]) -> list[Problem]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.check, []).append(result)
    found = [
        Problem(
            report.checks[check], max((each.severity for each in group), key=lambda s: s.rank), tuple(group)
        )
        for check, group in groups.items()
        if check in report.checks
    ]
    return sorted(found, key=lambda each: (-each.severity.rank, each.definition.id))


def of_state(report: Report, state: State) -> list[Result]:
    """Results of one state, in the order of the report."""
    return [result for result in report.results if result.state is state]


def accepted(report: Report) -> list[Result]:
    """Problems that somebody has accepted."""
    return [result for result in report.results if result.accepted is not None]


def facts(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Evidence as pairs of label and text, cleaned."""
    return [(clean(key.replace("_", " ")), _shown(value)) for key, value in evidence.items()]


def lines(evidence: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Evidence as pairs of label and texts, cleaned: of a list, each item is a line of its own."""
    return [
        (clean(key.replace("_", " ")), [_shown(each) for each in value])
        if isinstance(value, list | tuple) and value
        else (clean(key.replace("_", " ")), [_shown(value)])
        for key, value in evidence.items()
    ]


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return clean(", ".join(f"{key}: {each}" for key, each in value.items()))
    if isinstance(value, list | tuple):
        return clean(", ".join(map(str, value))) or "none"
    return clean(str(value))


def place(result: Result) -> str:
    """Where a result stands: file and line if it has a line, else its target."""
    exact = result.location is not None and result.location.line
    return clean(str(result.location) if exact else result.target)


def summary(report: Report) -> str:
    """How many results of each state, in a sentence."""
    failed = of_state(report, State.FAIL)
    counts = {
        "open": report.grade.open,
        "accepted": sum(result.accepted is not None for result in failed),
        "noted": len(notes(report)),
        "passed": len(of_state(report, State.PASS)),
        "unclear": len(of_state(report, State.INCONCLUSIVE)),
        "not tested": len(of_state(report, State.NOT_TESTED)),
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing"


def coverage(report: Report) -> str:
    """How much the grade stands on."""
    return f"{report.grade.ran} of {report.grade.total} checks gave an answer"


def products(result: Result, report: Report) -> list[tuple[str, str]]:
    """Remedies by product; that of the target's own product alone, if it is known."""
    known = report.checks[result.check].remediation if result.check in report.checks else {}
    names = {target.name: target.product.partition(" ")[0] for target in report.targets}
    own = names.get(result.target, "")
    return [(own, known[own])] if own in known else list(known.items())


def reproduction(result: Result, report: Report) -> str:
    """The command that looks at just this again; "" where a target's name is none for a command line."""
    command = {"SCN": "scan", "TLS": "scan", "CFG": "audit", "PCP": "sniff"}.get(result.check[:3], "")
    target = result.target
    if command == "sniff":
        # Its target is what the recording shows; the file is what can be read again.
        target = result.location.file if result.location else "-"
    if (
        not command
        or target.startswith("-")
        or not all(char.isalnum() or char in ".:/[]-_" for char in target)
    ):
        return ""
    known = report.checks.get(result.check)
    caution = known.caution if known is not None else Caution.SAFE
    more = "" if caution is Caution.SAFE else f" --{caution}"
    return f"bollard {command} {target} --only {result.check}{more}"

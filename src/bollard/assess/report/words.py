"""What all reports say in the same words, and how the words of others are kept from doing harm.

Topics, client ids, names in certificates and reasons of servers are an attacker's to choose. `clean` takes from
them whatever could move a terminal or reorder a line; each format then escapes in its own way.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from bollard.assess.model import Definition, Report, Result, Severity, State

#: Longer texts of others are cut in every report but the canonical one.
MAX_TEXT = 500

GRADES = {
    "A": "Nothing wrong was found in what was looked at.",
    "B": "Small things to tidy up.",
    "C": "Something should be repaired soon.",
    "D": "Something serious should be repaired now.",
    "F": "Strangers can misuse this. Act today.",
    "?": "Nothing could be tested, so there is no grade.",
}
STATES = {
    State.FAIL: "problem",
    State.PASS: "fine",
    State.INCONCLUSIVE: "unclear",
    State.NOT_TESTED: "not tested",
}
DUTIES = {
    "broker operator": "whoever runs the server",
    "device maker": "the maker of the device",
    "integrator": "whoever set the system up",
    "owner": "you, the owner",
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


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """`text` with everything unprintable as escapes, in one line, cut to `limit` characters."""
    if len(text) > limit:
        text = text[:limit] + "…"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def problems(report: Report) -> list[Problem]:
    """Open problems, the worst first."""
    return _merged(report, (result for result in report.results if result.open))


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


def reproduction(result: Result) -> str:
    """The command that looks at just this again."""
    target = result.target
    if not all(char.isalnum() or char in ".:/[]-_" for char in target):
        return ""
    return f"bollard scan {target} --only {result.check}"

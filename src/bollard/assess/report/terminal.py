"""The report for a terminal: the grade, the problems, what to do; details on request."""

from collections.abc import Callable

from bollard.assess.model import Report, Result, Severity, State
from bollard.assess.report import inventory, words
from bollard.assess.report.words import Problem, clean

_COLOURS = {
    Severity.CRITICAL: "1;31",
    Severity.HIGH: "31",
    Severity.MEDIUM: "33",
    Severity.LOW: "36",
    Severity.INFO: "2",
}
_GRADE_COLOURS = {"A": "1;32", "B": "32", "C": "33", "D": "31", "F": "1;31"}

_Paint = Callable[[str, str], str]


def render(report: Report, *, colour: bool = False, details: bool = False) -> str:
    """The report as lines of text. `details` adds the evidence and everything that was not tested."""

    def paint(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text

    lines = _head(report, paint)
    for problem in words.problems(report):
        lines += _problem(problem, paint, details)
    if not words.problems(report):
        lines += ["No open problem was found." if report.grade.ran else "Nothing could be looked at.", ""]
    for note in words.notes(report):
        lines.append(f"Note: {note.definition.owner_text} ({note.definition.id})")
        lines.append(f"    {note.definition.remedy}")
    lines += [
        f"Fixed: {result.check} {clean(result.title)}, {clean(result.target)}" for result in report.fixed
    ]
    lines += [_accepted(result) for result in words.accepted(report)]
    lines += [f"Acceptance without effect: {clean(each)}" for each in report.unused]
    lines += _rest(report, State.INCONCLUSIVE, "Unclear", details=True)
    lines += _rest(report, State.NOT_TESTED, "Not tested", details)
    lines += [f"Note: {clean(note)}" for note in report.notes]
    if report.inventory:
        lines += ["", *inventory.lines(report, details=details)]
    return "\n".join(lines).rstrip() + "\n"


def _head(report: Report, paint: _Paint) -> list[str]:
    grade = report.grade.letter
    lines = [f"Grade {paint(grade, _GRADE_COLOURS.get(grade, ''))}: {words.GRADES.get(grade, '')}"]
    lines.append(f"{words.coverage(report)}: {words.summary(report)}.")
    for target in report.targets:
        product = f" ({clean(target.product)})" if target.product else ""
        lines.append(f"  {clean(target.name)}{product}")
    return [*lines, ""]


def _problem(problem: Problem, paint: _Paint, details: bool) -> list[str]:
    definition = problem.definition
    lines = [
        f"{paint(problem.severity.upper(), _COLOURS[problem.severity])}  {definition.id}  {definition.owner_text}"
    ]
    for result in problem.results:
        change = f" [{result.change}]" if result.change else ""
        lines.append(f"    {words.place(result)}: {clean(result.observed)}{change}")
        if details:
            lines += [f"      {key}: {value}" for key, value in words.facts(result.evidence)]
    lines.append(f"    Who can fix it: {problem.who}. {definition.remedy}")
    return [*lines, ""]


def _accepted(result: Result) -> str:
    acceptance = result.accepted
    assert acceptance is not None
    who = f" by {clean(acceptance.by)}" if acceptance.by else ""
    return (
        f"Accepted until {clean(acceptance.expires)}{who}: {result.check} {clean(result.title)}, "
        f"{clean(result.target)}: {clean(acceptance.reason)}"
    )


def _rest(report: Report, state: State, title: str, details: bool) -> list[str]:
    results = words.of_state(report, state)
    if not results:
        return []
    if not details:
        return [f"{title}: {len(results)} checks; --details says why."]
    if state is State.INCONCLUSIVE:
        return [
            f"{title}:",
            *(f"  {each.check}  {clean(each.title)}: {clean(each.observed)}" for each in results),
        ]
    reasons: dict[str, dict[str, None]] = {}
    for each in results:
        reasons.setdefault(clean(each.observed), {})[each.check] = None
    return [f"{title}:", *(f"  {', '.join(ids)}: {reason}" for reason, ids in reasons.items())]

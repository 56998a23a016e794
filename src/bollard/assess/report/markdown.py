"""The report as Markdown, for tickets and wikis. Text of others cannot become markup, link or mention."""

import re

from bollard.assess.model import Report, Result, State
from bollard.assess.report import words


def escape(text: str) -> str:
    """`text` as Markdown that shows just that."""
    text = words.clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_{}\[\]()#+!|~$-])", r"\\\1", text)
    return text.replace("@", "&#64;").replace("://", "&#58;//").replace("www.", "www&#46;")


def render(report: Report) -> str:
    """Grade, problems with evidence and remedy, and a table of everything."""
    lines = [
        "# Assessment",
        "",
        f"**Grade {escape(report.grade.letter)}.** {words.GRADES.get(report.grade.letter, '')} "
        f"{words.coverage(report)}: {words.summary(report)}.",
        "",
        f"{escape(report.tool)} {escape(report.tool_version)}, {escape(report.started)} to {escape(report.finished)}",
        "",
    ]
    for target in report.targets:
        lines.append(f"- {escape(target.name)} {escape(target.product)}".rstrip())
    lines += ["", "## Problems", ""]
    for problem in words.problems(report):
        lines += [f"### {problem.definition.id}: {problem.definition.title} ({problem.severity})", ""]
        lines += [problem.definition.owner_text, ""]
        for result in problem.results:
            lines += _result(result)
        lines += ["", f"Who can fix it: {problem.who}. {problem.definition.remedy}", ""]
    if not words.problems(report):
        lines += ["No open problem was found." if report.grade.ran else "Nothing could be looked at.", ""]
    lines += _others(report)
    lines += ["## All results", "", "|Check|Target|State|Severity|Observed|", "|-|-|-|-|-|"]
    for result in report.results:
        cells = (result.check, result.target, words.STATES[result.state], result.severity, result.observed)
        lines.append("|" + "|".join(escape(cell) for cell in cells) + "|")
    return "\n".join(lines) + "\n"


def _result(result: Result) -> list[str]:
    change = f" *{escape(result.change)}*" if result.change else ""
    lines = [f"- {escape(words.place(result))}: {escape(result.observed)}{change}"]
    for label, texts in words.lines(result.evidence):
        if len(texts) == 1:
            lines.append(f"  - {escape(label)}: {escape(texts[0])}")
        else:
            lines += [f"  - {escape(label)}:", *(f"    - {escape(text)}" for text in texts)]
    return lines


def _others(report: Report) -> list[str]:
    lines = []
    for result in report.fixed:
        lines.append(f"- Fixed: {escape(result.check)} {escape(result.title)}, {escape(result.target)}")
    for result in words.accepted(report):
        if result.accepted is not None and result.state is State.FAIL:
            lines.append(
                f"- Accepted until {escape(result.accepted.expires)}: {escape(result.check)} "
                f"{escape(result.title)}, {escape(result.target)}: {escape(result.accepted.reason)}"
            )
    lines += [f"- Acceptance without effect: {escape(each)}" for each in report.unused]
    return ["## Fixed and accepted", "", *lines, ""] if lines else []

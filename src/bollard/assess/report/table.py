"""The report as CSV, one line a result. A cell that a spreadsheet would take for a formula is made text."""

import csv
import io

from bollard.assess.model import Report
from bollard.assess.report import words

HEADS = (
    "check",
    "target",
    "state",
    "severity",
    "title",
    "observed",
    "evidence",
    "who can fix it",
    "remedy",
    "CWE",
    "change",
    "accepted until",
    "file and line",
)


def cell(text: str) -> str:
    """`text` as a cell that no spreadsheet computes."""
    text = words.clean(text)
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@", "|", "%") else text


def render(report: Report) -> str:
    """All results under one line of heads."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEADS)
    for result in (*report.results, *report.fixed):
        definition = report.checks.get(result.check)
        row = (
            result.check,
            result.target,
            result.state,
            result.severity,
            result.title,
            result.observed,
            "; ".join(f"{key}: {value}" for key, value in words.facts(result.evidence)),
            definition.duty_holder if definition else "",
            definition.remedy if definition else "",
            f"CWE-{definition.cwe}" if definition else "",
            result.change,
            result.accepted.expires if result.accepted else "",
            str(result.location) if result.location else "",
        )
        writer.writerow([cell(each) for each in row])
    return out.getvalue()

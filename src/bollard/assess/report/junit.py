"""The report as JUnit XML: one suite a target, one case a check.

A problem is a failure, an unclear result an error, what was not tested or is accepted is skipped with its
reason. Information and what passed are passed cases.
"""

import re
from xml.etree import ElementTree

from bollard.assess.model import Report, Result, State
from bollard.assess.report import words

#: What XML 1.0 cannot hold, beyond what is unprintable anyway.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report) -> str:
    """The suites as a document."""
    root = ElementTree.Element("testsuites", name=f"{report.tool} {report.kind}")
    suites: dict[str, list[Result]] = {}
    for result in report.results:
        suites.setdefault(result.target, []).append(result)
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for target, results in suites.items():
        suite = ElementTree.SubElement(root, "testsuite", name=_text(target))
        suite.set("timestamp", _text(report.started.removesuffix("Z")))
        counts = {"tests": len(results), "failures": 0, "errors": 0, "skipped": 0}
        for result in results:
            outcome = _case(suite, result)
            if outcome:
                counts[outcome] += 1
        for name, count in counts.items():
            suite.set(name, str(count))
            totals[name] += count
    for name, count in totals.items():
        root.set(name, str(count))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _case(suite: ElementTree.Element, result: Result) -> str:
    """Add one case; the counter that it belongs to, "" for one that passed."""
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=_text(result.target),
        name=_text(f"{result.check} {result.title}"),
        time="0",
    )
    detail = "\n".join(f"{key}: {value}" for key, value in words.facts(result.evidence))
    if result.accepted is not None:
        reason = f"accepted until {result.accepted.expires}: {result.accepted.reason}"
        ElementTree.SubElement(case, "skipped", message=_text(reason))
        return "skipped"
    if result.open:
        failure = ElementTree.SubElement(
            case, "failure", message=_text(result.observed), type=result.severity
        )
        failure.text = _NOT_XML.sub("?", detail)
        return "failures"
    if result.state is State.INCONCLUSIVE:
        error = ElementTree.SubElement(case, "error", message=_text(result.observed), type="inconclusive")
        error.text = _NOT_XML.sub("?", detail)
        return "errors"
    if result.state is State.NOT_TESTED:
        ElementTree.SubElement(case, "skipped", message=_text(result.observed))
        return "skipped"
    return ""


def _text(text: str) -> str:
    return _NOT_XML.sub("?", words.clean(text))

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
    """The suites as a document, valid by the schemas of Apache Ant's and of Jenkins' readers."""
    root = ElementTree.Element("testsuites")
    suites: dict[str, list[Result]] = {}
    for result in report.results:
        suites.setdefault(result.target, []).append(result)
    for number, (target, results) in enumerate(suites.items()):
        _suite(root, number, target, results, report)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _suite(
    root: ElementTree.Element, number: int, target: str, results: list[Result], report: Report
) -> None:
    """One suite; Ant's schema wants every attribute and child that is here, in this order."""
    suite = ElementTree.SubElement(root, "testsuite", id=str(number), name=_text(target) or "-")
    suite.set("package", f"{report.tool}.{report.kind}")
    suite.set("timestamp", _text(report.started.removesuffix("Z")))
    suite.set("hostname", "localhost")
    suite.set("time", "0")
    about = ElementTree.SubElement(suite, "properties")
    for name, value in (("grade", report.grade.letter), ("coverage", words.coverage(report))):
        ElementTree.SubElement(about, "property", name=name, value=value)
    counts = {"tests": len(results), "failures": 0, "errors": 0, "skipped": 0}
    for result in results:
        outcome = _case(suite, result)
        if outcome:
            counts[outcome] += 1
    for name, count in counts.items():
        suite.set(name, str(count))
    ElementTree.SubElement(suite, "system-out")
    ElementTree.SubElement(suite, "system-err")


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

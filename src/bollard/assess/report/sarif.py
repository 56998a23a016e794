"""The report as SARIF 2.1.0, for code scanning and dashboards.

Fingerprints come from check and target, so that the results of later scans match. What was not tested is no
result: it is listed among the run's properties.
"""

import hashlib
import json
import os
from typing import Any
from urllib.parse import quote

from bollard.assess.model import Definition, Report, Result, Severity, State
from bollard.assess.report import words

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}
SECURITY_SEVERITY = {
    Severity.CRITICAL: "9.0",
    Severity.HIGH: "7.0",
    Severity.MEDIUM: "4.0",
    Severity.LOW: "2.0",
    Severity.INFO: "0.0",
}
_KINDS = {State.FAIL: "fail", State.PASS: "pass", State.INCONCLUSIVE: "open"}
_BASELINE = {"new": "new", "open": "unchanged", "fixed": "absent"}


def render(report: Report) -> str:
    """The log as JSON text, ASCII."""
    return json.dumps(log(report), indent=1) + "\n"


def log(report: Report) -> dict[str, Any]:
    """The log as plain data."""
    definitions = list(report.checks.values())
    index = {each.id: number for number, each in enumerate(definitions)}
    weaknesses = sorted({each.cwe for each in definitions})
    tested = [each for each in report.results if each.state is not State.NOT_TESTED]
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": report.tool,
                "version": report.tool_version,
                "rules": [_rule(each) for each in definitions],
                "supportedTaxonomies": [{"name": "CWE"}],
            }
        },
        "taxonomies": [
            {"name": "CWE", "organization": "MITRE", "taxa": [{"id": str(number)} for number in weaknesses]}
        ],
        "invocations": [
            {
                "executionSuccessful": report.complete,
                "startTimeUtc": report.started,
                "endTimeUtc": report.finished,
            }
        ],
        "results": [_result(each, index) for each in (*tested, *report.fixed)],
        "properties": {
            "grade": report.grade.letter,
            "ran": report.grade.ran,
            "total": report.grade.total,
            "notTested": [
                {
                    "check": each.check,
                    "target": words.clean(each.target),
                    "reason": words.clean(each.observed),
                }
                for each in words.of_state(report, State.NOT_TESTED)
            ],
        },
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(definition: Definition) -> dict[str, Any]:
    return {
        "id": definition.id,
        "name": "".join(word.capitalize() for word in definition.title.split() if word.isalnum())
        or definition.id,
        "shortDescription": {"text": definition.title},
        "fullDescription": {"text": f"{definition.owner_text} {definition.technical_text}"},
        "help": {"text": definition.remedy},
        "defaultConfiguration": {"level": LEVELS[definition.severity]},
        "properties": {
            "security-severity": SECURITY_SEVERITY[definition.severity],
            "tags": ["security", "mqtt", f"external/cwe/cwe-{definition.cwe:03d}"],
            "dutyHolder": definition.duty_holder,
        },
        "relationships": [
            {
                "target": {"id": str(definition.cwe), "toolComponent": {"name": "CWE"}},
                "kinds": ["superset"],
            }
        ],
    }


def _result(result: Result, index: dict[str, int]) -> dict[str, Any]:
    failed = result.state is State.FAIL
    sarif: dict[str, Any] = {
        "ruleId": result.check,
        "kind": "informational" if failed and result.severity is Severity.INFO else _KINDS[result.state],
        "level": LEVELS[result.severity] if failed and result.severity is not Severity.INFO else "none",
        "message": {"text": f"{words.clean(result.title)}: {words.clean(result.observed)}"},
        "locations": [{"physicalLocation": _place(result)}],
        "partialFingerprints": {"checkAndTarget/v1": fingerprint(result)},
        "properties": {
            "security-severity": SECURITY_SEVERITY[result.severity],
            "confidence": result.confidence,
            "evidence": dict(words.facts(result.evidence)),
        },
    }
    if result.check in index:
        sarif["ruleIndex"] = index[result.check]
    if result.change in _BASELINE:
        sarif["baselineState"] = _BASELINE[result.change]
    if result.accepted is not None:
        until = f"{words.clean(result.accepted.reason)} (until {words.clean(result.accepted.expires)})"
        sarif["suppressions"] = [{"kind": "external", "status": "accepted", "justification": until}]
    return sarif


def _place(result: Result) -> dict[str, Any]:
    """File and line of a result that has them; otherwise its target."""
    if result.location is None:
        return {"artifactLocation": {"uri": location(result.target)}}
    place: dict[str, Any] = {"artifactLocation": {"uri": _file_uri(result.location.file)}}
    if result.location.line > 0:
        place["region"] = {"startLine": result.location.line}
    return place


def _file_uri(file: str) -> str:
    """A file as a URI, however strange its name is."""
    return "file://" + quote(os.path.abspath(file), errors="replace")


def location(target: str) -> str:
    """The target as a URI: a file or folder, a listener, or the host for what concerns the whole host."""
    if target.startswith("/"):
        return _file_uri(target)
    return quote(target if "://" in target else f"mqtt://{target}", safe=":/[]@%")


def fingerprint(result: Result) -> str:
    """The same for the same check on the same target, whatever was observed."""
    return hashlib.sha256(f"{result.check}\n{result.target.lower()}".encode()).hexdigest()[:32]

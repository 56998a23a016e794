"""SARIF and JUnit by their published schemas, whose rules for what we write are set down here in our own words.

JUnit has no one schema. Two are in use, that of Apache Ant's reports and that of Jenkins; what we write is valid by
both, so each row below is the stricter of the two. Where the schemas themselves are at hand, they judge as well.
"""

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import jsonschema
import pytest
import xmlschema

from assess.reports import quiet, report
from assess.targets import ROOT
from bollard.assess.configs.audit import audit
from bollard.assess.model import Acceptance, Report
from bollard.assess.report import compare, junit, sarif

# -- JUnit ----------------------------------------------------------------------------------------------

#: Element -> attributes that it must have, attributes that it may have, and its children in order.
JUNIT: dict[str, tuple[set[str], set[str], str]] = {
    "testsuites": (set(), set(), "(testsuite )*"),
    "testsuite": (
        {"name", "timestamp", "hostname", "tests", "failures", "errors", "time", "package", "id"},
        {"skipped"},
        "properties (testcase )*system-out system-err ",
    ),
    "properties": (set(), set(), "(property )*"),
    "property": ({"name", "value"}, set(), ""),
    "testcase": ({"name", "classname", "time"}, set(), "((skipped|error|failure) )?"),
    "skipped": (set(), {"message"}, ""),
    "error": ({"type"}, {"message"}, ""),
    "failure": ({"type"}, {"message"}, ""),
    "system-out": (set(), set(), ""),
    "system-err": (set(), set(), ""),
}
NUMBERS = {"tests", "failures", "errors", "skipped", "time", "id"}


def revised() -> Report:
    """A report beside an earlier one, with an accepted risk and one that was fixed."""
    made = compare.compare(report(), report())
    accepted = Acceptance(check="SCN-14", reason="a test bench", by="Ada", expires="2999-01-01")
    return compare.accept(made, [accepted], date(2026, 11, 23))


REPORTS = pytest.mark.parametrize("made", [report(), quiet(), revised()], ids=["hostile", "quiet", "revised"])


@REPORTS
def test_junit_has_only_what_its_schemas_know(made: Report) -> None:
    root = ElementTree.fromstring(junit.render(made))
    assert root.tag == "testsuites"
    for element in root.iter():
        needed, allowed, children = JUNIT[element.tag]
        assert needed <= set(element.attrib) <= needed | allowed, element.tag
        assert re.fullmatch(children, "".join(f"{child.tag} " for child in element)), element.tag
        assert all(re.fullmatch(r"\d+", element.attrib[name]) for name in NUMBERS & set(element.attrib))


@REPORTS
def test_junit_times_have_no_zone(made: Report) -> None:
    for suite in ElementTree.fromstring(junit.render(made)).iter("testsuite"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
        assert suite.attrib["name"].strip()


#: That of Jenkins up to 2018, and its present one, by the change that made each.
JUNIT_SCHEMAS = [
    ROOT / "build" / "schemas" / change / "junit-10.xsd"
    for change in ("14c6e39c38408b9ed6280361484a13c6f5becca7", "ae25da5089d4f94ac6c4669bf736e4d416cc4665")
]


@pytest.mark.parametrize("schema", JUNIT_SCHEMAS, ids=("older", "present"))
@REPORTS
def test_junit_is_valid_by_its_schemas(made: Report, schema: Path) -> None:
    if not schema.exists():
        pytest.skip("needs the schemas of JUnit: make targets")
    read = xmlschema.XMLSchema10(str(schema), allow="local")
    text = junit.render(made)
    assert [error.reason for error in read.iter_errors(text)] == []
    assert not read.is_valid(text.replace("testcase", "case"))


# -- SARIF ----------------------------------------------------------------------------------------------

SCHEMA = ROOT / "build" / "schemas" / "sarif-2.1.0-rtm.5.json"


@pytest.mark.skipif(not SCHEMA.exists(), reason="needs the schema of SARIF: make targets")
@REPORTS
def test_sarif_is_valid_by_its_schema(made: Report) -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    validator = jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())
    assert [error.message for error in validator.iter_errors(sarif.log(made))] == []


@pytest.mark.skipif(not SCHEMA.exists(), reason="needs the schema of SARIF: make targets")
def test_sarif_of_an_audit_is_valid_by_its_schema(tmp_path: Path) -> None:
    config = tmp_path / "mosquitto.conf"
    config.write_text("listener 1883\nallow_anonymous true\nnonsense 1\n")
    schema = json.loads(SCHEMA.read_text("utf-8"))
    validator = jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())
    log = json.loads(sarif.render(audit([config])))
    assert [error.message for error in validator.iter_errors(log)] == []


#: Object of SARIF 2.1.0 -> properties that it must have, and those that it may have and we use. All are closed.
SARIF: dict[str, tuple[set[str], set[str]]] = {
    "log": ({"version", "runs"}, {"$schema"}),
    "run": ({"tool"}, {"taxonomies", "invocations", "results", "properties"}),
    "tool": ({"driver"}, set()),
    "component": (
        {"name"},
        {"version", "rules", "supportedTaxonomies", "organization", "taxa"},
    ),
    "descriptor": (
        {"id"},
        {
            "name",
            "shortDescription",
            "fullDescription",
            "help",
            "defaultConfiguration",
            "properties",
            "relationships",
        },
    ),
    "relationship": ({"target"}, {"kinds"}),
    "invocation": ({"executionSuccessful"}, {"startTimeUtc", "endTimeUtc"}),
    "result": (
        {"message"},
        {
            "ruleId",
            "ruleIndex",
            "kind",
            "level",
            "locations",
            "partialFingerprints",
            "properties",
            "baselineState",
            "suppressions",
        },
    ),
    "suppression": ({"kind"}, {"status", "justification"}),
    "text": ({"text"}, set()),
}
KINDS = {"notApplicable", "pass", "fail", "review", "open", "informational"}
LEVELS = {"none", "note", "warning", "error"}
BASELINES = {"new", "unchanged", "updated", "absent"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def objects(log: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the log whose shape is set down above."""
    yield "log", log
    for run in log["runs"]:
        yield "run", run
        yield "tool", run["tool"]
        driver = run["tool"]["driver"]
        for component in (driver, *run["taxonomies"], *driver["supportedTaxonomies"]):
            yield "component", component
            for descriptor in (*component.get("rules", ()), *component.get("taxa", ())):
                yield "descriptor", descriptor
                yield from (("relationship", each) for each in descriptor.get("relationships", ()))
                texts = ("shortDescription", "fullDescription", "help")
                yield from (("text", descriptor[name]) for name in texts if name in descriptor)
        yield from (("invocation", each) for each in run["invocations"])
        for result in run["results"]:
            yield "result", result
            yield "text", result["message"]
            yield from (("suppression", each) for each in result.get("suppressions", ()))


@REPORTS
def test_sarif_has_only_what_the_standard_knows(made: Report) -> None:
    log = json.loads(sarif.render(made))
    for kind, each in objects(log):
        needed, allowed = SARIF[kind]
        assert needed <= set(each) <= needed | allowed, (kind, set(each) - needed - allowed)
    assert log["version"] == "2.1.0"


@REPORTS
def test_sarif_values_are_those_of_the_standard(made: Report) -> None:
    (run,) = json.loads(sarif.render(made))["runs"]
    rules = run["tool"]["driver"]["rules"]
    ids = [rule["id"] for rule in rules]
    assert len(ids) == len(set(ids))
    assert {rule["defaultConfiguration"]["level"] for rule in rules} <= LEVELS
    for invocation in run["invocations"]:
        assert TIME.fullmatch(invocation["startTimeUtc"])
        assert TIME.fullmatch(invocation["endTimeUtc"])
    for result in run["results"]:
        assert result["kind"] in KINDS
        assert result["level"] in LEVELS
        # What is no failure has no level (3.27.10).
        assert result["kind"] == "fail" or result["level"] == "none"
        assert result.get("baselineState", "new") in BASELINES
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert all(isinstance(each, str) for each in result["partialFingerprints"].values())
        for each in result.get("suppressions", ()):
            assert (each["kind"], each["status"]) == ("external", "accepted")


@REPORTS
def test_sarif_places_are_references(made: Report) -> None:
    (run,) = json.loads(sarif.render(made))["runs"]
    for result in run["results"]:
        for place in result["locations"]:
            uri = place["physicalLocation"]["artifactLocation"]["uri"]
            assert not re.search(r"[\s<>\"{}|\\^`]", uri), uri
            assert urlsplit(uri).scheme in ("mqtts", "mqtt", "ws", "wss", "file")


def test_sarif_places_an_installation_in_the_file_system() -> None:
    assert sarif.location("/var/lib/bollard") == "file:///var/lib/bollard"
    assert sarif.location("mqtts://broker:8883") == "mqtts://broker:8883"

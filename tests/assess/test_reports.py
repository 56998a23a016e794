"""The formats: complete, valid, and deaf to what an attacker writes into them."""

import csv
import io
import json
import os
import re
import stat
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from assess.reports import HOSTILE, quiet, report
from bollard.assess.model import Acceptance, Report, Severity, State
from bollard.assess.report import (
    canonical,
    compare,
    formats,
    junit,
    markdown,
    sarif,
    table,
    terminal,
)
from bollard.base.errors import ConfigError, LocalError

#: What moves a terminal or reorders a line.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
TODAY = date(2026, 11, 23)


@pytest.fixture(params=list(formats.FORMATS))
def rendered(request: pytest.FixtureRequest) -> str:
    return formats.FORMATS[request.param](report())


def test_no_format_lets_a_control_character_through(rendered: str) -> None:
    assert not CONTROLS.search(rendered.replace("\r\n", "\n"))


def test_every_format_renders_a_quiet_report() -> None:
    for render in formats.FORMATS.values():
        assert "mqtts" in render(quiet())


def test_a_report_of_nothing_renders_everywhere() -> None:
    empty = report(results=(), targets=(), checks={}, notes=())
    for render in formats.FORMATS.values():
        assert render(empty)


# -- canonical ------------------------------------------------------------------------------------------


def test_the_canonical_report_comes_back_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_text(canonical.render(report()))
    assert canonical.read(file) == report()


def test_the_canonical_report_has_what_scripts_read() -> None:
    document = json.loads(canonical.render(report()))
    assert document["schema"] == "bollard.assessment/1"
    assert {"check", "state", "severity", "evidence"} <= set(document["results"][0])
    assert {each["state"] for each in document["results"]} <= set(State)


def test_characters_beyond_the_first_plane_come_back(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    made = report(notes=("\U0001f600 é",))
    text = canonical.render(made)
    file.write_text(text)
    assert text.isascii()
    assert canonical.read(file).notes == made.notes


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", "not json", '{"schema":"bollard.assessment/1"}', "[" * 5000, "\xff\xfe"]
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "r.json"
    file.write_text(text, "latin-1")
    with pytest.raises(ConfigError, match=r"r\.json"):
        canonical.read(file)


def test_a_report_of_another_schema_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_text(canonical.render(report(schema="bollard.assessment/99")))
    with pytest.raises(ConfigError, match="schema"):
        canonical.read(file)


# -- SARIF ----------------------------------------------------------------------------------------------


def run_of(made: Report) -> dict:  # type: ignore[type-arg]  # plain JSON
    log = json.loads(sarif.render(made))
    assert log["version"] == "2.1.0"
    run: dict = log["runs"][0]  # type: ignore[type-arg]  # plain JSON
    return run


def test_sarif_results_refer_to_their_rules() -> None:
    run = run_of(report())
    rules = run["tool"]["driver"]["rules"]
    for each in run["results"]:
        assert rules[each["ruleIndex"]]["id"] == each["ruleId"]
        assert each["message"]["text"]
        assert each["level"] in ("none", "note", "warning", "error")
        assert each["level"] == "none" or each["kind"] == "fail"
        uri = each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"[\x21-\x7e]+", uri)
        assert not set(uri) & set('<>"{}|\\^`')


def test_sarif_severity_follows_the_convention() -> None:
    levels = {each["ruleId"]: each["level"] for each in run_of(report())["results"]}
    assert levels["SCN-14"] == "error"
    assert levels["TLS-16"] == "none"


def test_sarif_names_each_weakness_once_and_every_rule_refers_to_one() -> None:
    run = run_of(report())
    taxa = [each["id"] for each in run["taxonomies"][0]["taxa"]]
    assert len(taxa) == len(set(taxa))
    for rule in run["tool"]["driver"]["rules"]:
        assert rule["relationships"][0]["target"]["id"] in taxa


def test_what_was_not_tested_is_no_sarif_result() -> None:
    run = run_of(quiet())
    assert "SCN-14" not in {each["ruleId"] for each in run["results"]}
    assert "SCN-14" in {each["check"] for each in run["properties"]["notTested"]}


def test_fingerprints_match_between_scans_whatever_was_observed() -> None:
    one = quiet().results[0]
    other = msgspec.structs.replace(one, observed="something else", state=State.FAIL)
    assert sarif.fingerprint(one) == sarif.fingerprint(other)
    assert sarif.fingerprint(one) != sarif.fingerprint(msgspec.structs.replace(one, target="x"))


def test_an_accepted_risk_is_a_suppression_with_its_reason() -> None:
    made = compare.accept(
        report(), [Acceptance(check="SCN-14", reason="lab only", expires="2027-01-01")], TODAY
    )
    (found,) = [each for each in run_of(made)["results"] if each["ruleId"] == "SCN-14"]
    assert found["suppressions"][0]["status"] == "accepted"
    assert "lab only" in found["suppressions"][0]["justification"]


# -- JUnit ----------------------------------------------------------------------------------------------


def test_junit_counts_what_it_holds() -> None:
    (suite,) = ElementTree.fromstring(junit.render(report())).findall("testsuite")
    cases = suite.findall("testcase")
    assert len(cases) == int(suite.get("tests", "0")) == len(report().results)
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.get(name, "0")) == len(suite.findall(f"testcase/{tag}")) > 0


def test_in_junit_not_tested_is_skipped_and_unclear_is_an_error() -> None:
    made = report()
    cases = {
        case.get("name", "")[:6]: case for case in ElementTree.fromstring(junit.render(made)).iter("testcase")
    }
    for result in made.results:
        case = cases[result.check]
        if result.state is State.NOT_TESTED:
            assert case.find("skipped") is not None
        if result.state is State.INCONCLUSIVE:
            assert case.find("error") is not None
        if result.state is State.PASS:
            assert len(case) == 0


# -- CSV, Markdown, terminal ----------------------------------------------------------------------------


def test_no_cell_is_a_formula() -> None:
    made = report(notes=())
    hostile = msgspec.structs.replace(
        made.results[0], observed='=HYPERLINK("http://evil")', target="+1", title="@x"
    )
    rows = list(csv.reader(io.StringIO(table.render(msgspec.structs.replace(made, results=(hostile,))))))
    assert len(rows) == 2
    assert not [cell for cell in rows[1] if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]


def test_markdown_of_others_stays_text() -> None:
    text = markdown.render(report())
    assert "<script" not in text
    assert "](javascript" not in text
    assert "@everyone" not in text
    assert "http://" not in text


def test_a_cell_cannot_break_a_markdown_table() -> None:
    rows = [
        line for line in markdown.render(report()).split("## All results")[1].splitlines() if line[:1] == "|"
    ]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


def test_the_terminal_report_is_plain_unless_colour_is_wanted() -> None:
    assert "\x1b" not in terminal.render(report())
    assert "\x1b[1;31m" in terminal.render(report(), colour=True)
    assert "owned" in terminal.render(report(), details=True)


def test_details_say_why_something_was_not_tested() -> None:
    assert "no probe has looked for this" in terminal.render(report(), details=True)
    assert "--details says why" in terminal.render(report())


def test_hostile_text_is_what_it_claims_to_be() -> None:
    assert CONTROLS.search(HOSTILE)


# -- files ----------------------------------------------------------------------------------------------


def test_a_report_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "r.html"
    file.write_text("older")
    file.chmod(0o644)
    formats.write(file, "newer")
    assert file.read_text() == "newer"
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert os.listdir(tmp_path) == ["r.html"]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="cannot write"):
        formats.write(tmp_path / "none" / "r.html", "x")


# -- comparison and acceptance --------------------------------------------------------------------------


def _with(made: Report, check: str, state: State) -> Report:
    results = tuple(
        msgspec.structs.replace(each, state=state) if each.check == check else each for each in made.results
    )
    return msgspec.structs.replace(made, results=results)


def test_a_problem_is_new_or_still_open() -> None:
    now = compare.compare(report(), _with(report(), "SCN-14", State.PASS))
    changes = {each.check: each.change for each in now.results}
    assert changes["SCN-14"] == "new"
    assert changes["SCN-10"] == "open"


def test_a_problem_is_fixed_only_if_its_check_passed() -> None:
    assert [
        each.check for each in compare.compare(_with(report(), "SCN-14", State.PASS), report()).fixed
    ] == ["SCN-14"]
    assert compare.compare(_with(report(), "SCN-14", State.NOT_TESTED), report()).fixed == ()


def test_an_acceptance_ends_on_its_day() -> None:
    acceptance = Acceptance(check="SCN-14", reason="lab", expires="2026-11-23")
    before = compare.accept(report(), [acceptance], TODAY)
    after = compare.accept(report(), [acceptance], date(2026, 11, 24))
    assert [each.check for each in before.results if each.accepted] == ["SCN-14"]
    assert not any(each.accepted for each in after.results)


def test_an_acceptance_of_one_target_leaves_the_others() -> None:
    acceptance = Acceptance(check="SCN-14", target="mqtt://elsewhere", reason="lab", expires="2027-01-01")
    assert not any(each.accepted for each in compare.accept(report(), [acceptance], TODAY).results)


def test_what_is_accepted_does_not_fail_a_build_and_stays_visible() -> None:
    every = [Acceptance(check=each.check, reason="lab", expires="2027-01-01") for each in report().results]
    made = compare.accept(report(), every, TODAY)
    assert not compare.exceeds(made, Severity.LOW)
    assert "Accepted until 2027-01-01" in terminal.render(made)


def test_the_threshold_counts_open_problems_of_that_severity_or_worse() -> None:
    assert compare.exceeds(report(), Severity.CRITICAL)
    assert not compare.exceeds(quiet(), Severity.LOW)
    assert not compare.exceeds(report(), None)


def test_accepted_risks_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "accept.toml"
    file.write_text('version = 1\n[[accept]]\ncheck = "SCN-14"\nreason = "lab"\nexpires = "2027-01-01"\n')
    assert compare.read_acceptances(file)[0].check == "SCN-14"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version = 2",
        'version = 1\n[[accept]]\ncheck = "X"\nreason = "r"',
        'version = 1\n[[accept]]\ncheck = "X"\nreason = " "\nexpires = "2027-01-01"',
        'version = 1\n[[accept]]\ncheck = "X"\nreason = "r"\nexpires = "soon"',
        'version = 1\n[[accept]]\ncheck = "X"\nreason = "r"\nexpires = "2027-01-01"\nforever = true',
    ],
)
def test_an_acceptance_without_reason_or_end_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "accept.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"accept\.toml"):
        compare.read_acceptances(file)


def test_a_report_is_revised_from_files(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    earlier.write_text(canonical.render(report()))
    made = compare.revise(report(), earlier, None, TODAY)
    assert {each.change for each in made.results if each.state is State.FAIL} == {"open"}

"""Where a finding stands, file and line, in every format, also in reports that are rendered again."""

import json
from pathlib import Path

import msgspec
import pytest

from bollard.assess.configs.audit import audit
from bollard.assess.model import Location, Report
from bollard.assess.report import canonical, markdown, sarif, table, terminal, words


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """An audit whose finding stands in an included file, kept and read again."""
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "a.conf").write_text("# open\nallow_anonymous true\n")
    main = tmp_path / "mosquitto.conf"
    main.write_text(f"listener 1883\ninclude_dir {folder}\n")
    kept = tmp_path / "report.json"
    kept.write_text(canonical.render(audit([main], "mosquitto")))
    return canonical.read(kept)


def test_the_canonical_report_keeps_file_and_line(report: Report, tmp_path: Path) -> None:
    (found,) = [each for each in report.results if each.check == "CFG-01"]
    assert found.location == Location(file=str(tmp_path / "more" / "a.conf"), line=2)


def test_sarif_of_a_report_that_is_rendered_again_names_file_and_line(report: Report, tmp_path: Path) -> None:
    log = json.loads(sarif.render(report))
    (found,) = [each for each in log["runs"][0]["results"] if each["ruleId"] == "CFG-01"]
    place = found["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == (tmp_path / "more" / "a.conf").as_uri()
    assert place["region"] == {"startLine": 2}


@pytest.mark.parametrize("render", [terminal.render, table.render])
def test_texts_for_people_name_file_and_line(report: Report, tmp_path: Path, render: object) -> None:
    assert f"{tmp_path / 'more' / 'a.conf'}:2" in render(report)  # type: ignore[operator]


def test_markdown_names_file_and_line_escaped(report: Report, tmp_path: Path) -> None:
    assert markdown.escape(f"{tmp_path / 'more' / 'a.conf'}:2") in markdown.render(report)


def test_a_result_without_a_line_stands_at_its_target(report: Report) -> None:
    found = [each for each in report.results if each.location is None or not each.location.line]
    assert found
    assert words.place(found[0]) == found[0].target


def test_strange_names_of_files_are_no_trouble(report: Report) -> None:
    (found,) = [each for each in report.results if each.check == "CFG-01"]
    odd = msgspec.structs.replace(found, location=Location(file="/a b/\x1b#?.pcap", line=1))
    text = sarif.render(msgspec.structs.replace(report, results=(odd,)))
    (result,) = json.loads(text)["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place["uri"] == "file:///a%20b/%1B%23%3F.pcap"


@pytest.mark.parametrize(
    ("check", "location", "command"),
    [
        ("CFG-01", None, "bollard audit a.conf --only CFG-01"),
        ("PCP-01", Location(file="x.pcap"), "bollard sniff x.pcap --only PCP-01"),
        ("PCP-01", None, ""),
        ("DOC-01", None, ""),
    ],
)
def test_the_command_to_look_again_is_the_one_that_looked(
    report: Report, check: str, location: Location | None, command: str
) -> None:
    found = msgspec.structs.replace(report.results[0], check=check, target="a.conf", location=location)
    assert words.reproduction(found, report) == command

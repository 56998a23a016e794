"""What all commands that assess share: where reports go, what is accepted, what they are compared with."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from assess.capture.scene import connect
from assess.reports import report
from bollard.assess.model import Report
from bollard.assess.report import canonical
from bollard.assess.report.formats import ENDINGS, FORMATS
from bollard.cli import audit, doctor, scan, sniff, trap
from bollard.cli import report as report_command
from support.captures import Talk, Tape, pcap

COMMANDS = [scan.command, audit.command, sniff.command, trap.command, doctor.command]
OVER = "2020-01-01"
LATER = "2999-01-01"


def run(command: click.Command, *words: object) -> Result:
    return CliRunner().invoke(command, [*map(str, words)], standalone_mode=False)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A recording of one device in the clear."""
    tape = Tape()
    Talk(tape, ("10.1.2.3", 40_000), ("10.9.9.9", 1_883)).up(connect("d"))
    path = tmp_path / "one.pcap"
    path.write_bytes(pcap(tape))
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mosquitto.conf"
    path.write_text("listener 1883\nallow_anonymous true\n")
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "saved.json"
    path.write_text(canonical.render(report()))
    return path


@pytest.fixture
def accepting(tmp_path: Path) -> Callable[..., Path]:
    """A file of accepted risks, of (check, target, expires)."""

    def write(*accepted: tuple[str, str, str]) -> Path:
        path = tmp_path / "accept.toml"
        tables = [
            f'[[accept]]\ncheck = "{check}"\ntarget = "{target}"\nreason = "lab"\nexpires = "{expires}"\n'
            for check, target, expires in accepted
        ]
        path.write_text("version = 1\n" + "".join(tables))
        return path

    return write


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each.callback.__module__)
@pytest.mark.parametrize("name", ["x.pdf", "report", "x.json.gz", "\x1b[2J.exe"])
def test_an_ending_that_is_no_format_is_refused_before_anything_is_done(
    command: click.Command, name: str, tmp_path: Path
) -> None:
    words = [] if command in (trap.command, doctor.command) else [str(tmp_path / "any")]
    done = run(command, *words, "-o", tmp_path / "good.json", "-o", tmp_path / name)
    assert isinstance(done.exception, click.UsageError)
    said = str(done.exception)
    assert "unknown ending" in said
    assert "\x1b" not in said
    assert all(each in said for each in ENDINGS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS[:-1], ids=lambda each: each.callback.__module__)
def test_an_unknown_check_is_refused_with_those_that_there_are(command: click.Command) -> None:
    words = [] if command is trap.command else ["127.0.0.1"]
    done = run(command, *words, "--only", "xx-99")
    assert isinstance(done.exception, click.UsageError)
    assert re.search(
        r"--only XX-99: no check of this command\. There are: [A-Z]{3}-01, ", str(done.exception)
    )


def test_report_refuses_such_an_ending_unless_the_format_is_named(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.pdf"
    done = run(report_command.command, saved, "-o", out)
    assert isinstance(done.exception, click.UsageError)
    assert "unknown ending" in str(done.exception)
    assert not out.exists()
    assert run(report_command.command, saved, "-o", out, "--format", "html").return_value == 0
    assert out.read_text().startswith("<!doctype html>")


def test_every_ending_of_the_help_is_written(capture: Path, tmp_path: Path) -> None:
    for ending in ENDINGS:
        run(sniff.command, capture, "-o", tmp_path / f"r{ending}")
        assert (tmp_path / f"r{ending}").stat().st_size


def test_acceptances_without_effect_are_named_beside_and_in_the_report(
    capture: Path, accepting: Callable[..., Path], tmp_path: Path
) -> None:
    accept = accepting(
        ("PCP-01", "", OVER),
        ("PCP-99", "", LATER),
        ("PCP-02", "elsewhere.pcap", LATER),
        ("SCN-04", "mqtt://broker:1883", LATER),
    )
    page = tmp_path / "r.html"
    done = run(sniff.command, capture, "--accept", accept)
    assert done.return_value == 1
    sentences = [
        f"PCP-01: expired on {OVER}",
        "PCP-99: there is no check of this name",
        f"PCP-02 at elsewhere.pcap: there is no such target here, only {capture}",
    ]
    assert done.stderr.splitlines() == [f"{accept}: no effect: {each}" for each in sentences]
    assert [f"Acceptance without effect: {each}" in done.stdout for each in sentences] == [True] * 3
    run(sniff.command, capture, "--accept", accept, "-o", page)
    assert all(each in page.read_text() for each in sentences)
    assert page.read_text().index("Accepted risks") < page.read_text().index("PCP-99")
    unused = json.loads(run(sniff.command, capture, "--accept", accept, "--json").stdout)["unused"]
    assert unused == sentences


def test_a_trap_tells_of_them_in_its_certificate_too(saved: Path, accepting: Callable[..., Path]) -> None:
    made = canonical.read(saved)
    document = json.loads(canonical.render(made)) | {"kind": "trap"}
    saved.write_text(json.dumps(document))
    accept = accepting(("DEV-99", "", LATER))
    done = run(report_command.command, saved, "--accept", accept, "--format", "html")
    assert "Acceptance without effect: DEV-99: there is no check of this name" in done.stdout


def test_an_acceptance_that_holds_is_not_named(capture: Path, accepting: Callable[..., Path]) -> None:
    done = run(sniff.command, capture, "--accept", accepting(("PCP-01", str(capture), LATER)))
    assert done.stderr == ""
    assert "Acceptance without effect" not in done.stdout


@pytest.mark.parametrize("kind", FORMATS)
def test_no_format_lets_the_text_of_an_acceptance_do_harm(
    saved: Path, accepting: Callable[..., Path], kind: str
) -> None:
    accept = accepting(("<script>\\u001b[2J", "", LATER))
    done = run(report_command.command, saved, "--accept", accept, "--format", kind)
    assert done.return_value == 0
    assert "\x1b" not in done.output
    if kind in ("html", "markdown"):
        assert "<script>" not in done.stdout


def test_a_file_of_accepted_risks_that_is_no_text_is_said(saved: Path, tmp_path: Path) -> None:
    picture = tmp_path / "accept.toml"
    picture.write_bytes(b"\xff\xfe")
    said = str(run(report_command.command, saved, "--accept", picture).exception)
    assert f"{picture}: these are no accepted risks: they are no text in UTF-8" in said


def _kind(done: Report, kind: str) -> str:
    document = json.loads(canonical.render(done)) | {"kind": kind}
    return json.dumps(document)


def test_an_earlier_report_of_another_kind_is_warned_of(saved: Path, tmp_path: Path) -> None:
    other = tmp_path / "audit.json"
    other.write_text(_kind(report(), "audit"))
    done = run(report_command.command, saved, "--baseline", other)
    assert done.return_value == 0
    warning = "The earlier report is one of `bollard audit`, this one of `bollard scan`"
    assert f"{other}: {warning}" in done.stderr
    assert f"Note: {warning}" in done.stdout
    assert run(report_command.command, saved, "--baseline", saved).stderr == ""


def test_an_earlier_report_of_other_targets_is_warned_of(capture: Path, tmp_path: Path) -> None:
    before = tmp_path / "before.json"
    run(sniff.command, capture, "--name", "that site", "-o", before)
    done = run(sniff.command, capture, "--name", "this site", "--baseline", before)
    assert "no target in common" in done.stderr
    assert run(sniff.command, capture, "--name", "that site", "--baseline", before).stderr == ""


def test_an_audit_writes_what_to_write_instead_into_its_text(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.txt"
    run(audit.command, config, "-o", out)
    assert "Write instead:" in out.read_text()
    assert "Write instead:" in run(audit.command, config).stdout

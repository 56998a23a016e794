"""`bollard scan` and `bollard report` as they are called."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from assess.reports import report
from assess.servers import Server, says
from bollard.assess.report import canonical
from bollard.base.errors import LocalError
from bollard.cli import report as report_command
from bollard.cli import scan

QUICK = ("--rate", "1000", "--timeout", "1", "--listen", "0", "--patience", "0")
REFUSE_311 = b"\x20\x02\x00\x05"


def run_scan(*arguments: object) -> Result:
    return CliRunner().invoke(scan.command, [*map(str, arguments), *QUICK], standalone_mode=False)


def run_report(*arguments: object) -> Result:
    return CliRunner().invoke(report_command.command, [*map(str, arguments)], standalone_mode=False)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A report in a file."""
    file = tmp_path / "report.json"
    file.write_text(canonical.render(report()))
    return file


def test_a_scan_prints_the_canonical_report() -> None:
    with Server(says(REFUSE_311)) as server:
        done = run_scan(f"127.0.0.1:{server.port}", "--json")
    document = json.loads(done.stdout)
    states = {each["check"]: each["state"] for each in document["results"]}
    assert (states["SCN-02"], states["SCN-04"], states["SCN-14"]) == ("fail", "pass", "not-tested")
    assert document["authorization"] == {"authorized_by": "not needed: this machine only"}
    assert done.return_value == 1


def test_a_scan_without_open_problem_ends_with_0() -> None:
    with Server(says(REFUSE_311)) as server:
        done = run_scan(f"mqtt://127.0.0.1:{server.port}", "--only", "SCN-04", "--fail-on", "low")
    assert done.return_value == 0
    assert "Grade A" in done.stdout


def test_a_target_that_does_not_answer_is_a_scan_that_could_not_run() -> None:
    with Server(says(b"")) as server:
        port = server.port
    done = run_scan(f"127.0.0.1:{port}", "--json")
    assert done.return_value == 2
    assert "nothing listens" in json.loads(done.stdout)["notes"][0]


def test_fail_on_never_always_ends_with_0() -> None:
    with Server(says(REFUSE_311)) as server:
        assert run_scan(f"127.0.0.1:{server.port}", "--fail-on", "never").return_value == 0


def test_reports_are_written_by_their_ending(tmp_path: Path) -> None:
    files = [
        tmp_path / f"r{ending}" for ending in (".json", ".html", ".sarif", ".xml", ".md", ".csv", ".txt")
    ]
    with Server(says(REFUSE_311)) as server:
        run_scan(f"127.0.0.1:{server.port}", *(part for file in files for part in ("-o", file)))
    assert all(file.stat().st_size and file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert files[1].read_text().startswith("<!doctype html>")
    assert json.loads(files[2].read_text())["version"] == "2.1.0"


def test_an_interrupted_scan_goes_on_where_it_stopped(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with Server(says(REFUSE_311)) as first, Server(says(REFUSE_311)) as second:
        one, two = f"mqtt://127.0.0.1:{first.port}", f"mqtt://localhost:{second.port}"
        run_scan(one, "--only", "SCN-04", "--resume", state)
        before = first.connections
        done = run_scan(one, two, "--only", "SCN-04", "--resume", state, "--json")
        assert first.connections == before
    document = json.loads(done.stdout)
    assert [each["target"] for each in document["results"]] == [one, two]
    assert document["complete"]
    assert canonical.read(state).done == tuple(document["done"])


def test_a_state_of_other_settings_is_not_mixed_in(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with Server(says(REFUSE_311)) as server:
        target = f"mqtt://127.0.0.1:{server.port}"
        run_scan(target, "--only", "SCN-04", "--resume", state)
        done = run_scan(target, "--only", "SCN-05", "--resume", state)
    assert isinstance(done.exception, LocalError)
    assert "other settings" in str(done.exception)


def test_undeclared_targets_are_refused_before_anything_is_sent() -> None:
    done = run_scan("192.168.1.1")
    assert isinstance(done.exception, LocalError)
    assert "needs permission" in str(done.exception)


def test_a_scope_file_stands_in_the_report(tmp_path: Path) -> None:
    file = tmp_path / "scope.toml"
    file.write_text('version = 1\nauthorized_by = "Ada"\nvalid_until = 2999-12-31\ntargets = ["127.0.0.1"]\n')
    with Server(says(REFUSE_311)) as server:
        done = run_scan(f"127.0.0.1:{server.port}", "--scope", file, "--i-am-authorized", "--json")
    assert json.loads(done.stdout)["authorization"]["authorized_by"] == "Ada"


@pytest.mark.parametrize(
    "arguments",
    [
        ("127.0.0.1", "--only", "SCN-99"),
        ("127.0.0.1", "--key", __file__),
        ("127.0.0.1", "--password-file", __file__),
        ("127.0.0.1", "--second-username", "b"),
        ("127.0.0.1", "-u", "a", "--second-username", "a"),
        (),
    ],
)
def test_wrong_usage_is_refused(arguments: tuple[str, ...]) -> None:
    done = run_scan(*arguments)
    assert done.exception is not None
    assert type(done.exception).__name__ in ("UsageError", "MissingParameter")


def test_a_password_is_in_no_report(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("correct-horse\n")
    out = tmp_path / "r.json"
    with Server(says(REFUSE_311)) as server:
        arguments = (
            "-u",
            "plug",
            "--password-file",
            secret,
            "--allow-exposed-password",
            "-o",
            out,
            "--details",
        )
        done = run_scan(f"127.0.0.1:{server.port}", *arguments)
    assert "correct-horse" not in out.read_text() + done.output


def test_a_report_is_rendered_again(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    assert run_report(saved, "-o", out).return_value == 0
    assert "Do this first" in out.read_text()
    assert "SCN-14" in run_report(saved, "--format", "markdown").stdout
    assert "Grade F" in run_report(saved).stdout


def test_a_report_beside_an_earlier_one_says_what_is_still_open(saved: Path) -> None:
    assert "[open]" in run_report(saved, "--baseline", saved).stdout


def test_a_report_can_fail_a_build(saved: Path, tmp_path: Path) -> None:
    assert run_report(saved, "--fail-on", "critical").return_value == 1
    accepted = tmp_path / "accept.toml"
    lines = [
        f'[[accept]]\ncheck = "{each.check}"\nreason = "lab"\nexpires = "2999-01-01"'
        for each in report().results
    ]
    accepted.write_text("version = 1\n" + "\n".join(lines))
    assert run_report(saved, "--accept", accepted, "--fail-on", "low").return_value == 0


def test_help_has_examples() -> None:
    for command in (scan.command, report_command.command):
        done = CliRunner().invoke(command, ["--help"])
        assert "Example:" in done.output


def test_an_unknown_check_is_refused_with_those_that_there_are() -> None:
    said = str(run_scan("127.0.0.1", "--only", "XX").exception)
    assert "XX" in said.partition(":")[0]
    assert all(each in said for each in ("SCN-01", "SCN-38", "TLS-16"))
    assert "PCP-" not in said

"""`bollard audit`: formats, exit codes, and what it says when it cannot."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bollard.base.errors import LocalError
from bollard.cli.audit import PRODUCTS, command

GOOD = """\
listener 8883
certfile s.crt
keyfile s.key
max_connections 100
use_username_as_clientid true
allow_anonymous false
password_file pw
acl_file acl
max_packet_size 10000
max_keepalive 600
persistent_client_expiration 14d
"""


def run(*words: object) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words], standalone_mode=False)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "acl").write_text("pattern readwrite devices/%u/#\n")
    (tmp_path / "pw").write_text("anna:$argon2id$v=19$x\n")
    (tmp_path / "pw").chmod(0o600)
    path = tmp_path / "mosquitto.conf"
    path.write_text(GOOD)
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "open.conf"
    path.write_text("listener 1883\nallow_anonymous true\n")
    return path


def test_a_good_configuration_ends_with_nought(good: Path) -> None:
    done = run(good)
    assert done.return_value == 0, done.output
    assert "Grade A" in done.output


def test_a_bad_one_ends_with_one_and_says_what_to_write(bad: Path) -> None:
    done = run(bad)
    assert done.return_value == 1
    assert f"{bad}:2: allow_anonymous = true" in done.output
    assert "    allow_anonymous false\n" in done.output


def test_an_audit_without_any_answer_ends_with_two(good: Path) -> None:
    done = run(good, "--only", "CFG-13")
    assert "0 of 1 checks gave an answer" in done.stdout
    assert done.return_value == 2


def test_the_severity_that_fails_can_be_chosen(bad: Path) -> None:
    assert run(bad, "--fail-on", "never").return_value == 0
    assert run(bad, "--only", "CFG-20", "--fail-on", "medium").return_value == 0
    assert run(bad, "--only", "CFG-20", "--fail-on", "low").return_value == 1


def test_json_is_the_canonical_report(bad: Path, good: Path) -> None:
    report = json.loads(run(bad, good, "--json").output)
    assert report["kind"] == "audit"
    assert [each["product"] for each in report["targets"]] == ["mosquitto 2.0", "mosquitto 2.0"]
    first = report["results"][0]
    assert (first["check"], first["state"], first["severity"]) == ("CFG-01", "fail", "critical")
    assert first["evidence"]["line"] == 2
    assert report["checks"]["CFG-01"]["relevant"]


def test_sarif_names_file_and_line(bad: Path) -> None:
    log = json.loads(run(bad, "--format", "sarif").output)
    place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": bad.as_uri()}, "region": {"startLine": 2}}


@pytest.mark.parametrize("ending", ["json", "html", "sarif", "xml", "md", "csv", "txt"])
def test_reports_are_written_for_the_owner_alone(bad: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"report.{ending}"
    assert run(bad, "-o", out).return_value == 1
    assert "CFG-01" in out.read_text()
    assert out.stat().st_mode & 0o777 == 0o600


def test_a_later_run_shows_what_was_fixed(bad: Path, tmp_path: Path) -> None:
    run(bad, "-o", tmp_path / "before.json")
    bad.write_text("listener 1883\nallow_anonymous false\n")
    assert "Fixed: CFG-01" in run(bad, "--baseline", tmp_path / "before.json").output


def test_what_cannot_be_read_or_recognised_is_an_error(tmp_path: Path) -> None:
    assert isinstance(run(tmp_path / "none").exception, LocalError)
    (tmp_path / "x").write_text("hello\n")
    error = run(tmp_path / "x").exception
    assert isinstance(error, LocalError)
    assert "--product" in error.remedy


def test_a_version_means_the_defaults_that_it_has(good: Path) -> None:
    report = json.loads(run(good, "--json", "--version", "2.0.18").output)
    assert report["targets"][0]["product"] == "mosquitto 2.0"
    error = run(good, "--version", "1.4").exception
    assert isinstance(error, LocalError)
    assert "2.0, 2.1" in error.remedy


def test_hostile_text_cannot_move_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "mosquitto.conf"
    path.write_text("listener 1883\nuser \x1b[2Jroot\nxyz\x1b]0;x\x07 1\n")
    assert "\x1b" not in run(path, "--details").output


def test_the_options_name_the_products_there_are() -> None:
    from bollard.assess.configs.products import PRODUCTS as KNOWN

    assert set(KNOWN) == set(PRODUCTS)

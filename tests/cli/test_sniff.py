"""`bollard sniff`: formats, exit codes, standard input, and what it says when it cannot."""

import gzip
import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from assess.capture.scene import EXPECTED, connect, mixed
from bollard.base.errors import LocalError
from bollard.cli.sniff import command
from support.captures import Talk, Tape, pcap


def run(*words: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words], input=stdin, standalone_mode=False)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.pcap"
    path.write_bytes(pcap(mixed()))
    return path


def test_problems_end_with_one_and_stand_before_the_inventory(scene: Path) -> None:
    done = run(scene)
    assert done.return_value == 1
    assert done.output.index("CRITICAL  PCP-02") < done.output.index("Devices (22):")
    assert "hunter2" not in done.output


def test_details_show_all_facts_of_a_device(scene: Path) -> None:
    assert "    publishes: home/thermostat/state (3)" in run(scene, "--details").output


def test_json_is_the_canonical_report_with_the_inventory(scene: Path) -> None:
    document = json.loads(run(scene, "--json").stdout)
    assert {each["check"]: each["state"] for each in document["results"]} == EXPECTED
    assert document["kind"] == "sniff"
    assert "thermostat" in {each["name"] for each in document["inventory"]}


def test_standard_input_is_read_also_when_compressed() -> None:
    done = run("-", "--json", "--quiet", stdin=gzip.compress(pcap(mixed())))
    document = json.loads(done.stdout)
    assert document["targets"][0]["name"] == "standard input"
    assert document["grade"]["letter"] == "F"


def test_reports_are_written_readable_by_their_owner_alone(scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    done = run(scene, "-o", out)
    assert "Written" in done.output
    assert out.stat().st_mode & 0o777 == 0o600
    assert "What was seen in the network" in out.read_text()


def test_sarif_names_the_file_of_the_capture(scene: Path) -> None:
    document = json.loads(run(scene, "--format", "sarif").stdout)
    places = {
        each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for each in document["runs"][0]["results"]
    }
    assert places == {scene.as_uri()}


def test_a_capture_without_problems_ends_with_nought(scene: Path) -> None:
    assert run(scene, "--only", "PCP-13").return_value == 0


def _http(tape: Tape) -> None:
    Talk(tape, ("10.1.2.3", 40_000), ("10.9.9.9", 80)).up(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").close()


@pytest.mark.parametrize("options", [(), ("--json",), ("--fail-on", "never"), ("--quiet",)])
@pytest.mark.parametrize("filled", [False, True], ids=["no frames", "no MQTT"])
def test_a_capture_in_which_nothing_could_be_tested_is_no_pass(
    tmp_path: Path, filled: bool, options: tuple[str, ...]
) -> None:
    tape = Tape()
    if filled:
        _http(tape)
    path = tmp_path / "quiet.pcap"
    path.write_bytes(pcap(tape))
    done = run(path, *options)
    assert done.return_value == 2
    assert f"{path}: nothing could be tested (" in done.stderr
    assert ("no frames" in done.stderr) is not filled


def test_one_empty_capture_beside_a_good_one_is_no_pass_and_beside_a_bad_one_still_a_problem(
    scene: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.pcap"
    empty.write_bytes(pcap(Tape()))
    assert run(scene, empty, "--only", "PCP-13").return_value == 2
    done = run(scene, empty)
    assert done.return_value == 1
    assert "empty.pcap: nothing could be tested" in done.stderr
    assert "scene.pcap: nothing" not in done.stderr


def test_fail_on_and_only_decide_about_the_exit_code(scene: Path) -> None:
    assert run(scene, "--fail-on", "never").return_value == 0
    assert run(scene, "--only", "PCP-11", "--fail-on", "high").return_value == 0


def test_known_servers_and_a_name_reach_the_report(scene: Path) -> None:
    done = run(scene, "--known", "203.0.113.0/24", "--name", "the site", "--json", "--only", "PCP-12")
    (result,) = json.loads(done.stdout)["results"]
    assert (result["target"], result["state"]) == ("the site", "pass")


def test_a_risk_may_be_accepted_and_a_fixed_problem_is_told(scene: Path, tmp_path: Path) -> None:
    before = tmp_path / "before.json"
    run(scene, "--name", "site", "-o", before)
    tape = Tape()
    Talk(tape, ("10.1.2.3", 40_000), ("10.9.9.9", 1_883)).up(connect("d"))
    after = tmp_path / "after.pcap"
    after.write_bytes(pcap(tape))
    accept = tmp_path / "accept.toml"
    accept.write_text('version = 1\n[[accept]]\ncheck = "PCP-01"\nreason = "lab"\nexpires = "2099-01-01"\n')
    done = run(after, "--name", "site", "--baseline", before, "--accept", accept)
    assert done.return_value == 0
    assert "Fixed: PCP-02" in done.output
    assert "Accepted until 2099-01-01: PCP-01" in done.output


def test_several_files_are_several_targets(scene: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pcap"
    other.write_bytes(pcap(Tape())[:-4] + b"\1\0\0\0" + b"cut short")
    document = json.loads(run(scene, other, "--json").stdout)
    assert [each["name"] for each in document["targets"]] == [str(scene), str(other)]
    assert any(note.startswith(f"{other}: the file breaks off") for note in document["notes"])


@pytest.mark.parametrize("content", [None, b"no capture"])
def test_what_cannot_be_read_is_said_with_its_name_and_what_to_do(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "x.pcap"
    if content is not None:
        path.write_bytes(content)
    done = run(path)
    assert isinstance(done.exception, LocalError)
    assert done.exception.exit_code == 2
    assert str(path) in str(done.exception)


@pytest.mark.parametrize("server", ["bad name/99", "203.0.113.9/99", "http://x", "-x", "", "10.1.2", "a..b"])
def test_a_known_server_that_can_be_none_is_refused(scene: Path, server: str) -> None:
    done = run(scene, "--known", server)
    assert isinstance(done.exception, click.UsageError)
    assert "no address, network or name" in str(done.exception)


@pytest.mark.parametrize("server", ["203.0.113.9", "2001:db8::/32", "broker.example", "my_nas", "localhost"])
def test_addresses_networks_and_names_are_known_servers(scene: Path, server: str) -> None:
    assert run(scene, "--known", server, "--only", "PCP-13").return_value == 0


def test_a_name_for_several_files_is_refused(scene: Path) -> None:
    done = run(scene, scene, "--name", "x")
    assert "--name names one file" in str(done.exception)


def test_progress_goes_to_standard_error_and_quiet_silences_it(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bollard.cli.sniff.LOG_S", 0.0)
    assert "MB/s" in run(scene).stderr
    assert run(scene, "--quiet").stderr == ""
    json.loads(run(scene, "--json").stdout)

"""`bollard import`: the folder it makes, the report, exit codes."""

import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bollard.base.errors import LocalError
from bollard.cli.import_config import command
from bollard.policy.rules import parse_policy
from bollard.server.load import load_config
from cli.daemon import Daemon, bollard

SETUPS = Path(__file__).parents[1] / "assess" / "configs" / "setups"


def run(*words: object) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])


def test_a_folder_is_made_that_can_be_started(tmp_path: Path) -> None:
    out = tmp_path / "new one"
    done = run(SETUPS / "01-home" / "mosquitto.conf", "--out", out)
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in out.iterdir()) == ["IMPORT.md", "bollard.toml", "policy.toml"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    config = load_config(out / "bollard.toml")
    assert config.state_dir == out
    assert "frontdoor" in parse_policy(config.policy).denies
    assert (out / "IMPORT.md").read_text() == done.output


def test_the_report_says_what_is_safer_what_changed_and_what_to_do(tmp_path: Path) -> None:
    out = tmp_path / "new one"
    report = run(SETUPS / "01-home" / "mosquitto.conf", "--out", out).output
    for head in ("What got safer", "What is different", "Next"):
        assert f"## {head}" in report
    assert "local.conf:1)" in report
    assert f"bollard enroll plug-1 --password --dir '{out}'" in report


def test_json_is_one_object_for_scripts(tmp_path: Path) -> None:
    done = run(SETUPS / "08-psk" / "mosquitto.conf", "--out", tmp_path / "o", "--json")
    found = json.loads(done.output)
    assert found["config"] == str(tmp_path / "o" / "bollard.toml")
    assert [each["id"] for each in found["enroll"]] == ["oven-1", "oven-2"]
    assert {each["kind"] for each in found["notes"]} == {"safer", "changed", "by hand"}
    assert found["unread"] == []


def test_what_was_not_understood_is_told_and_the_exit_code_says_so(tmp_path: Path) -> None:
    path = tmp_path / "mosquitto.conf"
    path.write_text("listener 8883\ncertfile c\nkeyfile k\nallow_anonymus true\x1b[2J\n")
    done = run(path, "--out", tmp_path / "o")
    assert done.exit_code == 1
    assert "mosquitto.conf:4: unknown directive" in done.output
    assert "\x1b" not in done.output
    assert (tmp_path / "o" / "bollard.toml").exists()


def test_a_missing_file_and_a_full_folder_are_refused(tmp_path: Path) -> None:
    done = run(tmp_path / "none.conf")
    assert isinstance(done.exception, LocalError)
    assert done.exception.exit_code == 2
    (tmp_path / "notes").write_text("mine")
    done = run(SETUPS / "02-open" / "mosquitto.conf", "--out", tmp_path)
    assert isinstance(done.exception, LocalError)
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


@pytest.mark.parametrize(
    "content",
    [
        b"anna:$7$101$c2FsdA==$aGFzaA==\nbert:$6$c2FsdA==$aGFzaA==\n",
        b"carl:$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA\nhunter2\n",
        b"# rules\nuser anna\ntopic read home/#\n",
        bytes(range(256)) * 16,
    ],
    ids=["passwords", "passwords/argon2", "rules", "random"],
)
def test_a_file_that_is_no_configuration_is_refused_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mistaken"
    path.write_bytes(content)
    done = run(path, "--out", tmp_path / "o")
    assert isinstance(done.exception, LocalError)
    assert done.exception.exit_code == 2
    said = str(done.exception) + done.output
    assert "this is no mosquitto.conf: line " in said
    assert not any(secret in said for secret in ("$", "anna", "carl", "hunter2", "\x01"))
    assert not (tmp_path / "o").exists()


def test_a_hash_that_strayed_into_the_configuration_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "mosquitto.conf"
    path.write_text(
        "listener 8883\nanna:$7$101$c2FsdA==$aGFzaA==\nmax_connections $6$c2FsdA==$aGFzaA==\nremote_pasword hunter2\n"
    )
    done = run(path, "--out", tmp_path / "o")
    assert done.exit_code == 1
    report = done.output + (tmp_path / "o" / "IMPORT.md").read_text()
    assert report.count("mosquitto.conf:2: unknown directive") == 2
    assert not any(secret in report for secret in ("$7$", "$6$", "anna", "hunter2"))
    assert "remote_pasword" in report


def test_what_our_loaders_would_refuse_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bollard.assess.configs import mosquitto_config

    monkeypatch.setattr(mosquitto_config, "_is_host", lambda text: True)
    path = tmp_path / "mosquitto.conf"
    path.write_text("listener 8883 no/host\ncertfile c\nkeyfile k\n")
    done = run(path, "--out", tmp_path / "o")
    assert isinstance(done.exception, LocalError)
    assert "bollard.toml" in str(done.exception)
    assert not (tmp_path / "o").exists()


def made_by_mosquitto(folder: Path) -> Path:
    """A configuration with a password file as Mosquitto's own program writes it."""
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed")
    passwords = folder / "passwords"
    passwords.touch(0o600)
    for user, password in (("anna", "an old password"), ("bert", "another one")):
        subprocess.run([program, "-b", passwords, user, password], check=True, capture_output=True)
    (folder / "acl").write_text("user anna\ntopic readwrite home/#\n")
    path = folder / "mosquitto.conf"
    path.write_text(
        f"listener 8883\ncertfile c\nkeyfile k\npassword_file {passwords}\nacl_file {folder}/acl\n"
    )
    return path


def test_old_passwords_work_on_the_new_broker_until_they_are_rotated(tmp_path: Path) -> None:
    out = tmp_path / "new"
    done = run(made_by_mosquitto(tmp_path), "--out", out)
    assert done.exit_code == 0, done.output
    assert "anna\n" in done.output
    assert "until you rotate them" in done.output
    assert "bollard enroll anna" not in done.output
    assert (out / "IMPORT.md").read_text() == done.output
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    password = tmp_path / "old"
    password.write_text("an old password\n")
    with Daemon(out) as daemon:
        assert "allow_human_passwords" in " ".join(daemon.json("status")["weaknesses"])
        words = ("pub", "-h", "127.0.0.1", "-p", daemon.port, "--ca-file", daemon.ca_file, "-u", "anna")
        words += ("--password-file", password, "-t", "home/x", "-m", "1", "-q", "1")
        assert bollard(*words).returncode == 0
        daemon.json("devices", "rotate", "anna")
        assert bollard(*words).returncode != 0
        kinds = [
            json.loads(line)["kind"]
            for line in daemon.run("log", "--id", "bert", "--json").stdout.splitlines()
        ]
    assert kinds[0] == "identity.enrolled"


def test_without_passwords_everybody_gets_a_new_one(tmp_path: Path) -> None:
    out = tmp_path / "new"
    done = run(made_by_mosquitto(tmp_path), "--out", out, "--no-passwords")
    assert "bollard enroll anna --password" in done.output
    assert sorted(path.name for path in out.iterdir()) == ["IMPORT.md", "bollard.toml", "policy.toml"]


def test_a_folder_with_passwords_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bollard.server import carry_over

    def full(root: Path) -> None:
        raise OSError(28, "No space left on device")

    path = made_by_mosquitto(tmp_path)
    before = {each.name for each in tmp_path.iterdir()}
    monkeypatch.setattr(carry_over, "make_authorities", full)
    done = run(path, "--out", tmp_path / "new")
    assert isinstance(done.exception, LocalError)
    assert "No space left" in str(done.exception)
    assert {each.name for each in tmp_path.iterdir()} == before

"""`bollard enroll --token` and `bollard join`, as their users run them."""

import os
import shutil
import stat
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from bollard.cli.join import _check_clock
from bollard.identity import profile
from bollard.identity.authority import issue_device_certificate
from bollard.server.identities import open_identities
from bollard.server.state import StateDirectory
from cli.daemon import Daemon, bollard, eventually


def token(broker: Daemon, identity: str, *options: str) -> str:
    return str(broker.json("enroll", identity, "--token", *options)["token"])


def join(string: str, folder: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return bollard("join", string, "--out", folder, *options)


def serials(broker: Daemon, identity: str, state: str) -> set[str]:
    shown: dict[str, Any] = broker.json("devices", "show", identity)
    return {each["serial"] for each in shown["certificates"] if each["state"] == state}


def connects(folder: Path, identity: str) -> subprocess.CompletedProcess[str]:
    settings = folder / f"{identity}.json"
    return bollard("pub", "--settings", settings, "-t", f"devices/{identity}/state", "-m", "on", "-q", 1)


def test_a_device_joins_with_one_string_and_connects(broker: Daemon, tmp_path: Path) -> None:
    done = join(token(broker, "joiner"), tmp_path / "joiner")
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "joiner").iterdir())
    assert [f.name for f in files] == ["joiner.crt", "joiner.json", "joiner.key", "server-root.crt"]
    assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}
    assert connects(tmp_path / "joiner", "joiner").returncode == 0
    assert broker.json("devices", "show", "joiner")["state"] == "active"


def test_a_string_is_worth_nothing_to_a_second_device(broker: Daemon, tmp_path: Path) -> None:
    string = token(broker, "single")
    assert join(string, tmp_path / "first").returncode == 0
    again = join(string, tmp_path / "second")
    assert again.returncode == 2
    assert "another key" in again.stderr
    assert len(serials(broker, "single", "active")) == 1
    assert not (tmp_path / "second" / "single.crt").exists()


def test_an_interrupted_join_is_finished_by_the_same_command(broker: Daemon, tmp_path: Path) -> None:
    string, folder = token(broker, "again"), tmp_path / "again"
    assert join(string, folder).returncode == 0
    key = (folder / "again.key").read_bytes()
    (folder / "again.crt").unlink()  # as if power had failed before it was written
    assert join(string, folder).returncode == 0
    assert (folder / "again.key").read_bytes() == key
    assert len(serials(broker, "again", "active")) == 1


def test_a_server_that_is_not_the_pinned_one_is_told_nothing(broker: Daemon, tmp_path: Path) -> None:
    head, _, rest = token(broker, "pinned").partition("#")
    wrong = f"{head}#{'A' * 26}{rest[26:]}"
    done = join(wrong, tmp_path / "pinned")
    assert done.returncode == 1
    assert "not the one" in done.stderr
    assert not broker.logged("enroll:pinned client_id")


@pytest.mark.parametrize("string", ["", "BOL1:x", "hello", "BOL1:h:0#AAAA.id.BBBB"])
def test_what_is_no_enrollment_string_is_a_usage_error(string: str, tmp_path: Path) -> None:
    done = join(string or "-", tmp_path / "x")
    assert done.returncode == 2


def test_an_error_does_not_repeat_the_secret(broker: Daemon, tmp_path: Path) -> None:
    string = token(broker, "hushed")
    secret = string.rpartition(".")[2]
    done = join(string.replace("BOL1", "BOL9"), tmp_path / "x")
    assert done.returncode == 2
    assert secret not in done.stdout + done.stderr


def test_the_string_may_come_from_input_or_environment(broker: Daemon, tmp_path: Path) -> None:
    done = bollard("join", "-", "--out", tmp_path / "piped", input=token(broker, "piped") + "\n")
    assert done.returncode == 0, done.stderr
    environment = {**os.environ, "BOLLARD_JOIN": token(broker, "ambient")}
    done = bollard("join", "--out", tmp_path / "ambient", env=environment)
    assert done.returncode == 0, done.stderr


def test_a_folder_that_has_joined_is_not_overwritten(broker: Daemon, tmp_path: Path) -> None:
    assert join(token(broker, "kept"), tmp_path / "kept").returncode == 0
    again = join(token(broker, "kept2").replace(".kept2.", ".kept."), tmp_path / "kept")
    assert again.returncode == 2
    assert "--renew" in again.stderr


@pytest.mark.slow
def test_a_device_waits_until_its_owner_approves_it(broker: Daemon, tmp_path: Path) -> None:
    string = token(broker, "stranger", "--approve")
    process = subprocess.Popen(
        [sys.executable, "-m", "bollard", "join", string, "--out", str(tmp_path / "stranger")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert eventually(
        lambda: (
            (broker.json("devices", "show", "stranger")["enrollment"] or {}).get("state")
            == "waits for approval"
        )
    )
    key = broker.json("devices", "show", "stranger")["enrollment"]["key"]
    assert "approve?" in broker.run("devices").stdout
    assert broker.run("devices", "approve", "stranger").returncode == 0
    _, err = process.communicate(timeout=40)
    assert process.returncode == 0, err
    assert key in err
    assert connects(tmp_path / "stranger", "stranger").returncode == 0


def test_a_device_that_nobody_approves_gives_up_in_time(broker: Daemon, tmp_path: Path) -> None:
    done = join(token(broker, "ignored", "--approve"), tmp_path / "ignored", "--wait", 0)
    assert done.returncode == 2
    assert "not approved" in done.stderr


def test_nothing_waits_for_approval_where_nothing_asked(broker: Daemon) -> None:
    token(broker, "unasked", "--approve")
    assert "no device has asked" in broker.run("devices", "approve", "unasked").stderr
    assert broker.run("devices", "approve", "nobody").returncode == 2


def test_a_fresh_certificate_is_not_due(broker: Daemon, tmp_path: Path) -> None:
    assert join(token(broker, "fresh"), tmp_path / "fresh").returncode == 0
    before = (tmp_path / "fresh" / "fresh.crt").read_bytes()
    done = bollard("join", "--renew", tmp_path / "fresh")
    assert done.returncode == 0
    assert "not due" in done.stdout
    assert (tmp_path / "fresh" / "fresh.crt").read_bytes() == before


def test_before_it_is_due_a_silent_server_is_no_failure_and_a_strange_one_is(
    broker: Daemon, tmp_path: Path
) -> None:
    folder = tmp_path / "looking"
    assert join(token(broker, "looking"), folder).returncode == 0
    root, settings = folder / "server-root.crt", folder / "looking.json"
    known, right = root.read_bytes(), settings.read_text()
    assert known == broker.ca_file.read_bytes()
    settings.write_text(right.replace(f'"port": {broker.port}', '"port": 1'))
    silent = bollard("join", "--renew", folder)
    assert (silent.returncode, "was not asked which roots" in silent.stderr) == (0, True)
    settings.write_text(right)
    strange = (broker.directory / "ca" / "device-ca.crt").read_bytes()
    root.write_bytes(strange)
    refused = bollard("join", "--renew", folder)
    assert (refused.returncode, "not trusted" in refused.stderr) == (1, True)
    assert root.read_bytes() == strange


def test_a_renewal_has_a_new_key_and_ends_the_old_certificate_when_it_is_used(
    broker: Daemon, tmp_path: Path
) -> None:
    folder = tmp_path / "renewed"
    assert join(token(broker, "renewed"), folder).returncode == 0
    old = {name: (folder / name).read_bytes() for name in ("renewed.crt", "renewed.key")}
    done = bollard("join", "--renew", folder, "--now")
    assert done.returncode == 0, done.stderr
    assert all((folder / name).read_bytes() != before for name, before in old.items())
    assert len(serials(broker, "renewed", "active")) == 2
    assert connects(folder, "renewed").returncode == 0
    assert eventually(lambda: len(serials(broker, "renewed", "active")) == 1)
    for name, before in old.items():
        (folder / name).write_bytes(before)
    assert connects(folder, "renewed").returncode == 1


@pytest.mark.parametrize("moved", [False, True], ids=["before the key", "between key and certificate"])
def test_a_renewal_that_was_cut_off_is_finished_by_the_next_run(
    broker: Daemon, tmp_path: Path, moved: bool
) -> None:
    name = f"cut{int(moved)}"
    folder = tmp_path / name
    assert join(token(broker, name), folder).returncode == 0
    kept = {ending: (folder / f"{name}.{ending}").read_bytes() for ending in ("crt", "key")}
    assert bollard("join", "--renew", folder, "--now").returncode == 0
    for ending, before in kept.items():
        if ending == "crt" or not moved:
            shutil.move(folder / f"{name}.{ending}", folder / f"{name}.next.{ending}")
            (folder / f"{name}.{ending}").write_bytes(before)
            (folder / f"{name}.{ending}").chmod(0o600)
    assert bollard("join", "--renew", folder).returncode == 0
    assert connects(folder, name).returncode == 0
    assert not list(folder.glob("*.next.*"))


def test_a_revoked_device_is_not_renewed(broker: Daemon, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    assert join(token(broker, "gone"), folder).returncode == 0
    assert broker.run("devices", "revoke", "gone").returncode == 0
    before = broker.json("devices", "show", "gone")["certificates"]
    done = bollard("join", "--renew", folder, "--now")
    assert done.returncode == 1
    assert "revoked" in done.stderr
    assert broker.json("devices", "show", "gone")["certificates"] == before
    timer = bollard("join", "--renew", folder)
    assert (timer.returncode, "not due before" in timer.stdout) == (1, False)
    assert "does not count any more" in timer.stderr
    assert "for a new string" in timer.stderr


def test_the_timer_alarms_before_it_is_due_when_the_certificate_was_replaced(
    broker: Daemon, tmp_path: Path
) -> None:
    folder = tmp_path / "replaced"
    assert join(token(broker, "replaced"), folder).returncode == 0
    assert broker.run("devices", "rotate", "replaced").returncode == 0
    timer = bollard("join", "--renew", folder)
    assert timer.returncode == 1
    assert "replaced" in timer.stderr


@pytest.mark.slow
def test_a_device_that_slept_past_the_end_renews_by_proving_its_old_key(tmp_path: Path) -> None:
    directory, folder = tmp_path / "state", tmp_path / "sleeper"
    with Daemon(directory) as broker:
        assert join(token(broker, "sleeper"), folder).returncode == 0
    with open_identities(StateDirectory(directory)) as identities:
        short = issue_device_certificate(
            identities.authorities, identities.registry, "sleeper", now=time.time(), life_s=1
        )
    (folder / "sleeper.crt").write_bytes(short.chain_pem)
    (folder / "sleeper.key").write_bytes(short.key_pem.reveal())
    time.sleep(1.1)
    with Daemon(directory) as broker:
        settings = folder / "sleeper.json"
        port = x509.load_pem_x509_certificate((folder / "sleeper.crt").read_bytes())
        assert port.not_valid_after_utc.timestamp() < time.time()
        text = settings.read_text()
        settings.write_text(text.replace(text.split('"port": ')[1].split(",")[0], str(broker.port)))
        assert connects(folder, "sleeper").returncode == 1
        done = bollard("join", "--renew", folder)
        assert done.returncode == 0, done.stderr
        assert connects(folder, "sleeper").returncode == 0


def test_a_password_is_not_turned_into_a_certificate(broker: Daemon, out: Path) -> None:
    settings = broker.json("enroll", "plain", "--password", "--out", out)
    done = bollard(
        "pub", "--settings", out / "plain.json", "-t", "$enroll/csr", "-m", "not a request", "-q", 1
    )
    assert settings["id"] == "plain"
    assert done.returncode == 0
    assert eventually(lambda: broker.logged("plain: refused"))
    assert serials(broker, "plain", "active") == set()


def test_the_string_is_drawn_as_a_qr_code(broker: Daemon, out: Path) -> None:
    done = broker.run("enroll", "drawn", "--token", "--out", out)
    assert done.returncode == 0
    assert "█" in done.stdout
    text = (out / "drawn.txt").read_text().strip()
    assert text in done.stdout
    assert ET.parse(out / "drawn.svg").getroot().tag.endswith("svg")
    assert {stat.S_IMODE(f.stat().st_mode) for f in out.iterdir()} == {0o600}


@pytest.mark.parametrize("life", ["1s", "31d", "soon", "0"])
def test_a_life_that_makes_no_sense_is_refused(broker: Daemon, life: str) -> None:
    done = broker.run("enroll", f"life-{life}", "--token", "--expires", life)
    assert done.returncode == 2
    assert f"life-{life}" not in {each["id"] for each in broker.json("devices")}


def test_an_enrolled_device_gets_a_new_string_without_losing_the_old_certificate(
    broker: Daemon, tmp_path: Path
) -> None:
    assert join(token(broker, "twice"), tmp_path / "one").returncode == 0
    string = broker.json("devices", "rotate", "twice", "--token")["token"]
    assert connects(tmp_path / "one", "twice").returncode == 0
    assert join(string, tmp_path / "two").returncode == 0
    assert connects(tmp_path / "two", "twice").returncode == 0
    assert connects(tmp_path / "one", "twice").returncode == 1


@pytest.mark.parametrize("days", [-400, 400], ids=["behind", "ahead"])
def test_a_clock_far_off_is_said(days: int, capsys: pytest.CaptureFixture[str]) -> None:
    key = profile.new_ec_key()
    issuer = profile.self_signed(profile.DEVICE_CA, "ca", key, now=time.time() - days * 86_400)
    leaf = profile.signed_by(
        issuer, profile.DEVICE_LEAF, "plug", key.public_key(), now=time.time() - days * 86_400
    )
    _check_clock(leaf)
    assert "set the clock" in capsys.readouterr().err

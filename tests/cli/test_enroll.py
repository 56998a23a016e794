"""`bollard enroll`: the stable JSON, the files, and what is pasted."""

import json
import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bollard.server.config import Address
from bollard.server.state import prepare
from cli.daemon import Daemon, bollard


def test_a_password_comes_as_exactly_these_keys(broker: Daemon) -> None:
    told = broker.json("enroll", "plug", "--password")
    assert list(told) == ["id", "client_id", "host", "port", "username", "password", "ca_file"]
    assert (told["id"], told["client_id"], told["username"]) == ("plug", "plug", "plug")
    assert (told["host"], told["port"]) == ("127.0.0.1", broker.port)
    assert len(told["password"]) == 32
    assert Path(told["ca_file"]) == broker.ca_file


def test_a_certificate_comes_as_exactly_these_keys_and_private_files(broker: Daemon, out: Path) -> None:
    told = broker.json("enroll", "camera", "--certificate", "--out", out)
    assert list(told) == ["id", "client_id", "host", "port", "cert_file", "key_file", "ca_file"]
    for key in ("cert_file", "key_file", "ca_file"):
        path = Path(told[key])
        assert path.parent == out
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    leaf = x509.load_pem_x509_certificates(Path(told["cert_file"]).read_bytes())[0]
    key = load_pem_private_key(Path(told["key_file"]).read_bytes(), None)
    assert leaf.public_key() == key.public_key()
    assert Path(told["ca_file"]).read_bytes() == broker.ca_file.read_bytes()


def test_without_out_a_certificate_goes_into_the_state_directory(broker: Daemon) -> None:
    told = broker.json("enroll", "lamp", "--certificate")
    assert Path(told["key_file"]) == broker.directory / "devices" / "lamp" / "lamp.key"


def test_with_out_a_password_goes_into_a_private_settings_file(broker: Daemon, out: Path) -> None:
    told = broker.json("enroll", "meter", "--out", out)
    settings = out / "meter.json"
    assert json.loads(settings.read_text()) == told
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    assert Path(told["ca_file"]) == out / "server-root.crt"


def test_a_secret_is_neither_in_the_state_directory_nor_in_the_log(broker: Daemon) -> None:
    secret = broker.json("enroll", "vault")["password"].encode()
    for path in broker.directory.rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes(), path
    assert not broker.logged(secret.decode())


def test_what_people_read_can_be_pasted(broker: Daemon, out: Path) -> None:
    done = broker.run("enroll", "gate", "--out", out)
    assert done.returncode == 0
    line = next(line for line in done.stdout.splitlines() if "mosquitto_pub" in line)
    words = shlex.split(line)
    assert words[words.index("-t") + 1] == "devices/gate/state"
    assert words[words.index("--cafile") + 1] == str(out / "server-root.crt")
    assert f"bollard sub --settings {out}/gate.json" in done.stdout
    start = done.stdout.index("import paho")
    compile(done.stdout[start:].replace("\n  ", "\n"), "pasted", "exec")


def test_an_application_is_shown_topics_that_it_may_use(broker: Daemon) -> None:
    told = broker.run("enroll", "board", "--as", "app", "--for", "mosquitto").stdout
    assert "devices/#" in told
    assert "devices/plug/cmd/on" in told
    assert "paho" not in told


@pytest.mark.parametrize("name", ["anonymous", "a/b", "#", "x" * 65, "-x"])
def test_a_name_that_cannot_be_is_refused_before_anything_happens(broker: Daemon, name: str) -> None:
    before = len(broker.json("devices"))
    done = bollard("enroll", "--dir", broker.directory, "--", name)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(broker.json("devices")) == before


def test_enrolling_twice_is_refused_with_the_way_out(broker: Daemon) -> None:
    broker.json("enroll", "twice")
    done = broker.run("enroll", "twice")
    assert done.returncode == 2
    assert f"devices rotate --dir {broker.directory} twice" in done.stderr


@pytest.mark.parametrize(
    "options",
    [("--password", "--certificate"), ("--token", "--password"), ("--token", "--for", "paho")],
    ids=" ".join,
)
def test_options_that_exclude_each_other_enroll_nobody(broker: Daemon, options: tuple[str, ...]) -> None:
    done = broker.run("enroll", "both", *options)
    assert done.returncode == 2
    assert options[0] in done.stderr
    assert options[1] in done.stderr
    assert all(device["id"] != "both" for device in broker.json("devices"))


def test_an_unknown_template_names_the_nearest(broker: Daemon) -> None:
    done = broker.run("enroll", "typo", "--as", "devise")
    assert done.returncode == 2
    assert '"device"' in done.stderr


def test_a_folder_that_cannot_be_written_enrolls_nobody(broker: Daemon) -> None:
    done = broker.run("enroll", "nowhere", "--out", "/proc/nowhere")
    assert done.returncode == 2
    assert all(device["id"] != "nowhere" for device in broker.json("devices"))


def test_without_a_broker_the_store_is_used_itself(tmp_path: Path) -> None:
    prepare(tmp_path / "state", Address("127.0.0.1", 8883))
    done = bollard("enroll", "plug", "--dir", tmp_path / "state", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["port"] == 8883


def test_many_commands_at_once_all_succeed_without_a_broker(tmp_path: Path) -> None:
    prepare(tmp_path / "state", Address("127.0.0.1", 8883))
    from cli.daemon import COMMAND

    running = [
        subprocess.Popen(
            [*COMMAND, "enroll", f"plug-{number}", "--dir", str(tmp_path / "state"), "--json"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(os.environ),
        )
        for number in range(4)
    ]
    for process in running:
        _, errors = process.communicate(timeout=40)
        assert process.returncode == 0, errors
    done = bollard("devices", "--dir", tmp_path / "state", "--json")
    assert [device["id"] for device in json.loads(done.stdout)] == [f"plug-{number}" for number in range(4)]


def test_a_template_that_is_a_preset_is_told_how_to_have_it(broker: Daemon) -> None:
    done = broker.run("enroll", "preset-lamp", "--as", "tasmota")
    assert done.returncode == 2
    assert '[preset.tasmota] use = "tasmota"' in done.stderr
    policy = broker.directory / "policy.toml"
    policy.write_text(policy.read_text() + '\n[preset.tasmota]\nuse = "tasmota"\n')
    assert broker.run("enroll", "preset-lamp", "--as", "tasmota").returncode == 0

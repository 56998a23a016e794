"""`bollard devices` against a running broker: what is shown, and what a change ends."""

import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bollard.server.config import Address
from bollard.server.state import prepare
from cli.daemon import Daemon, bollard, eventually


class Device:
    """A paho client that is connected with what `enroll` gave, and notes how it ended."""

    def __init__(self, settings: dict[str, object]) -> None:
        self.settings = settings
        self.refused = ""
        self.ended = ""
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, str(settings["client_id"]), protocol=MQTTProtocolVersion.MQTTv5
        )
        cert, key = settings.get("cert_file"), settings.get("key_file")
        self.client.tls_set(str(settings["ca_file"]), cert and str(cert), key and str(key))
        if "password" in settings:
            self.client.username_pw_set(str(settings["username"]), str(settings["password"]))
        self.client.reconnect_delay_set(60)
        self.client.on_connect = self._connected
        self.client.on_disconnect = self._disconnected

    def connect(self) -> "Device":
        self.refused = self.ended = ""
        self.client.connect(str(self.settings["host"]), int(str(self.settings["port"])))
        self.client.loop_start()
        assert eventually(lambda: self.client.is_connected() or self.refused)
        return self

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _connected(
        self, client: object, data: object, flags: object, reason: object, properties: object
    ) -> None:
        if str(reason) != "Success":
            self.refused = str(reason)

    def _disconnected(
        self, client: object, data: object, flags: object, reason: object, properties: object
    ) -> None:
        self.ended = f"{reason} {getattr(properties, 'ReasonString', '')}"


@pytest.fixture
def devices() -> Iterator[list[Device]]:
    """Devices that a test connects; closed when it ends."""
    connected: list[Device] = []
    yield connected
    for device in connected:
        device.close()


def shown(broker: Daemon, identity: str) -> dict[str, object]:
    found = broker.json("devices", "show", identity)
    assert isinstance(found, dict)
    return found


def test_the_list_has_state_credential_and_connections(broker: Daemon, devices: list[Device]) -> None:
    devices.append(Device(broker.json("enroll", "listed")).connect())
    (row,) = [one for one in broker.json("devices") if one["id"] == "listed"]
    assert (row["state"], row["template"], row["password"], row["connected"]) == ("active", "device", True, 1)
    line = next(line for line in broker.run("devices").stdout.splitlines() if line.startswith("listed"))
    assert line.split()[1:5] == ["active", "device", "password", "1"]
    assert "listed" in broker.run("devices", "show", "listed").stdout


def test_options_may_stand_before_the_sub_command(broker: Daemon) -> None:
    broker.json("enroll", "early")
    done = bollard("devices", "--dir", broker.directory, "--json", "show", "early")
    assert json.loads(done.stdout)["id"] == "early"


def test_a_revocation_ends_the_connection_in_under_a_second_for_good(
    broker: Daemon, devices: list[Device], out: Path
) -> None:
    device = Device(broker.json("enroll", "lost", "--certificate", "--out", out)).connect()
    devices.append(device)
    began = time.monotonic()
    told = broker.json("devices", "revoke", "lost")
    assert eventually(lambda: device.ended)
    # The whole way, with the start of two Python processes; the broker's own part is `took_ms`.
    assert time.monotonic() - began < 10
    assert "revoked" in device.ended
    assert (told["state"], told["connections"], told["sessions"]) == ("revoked", 1, 1)
    assert (told["wills"], told["retained"]) == (0, 0)
    assert 0 < told["took_ms"] < 1000
    again = Device(device.settings)
    devices.append(again)
    assert again.connect().refused == "Not authorized"
    assert broker.run("devices", "resume", "lost").returncode == 2


def test_a_suspension_lasts_until_it_is_resumed(broker: Daemon, devices: list[Device]) -> None:
    device = Device(broker.json("enroll", "paused")).connect()
    devices.append(device)
    broker.json("devices", "suspend", "paused")
    assert eventually(lambda: device.ended)
    assert shown(broker, "paused")["state"] == "suspended"
    again = Device(device.settings)
    devices.append(again)
    assert again.connect().refused == "Not authorized"
    again.close()
    broker.json("devices", "resume", "paused")
    devices.append(Device(device.settings).connect())
    assert not devices[-1].refused


def test_a_rotated_password_ends_the_old_one(broker: Daemon, devices: list[Device]) -> None:
    device = Device(broker.json("enroll", "rotated")).connect()
    devices.append(device)
    told = broker.json("devices", "rotate", "rotated")
    assert list(told) == ["id", "client_id", "host", "port", "username", "password", "ca_file"]
    assert told["password"] != device.settings["password"]
    assert eventually(lambda: device.ended)
    old = Device(device.settings)
    devices.append(old)
    assert old.connect().refused == "Bad user name or password"
    devices.append(Device(told).connect())
    assert not devices[-1].refused


def test_a_rotated_certificate_ends_the_old_one(
    broker: Daemon, devices: list[Device], tmp_path: Path
) -> None:
    device = Device(broker.json("enroll", "signed", "--certificate", "--out", tmp_path / "1")).connect()
    devices.append(device)
    told = broker.json("devices", "rotate", "signed", "--certificate", "--out", tmp_path / "2")
    assert eventually(lambda: device.ended)
    old = Device(device.settings)
    devices.append(old)
    assert old.connect().refused == "Not authorized"
    devices.append(Device(told).connect())
    assert not devices[-1].refused
    done = broker.run("devices", "show", "signed").stdout
    assert "superseded" in done


def test_a_rotated_credential_is_printed_for_one_client(broker: Daemon, tmp_path: Path) -> None:
    before = broker.json("enroll", "pasted")
    done = broker.run("devices", "rotate", "pasted", "--for", "paho")
    assert done.returncode == 0, done.stderr
    compile(done.stdout, "pasted", "exec")
    assert before["password"] not in done.stdout
    assert "mosquitto_pub" not in done.stdout


@pytest.mark.parametrize("option", ["--certificate", "--token"])
def test_a_recipe_that_cannot_be_is_refused_before_anything_is_rotated(
    broker: Daemon, devices: list[Device], option: str
) -> None:
    identity = f"kept{option}"
    device = Device(broker.json("enroll", identity)).connect()
    devices.append(device)
    done = broker.run("devices", "rotate", identity, "--for", "shelly", option)
    assert done.returncode == 2, done.stderr
    told = shown(broker, identity)
    assert (told["password"], told["certificates"], told["connected"]) == (True, [], 1)


def test_a_settings_file_that_a_rotation_left_stale_is_written_anew_as_the_refusal_says(
    broker: Daemon, tmp_path: Path
) -> None:
    assert broker.run("enroll", "filed", "--out", tmp_path / "filed").returncode == 0
    publish = ("pub", "--settings", tmp_path / "filed" / "filed.json", "-t", "devices/filed/state", "-m", "1")
    assert bollard(*publish).returncode == 0
    turned = broker.run("devices", "rotate", "filed")
    assert "Settings files of filed from before" in turned.stdout
    assert "with the same --out FOLDER" in turned.stdout
    refused = bollard(*publish)
    assert refused.returncode == 1
    assert "Where the broker runs: bollard why filed\n" in refused.stderr
    remedy = f"bollard devices rotate filed --out {tmp_path / 'filed'}\n"
    assert f"Where the broker runs: {remedy}" in refused.stderr
    again = broker.run(*shlex.split(remedy)[1:])
    assert "stale" not in again.stdout
    assert bollard(*publish).returncode == 0


def test_a_wrong_password_without_a_settings_file_is_told_of_no_folder(broker: Daemon) -> None:
    told = broker.json("enroll", "typed")
    address = ("-h", told["host"], "-p", told["port"], "--ca-file", told["ca_file"], "-u", "typed")
    wrong = {**os.environ, "BOLLARD_PASSWORD": "wrong"}
    refused = bollard("pub", *address, "-t", "a", "-m", "b", env=wrong)
    assert "Where the broker runs: bollard why typed\n" in refused.stderr
    assert "bollard devices rotate typed" not in refused.stderr


@pytest.mark.parametrize("word", ["show", "revoke", "suspend", "resume", "rotate"])
def test_who_is_not_enrolled_is_told(broker: Daemon, word: str) -> None:
    done = broker.run("devices", word, "ghost")
    assert done.returncode == 2
    assert "ghost" in done.stderr
    assert "bollard devices" in done.stderr


def test_an_empty_registry_says_how_to_begin(tmp_path: Path) -> None:
    with Daemon(tmp_path / "state") as broker:
        assert "bollard enroll" in broker.run("devices").stdout
        assert broker.json("devices") == []


def test_status_lists_who_is_connected(broker: Daemon, devices: list[Device]) -> None:
    devices.append(Device(broker.json("enroll", "seen")).connect())
    status = broker.json("status")
    assert status["running"]
    assert status["listeners"] == [f"tls 127.0.0.1:{broker.port}"]
    (client,) = [one for one in status["clients"] if one["principal"] == "seen"]
    assert (client["client_id"], client["version"], client["address"]) == ("seen", "5.0", "127.0.0.1")
    text = broker.run("status").stdout
    assert "seen" in text
    assert f"process {broker.process.pid}" in text


def test_status_without_a_broker_is_one(tmp_path: Path) -> None:
    with Daemon(tmp_path / "state") as broker:
        broker.stop()
        done = broker.run("status", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"running": False}


def test_a_command_that_is_interrupted_in_the_middle_harms_nobody(broker: Daemon) -> None:
    from cli.daemon import COMMAND

    process = subprocess.Popen(
        [*COMMAND, "devices", "--dir", str(broker.directory)], stdout=subprocess.DEVNULL
    )
    process.kill()
    process.wait()
    assert broker.json("status")["running"]


@pytest.mark.parametrize("word", ["list", "ls"])
def test_whoever_asks_for_the_list_by_name_is_told_how_to_get_it(word: str) -> None:
    done = bollard("devices", word)
    assert done.returncode == 2
    assert "bollard devices" in done.stderr.splitlines()[-1]


def test_a_rotated_credential_is_called_new(broker: Daemon) -> None:
    broker.json("enroll", "turned")
    assert broker.run("devices", "rotate", "turned").stdout.startswith("turned has a new password")


def test_a_step_of_a_replacement_says_what_it_has_done(tmp_path: Path) -> None:
    state = tmp_path / "state"
    prepare(state, Address("127.0.0.1", 8883))
    sheet = state / "ca" / "server-root-recovery.txt"
    for words, said in (
        (("device-ca",), "The new device CA is made"),
        (("device-ca", "--finish"), "The device CA is replaced"),
        (("server-ca", "--recovery", sheet), "The server CAs are replaced"),
    ):
        done = bollard("authority", "rotate", *words, "--dir", state)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(said)

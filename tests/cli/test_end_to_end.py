"""The way that a new user goes: up, enroll, pub and sub, paho, policy edits; all over TLS with the pinned root."""

import json
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from cli.daemon import COMMAND, Daemon, bollard, eventually


def settings_file(broker: Daemon, out: Path, identity: str, *options: str) -> Path:
    broker.json("enroll", identity, "--out", out, *options)
    return out / f"{identity}.json"


def subscribe(broker: Daemon, settings: Path, topic: str, count: int) -> "subprocess.Popen[str]":
    """`bollard sub` that ends after `count` messages; returns when it is subscribed."""
    before = broker.json("status")["counters"]["subscriptions"]
    words = [*COMMAND, "sub", "--settings", settings, "-t", topic, "--count", count, "--qos", 1, "--json"]
    process = subprocess.Popen(
        [*map(str, words), "--timeout", "30"], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert eventually(lambda: broker.json("status")["counters"]["subscriptions"] > before)
    return process


def messages(process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    text, _ = process.communicate(timeout=40)
    assert process.returncode == 0
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("kind", ["--password", "--certificate"])
def test_a_device_talks_to_an_application_through_pub_and_sub(
    broker: Daemon, tmp_path: Path, kind: str
) -> None:
    name = f"sensor{kind}"
    device = settings_file(broker, tmp_path / "device", name, kind)
    app = settings_file(broker, tmp_path / "app", f"app{kind}", kind, "--as", "app")
    listening = subscribe(broker, app, "devices/#", 1)
    done = bollard("pub", "--settings", device, "-t", f"devices/{name}/state", "-m", "21.5", "--qos", "1")
    assert done.returncode == 0, done.stderr
    (message,) = messages(listening)
    assert message["topic"] == f"devices/{name}/state"
    assert message["payload"] == "21.5"


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_paho_with_the_shipped_root_publishes_and_receives(
    broker: Daemon, protocol: MQTTProtocolVersion
) -> None:
    name = f"paho-{int(protocol)}"
    told = broker.json("enroll", name)
    received: list[tuple[str, bytes, int]] = []
    subscribed = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, told["client_id"], protocol=protocol)
    client.tls_set(told["ca_file"])
    client.username_pw_set(told["username"], told["password"])
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, m: received.append((m.topic, m.payload, m.qos))
    client.connect(told["host"], told["port"])
    client.loop_start()
    try:
        client.subscribe(f"devices/{name}/#", 2)
        assert subscribed.wait(10)
        for qos in (0, 1, 2):
            client.publish(f"devices/{name}/q{qos}", str(qos), qos).wait_for_publish(10)
        assert eventually(lambda: len(received) == 3)
    finally:
        client.disconnect()
        client.loop_stop()
    assert sorted(received) == [(f"devices/{name}/q{qos}", str(qos).encode(), qos) for qos in (0, 1, 2)]


def test_a_client_with_another_root_does_not_connect(broker: Daemon, tmp_path: Path) -> None:
    told = broker.json("enroll", "stranger")
    with Daemon(tmp_path / "other") as other:
        told["ca_file"] = str(other.ca_file)
    (tmp_path / "stranger.json").write_text(json.dumps(told))
    done = bollard("pub", "--settings", tmp_path / "stranger.json", "-t", "devices/stranger/x", "-m", "1")
    assert done.returncode != 0
    assert eventually(lambda: broker.logged("give it the CA file (server-root.crt)"))


def test_what_the_policy_does_not_grant_is_refused_and_logged(broker: Daemon, out: Path) -> None:
    device = settings_file(broker, out, "nosy")
    done = bollard("pub", "--settings", device, "-t", "devices/other/state", "-m", "1", "--qos", "1")
    assert done.returncode == 1
    assert eventually(lambda: broker.logged("access.denied"))


def test_an_edit_of_the_policy_is_in_force_without_a_restart(broker: Daemon, out: Path) -> None:
    device = settings_file(broker, out, "grower")
    publish = ("pub", "--settings", device, "-t", "garden/beds", "-m", "wet", "--qos", "1")
    assert bollard(*publish).returncode == 1
    policy = broker.directory / "policy.toml"
    right = policy.read_text()
    policy.write_text(right + '\n[grant.garden]\nwho = "grower"\npublish = ["garden/#"]\n')
    assert eventually(lambda: broker.logged("policy reloaded"))
    assert bollard(*publish).returncode == 0
    policy.write_text(right + "\n[grant.garden\n")
    assert eventually(lambda: broker.logged("policy not reloaded"))
    assert bollard(*publish).returncode == 0
    policy.write_text(right)
    assert eventually(lambda: sum("policy reloaded" in line for line in broker.log) == 2)
    assert bollard(*publish).returncode == 1


def test_a_hang_up_reloads_policy_and_certificates_and_keeps_connections(broker: Daemon, out: Path) -> None:
    device = settings_file(broker, out, "steady")
    listening = subscribe(broker, device, "devices/steady/#", 1)
    broker.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: broker.logged("certificates reloaded"))
    assert (
        bollard("pub", "--settings", device, "-t", "devices/steady/x", "-m", "1", "--qos", "1").returncode
        == 0
    )
    assert len(messages(listening)) == 1


def test_sys_topics_reach_only_those_whom_the_policy_lets(broker: Daemon, out: Path) -> None:
    monitor = settings_file(broker, out, "monitor")
    read = ("sub", "--settings", monitor, "-t", "$SYS/broker/version", "--count", "1", "--timeout", "3")
    assert bollard(*read).returncode != 0
    policy = broker.directory / "policy.toml"
    right = policy.read_text()
    before = sum("policy reloaded" in line for line in broker.log)
    policy.write_text(right + '\n[grant.monitor]\nwho = "monitor"\nsubscribe = ["$SYS/#"]\n')
    assert eventually(lambda: sum("policy reloaded" in line for line in broker.log) > before)
    done = bollard(*read)
    assert done.returncode == 0
    assert "bollard version" in done.stdout


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="needs Debian's mosquitto-clients")
@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_what_enroll_prints_for_mosquitto_works_as_pasted(
    broker: Daemon, tmp_path: Path, version: str
) -> None:
    told = broker.run("enroll", f"pasted-{version}", "--for", "mosquitto").stdout
    subscribe_line, publish_line = (line.strip() for line in told.splitlines() if "mosquitto_" in line)
    before = broker.json("status")["counters"]["subscriptions"]
    listening = subprocess.Popen(
        f"{subscribe_line} -V {version} -C 1 -W 20", shell=True, stdout=subprocess.PIPE, text=True
    )
    assert eventually(lambda: broker.json("status")["counters"]["subscriptions"] > before)
    subprocess.run(f"{publish_line} -V {version} -q 1", shell=True, check=True, timeout=20)
    assert listening.communicate(timeout=30)[0] == "hello\n"


def test_unix_socket_and_websocket_listeners_work_in_one_broker(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(
        'version = 1\n[template.device]\npublish = ["#"]\nsubscribe = ["#"]\n'
    )
    config = tmp_path / "bollard.toml"
    config.write_text(
        'state_dir = "state"\n[[listener]]\nbind = "127.0.0.1:0"\n'
        '[[listener]]\nbind = "127.0.0.1:0"\ntransport = "websocket"\n[[listener]]\nbind = "unix:mqtt.sock"\n'
    )
    with Daemon(tmp_path / "state", config=config) as broker:
        assert eventually(lambda: len(broker.output) == 3)
        kinds = [line.split()[2] for line in broker.output]
        assert kinds == ["tls", "wss", "unix"]
        told = json.loads(bollard("enroll", "plug", "--config", config, "--json").stdout)
        client = mqtt.Client(CallbackAPIVersion.VERSION2, "web", transport="websockets")
        client.tls_set(told["ca_file"])
        # paho claims to be a page; programs that are none have no Origin to send.
        client.ws_set_options(headers=lambda all: {k: v for k, v in all.items() if k != "Origin"})
        client.username_pw_set(told["username"], told["password"])
        received: list[bytes] = []
        client.on_message = lambda _client, _data, message: received.append(message.payload)
        client.on_connect = lambda *_: client.subscribe("#", 1)
        subscribed = threading.Event()
        client.on_subscribe = lambda *_: subscribed.set()
        client.connect("127.0.0.1", int(broker.output[1].split()[1].rpartition(":")[2]))
        client.loop_start()
        assert subscribed.wait(10)
        words = ("--username", "plug", "-t", "a/b", "-m", "by-unix", "--qos", "1")
        done = bollard(
            "pub", "--unix", tmp_path / "mqtt.sock", *words, "--password-stdin", input=told["password"]
        )
        assert done.returncode == 0, done.stderr
        assert eventually(lambda: received == [b"by-unix"])
        client.disconnect()
        client.loop_stop()

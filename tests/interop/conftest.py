"""The broker for real clients, and the clients that this machine has."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.daemon import Daemon, bollard, eventually
from interop.peer import Account, Kind, Peer, mqtt_js, paho_c, python_kind

NODE_MODULES = Path(__file__).parent.parent.parent / "build" / "node" / "node_modules"

POLICY = """\
version = 1
[template.device]
publish = ["#"]
subscribe = ["#"]
retain = ["#"]
will = ["#"]
"""

CONFIG = """\
state_dir = "state"
[[listener]]
bind = "127.0.0.1:0"
[[listener]]
bind = "127.0.0.1:0"
transport = "websocket"
"""


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """A running broker over TLS and WebSocket, with one identity that may do everything."""
    folder = tmp_path_factory.mktemp("interop")
    (folder / "policy.toml").write_text(POLICY)
    config = folder / "bollard.toml"
    config.write_text(CONFIG)
    with Daemon(folder / "state", config=config) as broker:
        assert eventually(lambda: len(broker.output) == 2)
        told = json.loads(bollard("enroll", "tester", "--config", config, "--json").stdout)
        websocket_port = int(broker.output[1].split()[1].rpartition(":")[2])
        yield Account(
            told["host"], told["port"], websocket_port, told["ca_file"], told["username"], told["password"]
        )


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind | str]:
    """Each client by name: how to start it, or what is missing."""
    os.environ.setdefault("NODE_PATH", str(NODE_MODULES))
    found: dict[str, Kind | str] = {name: python_kind(name) for name in ("paho", "aiomqtt", "gmqtt")}
    found["mosquitto"] = python_kind("mosquitto")
    if shutil.which("mosquitto_sub") is None or shutil.which("stdbuf") is None:
        found["mosquitto"] = "needs Debian's mosquitto-clients"
    c_program = paho_c(tmp_path_factory.mktemp("paho_c"))
    found["paho_c"] = Kind("paho_c", c_program) if c_program else "needs gcc and Debian's libpaho-mqtt-dev"
    script = mqtt_js()
    for name in ("mqttjs", "mqttjs_websocket"):
        kind = Kind(name, script or (), websocket=name == "mqttjs_websocket")
        found[name] = kind if script else "needs node and MQTT.js: make interop"
    return found


@pytest.fixture(params=["paho", "aiomqtt", "gmqtt", "mosquitto", "paho_c", "mqttjs", "mqttjs_websocket"])
def kind(request: pytest.FixtureRequest, kinds: dict[str, Kind | str]) -> Kind:
    """Every client library in turn."""
    found = kinds[request.param]
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture
def peers(kind: Kind, account: Account) -> Iterator[list[Peer]]:
    """Two clients of the library under test, started and not connected."""
    with Peer(kind, account) as first, Peer(kind, account) as second:
        yield [first, second]

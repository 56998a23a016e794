"""The recipes that can be run here, run exactly as `bollard enroll --for` prints them."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.daemon import Daemon, bollard, eventually
from interop.conftest import NODE_MODULES

WAIT_S = 15.0

PROGRAMS = ("paho", "aiomqtt", "mqtt.js")


class Program:
    """A process whose output is read line by line. A context manager that ends it."""

    def __init__(self, *command: str) -> None:
        self.lines: list[str] = []
        environment = {**os.environ, "NODE_PATH": str(NODE_MODULES), "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(line.rstrip("\n") for line in self._process.stdout)

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def says(self, text: str) -> bool:
        return eventually(lambda: any(text in line for line in self.lines), WAIT_S)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("recipes") / "state") as daemon:
        yield daemon


@pytest.fixture(params=["password", "certificate"])
def credential(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def printed(broker: Daemon, name: str, credential: str, folder: Path) -> tuple[str, str]:
    """What `enroll` prints for a new identity, and the identity."""
    identity = f"{name.replace('.', '-')}-{credential}"
    done = broker.run("enroll", identity, f"--{credential}", "--for", name, "--out", folder / "files")
    assert done.returncode == 0, done.stderr
    assert "run by our tests" in done.stderr
    return done.stdout, identity


def require(name: str) -> None:
    """Skip where the client is not on this machine."""
    needed = {"mqtt.js": "node", "mosquitto": "mosquitto_sub", "openssl": "openssl"}.get(name)
    if needed is not None and shutil.which(needed) is None:
        pytest.skip(f"needs {needed}")
    if name == "mqtt.js" and not (NODE_MODULES / "mqtt").is_dir():
        pytest.skip("needs MQTT.js: make interop")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_as_printed_sends_and_receives(
    broker: Daemon, name: str, credential: str, tmp_path: Path
) -> None:
    require(name)
    text, identity = printed(broker, name, credential, tmp_path)
    script = tmp_path / ("pasted.js" if name == "mqtt.js" else "pasted.py")
    script.write_text(text)
    interpreter = "node" if name == "mqtt.js" else sys.executable
    with Program(interpreter, str(script)) as program:
        assert program.says(f"devices/{identity}/state hello"), program.lines


def test_the_lines_of_mosquitto_send_and_receive(broker: Daemon, credential: str, tmp_path: Path) -> None:
    require("mosquitto")
    text, identity = printed(broker, "mosquitto", credential, tmp_path)
    subscribe, publish = text.splitlines()
    with Program("sh", "-c", f"exec stdbuf -oL {subscribe}") as program:
        assert eventually(lambda: connections(broker, identity) == 1, WAIT_S)
        assert eventually(
            lambda: subprocess.run(["sh", "-c", publish], check=False).returncode == 0 and program.lines,
            WAIT_S,
        )
        assert "hello" in program.lines


def test_the_line_of_openssl_is_let_in(broker: Daemon, credential: str, tmp_path: Path) -> None:
    require("openssl")
    text, _ = printed(broker, "openssl", credential, tmp_path)
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.stdout.split()[:4] == ["20", "02", "00", "00"], done.stderr


def test_the_lines_of_bollard_receive(broker: Daemon, credential: str, tmp_path: Path) -> None:
    text, identity = printed(broker, "bollard", credential, tmp_path)
    sender = broker.json("enroll", f"sender-for-{identity}", "--as", "app", "--out", tmp_path / "app")
    settings = tmp_path / "app" / f"{sender['id']}.json"
    script = text.replace("bollard sub", f"exec {sys.executable} -m bollard sub")
    with Program("sh", "-c", script) as program:
        assert eventually(lambda: connections(broker, identity) == 1, WAIT_S)

        def heard() -> bool:
            bollard("pub", "--settings", settings, "-t", f"devices/{identity}/cmd/on", "-m", "now")
            return any("now" in line for line in program.lines)

        assert eventually(heard, WAIT_S), program.lines


def connections(broker: Daemon, identity: str) -> int:
    """How many connections `identity` has."""
    return int(broker.json("devices", "show", identity)["connected"])

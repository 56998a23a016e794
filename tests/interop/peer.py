"""Starts a real client behind its line protocol and talks to it."""

import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PEERS = Path(__file__).parent / "peers"
ANSWER_TIMEOUT_S = 25.0

Message = tuple[str, str, int, int]
"""Topic, payload, QoS and retain flag."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a client needs to know of the broker."""

    host: str
    port: int
    websocket_port: int
    ca_file: str
    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One client library: its program, and whether its URL is a WebSocket's."""

    name: str
    command: tuple[str, ...]
    websocket: bool = False


class Peer:
    """One running client. A context manager that ends it."""

    def __init__(self, kind: Kind, account: Account) -> None:
        port = account.websocket_port if kind.websocket else account.port
        scheme, path = ("wss", "/mqtt") if kind.websocket else ("mqtts", "")
        environment = {
            **os.environ,
            "PEER_HOST": account.host,
            "PEER_PORT": str(port),
            "PEER_URL": f"{scheme}://{account.host}:{port}{path}",
            "PEER_CA": account.ca_file,
            "PEER_USERNAME": account.username,
            "PEER_PASSWORD": account.password,
        }
        self.messages: list[Message] = []
        self._answers: queue.Queue[list[str]] = queue.Queue()
        self._process = subprocess.Popen(
            kind.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            bufsize=1,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def connect(self, version: int, client_id: str, *, clean: bool = True, will: str = "-") -> str:
        """Connect; the answer is session present: "0", "1", or "?" where the library does not tell."""
        return self._ask("connected", "connect", version, client_id, int(clean), will)[1]

    def subscribe(self, topic: str, qos: int) -> None:
        self._ask("subscribed", "subscribe", topic, qos)

    def publish(self, topic: str, payload: str, qos: int = 1, retain: bool = False) -> None:
        self._ask("published", "publish", topic, payload, qos, int(retain))

    def disconnect(self) -> None:
        self._ask("disconnected", "disconnect")

    def vanish(self) -> None:
        """End it, and what it started, without a word to the server."""
        os.killpg(self._process.pid, 9)

    def receives(self, *expected: Message, within_s: float = ANSWER_TIMEOUT_S) -> bool:
        """Whether exactly these messages, in any order, have come in time."""
        end = time.monotonic() + within_s
        while time.monotonic() < end and len(self.messages) < len(expected):
            time.sleep(0.02)
        return sorted(self.messages) == sorted(expected)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.vanish()
        self._process.wait(20)
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _ask(self, answer: str, *fields: Any) -> list[str]:
        assert self._process.stdin is not None
        self._process.stdin.write("\t".join(map(str, fields)) + "\n")
        self._process.stdin.flush()
        got = self._answers.get(timeout=ANSWER_TIMEOUT_S)
        assert got[0] == answer, got
        return got

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            fields = line.rstrip("\n").split("\t")
            if fields[0] == "message":
                self.messages.append((fields[1], fields[2], int(fields[3]), int(fields[4])))
            else:
                self._answers.put(fields)
        self._answers.put(["ended"])


def python_kind(name: str) -> Kind:
    return Kind(name, (sys.executable, str(PEERS / f"{name}_peer.py")))


def paho_c(folder: Path) -> tuple[str, ...] | None:
    """The compiled Paho C peer, or None where compiler or library are missing."""
    if shutil.which("gcc") is None:
        return None
    program = folder / "paho_c_peer"
    built = subprocess.run(
        ["gcc", "-o", program, PEERS / "paho_c_peer.c", "-lpaho-mqtt3cs"], capture_output=True, check=False
    )
    return (str(program),) if built.returncode == 0 else None


def mqtt_js() -> tuple[str, ...] | None:
    """The MQTT.js peer, or None where node or the library are missing. $NODE_PATH says where they are."""
    node = shutil.which("node")
    if node is None:
        return None
    found = subprocess.run([node, "-e", "require('mqtt')"], capture_output=True, check=False)
    return (node, str(PEERS / "mqttjs_peer.js")) if found.returncode == 0 else None

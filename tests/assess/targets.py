"""Brokers of others, started on loopback with a set-up whose faults are known."""

import asyncio
import dataclasses
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme

from assess.rooms import FAST
from bollard.assess.model import State
from bollard.assess.plan import HostReport, Settings, scan
from bollard.assess.probes.room import Identity
from bollard.assess.scope import parse_target
from bollard.base.types import Secret

#: RabbitMQ takes the longest, and longer on a busy machine.
START_S = 60.0
ROOT = Path(__file__).parent.parent.parent


def mosquitto() -> str | None:
    """Debian's broker, which lies in a folder that not every user's path names."""
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")


def amqtt() -> str | None:
    """The broker `amqtt`, in an environment of its own: its dependencies are not ours."""
    own = ROOT / "build" / "amqtt" / "bin" / "amqtt"
    return os.environ.get("BOLLARD_TEST_AMQTT") or (str(own) if own.exists() else shutil.which("amqtt"))


def free_port() -> int:
    """A port below those that outgoing connections get: some brokers cannot bind one that was just in use."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


class Broker:
    """One process that listens on `port`. A context manager; `log` is what it said so far.

    `environment` is added to ours. Its standard input stays open until it has ended.
    """

    def __init__(self, command: list[str], port: int, environment: dict[str, str] | None = None) -> None:
        self._command = command
        self._environment = environment or {}
        self.port = port
        self.log: list[str] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **self._environment},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.05)
        self.__exit__(None, None, None)
        raise AssertionError(f"it did not start: {self.log}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log.append(line.rstrip("\n"))


def start_mosquitto(folder: Path, *lines: str) -> Broker:
    """Mosquitto with these lines after its listener."""
    port = free_port()
    config = folder / "mosquitto.conf"
    # Started by root, it would give up its rights and then not find files in a private folder.
    user = ["user root"] if os.geteuid() == 0 else []
    listener = [f"listener {port} 127.0.0.1", *lines]
    config.write_text("\n".join([*user, "log_dest stdout", "log_type all", *listener]) + "\n")
    return Broker([mosquitto() or "mosquitto", "-c", str(config)], port)


def password_file(folder: Path, **users: str) -> Path:
    """A password file of Mosquitto with these users."""
    path = folder / "passwords"
    path.touch(0o600)
    for name, password in users.items():
        subprocess.run(["mosquitto_passwd", "-b", path, name, password], check=True, capture_output=True)
    return path


class Papers:
    """An authority, a server certificate for 127.0.0.1, and one for a client."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self.cert, self.key = self._issue(authority, folder, "server", "127.0.0.1")
        self.client_cert, self.client_key = self._issue(authority, folder, "client", "plug")

    @staticmethod
    def _issue(authority: trustme.CA, folder: Path, role: str, name: str) -> tuple[Path, Path]:
        issued = authority.issue_cert(name, common_name=name)
        cert, key = folder / f"{role}.pem", folder / f"{role}.key"
        cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return cert, key


def start_amqtt(folder: Path) -> Broker:
    """amqtt that lets everybody in."""
    port = free_port()
    config = folder / "amqtt.yaml"
    config.write_text(
        f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{port}\n"
        "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
        "  amqtt.plugins.sys.broker.BrokerSysPlugin:\n    sys_interval: 2\n"
    )
    return Broker([amqtt() or "amqtt", "-c", str(config)], port)


def identity(name: str, password: str) -> Identity:
    return Identity(label=name, username=name, password=Secret(password.encode()))


def assess(port: int, **changes: Any) -> HostReport:
    """A scan of one port, active and in a hurry; idle connections are not watched."""
    # They are on this machine and answer at once; silence is waited for often.
    bounds = dataclasses.replace(FAST, timeout_s=1.0, patience_s=0.0)
    settings = Settings(**{"active": True, "bounds": bounds, "allow_exposed_password": True, **changes})
    (report,) = asyncio.run(scan(parse_target(f"127.0.0.1:{port}"), settings, lambda target, what: None))
    return report


def ids(report: HostReport, state: State) -> set[str]:
    """The checks that ended so."""
    return {result.check for result in report.results if result.state is state}

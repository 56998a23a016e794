"""A reconnect storm: many devices, all at once, as after a power cut or a restart of the broker.

    python tools/storm.py [--devices 10000] [--kind password|certificate|both] [--per-address 50]
                          [--mosquitto] [--keep DIR]

Starts a broker with its default settings, and lets every device connect at the same moment over TLS, from
a few hundred addresses of the loopback network. A device that is refused, or that waits longer than
--patience, tries again after a random pause, as devices do. Told are the time until everybody is in, how
many attempts that took, what it cost the broker, and how long one client that was connected before, in a process
of its own, waited for the answers to its pings meanwhile. With --mosquitto the same storm is let loose on
Mosquitto, with the same certificates and its own password file. --keep leaves the enrolled devices in DIR
for the next run: making them takes longer than the storm.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from bollard.identity.authority import issue_device_certificate, load_authorities
from bollard.identity.serving import ensure_server_certificates
from bollard.server.advertise import certificate_names
from bollard.server.config import Address
from bollard.server.identities import open_identities
from bollard.server.load import load_config
from bollard.server.state import StateDirectory, prepare
from bollard.store.database import StateLock
from bollard.wire.codec import encode
from bollard.wire.connect import Connect

#: How often the client that was connected before sends a ping.
PING_EVERY_S = 0.02
MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True)
class Credential:
    """What one device connects with: a password, or a PEM file with key and chain."""

    id: str
    password: str = ""
    file: str = ""


@dataclass
class Figures:
    """One storm."""

    broker: str
    kind: str
    devices: int
    seconds: float = 0.0
    attempts: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)
    broker_cpu_s: float = 0.0
    broker_rss_mb: float = 0.0
    client_cpu_s: float = 0.0
    ping_ms: list[float] = field(default_factory=list)

    def told(self) -> dict[str, object]:
        ordered = sorted(self.waits_s) or [0.0]
        connected = len(self.waits_s)
        return {
            "broker": self.broker,
            "kind": self.kind,
            "devices": self.devices,
            "connected": connected,
            "seconds": round(self.seconds, 2),
            "per_second": round(connected / self.seconds) if self.seconds else 0,
            "median_wait_s": round(ordered[len(ordered) // 2], 2),
            "longest_wait_s": round(ordered[-1], 2),
            "attempts": self.attempts,
            "failed_attempts": dict(self.failures),
            "broker_cpu_s": round(self.broker_cpu_s, 2),
            "broker_cpu_ms_per_device": round(self.broker_cpu_s * 1000 / max(connected, 1), 3),
            "broker_rss_mb": round(self.broker_rss_mb, 1),
            "client_cpu_s": round(self.client_cpu_s, 2),
            "healthy_ping_p50_ms": round(statistics.median(self.ping_ms or [0.0]), 1),
            "healthy_ping_p99_ms": round(_quantile(self.ping_ms, 0.99), 1),
            "healthy_ping_max_ms": round(max(self.ping_ms, default=0.0), 1),
        }


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values) or [0.0]
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


class Attempt(asyncio.Protocol):
    """One attempt of one device: TLS by hand, because each device has its own certificate."""

    def __init__(self, context: ssl.SSLContext, credential: Credential, done: "asyncio.Future[str]") -> None:
        self._context = context
        self._credential = credential
        self._done = done
        self._shaken = False
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._credential.file:
            self._context.load_cert_chain(self._credential.file)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")
        self._go_on()

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        self._go_on()

    def connection_lost(self, error: Exception | None) -> None:
        self._finish("closed" if error is None else type(error).__name__)

    def _go_on(self) -> None:
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
                self._tls.write(self._connect())
            self._answer += self._tls.read(16)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._finish(f"TLS {error.reason}")
        self.transport.write(self._outgoing.read())
        if len(self._answer) >= 4:
            self._finish("" if self._answer[3] == 0 else f"CONNACK {self._answer[3]}")

    def _connect(self) -> bytes:
        one = self._credential
        username, password = (one.id, one.password.encode()) if one.password else (None, None)
        return encode(Connect(client_id=one.id, keepalive_s=3600, username=username, password=password), 4)

    def _finish(self, outcome: str) -> None:
        if not self._done.done():
            self._done.set_result(outcome)


class Storm:
    """Every device of `credentials` against one port."""

    def __init__(
        self, port: int, root: Path, credentials: list[Credential], patience_s: float, per_address: int
    ) -> None:
        self._port = port
        self._per_address = per_address
        self._context = ssl.create_default_context(cafile=root)
        self._credentials = credentials
        self._patience_s = patience_s
        self._open: list[asyncio.Transport] = []

    async def rage(self, figures: Figures) -> None:
        """Until everybody is in."""
        began = time.monotonic()
        await asyncio.gather(
            *(self._device(n, one, began, figures) for n, one in enumerate(self._credentials))
        )
        figures.seconds = time.monotonic() - began

    def calm(self) -> None:
        for transport in self._open:
            transport.abort()

    async def _device(self, number: int, credential: Credential, began: float, figures: Figures) -> None:
        index = number // self._per_address
        address = f"127.{1 + index // 250}.0.{1 + index % 250}"
        while True:
            figures.attempts += 1
            outcome = await self._attempt(address, credential)
            if not outcome:
                figures.waits_s.append(time.monotonic() - began)
                return
            figures.failures[outcome] += 1
            await asyncio.sleep(random.uniform(0, LONGEST_PAUSE_S))  # noqa: S311  # a pause, no secret

    async def _attempt(self, address: str, credential: Credential) -> str:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str] = loop.create_future()
        raw = socket.socket()
        raw.setblocking(False)
        transport: asyncio.BaseTransport | None = None
        try:
            async with asyncio.timeout(self._patience_s):
                raw.bind((address, 0))
                await loop.sock_connect(raw, ("127.0.0.1", self._port))
                transport, _ = await loop.create_connection(
                    lambda: Attempt(self._context, credential, done), sock=raw
                )
                outcome = await done
        except TimeoutError:
            outcome = "out of patience"
        except OSError as error:
            outcome = type(error).__name__
        if outcome:
            if transport is not None:
                transport.close()
            raw.close()
        elif isinstance(transport, asyncio.Transport):
            self._open.append(transport)
        return outcome


# --- who was connected before ------------------------------------------------------------------------


class Healthy:
    """One client that is connected while the storm comes; in a process of its own, so that it measures the
    broker and not us."""

    def __init__(self, port: int, root: Path, credential: Credential) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._ours, theirs = spawn.Pipe()
        self._process = spawn.Process(target=ping, args=(port, root, credential, theirs))
        self._process.start()
        assert self._ours.recv() == "connected"

    def stop(self) -> list[float]:
        """How long each ping took, in milliseconds."""
        self._ours.send("stop")
        times: list[float] = self._ours.recv()
        self._process.join(30)
        return times


def ping(port: int, root: Path, credential: Credential, pipe: "Connection[object, object]") -> None:
    """Connect, say so on `pipe`, send pings until it says stop, and give the times."""
    context = ssl.create_default_context(cafile=root)
    if credential.file:
        context.load_cert_chain(credential.file)
    raw = socket.create_connection(("127.0.0.1", port), 30)
    with context.wrap_socket(raw, server_hostname="127.0.0.1") as connection:
        connection.settimeout(120)
        name = (credential.id, credential.password.encode()) if credential.password else (None, None)
        hello = Connect(client_id=credential.id, keepalive_s=3600, username=name[0], password=name[1])
        connection.sendall(encode(hello, 4))
        assert connection.recv(4)[3] == 0, "the client that should be healthy was refused"
        pipe.send("connected")
        times: list[float] = []
        while not pipe.poll(PING_EVERY_S):
            began = time.monotonic()
            connection.sendall(b"\xc0\x00")
            assert connection.recv(2)
            times.append((time.monotonic() - began) * 1000)
        pipe.send(times)


# --- the devices -------------------------------------------------------------------------------------


def enroll(folder: Path, count: int, kind: str) -> list[Credential]:
    """`count` identities in a state directory of their own, made once."""
    list_file = folder / f"{kind}.json"
    if list_file.exists() and len(known := json.loads(list_file.read_text())) >= count:
        return [Credential(**one) for one in known[:count]]
    state = StateDirectory(folder / kind)
    prepare(state.root, Address("127.0.0.1", 0))
    made = []
    (folder / "keys").mkdir(exist_ok=True)
    with StateLock(state.root), open_identities(state) as identities:
        # Ten thousand times onto the disk is the disk's measure, not the storm's.
        identities.database.execute("PRAGMA synchronous = OFF")
        for number in range(count):
            name = f"{kind}-{number}"
            if kind == "password":
                secret = identities.registry.add_with_password(name, "device", now=time.time())
                made.append(Credential(name, password=secret.reveal().decode()))
            else:
                identities.registry.add(name, "device", now=time.time())
                issued = issue_device_certificate(
                    identities.authorities, identities.registry, name, now=time.time()
                )
                file = folder / "keys" / f"{name}.pem"
                file.write_bytes(issued.key_pem.reveal() + issued.chain_pem)
                made.append(Credential(name, file=str(file)))
    list_file.write_text(json.dumps([vars(one) for one in made]))
    return made


# --- the brokers -------------------------------------------------------------------------------------


@contextmanager
def bollard(state: Path) -> Iterator[tuple[int, int]]:
    """Our broker: port and process id."""
    command = [
        sys.executable,
        "-m",
        "bollard",
        "up",
        "--dir",
        str(state),
        "--host",
        "127.0.0.1",
        "--port",
        "0",
    ]
    with (
        open(state / "storm.log", "w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,  # noqa: S603
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield int(line.split()[1].rpartition(":")[2]), process.pid
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def mosquitto(
    state: Path, folder: Path, kind: str, credentials: list[Credential]
) -> Iterator[tuple[int, int]]:
    """Mosquitto with the certificates of `state`, and its own password file."""
    config = load_config(state / "bollard.toml")
    authorities = load_authorities(state)
    server = ensure_server_certificates(authorities, certificate_names(config), now=time.time())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    lines = [
        "user root",
        f"listener {port} 127.0.0.1",
        f"certfile {server.ecdsa_chain}",
        f"keyfile {server.ecdsa_key}",
        f"cafile {authorities.device_ca_file}",
        "allow_anonymous false",
    ]
    if kind == "certificate":
        lines += ["require_certificate true", "use_identity_as_username true"]
    else:
        passwords = folder / "mosquitto.passwords"
        passwords.write_text("".join(_mosquitto_line(one) for one in credentials))
        passwords.chmod(0o600)
        lines.append(f"password_file {passwords}")
    file = folder / "mosquitto.conf"
    file.write_text("\n".join(lines) + "\n")
    with (
        open(folder / "mosquitto.log", "w") as log,
        subprocess.Popen([MOSQUITTO, "-c", str(file)], stdout=log, stderr=log) as process,  # noqa: S603
    ):
        try:
            _wait_for(port)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(60)


def _mosquitto_line(one: Credential) -> str:
    """As mosquitto_passwd writes it: PBKDF2 with SHA-512 and 101 rounds."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", one.password.encode(), salt, 101)
    return f"{one.id}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


def _wait_for(port: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("mosquitto did not start")


# --- the run -----------------------------------------------------------------------------------------


def cpu_s(pid: int) -> float:
    """Processor time that a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def run(
    name: str, kind: str, folder: Path, known: list[Credential], patience_s: float, per_address: int
) -> Figures:
    """One storm on one broker. The last of `known` is connected before."""
    state, credentials = folder / kind, known[:-1]
    started = bollard(state) if name == "bollard" else mosquitto(state, folder, kind, known)
    figures = Figures(name, kind, len(credentials))
    with started as (port, pid):
        root = state / "ca" / "server-root.crt"
        storm = Storm(port, root, credentials, patience_s, per_address)
        healthy = Healthy(port, root, known[-1])
        before, own_before = cpu_s(pid), time.process_time()

        async def rage() -> None:
            await storm.rage(figures)
            figures.broker_cpu_s = cpu_s(pid) - before
            figures.broker_rss_mb = rss_mb(pid)
            figures.client_cpu_s = time.process_time() - own_before
            figures.ping_ms = healthy.stop()
            storm.calm()

        asyncio.run(rage())
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--kind", choices=("password", "certificate", "both"), default="both")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds that a device waits")
    parser.add_argument("--per-address", type=int, default=50, help="devices behind one address")
    parser.add_argument("--mosquitto", action="store_true", help="the same for Mosquitto")
    parser.add_argument("--keep", type=Path, help="keep the enrolled devices here")
    options = parser.parse_args()
    if options.mosquitto and not Path(MOSQUITTO).exists():
        parser.error("mosquitto is missing. Install it: apt install mosquitto")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        lacking = 0
        for kind in ("password", "certificate") if options.kind == "both" else (options.kind,):
            known = enroll(folder, options.devices + 1, kind)
            for name in ("bollard", "mosquitto") if options.mosquitto else ("bollard",):
                figures = run(name, kind, folder, known, options.patience, options.per_address)
                sys.stdout.write(json.dumps(figures.told()) + "\n")
                sys.stdout.flush()
                lacking += figures.devices - len(figures.waits_s)
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())

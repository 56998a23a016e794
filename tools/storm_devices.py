"""The devices of `storm.py`: how they are enrolled, how they connect, and one that was connected before."""

import asyncio
import json
import multiprocessing
import random
import socket
import ssl
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from commandline import CannotRun, tell, uninterrupted

from bollard.identity.authority import issue_device_certificate
from bollard.server.config import Address
from bollard.server.identities import Identities, open_identities
from bollard.server.state import StateDirectory, prepare
from bollard.store.database import StateLock
from bollard.wire.codec import encode
from bollard.wire.connect import Connect

#: How often the client that was connected before sends a ping.
PING_EVERY_S = 0.02
LONGEST_PAUSE_S = 5.0
#: How often progress is told.
TELL_EVERY_S = 2.0


@dataclass(frozen=True)
class Credential:
    """What one device connects with: a password, or a PEM file with key and chain."""

    id: str
    password: str = ""
    file: str = ""

    def hello(self) -> bytes:
        """Its CONNECT."""
        username, password = (self.id, self.password.encode()) if self.password else (None, None)
        return encode(Connect(client_id=self.id, keepalive_s=3600, username=username, password=password), 4)


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


# --- the storm ---------------------------------------------------------------------------------------


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
                self._tls.write(self._credential.hello())
            self._answer += self._tls.read(16)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._finish(f"TLS {error.reason}")
        self.transport.write(self._outgoing.read())
        if len(self._answer) >= 4:
            self._finish("" if self._answer[3] == 0 else f"CONNACK {self._answer[3]}")

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

    async def rage(self, figures: Figures, give_up_s: float) -> None:
        """Until everybody is in, or `give_up_s` have passed."""
        began = time.monotonic()
        telling = asyncio.create_task(self._tell(figures))
        try:
            async with asyncio.timeout(give_up_s):
                await asyncio.gather(
                    *(self._device(n, one, began, figures) for n, one in enumerate(self._credentials))
                )
        except TimeoutError:
            tell(f"{figures.broker}, {figures.kind}: given up after {give_up_s:g} s")
        finally:
            telling.cancel()
        figures.seconds = time.monotonic() - began

    async def _tell(self, figures: Figures) -> None:
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            connected = len(figures.waits_s)
            tell(f"{figures.broker}, {figures.kind}: {connected} of {figures.devices} devices are in")

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
        outcome = "broken off"
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
        finally:
            if outcome:
                if transport is not None:
                    transport.close()
                raw.close()
        if isinstance(transport, asyncio.Transport) and not outcome:
            self._open.append(transport)
        return outcome


# --- who was connected before ------------------------------------------------------------------------


@contextmanager
def healthy(port: int, root: Path, credential: Credential) -> Iterator["Healthy"]:
    """One client that is connected while the storm comes; in a process of its own, so that it measures the
    broker and not us. Raises CannotRun."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=ping, args=(port, root, credential, theirs), daemon=True)
    try:
        with uninterrupted():
            process.start()
        theirs.close()
        if not ours.poll(60) or ours.recv() != "connected":
            raise CannotRun("the client that should be connected before the storm got no answer")
        yield Healthy(ours)
    except EOFError:
        raise CannotRun("the client that should be connected before the storm has failed") from None
    finally:
        if process.pid is not None:
            process.terminate()
            process.join()


class Healthy:
    """Our end of `healthy`."""

    def __init__(self, pipe: "Connection[object, object]") -> None:
        self._pipe = pipe

    def stop(self) -> list[float]:
        """How long each ping took, in milliseconds."""
        self._pipe.send("stop")
        times = self._pipe.recv()
        assert isinstance(times, list)
        return times


def ping(port: int, root: Path, credential: Credential, pipe: "Connection[object, object]") -> None:
    """Connect, say so on `pipe`, send pings until it says stop, and give the times."""
    context = ssl.create_default_context(cafile=root)
    if credential.file:
        context.load_cert_chain(credential.file)
    raw = socket.create_connection(("127.0.0.1", port), 30)
    with context.wrap_socket(raw, server_hostname="127.0.0.1") as connection:
        connection.settimeout(120)
        connection.sendall(credential.hello())
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
    """`count` identities in a state directory of their own, made once. What is there when it breaks off is kept."""
    list_file = folder / f"{kind}.json"
    made = [Credential(**one) for one in json.loads(list_file.read_text())] if list_file.exists() else []
    if len(made) >= count:
        return made[:count]
    state = StateDirectory(folder / kind)
    prepare(state.root, Address("127.0.0.1", 0))
    (folder / "keys").mkdir(exist_ok=True)
    told_at = time.monotonic()
    with StateLock(state.root), open_identities(state) as identities:
        # Ten thousand times onto the disk is the disk's measure, not the storm's.
        identities.database.execute("PRAGMA synchronous = OFF")
        try:
            while len(made) < count:
                with uninterrupted():
                    made.append(_enroll(identities, f"{kind}-{len(made)}", folder / "keys", kind))
                if time.monotonic() - told_at > TELL_EVERY_S:
                    told_at = time.monotonic()
                    tell(f"enrolling: {len(made)} of {count} devices with a {kind}")
        finally:
            list_file.write_text(json.dumps([vars(one) for one in made]))
    return made


def _enroll(identities: Identities, name: str, keys: Path, kind: str) -> Credential:
    if kind == "password":
        secret = identities.registry.add_with_password(name, "device", now=time.time())
        return Credential(name, password=secret.reveal().decode())
    identities.registry.add(name, "device", now=time.time())
    issued = issue_device_certificate(identities.authorities, identities.registry, name, now=time.time())
    file = keys / f"{name}.pem"
    file.write_bytes(issued.key_pem.reveal() + issued.chain_pem)
    return Credential(name, file=str(file))

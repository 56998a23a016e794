"""Revocation, measured: devices connect, each is revoked, and all of them try to come back.

    python tools/revocation.py [--devices 100] [--cli] [--json]

Starts a broker in a directory of its own. Half of the devices use a password, half a certificate; every
third speaks 3.1.1. Each has a will, a subscription and a retained message. Then, one after the other, each
is revoked: the time runs from the moment the command is given to the moment the device sees its socket
closed. With --cli the command is `bollard devices revoke` as a user types it, the start of its process
included; else it is what that command sends to the broker. At last every device tries again, by a new
handshake and by resuming its TLS session.
"""

import argparse
import json
import queue
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bollard.server.ask import ask
from bollard.server.config import Config
from bollard.server.load import load_config
from bollard.server.requests import Changed, ChangeDevice, Enroll, Enrolled
from bollard.wire.codec import Packet, decode, encode
from bollard.wire.connect import Connack, Connect, Disconnect, Will
from bollard.wire.framer import Framer
from bollard.wire.properties import Properties
from bollard.wire.publish import Publish
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter

TIMEOUT_S = 20.0
START_TIMEOUT_S = 30.0


class Device:
    """One MQTT client over TLS, blocking and bare: it does only what it is told."""

    def __init__(self, enrolled: Enrolled, folder: Path, version: int) -> None:
        self.id = enrolled.id
        self.version = version
        self._port = enrolled.port
        self._username = enrolled.username or None
        self._password = enrolled.password.encode() if enrolled.password else None
        self._context = ssl.create_default_context(cadata=enrolled.root_pem)
        if enrolled.key_pem:
            file = folder / f"{enrolled.id}.pem"
            file.write_text(enrolled.key_pem + enrolled.chain_pem)
            self._context.load_cert_chain(file)
        self.session: ssl.SSLSession | None = None
        self.resumed: bool | None = False
        self.session_present = False
        self.closed_at = 0.0
        self.last_words: Packet | None = None
        self._framer = Framer(1_048_576)
        self._socket: ssl.SSLSocket | None = None
        self._watch: threading.Thread | None = None

    def connect(
        self, *, session: ssl.SSLSession | None = None, will: bool = True, expiry_s: int = 600
    ) -> int:
        """Connect and return the reason code of CONNACK; `session` is one to resume."""
        self.close()
        raw = socket.create_connection(("127.0.0.1", self._port), TIMEOUT_S)
        self._socket = self._context.wrap_socket(raw, server_hostname="127.0.0.1", session=session)
        self.resumed = self._socket.session_reused
        self._framer = Framer(1_048_576)
        properties = Properties(session_expiry_interval=expiry_s) if self.version == 5 else Properties()
        last = Will(f"devices/{self.id}/state", b"gone", properties=Properties()) if will else None
        self.send(
            Connect(
                version=self.version,
                clean_start=False,
                keepalive_s=3600,
                client_id=self.id,
                username=self._username,
                password=self._password,
                will=last,
                properties=properties,
            )
        )
        answer = self.receive()
        assert isinstance(answer, Connack), answer
        self.session = self._socket.session
        self.session_present = answer.session_present
        return answer.code

    def send(self, packet: Packet) -> None:
        assert self._socket is not None
        self._socket.sendall(encode(packet, self.version))

    def receive(self) -> Packet | None:
        """The next packet; None when the server has closed."""
        assert self._socket is not None
        while not self._framer.next():
            try:
                data = self._socket.recv(65_536)
            except OSError:
                return None
            if not data:
                return None
            self._framer.feed(data)
        framer = self._framer
        return decode(framer.buffer, framer.header, framer.body, framer.end, self.version)

    def subscribe(self, filter: str, qos: int = 0) -> list[bytes]:
        """Subscribe, and return the payloads that came before the acknowledgement."""
        self.send(Subscribe(1, (SubscribeFilter(filter, qos),), Properties()))
        early = []
        while not isinstance(answer := self.receive(), Suback):
            assert isinstance(answer, Publish), answer
            early.append(bytes(answer.payload))
        assert answer.codes[0] < 0x80, answer.codes
        return early

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> Packet | None:
        """Publish, and return the acknowledgement where there is one."""
        packet = Publish()
        packet.topic, packet.payload, packet.qos, packet.retain = topic.encode(), payload, qos, int(retain)
        packet.packet_id = 7 if qos else 0
        self.send(packet)
        return self.receive() if qos else None

    def watch(self) -> None:
        """From now on a thread notes when the socket is closed, and what was said last."""
        assert self._socket is not None
        self._socket.settimeout(None)
        self._watch = threading.Thread(target=self._until_closed, daemon=True)
        self._watch.start()

    def _until_closed(self) -> None:
        while (packet := self.receive()) is not None:
            self.last_words = packet
        self.closed_at = time.monotonic()

    def wait_closed(self, timeout_s: float = TIMEOUT_S) -> bool:
        assert self._watch is not None
        self._watch.join(timeout_s)
        return not self._watch.is_alive()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Broker:
    """`bollard up` in `folder`, as a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log: list[str] = []

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bollard", "up", "--dir", str(self.folder)]
        command += ["--host", "127.0.0.1", "--port", "0"]
        self.process = subprocess.Popen(  # noqa: S603  # a command of ours
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        ready: queue.Queue[str] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._drain, args=(self.process.stdout, ready), daemon=True),
            threading.Thread(target=self._drain, args=(self.process.stderr, None), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        if not ready.get(timeout=START_TIMEOUT_S).startswith("listening"):
            self.__exit__(None, None, None)
            raise SystemExit(f"the broker did not start: {self.log}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(20)
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    @property
    def config(self) -> Config:
        return load_config(self.folder / "bollard.toml")

    def _drain(self, stream: Any, ready: "queue.Queue[str] | None") -> None:
        first = True
        for line in stream:
            self.log.append(line)
            if first and ready is not None:
                ready.put(line)
            first = False
        if first and ready is not None:
            ready.put("")


@dataclass
class Figures:
    """What came out. `closed_ms` has the time from command to closed socket of each device."""

    devices: int
    closed_ms: list[float] = field(default_factory=list)
    told: int = 0
    wills: int = 0
    refused_anew: int = 0
    refused_resumed: int = 0
    resumed: int = 0
    audited: int = 0

    def quantile_ms(self, share: float) -> float:
        ordered = sorted(self.closed_ms)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]

    def summary(self) -> dict[str, float]:
        return {
            "devices": self.devices,
            "closed": len(self.closed_ms),
            "median_ms": round(statistics.median(self.closed_ms), 2),
            "p99_ms": round(self.quantile_ms(0.99), 2),
            "max_ms": round(max(self.closed_ms), 2),
            "told_0x98": self.told,
            "wills_published": self.wills,
            "resumed_tls": self.resumed,
            "refused_after_new_handshake": self.refused_anew,
            "refused_after_resumption": self.refused_resumed,
            "audited": self.audited,
        }


@contextmanager
def fleet(broker: Broker, folder: Path, count: int) -> Iterator[list[Device]]:
    """`count` enrolled and connected devices, each with a will, a subscription and a retained message."""
    devices = []
    for number in range(count):
        kind = "certificate" if number % 2 else "password"
        enrolled = ask(broker.config, Enroll(f"device-{number}", kind))  # type: ignore[arg-type]
        assert isinstance(enrolled, Enrolled)
        devices.append(Device(enrolled, folder, 4 if number % 3 == 2 else 5))
    try:
        for device in devices:
            assert device.connect() == 0
            device.subscribe(f"devices/{device.id}/cmd/#")
            device.publish(f"devices/{device.id}/state", b"on", qos=1, retain=True)
            # The ticket of TLS 1.3 came with what was read; this is the session to resume.
            device.session = device._socket.session if device._socket else None
            device.watch()
        yield devices
    finally:
        for device in devices:
            device.close()


def revoke(broker: Broker, device: Device, *, cli: bool) -> float:
    """Revoke one device; milliseconds from the command to its closed socket."""
    if device.closed_at:
        raise SystemExit(f"{device.id} was disconnected before it was revoked: {device.last_words}")
    began = time.monotonic()
    if cli:
        command = [
            sys.executable,
            "-m",
            "bollard",
            "devices",
            "revoke",
            device.id,
            "--dir",
            str(broker.folder),
        ]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603  # a command of ours
    else:
        changed = ask(broker.config, ChangeDevice(device.id, "revoked"))
        assert isinstance(changed, Changed)
    if not device.wait_closed():
        raise SystemExit(f"{device.id} is still connected")
    return (device.closed_at - began) * 1000


def measure(folder: Path, count: int, *, cli: bool = False) -> Figures:
    """The whole scene in `folder`."""
    figures = Figures(count)
    with Broker(folder / "state") as broker:
        watcher_of_wills = ask(broker.config, Enroll("observer", "password", "app"))
        assert isinstance(watcher_of_wills, Enrolled)
        observer = Device(watcher_of_wills, folder, 5)
        with fleet(broker, folder, count) as devices:
            assert observer.connect(will=False) == 0
            observer.subscribe("devices/+/state")
            for device in devices:
                figures.closed_ms.append(revoke(broker, device, cli=cli))
                if isinstance(device.last_words, Disconnect) and device.last_words.code == 0x98:
                    figures.told += 1
            for device in devices:
                come_back(device, figures)
            observer.send(Subscribe(2, (SubscribeFilter("devices/observer/x", 0),), Properties()))
            while isinstance(heard := observer.receive(), Publish):
                figures.wills += heard.payload == b"gone"
            observer.close()
        figures.audited = sum("identity.ended" in line for line in broker.log)
    return figures


def come_back(device: Device, figures: Figures) -> None:
    """Try both ways of a handshake, and count the refusals."""
    device.close()
    figures.refused_resumed += device.connect(session=device.session) != 0
    figures.resumed += bool(device.resumed)
    device.close()
    figures.refused_anew += device.connect() != 0
    device.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--cli", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), options.devices, cli=options.cli)
    told = figures.summary()
    lines = (
        json.dumps(told) if options.json else "\n".join(f"{key:30} {value}" for key, value in told.items())
    )
    sys.stdout.write(lines + "\n")
    back = 2 * figures.devices - figures.refused_anew - figures.refused_resumed
    return 1 if back or figures.wills or figures.quantile_ms(0.99) >= 1000 else 0


if __name__ == "__main__":
    sys.exit(main())

"""The whole broker on a small file system of its own: full, read-only, and well again."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from bollard.wire.codec import Packet, decode, encode
from bollard.wire.connect import Connack, Connect
from bollard.wire.framer import Framer
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack, Publish, encode_publish
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter

FULL = 0x97
ROOM_BYTES = 3_000_000
LARGE = b"x" * 50_000

CONFIG = """\
policy = "policy.toml"
sys_interval_s = 0
[[listener]]
bind = "127.0.0.1:{port}"
allow_plaintext = true
allow_anonymous = true
"""
POLICY = """\
version = 1
[grant.everything]
who = "anonymous"
publish = ["#"]
subscribe = ["#"]
retain = ["#"]
"""


def mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode == 0


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """A state directory on a file system of a few megabytes."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0 or not mount(
        "-t", "tmpfs", "-o", f"size={ROOM_BYTES},mode=0700", "none", str(place)
    ):
        pytest.skip("only the super-user can mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


class Daemon:
    """`bollard serve` in `room`, on a port of its own."""

    def __init__(self, room: Path, more: str = "") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        (room / "policy.toml").write_text(POLICY)
        (room / "bollard.toml").write_text(CONFIG.format(port=self.port) + more)
        self.log = room.parent / "log"
        command = [sys.executable, "-m", "bollard", "serve", "--config", str(room / "bollard.toml")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._listens, 30)

    def _listens(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def stop(self, *, kill: bool = False) -> None:
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def daemon(room: Path) -> Iterator[Daemon]:
    running = Daemon(room)
    yield running
    running.stop(kill=True)


def wait_until(holds: object, within_s: float) -> None:
    end = time.monotonic() + within_s
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


class Client:
    """Sends a packet and waits for one of a kind."""

    def __init__(self, port: int, name: str, version: int = 5, *, keep: bool = False) -> None:
        self.version = version
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self._framer = Framer(10_000_000)
        expiry = Properties(session_expiry_interval=1000) if version == 5 and keep else Properties()
        self.send(Connect(version=version, clean_start=not keep, client_id=name, properties=expiry))
        self.connack = self.wait(Connack)

    def send(self, packet: Packet | bytes) -> None:
        self.socket.sendall(packet if isinstance(packet, bytes) else encode(packet, self.version))

    def wait(self, kind: type) -> Packet | None:
        """The next packet of `kind`; None if the broker hangs up."""
        framer = self._framer
        while True:
            while framer.next():
                packet = decode(framer.buffer, framer.header, framer.body, framer.end, self.version)
                if isinstance(packet, kind):
                    return packet
            try:
                data = self.socket.recv(65_536)
            except ConnectionError:
                return None
            if not data:
                return None
            framer.feed(data)

    def publish(self, topic: str, payload: bytes, packet_id: int = 1) -> int | None:
        """The reason code of PUBACK; None if the broker hangs up instead."""
        self.send(encode_publish(topic.encode(), payload, qos=1, packet_id=packet_id, version=self.version))
        ack = self.wait(Ack)
        return ack.reason_code if isinstance(ack, Ack) else None

    def subscribe(self, filter: str) -> None:
        self.send(Subscribe(1, (SubscribeFilter(filter, 1),), Properties()))
        assert isinstance(self.wait(Suback), Suback)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def fill(room: Path) -> Path:
    """Take all the space that is left."""
    ballast = room / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as handle:
        while True:
            handle.write(b"\0" * 65_536)
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as handle:
        while True:
            handle.write(b"\0")
    return ballast


def offline_subscriber(port: int) -> None:
    with Client(port, "kept", keep=True) as client:
        client.subscribe("kept/#")


def drained(port: int, count: int) -> int:
    """How many of `count` messages the kept session gives up."""
    with Client(port, "kept", keep=True) as client:
        for found in range(count):
            message = client.wait(Publish)
            if not isinstance(message, Publish):
                return found
            client.send(Ack(4, message.packet_id))
    return count


def answer(port: int, topic: str, payload: bytes, version: int = 5) -> int | None:
    """What a new publisher is told: the reason code of PUBACK, None if the broker hangs up."""
    with Client(port, "probe", version) as client:
        return client.publish(topic, payload)


@pytest.mark.root
@pytest.mark.slow
def test_a_full_disk_refuses_who_needs_it_and_recovers(room: Path, daemon: Daemon) -> None:
    offline_subscriber(daemon.port)
    assert answer(daemon.port, "kept/a", b"before") == 0
    ballast = fill(room)
    # The first that meets the full disk waits for it and is let go; who comes then is refused at once.
    assert answer(daemon.port, "kept/a", LARGE) in (None, FULL)
    assert answer(daemon.port, "kept/a", LARGE) == FULL
    assert answer(daemon.port, "kept/a", b"x", 4) is None
    with Client(daemon.port, "other") as other:
        other.subscribe("free")
        assert answer(daemon.port, "free", b"still here") in (0, 0x10)
        assert isinstance(other.wait(Publish), Publish)
    assert "store failing" in daemon.log.read_text()
    ballast.unlink()
    wait_until(lambda: "store recovered" in daemon.log.read_text(), 20)
    assert answer(daemon.port, "kept/a", b"after") == 0
    daemon.stop(kill=True)
    again = Daemon(room)
    # Before, the one that was accepted and let go without an answer, and after.
    assert drained(again.port, 3) == 3
    again.stop()


@pytest.mark.root
@pytest.mark.slow
def test_a_read_only_store_is_a_full_one(room: Path, daemon: Daemon) -> None:
    offline_subscriber(daemon.port)
    assert answer(daemon.port, "kept/a", b"before") == 0
    daemon.stop()
    if not mount("-o", "remount,ro", str(room)):
        pytest.skip("this system does not remount")
    command = [sys.executable, "-m", "bollard", "serve", "--config", str(room / "bollard.toml")]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert refused.returncode == 2
    assert "Read-only" in refused.stderr
    assert mount("-o", "remount,rw", str(room))
    again = Daemon(room)
    assert drained(again.port, 1) == 1
    again.stop()


@pytest.mark.slow
def test_the_bound_of_the_store_works_as_a_full_disk_does(tmp_path: Path) -> None:
    room = tmp_path / "state"
    room.mkdir(mode=0o700)
    daemon = Daemon(room, '[store]\nmax_store_bytes = "1MiB"\n')
    try:
        offline_subscriber(daemon.port)
        taken = 0
        while answer(daemon.port, "kept/a", LARGE) == 0:
            taken += 1
        assert 5 < taken < 25
        assert answer(daemon.port, "kept/a", LARGE) == FULL
        # The reader makes room, and everything goes on.
        assert drained(daemon.port, taken) == taken
        wait_until(lambda: answer(daemon.port, "kept/a", b"small") == 0, 20)
    finally:
        daemon.stop()

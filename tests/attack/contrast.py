"""Brokers that an attack of test_contrast.py is tried on, with and without the defence.

    Ours        `bollard up`, over sockets, with its registry and its policy
    Mosquitto   Debian's, over sockets, with password file, ACL file and revocation list
    Memory      our engine with an authorizer of the test's: a switch that turns one defence off

All know the same people, by name; each gets a client by `open`.
"""

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from bollard.base.authentication import Accepted
from bollard.base.types import Action, Decision, Principal
from bollard.identity.serving import ensure_server_certificates
from bollard.server.advertise import certificate_names
from bollard.server.config import Address, Config
from bollard.server.control import Control
from bollard.server.control_socket import ask_socket
from bollard.server.identities import open_identities
from bollard.server.load import load_config
from bollard.server.requests import ChangeDevice, Enroll, Enrolled, Reload
from bollard.server.state import StateDirectory, prepare
from bollard.store.database import StateLock
from bollard.wire.codec import Packet, decode, encode
from bollard.wire.connect import Connack, Connect, Pingreq, Pingresp
from bollard.wire.framer import Framer
from bollard.wire.publish import Publish
from bollard.wire.topics import matches
from cli.daemon import Daemon
from support.memory import Device, House

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
#: Everybody may do everything in here.
SHARED = "plant/#"


class Client(Protocol):
    """One client that was let in. `connack` is what it was told then."""

    connack: Connack | None

    def send(self, *packets: Packet | bytes) -> None: ...

    def drop(self) -> None:
        """The network breaks, without a DISCONNECT."""
        ...

    def messages(self) -> list[Publish]:
        """What has come since the last look; after everything that was sent before on this broker."""
        ...

    @property
    def alive(self) -> bool: ...


class Target(Protocol):
    """A broker. `patience_s` is for how long it is waited for what the attack wants to see."""

    patience_s: float

    def open(self, name: str, packet: Connect, *, certificate: bool = False) -> Client:
        """A client with the credential of `name`: its password, or its certificate."""
        ...

    def revoke(self, name: str) -> None:
        """The credential of `name` ends, as this broker's documentation says it is done."""
        ...

    def forbid(self, name: str) -> None:
        """`name` loses the right to publish; its credential stays."""
        ...


class SocketClient:
    """Over TCP or TLS, blocking."""

    def __init__(self, connection: socket.socket, packet: Connect) -> None:
        connection.settimeout(10)
        self._socket = connection
        self._version = packet.version
        self._framer = Framer(2**20)
        self._packets: list[Packet] = []
        self.alive = True
        self.connack: Connack | None = None
        self.send(packet)
        self._read_until(Connack)
        self.connack = next((p for p in self._packets if isinstance(p, Connack)), None)

    def send(self, *packets: Packet | bytes) -> None:
        data = b"".join(p if isinstance(p, bytes) else encode(p, self._version) for p in packets)
        with contextlib.suppress(OSError):
            self._socket.sendall(data)

    def messages(self) -> list[Publish]:
        self.send(Pingreq())
        self._read_until(Pingresp)
        found, self._packets = self._packets, []
        return [packet for packet in found if isinstance(packet, Publish)]

    def drop(self) -> None:
        self._socket.close()

    def _read_until(self, kind: type[Packet]) -> None:
        while self.alive:
            while self._framer.next():
                framer = self._framer
                packet = decode(framer.buffer, framer.header, framer.body, framer.end, self._version)
                self._packets.append(packet)
                if isinstance(packet, kind):
                    return
            try:
                data = self._socket.recv(65_536)
            except OSError:
                data = b""
            self.alive = bool(data)
            self._framer.feed(data)


class _Sockets:
    """What both brokers over sockets have in common."""

    patience_s = 0.0

    def __init__(self) -> None:
        self._clients: list[SocketClient] = []

    def _connect(self, port: int, packet: Connect, context: ssl.SSLContext | None) -> SocketClient:
        connection = socket.create_connection(("127.0.0.1", port), 10)
        if context is not None:
            connection = context.wrap_socket(connection, server_hostname="127.0.0.1")
        self._clients.append(SocketClient(connection, packet))
        return self._clients[-1]

    def close(self) -> None:
        for client in self._clients:
            client.drop()


def _tls(root: Path, keys: Path, enrolled: Enrolled) -> ssl.SSLContext:
    keys.write_text(enrolled.key_pem + enrolled.chain_pem)
    context = ssl.create_default_context(cafile=str(root))
    context.load_cert_chain(keys)
    return context


class Ours(_Sockets):
    """`bollard up` on a directory of the test's."""

    patience_s = 0.4

    def __init__(
        self, directory: Path, daemon: Daemon, config: Config, credentials: dict[str, Enrolled]
    ) -> None:
        super().__init__()
        self._directory = directory
        self._daemon = daemon
        self._config = config
        self._socket = StateDirectory(config.state_dir).control_socket
        self._credentials = credentials
        self._forbidden: set[str] = set()

    def open(self, name: str, packet: Connect, *, certificate: bool = False) -> Client:
        known = self._credentials[name]
        if certificate:
            root = self._daemon.ca_file
            return self._connect(
                self._daemon.port, packet, _tls(root, self._directory / f"{name}.pem", known)
            )
        packet.username, packet.password = name, known.password.encode()
        return self._connect(
            self._daemon.port, packet, ssl.create_default_context(cafile=str(self._daemon.ca_file))
        )

    def revoke(self, name: str) -> None:
        assert ask_socket(self._socket, ChangeDevice(name, "revoked")) is not None

    def forbid(self, name: str) -> None:
        self._forbidden.add(name)
        self._config.policy.write_text(policy(self._forbidden))
        assert ask_socket(self._socket, Reload()) is not None


def policy(forbidden: set[str]) -> str:
    rights = "\n".join(f'{right} = ["{SHARED}", "devices/${{id}}/#"]' for right in _RIGHTS)
    denials = "".join(f'[deny.{name}]\nwho = "{name}"\npublish = ["#"]\n' for name in sorted(forbidden))
    return f"version = 1\n[template.device]\n{rights}\n{denials}"


_RIGHTS = ("publish", "subscribe", "retain", "will")


@contextlib.contextmanager
def ours(directory: Path, names: dict[str, str]) -> Iterator[Ours]:
    """Our broker with everybody of `names` enrolled: name to "password" or "certificate"."""
    prepare(directory, Address("127.0.0.1", 0))
    config = load_config(directory / "bollard.toml")
    config.policy.write_text(policy(set()))
    credentials = enroll(config, names)
    with Daemon(directory) as daemon:
        target = Ours(directory, daemon, config, credentials)
        try:
            yield target
        finally:
            target.close()


def enroll(config: Config, names: dict[str, str]) -> dict[str, Enrolled]:
    """Everybody of `names` in the registry, while no broker runs."""
    state = StateDirectory(config.state_dir)
    made = {}
    with StateLock(state.root), open_identities(state) as identities:
        control = Control(config, identities.registry, identities.authorities)
        for name, kind in names.items():
            made[name] = control.enroll(Enroll(name, "certificate" if kind == "certificate" else "password"))
    return made


class Mosquitto(_Sockets):
    """Debian's broker. The certificates are ours, and the revocation list is the one that we publish."""

    patience_s = 5.0

    def __init__(self, folder: Path, config: Config, names: dict[str, str]) -> None:
        super().__init__()
        self._folder = folder
        self._config = config
        self._credentials = enroll(config, names)
        self._names = names
        self._revoked: set[str] = set()
        self._forbidden: set[str] = set()
        self.port, self.tls_port = _free_port(), _free_port()
        self._root = StateDirectory(config.state_dir).root / "ca" / "server-root.crt"
        self._log = folder / "mosquitto.log"
        self._write_files()
        self._write_config()

    def open(self, name: str, packet: Connect, *, certificate: bool = False) -> Client:
        known = self._credentials[name]
        if certificate:
            return self._connect(self.tls_port, packet, _tls(self._root, self._folder / f"{name}.pem", known))
        packet.username, packet.password = name, known.password.encode()
        return self._connect(self.port, packet, None)

    def revoke(self, name: str) -> None:
        self._revoked.add(name)
        state = StateDirectory(self._config.state_dir)
        with StateLock(state.root), open_identities(state) as identities:
            Control(self._config, identities.registry, identities.authorities).handle(
                ChangeDevice(name, "revoked")
            )
        self._write_files()
        self.reload()

    def forbid(self, name: str) -> None:
        self._forbidden.add(name)
        self._write_files()
        self.reload()

    def reload(self) -> None:
        before = self._log.read_text().count("Reloading config")
        os.kill(self.process.pid, signal.SIGHUP)
        _wait(lambda: self._log.read_text().count("Reloading config") > before)

    def _write_files(self) -> None:
        state = StateDirectory(self._config.state_dir)
        with StateLock(state.root), open_identities(state) as identities:
            Control(self._config, identities.registry, identities.authorities).publish_crl()
        passwords = self._folder / "passwords"
        passwords.write_text(
            "".join(
                f"{name}:{known.password}\n"
                for name, known in self._credentials.items()
                if known.password and name not in self._revoked
            )
        )
        passwords.chmod(0o600)
        subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True)
        acl = self._folder / "acl"
        acl.write_text(
            "".join(
                f"user {name}\ntopic {'read' if name in self._forbidden else 'readwrite'} {SHARED}\n"
                for name in self._names
            )
            + "pattern readwrite devices/%u/#\n"
        )
        acl.chmod(0o600)

    def _write_config(self) -> None:
        state = StateDirectory(self._config.state_dir)
        with StateLock(state.root), open_identities(state) as identities:
            authorities = identities.authorities
            server = ensure_server_certificates(authorities, certificate_names(self._config), now=time.time())
        (self._folder / "mosquitto.conf").write_text(
            "\n".join(
                [
                    "user root",
                    "per_listener_settings false",
                    f"password_file {self._folder}/passwords",
                    f"acl_file {self._folder}/acl",
                    "allow_anonymous false",
                    "log_type all",
                    f"listener {self.port} 127.0.0.1",
                    f"listener {self.tls_port} 127.0.0.1",
                    f"certfile {server.ecdsa_chain}",
                    f"keyfile {server.ecdsa_key}",
                    f"cafile {authorities.device_ca_file}",
                    f"crlfile {authorities.crl_file}",
                    "require_certificate true",
                    "use_identity_as_username true",
                ]
            )
            + "\n"
        )

    def start(self) -> None:
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [MOSQUITTO, "-c", str(self._folder / "mosquitto.conf")], stdout=log, stderr=log
            )
        _wait(lambda: _listens(self.port) and _listens(self.tls_port))

    def stop(self) -> None:
        self.close()
        self.process.terminate()
        self.process.wait(10)


@contextlib.contextmanager
def mosquitto(directory: Path, names: dict[str, str]) -> Iterator[Mosquitto]:
    """Mosquitto with everybody of `names`."""
    prepare(directory / "state", Address("127.0.0.1", 0))
    target = Mosquitto(directory, load_config(directory / "state" / "bollard.toml"), names)
    target.start()
    try:
        yield target
    finally:
        target.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, "mosquitto did not come so far"
        time.sleep(0.02)


# --- our engine with a defence turned off -----------------------------------------------------------


class AskedOnce:
    """The switch: a right is asked for the first time that it is used, and then taken for granted."""

    def __init__(self) -> None:
        self._granted: dict[tuple[Principal, Action, str], Decision] = {}
        self.forbidden: set[Principal] = set()

    def decide(self, principal: Principal, action: Action, topic: str) -> Decision:
        known = self._granted.get((principal, action, topic))
        if known is None:
            allowed = principal not in self.forbidden or action is not Action.PUBLISH
            known = self._granted[principal, action, topic] = Decision(allowed, "test", "asked once")
        return known


class ByString:
    """The switch: the name goes into the pattern as text, and is compared as a part of a filter."""

    def __init__(self) -> None:
        self.forbidden: set[Principal] = set()

    def decide(self, principal: Principal, action: Action, topic: str) -> Decision:
        pattern = f"devices/{principal}/#"
        return Decision(topic == pattern or matches(pattern, topic), "test", "by string")


class Memory:
    """Our engine in memory. It takes everybody, under the name or, `by_client_id`, the client identifier."""

    patience_s = 0.0

    def __init__(self, authorizer: AskedOnce | ByString, *, by_client_id: bool = False) -> None:
        self._authorizer = authorizer
        self._house = House(
            authorizer=authorizer,
            answerer=lambda asked: Accepted(asked.client_id if by_client_id else asked.username or ""),
        )

    def open(self, name: str, packet: Connect, *, certificate: bool = False) -> Client:
        packet.username = name
        device = self._house.open(packet.version)
        device.send(packet)
        device.connack = device.one(Connack)
        return _InMemory(device)

    def revoke(self, name: str) -> None:
        self.forbid(name)

    def forbid(self, name: str) -> None:
        self._authorizer.forbidden.add(name)
        self._house.broker.set_authorizer(self._authorizer, self._house.now)
        self._house.settle()


class _InMemory:
    """A `Client` of `Memory`."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.connack = device.connack
        self.send = device.send
        self.drop = device.drop
        self.messages = device.messages

    @property
    def alive(self) -> bool:
        return not self._device.closed

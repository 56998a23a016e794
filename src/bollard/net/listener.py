"""One listening socket, or one per address of a name: bind, accept, stop.

What a connection may do is in the `Door` that its streams get; how many there may be, in the pump's gate.
"""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from bollard.base.errors import LocalError
from bollard.base.events import ServerWarning
from bollard.net.poller import Acceptor
from bollard.net.pump import Pump
from bollard.net.stream import Door, PlainStream, Stream
from bollard.net.tlsstream import TlsStream

BACKLOG = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSettings:
    """What one listener is. Without `allow_plaintext` TCP is TLS.

    `path` is a Unix socket, made with the rights `mode`; then `host` and `port` do not count. `port` 0
    takes a free one. `websocket` expects MQTT in frames, from browsers only on pages of `origins`.
    `allow_plaintext_from` are networks beside loopback whose peers may speak without TLS.
    `name` is what events call it; "" for a name made of transport and address.
    """

    host: str = ""
    port: int = 0
    path: Path | None = None
    mode: int = 0o600
    websocket: bool = False
    origins: tuple[str, ...] = ()
    allow_plaintext: bool = False
    allow_plaintext_from: tuple[IPv4Network | IPv6Network, ...] = ()
    allow_anonymous: bool = False
    name: str = ""

    @property
    def transport(self) -> str:
        """What `Peer.transport` will say."""
        if self.path is not None:
            return "unix-websocket" if self.websocket else "unix"
        if self.allow_plaintext:
            return "plaintext-websocket" if self.websocket else "plaintext"
        return "websocket" if self.websocket else "tls"


class Listener:
    """Accepts connections for `pump` once `start` has returned.

    `context` is required unless the settings are for plaintext or a Unix socket; giving one for those is
    an error, so that nobody believes in encryption that is not there.
    """

    __slots__ = ("_acceptors", "_door", "_inode", "_pump", "addresses", "settings")

    def __init__(self, settings: ListenerSettings, pump: Pump, context: ssl.SSLContext | None = None) -> None:
        plaintext = settings.allow_plaintext or settings.path is not None
        if plaintext == (context is not None):
            raise LocalError(f"Listener {settings.name}: TLS needs a context, plaintext must not have one.")
        self.settings = settings
        self.addresses: list[str] = []
        self._pump = pump
        self._acceptors: list[Acceptor] = []
        self._inode: tuple[int, int] | None = None
        self._door = Door(
            name=settings.name
            or f"{settings.transport} {settings.path or place(settings.host, settings.port)}",
            transport=settings.transport,
            context=context,
            websocket=settings.websocket,
            origins=settings.origins,
            plaintext_from=settings.allow_plaintext_from,
            allow_anonymous=settings.allow_anonymous,
        )

    @property
    def port(self) -> int:
        """The TCP port that is bound; 0 for a Unix socket or before `start`."""
        names = [acceptor.sock.getsockname() for acceptor in self._acceptors]
        return next((name[1] for name in names if isinstance(name, tuple)), 0)

    async def start(self) -> None:
        """Bind and accept. Raises LocalError with what to do about it; then nothing is bound."""
        try:
            sockets = await self._bind()
        except OSError as error:
            raise self._explain(error) from error
        for sock in sockets:
            pump = self._pump
            self._acceptors.append(Acceptor(pump.poller, pump.loop, sock, self._make_stream, self._warn))
            self.addresses.append(self._address_of(sock))

    async def stop(self) -> None:
        """Accept no more. Connections live on until the pump stops."""
        for acceptor in self._acceptors:
            acceptor.close()
        self._acceptors.clear()
        if self._inode is not None and self.settings.path is not None:
            remove_if_ours(self.settings.path, self._inode)
            self._inode = None
        await asyncio.sleep(0)

    def _make_stream(self) -> Stream:
        door = self._door
        return PlainStream(self._pump, door) if door.context is None else TlsStream(self._pump, door)

    def _warn(self, problem: str) -> None:
        self._pump.emit(ServerWarning("no connection can be accepted", problem))

    def _address_of(self, sock: socket.socket) -> str:
        return (
            f"unix:{self.settings.path}" if sock.family == socket.AF_UNIX else place(*sock.getsockname()[:2])
        )

    async def _bind(self) -> list[socket.socket]:
        settings = self.settings
        if settings.path is not None:
            sock = bind_unix(settings.path, settings.mode)
            status = settings.path.lstat()
            self._inode = (status.st_dev, status.st_ino)
            return [sock]
        found = await asyncio.get_running_loop().getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        addresses = list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
        return bind_tcp(addresses, settings.port)

    def _explain(self, error: OSError) -> LocalError:
        settings = self.settings
        where = str(settings.path) if settings.path is not None else place(settings.host, settings.port)
        if error.errno == errno.EADDRINUSE:
            return LocalError(
                f"Cannot listen on {where}: another process has this address.",
                "Stop that process (see `ss -ltnp`), or choose another port with --port or `bind`.",
            )
        if error.errno in (errno.EACCES, errno.EPERM):
            remedy = (
                "Ports below 1024 need a privilege: choose 8883, or grant CAP_NET_BIND_SERVICE."
                if settings.path is None
                else "Choose a directory that this user may write."
            )
            return LocalError(f"Cannot listen on {where}: no right to.", remedy)
        if error.errno == errno.EADDRNOTAVAIL:
            return LocalError(
                f"Cannot listen on {where}: this machine does not have that address.",
                "See `ip address` for those that it has; 0.0.0.0 means all of them.",
            )
        if isinstance(error, socket.gaierror):
            return LocalError(
                f"Cannot listen on {where}: the name is unknown.", "Use an address of this machine."
            )
        return LocalError(f"Cannot listen on {where}: {os.strerror(error.errno or 0)}.", "Correct `bind`.")


def place(host: str, port: int) -> str:
    """Host and port as people write them, IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind_tcp(addresses: Sequence[tuple[int, str]], port: int) -> list[socket.socket]:
    """A listening socket per (family, address), all on one port also when `port` is 0. Raises OSError."""
    sockets: list[socket.socket] = []
    try:
        for family, address in addresses:
            sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            sockets.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # What is accepted inherits that Nagle's algorithm is off.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if family == socket.AF_INET6:
                # "::" serves IPv4 too, unless 0.0.0.0 is bound beside it.
                alone = address == "::" and len(addresses) == 1
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if alone else 1)
            sock.bind((address, port))
            sock.listen(BACKLOG)
            port = sock.getsockname()[1]
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def bind_unix(path: Path, mode: int) -> socket.socket:
    """A bound Unix socket at `path` with the rights `mode`; a socket nobody listens on is replaced.

    Raises OSError; EADDRINUSE when a process listens there or the file is not a socket.
    """
    _clear_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # Before bind: the file must never exist with wider rights, not even for a moment.
        os.fchmod(sock.fileno(), mode & 0o600)
        sock.bind(str(path))
        path.chmod(mode)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _clear_stale(path: Path) -> None:
    """Remove a socket file whose process has died."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise OSError(errno.EADDRINUSE, "the file exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise OSError(errno.EADDRINUSE, "a process listens there")


def remove_if_ours(path: Path, inode: tuple[int, int]) -> None:
    """Unlink `path` unless another process has put its own socket there meanwhile."""
    with contextlib.suppress(OSError):
        status = path.lstat()
        if (status.st_dev, status.st_ino) == inode:
            path.unlink()

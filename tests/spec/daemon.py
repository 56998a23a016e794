"""A daemon as a `Broker` of conversations: the same engine behind a plaintext listener on loopback."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Coroutine
from typing import Any

from bollard.base.authentication import Authenticator
from bollard.base.events import Event, ServerWarning
from bollard.engine.broker import Broker as Engine
from bollard.engine.limits import Limits
from bollard.engine.ports import Authorizer
from bollard.net.listener import Listener, ListenerSettings
from bollard.net.pump import Pump

from .conversation import Broker
from .doors import Counting

PATIENCE_S = 5.0


class SocketLink:
    """A TCP connection to the daemon."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.port: int = self.socket.getsockname()[1]
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ended = False

    def write(self, data: bytes) -> None:
        if not self.ended:
            with contextlib.suppress(ConnectionError):
                self.socket.sendall(data)

    def read(self, wait: bool) -> bytes:
        if self.ended:
            return b""
        self.socket.settimeout(PATIENCE_S if wait else 0)
        try:
            data = self.socket.recv(1 << 16)
        except (BlockingIOError, TimeoutError):
            return b""
        except ConnectionError:
            data = b""
        if not data:
            self.ended = True
            self.socket.close()
        return data

    def at_end(self) -> bool:
        if not self.ended:
            unread = self.read(wait=True)
            assert not unread, f"unread: {unread.hex(' ')}"
        return self.ended

    def drop(self) -> None:
        """Reset, as a broken network does; the broker sees no DISCONNECT."""
        if not self.ended:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.socket.close()
            self.ended = True


class DaemonBroker(Broker):
    def __init__(
        self, limits: Limits, authorizer: Authorizer, authenticator: Authenticator, websocket: bool = False
    ) -> None:
        super().__init__()
        self.websocket = websocket
        self.parts = (limits, authorizer, authenticator)
        self.links: list[SocketLink] = []
        self.warnings: list[ServerWarning] = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.pump, self.listener = self._run(self._start())

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    async def _start(self) -> tuple[Pump, Listener]:
        limits, authorizer, authenticator = self.parts
        engine = Engine(
            limits=limits, authorizer=authorizer, entropy=Counting(), now=asyncio.get_running_loop().time()
        )
        pump = Pump(engine, authenticator, self._observe)
        settings = ListenerSettings(
            host="127.0.0.1", allow_plaintext=True, allow_anonymous=True, websocket=self.websocket
        )
        listener = Listener(settings, pump)
        await listener.start()
        return pump, listener

    def _observe(self, event: Event) -> None:
        if isinstance(event, ServerWarning):
            self.warnings.append(event)

    async def _stop(self) -> None:
        await self.listener.stop()
        await self.pump.stop(0.2)

    def stop(self) -> None:
        """End the daemon. What it warned of was a fault of ours, so it fails the test."""
        for link in self.links:
            link.drop()
        self._run(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE_S)
        self.loop.close()
        assert not self.warnings, "\n".join(warning.detail for warning in self.warnings)

    def dial(self) -> SocketLink:
        self.links.append(SocketLink(self.listener.port))
        return self.links[-1]

    async def _known(self, ports: set[int]) -> bool:
        owners = [connection.owner for connection in self.pump.broker.connections()]
        return any(getattr(owner, "port", 0) in ports for owner in owners)

    def settle(self) -> None:
        """Every living client has an answer to a ping, so whatever was sent or dropped before is dealt with."""
        gone = {link.port for link in self.links if link.ended}
        end = time.monotonic() + PATIENCE_S
        while self._run(self._known(gone)):
            assert time.monotonic() < end, "the broker did not notice that a connection was dropped"
            time.sleep(0.001)
        for client in self.clients:
            if client.live:
                client.barrier()

"""Transports: TCP, TLS, Unix socket and WebSocket, all seen as one `Link` that carries bytes.

Nothing here knows MQTT. A link calls back with what arrived and, exactly once, when it is gone.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from websockets.client import ClientProtocol as WebSocketProtocol
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from bollard.base.errors import LocalError
from bollard.client.errors import ConnectFailed

#: How long a TLS or WebSocket goodbye may take before the transport is cut.
CLOSE_S = 2.0
#: Bytes that wait for the kernel before `drain` makes a publisher wait.
HIGH_WATER = 262_144


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the server is, and how it is reached. `unix_path` replaces host and port."""

    host: str = ""
    port: int = 0
    unix_path: str = ""
    websocket: bool = False
    websocket_path: str = "/mqtt"
    allow_plaintext: bool = False

    def __post_init__(self) -> None:
        if bool(self.host) == bool(self.unix_path):
            raise LocalError(
                "give either a host or the path of a Unix socket", "For example: host 'localhost'."
            )
        if not 0 <= self.port <= 65_535:
            raise LocalError(f"there is no port {self.port}", "Ports are 1 to 65,535.")

    @property
    def secure(self) -> bool:
        """Is this way protected: by TLS, or by the file system's rights?"""
        return bool(self.unix_path) or not self.allow_plaintext

    @property
    def actual_port(self) -> int:
        """The port, or the usual one of this transport."""
        if self.websocket:
            return self.port or (80 if self.allow_plaintext else 443)
        return self.port or (1883 if self.allow_plaintext else 8883)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.unix_path or f"{host}:{self.actual_port}"


OnData = Callable[["Link", bytes], None]
OnLost = Callable[["Link", Exception | None], None]


class Link(asyncio.Protocol):
    """One connection. `closed` ends when the transport is gone, whatever the cause."""

    def __init__(self, on_data: OnData, on_lost: OnLost) -> None:
        self._on_data = on_data
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._reading = True
        self._writable = asyncio.Event()
        self._writable.set()
        self.closed = asyncio.Event()

    async def ready(self) -> None:
        """Return when bytes may be written; plain transports are ready at once."""

    @property
    def server_certificate(self) -> bytes | None:
        """The DER certificate that the server proved to own, None without TLS."""
        tls = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        return cast("ssl.SSLObject", tls).getpeercert(binary_form=True) if tls is not None else None

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the kernel has taken enough of what was written."""
        await self._writable.wait()

    def set_reading(self, reading: bool) -> None:
        """Stop or go on reading: the back-pressure of a full inbox."""
        if reading == self._reading or self._transport is None or self._transport.is_closing():
            return
        self._reading = reading
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def close(self) -> None:
        """End after everything written has gone, or `CLOSE_S` seconds later by force."""
        if self._transport is not None and not self.closed.is_set():
            self._transport.close()
            asyncio.get_running_loop().call_later(CLOSE_S, self.abort)

    def abort(self) -> None:
        if self._transport is not None and not self.closed.is_set():
            self._transport.abort()

    # -- called by asyncio ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        self._on_data(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self._writable.set()
        self._on_lost(self, exc)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()


class WebSocketLink(Link):
    """MQTT in binary WebSocket messages, subprotocol "mqtt". [MQTT5-6.0.0-1] [MQTT5-6.0.0-3]"""

    def __init__(self, on_data: OnData, on_lost: OnLost, address: Address, max_bytes: int) -> None:
        super().__init__(on_data, on_lost)
        uri = WebSocketURI(
            not address.allow_plaintext, address.host, address.actual_port, address.websocket_path, ""
        )
        self._socket = WebSocketProtocol(uri, subprotocols=[Subprotocol("mqtt")], max_size=max_bytes)
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ready(self) -> None:
        await self._opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._socket.send_request(self._socket.connect())
        self._pass_on()

    def write(self, data: bytes) -> None:
        if self._socket.state is State.OPEN:
            self._socket.send_binary(data)
            self._pass_on()

    def close(self) -> None:
        if self._socket.state is State.OPEN:
            self._socket.send_close(1000)
            self._pass_on()
        super().close()

    def data_received(self, data: bytes) -> None:
        try:
            self._socket.receive_data(data)
        except WebSocketException:
            self.abort()
            return
        events = self._socket.events_received()
        self._pass_on()
        for event in events:
            if isinstance(event, Response):
                self._answered()
            elif isinstance(event, Frame):
                self._framed(event)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._opened.done():
            self._opened.set_exception(ConnectFailed("the server hung up during the WebSocket handshake"))
            self._opened.exception()
        super().connection_lost(exc)

    def _answered(self) -> None:
        if self._opened.done():
            return
        error = self._socket.handshake_exc
        if error is None and self._socket.subprotocol == "mqtt":
            self._opened.set_result(None)
            return
        text = f": {error}" if error is not None else ": it does not offer the subprotocol mqtt"
        self._opened.set_exception(
            ConnectFailed(
                f"the server refused the WebSocket{text}", "Check the port and the path (mostly /mqtt)."
            )
        )
        self.abort()

    def _framed(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.BINARY, Opcode.CONT):
            self._on_data(self, bytes(frame.data))
        elif frame.opcode is Opcode.TEXT:  # [MQTT5-6.0.0-1]
            self._socket.send_close(1003)
            self._pass_on()
            super().close()
        elif frame.opcode is Opcode.CLOSE:
            super().close()

    def _pass_on(self) -> None:
        """Write what the WebSocket has to say; an empty part means that it is finished."""
        if self._transport is None or self._transport.is_closing():
            return
        for part in self._socket.data_to_send():
            if part:
                self._transport.write(part)
            else:
                self._transport.close()


async def open_link(
    address: Address,
    context: ssl.SSLContext | None,
    server_name: str,
    on_data: OnData,
    on_lost: OnLost,
    max_bytes: int,
) -> Link:
    """Connect, TLS and WebSocket handshakes included. Raises `OSError` and `ConnectFailed`."""
    loop = asyncio.get_running_loop()
    link: Link
    if address.unix_path:
        _, link = await loop.create_unix_connection(lambda: Link(on_data, on_lost), address.unix_path)
        return link

    def factory() -> Link:
        if address.websocket:
            return WebSocketLink(on_data, on_lost, address, max_bytes)
        return Link(on_data, on_lost)

    if context is None:
        _, link = await loop.create_connection(factory, address.host, address.actual_port)
    else:
        _, link = await loop.create_connection(
            factory,
            address.host,
            address.actual_port,
            ssl=context,
            server_hostname=server_name or address.host,
            ssl_shutdown_timeout=CLOSE_S,
        )
    try:
        await link.ready()
    except BaseException:
        link.abort()
        raise
    return link

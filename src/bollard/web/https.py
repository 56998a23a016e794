"""One HTTPS listener on the running loop: accept, TLS, HTTP/1.1, and an application behind it. Bounded.

What the application answers is its own affair. uvicorn speaks HTTP; accepting is done here, so that
strangers cannot open more connections than we want, nor keep one for longer.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from bollard.base.errors import LocalError
from bollard.net.listener import bind_tcp, place

#: Connections at once, in whatever phase (attack: taking the file descriptors that MQTT needs).
MAX_CONNECTIONS = 128
HANDSHAKE_TIMEOUT_S = 10.0
#: The whole life of a connection: a request is small, and nobody is to hold one open.
LIFE_S = 30.0
MAX_HEADER_BYTES = 16_384
BACKLOG = 128

#: The name under which a request's state holds the DER of the client's certificate, or None.
CERTIFICATE = "client_certificate"


#: Registered nowhere: what strangers send is no reason to write to our standard error.
_SILENT = logging.Logger("https", logging.CRITICAL + 1)


class _Protocol(H11Protocol):
    """HTTP that ends in time, and tells the application which certificate TLS has verified."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _SILENT

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        self.app_state = {CERTIFICATE: tls.getpeercert(binary_form=True) if tls is not None else None}
        self._end = self.loop.call_later(LIFE_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()
        super().connection_lost(exc)


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, host: str, port: int, context: ssl.SSLContext) -> AsyncIterator[str]:
    """Serve `app` on `host` and `port` (0: a free one) until left; gives the address. Raises LocalError."""
    config = uvicorn.Config(
        app,
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=5,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )
    config.load()
    state = ServerState()
    sockets = await _bind(host, port)
    doors = [asyncio.create_task(_accept(sock, config, state, context)) for sock in sockets]
    try:
        yield place(*sockets[0].getsockname()[:2])
    finally:
        for door in doors:
            door.cancel()
        await asyncio.gather(*doors, return_exceptions=True)
        for sock in sockets:
            sock.close()
        for connection in list(state.connections):
            connection.shutdown()


async def _bind(host: str, port: int) -> list[socket.socket]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        addresses = list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
        sockets = bind_tcp(addresses, port)
    except OSError as error:
        raise LocalError(
            f"cannot serve HTTPS on {place(host, port)}: {error.strerror}",
            "Choose another address or port, or stop what uses this one.",
        ) from None
    for sock in sockets:
        sock.listen(BACKLOG)
    return sockets


async def _accept(
    sock: socket.socket, config: uvicorn.Config, state: ServerState, context: ssl.SSLContext
) -> None:
    """Take connections one after another, and drop those that are too many."""
    loop = asyncio.get_running_loop()
    shaking: set[asyncio.Task[None]] = set()
    try:
        while True:
            try:
                connection, _ = await loop.sock_accept(sock)
            except OSError:  # such as no file descriptor left: others must go first
                await asyncio.sleep(0.1)
                continue
            if len(shaking) + len(state.connections) >= MAX_CONNECTIONS:
                connection.close()
                continue
            task = asyncio.create_task(_shake(connection, config, state, context))
            shaking.add(task)
            task.add_done_callback(shaking.discard)
    finally:
        for task in list(shaking):
            task.cancel()


async def _shake(
    connection: socket.socket, config: uvicorn.Config, state: ServerState, context: ssl.SSLContext
) -> None:
    """TLS, then HTTP. Who fails at TLS is dropped without a word: what went wrong, the peer knows."""
    loop = asyncio.get_running_loop()

    def speak() -> Any:
        return _Protocol(config=config, server_state=state, app_state={}, _loop=loop)

    try:
        await loop.connect_accepted_socket(
            speak, connection, ssl=context, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
        )
    except (OSError, TimeoutError):
        connection.close()
    except asyncio.CancelledError:
        connection.close()
        raise

"""A tiny HTTP server for two files: the test root, for a device that downloads it, and the revocation list."""

import asyncio
from collections.abc import Callable, Mapping

from bollard.assess.trap.wire import hang_up, shut

REQUEST_S = 5.0
MAX_REQUEST_BYTES = 4_096
#: Requests at one time; more are cut off at once.
MAX_AT_ONCE = 16


class PaperServer:
    """Serves `files` by path; `fetched` is told each path that was asked for and is there."""

    def __init__(self, fetched: Callable[[str], None]) -> None:
        self.files: Mapping[str, bytes] = {}
        self.port = 0
        self._fetched = fetched
        self._server: asyncio.Server | None = None
        self._inside = 0

    async def open(self, bind: str) -> "PaperServer":
        self._server = await asyncio.start_server(self._attend, bind, 0, limit=MAX_REQUEST_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        if self._server is not None:
            await shut(self._server)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._inside >= MAX_AT_ONCE:
            writer.transport.abort()
            return
        self._inside += 1
        try:
            async with asyncio.timeout(REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                parts = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
                body = self.files.get(parts[1]) if parts[0] == "GET" and len(parts) == 3 else None
                status = "404 Not Found" if body is None else "200 OK"
                if body is not None:
                    self._fetched(parts[1])
                body = body or b""
                fixed = "Content-Type: application/octet-stream\r\nConnection: close"
                writer.write(f"HTTP/1.1 {status}\r\n{fixed}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
                writer.write(body)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._inside -= 1
            await hang_up(writer)

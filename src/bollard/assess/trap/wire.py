"""The server's end of one connection, with TLS driven by hand, so that ClientHello and alerts are seen."""

import asyncio
import contextlib
import ssl

from bollard.assess.trap.hello import MAX_HELLO_BYTES, Hello, read_hello

#: What one visit may send; beyond it, we hang up.
MAX_VISIT_BYTES = 1_048_576
_CHUNK = 16_384


class Gone(Exception):
    """The connection has ended. `alert` is what the device said in TLS, `fault` why our side could not go on."""

    def __init__(self, alert: str = "", fault: str = "") -> None:
        super().__init__(alert or fault or "closed")
        self.alert = alert
        self.fault = fault


class Wire:
    """Bytes in and out; plain until `secure` has done the handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._first = b""
        self._bytes = 0
        self.hello: Hello | None = None

    async def peek(self) -> bytes:
        """The first bytes, which stay to be read. Raises `Gone`."""
        if not self._first:
            self._first = await self._receive()
        return self._first

    async def secure(self, context: ssl.SSLContext) -> str:
        """The TLS handshake; gives the version. Raises `Gone` with the alert that ended it."""
        seen, self._first = bytearray(await self.peek()), b""
        self._incoming.write(seen)
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        try:
            while not self._shaken(self._tls):
                await self._flush()
                data = await self._receive()
                self._incoming.write(data)
                if len(seen) <= MAX_HELLO_BYTES:
                    seen += data
            await self._flush()
            return self._tls.version() or ""
        except ssl.SSLError as error:
            with contextlib.suppress(Gone):
                await self._flush()
            raise gone(error) from None
        finally:
            # Once, at the end: read after each piece, a hello that drips in would cost its length squared.
            self.hello = read_hello(bytes(seen))

    @staticmethod
    def _shaken(tls: ssl.SSLObject) -> bool:
        """Go on with the handshake; is it through? Raises `ssl.SSLError` where it failed."""
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    async def read(self) -> bytes:
        """What comes next. Raises `Gone` at the end."""
        if self._tls is None:
            first, self._first = self._first, b""
            return first or await self._receive()
        while True:
            try:
                data = self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                await self._flush()
                self._incoming.write(await self._receive())
                continue
            except ssl.SSLError as error:
                raise gone(error) from None
            if not data:
                raise Gone
            return data

    async def write(self, data: bytes) -> None:
        """Send. Raises `Gone` when nobody takes it."""
        if self._tls is None:
            self._writer.write(data)
        else:
            try:
                self._tls.write(data)
            except ssl.SSLError as error:
                raise gone(error) from None
        await self._flush()

    def reset(self) -> None:
        """Cut the connection as a port does that nobody serves."""
        self._writer.transport.abort()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            self._writer.write(self._outgoing.read())
        try:
            await self._writer.drain()
        except OSError:
            raise Gone from None

    async def _receive(self) -> bytes:
        try:
            data = await self._reader.read(_CHUNK)
        except OSError:
            data = b""
        self._bytes += len(data)
        if not data or self._bytes > MAX_VISIT_BYTES:
            raise Gone
        return data


def gone(error: ssl.SSLError) -> Gone:
    """What an error of the TLS library says: an alert of the device, or a fault that our side found."""
    reason = (error.reason or "").lower()
    if "_alert_" in reason:
        return Gone(alert=reason.partition("_alert_")[2])
    return Gone(fault=reason.replace("_", " "))


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close in good form; who does not take what is left is cut off."""
    writer.close()
    try:
        async with asyncio.timeout(1):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()


async def shut(server: asyncio.Server) -> None:
    """Close a listening server. It stops to accept first: asyncio loses what it accepts in the moment of closing."""
    loop = asyncio.get_running_loop()
    for each in server.sockets:
        loop.remove_reader(each.fileno())
    await asyncio.sleep(0)
    server.close()

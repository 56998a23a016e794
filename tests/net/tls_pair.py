"""A channel of the server and a client joined by memory, and what only a client in C can do."""

import _ssl
import contextlib
import ctypes
import ssl
from collections.abc import Callable

from bollard.net.channel import Channel, SslObjectChannel

Kind = Callable[[ssl.SSLContext], Channel]

KINDS: dict[str, Kind] = {"sslobject": SslObjectChannel}
try:
    from bollard.net.openssl import OpensslChannel
except ImportError:
    pass  # not compiled
else:
    KINDS["openssl"] = OpensslChannel


def received(channel: Channel, data: bytes) -> bytes:
    """What `channel` has understood, of a buffer that holds other things behind and afterwards."""
    buffer = bytearray(data + b"what came earlier")
    plaintext = channel.receive(buffer, len(data))
    buffer[:] = bytes(len(buffer))
    return plaintext


class Pair:
    """`channel` is the server's end; `handshake` has been gone through unless `shake` is False."""

    def __init__(
        self,
        kind: Kind,
        server: ssl.SSLContext,
        client: ssl.SSLContext,
        *,
        session: ssl.SSLSession | None = None,
        shake: bool = True,
    ) -> None:
        self.channel = kind(server)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(
            self._incoming, self._outgoing, server_hostname="127.0.0.1", session=session
        )
        self.complete = False
        if shake:
            self.shake()

    def shake(self) -> None:
        """The whole handshake, as far as it goes. Raises what `step` does."""
        while not self.complete:
            self.step()
        self.client.do_handshake()

    def step(self) -> None:
        """The client's turn, then the channel's. Raises what either raises."""
        try:
            self.client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self.channel.feed(self.said())  # its alert
            self.channel.handshake()
            raise
        data = self.said()
        if data and not self.complete:
            self.channel.feed(data)
            self.complete = self.channel.handshake()
            self.answer()

    def answer(self) -> None:
        """What the channel says in the handshake goes to the client."""
        if not self.channel.patient:
            self._incoming.write(self.channel.take())

    def said(self) -> bytes:
        """What the client has for the channel."""
        return self._outgoing.read()

    def hear(self, data: bytes) -> bytes:
        """Give the client what the channel has for it; the plaintext in it."""
        self._incoming.write(data)
        found = bytearray()
        try:
            while piece := self.client.read(65_536):
                found += piece
        except ssl.SSLWantReadError:
            pass
        return bytes(found)

    def records(self, *messages: bytes) -> list[bytes]:
        """Each message as the client encrypts it."""
        made = []
        for message in messages:
            rest = memoryview(message)
            while rest:
                rest = rest[self.client.write(rest) :]
            made.append(self.said())
        return made

    def notice(self) -> bytes:
        """The client's close_notify. It says nothing more."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.client.unwrap()
        return self.said()

    def update_keys(self, *, asking: bool = True) -> bytes:
        """TLS 1.3: the client's KeyUpdate."""
        assert _libssl().SSL_key_update(_pointer(self.client), int(asking)) == 1
        assert _libssl().SSL_do_handshake(_pointer(self.client)) == 1
        return self.said()

    def renegotiate(self) -> bytes:
        """TLS 1.2: the client's wish for another handshake."""
        assert _libssl().SSL_renegotiate(_pointer(self.client)) == 1
        _libssl().SSL_do_handshake(_pointer(self.client))
        return self.said()


def _libssl() -> ctypes.CDLL:
    library = ctypes.CDLL(_ssl.__file__)  # finds what the module depends on as well
    for name in ("SSL_key_update", "SSL_do_handshake", "SSL_renegotiate"):
        getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_int][
            : 2 if name == "SSL_key_update" else 1
        ]
    return library


def _pointer(client: ssl.SSLObject) -> int | None:
    """The `SSL *`, which is the second member of what Python keeps for a connection."""
    place = id(client._sslobj) + object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)  # type: ignore[attr-defined]
    return ctypes.c_void_p.from_address(place).value

"""The stream that speaks TLS: an `SSLObject` between two memory BIOs on the raw transport.

So the output of a turn leaves in few records and one system call, all that was read is deciphered at once,
and an idle connection keeps little. Contexts are made in `tls.py`; what a stream is, in `stream.py`.
"""

import contextlib
import ssl
from typing import TYPE_CHECKING

from bollard.net.psk import PskContext
from bollard.net.stream import (
    CLIENT_HELLO,
    CONNECT,
    HANDSHAKE,
    HTTP_METHODS,
    LINGERING,
    SILENT,
    Door,
    Stream,
)
from bollard.net.tls import ServerContext, explain

if TYPE_CHECKING:
    from bollard.net.pump import Pump

#: The most plaintext that fits one TLS record; `SSLObject.write` takes no more at once.
RECORD_BYTES = 16_384
#: What is handed to a BIO at once. A BIO never shrinks, so this bounds what an idle connection keeps.
FEED_BYTES = 16_384


class TlsStream(Stream):
    """TLS on the raw transport. The `SSLObject` is made when the first bytes look like TLS."""

    __slots__ = ("_incoming", "_outgoing", "_psk", "_queued", "_shaken", "_tls")

    def __init__(self, pump: "Pump", door: Door) -> None:
        super().__init__(pump, door)
        self._tls: ssl.SSLObject | None = None
        self._queued = False
        self._shaken = False
        self._psk: tuple[str, bytes] | None = None

    def data_received(self, data: bytes) -> None:
        if self.phase < LINGERING:
            self.pump.guard(self, self._take, data)

    def _take(self, data: bytes) -> None:
        if self.phase == SILENT and not self._recognize(data):
            self.hang_up()
        elif self.phase == HANDSHAKE:
            self._await_shake(data)
        else:
            self._decrypt(data)

    def _recognize(self, data: bytes) -> bool:
        """Whether the first bytes are TLS; if so, set it up. If not, say what they look like."""
        if data[0] == CLIENT_HELLO:
            self._incoming = ssl.MemoryBIO()
            self._outgoing = ssl.MemoryBIO()
            context = self.door.context
            assert context is not None, "a TlsStream belongs to a door with a context"
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
            self.phase = HANDSHAKE
            return True
        if data[0] == CONNECT:
            speech = (
                "plaintext MQTT on a TLS port; point the device at TLS with the CA file (server-root.crt)"
            )
        elif data[:4] in HTTP_METHODS:
            speech = "plain HTTP on a TLS port; use TLS (https, wss)"
        else:
            speech = "the first bytes are neither TLS nor MQTT"
        self.pump.refused(self, speech)
        return False

    def _await_shake(self, data: bytes) -> None:
        """Queue one handshake step; hold back a peer that sends faster than steps are run."""
        self._incoming.write(data)
        if not self._queued:
            self._queued = True
            self.pump.gate.working(self)
            if self._shaken:
                self.pump.steps.resume(self)
            else:
                self.pump.steps.submit(self)
        elif self._incoming.pending > FEED_BYTES:
            self.transport.pause_reading()

    def step(self) -> None:
        if self.phase == HANDSHAKE:
            self._queued = False
            self.pump.gate.waiting(self)
            self._shaken = True
            self.pump.guard(self, self._shake)
        else:
            super().step()

    def _shake(self) -> None:
        assert self._tls is not None
        if not self.transport.is_reading():
            self.transport.resume_reading()
        context = self.door.context
        if isinstance(context, PskContext):
            context.heard = None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._hear(context)
            self._send_records()
        except ssl.SSLError as error:
            self._broken(error)
        else:
            self._hear(context)
            self._send_records()
            self.begin()
            self._read_records()

    def _hear(self, context: ssl.SSLContext | None) -> None:
        """Keep the name that the handshake step has told, see `psk.py`."""
        if isinstance(context, PskContext) and context.heard is not None:
            self._psk = context.heard

    def _decrypt(self, data: bytes) -> None:
        if len(data) <= FEED_BYTES:
            self._incoming.write(data)
            self._read_records()
            return
        view = memoryview(data)
        while view and self.phase < LINGERING:
            self._incoming.write(view[:FEED_BYTES])
            view = view[FEED_BYTES:]
            self._read_records()

    def _read_records(self) -> None:
        """Deliver what is in the records that have arrived whole, all of it at once."""
        pieces: list[bytes] = []
        error: ssl.SSLError | None = None
        closed = False
        try:
            closed = self._decipher(pieces)
        except ssl.SSLError as broken:
            error = broken
        if pieces:
            self.deliver(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self.phase >= LINGERING:
            return
        if error is not None:
            self._broken(error)
        elif closed:
            self.pump.forget(self)
            self.hang_up()
        else:
            self._send_records()  # answers of TLS itself, such as a key update

    def _decipher(self, pieces: list[bytes]) -> bool:
        """Append the plaintext of each whole record to `pieces`. True: the peer ended TLS properly."""
        tls = self._tls
        incoming = self._incoming
        assert tls is not None
        try:
            while True:
                data = tls.read(RECORD_BYTES)
                if not data:
                    return True
                pieces.append(data)
                if not incoming.pending and not tls.pending():
                    return False  # another read could only raise
        except ssl.SSLWantReadError:
            return False

    def send(self, data: bytes) -> None:
        tls = self._tls
        if not data or tls is None:
            return
        sent = tls.write(data)
        if sent == len(data):
            self.transport.write(self._outgoing.read())
            return
        # One record a call. Each is taken out at once, so that the BIO stays as small as a record.
        records = [self._outgoing.read()]
        view = memoryview(data)
        while sent < len(data):
            sent += tls.write(view[sent : sent + RECORD_BYTES])
            records.append(self._outgoing.read())
        self.transport.write(b"".join(records))

    def hang_up(self) -> None:
        if self._tls is not None and self.phase > HANDSHAKE:
            with contextlib.suppress(ssl.SSLError):  # ours is written; the peer's need not be awaited
                self._tls.unwrap()
            self._send_records()
        super().hang_up()

    def certificate(self) -> bytes | None:
        return None if self._tls is None else self._tls.getpeercert(binary_form=True)

    def psk(self) -> tuple[str, bytes] | None:
        return self._psk

    def end_points(self) -> tuple[bytes, ...]:
        context = self.door.context
        return context.end_points if isinstance(context, ServerContext) else ()

    def _send_records(self) -> None:
        if self._outgoing.pending:
            self.transport.write(self._outgoing.read())

    def _broken(self, error: ssl.SSLError) -> None:
        """TLS is over. Its alert, if there is one, still goes out."""
        if self.newcomer:
            self.pump.refused(self, explain(error))
        self.pump.forget(self)
        self._send_records()
        super().hang_up()

"""The stream that speaks TLS: an `SSLObject` between two memory BIOs on the raw transport.

So the output of a turn leaves in few records and one system call, all that was read is deciphered at once,
and an idle connection keeps little. Contexts are made in `tls.py`; what a stream is, in `stream.py`.
"""

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
#: The most plaintext that can come out after that: what it brings, and a record of which all but the end was there.
MOST_AT_ONCE = FEED_BYTES + 2 * RECORD_BYTES


class TlsStream(Stream):
    """TLS on the raw transport. The `SSLObject` is made when the first bytes look like TLS."""

    __slots__ = ("_ended", "_fault", "_incoming", "_outgoing", "_psk", "_queued", "_shaken", "_tls")

    def __init__(self, pump: "Pump", door: Door) -> None:
        super().__init__(pump, door)
        self._tls: ssl.SSLObject | None = None
        self._ended = False
        self._fault: ssl.SSLError | None = None
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
            if self._incoming.pending or self._tls.pending():
                self._read_records()

    def _hear(self, context: ssl.SSLContext | None) -> None:
        """Keep the name that the handshake step has told, see `psk.py`."""
        if isinstance(context, PskContext) and context.heard is not None:
            self._psk = context.heard

    def _decrypt(self, data: bytes) -> None:
        """Decipher `data`, in pieces that keep the BIO small, and deliver what it holds."""
        if len(data) <= FEED_BYTES:
            self._incoming.write(data)
            self._read_records()
            return
        view = memoryview(data)
        most = len(self.pump.plaintext) - MOST_AT_ONCE
        while view and self.phase < LINGERING:
            filled = 0
            while view and not self._ended and filled <= most:
                self._incoming.write(view[:FEED_BYTES])
                view = view[FEED_BYTES:]
                filled = self._decipher(filled)
            self._conclude(filled)

    def _read_records(self) -> None:
        """Deliver what is in the records that have arrived whole already."""
        self._conclude(self._decipher(0))

    def _decipher(self, filled: int) -> int:
        """Put the plaintext of each whole record behind the first `filled` bytes; how many there are then."""
        tls = self._tls
        incoming = self._incoming
        plaintext = self.pump.plaintext
        assert tls is not None
        try:
            while True:
                size: int = tls.read(RECORD_BYTES, plaintext[filled:] if filled else plaintext)  # type: ignore[assignment]
                if not size:
                    self._ended = True  # as TLS ends properly
                    break
                filled += size
                if not incoming.pending:
                    break  # another read could only raise: each took a whole record
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._ended = True
            self._fault = error
        return filled

    def _conclude(self, filled: int) -> None:
        """Deliver the first `filled` bytes of plaintext; then what came with them has its turn."""
        if filled:
            self.deliver(bytes(self.pump.plaintext[:filled]))
        fault, self._fault = self._fault, None
        if self.phase >= LINGERING:
            return
        if fault is not None:
            self._broken(fault)
        elif self._ended:
            self.pump.forget(self)
            self.hang_up()
        else:
            self._send_records()  # answers of TLS itself, such as a key update

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
        self.transport.writelines(records)

    def hang_up(self, departed: bool = False) -> None:
        if self._tls is not None and self.phase > HANDSHAKE:
            try:  # noqa: SIM105  # a context manager costs more than what it would hold
                self._tls.unwrap()
            except ssl.SSLError:
                pass  # ours is written; the peer's need not be awaited
            self._send_records()
        self.close(departed)

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
        self.close(False)

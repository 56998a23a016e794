"""The stream that speaks TLS, through a `Channel` between the raw transport and the broker.

So the output of a turn leaves in few records and one system call, all that was read is deciphered at once,
and an idle connection keeps little. Contexts are made in `tls.py`; what a channel is, in `channel.py`; what a
stream is, in `stream.py`.
"""

import ssl
from typing import TYPE_CHECKING

from bollard.base import memory
from bollard.net.channel import FEED_BYTES, Channel
from bollard.net.channels import open_channel
from bollard.net.psk import PskContext
from bollard.net.stream import (
    CLIENT_HELLO,
    CONNECT,
    HANDSHAKE,
    HTTP_METHODS,
    LINGERING,
    NOTHING,
    SILENT,
    Door,
    Stream,
)
from bollard.net.tls import ServerContext, explain
from bollard.net.transport import HIGH_WATER_BYTES

if TYPE_CHECKING:
    from bollard.net.pump import Pump


class TlsStream(Stream):
    """TLS on the raw transport. The channel is opened when the first bytes look like TLS."""

    __slots__ = ("_channel", "_psk", "_queued", "_shaken")

    def __init__(self, pump: "Pump", door: Door) -> None:
        super().__init__(pump, door)
        self._channel: Channel | None = None
        self._queued = False
        self._shaken = False
        self._psk: tuple[str, bytes] | None = None

    def data_received(self, buffer: bytearray, size: int) -> None:
        if self.phase < LINGERING:
            try:
                self._take(buffer, size)
            except Exception:
                self.pump.failed(self)

    def _take(self, buffer: bytearray, size: int) -> None:
        if self.phase > HANDSHAKE:
            self._receive(buffer, size)
            return
        data = memory.first(buffer, size)
        if self.phase == SILENT and not self._recognize(data):
            self.hang_up()
        else:
            self._await_shake(data)

    def _recognize(self, data: bytes) -> bool:
        """Whether the first bytes are TLS; if so, set it up. If not, say what they look like."""
        if data[0] == CLIENT_HELLO:
            context = self.door.context
            assert context is not None, "a TlsStream belongs to a door with a context"
            self._channel = open_channel(context)
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
        assert self._channel is not None
        waiting = self._channel.feed(data)
        if not self._queued:
            self._queued = True
            self.pump.gate.working(self)
            if self._shaken:
                self.pump.steps.resume(self)
            else:
                self.pump.steps.submit(self)
        elif waiting > FEED_BYTES:
            self.transport.pause_reading()

    def step(self) -> None:
        if self.phase == HANDSHAKE:
            self._queued = False
            self.pump.gate.waiting(self)
            self._shaken = True
            try:
                self._shake()
            except Exception:
                self.pump.failed(self)
        else:
            super().step()

    def _shake(self) -> None:
        channel = self._channel
        assert channel is not None
        if not self.transport.is_reading():
            self.transport.resume_reading()
        context = self.door.context
        if isinstance(context, PskContext):
            context.heard = None
        try:
            complete = channel.handshake()
        except ssl.SSLError as error:
            self._broken(error)
            return
        if isinstance(context, PskContext) and context.heard is not None:
            self._psk = context.heard  # the name that this step has told, see `psk.py`
        if not channel.patient:
            self._send_records()
        if complete:
            self.begin()
            self._receive(NOTHING, 0)

    def _receive(self, buffer: bytearray, size: int) -> None:
        """Decipher what has come and deliver what it holds; then what came with it has its turn."""
        channel = self._channel
        assert channel is not None
        plaintext = channel.receive(buffer, size)
        # The meters count all that came. Attack: records of TLS's own, and now and then a byte for us.
        self.allowance -= size - len(plaintext)
        if plaintext:
            self.deliver(plaintext)
        if self.phase >= LINGERING:
            return
        if channel.fault is not None:
            self._broken(channel.fault)
        elif channel.ended:
            self.pump.forget(self)
            self.hang_up(departed=True)  # nothing more can come that a reset would answer
        elif not channel.patient:
            self._send_records()  # answers of TLS itself, such as a key update

    def send(self, data: bytes | bytearray) -> None:
        channel = self._channel
        # Of a channel with a fault nothing can go out but its alert, and `_broken` follows.
        if data and channel is not None and channel.fault is None:
            self.transport.write(channel.write(data))
            channel.patient = False

    def hang_up(self, departed: bool = False) -> None:
        if self._channel is not None and self.phase > HANDSHAKE:
            records = self._channel.close()
            if records:
                self.transport.write(records, True)  # the end of the connection follows
        self.close(departed)

    def certificate(self) -> bytes | None:
        return None if self._channel is None else self._channel.certificate()

    def psk(self) -> tuple[str, bytes] | None:
        return self._psk

    def end_points(self) -> tuple[bytes, ...]:
        context = self.door.context
        return context.end_points if isinstance(context, ServerContext) else ()

    def _send_records(self) -> None:
        assert self._channel is not None
        records = self._channel.take()
        if records:
            self.transport.write(records)
            if self.phase > HANDSHAKE and self.transport.get_write_buffer_size() > HIGH_WATER_BYTES:
                # Attack: asking for handshakes anew, which are refused each time, and never taking an answer.
                self.drop()

    def _broken(self, error: ssl.SSLError) -> None:
        """TLS is over. Its alert, if there is one, still goes out."""
        if self.newcomer:
            self.pump.refused(self, explain(error))
        self.pump.forget(self)
        self._send_records()
        self.close(False)

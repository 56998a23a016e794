"""One socket of ours: what its stream writes goes to the kernel at once, what has come goes to the stream.

A `Transport` does for a stream what an asyncio transport does, and is called alike; `poller.py` tells it when its
socket is ready. It is leaner by what a broker does not need: each read is one system call into a buffer that all
share, each write goes out where it is called, and a connection is one object.
"""

import errno
import os
from collections import deque
from typing import TYPE_CHECKING

from bollard.net import sockets

if TYPE_CHECKING:
    from bollard.net.poller import Poller
    from bollard.net.stream import Stream

#: What waits for the kernel before the stream is asked to pause, and at how much it may go on.
HIGH_WATER_BYTES = 65_536
LOW_WATER_BYTES = 16_384


class Transport:
    """The socket `fd` of `stream`. Nothing is sent or received after `close` and `abort`, and
    the stream hears of its end later, never within a call of its own."""

    __slots__ = (
        "_closing",
        "_ended",
        "_error",
        "_fd",
        "_paused",
        "_poller",
        "_reading",
        "_sent",
        "_stream",
        "_waiting",
        "_waiting_bytes",
    )

    def __init__(self, poller: "Poller", fd: int, stream: "Stream") -> None:
        self._poller = poller
        self._fd = fd
        self._stream: Stream | None = stream
        self._reading = True
        self._closing = False
        self._ended = False
        self._paused = False
        self._error = 0
        #: What the kernel has not taken yet; of the first, all but `_sent` bytes.
        self._waiting: deque[bytes] | None = None
        self._waiting_bytes = 0
        self._sent = 0

    def begin(self, address: str, port: int) -> None:
        """Introduce the peer to the stream, which may refuse it at once."""
        assert self._stream is not None
        self._stream.connection_made(self, address, port)
        if not self._closing:
            self._poller.watch(self, self._fd)

    # What the stream calls.

    def fileno(self) -> int:
        return self._fd

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        """The bytes that wait for the kernel."""
        return self._waiting_bytes

    def pause_reading(self) -> None:
        if self._reading and not self._closing:
            self._reading = False
            self._poller.change(self._fd, False, self._waiting is not None)

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            self._poller.change(self._fd, True, self._waiting is not None)

    def write(self, data: bytes, more: bool = False) -> None:
        """Send `data`, now or, behind what waits already, when the kernel takes it. `more`: something follows at
        once, be it the end, and both may share a packet."""
        if self._closing or self._ended or not data:
            return
        if self._waiting is not None:
            self._keep(data)
            return
        sent = sockets.transmit(self._fd, data, 0, more)
        if sent == len(data):
            return
        if sent < 0:
            if sent not in (-errno.EAGAIN, -errno.EINTR):
                self._lose(-sent)
                return
            sent = 0
        self._waiting = deque()
        self._sent = sent
        self._waiting_bytes = -sent
        self._poller.change(self._fd, self._reading, True)
        self._keep(data)

    def write_eof(self) -> None:
        """Say that nothing follows, once everything has gone."""
        if self._closing or self._ended:
            return
        self._ended = True
        if self._waiting is None:
            sockets.end_output(self._fd)

    def close(self) -> None:
        """Read no more; close when everything has gone."""
        if self._closing:
            return
        self._closing = True
        if self._waiting is None:
            self._poller.leaves(self)
        else:
            self._poller.change(self._fd, False, True)

    def abort(self) -> None:
        """Close at once. What waits is lost, and then so is what the kernel has of it."""
        if self._waiting is not None:
            sockets.forfeit(self._fd)
        self._lose(0)

    # What the poller calls.

    def readable(self, gone: bool) -> None:
        """Something has come, or the peer has said its last, or is `gone` in both directions."""
        if not self._reading or self._closing:
            if gone:
                # What waits can never go. Attack: a peer on a Unix socket that reads nothing and shuts it down
                # would be announced for ever.
                self._lose(0)
            return
        buffer = self._poller.buffer
        size = sockets.receive(self._fd, buffer)
        stream = self._stream
        if size > 0:
            if stream is not None:
                stream.data_received(buffer, size)
        elif size == 0:
            if stream is not None:
                stream.eof_received()
            self.close()
        elif size not in (-errno.EAGAIN, -errno.EINTR):
            self._lose(-size)

    def writable(self) -> None:
        """The kernel takes more."""
        waiting = self._waiting
        while waiting:
            data = waiting[0]
            sent = sockets.transmit(self._fd, data, self._sent, False)
            if sent < 0:
                if sent not in (-errno.EAGAIN, -errno.EINTR):
                    self._lose(-sent)
                    return
                break
            self._waiting_bytes -= sent
            self._sent += sent
            if self._sent < len(data):
                break
            waiting.popleft()
            self._sent = 0
        if waiting is not None and not waiting:
            self._went()
        if self._paused and self._waiting_bytes <= LOW_WATER_BYTES:
            self._paused = False
            if self._stream is not None and not self._closing:
                self._stream.resume_writing()

    def finish(self) -> None:
        """Give the socket back and tell the stream."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        self._poller.forget(fd)
        sockets.close(fd)
        stream, self._stream = self._stream, None
        if stream is not None:
            error = self._error
            stream.connection_lost(OSError(error, os.strerror(error)) if error else None)

    def _keep(self, data: bytes) -> None:
        assert self._waiting is not None
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > HIGH_WATER_BYTES and not self._paused and self._stream is not None:
            self._paused = True
            self._stream.pause_writing()

    def _went(self) -> None:
        """All that waited is with the kernel."""
        self._waiting = None
        if self._closing:
            self._poller.leaves(self)
            return
        if self._ended:
            sockets.end_output(self._fd)
        self._poller.change(self._fd, self._reading, False)

    def _lose(self, error: int) -> None:
        """The connection is over, `error` is what the kernel said."""
        if self._fd < 0 or (self._closing and self._waiting is None):
            return
        self._closing = True
        self._error = error
        self._waiting = None
        self._waiting_bytes = 0
        self._poller.leaves(self)

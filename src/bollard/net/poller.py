"""Which sockets are ready: one epoll instance of ours. A `Loop` waits in it; other loops watch it like a single file.

A loop's own transports cost each connection several objects and each message a journey through the loop. Here
everything that is ready is read in one round, and what follows from it happens right behind: nothing else of the
loop comes in between.
"""

import asyncio
import contextlib
import errno
import os
import select
import selectors
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from bollard.net import clock, sockets
from bollard.net.loop import Loop
from bollard.net.transport import Transport

if TYPE_CHECKING:
    from bollard.net.stream import Stream

#: What one read takes at most.
READ_BYTES = 131_072
#: Sockets that are served in one round; the others come with the next.
ROUND = 1024
#: Connections that one listening socket accepts in a round, so that those who are there are served in between.
ACCEPTED_AT_ONCE = 64
#: Those that are refused are closed with the round: so many wait for it before nobody else is accepted.
MOST_LEAVING = 32
#: For how long nothing is accepted when the process may open no more files.
EXHAUSTED_PAUSE_S = 1.0
_EXHAUSTED = (-errno.EMFILE, -errno.ENFILE, -errno.ENOBUFS, -errno.ENOMEM)
#: What may be wrong with one connection that waits to be accepted, and not with the next.
_OF_ONE = (-errno.ECONNABORTED, -errno.EINTR, -errno.EPROTO, -errno.EPERM)


#: As epoll has them, on every system: there is something to read, room to write, an error, nobody any more.
READABLE, WRITABLE, FAILED, GONE = 1, 4, 8, 16


class Selector:
    """Any selector of Python's, spoken to like epoll: for systems that have none."""

    __slots__ = ("_selector",)

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def fileno(self) -> int:
        return self._selector.fileno()

    def close(self) -> None:
        self._selector.close()

    def register(self, fd: int, wanted: int) -> None:
        self._selector.register(fd, self._mask(wanted))

    def modify(self, fd: int, wanted: int) -> None:
        """Raises FileNotFoundError where `fd` is not registered."""
        try:
            self._selector.modify(fd, self._mask(wanted))
        except KeyError:
            raise FileNotFoundError from None

    def forget(self, fd: int) -> None:
        """Unregister `fd`, which is about to be closed, if it is registered. Epoll does that by itself."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(fd)

    def unregister(self, fd: int) -> None:
        """As `modify`."""
        try:
            self._selector.unregister(fd)
        except KeyError:
            raise FileNotFoundError from None

    def poll(self, timeout_s: float, most: int) -> list[tuple[int, int]]:
        ready = []
        for key, mask in self._selector.select(timeout_s if timeout_s >= 0 else None)[:most]:
            readable = READABLE if mask & selectors.EVENT_READ else 0
            ready.append((key.fd, readable | (WRITABLE if mask & selectors.EVENT_WRITE else 0)))
        return ready

    @staticmethod
    def _mask(wanted: int) -> int:
        reading = selectors.EVENT_READ if wanted & READABLE else 0
        return reading | (selectors.EVENT_WRITE if wanted & WRITABLE else 0)


def new_selector() -> "select.epoll | Selector":
    return select.epoll() if hasattr(select, "epoll") else Selector()


class Poller:
    """Serves the sockets of one broker on `loop`; `turn` is called behind each round.

    Made anywhere; it takes its files when the first socket comes, and gives them back with the last.
    """

    __slots__ = (
        "_epoll",
        "_fd",
        "_leaving",
        "_loop",
        "_loop_fd",
        "_pairs",
        "_places",
        "_scheduled",
        "_turn",
        "_watched",
        "buffer",
        "in_round",
        "wanted",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, turn: Callable[[], None]) -> None:
        self._loop = loop
        self._turn = turn
        self._epoll: select.epoll | Selector | None = None
        self._fd = -1
        #: Readable when a loop that waits here has something to do; -1 where none waits.
        self._loop_fd = -1
        self._pairs = bytearray(8 * ROUND)
        #: By file descriptor, who is told; None where nobody is.
        self._places: list[Transport | Acceptor | None] = []
        self._watched = 0
        self._leaving: list[Transport] = []
        self._scheduled = False
        self.in_round = False
        #: A loop that waits here is to have its turn.
        self.wanted = False
        #: Where all sockets are read to, one after the other.
        self.buffer = bytearray(READ_BYTES)

    # What transports and acceptors call.

    def watch(self, who: "Transport | Acceptor", fd: int) -> None:
        """Tell `who` from now on when `fd` is readable."""
        epoll = self._epoll
        if epoll is None:
            epoll = self._take_files()
        places = self._places
        while fd >= len(places):
            places.extend([None] * 64)
        places[fd] = who
        self._watched += 1
        epoll.register(fd, READABLE)

    def change(self, fd: int, reading: bool, writing: bool) -> None:
        """Tell from now on what is asked for. Before `watch` and after `forget` this does nothing."""
        if self._epoll is None or fd < 0 or fd >= len(self._places) or self._places[fd] is None:
            return
        wanted = (READABLE if reading else 0) | (WRITABLE if writing else 0)
        # Who waits for nothing must not be in there at all: that its peer is gone would be told for ever.
        try:
            if wanted:
                self._epoll.modify(fd, wanted)
            else:
                self._epoll.unregister(fd)
        except FileNotFoundError:
            if wanted:
                self._epoll.register(fd, wanted)

    def leaves(self, transport: Transport) -> None:
        """Call `finish` when the round is over."""
        self._leaving.append(transport)
        if not self.in_round and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._part)

    def leaving(self) -> int:
        """How many transports `finish` when the round is over."""
        return len(self._leaving)

    def forget(self, fd: int) -> None:
        """`fd` is about to be closed, which takes it out of the kernel's set."""
        if fd < len(self._places) and self._places[fd] is not None:
            if isinstance(self._epoll, Selector):
                self._epoll.forget(fd)
            self._places[fd] = None
            self._watched -= 1
            if not self._watched:
                self._give_back()

    # Rounds.

    def begin_round(self) -> None:
        """What happens now has one turn in common, at `end_round`."""
        self.in_round = True

    def end_round(self) -> None:
        self.in_round = False
        # Who leaves in the turn parts with those that left in the round.
        self._scheduled = True
        try:
            self._turn()
        finally:
            self._part()

    def look(self) -> None:
        """One round: read and write what is ready. An error of ours ends the connection for which it happened."""
        ready = 0
        if self._epoll is not None:
            ready = sockets.ready(self._epoll, self._fd, self._pairs, 0.0)
        self._round(ready)

    def look_soon(self) -> None:
        """Have a `look` before long, whatever else the loop has to do."""
        self._loop.call_soon(self.look)

    def wait(self, timeout_s: float) -> bool:
        """Serve sockets for as long as the loop has nothing to do, `timeout_s` at most, for ever if that is negative.
        True: one of its files is ready."""
        end = clock.monotonic() + timeout_s
        self.wanted = False
        while self._epoll is not None:
            ready = sockets.ready(self._epoll, self._fd, self._pairs, timeout_s)
            if ready <= 0:
                break
            if self._round(ready):
                return True
            if self.wanted or timeout_s == 0.0:
                break
            if timeout_s > 0.0:
                timeout_s = max(end - clock.monotonic(), 0.0)
        return False

    def _round(self, ready: int) -> bool:
        """Serve the first `ready` of the pairs. True: the loop has something to do, too."""
        self.begin_round()
        loop_too = False
        try:
            loop_too = self._serve(ready)
        finally:
            self.end_round()
        return loop_too

    def _serve(self, ready: int) -> bool:
        loop_too = False
        for number in range(ready):
            event = sockets.events(self._pairs, number)
            fd = sockets.descriptor(self._pairs, number)
            who = self._places[fd] if fd < len(self._places) else None
            if who is None:
                loop_too |= fd == self._loop_fd
                continue
            try:
                if isinstance(who, Transport):
                    transport = who
                    if event & WRITABLE:
                        transport.writable()
                    if event & ~WRITABLE:
                        # Also that the peer is gone: reading tells how.
                        transport.readable(event & (FAILED | GONE) != 0)
                else:
                    who.readable()
            except Exception as error:
                self._failed(who, error)
        return loop_too

    def _failed(self, who: "Transport | Acceptor", error: Exception) -> None:
        self._loop.call_exception_handler({"message": "a connection failed", "exception": error})
        if isinstance(who, Transport):
            who.abort()

    def _part(self) -> None:
        self._scheduled = False
        while self._leaving:
            leaving, self._leaving = self._leaving, []
            for transport in leaving:
                transport.finish()

    def _take_files(self) -> "select.epoll | Selector":
        epoll = self._epoll = new_selector()
        self._fd = epoll.fileno()
        if isinstance(self._loop, Loop):
            self._loop_fd = self._loop.serve(self)
        if self._loop_fd >= 0:
            epoll.register(self._loop_fd, READABLE)
        else:
            self._loop.add_reader(self._fd, self.look)
        return epoll

    def _give_back(self) -> None:
        epoll, self._epoll = self._epoll, None
        if epoll is None:
            return
        if isinstance(self._loop, Loop) and self._loop_fd >= 0:
            self._loop_fd = -1
            self._loop.dismiss()
        else:
            self._loop.remove_reader(self._fd)
        epoll.close()


class Acceptor:
    """Accepts connections of one listening socket until `close`; `make_stream` makes what serves each.

    `warn` is told when the process may open no more files.
    """

    __slots__ = ("_loop", "_make_stream", "_poller", "_warn", "sock")

    def __init__(
        self,
        poller: Poller,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        make_stream: "Callable[[], Stream]",
        warn: Callable[[str], None],
    ) -> None:
        self._poller = poller
        self._loop = loop
        self.sock = sock
        self._make_stream = make_stream
        self._warn = warn
        poller.watch(self, sock.fileno())

    def readable(self) -> None:
        """Somebody wants to connect."""
        listening = self.sock.fileno()
        for _ in range(ACCEPTED_AT_ONCE):
            if listening < 0 or self._poller.leaving() > MOST_LEAVING:
                return
            fd, address, port = sockets.accept(listening)
            if fd >= 0:
                self._welcome(fd, address, port)
            elif fd in _EXHAUSTED:
                if not self._poller.leaving():
                    self._pause(fd)
                return
            elif fd not in _OF_ONE:
                return

    def _welcome(self, fd: int, address: str, port: int) -> None:
        try:
            transport = Transport(self._poller, fd, self._make_stream())
        except BaseException:
            sockets.close(fd)
            raise
        try:
            transport.begin(address, port)
        except BaseException:
            transport.abort()
            raise

    def close(self) -> None:
        fd = self.sock.fileno()
        if fd >= 0:
            self._poller.forget(fd)
            self.sock.close()

    def _pause(self, error: int) -> None:
        """Attack, or too small a limit: who waits would be announced for ever, and never accepted."""
        self._warn(f"no connection can be accepted: {os.strerror(-error)}; trying again")
        self._poller.change(self.sock.fileno(), False, False)
        self._loop.call_later(EXHAUSTED_PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._poller.change(self.sock.fileno(), True, False)

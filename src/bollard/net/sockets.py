"""The calls of the kernel that every message takes, by file descriptor.

Compiled code takes these functions from `sockets.pxd`, where each is one system call; this file says the same in
Python and is never compiled. What fails comes back as the negative `errno`: an exception for each socket that has
nothing to read would cost more than the reading. All descriptors are non-blocking.
"""

import contextlib
import errno
import os
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import select

    from bollard.net.poller import Selector

_PAIR = struct.Struct("=ii")


def receive(fd: int, buffer: bytearray) -> int:
    """Read what has come, at most all of `buffer`; how many bytes, 0 at the end of the stream."""
    try:
        return os.readv(fd, [buffer])
    except OSError as error:
        return -(error.errno or errno.EIO)


def transmit(fd: int, data: bytes, start: int, more: bool) -> int:
    """Write `data` from `start` on; how many bytes the kernel took. `more`: it may wait for what follows at once."""
    try:
        return os.write(fd, memoryview(data)[start:])
    except OSError as error:
        return -(error.errno or errno.EIO)


def end_output(fd: int) -> None:
    """Say that nothing more will be written. A peer that is gone need not be told."""
    sock = socket.socket(fileno=fd)
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    finally:
        sock.detach()


def forfeit(fd: int) -> None:
    """Let `close` throw away what the kernel still has for the peer, which it resets, instead of sending it."""
    sock = socket.socket(fileno=fd)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _PAIR.pack(1, 0))
    except OSError:
        pass
    finally:
        sock.detach()


def close(fd: int) -> None:
    """Give the descriptor back. There is nothing to do about what fails here."""
    with contextlib.suppress(OSError):
        os.close(fd)


def accept(fd: int) -> "tuple[int, str, int]":
    """The next connection of a listening socket: its descriptor, its peer's address and port; ("unix", 0) for
    peers without one, and the negative `errno` in place of the descriptor when there is none.

    An IPv4 client of a dual-stack socket is the IPv4 client that it is.
    """
    listening = socket.socket(fileno=fd)
    try:
        accepted, name = listening.accept()
    except OSError as error:
        return -(error.errno or errno.EIO), "", 0
    finally:
        listening.detach()
    accepted.setblocking(False)
    if isinstance(name, tuple):
        return accepted.detach(), str(name[0]).removeprefix("::ffff:"), int(name[1])
    return accepted.detach(), "unix", 0


def ready(selector: "select.epoll | Selector", fd: int, pairs: bytearray, timeout_s: float) -> int:
    """Put into `pairs` which sockets of `selector`, whose own descriptor is `fd`, are ready, as pairs of
    descriptor and events of epoll, for `descriptor` and `events`; how many there are. Waits for the first up to
    `timeout_s`, for ever if that is negative; signals are handled, and may end it earlier."""
    found = selector.poll(timeout_s, len(pairs) // _PAIR.size)
    for number, pair in enumerate(found):
        _PAIR.pack_into(pairs, number * _PAIR.size, *pair)
    return len(found)


def descriptor(pairs: bytearray, number: int) -> int:
    return int(_PAIR.unpack_from(pairs, number * _PAIR.size)[0])


def events(pairs: bytearray, number: int) -> int:
    return int(_PAIR.unpack_from(pairs, number * _PAIR.size)[1])

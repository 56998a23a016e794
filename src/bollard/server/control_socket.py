"""Control over a Unix socket in the state directory: one JSON object a line, asked and answered.

The rights of the file system decide who may: the directory is 0700 and the socket 0600. What the
operations mean is in `control.py`; this file moves bytes, bounded both ways.
"""

import asyncio
import contextlib
import contextvars
import os
import socket
import struct
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from bollard.base.errors import BollardError, LocalError
from bollard.server.actor import ACTOR
from bollard.server.requests import ANSWERS, Failure, Request, Result
from bollard.server.units import MAX_SOCKET_PATH_BYTES

#: A request is a few hundred bytes, but a factory's batch of the most devices with the longest names is a
#: megabyte; more is a mistake or an attempt to fill the memory.
MAX_REQUEST_BYTES = 1_048_576
#: A list of a hundred thousand devices fits.
MAX_ANSWER_BYTES = 256 * 1024 * 1024
#: What somebody who connects gets for one request; who holds the socket longer is dropped.
REQUEST_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 60.0

_REQUESTS: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


class _Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What goes over the socket: a result, still encoded, or a failure."""

    result: msgspec.Raw = msgspec.Raw(b"")
    failure: Failure | None = None


class ControlServer:
    """Serves `handle`, called in a thread of its own, one request at a time."""

    def __init__(
        self, path: Path, handle: Callable[[Request], Result], report: Callable[[str], None]
    ) -> None:
        """`report` gets the traceback of what should not happen; the asker only hears that it did."""
        self._path = path
        self._handle = handle
        self._report = report
        self._worker = ThreadPoolExecutor(1, "control")
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. The caller holds the state directory's lock, so a socket that is there is a dead one."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The mask is what makes the socket 0600 from its first moment on.
        before = os.umask(0o177)
        try:
            with _short(self._path) as path:
                listener.bind(path)
        except OSError as error:
            listener.close()
            raise LocalError(f"cannot make the control socket {self._path}: {error.strerror}") from None
        finally:
            os.umask(before)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_REQUEST_BYTES)

    async def stop(self) -> None:
        """Take no more requests and remove the socket. The operation in hand is finished first."""
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
        # Not on the loop: the operation may wait for the loop.
        await asyncio.to_thread(self._worker.shutdown)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                line = await reader.readline()
            ACTOR.set(_who(writer.get_extra_info("socket")))  # of this connection's task alone
            writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await writer.drain()
        except (OSError, ValueError, TimeoutError, asyncio.CancelledError):
            pass  # whoever asked has gone, stalls, or sent more than a request can be; or the broker stops
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> _Answer:
        try:
            request = _REQUESTS.decode(line)
            loop = asyncio.get_running_loop()
            act = contextvars.copy_context().run
            result = await loop.run_in_executor(self._worker, act, self._handle, request)
        except msgspec.MsgspecError as error:
            return _Answer(failure=Failure(f"not a request: {error}", "Use the bollard of the same version."))
        except LocalError as error:
            return _Answer(failure=Failure(str(error.args[0]), error.remedy, error.exit_code))
        except BollardError as error:
            return _Answer(failure=Failure(str(error), exit_code=error.exit_code))
        except Exception:  # a boundary: the broker must outlive whatever an operation does
            self._report(traceback.format_exc())
            return _Answer(failure=Failure("the broker could not do this", "Its log says why.", 1))
        return _Answer(result=msgspec.Raw(msgspec.json.encode(result)))


def _who(connection: socket.socket) -> str:
    """Who asks, as the system vouches for it: "uid 1000", or "" where it does not."""
    if not hasattr(socket, "SO_PEERCRED"):
        return ""
    size = struct.calcsize("3i")
    _pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return f"uid {uid}"


def ask_socket(path: Path, request: Request) -> Result | None:
    """The running broker's answer, or None if no broker listens at `path`. Raises LocalError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_TIMEOUT_S)
        try:
            with _short(path) as name:
                connection.connect(name)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError as error:
            raise LocalError(
                f"cannot reach the broker at {path}: {error.strerror}",
                "Run this as the user that the broker runs as.",
            ) from None
        try:
            connection.sendall(msgspec.json.encode(request) + b"\n")
            answer = msgspec.json.decode(_line(connection), type=_Answer)
        except (OSError, msgspec.MsgspecError):
            raise LocalError(
                "the broker ended while it was asked", "Look at its log, then try again."
            ) from None
    if answer.failure is not None:
        raise Refusal(answer.failure)
    result: Result = msgspec.json.decode(answer.result, type=ANSWERS[type(request)])
    return result


class Refusal(LocalError):
    """The running broker refused the operation; its own words and exit code."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, failure.remedy)
        self.exit_code = failure.exit_code


def _line(connection: socket.socket) -> bytes:
    """Bytes up to the end of the line; what the server sends is bounded all the same."""
    parts: list[bytes] = []
    size = 0
    while not parts or not parts[-1].endswith(b"\n"):
        part = connection.recv(65_536)
        size += len(part)
        if not part or size > MAX_ANSWER_BYTES:
            raise ConnectionError("no whole answer")
        parts.append(part)
    return b"".join(parts)


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """`path`, by a detour through a descriptor of its directory if it is too long for a socket address."""
    if len(bytes(path)) <= MAX_SOCKET_PATH_BYTES:
        yield str(path)
        return
    if not Path("/proc/self/fd").is_dir():
        raise LocalError(
            f"the path {path} is too long for a socket ({MAX_SOCKET_PATH_BYTES} bytes at most)",
            "Use a state directory with a shorter name.",
        )
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)

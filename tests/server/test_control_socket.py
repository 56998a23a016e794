"""The line protocol between commands and the running broker."""

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.server.control_socket import MAX_REQUEST_BYTES, ControlServer, Refusal, ask_socket
from bollard.server.requests import (
    AskStatus,
    ChangeDevice,
    Devices,
    Enroll,
    ListDevices,
    Request,
    Result,
    Rotate,
    ShowDevice,
    Status,
)

STATUS = Status(running=True, pid=7, counters={"publish_received": 3})


@contextlib.asynccontextmanager
async def serving(
    path: Path, handle: Callable[[Request], Result], report: Callable[[str], None] = print
) -> AsyncIterator[ControlServer]:
    server = ControlServer(path, handle, report)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def raw(path: Path, data: bytes) -> bytes:
    """What comes back for exactly these bytes, until the server closes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        with contextlib.suppress(BrokenPipeError):
            connection.sendall(data)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                answer += part
        return answer


def test_a_request_comes_back_as_the_record_that_answers_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path / "c.sock", lambda request: STATUS):
            assert await asyncio.to_thread(ask_socket, tmp_path / "c.sock", AskStatus()) == STATUS

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "request_",
    [
        Enroll("plug", "certificate", "app"),
        ListDevices(),
        ShowDevice("plug"),
        ChangeDevice("plug", "revoked"),
        Rotate("plug"),
    ],
)
def test_every_request_arrives_as_it_was_made(tmp_path: Path, request_: Request) -> None:
    seen: list[Request] = []

    def handle(request: Request) -> Result:
        seen.append(request)
        raise LocalError("enough")

    async def scenario() -> None:
        async with serving(tmp_path / "c.sock", handle):
            with pytest.raises(Refusal, match="enough"):
                await asyncio.to_thread(ask_socket, tmp_path / "c.sock", request_)

    asyncio.run(scenario())
    assert seen == [request_]


def test_a_refusal_arrives_with_its_remedy_and_exit_code(tmp_path: Path) -> None:
    def handle(request: Request) -> Result:
        raise LocalError("no such device", "list them")

    async def scenario() -> None:
        async with serving(tmp_path / "c.sock", handle):
            with pytest.raises(Refusal) as caught:
                await asyncio.to_thread(ask_socket, tmp_path / "c.sock", ListDevices())
        assert (caught.value.message, caught.value.remedy, caught.value.exit_code) == (
            "no such device",
            "list them",
            2,
        )

    asyncio.run(scenario())


def test_an_error_of_ours_is_reported_and_not_told(tmp_path: Path) -> None:
    reports: list[str] = []

    def handle(request: Request) -> Result:
        raise RuntimeError("internal detail")

    async def scenario() -> None:
        async with serving(tmp_path / "c.sock", handle, reports.append):
            with pytest.raises(Refusal) as caught:
                await asyncio.to_thread(ask_socket, tmp_path / "c.sock", ListDevices())
            assert "internal detail" not in str(caught.value)
            assert caught.value.exit_code == 1

    asyncio.run(scenario())
    assert "internal detail" in reports[0]


def test_nobody_at_the_socket_is_no_broker(tmp_path: Path) -> None:
    assert ask_socket(tmp_path / "absent.sock", AskStatus()) is None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    assert ask_socket(tmp_path / "dead.sock", AskStatus()) is None


def test_the_socket_is_for_its_owner_alone_and_goes_with_the_server(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path / "c.sock", lambda request: STATUS):
            assert stat.S_IMODE((tmp_path / "c.sock").stat().st_mode) == 0o600

    asyncio.run(scenario())
    assert not (tmp_path / "c.sock").exists()


def test_a_socket_that_a_crash_left_behind_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(tmp_path / "c.sock"))

    async def scenario() -> None:
        async with serving(tmp_path / "c.sock", lambda request: STATUS):
            assert await asyncio.to_thread(ask_socket, tmp_path / "c.sock", AskStatus()) == STATUS

    asyncio.run(scenario())


def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120)
    folder.mkdir()

    async def scenario() -> None:
        async with serving(folder / "control.sock", lambda request: STATUS):
            assert await asyncio.to_thread(ask_socket, folder / "control.sock", AskStatus()) == STATUS

    asyncio.run(scenario())
    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"nonsense\n",
        b"[]\n",
        b'{"op":"format-disk"}\n',
        b'{"op":"status","extra":1}\n',
        b'{"op":"show","id":5}\n',
        b'{"op":"change","id":"a","to":"pending"}\n',
        b"\xff\xfe\n",
    ],
)
def test_what_is_no_request_is_refused_and_never_handled(tmp_path: Path, line: bytes) -> None:
    def handle(request: Request) -> Result:
        raise AssertionError("it was handled")

    async def scenario() -> None:
        async with serving(tmp_path / "c.sock", handle):
            answer = json.loads(await asyncio.to_thread(raw, tmp_path / "c.sock", line))
            assert "not a request" in answer["failure"]["message"]

    asyncio.run(scenario())


def test_a_request_without_end_is_dropped_at_its_bound(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path / "c.sock", lambda request: STATUS):
            flood = b"x" * (MAX_REQUEST_BYTES * 4)
            assert await asyncio.to_thread(raw, tmp_path / "c.sock", flood) == b""
            assert await asyncio.to_thread(ask_socket, tmp_path / "c.sock", AskStatus()) == STATUS

    asyncio.run(scenario())


def test_requests_of_many_are_handled_one_after_another(tmp_path: Path) -> None:
    busy = 0

    def handle(request: Request) -> Result:
        nonlocal busy
        busy += 1
        assert busy == 1
        busy -= 1
        return Devices(())

    async def scenario() -> None:
        path = tmp_path / "c.sock"
        async with serving(path, handle):
            asked = [asyncio.to_thread(ask_socket, path, ListDevices()) for _ in range(20)]
            assert await asyncio.gather(*asked) == [Devices(())] * 20

    asyncio.run(scenario())

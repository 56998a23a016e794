"""Sockets of our own: writing, closing, half-closing, errors, and being told when they are ready."""

import asyncio
import contextlib
import errno
import os
import resource
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from bollard.base.events import LimitReached, ServerWarning
from bollard.net import poller as module
from bollard.net.listener import ListenerSettings, bind_tcp
from bollard.net.poller import Acceptor, Poller, Selector
from bollard.net.stream import Door, PlainStream
from bollard.net.transport import HIGH_WATER_BYTES, LOW_WATER_BYTES

from .fake_broker import FakeBroker, FakeConnection, serving, until

PLAIN = ListenerSettings(host="127.0.0.1", allow_plaintext=True)


@pytest.fixture(params=["epoll", "any selector"])
def selector(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands behind the poller."""
    if request.param == "epoll" and not hasattr(select, "epoll"):
        pytest.skip("this system has no epoll")
    if request.param != "epoll":
        monkeypatch.setattr(module, "new_selector", Selector)


pytestmark = pytest.mark.usefixtures("selector")


async def one_connection(server) -> tuple[FakeConnection, asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await server.connect()
    writer.write(b"x")
    await until(lambda: server.broker.accepted and server.broker.accepted[-1].received)
    return server.broker.accepted[-1], reader, writer


def reset(writer: asyncio.StreamWriter) -> None:
    """Go without a good-bye: the peer gets a reset."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def silent(connection: FakeConnection, data: bytes) -> None:
    """Echo nothing."""


def admit(connection: FakeConnection, data: bytes) -> None:
    connection.connected = True


def silence(problem: str) -> None:
    """Nobody is warned."""


async def test_what_the_kernel_does_not_take_waits_and_goes_in_order() -> None:
    async with serving(PLAIN, broker=FakeBroker(on_receive=silent)) as server:
        connection, reader, _ = await one_connection(server)
        transport = connection.owner.transport
        parts = [bytes([number]) * 1_000_000 for number in range(8)]
        for part in parts:
            transport.write(part)
        assert transport.get_write_buffer_size() > HIGH_WATER_BYTES
        assert not connection.writable
        assert await reader.readexactly(8_000_000) == b"".join(parts)
        await until(lambda: connection.writable)
        assert transport.get_write_buffer_size() <= LOW_WATER_BYTES


async def test_what_waits_still_goes_after_a_close_and_then_the_end() -> None:
    async with serving(PLAIN, broker=FakeBroker(on_receive=silent)) as server:
        connection, reader, _ = await one_connection(server)
        transport = connection.owner.transport
        transport.write(bytes(6_000_000))
        transport.close()
        transport.write(b"too late")
        assert transport.is_closing()
        assert not server.broker.gone
        assert len(await reader.read(-1)) == 6_000_000
        await until(lambda: server.broker.gone)


async def test_an_end_of_output_comes_behind_what_waits() -> None:
    async with serving(PLAIN, broker=FakeBroker(on_receive=silent)) as server:
        connection, reader, writer = await one_connection(server)
        transport = connection.owner.transport
        transport.write(bytes(6_000_000))
        transport.write_eof()
        assert len(await reader.read(-1)) == 6_000_000
        writer.write(b"still heard")
        await until(lambda: connection.received == b"xstill heard")


async def test_who_is_not_read_is_not_told_of_and_then_heard_completely() -> None:
    async with serving(PLAIN, broker=FakeBroker(on_receive=silent)) as server:
        connection, _, writer = await one_connection(server)
        transport = connection.owner.transport
        transport.pause_reading()
        writer.write(b"later")
        await asyncio.sleep(0.02)
        assert connection.received == b"x"
        assert not transport.is_reading()
        transport.resume_reading()
        await until(lambda: connection.received == b"xlater")


async def test_a_peer_that_resets_while_it_is_not_read_costs_nothing_until_it_is_read() -> None:
    async with serving(PLAIN, broker=FakeBroker(on_receive=silent)) as server:
        connection, _, writer = await one_connection(server)
        transport = connection.owner.transport
        transport.pause_reading()
        reset(writer)
        turns = server.broker.turns
        await asyncio.sleep(0.03)
        assert server.broker.turns <= turns + 2
        transport.resume_reading()
        await until(lambda: server.broker.gone)


async def test_a_write_to_who_has_gone_ends_the_connection_later_and_once() -> None:
    async with serving(PLAIN, broker=FakeBroker(on_receive=silent)) as server:
        connection, _, writer = await one_connection(server)
        stream = connection.owner
        transport = stream.transport
        transport.pause_reading()
        reset(writer)
        await asyncio.sleep(0.02)
        transport.write(b"anybody?")
        transport.write(b"hello?")
        assert transport.is_closing()
        assert not server.broker.gone, "a stream must not hear of its end within its own call"
        await until(lambda: server.broker.gone == [connection])


async def test_an_abort_loses_what_waits_and_gives_the_descriptor_back() -> None:
    async with serving(PLAIN, broker=FakeBroker(on_receive=silent)) as server:
        connection, reader, _ = await one_connection(server)
        transport = connection.owner.transport
        fd = transport.fileno()
        transport.write(bytes(6_000_000))
        transport.abort()
        transport.abort()
        transport.close()
        await until(lambda: server.broker.gone == [connection])
        assert transport.fileno() == -1
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            os.fstat(fd)
        with contextlib.suppress(ConnectionResetError):
            assert len(await reader.read(-1)) < 6_000_000


async def test_a_unix_peer_that_shuts_down_and_reads_nothing_is_gone(tmp_path: Path) -> None:
    settings = ListenerSettings(path=tmp_path / "mqtt.sock")
    async with serving(settings, broker=FakeBroker(on_receive=silent)) as server:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(settings.path))
            client.send(b"x")
            await until(lambda: server.broker.accepted)
            server.broker.accepted[0].owner.transport.write(bytes(6_000_000))
            client.shutdown(socket.SHUT_RDWR)
            await until(lambda: server.broker.gone)


async def test_a_peer_that_says_its_last_and_takes_nothing_is_not_waited_for_for_long() -> None:
    async with serving(PLAIN, broker=FakeBroker(on_receive=silent), close_timeout_s=0.1) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.send(b"x")
            await until(lambda: server.broker.accepted)
            server.broker.accepted[0].owner.transport.write(bytes(30_000_000))
            client.shutdown(socket.SHUT_WR)
            await until(lambda: server.broker.gone)


async def test_files_that_are_about_to_come_back_are_waited_for() -> None:
    async with serving(PLAIN, max_connections=1, broker=FakeBroker(on_receive=admit)) as server:
        await one_connection(server)
        clients = [socket.socket() for _ in range(3)]
        with no_more_files(but=1):
            for client in clients:
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.connect(("127.0.0.1", server.port))
            await until(lambda: len(server.of(LimitReached)) == 3)
        for client in clients:
            client.close()


class Broken(PlainStream):
    def data_received(self, buffer: bytearray, size: int) -> None:
        raise RuntimeError("no stream does this")


async def test_a_stream_that_fails_costs_its_own_connection() -> None:
    loop = asyncio.get_running_loop()
    problems: list[dict[str, object]] = []
    loop.set_exception_handler(lambda loop, context: problems.append(context))
    async with serving(PLAIN, broker=FakeBroker(on_receive=silent)) as server:
        healthy, _, other = await one_connection(server)
        (sock,) = bind_tcp([(socket.AF_INET, "127.0.0.1")], 0)
        door = Door("broken", "plaintext")
        acceptor = Acceptor(server.pump.poller, loop, sock, lambda: Broken(server.pump, door), silence)
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        server.clients.append(writer)
        writer.write(b"boom")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        assert [str(problem["exception"]) for problem in problems] == ["no stream does this"]
        assert server.pump.gate.total == 1
        other.write(b"fine")
        await until(lambda: healthy.received == b"xfine")
        acceptor.close()


@contextlib.contextmanager
def no_more_files(but: int = 0) -> Iterator[None]:
    """Every file that this process could open is open, but so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + but, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_files_nobody_is_accepted_and_the_owner_told_and_later_everybody_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "EXHAUSTED_PAUSE_S", 0.05)
    async with serving(PLAIN, expect_warnings=True) as server:
        with socket.socket() as client:
            client.setblocking(False)
            with no_more_files():
                with contextlib.suppress(BlockingIOError):
                    client.connect(("127.0.0.1", server.port))
                await until(lambda: server.of(ServerWarning))
            client.send(b"patient")
            await until(lambda: server.broker.accepted and server.broker.accepted[0].received == b"patient")
        assert "Too many open files" in server.of(ServerWarning)[0].detail


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_peers_are_named_by_their_address(family: int) -> None:
    """Also IPv4 clients of a dual-stack socket."""
    try:
        (sock,) = bind_tcp([(socket.AF_INET6, "::")], 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    loop = asyncio.get_running_loop()
    async with serving(PLAIN) as server:
        door = Door("both", "plaintext")
        acceptor = Acceptor(server.pump.poller, loop, sock, lambda: PlainStream(server.pump, door), silence)
        host = "127.0.0.1" if family == socket.AF_INET else "::1"
        _, writer = await asyncio.open_connection(host, sock.getsockname()[1])
        server.clients.append(writer)
        writer.write(b"x")
        await until(lambda: server.broker.accepted)
        peer = server.broker.accepted[0].peer
        assert (peer.address, peer.port) == (host, writer.get_extra_info("sockname")[1])
        acceptor.close()


async def test_a_poller_that_serves_nobody_holds_no_files() -> None:
    loop = asyncio.get_running_loop()
    before = set(os.listdir("/proc/self/fd"))
    poller = Poller(loop, lambda: None)
    (sock,) = bind_tcp([(socket.AF_INET, "127.0.0.1")], 0)
    acceptor = Acceptor(poller, loop, sock, lambda: None, silence)
    assert set(os.listdir("/proc/self/fd")) > before
    acceptor.close()
    acceptor.close()
    assert set(os.listdir("/proc/self/fd")) == before

"""Floods: ten thousand rapid connections and handshake storms, while others are served."""

import asyncio
import contextlib
import gc
import resource
import socket
import ssl
import struct
import sys
from pathlib import Path

import pytest

from bollard.net.listener import ListenerSettings
from bollard.net.stream import Stream

from .conftest import Certificates
from .fake_broker import Server, serving, until

HELLO_START = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
OPENINGS = (
    b"",
    b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
    HELLO_START,
    b"\xff" * 300,
    b"GET / HTTP/1.1\r\n\r\n",
)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def strike(port: int, opening: bytes) -> None:
    """Connect, say `opening`, and vanish with a reset, so that no port stays occupied."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(ConnectionError):
            await loop.sock_connect(sock, ("127.0.0.1", port))
            if opening:
                await loop.sock_sendall(sock, opening)


async def echo_once(server: Server, context: ssl.SSLContext) -> None:
    reader, writer = await server.connect(context)
    writer.write(b"served")
    assert await reader.readexactly(6) == b"served"
    writer.close()


@pytest.mark.slow
async def test_ten_thousand_rapid_connections_leave_nothing_behind(certificates: Certificates) -> None:
    async def batches(server: Server, count: int) -> None:
        for batch in range(count):
            await asyncio.gather(*(strike(server.port, OPENINGS[n % len(OPENINGS)]) for n in range(100)))
            if batch % 10 == 0:
                await echo_once(server, client)

    client = certificates.client()
    async with serving(ListenerSettings(host="127.0.0.1"), certificates.server()) as server:
        await batches(server, 10)
        await until(lambda: server.pump.gate.total == 0)
        server.clients.clear()
        gc.collect()
        before = resident_bytes()
        await batches(server, 100)
        await until(lambda: server.pump.gate.total == 0)
        server.clients.clear()
        server.broker.accepted.clear()
        server.broker.gone.clear()
        server.events.clear()
        gc.collect()
        assert not [thing for thing in gc.get_objects() if isinstance(thing, Stream)]
        if sys.platform == "linux":
            assert resident_bytes() - before < 16 * 2**20
        await echo_once(server, client)


async def test_a_handshake_storm_does_not_silence_those_who_are_connected(
    certificates: Certificates,
) -> None:
    client = certificates.client()
    async with serving(ListenerSettings(host="127.0.0.1"), certificates.server()) as server:
        reader, writer = await server.connect(client)
        storm = [asyncio.create_task(server.connect(client)) for _ in range(60)]
        await until(lambda: server.pump.gate.total > 30)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        assert not all(task.done() for task in storm)
        await asyncio.gather(*storm)


async def test_half_handshakes_of_one_address_do_not_lock_out_another_client(
    certificates: Certificates,
) -> None:
    client = certificates.client()
    async with serving(
        ListenerSettings(host="127.0.0.1"), certificates.server(), max_handshakes=10, handshake_timeout_s=5
    ) as server:
        for _ in range(30):
            _, writer = await server.connect()
            writer.write(HELLO_START)
        await echo_once(server, client)

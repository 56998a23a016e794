"""The HTTPS listener by itself: what strangers can take from it, which is little."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bollard.base.errors import LocalError
from bollard.web import https

GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
AUTHORITY = trustme.CA()


async def hello(request: Request) -> PlainTextResponse:
    certificate = getattr(request.state, https.CERTIFICATE)
    return PlainTextResponse("nobody" if certificate is None else "somebody")


APP = Starlette(routes=[Route("/", hello)])


@asynccontextmanager
async def door() -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    async with https.serving(APP, "127.0.0.1", 0, context) as address:
        yield int(address.rpartition(":")[2])


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return await asyncio.open_connection("127.0.0.1", port, ssl=context)


async def get(port: int) -> bytes:
    reader, writer = await connect(port)
    writer.write(GET)
    answer = await reader.read()
    writer.close()
    return answer


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What still comes, to the end, however that comes."""
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""


def test_a_request_is_answered() -> None:
    async def talk() -> None:
        async with door() as port:
            answer = await get(port)
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"nobody")
            assert b"uvicorn" not in answer.lower()

    asyncio.run(talk())


def test_who_stalls_in_a_request_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https, "LIFE_S", 0.2)

    async def talk() -> None:
        async with door() as port:
            reader, writer = await connect(port)
            writer.write(GET[:-2])
            assert await ended(reader) == b""
            writer.close()
            assert b"200" in await get(port)

    asyncio.run(talk())


def test_who_stalls_in_the_handshake_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https, "HANDSHAKE_TIMEOUT_S", 0.2)

    async def talk() -> None:
        async with door() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await ended(reader) == b""
            writer.close()

    asyncio.run(talk())


def test_more_connections_than_allowed_are_dropped_and_the_others_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(https, "MAX_CONNECTIONS", 3)

    async def talk() -> None:
        async with door() as port:
            idle = [await connect(port) for _ in range(3)]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await ended(reader) == b""
            writer.close()
            idle[0][1].write(GET)
            assert b"200" in await ended(idle[0][0])
            for _, other in idle:
                other.close()
            await asyncio.sleep(0.05)
            assert b"200" in await get(port)

    asyncio.run(talk())


def test_headers_without_end_are_refused() -> None:
    async def talk() -> None:
        async with door() as port:
            reader, writer = await connect(port)
            writer.write(b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * (https.MAX_HEADER_BYTES + 10))
            assert (await ended(reader))[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 431")
            writer.close()

    asyncio.run(talk())


def test_a_busy_port_says_so() -> None:
    async def talk() -> None:
        async with door() as port:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            with pytest.raises(LocalError, match="cannot serve HTTPS"):
                async with https.serving(APP, "127.0.0.1", port, context):
                    pass

    asyncio.run(talk())

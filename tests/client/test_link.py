import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bollard.base.errors import LocalError
from bollard.client import Client, ConnectFailed, ConnectionLost
from bollard.client.link import Address
from bollard.wire.codec import encode
from bollard.wire.connect import Connack
from bollard.wire.publish import encode_publish

MQTT = [Subprotocol("mqtt")]
Handler = Callable[[ServerConnection], Awaitable[None]]


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)


async def one_message(socket: ServerConnection) -> None:
    """Accept, and send CONNACK and a PUBLISH in frames that cut through both packets."""
    assert socket.subprotocol == "mqtt"
    await socket.recv()
    data = encode(Connack(), 5) + encode_publish(b"a", b"over the web", version=5)
    for start in range(0, len(data), 3):
        await socket.send(data[start : start + 3])
    await socket.wait_closed()


async def against(
    handler: Handler,
    use: Callable[[int], Awaitable[None]],
    context: ssl.SSLContext | None = None,
    subprotocols: list[Subprotocol] | None = MQTT,
) -> None:
    server = await serve(handler, "127.0.0.1", 0, subprotocols=subprotocols, ssl=context)
    async with server:
        port = next(iter(server.sockets)).getsockname()[1]
        await asyncio.wait_for(use(port), 10)


def test_mqtt_goes_through_a_websocket_over_tls() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def use(port: int) -> None:
        with authority.cert_pem.tempfile() as ca_file:
            async with Client("127.0.0.1", port, ca_file=ca_file, websocket=True) as client:
                async for message in client.messages:
                    assert message.payload == b"over the web"
                    break

    asyncio.run(against(one_message, use, context))


def test_a_websocket_server_without_mqtt_is_refused() -> None:
    async def use(port: int) -> None:
        with pytest.raises(ConnectFailed, match="WebSocket"):
            async with Client("127.0.0.1", port, websocket=True, allow_plaintext=True):
                pass

    asyncio.run(against(one_message, use, subprotocols=None))


def test_a_server_that_knows_no_websocket_is_refused() -> None:
    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(attend, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ConnectFailed, match="WebSocket"):
                async with Client("127.0.0.1", port, websocket=True, allow_plaintext=True):
                    pass

    asyncio.run(scenario())


@pytest.mark.parametrize("said", ["text", b"\0" * 9_000_000], ids=["text", "too large"])
def test_what_is_no_mqtt_frame_ends_the_connection(said: str | bytes) -> None:
    async def rude(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(encode(Connack(), 5))
        try:
            await socket.send(said)
            await socket.wait_closed()
        except ConnectionClosed:
            return

    async def use(port: int) -> None:
        async with Client(
            "127.0.0.1", port, websocket=True, allow_plaintext=True, max_packet_bytes=1000
        ) as client:
            with pytest.raises(ConnectionLost):
                async for _ in client.messages:
                    pass

    asyncio.run(against(rude, use))


@pytest.mark.parametrize(
    ("address", "port"),
    [
        (Address(host="h"), 8883),
        (Address(host="h", allow_plaintext=True), 1883),
        (Address(host="h", websocket=True), 443),
        (Address(host="h", port=7), 7),
    ],
    ids=["tls", "plaintext", "websocket", "given"],
)
def test_every_transport_has_its_usual_port(address: Address, port: int) -> None:
    assert address.actual_port == port


def test_an_ipv6_address_is_shown_in_brackets() -> None:
    assert str(Address(host="::1", port=1)) == "[::1]:1"


def test_a_host_or_a_socket_is_needed_and_not_both() -> None:
    with pytest.raises(LocalError):
        Address()
    with pytest.raises(LocalError):
        Address(host="h", unix_path="/s")

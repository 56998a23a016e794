"""Raw MQTT bytes against the real engine, over each transport and both event loops."""

import asyncio
import contextlib
import hashlib
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bollard.base.authentication import Accepted, Answer, Question, Refused
from bollard.base.events import (
    ClientConnected,
    ClientDisconnected,
    ConnectRefused,
    Event,
    ServerWarning,
)
from bollard.base.types import Action, Decision
from bollard.engine.broker import Broker, Limits
from bollard.net.gate import TransportLimits
from bollard.net.listener import Listener, ListenerSettings
from bollard.net.pump import Pump

from .conftest import Certificates
from .test_stream import WebClient

PUBLISH, DISCONNECT = 0x30, 0xE0


class AllowAll:
    def decide(self, principal: str, action: Action, topic: str) -> Decision:
        return Decision(True)


class Tokens:
    """Distinct; tests need no secrets."""

    def __init__(self) -> None:
        self.count = 0

    def token(self) -> str:
        self.count += 1
        return hashlib.sha256(b"%d" % self.count).hexdigest()


class Doorman:
    """A certificate names its owner; otherwise any user name does, but "mallory"."""

    def answer(self, question: Question) -> Answer:
        if question.peer.certificate is not None:
            return Accepted("device-" + hashlib.sha256(question.peer.certificate).hexdigest()[:8])
        if question.username == "mallory":
            return Refused(0x86, "unknown user")
        return Accepted(question.username or "anonymous")


def text(words: str) -> bytes:
    return struct.pack(">H", len(words)) + words.encode()


def packet(header: int, body: bytes) -> bytes:
    size, length = len(body), b""
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | (0x80 if size else 0)])
        if not size:
            return bytes([header]) + length + body


def connect(client_id: str, version: int = 4, user: str = "", will: str = "", keepalive_s: int = 0) -> bytes:
    flags = 2 | (0x80 if user else 0) | (0x04 if will else 0)
    properties = b"\x00" if version == 5 else b""
    body = text("MQTT") + bytes([version, flags]) + struct.pack(">H", keepalive_s) + properties
    body += text(client_id)
    if will:
        body += properties + text(will) + text("gone")
    return packet(0x10, body + (text(user) if user else b""))


def subscribe(topic_filter: str) -> bytes:
    return packet(0x82, b"\x00\x01" + text(topic_filter) + b"\x00")


def publish(topic: str, payload: bytes) -> bytes:
    return packet(PUBLISH, text(topic) + payload)


@dataclass
class Client:
    """An MQTT client that knows where packets end and little else."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def packet(self) -> tuple[int, bytes]:
        async with asyncio.timeout(5):
            header = (await self.reader.readexactly(1))[0]
            size = shift = 0
            while True:
                digit = (await self.reader.readexactly(1))[0]
                size |= (digit & 127) << shift
                shift += 7
                if digit < 128:
                    return header, await self.reader.readexactly(size)

    async def ended(self) -> bool:
        async with asyncio.timeout(5):
            return await self.reader.read(1) == b""

    async def connected(self, client_id: str, **options: object) -> "Client":
        self.writer.write(connect(client_id, **options))
        header, body = await self.packet()
        assert header == 0x20
        assert body[1] == 0
        return self

    async def subscribed(self, topic_filter: str) -> "Client":
        self.writer.write(subscribe(topic_filter))
        assert (await self.packet())[0] == 0x90
        return self


@dataclass
class Running:
    broker: Broker
    pump: Pump
    listeners: dict[str, Listener]
    events: list[Event]
    certificates: Certificates
    writers: list[asyncio.StreamWriter]

    async def client(self, transport: str, context: ssl.SSLContext | None = None) -> Client:
        listener = self.listeners[transport]
        if transport == "unix":
            streams = await asyncio.open_unix_connection(str(listener.settings.path))
        else:
            if transport == "tls":
                context = context or self.certificates.client()
            streams = await asyncio.open_connection("127.0.0.1", listener.port, ssl=context)
        self.writers.append(streams[1])
        return Client(*streams)

    @property
    def port(self) -> int:
        return self.listeners["websocket"].port

    async def connect(
        self, context: ssl.SSLContext | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """What a `WebClient` asks of a server."""
        streams = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        self.writers.append(streams[1])
        return streams

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


@contextlib.asynccontextmanager
async def running(
    certificates: Certificates, folder: Path, limits: Limits | None = None, **transport_limits: float
) -> AsyncIterator[Running]:
    """The real broker behind a listener of each kind."""
    loop = asyncio.get_running_loop()
    events: list[Event] = []
    broker = Broker(limits=limits or Limits(), authorizer=AllowAll(), entropy=Tokens(), now=0.0)
    pump = Pump(broker, Doorman(), events.append, limits=TransportLimits(**transport_limits))
    local = "127.0.0.1"
    listeners = {
        "tls": Listener(ListenerSettings(host=local), pump, certificates.server()),
        "websocket": Listener(
            ListenerSettings(host=local, websocket=True), pump, certificates.server("websocket")
        ),
        "plain": Listener(ListenerSettings(host=local, allow_plaintext=True), pump),
        "unix": Listener(ListenerSettings(path=folder / "mqtt.sock"), pump),
    }
    for listener in listeners.values():
        await listener.start()
    server = Running(broker, pump, listeners, events, certificates, [])
    try:
        yield server
    finally:
        for writer in server.writers:
            writer.close()
        for listener in listeners.values():
            await listener.stop()
        await pump.stop(grace_s=0.5)
        for writer in server.writers:
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()
    assert loop.is_running()
    assert pump.gate.total == 0
    assert list(broker.connections()) == []
    assert not server.of(ServerWarning)


@pytest.mark.parametrize("transport", ["tls", "plain", "unix"])
@pytest.mark.parametrize("version", [4, 5])
async def test_a_message_comes_back_over_each_transport(
    certificates: Certificates, tmp_path: Path, transport: str, version: int
) -> None:
    async with running(certificates, tmp_path) as server:
        client = await (await server.client(transport)).connected("a", version=version)
        if version == 4:
            await client.subscribed("t/#")
            client.writer.write(publish("t/x", b"payload"))
            assert await client.packet() == (PUBLISH, text("t/x") + b"payload")
        client.writer.write(b"\xc0\x00")
        assert await client.packet() == (0xD0, b"")
        client.writer.write(b"\xe0\x00")
        assert await client.ended()


async def test_websocket_tls_and_unix_clients_meet_in_one_broker(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with running(certificates, tmp_path) as server:
        local = await (await (await server.client("unix")).connected("local")).subscribed("#")
        secure = await (await (await server.client("tls")).connected("secure")).subscribed("#")
        web = WebClient(server)
        assert await web.open(certificates.client()) == 101
        web.send(connect("web"))
        assert bytes((await web.event()).data) == b"\x20\x02\x00\x00"
        message = publish("from/web", b"hello")
        web.send(message[:5])  # [MQTT5-6.0.0-2]
        web.send(message[5:] + subscribe("to/web"))
        for client in (local, secure):
            assert await client.packet() == (PUBLISH, text("from/web") + b"hello")
        assert bytes((await web.event()).data) == b"\x90\x03\x00\x01\x00"
        secure.writer.write(publish("to/web", b"welcome"))
        assert bytes((await web.event()).data) == publish("to/web", b"welcome")


async def test_a_large_message_crosses_from_tls_to_a_unix_socket(
    certificates: Certificates, tmp_path: Path
) -> None:
    payload = bytes(range(256)) * 4000
    async with running(certificates, tmp_path) as server:
        receiver = await (await (await server.client("unix")).connected("r")).subscribed("big")
        sender = await (await server.client("tls")).connected("s")
        sender.writer.write(publish("big", payload))
        assert await receiver.packet() == (PUBLISH, text("big") + payload)


async def test_a_device_certificate_decides_who_it_is(certificates: Certificates, tmp_path: Path) -> None:
    async with running(certificates, tmp_path) as server:
        client = await server.client("tls", certificates.device("plug"))
        await client.connected("c")
        (event,) = server.of(ClientConnected)
        assert event.principal.startswith("device-")
        assert event.listener == "tls 127.0.0.1:0"


async def test_a_refused_client_reads_the_refusal_before_the_end(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with running(certificates, tmp_path) as server:
        client = await server.client("tls")
        client.writer.write(connect("c", version=5, user="mallory"))
        client.writer.write(publish("too/eager", bytes(50_000)))
        header, body = await client.packet()
        assert (header, body[1]) == (0x20, 0x86)
        assert await client.ended()
        assert server.of(ConnectRefused)


async def test_garbage_after_tls_ends_one_connection_and_serves_the_others(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with running(certificates, tmp_path) as server:
        good = await (await (await server.client("tls")).connected("good")).subscribed("#")
        for garbage in (b"\x00\x00", b"\xff" * 1000, b"\x10\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n" * 10):
            bad = await server.client("tls")
            bad.writer.write(garbage)
            assert await bad.ended()
        good.writer.write(publish("still", b"here"))
        assert await good.packet() == (PUBLISH, text("still") + b"here")


async def test_a_peer_that_says_nothing_after_tls_is_closed_by_the_broker(
    certificates: Certificates, tmp_path: Path
) -> None:
    limits = Limits(connect_timeout_s=0.2)
    async with running(certificates, tmp_path, limits) as server:
        for transport in ("tls", "plain", "unix"):
            client = await server.client(transport)
            client.writer.write(connect("never complete")[:5])
            assert await client.ended()


async def test_a_takeover_tells_the_first_client(certificates: Certificates, tmp_path: Path) -> None:
    async with running(certificates, tmp_path) as server:
        first = await (await server.client("tls")).connected("same", version=5)
        await (await server.client("tls")).connected("same", version=5)
        header, body = await first.packet()
        assert (header, body[0]) == (DISCONNECT, 0x8E)
        assert await first.ended()


async def test_a_client_that_dies_leaves_its_will(certificates: Certificates, tmp_path: Path) -> None:
    async with running(certificates, tmp_path) as server:
        witness = await (await (await server.client("unix")).connected("w")).subscribed("will/#")
        victim = await (await server.client("tls")).connected("v", will="will/v")
        victim.writer.transport.abort()
        assert await witness.packet() == (PUBLISH, text("will/v") + b"gone")
        assert any(event.by == "network" for event in server.of(ClientDisconnected))


async def test_a_kicked_client_is_told_and_closed(certificates: Certificates, tmp_path: Path) -> None:
    async with running(certificates, tmp_path) as server:
        client = await (await server.client("tls")).connected("c", version=5, user="plug")
        report = server.broker.kick("plug", 0x98, "revoked", asyncio.get_running_loop().time())
        server.pump.wake()
        assert report.connections == 1
        header, body = await client.packet()
        assert (header, body[0]) == (DISCONNECT, 0x98)
        assert await client.ended()


async def test_stopping_sends_server_shutting_down(certificates: Certificates, tmp_path: Path) -> None:
    async with running(certificates, tmp_path) as server:
        client = await (await server.client("tls")).connected("c", version=5)
        older = await (await server.client("plain")).connected("d")
        stop = asyncio.create_task(server.pump.stop(grace_s=1.0))
        header, body = await client.packet()
        assert (header, body[0]) == (DISCONNECT, 0x8B)
        assert await client.ended()
        assert await older.ended()
        client.writer.close()
        older.writer.close()
        await stop


async def test_a_slow_reader_misses_messages_and_nobody_else_does(
    certificates: Certificates, tmp_path: Path
) -> None:
    limits = Limits(max_outbox_bytes=200_000)
    async with running(certificates, tmp_path, limits, close_timeout_s=0.2) as server:
        slow = await (await (await server.client("plain")).connected("slow")).subscribed("flood")
        slow.reader._transport.pause_reading()
        fast = await (await (await server.client("tls")).connected("fast")).subscribed("flood")
        sender = await (await server.client("unix")).connected("sender")
        count, payload = 300, bytes(50_000)
        for _ in range(count):
            sender.writer.write(publish("flood", payload))
            await fast.packet()
        queued = [connection.size for connection in server.broker.connections()]
        assert max(queued) <= limits.max_outbox_bytes
        assert server.broker.counters.publish_dropped > 0


async def test_one_burst_reaches_many_subscribers_whole_and_in_order(
    certificates: Certificates, tmp_path: Path
) -> None:
    count = 400
    async with running(certificates, tmp_path) as server:
        subscribers = [
            await (await (await server.client("plain")).connected(f"s{n}")).subscribed("burst")
            for n in range(20)
        ]
        sender = await (await server.client("tls")).connected("sender")
        burst = [publish("burst", b"%05d" % n + bytes(500)) for n in range(count)]
        sender.writer.write(b"".join(burst))
        for subscriber in subscribers:
            async with asyncio.timeout(10):
                assert await subscriber.reader.readexactly(sum(map(len, burst))) == b"".join(burst)

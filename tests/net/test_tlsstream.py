"""Streams over both kinds of channel: the same bytes, tickets that travel with the first words, and ends."""

import asyncio
import contextlib
import ssl

import pytest

from bollard.base.events import TransportRefused
from bollard.net.channel import SslObjectChannel
from bollard.net.listener import ListenerSettings

from .conftest import Certificates
from .fake_broker import FakeBroker, FakeConnection, Server, serving, until
from .tls_pair import KINDS

TLS = ListenerSettings(host="127.0.0.1")
WSS = ListenerSettings(host="127.0.0.1", websocket=True, origins=("https://console.example",))


@pytest.fixture(params=KINDS.values(), ids=KINDS, autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bollard.net.tlsstream.open_channel", request.param)


class Client:
    """TLS between a socket and us, so that each record can be looked at."""

    def __init__(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname="127.0.0.1", session=session
        )

    async def connect(self, server: Server) -> None:
        self.reader, self.writer = await server.connect()
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.flush()
                self._incoming.write(await self.reader.read(65_536))
        self.flush()

    def flush(self) -> None:
        if data := self._outgoing.read():
            self.writer.write(data)

    def say(self, data: bytes) -> None:
        self.tls.write(data)
        self.flush()

    async def hear(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end."""
        heard = b""
        while len(heard) < size:
            try:
                piece = self.tls.read(size - len(heard))
            except ssl.SSLWantReadError:
                self._incoming.write(await self.reader.read(65_536))
                continue
            if not piece:
                break
            heard += piece
        return heard


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_megabytes_pass_unchanged(certificates: Certificates, version: ssl.TLSVersion) -> None:
    context = certificates.client()
    context.minimum_version = context.maximum_version = version
    data = bytes(range(256)) * 4096
    async with serving(TLS, certificates.server()) as server:
        reader, writer = await server.connect(context)
        writer.write(data)
        assert await reader.readexactly(len(data)) == data


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_is_resumed_with_its_certificate(
    certificates: Certificates, version: ssl.TLSVersion
) -> None:
    context = certificates.device("plug")
    context.minimum_version = context.maximum_version = version
    async with serving(TLS, certificates.server()) as server:
        session = None
        for _ in range(2):
            client = Client(context, session)
            await client.connect(server)
            client.say(b"x")
            assert await client.hear(1) == b"x"
            assert client.tls.session_reused == (session is not None)
            assert b"plug@device.test" in (server.broker.accepted[-1].peer.certificate or b"")
            session = client.tls.session


async def test_the_ticket_travels_with_the_first_words(certificates: Certificates) -> None:
    async with serving(TLS, certificates.server()) as server:
        client = Client(certificates.client())
        await client.connect(server)
        await until(lambda: server.broker.accepted)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 0.05)
        assert not client.tls.session.has_ticket
        client.say(b"CONNECT")
        assert await client.hear(7) == b"CONNECT"
        assert client.tls.session.has_ticket


async def test_our_end_is_told_to_who_has_not_said_a_word(certificates: Certificates) -> None:
    async with serving(TLS, certificates.server()) as server:
        client = Client(certificates.client())
        await client.connect(server)
        await until(lambda: server.broker.accepted)
        connection = server.broker.accepted[0]
        connection.close()
        server.pump.wake()
        assert await client.hear(1) == b"", "an end without close_notify would raise"


async def test_a_proper_end_behind_the_last_words_loses_nothing(certificates: Certificates) -> None:
    async with serving(TLS, certificates.server()) as server:
        client = Client(certificates.client())
        await client.connect(server)
        with contextlib.suppress(ssl.SSLWantReadError):
            client.tls.write(b"last words")
            client.tls.unwrap()
        client.flush()
        await until(lambda: server.broker.gone)
        assert server.broker.accepted[0].received == b"last words"
        assert server.of(TransportRefused) == []


async def test_a_damaged_record_ends_the_connection_with_an_alert(certificates: Certificates) -> None:
    async with serving(TLS, certificates.server()) as server:
        client = Client(certificates.client())
        await client.connect(server)
        client.say(b"whole")
        assert await client.hear(5) == b"whole"
        client.writer.write(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(ssl.SSLError, match=r"(?i)bad record mac"):
            await client.hear(1)
        await until(lambda: server.broker.gone)
        assert server.broker.accepted[0].received == b"whole"


async def test_nothing_is_written_behind_a_damaged_record(certificates: Certificates) -> None:
    """Although what came before it makes the broker write at once."""
    client = Client(certificates.client())
    broker = FakeBroker()
    async with serving(TLS, certificates.server(), broker=broker) as server:
        await client.connect(server)
        client.say(b"first")
        assert await client.hear(5) == b"first"
        broker.presses = True
        client.tls.write(b"second")
        client.tls.write(b"third")
        records = bytearray(client._outgoing.read())
        records[-1] ^= 1
        client.writer.write(records)
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            await client.hear(100)


class Chatty(SslObjectChannel):
    """As if the peer had made TLS answer much."""

    chatty = False

    def take(self) -> bytes:
        return super().take() + bytes(1_000_000 * self.chatty)


async def test_who_makes_tls_answer_and_takes_no_answer_is_dropped(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bollard.net.tlsstream.open_channel", Chatty)
    client = Client(certificates.client())
    async with serving(TLS, certificates.server()) as server:
        await client.connect(server)
        client.say(b"x")
        assert await client.hear(1) == b"x"
        client.writer.transport.pause_reading()
        monkeypatch.setattr(Chatty, "chatty", True)
        for _ in range(20):
            if not server.broker.gone:
                client.say(b"x")
                await asyncio.sleep(0.005)
        await until(lambda: server.broker.gone)


async def test_what_came_with_the_end_of_the_handshake_is_heard(certificates: Certificates) -> None:
    async with serving(TLS, certificates.server()) as server:
        client = Client(certificates.client())
        reader, writer = await server.connect()
        client.reader, client.writer = reader, writer
        with contextlib.suppress(ssl.SSLWantReadError):
            client.tls.do_handshake()
        client.flush()
        client._incoming.write(await reader.read(65_536))
        client.tls.do_handshake()
        client.say(b"CONNECT")
        assert await client.hear(7) == b"CONNECT"


async def test_output_that_does_not_end_does_not_stop_the_input(certificates: Certificates) -> None:
    def flood(connection: FakeConnection, data: bytes) -> None:
        connection.put(bytes(1_000_000))

    async with serving(TLS, certificates.server(), FakeBroker(on_receive=flood)) as server:
        client = Client(certificates.client())
        await client.connect(server)
        client.say(b"more")
        assert await client.hear(1_000_000) == bytes(1_000_000)


async def test_who_has_ended_tls_is_answered_and_not_waited_for(certificates: Certificates) -> None:
    async with serving(TLS, certificates.server()) as server:
        client = Client(certificates.client())
        await client.connect(server)
        client.say(b"x")
        assert await client.hear(1) == b"x"
        with contextlib.suppress(ssl.SSLWantReadError):
            client.tls.unwrap()
        client.flush()
        await until(lambda: server.broker.gone and not server.pump.gate.total)
        answer = await client.reader.read()
        assert len(answer) == 5 + 2 + 1 + 16, "close_notify, then the end"

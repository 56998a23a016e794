"""Streams over real sockets: what arrives, what leaves, how they part, and abuse of each transport."""

import asyncio
import contextlib
import ssl
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.typing import Origin, Subprotocol
from websockets.uri import parse_uri

from bollard.base.events import LimitReached, TransportRefused
from bollard.net.listener import ListenerSettings
from bollard.net.steps import Stepper
from bollard.net.stream import Door
from bollard.net.transport import HIGH_WATER_BYTES
from bollard.session.connection import Connection

from .conftest import Certificates
from .fake_broker import FakeBroker, FakeConnection, Server, serving, until

PLAIN = ListenerSettings(host="127.0.0.1", allow_plaintext=True)
TLS = ListenerSettings(host="127.0.0.1")
WSS = ListenerSettings(host="127.0.0.1", websocket=True, origins=("https://console.example",))
WS = ListenerSettings(host="127.0.0.1", websocket=True, allow_plaintext=True)

CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"


class WebClient:
    """A WebSocket client on asyncio streams."""

    def __init__(self, server: Server, origin: str | None = None) -> None:
        self.server = server
        self.protocol = ClientProtocol(
            parse_uri("ws://127.0.0.1/mqtt"),
            origin=None if origin is None else Origin(origin),
            subprotocols=[Subprotocol("mqtt")],
        )

    async def open(self, context: ssl.SSLContext | None = None) -> int:
        """Connect and ask for the upgrade; the status of the answer."""
        self.reader, self.writer = await self.server.connect(context)
        self.protocol.send_request(self.protocol.connect())
        self.flush()
        answer = await self.event()
        return answer.status_code

    def flush(self) -> None:
        self.writer.write(b"".join(self.protocol.data_to_send()))

    def send(self, data: bytes) -> None:
        self.protocol.send_binary(data)
        self.flush()

    async def event(self):
        while not (events := self.protocol.events_received()):
            data = await self.reader.read(65_536)
            if not data:
                raise EOFError
            self.protocol.receive_data(data)
        (event,) = events
        return event


async def echo(server: Server, context: ssl.SSLContext | None, data: bytes) -> FakeConnection:
    reader, writer = await server.connect(context)
    writer.write(data)
    assert await reader.readexactly(len(data)) == data
    return server.broker.accepted[-1]


# Passing bytes.


async def test_plaintext_passes_both_ways() -> None:
    async with serving(PLAIN) as server:
        connection = await echo(server, None, b"hello")
        assert connection.peer.transport == "plaintext"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_passes_both_ways(certificates: Certificates, version: ssl.TLSVersion) -> None:
    client = certificates.client()
    client.minimum_version = client.maximum_version = version
    async with serving(TLS, certificates.server()) as server:
        connection = await echo(server, client, b"hello")
        assert connection.peer.transport == "tls"
        assert connection.peer.certificate is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_megabytes_pass_through_tls_unchanged(
    certificates: Certificates, version: ssl.TLSVersion
) -> None:
    client = certificates.client()
    client.maximum_version = version
    data = bytes(range(256)) * 8192
    async with serving(TLS, certificates.server()) as server:
        await echo(server, client, data)


async def test_tls_that_arrives_in_tiny_pieces_is_understood(certificates: Certificates) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = certificates.client().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    async with serving(TLS, certificates.server()) as server:
        reader, writer = await server.connect()

        async def trickle() -> None:
            wire = outgoing.read()
            for start in range(0, len(wire), 97):
                writer.write(wire[start : start + 97])
                await asyncio.sleep(0.001)

        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                await trickle()
                incoming.write(await reader.read(65_536))
        client.write(b"slowly")
        await trickle()
        await until(lambda: server.broker.accepted and server.broker.accepted[0].received == b"slowly")


async def test_a_device_certificate_reaches_the_broker(certificates: Certificates) -> None:
    async with serving(TLS, certificates.server()) as server:
        connection = await echo(server, certificates.device("plug"), b"hello")
        assert b"plug@device.test" in (connection.peer.certificate or b"")
        assert b"plug" not in repr(connection.peer).encode()


async def test_a_unix_socket_passes_both_ways(tmp_path: Path) -> None:
    async with serving(ListenerSettings(path=tmp_path / "mqtt.sock")) as server:
        await echo(server, None, b"hello" * 100_000)


async def test_all_output_of_a_turn_leaves_together() -> None:
    def answer(connection: FakeConnection, data: bytes) -> None:
        for byte in data:
            connection.put(bytes([byte]))

    async with serving(PLAIN, broker=FakeBroker(on_receive=answer)) as server:
        reader, writer = await server.connect()
        writer.write(b"0123456789")
        await until(lambda: server.broker.accepted)
        assert await reader.read(100) == b"0123456789"


@pytest.mark.parametrize(("settings", "transport"), [(WSS, "websocket"), (WS, "plaintext-websocket")])
async def test_websocket_passes_both_ways(
    certificates: Certificates, settings: ListenerSettings, transport: str
) -> None:
    encrypted = not settings.allow_plaintext
    context = certificates.server("websocket") if encrypted else None
    async with serving(settings, context) as server:
        client = WebClient(server)
        assert await client.open(certificates.client() if encrypted else None) == 101
        client.send(b"hello")
        frame = await client.event()
        assert (frame.opcode, bytes(frame.data)) == (Opcode.BINARY, b"hello")
        assert server.broker.accepted[0].peer.transport == transport


async def test_a_websocket_ping_is_answered_and_a_close_is_echoed() -> None:
    async with serving(WS) as server:
        client = WebClient(server)
        await client.open()
        client.protocol.send_ping(b"?")
        client.flush()
        assert (await client.event()).opcode is Opcode.PONG
        client.protocol.send_close(1000)
        client.flush()
        assert (await client.event()).opcode is Opcode.CLOSE
        await until(lambda: server.broker.gone)
        assert server.of(TransportRefused) == []


async def test_a_page_of_another_origin_gets_403(certificates: Certificates) -> None:
    async with serving(WSS, certificates.server("websocket")) as server:
        client = WebClient(server, origin="https://evil.example")
        assert await client.open(certificates.client()) == 403
        assert await client.reader.read() == b""
        assert not server.broker.accepted
        (refused,) = server.of(TransportRefused)
        assert "origin" in refused.reason


async def test_a_websocket_text_frame_ends_the_connection() -> None:
    """[MQTT5-6.0.0-1] [MQTT3-6.0.0-1]"""
    async with serving(WS) as server:
        client = WebClient(server)
        await client.open()
        client.protocol.send_text(b"text")
        client.flush()
        close = await client.event()
        assert close.opcode is Opcode.CLOSE
        assert close.data[:2] == (1003).to_bytes(2, "big")
        await until(lambda: server.broker.gone)


async def test_a_large_frame_before_authentication_is_refused_and_after_it_accepted() -> None:
    async with serving(WS, max_connect_bytes=1000, max_packet_bytes=600_000) as server:
        stranger, friend = WebClient(server), WebClient(server)
        await friend.open()
        friend.send(b"x")
        await friend.event()
        server.broker.accepted[0].connected = True
        friend.send(b"x")
        await friend.event()
        await stranger.open()
        for client in (stranger, friend):
            client.send(bytes(500_000))
        assert (await stranger.event()).opcode is Opcode.CLOSE
        await until(lambda: len(server.broker.accepted[0].received) == 500_002)


@pytest.mark.parametrize("settings", [WSS, WS], ids=["tls", "plain"])
async def test_a_flood_of_tiny_frames_is_taken_in_slices_without_loss(
    certificates: Certificates, settings: ListenerSettings
) -> None:
    encrypted = not settings.allow_plaintext
    context = certificates.server("websocket") if encrypted else None

    def admit(connection: FakeConnection, data: bytes) -> None:
        if data == b"hello":
            connection.connected = True
            connection.put(data)

    async with serving(settings, context, FakeBroker(on_receive=admit)) as server:
        flooding, other = WebClient(server), WebClient(server)
        await flooding.open(certificates.client() if encrypted else None)
        await other.open(certificates.client() if encrypted else None)
        flooding.send(b"hello")
        await flooding.event()
        server.broker.accepted[0].received = b""
        expected = bytes(range(250)) * 40
        for byte in expected:
            flooding.protocol.send_binary(bytes([byte]))
        flooding.protocol.send_close(1000)
        flooding.flush()
        if not encrypted:
            flooding.writer.write_eof()
        await until(lambda: server.broker.accepted[0].received)
        assert len(server.broker.accepted[0].received) < len(expected), "all at once"
        other.send(b"x")
        await until(lambda: server.broker.accepted[1].received == b"x")
        await until(lambda: server.broker.gone == [server.broker.accepted[0]])
        assert server.broker.accepted[0].received == expected


# Who is let in.


async def test_plaintext_mqtt_on_a_tls_port_is_named(certificates: Certificates) -> None:
    async with serving(TLS, certificates.server()) as server:
        reader, writer = await server.connect()
        writer.write(CONNECT)
        assert await reader.read() == b""
        (refused,) = server.of(TransportRefused)
        assert refused.reason == (
            "plaintext MQTT on a TLS port; point the device at TLS with the CA file (server-root.crt)"
        )
        assert refused.address == "127.0.0.1"
        assert not server.broker.accepted


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "plain HTTP on a TLS port"),
        (b"PRI * HTTP/2.0\r\n", "plain HTTP on a TLS port"),
        (b"\x00", "neither TLS nor MQTT"),
        (bytes(range(256)) * 100, "neither TLS nor MQTT"),
        (b"\x16\x03\x01\x00\x05nope!", "TLS"),
        (b"\x16" + b"\xff" * 100_000, "not TLS"),
    ],
)
async def test_garbage_on_a_tls_port_is_refused_and_others_are_served(
    certificates: Certificates, data: bytes, words: str
) -> None:
    async with serving(TLS, certificates.server()) as server:
        reader, writer = await server.connect()
        writer.write(data)
        assert len(await reader.read()) < 20
        (refused,) = server.of(TransportRefused)
        assert words in refused.reason
        await echo(server, certificates.client(), b"still here")


async def test_tls_on_a_plaintext_port_is_named(certificates: Certificates) -> None:
    async with serving(PLAIN) as server:
        with pytest.raises((ssl.SSLError, OSError)):
            await server.connect(certificates.client())
        (refused,) = server.of(TransportRefused)
        assert "TLS on a plaintext port" in refused.reason


async def test_http_on_a_plaintext_port_is_named() -> None:
    async with serving(PLAIN) as server:
        reader, writer = await server.connect()
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await reader.read() == b""
        (refused,) = server.of(TransportRefused)
        assert "HTTP on an MQTT port" in refused.reason


async def test_a_client_that_distrusts_us_is_named(certificates: Certificates) -> None:
    async with serving(TLS, certificates.server()) as server:
        with pytest.raises(ssl.SSLError):
            await server.connect(ssl.create_default_context())
        await until(lambda: server.of(TransportRefused))
        (refused,) = server.of(TransportRefused)
        assert "give it the CA file" in refused.reason


async def test_a_certificate_of_a_stranger_is_refused_with_an_alert(certificates: Certificates) -> None:
    client = certificates.device("plug", trustme.CA())
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(TLS, certificates.server()) as server:
        with pytest.raises(ssl.SSLError, match=r"(?i)alert unknown ca"):
            await server.connect(client)
        (refused,) = server.of(TransportRefused)
        assert "certificate is not accepted" in refused.reason
        assert not server.broker.accepted


async def test_a_client_that_leaves_during_the_handshake_is_reported(certificates: Certificates) -> None:
    async with serving(TLS, certificates.server()) as server:
        outgoing = ssl.MemoryBIO()
        client = certificates.client().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1")
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        reader, writer = await server.connect()
        writer.write(outgoing.read())
        await reader.read(1)
        writer.close()
        await until(lambda: server.of(TransportRefused))
        assert "left during the TLS handshake" in server.of(TransportRefused)[0].reason


async def test_a_port_scan_leaves_no_line(certificates: Certificates) -> None:
    async with serving(TLS, certificates.server()) as server:
        _, writer = await server.connect()
        await until(lambda: server.pump.gate.total == 1)
        writer.close()
        await until(lambda: server.pump.gate.total == 0)
        assert server.events == []


@pytest.mark.parametrize(
    ("address", "networks", "allowed"),
    [
        ("127.0.0.1", [], True),
        ("::1", [], True),
        ("unix", [], True),
        ("192.168.1.7", [], False),
        ("192.168.1.7", ["192.168.1.0/24"], True),
        ("192.168.2.7", ["192.168.1.0/24"], False),
        ("fe80::1%eth0", ["fe80::/10"], True),
        ("2001:db8::1", ["192.168.1.0/24"], False),
    ],
)
def test_plaintext_is_for_loopback_and_named_networks(
    address: str, networks: list[str], allowed: bool
) -> None:
    door = Door("d", "plaintext", plaintext_from=tuple(ip_network(n) for n in networks))
    assert door.admits(address) is allowed


# Stalling.


@pytest.mark.parametrize(
    ("settings", "opening", "words"),
    [
        (PLAIN, b"", "sent nothing within 0.2 s"),
        (TLS, b"", "sent nothing within 0.2 s"),
        (TLS, b"\x16\x03\x01\x02\x00\x01", "did not complete the TLS handshake within 0.2 s"),
        (WS, b"GET /mqtt HTTP/1.1\r\n", "did not complete the upgrade within 0.2 s"),
    ],
)
async def test_a_peer_that_stalls_before_mqtt_is_dropped(
    certificates: Certificates, settings: ListenerSettings, opening: bytes, words: str
) -> None:
    context = None if settings.allow_plaintext else certificates.server()
    async with serving(settings, context, handshake_timeout_s=0.2) as server:
        reader, writer = await server.connect()
        writer.write(opening)
        async with asyncio.timeout(2):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        (refused,) = server.of(TransportRefused)
        assert refused.reason == words


async def test_trickled_handshake_bytes_do_not_buy_time(certificates: Certificates) -> None:
    async with serving(TLS, certificates.server(), handshake_timeout_s=0.3) as server:
        _, writer = await server.connect()
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
        for byte in hello:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)
            if server.events:
                break
        else:
            pytest.fail("the peer was never dropped")


async def test_a_peer_that_sends_faster_than_handshakes_are_run_is_not_read(
    certificates: Certificates,
) -> None:
    async with serving(TLS, certificates.server()) as server:
        waiting: list[Stepper] = []
        server.pump.steps = SimpleNamespace(submit=waiting.append)
        _, writer = await server.connect()
        for _ in range(100):
            writer.write(b"\x16\x03\x01\x40\x00" + bytes(0x4000))
        await until(lambda: waiting)
        (stream,) = waiting
        await until(lambda: not stream.transport.is_reading())
        stream.step()
        await until(lambda: server.of(TransportRefused))


async def test_an_established_connection_has_no_handshake_deadline(certificates: Certificates) -> None:
    async with serving(TLS, certificates.server(), handshake_timeout_s=0.1) as server:
        reader, writer = await server.connect(certificates.client())
        await asyncio.sleep(0.25)
        writer.write(b"late")
        assert await reader.readexactly(4) == b"late"


# Parting.


def farewell(connection: FakeConnection, data: bytes) -> None:
    if not connection.closing:
        connection.put(b"last words")
        connection.close()


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_last_words_arrive_even_when_the_peer_goes_on_talking(
    certificates: Certificates, encrypted: bool
) -> None:
    context = certificates.server() if encrypted else None
    settings = TLS if encrypted else PLAIN
    async with serving(settings, context, FakeBroker(on_receive=farewell)) as server:
        reader, writer = await server.connect(certificates.client() if encrypted else None)
        for _ in range(50):
            writer.write(bytes(10_000))
        assert await reader.read() == b"last words"
        await until(lambda: server.broker.gone)


def depart(connection: FakeConnection, data: bytes) -> None:
    """What the engine does with a DISCONNECT; there may be something left to say."""
    if data != b"DISCONNECT":
        connection.put(data)
    connection.departed = True
    connection.close()


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_who_has_said_good_bye_is_not_waited_for(certificates: Certificates, encrypted: bool) -> None:
    context = certificates.server() if encrypted else None
    settings = TLS if encrypted else PLAIN
    async with serving(settings, context, FakeBroker(on_receive=depart)) as server:
        reader, writer = await server.connect(certificates.client() if encrypted else None)
        writer.write(b"DISCONNECT")
        await until(lambda: server.broker.gone and not server.pump.gate.total)
        assert await reader.read() == b""


async def test_what_is_left_to_say_to_who_departs_is_waited_for() -> None:
    async with serving(PLAIN, None, FakeBroker(on_receive=depart)) as server:
        reader, writer = await server.connect()
        writer.write(b"an acknowledgement")
        assert await reader.read() == b"an acknowledgement"
        assert server.pump.gate.total == 1, "our direction is closed, that of the peer is not"


async def test_tls_is_closed_with_close_notify(certificates: Certificates) -> None:
    def reach(connection: FakeConnection, data: bytes) -> None:
        farewell(connection, data)

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = certificates.client().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    async with serving(TLS, certificates.server(), FakeBroker(on_receive=reach)) as server:
        reader, writer = await server.connect()
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(65_536))
        client.write(b"x")
        writer.write(outgoing.read())
        incoming.write(await reader.read())
        assert client.read(100) == b"last words"
        assert client.read(100) == b""  # an end without close_notify would raise


async def test_a_peer_that_closes_tls_properly_is_lost_at_once(certificates: Certificates) -> None:
    async with serving(TLS, certificates.server()) as server:
        reader, writer = await server.connect(certificates.client())
        writer.write(b"x")
        await reader.readexactly(1)
        writer.close()
        await until(lambda: server.broker.gone)
        assert server.of(TransportRefused) == []


async def test_a_peer_that_does_not_close_after_our_last_words_is_dropped() -> None:
    broker = FakeBroker(on_receive=farewell)
    async with serving(PLAIN, broker=broker, close_timeout_s=0.2) as server:
        reader, writer = await server.connect()
        writer.write(b"x")
        assert await reader.readexactly(10) == b"last words"
        assert server.pump.gate.total == 1
        await until(lambda: server.pump.gate.total == 0)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_a_slow_reader_costs_only_itself_and_loses_nothing(
    certificates: Certificates, encrypted: bool
) -> None:
    data = bytes(range(256)) * 40_000

    def flood(connection: FakeConnection, received: bytes) -> None:
        if received == b"flood":
            for start in range(0, len(data), 100_000):
                connection.put(data[start : start + 100_000])
        else:
            connection.put(received)

    context = certificates.server() if encrypted else None
    client = certificates.client() if encrypted else None
    async with serving(TLS if encrypted else PLAIN, context, FakeBroker(on_receive=flood)) as server:
        reader, writer = await server.connect(client)
        writer.write(b"flood")
        await until(lambda: server.broker.accepted and not server.broker.accepted[0].writable)
        slow = server.broker.accepted[0]
        slow.put(b"kept back")
        await echo(server, client, b"others are served")
        assert slow.size >= len(b"kept back")
        assert await reader.readexactly(len(data)) == data
        assert await reader.readexactly(9) == b"kept back"
        assert slow.writable


async def test_a_slow_reader_that_is_to_be_closed_is_dropped_in_time() -> None:
    def flood(connection: FakeConnection, data: bytes) -> None:
        connection.put(bytes(20_000_000))

    async with serving(PLAIN, broker=FakeBroker(on_receive=flood), close_timeout_s=0.2) as server:
        _, writer = await server.connect()
        writer.write(b"x")
        await until(lambda: server.broker.accepted and not server.broker.accepted[0].writable)
        slow = server.broker.accepted[0]
        slow.put(b"never taken")
        slow.close()
        server.pump.wake()
        await until(lambda: server.broker.gone)
        assert slow.take_output().endswith(b"never taken")


async def test_a_slow_reader_that_has_lost_its_rights_gets_nothing_more_of_what_waits() -> None:
    def flood(connection: FakeConnection, data: bytes) -> None:
        connection.put(bytes(8_000_000))

    async with serving(PLAIN, broker=FakeBroker(on_receive=flood)) as server:
        reader, writer = await server.connect()
        writer.write(b"x")
        await until(lambda: server.broker.accepted and not server.broker.accepted[0].writable)
        slow = server.broker.accepted[0]
        slow.discard()
        slow.real.cut = True
        slow.close()
        server.pump.wake()
        await until(lambda: server.broker.gone == [slow])
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(8_000_000)


async def test_frames_without_content_count_for_the_meters() -> None:
    def admit(connection: FakeConnection, data: bytes) -> None:
        connection.connected = True
        connection.real.principal = "lamp"
        connection.put(data)

    few = {"packet_rate_per_identity": 64_000, "traffic_burst_s": 0.1}
    async with serving(WS, broker=FakeBroker(on_receive=admit), **few) as server:
        client = WebClient(server)
        await client.open()
        client.send(b"x")
        await client.event()
        for _ in range(20_000):
            client.protocol.send_binary(b"")
        client.flush()
        await until(lambda: server.of(LimitReached))
        (told,) = server.of(LimitReached)
        assert isinstance(told, LimitReached)
        assert told.limit == "packet_rate_per_identity"


async def test_pings_without_reading_do_not_fill_the_memory() -> None:
    def flood(connection: FakeConnection, data: bytes) -> None:
        connection.connected = True
        connection.put(bytes(8_000_000))

    async with serving(WS, broker=FakeBroker(on_receive=flood), close_timeout_s=0.2) as server:
        client = WebClient(server)
        await client.open()
        client.send(b"x")
        await until(lambda: not server.broker.accepted[0].writable)
        transport = server.broker.accepted[0].owner.transport
        before = transport.get_write_buffer_size()
        assert before > HIGH_WATER_BYTES
        for _ in range(2000):
            client.protocol.send_ping(bytes(100))
        client.flush()
        await client.writer.drain()
        await asyncio.sleep(0.05)
        assert transport.get_write_buffer_size() <= before


def turns_of(broker: FakeBroker) -> list[str]:
    """What the broker is asked to do, as it happens: "data" and "drain"."""
    log: list[str] = []
    drain = broker.drain

    def drained() -> list[Connection]:
        log.append("drain")
        return drain()

    def receive(connection: FakeConnection, data: bytes) -> None:
        connection.connected = True
        log.append("data")

    broker.drain = drained  # type: ignore[method-assign]
    broker.on_receive = receive
    return log


async def test_a_lone_message_does_not_wait_for_the_next_turn() -> None:
    async with serving(PLAIN) as server:
        log = turns_of(server.broker)
        _, writer = await server.connect()
        writer.write(CONNECT)
        await until(lambda: "data" in log)
        await asyncio.sleep(0.05)
        del log[:]
        loop = asyncio.get_running_loop()

        def receive(connection: FakeConnection, data: bytes) -> None:
            log.append("data")
            loop.call_soon(log.append, "later")

        server.broker.on_receive = receive
        writer.write(CONNECT)
        await until(lambda: "later" in log)
        assert log[:2] == ["data", "drain"]


async def test_the_frames_of_one_read_are_acted_on_before_a_turn() -> None:
    async with serving(WS) as server:
        log = turns_of(server.broker)
        client = WebClient(server)
        assert await client.open() == 101
        client.send(b"first")
        await until(lambda: "data" in log)
        await asyncio.sleep(0.05)
        del log[:]
        client.protocol.send_binary(b"one")
        client.protocol.send_binary(b"two")
        client.flush()
        await until(lambda: log.count("data") == 2)
        assert log[:2] == ["data", "data"]

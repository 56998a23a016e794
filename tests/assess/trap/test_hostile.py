"""Devices that attack the trap: it stays bounded in connections, time and memory, and its report tells of them."""

import asyncio
import contextlib
import json
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from assess.trap.running import Silent, by_id, trapped
from assess.trap.test_trap import CONNECT, door
from bollard.assess.model import Report, State
from bollard.assess.report import canonical
from bollard.assess.report.formats import FORMATS
from bollard.assess.trap.door import MAX_AT_ONCE, MAX_VISITS
from bollard.assess.trap.evidence import Rung
from bollard.assess.trap.hello import MAX_HELLO_BYTES, read_hello
from bollard.assess.trap.paper_server import MAX_AT_ONCE as MAX_REQUESTS
from bollard.assess.trap.paper_server import PaperServer
from bollard.assess.trap.peer import MAX_COMMANDS, MAX_PACKET_BYTES
from bollard.assess.trap.wire import MAX_VISIT_BYTES
from bollard.wire.codec import encode
from bollard.wire.connect import Connect, Will
from bollard.wire.properties import Properties
from bollard.wire.publish import encode_publish
from bollard.wire.subscribe import Subscribe, SubscribeFilter

NASTY = "\x1b[2J<script>alert(1)</script>\"'=1+1"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110 -- nobody tells
        await asyncio.sleep(0.01)


@asynccontextmanager
async def call(port: int, data: bytes = b"", context: ssl.SSLContext | None = None) -> AsyncIterator[Streams]:
    """A connection that has sent `data`, cut at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(data)
        yield reader, writer
    finally:
        writer.transport.abort()


async def read_all(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(OSError):
        return await reader.read()
    return b""


def hello(suites: int, *, offered: bytes = b"\0\5") -> bytes:
    """A ClientHello that offers so many suites, all the same: RC4."""
    body = b"\3\3" + bytes(32) + b"\0" + (2 * suites).to_bytes(2, "big") + offered * suites + b"\1\0\0\0"
    return b"\1" + len(body).to_bytes(3, "big") + body


def records(message: bytes, size: int) -> bytes:
    """A handshake message in records of `size` bytes."""
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\3\1" + len(part).to_bytes(2, "big") + part for part in parts)


def test_a_device_that_sends_byte_by_byte_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bollard.assess.trap.peer.HANDSHAKE_S", 0.2)

    async def run() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        async with door(context) as (port, stand), call(port) as (_, writer):
            for each in records(hello(4_000), 1)[:4_000]:
                with contextlib.suppress(OSError):
                    writer.write(bytes((each,)))
                    await writer.drain()
                await asyncio.sleep(0)
                if stand.visits:
                    break
            await until(lambda: stand.visits)
            assert stand.visits[0].rung == Rung.ABORTED
            assert stand.visits[0].ended in ("stalled", "closed")

    asyncio.run(run())


def test_a_hello_in_many_small_records_is_read_once_and_names_a_suite_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads: list[int] = []

    def counted(data: bytes) -> object:
        reads.append(len(data))
        return read_hello(data)

    monkeypatch.setattr("bollard.assess.trap.wire.read_hello", counted)
    data = records(hello(2_000), 100)

    async def run() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        async with door(context) as (port, stand), call(port) as (reader, writer):
            for at in range(0, len(data), 500):
                with contextlib.suppress(OSError):
                    writer.write(data[at : at + 500])
                    await writer.drain()
                await asyncio.sleep(0.001)
            await read_all(reader)
            await until(lambda: stand.visits)
            assert len(reads) == 1
            assert reads[0] <= MAX_HELLO_BYTES + 16_384
            assert stand.visits[0].weak_offers == ("RSA_RC4_128_SHA",)

    asyncio.run(run())


def test_the_suites_of_a_hello_are_named_once_each() -> None:
    found = read_hello(records(hello(8_000), 16_000))
    assert found is not None
    assert found.weak == ("RSA_RC4_128_SHA",)


def test_what_one_visit_may_send_is_bounded() -> None:
    publish = encode_publish(b"t", b"x" * 200_000)

    async def run() -> None:
        async with door() as (port, stand), call(port, CONNECT) as (reader, writer):
            sent = 0
            with contextlib.suppress(OSError):
                while sent < 8 * MAX_VISIT_BYTES and not stand.visits:
                    writer.write(publish)
                    await writer.drain()
                    sent += len(publish)
            await read_all(reader)
            await until(lambda: stand.visits)
            assert stand.visits[0].published <= MAX_VISIT_BYTES // len(publish)

    asyncio.run(run())


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\xff\xff\xff\x7f" + bytes(1_000),
        b"\x30" + (MAX_PACKET_BYTES + 1).to_bytes(4, "little") + bytes(1_000),
    ],
    ids=["256 MB announced", "no length"],
)
def test_a_huge_packet_is_refused_by_its_head_without_room_for_it(data: bytes) -> None:
    async def run() -> None:
        async with door() as (port, stand):
            tracemalloc.start()
            try:
                async with call(port, CONNECT + data) as (reader, _):
                    await read_all(reader)
                await until(lambda: stand.visits)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert stand.visits[0].ended == "malformed"
            assert stand.visits[0].rung == Rung.CREDENTIAL
            assert peak < 2 << 20

    asyncio.run(run())


@pytest.mark.parametrize(
    "filters",
    [
        ("+/" * 32_767 + "+",),
        ("#",) * 20_000,
        ("é" * 30_000 + "/+",),
        ("$share/g/" + "+/" * 30_000 + "#",),
    ],
    ids=["long", "many", "wide", "shared"],
)
def test_no_subscription_makes_the_trap_forget_what_the_device_has_shown(filters: tuple[str, ...]) -> None:
    asked = encode(Subscribe(1, tuple(SubscribeFilter(each, 1) for each in filters)), 5)

    async def run() -> None:
        async with door() as (port, stand), call(port, CONNECT + asked) as (reader, writer):
            writer.write_eof()
            await read_all(reader)
            await until(lambda: stand.visits)
            visit = stand.visits[0]
            assert (visit.rung, visit.credential) == (Rung.CREDENTIAL, "password")
            assert visit.ended == ("malformed" if len(filters) > 1 else "closed")
            assert visit.commands <= MAX_COMMANDS

    asyncio.run(run())


@pytest.mark.parametrize("nonce", [b"n" * 60_000, b"\xff" * 30_000, b""])
def test_no_nonce_of_scram_makes_it_forget_either(nonce: bytes) -> None:
    properties = Properties(authentication_method="SCRAM-SHA-256", authentication_data=b"n,,n=u,r=" + nonce)
    data = encode(Connect(version=5, client_id="d", password=b"p", properties=properties), 5)

    async def run() -> None:
        async with door() as (port, stand), call(port, data) as (reader, writer):
            assert await reader.readexactly(1) == b"\xf0"
            writer.write_eof()
            await read_all(reader)
            await until(lambda: stand.visits)
            assert (stand.visits[0].rung, stand.visits[0].ended) == (Rung.CREDENTIAL, "closed")

    asyncio.run(run())


def test_a_device_that_never_reads_does_not_hold_the_trap() -> None:
    asked = encode(Subscribe(1, tuple(SubscribeFilter("a" * 60_000, 1) for _ in range(4))), 5)

    async def run() -> None:
        async with door() as (port, stand), AsyncExitStack() as stack:
            for _ in range(MAX_AT_ONCE):
                await stack.enter_async_context(call(port, CONNECT + asked))
            await until(lambda: len(stand.visits) == MAX_AT_ONCE and not stand.inside)
            assert {each.rung for each in stand.visits} == {Rung.CREDENTIAL}

    asyncio.run(run())


def test_a_thousand_connections_at_once_are_cut_off_but_for_a_few_and_counted() -> None:
    async def run() -> None:
        async with door() as (port, stand), AsyncExitStack() as stack:
            for _ in range(1_000):
                await stack.enter_async_context(call(port))
            await until(lambda: stand.turned_away == 1_000 - MAX_AT_ONCE)
            assert (stand.arrivals, stand.inside) == (MAX_AT_ONCE, MAX_AT_ONCE)

    asyncio.run(run())


def test_requests_for_the_papers_are_bounded_too() -> None:
    async def run() -> None:
        server = await PaperServer(lambda path: None).open("127.0.0.1")
        server.files = {"/root": b"PEM"}
        asked = b"GET /root HTTP/1.1\r\n\r\n"
        async with AsyncExitStack() as stack:
            for _ in range(MAX_REQUESTS):
                await stack.enter_async_context(call(server.port, asked[:-4]))
            await asyncio.sleep(0.05)
            async with call(server.port, asked) as (reader, _):
                assert await read_all(reader) == b""
        answer = b""
        while not answer:
            async with call(server.port, asked) as (reader, _):
                answer = await read_all(reader)
        assert answer.endswith(b"PEM")
        await server.close()

    asyncio.run(run())


Attack = Callable[[int, ssl.SSLContext, asyncio.Event], Awaitable[None]]


async def attacked(attack: Attack, **settings: object) -> Report:
    """The report about a device that attacks from its first moment to its last."""
    teller, stop = Silent(), asyncio.Event()
    running = asyncio.create_task(trapped(teller, **settings))
    await teller.opened.wait()
    context = ssl.create_default_context(cadata=teller.root.decode())
    device = asyncio.create_task(_go_on(attack, teller.port, context, stop))
    report = await running
    stop.set()
    await device
    return report


async def _go_on(attack: Attack, port: int, context: ssl.SSLContext, stop: asyncio.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await attack(port, context, stop)
        await asyncio.sleep(0)


async def flood(port: int, context: ssl.SSLContext, stop: asyncio.Event) -> None:
    """Connections one after the other without a byte."""
    async with call(port):
        pass


async def endless_hellos(port: int, context: ssl.SSLContext, stop: asyncio.Event) -> None:
    """Handshakes that are begun and left."""
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    async with call(port, outgoing.read()) as (reader, _):
        await reader.read(1)


@pytest.mark.parametrize("attack", [flood, endless_hellos])
def test_a_flood_of_connections_ends_the_run_in_time_and_is_told(attack: Attack) -> None:
    report = asyncio.run(attacked(attack, only=frozenset({"DEV-01"}), control_s=600.0, wait_s=600.0))
    assert by_id(report)["DEV-01"].state is State.INCONCLUSIVE
    (control, *_) = report.attempts
    assert len(control.evidence["visits"]) <= 50
    told = [each for each in report.notes if "flooded" in each]
    assert len(told) == 1
    assert told[0].startswith("The device flooded this server with connections at CONTROL")
    assert f"{MAX_AT_ONCE} at one time and {MAX_VISITS} in all" in told[0]


async def nasty(port: int, context: ssl.SSLContext, stop: asyncio.Event) -> None:
    """A visit whose every text is meant to do harm."""
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    will = Will(NASTY, NASTY.encode())
    properties = Properties(authentication_method=NASTY, user_properties=((NASTY, NASTY),))
    password = NASTY.encode()
    words = Connect(5, True, 60, NASTY, NASTY, password, will=will, properties=properties)
    data = encode(words, 5) + encode(Subscribe(1, (SubscribeFilter(NASTY, 1),)), 5)
    data += encode_publish(NASTY.encode(), password, version=5)
    async with call(port, data, context) as (reader, _):
        await reader.read(64)


def test_no_text_of_the_device_does_harm_in_any_report() -> None:
    report = asyncio.run(attacked(nasty, only=frozenset({"DEV-01", "DEV-16"}), device=NASTY))
    assert by_id(report)["DEV-01"].state is State.FAIL
    assert f"password of {len(NASTY)} bytes" in by_id(report)["DEV-01"].evidence["credential"][0]
    for kind, render in FORMATS.items():
        text = render(report)
        assert "\x1b" not in text
        if kind == "html":
            assert "<script>" not in text
    attempts = json.loads(canonical.render(report))["attempts"]
    texts = [value for each in attempts for value in each["evidence"]["visits"][0].values()]
    # Of all that it sent, the name of its method alone is kept.
    assert [each for each in texts if isinstance(each, str) and "alert(1)" in each] == [NASTY] * len(attempts)


def test_an_endpoint_that_is_through_lets_nobody_stay_and_forgets_nobody() -> None:
    async def run() -> None:
        teller = Silent()
        running = asyncio.create_task(
            trapped(teller, control_s=0.8, linger_s=60.0, only=frozenset({"DEV-03"}))
        )
        await teller.opened.wait()
        async with call(teller.port, CONNECT) as (reader, _):
            assert (await read_all(reader))[:1] == b"\x20"
            report = await running
        (visit,) = report.attempts[0].evidence["visits"]
        assert (visit["rung"], visit["ended"], visit["credential"]) == (Rung.CREDENTIAL, "cut", "password")

    asyncio.run(run())

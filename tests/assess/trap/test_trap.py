"""The trap itself: hostile devices, silence, void verdicts, one port for all endpoints, no password kept."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assess.trap.running import Silent, by_id, trapped
from bollard.assess.model import State
from bollard.assess.report import canonical
from bollard.assess.report.formats import FORMATS
from bollard.assess.trap.device import words
from bollard.assess.trap.door import Door, Stand
from bollard.assess.trap.endpoints import CONTROL, ENDPOINTS, UNSERVED
from bollard.assess.trap.hello import read_hello
from bollard.assess.trap.peer import Manner
from bollard.assess.trap.wire import gone
from bollard.base.errors import LocalError
from bollard.wire.codec import encode
from bollard.wire.connect import Connect
from bollard.wire.subscribe import Subscribe, SubscribeFilter


def test_there_are_twenty_endpoints_in_their_order() -> None:
    assert sorted([*(each.id for each in ENDPOINTS), *UNSERVED]) == [f"DEV-{n:02d}" for n in range(1, 21)]


async def _device(port: int, root: bytes, stop: asyncio.Event, *, verify: bool) -> None:
    """A device that keeps its settings and connects again and again."""
    context = ssl.create_default_context(cadata=root.decode())
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    hello = encode(Connect(version=4, client_id="d", username="u", password=b"hush-hush"), 4)
    hello += encode(Subscribe(1, (SubscribeFilter("a/+", 1),)), 4)
    while not stop.is_set():
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(hello)
            await reader.readexactly(4 + 5)
            writer.write(b"\x40\x02\x00\x01")
            await reader.read(200)
            writer.transport.abort()
        await asyncio.sleep(0.05)


def test_one_port_serves_one_endpoint_after_the_other() -> None:
    async def run() -> None:
        teller, stop = Silent(), asyncio.Event()
        only = frozenset({"DEV-01", "DEV-03", "DEV-13"})
        running = asyncio.create_task(trapped(teller, only=only, device="plug"))
        await teller.opened.wait()
        device = asyncio.create_task(_device(teller.port, teller.root, stop, verify=False))
        report = await running
        stop.set()
        await device
        results = by_id(report)
        assert list(results) == sorted(only)
        assert results["DEV-01"].state is State.FAIL
        assert results["DEV-03"].observed == "The device accepted commands."
        assert results["DEV-13"].state is State.PASS
        assert "hush-hush" not in canonical.render(report)
        assert "password of 9 bytes" in canonical.render(report)
        for render in FORMATS.values():
            assert "plug" in render(report)

    asyncio.run(run())


def test_who_refuses_the_good_endpoint_has_proved_nothing() -> None:
    async def run() -> None:
        teller, stop = Silent(), asyncio.Event()
        only = frozenset({"DEV-01", "DEV-03"})
        running = asyncio.create_task(trapped(teller, only=only, control_s=0.6, wait_s=2.0))
        await teller.opened.wait()
        other = ssl.create_default_context()

        async def knock() -> None:
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    await asyncio.open_connection("127.0.0.1", teller.port, ssl=other)
                await asyncio.sleep(0.05)

        device = asyncio.create_task(knock())
        report = await running
        stop.set()
        await device
        assert {each.state for each in report.results} == {State.INCONCLUSIVE}
        assert all("oid" in each.observed for each in report.results)
        assert by_id(report)["DEV-01"].evidence["reached"].startswith("ended the connection")

    asyncio.run(run())


def test_an_interrupted_run_still_reports_what_it_knows() -> None:
    async def run() -> None:
        teller, stop = Silent(), asyncio.Event()
        only = frozenset({"DEV-01", "DEV-15"})
        running = asyncio.create_task(trapped(teller, only=only, wait_s=30.0))
        await teller.opened.wait()
        device = asyncio.create_task(_device(teller.port, teller.root, stop, verify=False))
        while "DEV-15" not in teller.begun:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.02)
        running.cancel()
        results = by_id(await running)
        stop.set()
        await device
        assert results["DEV-01"].state is State.FAIL
        assert results["DEV-15"].observed == "the run was ended before this endpoint"

    asyncio.run(run())


def test_silence_passes_nothing() -> None:
    report = asyncio.run(trapped(control_s=0.2))
    assert {each.state for each in report.results} == {State.NOT_TESTED}
    assert report.grade.letter == "?"


@asynccontextmanager
async def door(context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, Stand]]:
    manner = Manner(endpoint=CONTROL, context=context, linger_s=0.2)
    stand = Stand(manner=manner, wanted=1, tell=lambda *_: None)
    opened = await Door("127.0.0.1", 0).open()
    opened.stand = stand
    try:
        yield opened.port, stand
    finally:
        await opened.close()


CONNECT = encode(Connect(version=5, client_id="d", username="u", password=b"p"), 5)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=100).map(lambda tail: CONNECT + tail)))
def test_a_hostile_device_neither_ends_nor_holds_the_trap(data: bytes) -> None:
    async def run() -> None:
        async with door() as (port, stand):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            writer.write_eof()
            with contextlib.suppress(OSError):
                await reader.read()
            writer.close()
            while not stand.visits:
                stand.changed.clear()
                await stand.changed.wait()
            assert len(stand.visits) == 1
            assert stand.visits[0].ended in ("closed", "malformed", "ours", "alert", "stalled")

    asyncio.run(run())


def test_a_flood_is_cut_off() -> None:
    async def run() -> None:
        async with door() as (port, stand):
            streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
            await asyncio.sleep(0.05)
            assert stand.arrivals <= 16
            for _, writer in streams:
                writer.transport.abort()

    asyncio.run(run())


@given(st.binary(max_size=300))
def test_any_bytes_are_read_as_a_client_hello_or_as_none(data: bytes) -> None:
    read_hello(data)
    read_hello(b"\x16\x03\x01" + len(data).to_bytes(2, "big") + data)
    body = b"\x01" + len(data).to_bytes(3, "big") + data
    read_hello(b"\x16\x03\x01" + len(body).to_bytes(2, "big") + body)


def test_a_client_hello_tells_versions_name_and_weak_suites() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256:NULL-SHA256:@SECLEVEL=0")
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="broker.test")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    data = outgoing.read()
    hello = read_hello(data)
    assert hello is not None
    assert (hello.server_name, hello.lowest, hello.weak) == ("broker.test", "TLS 1.2", ("RSA_NULL_SHA256",))
    assert not hello.early_data
    assert read_hello(data[:50]) is None


def test_alerts_and_our_own_faults_are_told_apart() -> None:
    alert, fault = ssl.SSLError(), ssl.SSLError()
    alert.reason, fault.reason = "TLSV1_ALERT_UNKNOWN_CA", "NO_SHARED_CIPHER"
    assert (gone(alert).alert, gone(alert).fault) == ("unknown_ca", "")
    assert (gone(fault).alert, gone(fault).fault) == ("", "no shared cipher")


def test_the_words_of_a_command_are_replaced_without_a_shell() -> None:
    assert words("dev -h {host} 'a b'", {"host": "x; rm"}) == ["dev", "-h", "x; rm", "a b"]
    for wrong in ("", "'open"):
        with pytest.raises(LocalError):
            words(wrong, {})


def test_a_command_that_cannot_be_started_is_said(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="cannot start"):
        asyncio.run(trapped(command=str(tmp_path / "nothing")))

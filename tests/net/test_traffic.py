"""Who sends more than it may is read more slowly: nothing is lost, and only its own kind waits."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from bollard.base.events import LimitReached
from bollard.net import traffic
from bollard.net.gate import TransportLimits
from bollard.net.traffic import Pauses, Traffic

from .conftest import Certificates
from .fake_broker import until
from .test_end_to_end import PUBLISH, publish, running, text

LOW = TransportLimits(
    packet_rate_per_identity=10,
    byte_rate_per_identity=1000,
    packet_rate_per_address=20,
    byte_rate_per_address=2000,
    traffic_burst_s=2,
)


class Stub:
    """A stream, as far as traffic knows one."""

    def __init__(self, of: Traffic, address: str, principal: str) -> None:
        self.meters = of.meters(address, principal)


def settle(of: Traffic, stream: Any, packets: int, size: int, now: float) -> tuple[float, str]:
    return of.settle(stream, packets, size, now)


def test_packets_and_bytes_are_counted_and_the_longer_wait_is_told() -> None:
    rates = Traffic(LOW)
    plug = Stub(rates, "192.0.2.1", "plug")
    assert settle(rates, plug, 20, 0, 50) == (0, "")
    assert settle(rates, plug, 10, 0, 50) == (1, "packet_rate_per_identity")
    assert settle(rates, plug, 0, 5000, 100) == (3, "byte_rate_per_identity")


def test_connections_of_one_identity_share_its_rate_and_a_new_one_brings_no_new_burst() -> None:
    rates = Traffic(LOW)
    settle(rates, Stub(rates, "192.0.2.1", "plug"), 20, 0, 50)
    assert settle(rates, Stub(rates, "198.51.100.7", "plug"), 5, 0, 50)[0] == 0.5
    assert settle(rates, Stub(rates, "198.51.100.7", "other"), 5, 0, 50)[0] == 0


def test_identities_of_one_address_share_that_addresss_rate() -> None:
    rates = Traffic(LOW)
    for name in ("a", "b"):
        assert settle(rates, Stub(rates, "192.0.2.1", name), 20, 0, 50)[0] == 0
    assert settle(rates, Stub(rates, "192.0.2.1", "c"), 10, 0, 50) == (0.5, "packet_rate_per_address")
    assert settle(rates, Stub(rates, "unix", "c"), 1, 0, 50) == (0, "")


def test_anonymous_clients_are_no_identity() -> None:
    rates = Traffic(LOW)
    settle(rates, Stub(rates, "192.0.2.1", "anonymous"), 40, 0, 50)
    assert settle(rates, Stub(rates, "198.51.100.7", "anonymous"), 20, 0, 50) == (0, "")


def test_a_low_rate_is_not_overrun_within_one_allowance() -> None:
    assert Traffic(LOW).allowance == 64
    assert Traffic(TransportLimits()).allowance == traffic.ALLOWANCE_BYTES


def test_meters_are_forgotten_when_there_are_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "MAX_KEYS", 2)
    rates = Traffic(LOW)
    first = rates.meters("unix", "a")
    rates.meters("unix", "b")
    assert rates.meters("unix", "a") == first
    rates.meters("unix", "c")
    rates.meters("unix", "d")
    assert rates.meters("unix", "a") != first


def test_pauses_end_in_order_and_a_second_one_changes_nothing() -> None:
    pauses, one, two = Pauses(), Stub(Traffic(LOW), "unix", "a"), Stub(Traffic(LOW), "unix", "b")
    waiting: Any = pauses
    waiting.add(one, 20)
    waiting.add(two, 10)
    waiting.add(one, 99)
    assert (pauses.next(), one in pauses) == (10, True)
    assert [pauses.over(5), pauses.over(10), pauses.over(20)] == [[], [two], [one]]
    assert pauses.next() == float("inf")
    assert one not in pauses


@pytest.mark.parametrize("transport", ["plain", "tls"])
async def test_a_flood_is_held_back_and_comes_through_whole(
    certificates: Certificates, tmp_path: Path, transport: str
) -> None:
    count = 600
    limits = {"packet_rate_per_identity": 2000, "traffic_burst_s": 0.1}
    async with running(certificates, tmp_path, **limits) as server:
        reader = await (await (await server.client("unix")).connected("r", user="reader")).subscribed("t/#")
        flood = await (await server.client(transport)).connected("f", user="flooder", keepalive_s=1)
        flood.writer.write(b"".join(publish("t/x", b"%d" % number) for number in range(count)))
        received = [await reader.packet() for _ in range(count)]
        assert received == [(PUBLISH, text("t/x") + b"%d" % number) for number in range(count)]
        told = [event for event in server.of(LimitReached) if isinstance(event, LimitReached)]
        assert {(e.limit, e.principal, e.client_id) for e in told} == {
            ("packet_rate_per_identity", "flooder", "f")
        }
        flood.writer.write(b"\xc0\x00")
        assert await flood.packet() == (0xD0, b"")


async def test_whoever_is_not_read_does_not_fail_keep_alive_and_others_are_served(
    certificates: Certificates, tmp_path: Path
) -> None:
    limits = {"packet_rate_per_identity": 100, "traffic_burst_s": 0.1}
    async with running(certificates, tmp_path, **limits) as server:
        flood = await (await server.client("plain")).connected("f", user="flooder", keepalive_s=1)
        flood.writer.write(b"\xc0\x00" * 400)
        await until(lambda: server.of(LimitReached))
        other = await (await server.client("plain")).connected("o", user="other")
        other.writer.write(b"\xc0\x00")
        assert await other.packet() == (0xD0, b"")
        (paused,) = (each for each in server.broker.connections() if each.client_id == "f")
        assert paused.last_seen > time.monotonic() + 1, "Keep Alive runs from the end of the pause"


async def test_without_a_reason_nobody_is_paused(certificates: Certificates, tmp_path: Path) -> None:
    async with running(certificates, tmp_path) as server:
        client = await (await server.client("plain")).connected("c", user="plug")
        client.writer.write(b"\xc0\x00" * 60_000)
        async with asyncio.timeout(10):
            assert await client.reader.readexactly(120_000) == b"\xd0\x00" * 60_000
        assert not server.of(LimitReached)


async def test_a_connection_that_ends_in_a_pause_is_gone(certificates: Certificates, tmp_path: Path) -> None:
    limits = {"packet_rate_per_identity": 100, "traffic_burst_s": 0.1}
    async with running(certificates, tmp_path, **limits) as server:
        flood = await (await server.client("plain")).connected("f", user="flooder")
        flood.writer.write(b"\xc0\x00" * 100)
        await until(lambda: server.of(LimitReached))
        flood.writer.transport.abort()
        await until(lambda: server.pump.gate.total == 0)


async def test_a_connection_that_keeps_buffers_full_is_read_on_in_the_next_turn(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with running(certificates, tmp_path) as server:
        await (await server.client("plain")).connected("f", user="flooder")
        (connection,) = server.broker.connections()
        stream = connection.owner
        much = bytearray(publish("t", bytes(traffic.ALLOWANCE_BYTES)))
        for _ in range(2):  # as a loop does that reads on while there is something to read
            stream.data_received(much, len(much))
        assert stream.held
        assert not stream.transport.is_reading()
        await until(lambda: not stream.held)
        assert stream.transport.is_reading()
        stream.data_received(much, len(much))
        assert not stream.held, "once in a turn is nothing to wait for"

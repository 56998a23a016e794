"""Clients that come and go without end, over sockets: they wait, and nobody else does."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from bollard.base.events import ClientConnected, ClientDisconnected, LimitReached
from bollard.net.gate import TransportLimits
from bollard.net.guard import Guard

from .conftest import Certificates
from .test_end_to_end import Client, Doorman, Running, connect, running

#: "Server unavailable" in 3.1.1, which has no word for "too often".
UNAVAILABLE = 3


@contextlib.asynccontextmanager
async def guarded(certificates: Certificates, folder: Path) -> AsyncIterator[Running]:
    """A broker that lets a client in ten times at once, and then pauses."""
    async with running(certificates, folder) as server:
        limits = TransportLimits(connection_burst_per_client=10)
        server.pump.authenticator = Guard(Doorman(), limits, server.events.append)
        yield server


async def knock(server: Running, user: str, client_id: str) -> tuple[int, Client]:
    client = await server.client("plain")
    client.writer.write(connect(client_id, user=user))
    _, body = await client.packet()
    return body[1], client


async def test_two_who_fight_for_one_client_identifier_come_to_rest(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with guarded(certificates, tmp_path) as server:
        fights = [await knock(server, "plug", "same") for _ in range(40)]
        assert [code for code, _ in fights] == [0] * 10 + [UNAVAILABLE] * 30
        last = fights[9][1]
        last.writer.write(b"\xc0\x00")
        assert await last.packet() == (0xD0, b""), "who has the session keeps it"
        ended = [event for event in server.of(ClientDisconnected) if isinstance(event, ClientDisconnected)]
        assert len(ended) == 9
        assert (await knock(server, "plug", "another"))[0] == 0
        assert (await knock(server, "neighbour", "same"))[0] == 0


async def test_a_client_that_comes_and_goes_is_paused_and_named(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with guarded(certificates, tmp_path) as server:
        codes = []
        for _ in range(30):
            code, client = await knock(server, "flapper", "f")
            codes.append(code)
            client.writer.write(b"\xe0\x00")
            assert await client.ended()
        assert codes == [0] * 10 + [UNAVAILABLE] * 20
        assert len(server.of(ClientConnected)) == 10
        told = [event for event in server.of(LimitReached) if isinstance(event, LimitReached)]
        assert {(e.limit, e.principal, e.client_id, e.address) for e in told} == {
            ("connection_rate_per_client", "flapper", "f", "127.0.0.1")
        }
        assert sum(1 + (event.more or 0) for event in told) <= 20

"""Which transport a place speaks: plaintext, TLS, WebSocket or both, found by asking in MQTT's own words.

A place whose transport the user has named is only asked to confirm it.
"""

import asyncio
import contextlib

import msgspec
from websockets.exceptions import InvalidStatus

from bollard.assess.probes.evidence import NoAnswer, Reach, Silent
from bollard.assess.probes.hello import speaks_tls
from bollard.assess.probes.line import Line
from bollard.assess.probes.room import Room
from bollard.wire.spec import V311

_PLAIN = ("tcp", "ws")
_SECURE = ("tls", "wss")


async def find_transport(room: Room) -> str:
    """The transport of this place: the named one, or the first that answers. Raises `NoAnswer`."""
    await knock(room)
    if room.place.transport:
        room.transport = room.place.transport
        if await answers(room, room.transport):
            return room.transport
        raise NoAnswer(f"this port does not answer as {room.transport} with MQTT")
    secure = await speaks_tls(room)
    for transport in _SECURE if secure else _PLAIN:
        if await answers(room, transport):
            return transport
    if secure:
        # A listener that wants a client certificate ends the connection at our first word.
        return "wss" if room.place.port in (443, 8084) else "tls"
    raise NoAnswer("something listens there, and it does not speak MQTT")


async def knock(room: Room) -> None:
    """Settle on the first address of the place that takes a connection. Raises `Silent` if none does."""
    place = room.place
    for address in (place.address, *place.spare):
        await room.pace()
        try:
            async with asyncio.timeout(room.timeout_s):
                _, writer = await asyncio.open_connection(address, place.port)
        except (OSError, TimeoutError):
            continue
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        room.place = msgspec.structs.replace(place, address=address, spare=())
        return
    raise Silent("nothing listens there")


async def answers(room: Room, transport: str) -> bool:
    """Does a CONNECT over `transport` get an answer of MQTT, be it yes or no?

    In 3.1.1, which every broker understands well enough to refuse it.
    """
    before, room.transport = room.transport, transport
    try:
        async with await Line.open(room, version=V311, transport=transport) as line:
            entry = await line.connect(room.hello(version=V311))
            if entry.accepted:
                await line.goodbye()
            return entry.outcome in ("accepted", "refused")
    except InvalidStatus:
        return transport in ("ws", "wss") and room.place.transport == transport
    except NoAnswer:
        return False
    finally:
        room.transport = before


async def probe_reach(room: Room) -> tuple[Reach]:
    """How the place answers; on a TLS listener, whether it answers without TLS as well."""
    plaintext = room.transport in _PLAIN
    if not plaintext:
        plaintext = await answers(room, "tcp")
    return (Reach(transport=room.transport, reach=room.place.reach, plaintext_answers=plaintext),)

"""How many connections one address may hold: the one probe that takes places away from others, for seconds.

At most fifty, at the pace of the scan, and none more after the first that is not let in.
"""

from contextlib import AsyncExitStack

from bollard.assess.probes.evidence import Busy, Crowd, NoAnswer
from bollard.assess.probes.line import Line
from bollard.assess.probes.room import Room

MOST = 50


async def probe_crowd(room: Room) -> tuple[Crowd]:
    """Open one connection after the other, each with a client id of its own, and hold them all until the end."""
    identity, version = room.member()
    wanted = min(MOST, room.ceiling + 1) if room.ceiling else MOST
    accepted = opened = 0
    async with AsyncExitStack() as stack:
        lines: list[Line] = []
        for _ in range(wanted):
            opened += 1
            try:
                line = await Line.open(room, version=version, identity=identity)
                await stack.enter_async_context(line)
                entry = await line.connect(room.hello(identity, version=version, client_id=room.client_id()))
            except (NoAnswer, Busy):
                break
            if not entry.accepted:
                break
            accepted += 1
            lines.append(line)
        for line in lines:
            await line.goodbye()
    return (Crowd(opened=opened, accepted=accepted, ceiling=room.ceiling),)

"""Doors: a port that belongs to one endpoint after the other, and what is written down about its visitors."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bollard.assess.trap.evidence import RUNGS, Rung, Stay, Visit
from bollard.assess.trap.peer import Manner, attend
from bollard.assess.trap.wire import Wire, hang_up, shut

#: Visitors at one time; more are cut off at once.
MAX_AT_ONCE = 16
#: Visits at one endpoint; a device that comes more often has shown enough.
MAX_VISITS = 200

Teller = Callable[[str, str], None]
"""Told the endpoint and, in a sentence, what has happened there."""


@dataclass(slots=True, kw_only=True)
class Stand:
    """One endpoint while it is open. `changed` is set at each visit's end."""

    manner: Manner
    wanted: int
    tell: Teller
    started: float = field(default_factory=time.monotonic)
    visits: list[Visit] = field(default_factory=list)
    decoy: list[Visit] = field(default_factory=list)
    arrivals: int = 0
    inside: int = 0
    turned_away: int = 0
    lists_fetched: int = 0
    command: str = ""
    crashed: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def full(self) -> bool:
        """Has the device come as often as anybody may?"""
        return self.arrivals >= MAX_VISITS

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.started

    def stay(self) -> Stay:
        """What there is to tell."""
        return Stay(
            check=self.manner.endpoint.id,
            watched_s=round(self.age_s, 1),
            wanted=self.wanted,
            visits=tuple(self.visits),
            decoy=tuple(self.decoy),
            turned_away=self.turned_away,
            lists_fetched=self.lists_fetched,
            command=self.command,
            crashed=self.crashed,
        )


class Door:
    """A listening port. `stand` is the endpoint that it now belongs to, None while it is nobody's.

    With `decoy`, it is where no correct device goes, and this is how visitors are received there.
    """

    def __init__(self, bind: str, port: int) -> None:
        self._bind, self._wish = bind, port
        self._server: asyncio.Server | None = None
        self._visitors: set[asyncio.Task[None]] = set()
        self.port = 0
        self.stand: Stand | None = None
        self.decoy: Manner | None = None

    async def open(self) -> "Door":
        """Listen. Raises `OSError` when the port cannot be had."""
        self._server = await asyncio.start_server(self._arrived, self._bind, self._wish, limit=65_536)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        self.stand = self.decoy = None
        if self._server is not None:
            await shut(self._server)
        await self.clear()

    async def clear(self) -> None:
        """The endpoint is through: whoever is still inside has to go, and is booked with what was seen."""
        self.stand = self.decoy = None
        for each in tuple(self._visitors):
            each.cancel()
        await asyncio.gather(*self._visitors, return_exceptions=True)

    async def _arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stand, task = self.stand, asyncio.current_task()
        if stand is None or task is None:
            writer.transport.abort()
            return
        if stand.inside >= MAX_AT_ONCE or stand.full:
            stand.turned_away += 1
            writer.transport.abort()
            return
        self._visitors.add(task)
        number, stand.arrivals, stand.inside = stand.arrivals, stand.arrivals + 1, stand.inside + 1
        try:
            await self._attend(stand, Wire(reader, writer), number)
        finally:
            self._visitors.discard(task)
            stand.inside -= 1
            stand.changed.set()
            await hang_up(writer)

    async def _attend(self, stand: Stand, wire: Wire, number: int) -> None:
        def told(begun: Visit) -> None:
            stand.tell(stand.manner.endpoint.id, "the device speaks MQTT here")

        decoy = self.decoy
        visit = await attend(wire, decoy or stand.manner, round(stand.age_s, 3), number, told)
        (stand.decoy if decoy else stand.visits).append(visit)
        stand.tell(stand.manner.endpoint.id, _sentence(visit))


def _sentence(visit: Visit) -> str:
    why = f" ({visit.alert or visit.fault})" if visit.alert or visit.fault else ""
    return f"the device {RUNGS[Rung(visit.rung)]}{why}"

"""A broker that records what the net floor does to it, and the server around it for tests."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from bollard.base.authentication import Accepted, Answer, Question
from bollard.base.counters import Counters
from bollard.base.events import Event, ServerWarning
from bollard.base.types import Peer
from bollard.engine.broker import Broker
from bollard.engine.core import ServerRequest
from bollard.net.gate import TransportLimits
from bollard.net.listener import Listener, ListenerSettings
from bollard.net.pump import Pump
from bollard.session.connection import Connection, new_connection

#: More than any test sends.
NO_BOUND = 1 << 30


class FakeConnection:
    """What a test sees and does of one connection; `real` is what the net floor has in hand."""

    def __init__(self, broker: "FakeBroker", peer: Peer) -> None:
        self.broker = broker
        self.real = new_connection(peer, NO_BOUND, NO_BOUND, broker.dirty, Counters())
        self.received = b""
        self.pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    @property
    def connected(self) -> bool:
        return self.real.connected

    @connected.setter
    def connected(self, value: bool) -> None:
        self.real.session = self if value else None  # type: ignore[assignment]

    @property
    def departed(self) -> bool:
        return self.real.departed

    @departed.setter
    def departed(self, value: bool) -> None:
        self.real.departed = value

    def close(self) -> None:
        self.real.closing = True
        if not self.real.dirty:
            self.real.mark()


@dataclass
class FakeBroker(Broker):
    """Echoes what it receives, unless `on_receive` says what to do instead."""

    on_receive: Callable[[FakeConnection, bytes], None] = lambda connection, data: connection.put(data)
    accepted: list[FakeConnection] = field(default_factory=list)
    gone: list[FakeConnection] = field(default_factory=list)
    dirty: list[Connection] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    answers: list[tuple[Question, Answer]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    deadline: float = float("inf")
    ticks: int = 0
    turns: int = 0
    presses: bool = False

    def of(self, real: Connection) -> FakeConnection:
        return next(connection for connection in self.accepted if connection.real is real)

    def accept(self, peer: Peer, now: float) -> Connection:
        connection = FakeConnection(self, peer)
        self.accepted.append(connection)
        return connection.real

    def receive(self, connection: Connection, data: bytes, now: float) -> None:
        seen = self.of(connection)
        seen.received += data
        seen.pieces.append(data)
        self.on_receive(seen, data)

    def busy_with(self, connection: Connection) -> bool:
        return False

    def pressing(self) -> bool:
        return self.presses

    def lost(self, connection: Connection, now: float) -> None:
        seen = self.of(connection)
        if seen not in self.gone:
            self.gone.append(seen)

    def writable(self, connection: Connection, now: float) -> None:
        connection.writable = True
        if not connection.dirty:
            connection.mark()

    def drain(self) -> list[Connection]:
        self.turns += 1
        ready = self.dirty[:]
        self.dirty.clear()
        for connection in ready:
            connection.dirty = False
        return ready

    def next_deadline(self) -> float:
        return self.deadline

    def tick(self, now: float) -> None:
        if self.deadline <= now:
            self.ticks += 1
            self.deadline = float("inf")

    def take_questions(self) -> list[Question]:
        questions, self.questions = self.questions, []
        return questions

    def answer(self, question: Question, answer: Answer, now: float) -> None:
        self.answers.append((question, answer))

    def take_requests(self) -> list[ServerRequest]:
        return []

    def take_events(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def connections(self) -> Iterable[Connection]:
        return [c.real for c in self.accepted if c not in self.gone]

    def shutdown(self, now: float) -> None:
        for connection in self.accepted:
            if connection not in self.gone:
                connection.put(b"bye")
                connection.close()


class AcceptAll:
    def answer(self, question: Question) -> Answer:
        return Accepted("somebody")


@dataclass
class Server:
    """A pump and one listener, and what they reported."""

    broker: FakeBroker
    pump: Pump
    listener: Listener
    events: list[Event]
    clients: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.listener.port

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    async def connect(
        self, context: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client; it is closed with the server, unless the test does so before."""
        if self.listener.settings.path is not None:
            client = await asyncio.open_unix_connection(str(self.listener.settings.path))
        else:
            client = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        self.clients.append(client[1])
        return client


@contextlib.asynccontextmanager
async def serving(
    settings: ListenerSettings,
    context: ssl.SSLContext | None = None,
    broker: FakeBroker | None = None,
    expect_warnings: bool = False,
    **limits: float,
) -> AsyncIterator[Server]:
    """A server on a free port of loopback; afterwards nothing may be left of it."""
    broker = broker or FakeBroker()
    events: list[Event] = []
    pump = Pump(broker, AcceptAll(), events.append, limits=TransportLimits(**limits))
    listener = Listener(settings, pump, context)
    await listener.start()
    server = Server(broker, pump, listener, events)
    try:
        yield server
    finally:
        for writer in server.clients:
            await close(writer)
        await listener.stop()
        await pump.stop(grace_s=0.3)
    assert pump.gate.total == 0
    assert not pump.gate.strangers()
    assert expect_warnings or not server.of(ServerWarning)


async def until(condition: Callable[[], object], timeout_s: float = 3.0) -> None:
    """Wait until `condition()` is true; fail when it does not come."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is awaited has no event to set
            await asyncio.sleep(0.005)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError):
        await writer.wait_closed()

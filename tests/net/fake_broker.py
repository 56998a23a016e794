"""A broker that records what the net floor does to it, and the server around it for tests."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

from bollard.base.authentication import Accepted, Answer, Question
from bollard.base.events import Event, ServerWarning
from bollard.base.types import Peer
from bollard.net.gate import TransportLimits
from bollard.net.listener import Listener, ListenerSettings
from bollard.net.pump import Pump


class FakeConnection:
    def __init__(self, broker: "FakeBroker", peer: Peer) -> None:
        self.broker = broker
        self.peer = peer
        self.owner: object = None
        self.closing = False
        self.departed = False
        self.writable = True
        self.connected = False
        self.packets = 0
        self.last_seen = 0.0
        self.principal = self.client_id = ""
        self.received = b""
        self.pieces: list[bytes] = []
        self.output: list[bytes] = []

    @property
    def size(self) -> int:
        return sum(1 if data is None else len(data) for data in self.output)

    def put(self, data: bytes) -> None:
        self.output.append(data)
        self.broker.dirty[self] = None

    def close(self) -> None:
        self.closing = True
        self.broker.dirty[self] = None

    def take_output(self) -> bytes:
        assert self.writable, "the shell must not ask while the transport is paused"
        data = b"".join(self.output)
        self.output.clear()
        return data

    take_piece = take_output


@dataclass
class FakeBroker:
    """Echoes what it receives, unless `on_receive` says what to do instead."""

    on_receive: Callable[[FakeConnection, bytes], None] = lambda connection, data: connection.put(data)
    accepted: list[FakeConnection] = field(default_factory=list)
    gone: list[FakeConnection] = field(default_factory=list)
    dirty: dict[FakeConnection, None] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    answers: list[tuple[Question, Answer]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    deadline: float = float("inf")
    ticks: int = 0
    turns: int = 0
    pressing: bool = False

    def accept(self, peer: Peer, now: float) -> FakeConnection:
        connection = FakeConnection(self, peer)
        self.accepted.append(connection)
        return connection

    def receive(self, connection: FakeConnection, data: bytes, now: float) -> None:
        connection.received += data
        connection.pieces.append(data)
        self.on_receive(connection, data)

    def busy_with(self, connection: FakeConnection) -> bool:
        return False

    def lost(self, connection: FakeConnection, now: float) -> None:
        if connection not in self.gone:
            self.gone.append(connection)

    def writable(self, connection: FakeConnection, now: float) -> None:
        connection.writable = True
        self.dirty[connection] = None

    def drain(self) -> list[FakeConnection]:
        self.turns += 1
        dirty, self.dirty = list(self.dirty), {}
        return dirty

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

    def take_requests(self) -> list[object]:
        return []

    def take_events(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def connections(self) -> Iterable[FakeConnection]:
        return [c for c in self.accepted if c not in self.gone]

    def shutdown(self, now: float) -> None:
        for connection in self.connections():
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

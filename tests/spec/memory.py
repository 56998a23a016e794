"""The engine in memory as a `Broker` of conversations: no socket, and time passes when the script says so."""

from bollard.base.authentication import Authenticator
from bollard.base.types import Peer
from bollard.engine.broker import Broker as Engine
from bollard.engine.limits import Limits
from bollard.engine.ports import Authorizer
from bollard.session.connection import Connection

from .conversation import Broker
from .doors import Counting

START = 1000.0


class MemoryLink:
    """One connection of the engine; what the engine wrote waits in `inbox`."""

    def __init__(self, broker: "MemoryBroker", connection: Connection) -> None:
        self.broker = broker
        self.connection = connection
        self.inbox = b""
        self.ended = False

    def write(self, data: bytes) -> None:
        if self.ended:
            return
        self.broker.engine.receive(self.connection, data, self.broker.now)
        self.broker.turn()

    def read(self, wait: bool) -> bytes:
        found, self.inbox = self.inbox, b""
        return found

    def at_end(self) -> bool:
        return self.ended and not self.inbox

    def drop(self) -> None:
        self.ended = True
        self.broker.engine.lost(self.connection, self.broker.now)
        self.broker.turn()


class MemoryBroker(Broker):
    """The engine; `options` are texts that it takes at its making.

    With `durable`, what it wants on disk is there at once while `disk` is true, else at `commit`.
    """

    def __init__(
        self,
        limits: Limits,
        authorizer: Authorizer,
        authenticator: Authenticator,
        durable: bool = False,
        **options: str,
    ) -> None:
        super().__init__()
        self.now = START
        self.disk = True
        self.authenticator = authenticator
        self.engine = Engine(
            limits=limits,
            authorizer=authorizer,
            entropy=Counting(),
            now=self.now,
            durable=durable,
            **options,
        )

    def dial(self) -> MemoryLink:
        connection = self.engine.accept(Peer(address="127.0.0.1", allow_anonymous=True), self.now)
        link = MemoryLink(self, connection)
        connection.owner = link
        return link

    def turn(self) -> None:
        """What the shell does after each read: answer questions, write output, close."""
        engine = self.engine
        while True:
            questions = engine.take_questions()
            for question in questions:
                engine.answer(question, self.authenticator.answer(question), self.now)
            dirty = engine.drain()
            for connection in dirty:
                self._flush(connection)
            if not questions and not dirty and not (self.disk and self.commit()):
                return

    def commit(self) -> bool:
        """Everything that waits for the disk is there; was there anything?"""
        sequence, records = self.engine.take_journal()
        if records:
            self.engine.committed(sequence, self.now)
        return bool(records)

    def _flush(self, connection: Connection) -> None:
        link = connection.owner
        assert isinstance(link, MemoryLink)
        if not link.ended:
            link.inbox += connection.take_output()
        if connection.closing and not link.ended:
            link.ended = True
            self.engine.lost(connection, self.now)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.engine.next_deadline() <= end:
            self.now = max(self.now, self.engine.next_deadline())
            self.engine.tick(self.now)
            self.turn()
        self.now = end
        self.engine.tick(end)
        self.turn()

    def settle(self) -> None:
        self.turn()

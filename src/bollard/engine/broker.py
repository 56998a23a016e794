"""The broker without I/O: bytes, time and verdicts in; bytes, deadlines, events and records out.

Theory of operation. The shell calls one verb at a time, with the monotonic time as an argument. A verb
changes state and leaves behind what the shell must do: connections with output (`drain`), questions about
identity (`take_questions`), records for the disk (`take_journal`), events (`take_events`), and the time at
which it wants to be called again (`next_deadline`). No verb raises for anything that a peer did.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bollard.base.allowance import allows_foreign, bounds_qos
from bollard.base.authentication import Accepted, Answer, Challenge, Question, Refused
from bollard.base.counters import Counters
from bollard.base.events import Event
from bollard.base.types import Peer
from bollard.engine.connect import (
    accept,
    challenge,
    reauthenticated,
    refuse,
)
from bollard.engine.core import Core, ServerRequest
from bollard.engine.disk import failed, took
from bollard.engine.intake import process
from bollard.engine.journal import Batch
from bollard.engine.leave import close, drop_will, end, end_session, route_own, watch
from bollard.engine.limits import Limits
from bollard.engine.ports import Authorizer, Entropy, tap_of
from bollard.engine.publish import drop_retained
from bollard.engine.rations import forget_strangers, surplus
from bollard.engine.records import Kept
from bollard.engine.restore import Restored, restore
from bollard.engine.subscribe import continue_replays, ready_to_continue
from bollard.session.connection import Connection, new_connection
from bollard.session.message import Message
from bollard.session.session import Session
from bollard.session.states import ASKED, CLOSED
from bollard.wire.spec import ReasonCode

__all__ = ["Broker", "KickReport", "Limits"]


#: Work for deadlines within one turn, in the measure of `intake`.
TICK_WORK = 250_000


@dataclass(frozen=True, slots=True)
class KickReport:
    """What `Broker.kick` ended."""

    connections: int = 0
    sessions: int = 0
    wills: int = 0
    retained: int = 0


class Broker:
    """Every verb of the engine. `core` is for tests and for the modules of this floor."""

    __slots__ = ("core",)

    def __init__(
        self,
        *,
        limits: Limits,
        authorizer: Authorizer,
        entropy: Entropy,
        now: float,
        durable: bool = False,
        response_information: str = "",
        server_reference: str = "",
    ) -> None:
        self.core = Core(limits, authorizer, entropy, now, durable, response_information, server_reference)
        self.core.foreign_responses = allows_foreign(authorizer)
        self.core.qos_bounded = bounds_qos(authorizer)
        self.core.tap = tap_of(authorizer)

    # Transport ---------------------------------------------------------------------------------------

    def accept(self, peer: Peer, now: float) -> Connection:
        """A transport was opened: its connection, which must become CONNECTED in time."""
        core = self.core
        core.now = now
        connection = new_connection(
            peer, core.max_connect_bytes, core.max_outbox_bytes, core.dirty, core.counters
        )
        connection.last_seen = now
        core.counters.connections_accepted += 1
        connection.deadline = core.deadlines.begin(now + core.connect_timeout_s, watch, (core, connection))
        return connection

    def receive(self, connection: Connection, data: bytes, now: float) -> None:
        """Bytes arrived. A fault of the peer ends its connection and nothing else."""
        core = self.core
        core.now = now
        if connection.state == CLOSED:
            return
        core.counters.bytes_received += len(data)
        framer = connection.framer
        framer.feed(data)
        if core.unfinished and connection in core.unfinished:
            return
        if connection.state == ASKED:
            if framer.pending > core.max_connect_bytes:
                # Attack: filling memory while the question is open.
                core.limit("max_connect_bytes", None, connection, "too much was sent before CONNACK")
                close(core, connection, 0, "too much was sent before CONNACK")
            return
        self._process(connection)

    def busy_with(self, connection: Connection) -> bool:
        """Whether what this connection has sent is not all acted on. Reading more from it would only fill
        memory; `drain` goes on with it."""
        return connection in self.core.unfinished

    def _process(self, connection: Connection) -> None:
        core = self.core
        before = core.counters.packets_received
        process(core, connection)
        packets = core.counters.packets_received - before
        if packets:
            connection.packets += packets
            # A part of a packet is no sign of life. [MQTT5-3.1.2-22] [MQTT3-3.1.2-24]
            connection.last_seen = core.now

    def _proceed(self) -> None:
        """A further slice of the connection that has waited longest for one."""
        unfinished = self.core.unfinished
        if unfinished:
            connection = next(iter(unfinished))
            del unfinished[connection]
            self._process(connection)

    def lost(self, connection: Connection, now: float) -> None:
        """The transport is gone. May be called more than once, and after the engine closed it."""
        self.core.now = now
        if connection.state != CLOSED:
            end(self.core, connection, 0, "the network connection was lost", "network", True, "")

    def writable(self, connection: Connection, now: float) -> None:
        """The transport takes output again."""
        self.core.now = now
        connection.writable = True
        if (connection.size or connection.closing) and not connection.dirty:
            connection.mark()

    def drain(self) -> list[Connection]:
        """The connections that have output, or are to be closed, since the last call."""
        core = self.core
        core.pressing = False
        self._proceed()
        if core.replays:
            continue_replays(core)
        dirty = core.dirty
        # Whoever overflows is closed, which may give others something to send.
        at = 0
        while at < len(dirty):
            connection = dirty[at]
            if connection.overflowed and connection.state != CLOSED:
                self._overflow(connection)
            at += 1
        ready = dirty[:]
        del dirty[:]
        for connection in ready:
            connection.dirty = False
        return ready

    def pressing(self) -> bool:
        """Much output has gathered: `drain` and write before reading more."""
        return self.core.pressing

    # Time --------------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """When `tick` is wanted, in monotonic seconds; infinity for never."""
        core = self.core
        if core.unfinished:
            return core.now
        for connection in core.replays:
            if ready_to_continue(core, connection):
                return core.now
        return core.deadlines.next()

    def tick(self, now: float) -> None:
        """Act on the deadlines that are due; on some of them where that is work for more than one turn."""
        core = self.core
        core.now = now
        core.spent = 0
        core.deadlines.run(now, lambda: core.spent < TICK_WORK)

    # Identity and rights -----------------------------------------------------------------------------

    def take_questions(self) -> Sequence[Question]:
        """Questions about identity that were asked since the last call."""
        core = self.core
        if not core.questions:
            return ()
        questions, core.questions = core.questions, []
        return questions

    def answer(self, question: Question, answer: Answer, now: float) -> None:
        """The answer to a question; one about a connection that is gone is dropped."""
        core = self.core
        core.now = now
        connection: Connection = question.connection
        if connection.state == CLOSED or not connection.asked:
            return
        connection.asked = False
        if connection.reauthenticating:
            if isinstance(answer, Challenge):
                challenge(core, connection, question, answer)
            else:
                reauthenticated(core, connection, answer)
            return
        if connection.state != ASKED:
            return
        if isinstance(answer, Accepted):
            if connection.pending is not None:
                accept(core, connection, connection.pending, answer)
        elif isinstance(answer, Challenge):
            challenge(core, connection, question, answer)
        elif isinstance(answer, Refused):
            refuse(core, connection, connection.pending, answer)
        process(core, connection)

    def set_authorizer(self, authorizer: Authorizer, now: float) -> None:
        """Policy or registry changed: every right is asked anew, on live sessions too."""
        core = self.core
        core.now = now
        core.authorizer = authorizer
        core.foreign_responses = allows_foreign(authorizer)
        core.qos_bounded = bounds_qos(authorizer) or any(ration.lowered for ration in core.rations.values())
        core.tap = tap_of(authorizer)
        core.rights_changed()
        forget_strangers(core)
        for connection in surplus(core):
            core.limit("policy.max_connections", None, connection, "connect: more than policy allows now")
            close(core, connection, ReasonCode.QUOTA_EXCEEDED, "its policy allows fewer connections now")

    def kick(self, principal: str, code: int, reason: str, now: float, *, purge: bool = False) -> KickReport:
        """End every connection of a principal, without its wills; with `purge` its sessions and the
        retained messages that it wrote as well."""
        core = self.core
        core.now = now
        connections = sessions = wills = retained = 0
        for admission in list(core.admissions.values()):
            if admission.session.principal == principal:
                close(core, admission.connection, 0, reason, will=False)
        for session in list(core.sessions.get(principal, {}).values()):
            if session.will is not None:
                wills += 1
                session.will = None
                drop_will(core, session)
            connection: Connection | None = session.connection
            if connection is not None:
                connections += 1
                # Attack: a client that reads nothing until it has lost its rights, and then what was kept for it.
                connection.discard()
                connection.cut = True
                close(core, connection, code, reason, will=False, tell=reason)
            if purge or core.find(principal, session.client_id) is not session:
                sessions += 1
                end_session(core, session, reason)
            elif session.number:
                core.journal.session(session, False)
        if purge:
            for message in [m for m in core.retained if m.author == principal]:
                drop_retained(core, message)
                retained += 1
        return KickReport(connections, sessions, wills, retained)

    def disconnect(
        self, connection: Connection, code: int, reason: str, now: float, *, will: bool = True
    ) -> None:
        """Disconnect one client; its will is published, unless `will` is False: then it is dropped."""
        self.core.now = now
        close(self.core, connection, code, reason, tell=reason, will=will)

    def shutdown(self, now: float) -> None:
        """Say good-bye to everyone. Kept sessions stay kept. [MQTT5 reason code 0x8B]"""
        self.core.now = now
        waiting = [admission.connection for admission in self.core.admissions.values()]
        for connection in [*self.connections(), *waiting]:
            close(self.core, connection, ReasonCode.SERVER_SHUTTING_DOWN, "the server stops")

    # The server's own messages, the disk, the news ---------------------------------------------------

    def publish(self, topic: str, payload: bytes, *, now: float, qos: int = 0, retain: bool = False) -> None:
        """Publish a message of the server's own, such as $SYS; no author's right is asked."""
        self.core.now = now
        message = Message(topic, topic.encode(), payload, qos, int(retain), "", "", b"", 0.0)
        route_own(self.core, message)

    def journal_waits(self) -> bool:
        """Whether `take_journal` would give anything."""
        return bool(self.core.journal.batch)

    def journal_presses(self) -> bool:
        """Whether somebody waits for what `take_journal` gives, so that it should be written at once."""
        core = self.core
        return bool(core.holding or core.admissions)

    def take_journal(self, wall_offset: float | None = None) -> tuple[int, Batch]:
        """The changes to be written next, and the number to give `committed` when they are on disk.

        `wall_offset` is wall-clock less monotonic time, which may have changed since the last call. One
        batch at a time: the next is taken after `committed` or `refused` for the one before.
        """
        if wall_offset is not None:
            self.core.journal.wall_offset = wall_offset
        return self.core.journal.take()

    def refused(self, batch: Batch, reason: str, now: float) -> None:
        """The disk did not take `batch`; nothing is lost, it is part of the next one."""
        self.core.now = now
        failed(self.core, batch, reason)

    def committed(self, sequence: int, now: float) -> None:
        """Every batch up to `sequence` is on disk: let go what waited for it."""
        core = self.core
        core.now = now
        took(core, sequence)

    def restore(self, kept: Kept, now: float, wall: float) -> Restored:
        """Take up the state that a store holds. Once, before the first connection; the broker is durable.

        `wall` is the wall-clock second of `now`.
        """
        return restore(self.core, kept, now, wall)

    def take_requests(self) -> Sequence[ServerRequest]:
        """Messages to the server itself that came since the last call."""
        core = self.core
        if not core.requests:
            return ()
        requests, core.requests = core.requests, []
        return requests

    def take_events(self) -> Sequence[Event]:
        """What happened since the last call."""
        core = self.core
        if not core.events:
            return ()
        events, core.events = core.events, []
        return events

    @property
    def counters(self) -> Counters:
        return self.core.counters

    def sessions(self) -> Iterable[Session]:
        """Every session, connected or kept."""
        for of_principal in self.core.sessions.values():
            yield from of_principal.values()

    def connections(self) -> Iterable[Connection]:
        """The connection of every connected client."""
        for session in self.sessions():
            connection: Connection | None = session.connection
            if connection is not None:
                yield connection

    def _overflow(self, connection: Connection) -> None:
        """A client that does not read costs itself its connection."""
        core = self.core
        session: Session | None = connection.session
        core.limit("max_outbox_bytes", session, connection, f"{connection.size} bytes wait for it")
        connection.discard()
        close(core, connection, ReasonCode.QUOTA_EXCEEDED, "it does not read what it is sent")

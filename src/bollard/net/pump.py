"""The loop's side of the broker: time, turns, answers, flushes, and where errors stop.

All that arrives within one turn of the loop is taken in first; then, once, questions are answered, each
connection with output is written, events go to the observers and the timer is set. Only here is
`Exception` caught: what goes wrong for one connection ends that one.
"""

import asyncio
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from bollard.base.authentication import Answer, Authenticator, Later, Question, Refused
from bollard.base.events import Event, ServerWarning
from bollard.base.types import NEVER, Peer
from bollard.net import clock
from bollard.net.commits import Commits, Disk
from bollard.net.gate import Gate, TransportLimits
from bollard.net.poller import Poller
from bollard.net.reports import Reports
from bollard.net.steps import Steps
from bollard.net.stream import Stream
from bollard.net.traffic import Pauses, Traffic

if TYPE_CHECKING:
    from bollard.engine.broker import Broker
    from bollard.engine.core import ServerRequest
    from bollard.engine.journal import Batch
    from bollard.session.connection import Connection

IMPLEMENTATION_SPECIFIC_ERROR = 0x83
TIMER_GRAIN_S = 0.001
#: Output of one connection that is written after that of the others, and how much of such in one go: it has to
#: be encrypted and copied (attack: one message of a megabyte for hundreds of the attacker's own clients).
LARGE_BYTES = 262_144
LARGE_AT_ONCE_BYTES = 4_194_304
#: What a WebSocket frame costs the processor, in packets. Attack: frames without content, as fast as they go out.
PACKETS_PER_FRAME = 64


class Pump:
    """Drives one broker on the running loop. Make it inside the loop; `wake` after calling the broker.

    `observe` is called with each event and must not block. `authenticator` may be replaced at any time;
    `requested` is called with each message to the server itself, and must not block either.
    """

    __slots__ = (
        "_arrivals",
        "_closing",
        "_commits",
        "_emptied",
        "_held",
        "_large",
        "_observe",
        "_pauses",
        "_reports",
        "_scheduled",
        "_timer",
        "_timer_at",
        "_turns",
        "authenticator",
        "broker",
        "gate",
        "loop",
        "poller",
        "requested",
        "steps",
        "traffic",
    )

    def __init__(
        self,
        broker: "Broker",
        authenticator: Authenticator,
        observe: Callable[[Event], None],
        *,
        limits: TransportLimits | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.broker = broker
        self.authenticator = authenticator
        self.gate = Gate(limits or TransportLimits())
        self.traffic = Traffic(self.gate.limits)
        self.poller = Poller(self.loop, self._round_over)
        self.steps = Steps(self.loop, self.poller)
        self.requested: Callable[[ServerRequest], None] | None = None
        self._observe = observe
        self._large: dict[Connection, None] = {}
        self._reports = Reports(self.emit)
        self._pauses = Pauses()
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._closing: dict[Stream, float] = {}
        self._emptied: asyncio.Event | None = None
        self._arrivals = 0
        self._turns = 0
        self._held: list[Stream] = []
        self._commits: Commits | None = None

    def write_to(self, disk: Disk) -> None:
        """Have the broker's journal written by `disk`, which reports to `committed`. Before the start."""
        self._commits = Commits(self.broker, disk, self.wake)

    def committed(self, sequence: int, batch: "Batch", problem: str) -> None:
        """A batch is on disk, or `problem` says why not. May be called by any thread."""
        self.loop.call_soon_threadsafe(self._committed, sequence, batch, problem)

    # For whoever else calls the broker.

    def wake(self) -> None:
        """Have a turn soon, behind a look at the sockets: something may have changed in the broker."""
        if not self._scheduled:
            self._scheduled = True
            if not self.poller.in_round:
                self.poller.look_soon()

    def _due(self, deadline: float) -> None:
        """Have a turn at `deadline`. The timer that runs is nearly always for something earlier."""
        if deadline < self._timer_at:
            self.wake()

    def emit(self, event: Event) -> None:
        """Tell the observers; one that fails must not stop the server."""
        try:
            self._observe(event)
        except Exception:
            self.loop.call_exception_handler({"message": "an observer of events failed"})

    async def stop(self, grace_s: float = 2.0) -> bool:
        """Tell every client that the server is shutting down and close; after `grace_s` without a word.

        Listeners must have stopped. Returns when every transport is closed and the journal is written;
        False if the disk did not take it.
        """
        self._emptied = asyncio.Event()
        for stream in self.gate.strangers():
            stream.drop()
        self.broker.shutdown(clock.monotonic())
        self._turn()
        try:
            async with asyncio.timeout(grace_s):
                await self._wait_empty()
        except TimeoutError:
            for stream in self._streams():
                stream.drop()
            await self._wait_empty()
        self._turn()
        written = self._commits is None or await self._commits.finish(grace_s)
        if not written:
            self.emit(ServerWarning("store failing", "the last changes could not be written before the stop"))
        if self._timer is not None:
            self._timer.cancel()
        return written

    async def _wait_empty(self) -> None:
        if self._emptied is not None and self.gate.total:
            await self._emptied.wait()

    def _streams(self) -> list[Stream]:
        """Every stream that is left, in whatever phase."""
        owners = [connection.owner for connection in self.broker.connections()]
        return [*self._closing, *self.gate.strangers(), *(o for o in owners if isinstance(o, Stream))]

    # What streams call.

    def enter(self, stream: Stream) -> bool:
        """Let a new transport in, or say in an event why not."""
        now = clock.monotonic()
        door = stream.door
        if door.context is None and not door.admits(stream.address):
            self.refused(stream, "plaintext from outside the networks of allow_plaintext_from; use TLS")
            return False
        limit = self.gate.enter(stream, now)
        if limit:
            self._reports.limit(limit, "", "", stream.address, "a connection was refused", now)
            return False
        oldest = self.gate.surplus()
        if oldest is not None:
            what = "the oldest unfinished handshake was closed"
            self._reports.limit("max_handshakes", "", "", oldest.address, what, now)
            oldest.drop()
        self._due(self.gate.next_deadline())
        return True

    def join(self, stream: Stream, peer: Peer) -> None:
        """Introduce `stream` to the broker."""
        self.gate.established(stream)
        connection = self.broker.accept(peer, clock.monotonic())
        connection.owner = stream
        stream.connection = connection
        self.wake()

    def receive(self, stream: Stream, data: bytes) -> None:
        """Give the broker what the peer of `stream` sent. What follows from it happens once, at the end of the
        round, unless so much output has gathered that it must not wait."""
        connection = stream.connection
        if connection is None:
            return
        self._arrivals += 1
        now = clock.monotonic()
        try:
            self.broker.receive(connection, data, now)
            stream.allowance -= len(data)
            if stream.allowance < 0:
                self._settle(stream, connection)
            if stream.newcomer and not connection.connected and not self.gate.bears(stream, len(data)):
                what = "a CONNECT without end was cut off"
                self._reports.limit("max_handshake_bytes", "", "", stream.address, what, now)
                stream.drop()
                return
            if self.broker.busy_with(connection):
                self._hold(stream)
            if self.broker.pressing():
                self._flush()
        except Exception:
            self.failed(stream)
        self.wake()

    def framed(self, stream: Stream, frames: int, size: int) -> None:
        """`frames` of WebSocket have come, with `size` bytes that are none of MQTT's: the meters count both, and as
        soon as they would those packets, none of which has less than two bytes."""
        stream.allowance -= max(size, frames * PACKETS_PER_FRAME * 2)
        stream.settled -= frames * PACKETS_PER_FRAME
        connection = stream.connection
        if stream.allowance < 0 and connection is not None:
            self._settle(stream, connection)
            self.wake()

    def _hold(self, stream: object) -> None:
        """Attack: a peer that sends more than can be acted on, while everybody else waits."""
        if isinstance(stream, Stream) and not stream.held:
            stream.hold()
            self._held.append(stream)

    def _let_go(self) -> None:
        """Read on from those whose packets have all been acted on."""
        held, self._held = self._held, []
        for stream in held:
            if stream.connection is not None and self.broker.busy_with(stream.connection):
                self._held.append(stream)
            elif stream not in self._pauses:
                stream.let_go()

    def _settle(self, stream: Stream, connection: "Connection") -> None:
        """An allowance is used up: pause the reading if its identity or address has sent more than it may.

        The second time in one turn, the rest of the turn is for others. Attack: connections that keep the
        kernel's buffers full; the loop would read megabytes of each before it comes to the next.
        """
        if stream.turn == self._turns:
            self._hold(stream)
        stream.turn = self._turns
        now = clock.monotonic()
        size, stream.allowance = self.traffic.allowance - stream.allowance, self.traffic.allowance
        packets, stream.settled = connection.packets - stream.settled, connection.packets
        wait_s, limit = self.traffic.settle(stream, packets, size, now)
        if not wait_s:
            return
        # Who is not read cannot show that it lives.
        connection.last_seen = max(connection.last_seen, now + wait_s)
        self._pauses.add(stream, now + wait_s)
        self._hold(stream)
        self._reports.limit(
            limit,
            connection.principal,
            connection.client_id,
            stream.address,
            f"reading pauses for {wait_s:.3f} s",
            now,
        )

    def resumed(self, stream: Stream) -> None:
        """The transport takes output again."""
        if stream.connection is not None:
            self.broker.writable(stream.connection, clock.monotonic())
            self.wake()

    def forget(self, stream: Stream) -> None:
        """Part `stream` from its connection, if it has one: the broker handles it as lost."""
        connection, stream.connection = stream.connection, None
        self.gate.dismissed(stream)
        if connection is not None:
            connection.owner = None
            self.broker.lost(connection, clock.monotonic())
            self.wake()

    def gone(self, stream: Stream) -> None:
        """The transport of `stream` is closed."""
        self.forget(stream)
        self._closing.pop(stream, None)
        self.gate.leave(stream)
        if self._emptied is not None and not self.gate.total:
            self._emptied.set()

    def linger(self, stream: Stream) -> None:
        """Abort `stream` if it is not gone in time; the first call counts."""
        if stream not in self._closing:
            self.gate.dismissed(stream)
            deadline = self._closing[stream] = clock.monotonic() + self.gate.limits.close_timeout_s
            self._due(deadline)

    def refused(self, stream: Stream, reason: str) -> None:
        """Report a transport that ended before MQTT began, unless such reports come in floods."""
        self._reports.refused(stream.address, stream.door.name, reason, clock.monotonic())

    def guard(self, stream: Stream, work: Callable[..., None], *arguments: object) -> None:
        """Do `work` for `stream`; an error of ours in it ends that stream and nothing else."""
        try:
            work(*arguments)
        except Exception:
            self.failed(stream)

    # The turn.

    def _round_over(self) -> None:
        """All that was ready has been taken in."""
        if self._scheduled:
            self._turn()

    def _turn(self) -> None:
        self._scheduled = False
        self._turns += 1
        broker = self.broker
        try:
            # Messages first: nothing that they wait for comes before they are written.
            self._flush()
            questions, requests = broker.take_questions(), broker.take_requests()
            if questions or requests:
                for question in questions:
                    self._answer(question)
                for request in requests:
                    if self.requested is not None:
                        self.requested(request)
                self._flush()
            commits = self._commits
            if commits is not None and commits.turn(self._arrivals):
                self._flush()
            if self._held:
                self._let_go()
            for event in broker.take_events():
                self.emit(event)
            self._set_timer(self._next_deadline())
        except Exception:
            self._warn("the broker failed in a turn")

    def _committed(self, sequence: int, batch: "Batch", problem: str) -> None:
        assert self._commits is not None
        try:
            self._commits.done(sequence, batch, problem)
        except Exception:
            self._warn("the broker failed after a commit")
        self._turn()

    def _flush(self) -> None:
        """One write for each connection that has output; those with very much of it take turns."""
        for connection in self.broker.drain():
            if connection.size > LARGE_BYTES:
                self._large[connection] = None
            else:
                self._write(connection.owner)
        if self._large:
            self._flush_large()

    def _flush_large(self) -> None:
        written = 0
        while self._large and written < LARGE_AT_ONCE_BYTES:
            connection = next(iter(self._large))
            del self._large[connection]
            written += connection.size
            self._write(connection.owner)
        if self._large:
            self.wake()

    def _write(self, owner: object) -> None:
        if isinstance(owner, Stream):
            stream = owner
            try:
                stream.flush()
            except Exception:
                self.failed(stream)

    def _answer(self, question: Question) -> None:
        answer = self._ask(self.authenticator.answer, question)
        if isinstance(answer, Later):
            self._await(question, answer)
        else:
            self._give(question, answer)

    def _await(self, question: Question, later: Later) -> None:
        def done() -> None:
            self.loop.call_soon_threadsafe(self._conclude, question, later.conclude)

        later.when_done(done)

    def _conclude(self, question: Question, conclude: Callable[[], Answer]) -> None:
        """An answer that took its time. If its connection has gone meanwhile, the broker drops it."""
        answer = self._ask(conclude)
        assert not isinstance(answer, Later)
        self._give(question, answer)
        self.wake()

    def _give(self, question: Question, answer: Answer) -> None:
        try:
            self.broker.answer(question, answer, clock.monotonic())
        except Exception:
            self.failed(getattr(question.connection, "owner", None))

    def _ask(self, ask: Callable[..., Answer | Later], *arguments: object) -> Answer | Later:
        """The authenticator's answer; one that fails is a refusal."""
        try:
            return ask(*arguments)
        except Exception:
            self._warn("authentication failed with an internal error; the client was refused")
            return Refused(IMPLEMENTATION_SPECIFIC_ERROR, "the authenticator failed")

    def _next_deadline(self) -> float:
        """When something is to be done although nothing comes."""
        deadline: float = self.broker.next_deadline()
        deadline = min(deadline, self.gate.next_deadline())
        deadline = min(deadline, self._pauses.next())
        if self._closing:
            deadline = min(deadline, next(iter(self._closing.values())))
        if self._commits is not None:
            deadline = min(deadline, self._commits.due)
        return deadline

    def _set_timer(self, deadline: float) -> None:
        """Wake up at `deadline`. A timer that is set for earlier stays: it costs less than to move it."""
        if self._timer_at <= deadline:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        delay = deadline - clock.monotonic()
        # Timers of some loops (uvloop) count whole milliseconds: one that fires early would make us spin.
        later = delay + TIMER_GRAIN_S if delay > 0 else 0.0
        self._timer = self.loop.call_later(later, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = NEVER
        now = clock.monotonic()
        try:
            self.broker.tick(now)
        except Exception:
            self._warn("the broker failed at a deadline")
        timeout_s = self.gate.limits.handshake_timeout_s
        for stream in self.gate.overdue(now):
            self.refused(stream, f"{stream.overdue()} within {timeout_s:g} s")
            stream.drop()
        # `_let_go` reads on from them, unless the broker is not through with what came before.
        self._held.extend(self._pauses.over(now))
        while self._closing and next(iter(self._closing.values())) <= now:
            stream = next(iter(self._closing))
            del self._closing[stream]
            stream.drop()
        self._turn()

    # Reports.

    def failed(self, owner: object) -> None:
        """An error of ours in the service of one connection: log it whole, end that connection."""
        self._warn("an internal error ended one connection")
        if isinstance(owner, Stream):
            owner.drop()

    def _warn(self, what: str) -> None:
        self.emit(ServerWarning(what, traceback.format_exc()))

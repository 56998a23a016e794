"""The loop's side of the broker: time, turns, answers, flushes, and where errors stop.

All that arrives within one turn of the loop is taken in first; then, once, questions are answered, each
connection with output is written, events go to the observers and the timer is set. Only here is
`Exception` caught: what goes wrong for one connection ends that one.
"""

import asyncio
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from bollard.base.authentication import Answer, Authenticator, Question, Refused
from bollard.base.events import Event, LimitReached, ServerWarning, TransportRefused
from bollard.base.types import Peer
from bollard.net.commits import Commits, Disk
from bollard.net.gate import Gate, TransportLimits
from bollard.net.steps import Steps
from bollard.net.stream import Stream

if TYPE_CHECKING:
    from bollard.engine.broker import Broker
    from bollard.engine.core import ServerRequest
    from bollard.engine.journal import Batch
    from bollard.session.connection import Connection

IMPLEMENTATION_SPECIFIC_ERROR = 0x83
TIMER_GRAIN_S = 0.001
NEVER = float("inf")


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
        "_observe",
        "_scheduled",
        "_throttle",
        "_timer",
        "_timer_at",
        "authenticator",
        "broker",
        "gate",
        "loop",
        "requested",
        "steps",
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
        self.steps = Steps(self.loop)
        self.requested: Callable[[ServerRequest], None] | None = None
        self._observe = observe
        self._throttle = Throttle()
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._closing: dict[Stream, float] = {}
        self._emptied: asyncio.Event | None = None
        self._arrivals = 0
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
        """Have a turn soon: something may have changed in the broker."""
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._turn)

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
        self.broker.shutdown(time.monotonic())
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
        now = time.monotonic()
        if not stream.door.admits(stream.address):
            self.refused(stream, "plaintext from outside the networks of allow_plaintext_from; use TLS")
            return False
        limit = self.gate.enter(stream, now)
        if limit:
            self._limit_reached(limit, stream.address, "a connection was refused")
            return False
        oldest = self.gate.surplus()
        if oldest is not None:
            self._limit_reached(
                "max_handshakes", oldest.address, "the oldest unfinished handshake was closed"
            )
            oldest.drop()
        self.wake()
        return True

    def join(self, stream: Stream, peer: Peer) -> None:
        """Introduce `stream` to the broker."""
        self.gate.established(stream)
        connection = self.broker.accept(peer, time.monotonic())
        connection.owner = stream
        stream.connection = connection
        self.wake()

    def receive(self, connection: "Connection", data: bytes) -> None:
        """Give the broker what its peer sent. What follows from it happens once, at the end of the turn,
        unless so much output has gathered that it must not wait."""
        self._arrivals += 1
        try:
            self.broker.receive(connection, data, time.monotonic())
            if self.broker.busy_with(connection):
                self._hold(connection.owner)
            if self.broker.pressing:
                self._flush()
        except Exception:
            self._failed(connection.owner)
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._turn)

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
            else:
                stream.let_go()

    def resumed(self, stream: Stream) -> None:
        """The transport takes output again."""
        if stream.connection is not None:
            self.broker.writable(stream.connection, time.monotonic())
            self.wake()

    def forget(self, stream: Stream) -> None:
        """Part `stream` from its connection, if it has one: the broker handles it as lost."""
        connection, stream.connection = stream.connection, None
        self.gate.dismissed(stream)
        if connection is not None:
            connection.owner = None
            self.broker.lost(connection, time.monotonic())
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
            self._closing[stream] = time.monotonic() + self.gate.limits.close_timeout_s
            self.wake()

    def refused(self, stream: Stream, reason: str) -> None:
        """Report a transport that ended before MQTT began, unless such reports come in floods."""
        suppressed = self._throttle.admit(time.monotonic())
        if suppressed >= 0:
            also = f" (and {suppressed} more refused, not shown)" if suppressed else ""
            self.emit(TransportRefused(stream.address, stream.door.name, reason + also))

    def guard(self, stream: Stream, work: Callable[..., None], *arguments: object) -> None:
        """Do `work` for `stream`; an error of ours in it ends that stream and nothing else."""
        try:
            work(*arguments)
        except Exception:
            self._failed(stream)

    # The turn.

    def _turn(self) -> None:
        self._scheduled = False
        broker = self.broker
        try:
            for question in broker.take_questions():
                self._answer(question)
            for request in broker.take_requests():
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
            self._set_timer(
                min(
                    broker.next_deadline(),
                    self.gate.next_deadline(),
                    next(iter(self._closing.values()), NEVER),
                    commits.due if commits is not None else NEVER,
                )
            )
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
        """One write for each connection that has output."""
        for connection in self.broker.drain():
            stream = connection.owner
            if isinstance(stream, Stream):
                self.guard(stream, stream.flush)

    def _answer(self, question: Question) -> None:
        answer = self._ask(question)
        try:
            self.broker.answer(question, answer, time.monotonic())
        except Exception:
            self._failed(getattr(question.connection, "owner", None))

    def _ask(self, question: Question) -> Answer:
        """The authenticator's answer; one that fails is a refusal."""
        try:
            return self.authenticator.answer(question)
        except Exception:
            self._warn("authentication failed with an internal error; the client was refused")
            return Refused(IMPLEMENTATION_SPECIFIC_ERROR, "the authenticator failed")

    def _set_timer(self, deadline: float) -> None:
        """Wake up at `deadline`. A timer that is set for earlier stays: it costs less than to move it."""
        if self._timer_at <= deadline:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        delay = deadline - time.monotonic()
        # Timers of uvloop count whole milliseconds: one that fires early would make us spin.
        later = delay + TIMER_GRAIN_S if delay > 0 else 0.0
        self._timer = self.loop.call_later(later, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = NEVER
        now = time.monotonic()
        try:
            self.broker.tick(now)
        except Exception:
            self._warn("the broker failed at a deadline")
        timeout_s = self.gate.limits.handshake_timeout_s
        for stream in self.gate.overdue(now):
            self.refused(stream, f"{stream.overdue()} within {timeout_s:g} s")
            stream.drop()
        while self._closing and next(iter(self._closing.values())) <= now:
            stream = next(iter(self._closing))
            del self._closing[stream]
            stream.drop()
        self._turn()

    # Reports.

    def _failed(self, owner: object) -> None:
        """An error of ours in the service of one connection: log it whole, end that connection."""
        self._warn("an internal error ended one connection")
        if isinstance(owner, Stream):
            owner.drop()

    def _warn(self, what: str) -> None:
        self.emit(ServerWarning(what, traceback.format_exc()))

    def _limit_reached(self, limit: str, address: str, detail: str) -> None:
        suppressed = self._throttle.admit(time.monotonic())
        if suppressed >= 0:
            also = f" (and {suppressed} more refused, not shown)" if suppressed else ""
            self.emit(LimitReached(limit, "", "", address, detail + also))


class Throttle:
    """Lets through so many reports a second; whoever floods us must not flood the log as well."""

    __slots__ = ("_admitted", "_second", "_suppressed", "per_second")

    def __init__(self, per_second: int = 20) -> None:
        self.per_second = per_second
        self._second = 0
        self._admitted = 0
        self._suppressed = 0

    def admit(self, now: float) -> int:
        """How many were held back since the last one let through, or -1: hold this one back too."""
        if int(now) != self._second:
            self._second = int(now)
            self._admitted = 0
        if self._admitted >= self.per_second:
            self._suppressed += 1
            return -1
        self._admitted += 1
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed

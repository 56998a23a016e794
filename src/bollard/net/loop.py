"""asyncio's event loop, waiting where the broker's sockets are.

A loop of asyncio waits in a selector, and asks it what is ready. A `Poller` has its own set of sockets; inside that
of a loop each message would be two waits, and a walk through the loop between them, which after a sleep costs more
than the message. Here it is the other way round: the loop waits in the poller, which serves its sockets at once and
comes back when the loop itself has something to do. To tasks, timers and transports of asyncio that is no difference.
"""

import asyncio
import select
import selectors
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, TypeVarTuple, Unpack

if TYPE_CHECKING:
    from bollard.net.poller import Poller

_Ts = TypeVarTuple("_Ts")


class _Waiter(selectors.DefaultSelector):
    """The files of asyncio; who waits for them waits in `poller`, where there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.poller: Poller | None = None

    def select(self, timeout: float | None = None) -> "list[tuple[selectors.SelectorKey, int]]":
        if self.poller is None:
            return super().select(timeout)
        if self.poller.wait(-1.0 if timeout is None else timeout):
            return super().select(0)
        return []


class Loop(asyncio.SelectorEventLoop):
    """The event loop under which a broker is fastest. It serves one poller; others are files to it."""

    def __init__(self) -> None:
        self._waiter = _Waiter()
        super().__init__(self._waiter)

    def serve(self, poller: "Poller") -> int:
        """Wait in `poller` from now on. The descriptor that is readable when asyncio has something to do, which
        `poller` must watch; -1 if the loop serves another one already."""
        if self._waiter.poller is not None:
            return -1
        self._waiter.poller = poller
        return self._waiter.fileno()

    def dismiss(self) -> None:
        """Wait without the poller again."""
        self._waiter.poller = None

    # What makes work for the loop, and must not wait until a socket is ready. What other threads ask for, and
    # signals, come through a file of asyncio's.

    def call_soon(
        self, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self._interrupt()
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        self._interrupt()
        return super().call_at(when, callback, *args, context=context)

    def stop(self) -> None:
        self._interrupt()
        super().stop()

    def _interrupt(self) -> None:
        if self._waiter.poller is not None:
            self._waiter.poller.wanted = True


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The loop for a broker: `Loop` where there is epoll, else asyncio's own."""
    return Loop() if hasattr(select, "epoll") else asyncio.new_event_loop()

"""Ending a client from outside, as a service manager does: it takes leave of its server first."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any


def run_until_terminated(work: Coroutine[Any, Any, int], ended: Callable[[], int]) -> int:
    """Run `work` and return its exit code. SIGTERM cancels it; then the code is what `ended` says.

    Without a goodbye the server would publish the client's will. A second SIGTERM ends the process at once;
    Ctrl-C is `asyncio.run`'s, which cancels as well and raises KeyboardInterrupt.
    """
    return asyncio.run(_run(work, ended))


async def _run(work: Coroutine[Any, Any, int], ended: Callable[[], int]) -> int:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        loop.remove_signal_handler(signal.SIGTERM)
        task.cancel()

    if threading.current_thread() is threading.main_thread():  # elsewhere signals cannot be taken
        loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await task
    except asyncio.CancelledError:
        if not terminated:
            raise
        return ended()
    finally:
        loop.remove_signal_handler(signal.SIGTERM)

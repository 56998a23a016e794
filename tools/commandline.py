"""What the command lines of these tools share: numbers within bounds, and an end that leaves nothing behind.

Exit codes of all of them: 0 fine, 1 found or failed, 2 usage or could not run, 130 interrupted.
"""

import argparse
import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar

_Result = TypeVar("_Result")

INTERRUPTED = 130
STOP_TIMEOUT_S = 60.0


class CannotRun(Exception):
    """What is missing, and what to do."""


def whole(low: int, high: int) -> Callable[[str], int]:
    """For argparse: whole numbers from `low` to `high`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {low} to {high}")
        return value

    return read


def seconds(low: float, high: float) -> Callable[[str], float]:
    """For argparse: seconds, from `low` to `high`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not low <= value <= high:  # nor is what is no number
            raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from {low:g} to {high:g}")
        return value

    return read


def tell(text: str) -> None:
    """A line of progress, or of what went wrong: not on standard output, which is for results."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def end_with(name: str, main: Callable[[], int]) -> NoReturn:
    """Run `main` and end with its exit code; when interrupted, with 130 and without a traceback.

    SIGTERM is taken like Ctrl-C: what `main` has started ends with it either way.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        status = main()
    except KeyboardInterrupt:
        tell(f"{name}: interrupted")
        status = INTERRUPTED
    except CannotRun as problem:
        tell(f"{name}: {problem}")
        status = 2
    sys.exit(status)


def _as_ctrl_c(_number: int, _frame: object) -> None:
    # A shell has it so for what it runs in the background.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until this is over. Processes that are started meanwhile are deaf to Ctrl-C."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def running(command: Sequence[str | Path], log: IO[str] | None = None) -> Iterator["subprocess.Popen[str]"]:
    """`command` as long as this lasts, with its errors in `log`; ended here, and by nothing else."""
    process = None
    try:
        # Interrupted between a start and an assignment, nobody would know what to end.
        with uninterrupted():
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603
        yield process
    finally:
        if process is not None:
            stop(process)
            assert process.stdout is not None
            process.stdout.close()


def stop(process: "subprocess.Popen[Any]") -> None:
    """Have `process` end by itself, if it has not ended; after `STOP_TIMEOUT_S`, kill it."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run_in_loop(work: Coroutine[object, object, _Result]) -> _Result:
    """As `asyncio.run`, but Ctrl-C waits until the loop is there to take it: half a loop ends with a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    async def inside() -> _Result:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return await work

    try:
        return asyncio.run(inside())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

"""How the programs of the benchmark end when they are told to from outside: with all that they started."""

import contextlib
import os
import signal
import subprocess
from types import FrameType
from typing import IO

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_on_signals(told: str) -> None:
    """From now on Ctrl-C, SIGTERM and a terminal that closes say `told` and raise SystemExit with 128 + the number.

    So whoever started something ends it on the way out, and nothing shows a traceback. What comes after the first
    signal does not disturb that. A signal that is ignored, as nohup and a shell's background have it, stays ignored.
    """

    def end(number: int, _: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(2, f"{told}\n".encode())  # print() may not be called while it is at work
        raise SystemExit(128 + number)

    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, end)


def run_to_end(
    command: list[str], stdout: int | IO[str] | None = None, env: dict[str, str] | None = None
) -> int:
    """The exit code of `command`. Whatever ends us before ends it first: it gets SIGTERM and the time to end its own.

    It has a session of its own, so that Ctrl-C comes to it once and from here.
    """
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=stdout, env=env, start_new_session=True
    ) as process:
        try:
            return process.wait()
        finally:
            process.terminate()

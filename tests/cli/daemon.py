"""Runs `bollard` as a command, and `bollard up` as a process to talk to."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

COMMAND = [sys.executable, "-m", "bollard"]
START_TIMEOUT_S = 30.0


def bollard(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `bollard` with these arguments to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=50, check=False, **options
    )


def eventually(holds: Any, within_s: float = 10.0) -> bool:
    """Whether `holds()` becomes true in time."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


class Daemon:
    """`bollard up`, or `serve`, in a state directory. A context manager; `port` is set while it runs."""

    def __init__(
        self, directory: Path, *, config: Path | None = None, arguments: tuple[str, ...] = ()
    ) -> None:
        self.directory = directory
        self.port = 0
        self.output: list[str] = []
        self.log: list[str] = []
        if config is not None:
            self._command = [*COMMAND, "serve", "--config", str(config)]
        else:
            options = arguments or ("--host", "127.0.0.1", "--port", "0")
            self._command = [*COMMAND, "up", "--dir", str(directory), *options]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        ready: queue.Queue[str] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.output, ready)),
            threading.Thread(target=self._read, args=(self.process.stderr, self.log, None)),
        ]
        for reader in self._readers:
            reader.start()
        line = ready.get(timeout=START_TIMEOUT_S)
        found = re.match(r"listening .*?(?::(\d+))? (\w+)$", line)
        if found is None:
            self.stop()
            raise AssertionError(f"it did not start: {line!r} {self.log}")
        self.port = int(found[1] or 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca" / "server-root.crt"

    def run(self, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        """A command about this broker."""
        return bollard(*arguments, "--dir", self.directory, **options)

    def json(self, *arguments: object) -> Any:
        """What a command about this broker prints with --json."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def logged(self, text: str) -> bool:
        """Whether a log line has `text`."""
        return any(text in line for line in self.log)

    @staticmethod
    def _read(stream: Any, lines: list[str], ready: "queue.Queue[str] | None") -> None:
        for line in stream:
            lines.append(line.rstrip("\n"))
            if ready is not None and len(lines) == 1:
                ready.put(lines[0])
        if ready is not None and not lines:
            ready.put("")

"""Clients of others, each in a process of its own that takes commands and tells events as lines of JSON.

Commands: connect, subscribe, publish, disconnect. Events: connected, subscribed, published, message,
disconnected, error. What differs between the clients is in the scripts beside this file.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Kind:
    """One client library: its name, how its driver is started, and what it speaks."""

    name: str
    command: tuple[str, ...]
    version: int
    transport: str = "tls"

    def __str__(self) -> str:
        return f"{self.name}-{'5.0' if self.version == 5 else '3.1.1'}-{self.transport}"


class Driver:
    """A running client. `kill` ends it without a DISCONNECT."""

    def __init__(self, kind: Kind, environment: dict[str, str]) -> None:
        self.kind = kind
        self.process = subprocess.Popen(
            kind.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._messages: list[dict[str, Any]] = []
        self._errors: list[str] = []
        self._threads = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def connect(self, server: dict[str, Any], client_id: str, **options: Any) -> dict[str, Any]:
        command = {"clean": True, "expiry": 0, "will": None, **server, "id": client_id, **options}
        command |= {"version": self.kind.version, "transport": self.kind.transport}
        command["port"] = server["ports"][self.kind.transport]
        return self._ask("connect", "connected", **command)

    def subscribe(self, filter: str, qos: int) -> dict[str, Any]:
        return self._ask("subscribe", "subscribed", filter=filter, qos=qos)

    def publish(self, topic: str, payload: str, qos: int = 0, retain: bool = False) -> None:
        self._ask("publish", "published", topic=topic, payload=payload, qos=qos, retain=retain)

    def message(self, timeout: float = TIMEOUT_S) -> dict[str, Any] | None:
        """The next message, or None when none comes within `timeout` seconds."""
        if self._messages:
            return self._messages.pop(0)
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            return None
        if event is None or event["event"] != "message":
            raise AssertionError(f"{self.kind}: {event}; {self.trouble()}")
        return event

    def disconnect(self) -> None:
        self._ask("disconnect", "disconnected")
        self.process.wait(TIMEOUT_S)
        self.close()

    def kill(self) -> None:
        """End the client as a power cut would."""
        self.close()

    def close(self) -> None:
        """End the driver and the client that it may run as a process of its own."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(TIMEOUT_S)
        for thread in self._threads:
            thread.join(TIMEOUT_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def trouble(self) -> str:
        return " | ".join(self._errors[-5:])

    def _ask(self, command: str, wanted: str, **fields: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": command, **fields}) + "\n")
        self.process.stdin.flush()
        while True:
            try:
                event = self._events.get(timeout=TIMEOUT_S)
            except queue.Empty:
                raise AssertionError(f"{self.kind}: no answer to {command}; {self.trouble()}") from None
            if event is None or event["event"] == "error":
                raise AssertionError(f"{self.kind}: {command} failed: {event}; {self.trouble()}")
            if event["event"] == wanted:
                return event
            if event["event"] == "message":
                self._messages.append(event)

    def _read_events(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._events.put(json.loads(line))
        self._events.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._errors.append(line.rstrip())

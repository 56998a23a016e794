"""Events to log lines. An observer sees what happened and can change nothing about it.

Text that a peer chose is in events as it came; here is where it is made harmless: nothing that a
terminal or a log reader could take for control reaches a line.
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO

from bollard.base.events import Event
from bollard.server.config import LogConfig

Observer = Callable[[Event], None]

LEVELS = {"debug": 0, "info": 1, "warning": 2, "error": 3}

#: Longest text of one field; a client id or a topic may be 64 KiB.
MAX_FIELD_CHARS = 1000
#: Lines of one event name: so many at once, and so many a second after that. An attacker who is refused
#: ten thousand times a second must not fill the disk, nor slow the broker with writing about it.
BURST_LINES = 200
LINES_PER_S = 20.0


class EventLog:
    """Writes events as lines, text or JSON, with a rate for each event name. Call it with an event."""

    def __init__(
        self,
        config: LogConfig,
        stream: IO[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`stream` None is standard error; `clock` tells seconds since the epoch."""
        self._stream: IO[str] | None = stream or sys.stderr
        self._clock = clock
        self._least = LEVELS[config.level]
        self._render = as_json if config.format == "json" else as_text
        self._rates: dict[str, _Rate] = {}

    def writes(self, kind: type[Event]) -> bool:
        """Whether events of this kind are written at all, at the level that is configured."""
        return LEVELS[kind.level] >= self._least

    def __call__(self, event: Event) -> None:
        if LEVELS[event.level] < self._least:
            return
        rate = self._rates.setdefault(event.name, _Rate(self._clock()))
        if rate.take(self._clock()):
            left_out, rate.left_out = rate.left_out, 0
            self.tell(event, left_out)

    def tell(self, event: Event, left_out: int = 0) -> None:
        """Write `event` whatever its level and rate. `left_out` of its name were not written before it."""
        values = {name: getattr(event, name) for name in event.__struct_fields__}
        if left_out:
            values["left_out"] = left_out
        self._write(self._render(self._clock(), event.level, event.name, values))

    def _write(self, line: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # Whoever read our log is gone. The broker goes on: it has no other place to say so.
            self._stream = None


class _Rate:
    """A bucket of lines that refills with time; `left_out` counts what found it empty."""

    __slots__ = ("_filled_at", "_level", "left_out")

    def __init__(self, now: float) -> None:
        self._level = float(BURST_LINES)
        self._filled_at = now
        self.left_out = 0

    def take(self, now: float) -> bool:
        gained = max(now - self._filled_at, 0.0) * LINES_PER_S
        self._level = min(self._level + gained, float(BURST_LINES))
        self._filled_at = now
        if self._level < 1:
            self.left_out += 1
            return False
        self._level -= 1
        return True


def as_text(now: float, level: str, name: str, values: dict[str, object]) -> str:
    """One line for people: time, level, name, then key=value; empty values are left out."""
    told = [f"{key}={_shown(value)}" for key, value in values.items() if value not in ("", None)]
    return " ".join([_timestamp(now), f"{level:7}", name, *told])


def as_json(now: float, level: str, name: str, values: dict[str, object]) -> str:
    """One JSON object, in ASCII, so that no reader's terminal is moved by a peer's text."""
    bounded = {
        key: value[:MAX_FIELD_CHARS] if isinstance(value, str) else value for key, value in values.items()
    }
    # A lone surrogate cannot be in a decoded packet, but may be in a path: ASCII escapes carry it.
    return json.dumps({"time": _timestamp(now), "level": level, "event": name, **bounded}, default=str)


def _timestamp(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(value: object) -> str:
    text = str(value)[:MAX_FIELD_CHARS]
    if text.isascii() and text.isprintable() and not set(text) & set(' "=\\'):
        return text
    return '"' + printable(text).replace('"', '\\"') + '"'


def printable(text: str) -> str:
    """`text` with everything that is not a visible character or a space written as an escape."""
    return "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode()
        for char in text
    )

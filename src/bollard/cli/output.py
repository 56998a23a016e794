"""How commands speak: JSON for scripts, columns for people, and nothing that moves a terminal."""

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click


def say_json(value: object) -> None:
    """One JSON object on one line; ASCII, so that text of others cannot move a terminal."""
    click.echo(json.dumps(value))


def say_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as their longest cell."""
    table = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *table, strict=True)]
    for row in ([head.upper() for head in heads], *table):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def visible(text: str) -> str:
    """`text` with control characters as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def day(seconds: int) -> str:
    """Seconds since the epoch as a date and minute, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def count(number: int, one: str, many: str = "") -> str:
    """`number` of something in words: "1 message", "2,000 messages"; `many` where it is not `one` with an s."""
    return f"1 {one}" if number == 1 else f"{number:,} {many or one + 's'}"


def program() -> str:
    """What to type for `bollard`: its name where the shell finds it, else how it was started."""
    if shutil.which("bollard"):
        return "bollard"
    started = Path(sys.argv[0])
    return str(started) if started.name == "bollard" else f"{sys.executable} -m bollard"

"""What all parsers of foreign configurations share: places, text that was not understood, bounded reading.

A parser never raises for what a file holds: what it does not understand it lists, with the reason. Nothing is
known here of any product.
"""

import re
import stat
from dataclasses import dataclass
from pathlib import Path

#: Configurations are small. More is a mistake (a log, a device) or an attack on the memory.
MAX_FILE_BYTES = 4_194_304
MAX_SHOWN = 120
#: Attack: a file of nothing but nonsense, which would fill the report.
MAX_UNREAD = 1_000

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
#: Hashes of passwords as crypt(3), mosquitto_passwd and Argon2 write them.
_HASH = re.compile(r"\$[0-9A-Za-z]{1,12}\$\S+")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something is written; `line` 0 means nowhere: it is a default, or concerns the file as a whole."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file or "default"


#: The place of what is not written anywhere.
NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that was not understood, and why. `text` is shortened; secrets never get here."""

    place: Place
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" + (f": {self.text}" if self.text else "")


@dataclass(frozen=True, slots=True)
class Setting:
    """One value as it is in effect. `value` of a secret is "(hidden)"; without a line it is a default."""

    key: str
    value: str
    place: Place = NOWHERE

    @property
    def written(self) -> bool:
        return self.place.line > 0

    @property
    def on(self) -> bool:
        return self.value in ("true", "1", "on", "yes")

    def number(self, default: int = 0) -> int:
        """The value as a whole number, `default` if it is none."""
        try:
            return int(self.value, 0)
        except ValueError:
            return default


class Reading:
    """Collects what was read and what was not, over all files of one configuration."""

    __slots__ = ("files", "unread")

    def __init__(self) -> None:
        self.files: list[str] = []
        self.unread: list[Unread] = []

    def missed(self, place: Place, text: str, reason: str) -> None:
        """List `text` at `place` as not understood. Beyond `MAX_UNREAD` only that there is more is told."""
        if len(self.unread) < MAX_UNREAD:
            self.unread.append(Unread(place, shown(_HASH.sub("(hidden)", text[: 4 * MAX_SHOWN])), reason))
        elif not self.full:
            self.unread.append(Unread(place, "", "from here on more was not understood than is listed"))

    @property
    def full(self) -> bool:
        """Is there more than is listed?"""
        return len(self.unread) > MAX_UNREAD

    def text(self, path: Path, asked: Place | None = None) -> str | None:
        """The text of the file at `path`, None if it cannot be had; then that is listed at `asked`."""
        text, reason = read_text(path)
        if text is None:
            self.missed(asked or Place(str(path)), "" if asked is None else str(path), reason)
            return None
        self.files.append(str(path))
        return text


def read_text(path: Path) -> tuple[str | None, str]:
    """(text, "") of the file at `path`, or (None, why not). Bytes that are not UTF-8 become U+FFFD."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # attack: a FIFO or a device, which would be read for ever
            return None, "this is a directory" if stat.S_ISDIR(mode) else "this is not a file"
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None, "there is no such file"
    except PermissionError:
        return None, "no permission to read this file"
    except (OSError, ValueError) as error:
        return None, f"cannot be read ({error.__class__.__name__})"
    if len(data) > MAX_FILE_BYTES:
        return None, f"longer than {MAX_FILE_BYTES:,} bytes"
    return data.decode("utf-8-sig", "replace"), ""


def lines(text: str) -> list[str]:
    """`text` in lines as C programs see them: only at line feeds, without carriage returns at the end."""
    return [line.rstrip("\r") for line in text.split("\n")]


def word(text: str) -> str:
    """`text` if it looks like a name of a setting, else nothing: other text may be, or hold, a secret."""
    return text if _WORD.fullmatch(text) else ""


def shown(text: str) -> str:
    """`text` on one line, at most `MAX_SHOWN` characters, without what moves a terminal."""
    flat = "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[: MAX_SHOWN + 1]
    )
    return flat if len(flat) <= MAX_SHOWN else flat[:MAX_SHOWN] + "…"

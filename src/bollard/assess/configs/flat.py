"""A configuration as one table from dotted keys to values, whatever format it was written in."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bollard.assess.configs.source import Reading, Setting

#: How near a key must be to a known one to be taken for a misspelling of it.
NEAR = 0.88
#: No configuration has more. Attack: a file that is made to keep the audit busy.
MAX_SETTINGS = 20_000
MAX_COMPARED = 2_000


class Flat:
    """The settings that are written, by dotted key; the last of several counts. `reading` has what was not read."""

    __slots__ = ("full", "path", "reading", "repeated", "settings")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.full = False
        self.reading = Reading()
        self.settings: dict[str, Setting] = {}
        self.repeated: list[Setting] = []

    def put(self, setting: Setting) -> None:
        """Take a setting in; one that it replaces is remembered as repeated."""
        if len(self.settings) >= MAX_SETTINGS:
            if not self.full:
                self.full = True
                self.reading.missed(setting.place, "", f"more than {MAX_SETTINGS:,} settings")
            return
        old = self.settings.get(setting.key)
        if old is not None:
            self.repeated.append(old)
        self.settings[setting.key] = setting

    def get(self, key: str, default: str = "") -> Setting:
        """What is in effect of `key`."""
        return self.settings.get(key) or Setting(key, default)

    def names(self, prefix: str) -> list[str]:
        """The names that stand directly under `prefix`, in the order in which they were written."""
        start = f"{prefix}." if prefix else ""
        found = (key[len(start) :].split(".")[0] for key in self.settings if key.startswith(start))
        return list(dict.fromkeys(found))

    def matching(self, pattern: str) -> Iterator[Setting]:
        """The settings whose key matches the regular expression as a whole."""
        compiled = re.compile(pattern)
        return (setting for key, setting in self.settings.items() if compiled.fullmatch(key))

    def misspelt(self, known: Iterable[str]) -> None:
        """List keys that are nearly, and not quite, among `known`. What is far from all of them is left alone."""
        names = set(known)
        for key, setting in list(self.settings.items())[:MAX_COMPARED]:
            if key in names:
                continue
            near = difflib.get_close_matches(key[:120], names, 1, NEAR)
            if near:
                self.reading.missed(setting.place, key, f'unknown key. Did you mean "{near[0]}"?')


def read_flat(path: Path, read: Callable[[Flat, Path, str], None]) -> Flat:
    """The settings that `read` finds in the text of the file at `path`; a file that cannot be read is listed."""
    flat = Flat(path)
    text = flat.reading.text(path)
    if text is not None:
        read(flat, path, text)
    return flat

"""Reading our own TOML files, with the line of everything in them.

Every configuration and policy file comes in here, so that each mistake in one is told the same way:
file, line, what was found, what to write instead. What the keys mean is for the callers; no key of
any file is known here.
"""

import difflib
import re
import tomllib
from collections.abc import Collection
from pathlib import Path

from bollard.base.errors import ConfigError

#: A file of ours is a few KiB. More is a mistake (a log, a device) that must not fill the memory.
MAX_FILE_BYTES = 1_048_576

Key = str | int
"""One step into a document: the name of a key, or the index of an array item, from 0."""

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:[^"\\]|\\.)*"' r"|'[^']*'",
    re.DOTALL,
)
_PLAIN = re.compile(r"[^,\]}\n#]*")
_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")
_TWICE = re.compile(r"cannot declare \((.*)\) twice")
_NAMES = re.compile(r"'([^']*)'")
_CLOSE = "Close the quotes on the line on which they begin."
_ONCE = "Keep one of the two, with all that belongs to it."
#: How what the parser says begins, and what most likely mends it. What stands in the line is not repeated: it
#: may be a secret.
_REMEDIES = (
    (
        "invalid value",
        'Text goes in straight quotes, such as "devices/#" or "4h"; a list ends with ].',
    ),
    (
        "expected newline",
        'Text goes in quotes, such as "0.0.0.0:8883" or "4h"; a list in brackets: ["a", "b"].',
    ),
    ("unclosed array", 'A list has quotes around text, commas between items and ] at its end: ["a", "b"].'),
    ("illegal character", _CLOSE),
    ("expected \"'", _CLOSE),
    ("unterminated string", _CLOSE),
    ("expected '='", "Write NAME = VALUE, each on a line of its own."),
    ("expected ']", "Close the brackets; a name of other characters than A-Z a-z 0-9 _ - goes in quotes."),
    ("unescaped '\\'", "Write each backslash twice, or the text in single quotes."),
    ("cannot overwrite", _ONCE),
    ("[", _ONCE),
)


class Document:
    """A parsed file. `data` is what `tomllib` gave; treat it as read-only."""

    __slots__ = ("_lines", "data", "path")

    def __init__(self, path: Path, text: str) -> None:
        """Parse `text`, the contents of `path`. Raises ConfigError, with the line, if it is not TOML."""
        self.path = path
        text = text.replace("\r\n", "\n")
        try:
            self.data: dict[str, object] = tomllib.loads(text)
            self._lines = _LineScanner(text).scan()
        except RecursionError:
            raise ConfigError("values are nested too deeply", path, 1, "Write it flatter.") from None
        except ValueError as error:  # TOMLDecodeError, or a number beyond Python's own bound
            raise _syntax_error(path, text, str(error)) from None

    def line(self, *keys: Key) -> int:
        """The line on which the value at `keys` begins, from 1; the nearest parent's if it has none."""
        for depth in range(len(keys), 0, -1):
            found = self._lines.get(keys[:depth])
            if found is not None:
                return found
        return 1

    def error(self, message: str, *keys: Key, remedy: str = "") -> ConfigError:
        """The error to raise about the value at `keys`."""
        return ConfigError(message, self.path, self.line(*keys), remedy)

    def check_keys(self, table: tuple[Key, ...], known: Collection[str]) -> None:
        """Refuse any key of the table at `table` that is not in `known`. Raises ConfigError.

        The first unknown key in the file is told, with the known name nearest to it.
        """
        value: object = self.data
        for key in table:
            value = value[key]  # type: ignore[index]  # the caller has just read this very table
        assert isinstance(value, dict)
        unknown = [key for key in value if key not in known]
        if unknown:
            raise self.unknown_key((*table, min(unknown, key=lambda key: self.line(*table, key))), known)

    def unknown_key(self, keys: tuple[Key, ...], known: Collection[str]) -> ConfigError:
        """The error for the key at `keys`, where only the names in `known` may stand."""
        name = str(keys[-1])
        place = f" in [{dotted(*keys[:-1])}]" if len(keys) > 1 else ""
        return self.error(f'unknown key "{name}"{place}', *keys, remedy=suggest(name, known))


def load_toml(path: Path) -> Document:
    """Read the file at `path`. Raises ConfigError if it is missing, unreadable, too long or not TOML."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError("there is no such file", path, remedy="Check the path, or create it.") from None
    except IsADirectoryError:
        raise ConfigError("this is a directory", path, remedy="Name the file inside it.") from None
    except PermissionError:
        remedy = "Give the user that runs this the right to read it."
        raise ConfigError("no permission to read this file", path, remedy=remedy) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"longer than {MAX_FILE_BYTES:,} bytes", path, remedy="Is it the right file?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError("this is not UTF-8 text", path, line, "Save the file as UTF-8.") from None
    return Document(path, text)


def suggest(name: str, known: Collection[str]) -> str:
    """A sentence for somebody who wrote `name` where only the names in `known` may stand."""
    near = difflib.get_close_matches(name.lower(), known, 1, 0.6)
    if near:
        return f'Did you mean "{near[0]}"?'
    return f"Expected one of: {', '.join(sorted(known))}." if known else "Nothing may stand here."


def kind(value: object) -> str:
    """What TOML calls `value`, with its article, for the words "expected …, found …"."""
    names = {
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a float",
        list: "an array",
        dict: "a table",
    }
    return names.get(type(value), "a date or time")


def dotted(*keys: Key) -> str:
    """The path `keys` as one would write it in the file, array items as `[0]`."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            name = key if _BARE_KEY.fullmatch(key) else f'"{key}"'
            text += f".{name}" if text else name
    return text


def _syntax_error(path: Path, text: str, message: str) -> ConfigError:
    place = _PLACE.search(message)
    line = int(place[1]) if place else max(1, len(text.rstrip("\n").split("\n")))
    message = message.removesuffix(place[0]) if place else message.replace(" (at end of document)", "")
    column = f", column {place[2]}" if place else ""
    message = message[:1].lower() + message[1:]
    twice = _TWICE.fullmatch(message)
    if twice:
        message = f"[{dotted(*_NAMES.findall(twice[1]))}] is here twice"
    remedy = next((remedy for begin, remedy in _REMEDIES if message.startswith(begin)), "Correct this line.")
    return ConfigError(f"not valid TOML{column}: {message}", path, line, remedy)


class _LineScanner:
    """Finds the line of each key and array item of a text that `tomllib` has accepted.

    Since the text is known to be valid, it is only split up here, never judged.
    """

    __slots__ = ("_at", "_counted", "_line", "_lines", "_sizes", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0
        self._lines: dict[tuple[Key, ...], int] = {}
        self._sizes: dict[tuple[Key, ...], int] = {}  # how many items each array of tables has so far

    def scan(self) -> dict[tuple[Key, ...], int]:
        table: tuple[Key, ...] = ()
        self._blank()
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._blank()
        return self._lines

    def _header(self) -> tuple[Key, ...]:
        line = self._current_line()
        array = self._text.startswith("[[", self._at)
        self._at += 2 if array else 1
        path: tuple[Key, ...] = ()
        names = self._key()
        for depth, name in enumerate(names, 1):
            path = (*path, name)
            if array and depth == len(names):
                self._sizes[path] = self._sizes.get(path, 0) + 1
            self._lines.setdefault(path, line)
            if path in self._sizes:
                path = (*path, self._sizes[path] - 1)
        self._lines[path] = line
        self._at += 2 if array else 1
        return path

    def _pair(self, table: tuple[Key, ...]) -> None:
        line = self._current_line()
        path = table
        for name in self._key():
            path = (*path, name)
            self._lines.setdefault(path, line)
        self._at += 1  # the "="
        self._blank()
        self._value(path)

    def _key(self) -> list[str]:
        names = []
        while True:
            self._blank()
            if self._text[self._at] in "\"'":
                quoted = self._match(_STRING)
                names.append(str(tomllib.loads(f"k={quoted}")["k"]))
            else:
                names.append(self._match(_BARE_KEY))
            self._blank()
            if self._text[self._at] != ".":
                return names
            self._at += 1

    def _value(self, path: tuple[Key, ...]) -> None:
        first = self._text[self._at]
        if first in "\"'":
            self._match(_STRING)
        elif first == "[":
            self._items(path, "]")
        elif first == "{":
            self._items(path, "}")
        else:
            self._match(_PLAIN)

    def _items(self, path: tuple[Key, ...], end: str) -> None:
        self._at += 1
        index = 0
        self._blank()
        while self._text[self._at] != end:
            if end == "]":
                self._lines[(*path, index)] = self._current_line()
                self._value((*path, index))
            else:
                self._pair(path)
            index += 1
            self._blank()
            if self._text[self._at] == ",":
                self._at += 1
                self._blank()
        self._at += 1

    def _blank(self) -> None:
        self._match(_BLANK)

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        return found[0]

    def _current_line(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

"""HOCON, as EMQX and NanoMQ write it: objects, arrays, dotted keys, includes. Everything ends up in one flat table.

Items of arrays have their index as key. Substitutions such as ${x} stay as they are written. What does not fit the
grammar is listed, and reading goes on with the next line.
"""

import re
from pathlib import Path

from bollard.assess.configs.flat import Flat
from bollard.assess.configs.source import Place, Setting

MAX_DEPTH = 64
MAX_INCLUDES = 32

_BLANK = re.compile(r"(?:[\s,\ufeff]|#[^\n]*|//[^\n]*)*")
_SPACE = re.compile(r"[ \t\r]*")
_KEY = re.compile(r"[^\s:={}\[\],+#\"'`^?!@*&\\]+")
_STRING = re.compile(r'"""(.*?)"""|"((?:[^"\\\n]|\\.)*)"', re.DOTALL)
_UNQUOTED = re.compile(r"(?:\$\{[^}\n]*\}|(?!//)[^,\n\r{}\[\]#])+")
_INCLUDE = re.compile(r'include[ \t]+(?:required\()?(?:file\()?"([^"\n]*)"\)?\)?')
_LINE = re.compile(r"[^\n]*")


def read_hocon(path: Path) -> Flat:
    """The settings in the file at `path` with its includes; raises nothing."""
    flat = Flat(path)
    _read(flat, path, (), 0, None)
    return flat


def _read(flat: Flat, path: Path, prefix: tuple[str, ...], depth: int, asked: Place | None) -> None:
    if len(flat.reading.files) >= MAX_INCLUDES or depth >= MAX_DEPTH:
        flat.reading.missed(asked or Place(str(path)), str(path), "more includes than are read")
        return
    text = flat.reading.text(path, asked)
    if text is not None:
        _Parser(flat, path, text).file(prefix, depth)


class _Parser:
    """One file. `_at` is the position in the text; each method leaves it behind what it has read."""

    def __init__(self, flat: Flat, path: Path, text: str) -> None:
        self._flat = flat
        self._path = path
        self._text = text
        self._at = 0
        self._counted = 0
        self._appended: dict[tuple[str, ...], int] = {}
        self._line = 1

    def file(self, prefix: tuple[str, ...], depth: int) -> None:
        self._skip(_BLANK)
        while self._at < len(self._text):
            braces = self._peek() == "{"
            self._at += braces
            self._members(prefix, depth + 1)
            if self._peek() == "}":
                if not braces:
                    self._missed("a closing brace too many")
                self._at += 1
            self._skip(_BLANK)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        assert found is not None
        self._at = found.end()

    def _place(self) -> Place:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return Place(str(self._path), self._line)

    def _missed(self, reason: str) -> None:
        # What stands there may be a secret: only the beginning of the line, up to a value, is told.
        line = _LINE.match(self._text, self._at)
        text = re.split(r"[=:]", line[0] if line else "")[0]
        self._flat.reading.missed(self._place(), text, reason)

    def _members(self, prefix: tuple[str, ...], depth: int) -> None:
        """What stands between braces, up to the closing one or the end."""
        while True:
            self._skip(_BLANK)
            if self._flat.reading.full:
                self._at = len(self._text)
            if self._peek() in ("", "}"):
                return
            include = _INCLUDE.match(self._text, self._at)
            if include:
                place = self._place()
                self._at = include.end()
                _read(self._flat, self._path.parent / include[1], prefix, depth + 1, place)
                continue
            place = self._place()
            keys = self._key()
            if not keys or depth >= MAX_DEPTH:
                self._missed("nested too deeply" if keys else "expected a key")
                self._skip(_LINE)
                continue
            self._member((*prefix, *keys), place, depth)

    def _key(self) -> tuple[str, ...]:
        keys: list[str] = []
        while True:
            quoted = _STRING.match(self._text, self._at)
            plain = None if quoted else _KEY.match(self._text, self._at)
            if quoted:
                keys.append(quoted[1] if quoted[1] is not None else quoted[2])
                self._at = quoted.end()
            elif plain:
                keys += [part for part in plain[0].split(".") if part]
                self._at = plain.end()
            else:
                return tuple(keys)
            if self._peek() == ".":
                self._at += 1

    def _member(self, path: tuple[str, ...], place: Place, depth: int) -> None:
        self._skip(_SPACE)
        if self._text.startswith("+=", self._at):
            count = self._appended.get(path) or len(self._flat.names(".".join(path)))
            self._appended[path] = count + 1
            path = (*path, str(count))
            self._at += 2
        elif self._peek() in ("=", ":"):
            self._at += 1
        elif self._peek() != "{":
            self._missed("expected = or a brace behind the key")
            self._skip(_LINE)
            return
        self._skip(_SPACE)
        self._value(path, place, depth)

    def _value(self, path: tuple[str, ...], place: Place, depth: int) -> None:
        if self._peek() == "{":
            self._object(path, place, depth)
        elif self._peek() == "[":
            self._array(path, place, depth)
        else:
            self._put(path, self._scalar(), place)

    def _put(self, path: tuple[str, ...], value: str, place: Place) -> None:
        self._flat.put(Setting(".".join(path), value, place))

    def _object(self, path: tuple[str, ...], place: Place, depth: int) -> None:
        self._at += 1
        before = len(self._flat.settings)
        self._members(path, depth + 1)
        if len(self._flat.settings) == before:
            self._put(path, "{}", place)
        if self._peek() == "}":
            self._at += 1
        else:
            self._missed("a closing brace is missing")

    def _array(self, path: tuple[str, ...], place: Place, depth: int) -> None:
        self._at += 1
        index = 0
        while True:
            self._skip(_BLANK)
            if self._peek() in ("]", "}", ""):
                break
            if depth >= MAX_DEPTH:
                self._missed("nested too deeply")
                self._skip(_LINE)
                continue
            at = self._at
            self._value((*path, str(index)), self._place(), depth + 1)
            if self._at == at:
                self._at += 1  # whatever stands there, reading has to go on
            index += 1
        if not index:
            self._put(path, "[]", place)
        if self._peek() == "]":
            self._at += 1
        else:
            self._missed("a closing bracket is missing")

    def _scalar(self) -> str:
        """A string, or text up to the end of the value; several in a row are one."""
        parts: list[str] = []
        while True:
            quoted = _STRING.match(self._text, self._at)
            plain = None if quoted else _UNQUOTED.match(self._text, self._at)
            if quoted:
                parts.append(quoted[1] if quoted[1] is not None else _unescaped(quoted[2]))
                self._at = quoted.end()
                self._skip(_SPACE)
            elif plain:
                parts.append(plain[0].strip())
                self._at = plain.end()
            else:
                return "".join(parts)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), text)

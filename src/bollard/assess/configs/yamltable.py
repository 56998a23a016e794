"""The part of YAML that configurations are written in, as one flat table.

Block mappings and sequences, plain and quoted scalars, and flow sequences of scalars. Anchors, tags, several
documents, block scalars and nested flow collections are not read: they are listed, line by line.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from bollard.assess.configs.flat import Flat, read_flat
from bollard.assess.configs.source import Place, Setting, lines

MAX_DEPTH = 64

_QUOTED = re.compile(r"'((?:[^']|'')*)'|\"((?:[^\"\\]|\\.)*)\"")
_COMMENT = re.compile(r"(^|\s)#.*$")
_PLAIN_KEY = re.compile(r"([^\s'\"#\[\]{}&*!|>%@`:,-][^#]*?|-[^\s#:]+)\s*:(?=\s|$)")
_NOT_READ = re.compile(r"[&*!|>{%@`]")


@dataclass(slots=True)
class _Level:
    """A mapping or sequence that is open: how far it is indented, and where it is in the table."""

    indent: int
    path: tuple[str, ...]
    items: int = -1


def read_yaml(path: Path) -> Flat:
    """The settings in the file at `path`; raises nothing."""
    return read_flat(path, lambda flat, file, text: _Reader(flat, file).read(text))


class _Reader:
    def __init__(self, flat: Flat, path: Path) -> None:
        self._flat = flat
        self._path = path
        self._open: list[_Level] = [_Level(-1, ())]
        self._pending: tuple[tuple[str, ...], Place] | None = None

    def read(self, text: str) -> None:
        for number, line in enumerate(lines(text), 1):
            bare = line.strip()
            if not bare or bare.startswith("#") or bare == "---":
                continue
            place = Place(str(self._path), number)
            indent = len(line) - len(line.lstrip(" "))
            if "\t" in line[: len(line) - len(line.lstrip())]:
                self._missed(place, bare, "tabs cannot indent")
            else:
                self._line(indent, line[indent:].rstrip(), place, 0)
        self._settle(-1)

    def _missed(self, place: Place, text: str, reason: str) -> None:
        self._flat.reading.missed(place, text.split(":")[0], reason)

    def _settle(self, indent: int) -> None:
        """A key without a value whose value does not follow, since the next line is not further in, is empty."""
        if self._pending is not None:
            path, place = self._pending
            if indent <= self._open[-1].indent:
                self._flat.put(Setting(".".join(path), "", place))
            self._pending = None

    def _line(self, indent: int, text: str, place: Place, depth: int) -> None:
        item = text == "-" or text.startswith("- ")
        pending = self._pending
        if pending is not None and (
            indent > self._open[-1].indent or (item and indent == self._open[-1].indent)
        ):
            self._open.append(_Level(indent, pending[0]))
            self._pending = None
        else:
            self._settle(indent)
            while len(self._open) > 1 and (
                self._open[-1].indent > indent
                or (self._open[-1].indent == indent and self._open[-1].items >= 0 and not item)
            ):
                self._open.pop()
        level = self._open[-1]
        if level.indent == -1:
            level = _Level(indent, ())
            self._open.append(level)
        if level.indent != indent or len(self._open) > MAX_DEPTH or depth > MAX_DEPTH:
            self._missed(place, text, "indented in a way that is not understood")
        elif item:
            self._item(level, indent, text, place, depth)
        else:
            self._pair(level, text, place)

    def _item(self, level: _Level, indent: int, text: str, place: Place, depth: int) -> None:
        level.items += 1
        path = (*level.path, str(level.items))
        rest = text[1:].lstrip(" ")
        inner = indent + len(text) - len(rest)
        if not rest or rest.startswith("#"):
            self._pending = (path, place)
        elif self._key(rest) is not None or rest.startswith("- "):
            self._open.append(_Level(inner, path))
            self._line(inner, rest, place, depth + 1)
        else:
            self._value(path, rest, place)

    def _key(self, text: str) -> tuple[str, str] | None:
        """(key, what follows its colon), None if `text` is no pair."""
        quoted = _QUOTED.match(text)
        if quoted:
            rest = text[quoted.end() :].lstrip(" ")
            return (
                (_unquoted(quoted), rest[1:].strip()) if rest[:1] == ":" and rest[1:2] in ("", " ") else None
            )
        found = _PLAIN_KEY.match(text)
        return (found[1], text[found.end() :].strip()) if found else None

    def _pair(self, level: _Level, text: str, place: Place) -> None:
        pair = self._key(text)
        if pair is None:
            self._missed(place, text, "expected key: value")
            return
        path = (*level.path, pair[0])
        if not pair[1] or pair[1].startswith("#"):
            self._pending = (path, place)
        else:
            self._value(path, pair[1], place)

    def _value(self, path: tuple[str, ...], text: str, place: Place) -> None:
        if text.startswith("["):
            inside = _COMMENT.sub("", text).strip()
            if not inside.endswith("]") or any(sign in inside[1:-1] for sign in "[]{}"):
                self._missed(place, ".".join(path), "this kind of YAML is not read")
                return
            parts = [part.strip() for part in inside[1:-1].split(",") if part.strip()]
            for index, part in enumerate(parts):
                self._flat.put(Setting(".".join((*path, str(index))), _scalar(part), place))
            if not parts:
                self._flat.put(Setting(".".join(path), "[]", place))
        elif _NOT_READ.match(text) and text != "{}":
            self._missed(place, ".".join(path), "this kind of YAML is not read")
        else:
            self._flat.put(Setting(".".join(path), _scalar(text), place))


def _scalar(text: str) -> str:
    quoted = _QUOTED.match(text)
    if quoted:
        return _unquoted(quoted)
    plain = _COMMENT.sub("", text).strip()
    return plain.lower() if plain.lower() in ("true", "false", "on", "off", "yes", "no") else plain


def _unquoted(found: re.Match[str]) -> str:
    if found[1] is not None:
        return found[1].replace("''", "'")
    return re.sub(r"\\(.)", lambda each: {"n": "\n", "t": "\t"}.get(each[1], each[1]), found[2])

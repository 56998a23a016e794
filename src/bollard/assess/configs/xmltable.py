"""XML as one flat table: the path of names to each element's text, repeated siblings numbered.

Document type declarations are refused: entities are an attack on memory and on files, and no configuration needs one.
"""

from pathlib import Path
from xml.parsers import expat  # declarations and entities are refused below

from bollard.assess.configs.flat import Flat, read_flat
from bollard.assess.configs.source import Place, Setting

MAX_DEPTH = 64
MAX_TEXT = 4_096


class _Refused(Exception):
    """The document holds what is not read."""


def read_xml(path: Path) -> Flat:
    """The settings in the file at `path`; raises nothing."""
    return read_flat(path, lambda flat, file, text: _Reader(flat, file).read(text))


class _Reader:
    def __init__(self, flat: Flat, path: Path) -> None:
        self._flat = flat
        self._path = path
        self._names: list[str] = []
        self._counts: list[dict[str, int]] = [{}]
        self._texts: list[str] = []
        self._lines: list[int] = []
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text

    def read(self, text: str) -> None:
        try:
            self._parser.Parse(text.encode("utf-8", "replace"), True)
        except expat.ExpatError as error:
            self._flat.reading.missed(Place(str(self._path), error.lineno), "", "this is not XML")
        except _Refused as reason:
            line = self._parser.CurrentLineNumber
            self._flat.reading.missed(Place(str(self._path), line), "", str(reason))

    def _refuse(self, *_arguments: object) -> None:
        raise _Refused("a document type declaration is not read")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._names) >= MAX_DEPTH:
            raise _Refused("nested too deeply")
        count = self._counts[-1].get(name, 0)
        self._counts[-1][name] = count + 1
        self._names.append(f"{name}.{count}" if count else name)
        self._counts.append({})
        self._texts.append("")
        self._lines.append(self._parser.CurrentLineNumber)

    def _text(self, data: str) -> None:
        if self._texts and len(self._texts[-1]) < MAX_TEXT:
            self._texts[-1] += data[:MAX_TEXT]

    def _end(self, name: str) -> None:
        children = self._counts.pop()
        text, line = self._texts.pop().strip(), self._lines.pop()
        if text or not children:
            self._flat.put(Setting(".".join(self._names), text, Place(str(self._path), line)))
        self._names.pop()

"""Files of lines `a.b.c = value`, as VerneMQ, RabbitMQ and older NanoMQ have them."""

import re
from pathlib import Path

from bollard.assess.configs.flat import Flat
from bollard.assess.configs.source import Place, Setting, lines

_LINE = re.compile(r"\s*([A-Za-z0-9_$][A-Za-z0-9_.$*-]*)\s*=\s*(.*)")
_COMMENT = re.compile(r"(^|\s)#.*$")


def read_cuttlefish(path: Path) -> Flat:
    """The settings in the file at `path`; raises nothing."""
    flat = Flat(path)
    text = flat.reading.text(path)
    for number, line in enumerate(lines(text or ""), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        place = Place(str(path), number)
        found = _LINE.fullmatch(line)
        if found is None:
            flat.reading.missed(place, line.partition("=")[0], "expected key = value")
            continue
        flat.put(Setting(found[1], _value(found[2]), place))
    return flat


def _value(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text[0] in "\"'" and text.find(text[0], 1) > 0:
        return text[1 : text.find(text[0], 1)]
    return _COMMENT.sub("", text).strip()

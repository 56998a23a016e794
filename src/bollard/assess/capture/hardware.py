"""Whose network card an address belongs to, by the list of makers that the system has, if it has one."""

import re
from collections.abc import Iterable
from pathlib import Path

#: Where Debian's ieee-data and nmap put the registry.
LISTS = ("/usr/share/ieee-data/oui.txt", "/var/lib/ieee-data/oui.txt", "/usr/share/nmap/nmap-mac-prefixes")
_LINE = re.compile(r"^([0-9A-Fa-f]{6})\s+(?:\(base 16\)\s+)?(\S.{0,60})")


class Makers:
    """Names of makers by the first three bytes of a card's address. Without a list, only those bytes are told."""

    def __init__(self, prefixes: Iterable[str], lists: Iterable[str] = LISTS) -> None:
        """Look up `prefixes`, six hexadecimal digits each, in the first list that can be read."""
        wanted = {each.upper() for each in prefixes}
        self._names: dict[str, str] = {}
        for path in lists if wanted else ():
            try:
                with Path(path).open(encoding="utf-8", errors="replace") as file:
                    for line in file:
                        found = _LINE.match(line)
                        if found and found[1].upper() in wanted:
                            self._names.setdefault(found[1].upper(), found[2].strip())
            except OSError:
                continue
            return

    def describe(self, card: str) -> str:
        """The address with its maker, or with a word that it was chosen by software, as for privacy."""
        prefix = card.replace(":", "")[:6].upper()
        if int(prefix[:2], 16) & 2:
            return f"{card} (chosen by software)"
        name = self._names.get(prefix, "")
        return f"{card} ({name})" if name else card

"""One string for each name of a level that many topics or filters have, such as "state" below every device."""

#: Names that are remembered, and characters that one of them may have: a bound against endless and long ones.
MAX_NAMES = 4096
MAX_NAME_CHARS = 32


class Names:
    """The names that were used lately. When there are too many, all are forgotten: the common ones are soon back."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def one(self, name: str) -> str:
        """`name`, as the string that was given for it before, if it is remembered."""
        if len(name) > MAX_NAME_CHARS:
            return name
        known = self._known
        if len(known) >= MAX_NAMES:
            known.clear()
        return known.setdefault(name, name)

    def __len__(self) -> int:
        return len(self._known)

"""A level of topics or filters, and those below it, in little memory."""

from typing import Any


class Level:
    """`level` is its name.

    Most have one level below them or none, and a dict weighs 230 bytes: so `children` is None, the only one, or a
    dict by name, in the order in which they were added.
    """

    __slots__ = ("children", "level")

    def __init__(self, level: str) -> None:
        self.level = level
        self.children: Any = None

    def child(self, level: str) -> Any:
        """The level of this name below; None if there is none."""
        children = self.children
        if children is None:
            return None
        if isinstance(children, Level):
            only = children
            return only if only.level == level else None
        return children.get(level)

    def put(self, child: "Level") -> None:
        """Enter a level below that is not there yet."""
        children = self.children
        if children is None:
            self.children = child
        elif isinstance(children, Level):
            only = children
            self.children = {only.level: only, child.level: child}
        else:
            children[child.level] = child

    def take(self, child: "Level") -> None:
        """Take a level below out, which is there."""
        children = self.children
        if children is None or isinstance(children, Level):
            self.children = None
            return
        del children[child.level]
        if len(children) == 1:
            self.children = next(iter(children.values()))

"""Retained messages by topic, found by exact name or by filter. Bounded in number and in bytes."""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Retainable(Protocol):
    """What the store needs to know of a message."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...


M = TypeVar("M", bound=Retainable)


class _Node(Generic[M]):
    """One topic level. Most are leaves, so children are made when first needed."""

    __slots__ = ("children", "message", "stamp")

    def __init__(self) -> None:
        self.children: dict[str, _Node[M]] | None = None
        self.message: M | None = None
        self.stamp = 0


class RetainedStore(Generic[M]):
    """At most one message a topic. `count` and `bytes` say what it holds; `stamp` is the number of the
    latest `put`."""

    __slots__ = ("_root", "bytes", "count", "max_bytes", "max_messages", "stamp")

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._root: _Node[M] = _Node()
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.count = 0
        self.bytes = 0
        self.stamp = 0

    def fits(self, message: M) -> bool:
        """Whether `message` can be stored, in place of the one on its topic if there is one."""
        old = self.get(message.name)
        count = self.count + (0 if old is not None else 1)
        size = self.bytes + message.size - (old.size if old is not None else 0)
        return count <= self.max_messages and size <= self.max_bytes

    def bound(self, message: M) -> str:
        """Which bound keeps out a message that does not fit."""
        full = self.count >= self.max_messages and self.get(message.name) is None
        return "max_retained_messages" if full else "max_retained_bytes"

    def put(self, message: M) -> None:
        """Store it in place of the one on its topic. [MQTT5-3.3.1-5] [MQTT3-3.3.1-5]"""
        node = self._root
        for level in message.name.split("/"):
            if node.children is None:
                node.children = {}
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        if node.message is None:
            self.count += 1
        else:
            self.bytes -= node.message.size
        node.message = message
        self.stamp += 1
        node.stamp = self.stamp
        self.bytes += message.size

    def get(self, topic: str) -> M | None:
        """The message on exactly this topic."""
        node = self._root
        for level in topic.split("/"):
            child = node.children.get(level) if node.children else None
            if child is None:
                return None
            node = child
        return node.message

    def remove(self, topic: str) -> M | None:
        """Take the message on `topic` out, with every level that only it needed."""
        levels = topic.split("/")
        path = [self._root]
        for level in levels:
            children = path[-1].children
            child = children.get(level) if children else None
            if child is None:
                return None
            path.append(child)
        message = path[-1].message
        if message is None:
            return None
        path[-1].message = None
        self.count -= 1
        self.bytes -= message.size
        for depth in range(len(levels), 0, -1):
            node, children = path[depth], path[depth - 1].children
            if children is None or node.message is not None or node.children:
                break
            del children[levels[depth - 1]]
        return message

    def match(self, filter: str, latest: int | None = None) -> Iterator[M]:
        """Every message whose topic matches `filter`; "$" topics only where the filter names the "$"
        [MQTT5-4.7.2-1]. With `latest`, only those that were put when `stamp` was at most that.

        Lazy: nothing is looked up before it is asked for, and the store may change between two results.
        """
        bound = self.stamp if latest is None else latest
        levels = filter.split("/")
        stack: list[tuple[_Node[M], int]] = [(self._root, 0)]
        while stack:
            node, depth = stack.pop()
            if depth == len(levels):
                if node.message is not None and node.stamp <= bound:
                    yield node.message
                continue
            level = levels[depth]
            if level == "#":
                yield from self._below(node, depth == 0, bound)
            elif level == "+":
                for name, child in (node.children or {}).items():
                    if depth or not name.startswith("$"):
                        stack.append((child, depth + 1))
            elif node.children and (found := node.children.get(level)) is not None:
                stack.append((found, depth + 1))

    def _below(self, top: _Node[M], at_root: bool, bound: int) -> Iterator[M]:
        """`top` itself and everything under it: "sport/#" matches "sport" as well."""
        stack = [top]
        while stack:
            node = stack.pop()
            if node.message is not None and node.stamp <= bound:
                yield node.message
            if at_root and node is top:
                stack.extend(c for name, c in (node.children or {}).items() if not name.startswith("$"))
            elif node.children:
                stack.extend(node.children.values())

    def __iter__(self) -> Iterator[M]:
        stack = [self._root]
        while stack:
            node = stack.pop()
            if node.message is not None:
                yield node.message
            stack.extend((node.children or {}).values())

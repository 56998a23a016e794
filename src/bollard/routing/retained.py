"""Retained messages by topic, found by exact name or by filter. Bounded in number and in bytes."""

from collections.abc import Iterator
from itertools import islice
from typing import Generic, Protocol, TypeVar


class Retainable(Protocol):
    """What the store needs to know of a message."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def author(self) -> str: ...


#: Levels of topics for each message that may be retained, and for the first ones: each costs 300 bytes.
NODES_PER_MESSAGE = 8
FIRST_NODES = 1024
#: Levels that `walk` looks at before it takes breath.
BREATH_NODES = 16
#: Levels below one that `walk` notes at a time: a place in a large store must not weigh as much as the store.
PAGE_NODES = 512

M = TypeVar("M", bound=Retainable)


class _Node(Generic[M]):
    """One topic level. Most are leaves, so children are made when first needed. `number` grows from each to the
    next that is made, so children, which are kept in the order in which they were made, are in its order."""

    __slots__ = ("children", "message", "number", "stamp")

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.children: dict[str, _Node[M]] | None = None
        self.message: M | None = None
        self.stamp = 0


class RetainedStore(Generic[M]):
    """At most one message a topic. `count` and `bytes` say what it holds, `nodes` how many levels of topics
    it takes to find it; `stamp` is the number of the latest `put`.

    `max_messages` and `max_bytes` bound the whole store, `max_messages_of_one` and `max_bytes_of_one` what
    one author holds of it; what has no author is the server's own and counts for the whole only.
    """

    __slots__ = (
        "_made",
        "_of_author",
        "_root",
        "bytes",
        "count",
        "max_bytes",
        "max_bytes_of_one",
        "max_messages",
        "max_messages_of_one",
        "nodes",
        "stamp",
    )

    def __init__(
        self,
        max_messages: int,
        max_bytes: int,
        max_messages_of_one: int | None = None,
        max_bytes_of_one: int | None = None,
    ) -> None:
        self._root: _Node[M] = _Node()
        self._made = 0
        self._of_author: dict[str, tuple[int, int]] = {}
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.max_messages_of_one = max_messages if max_messages_of_one is None else max_messages_of_one
        self.max_bytes_of_one = max_bytes if max_bytes_of_one is None else max_bytes_of_one
        self.count = 0
        self.bytes = 0
        self.nodes = 0
        self.stamp = 0

    def fits(self, message: M) -> bool:
        """Whether `message` can be stored, in place of the one on its topic if there is one."""
        return not self.bound(message)

    def bound(self, message: M) -> str:
        """Which bound keeps `message` out; "" when it fits."""
        old = self.get(message.name)
        count, size = (0, message.size - old.size) if old is not None else (1, message.size)
        # Attack: small messages on deep topics, whose levels cost more than they do.
        nodes = self.nodes + count * (message.name.count("/") + 1)
        if (
            self.count + count > self.max_messages
            or nodes > FIRST_NODES + NODES_PER_MESSAGE * self.max_messages
        ):
            return "max_retained_messages"
        if self.bytes + size > self.max_bytes:
            return "max_retained_bytes"
        return self._bound_of_author(message, old)

    def _bound_of_author(self, message: M, old: M | None) -> str:
        """Attack: one device that fills the store, so that nobody else can retain anything."""
        if not message.author:
            return ""
        held, held_bytes = self._of_author.get(message.author, (0, 0))
        if old is not None and old.author == message.author:
            held, held_bytes = held - 1, held_bytes - old.size
        if held >= self.max_messages_of_one:
            return "max_principal_retained"
        return "max_principal_retained_bytes" if held_bytes + message.size > self.max_bytes_of_one else ""

    def _charge(self, message: M, count: int, size: int) -> None:
        """Count a message in or out of the store and of what its author holds."""
        self.count += count
        self.bytes += size
        if not message.author:
            return
        held, held_bytes = self._of_author.get(message.author, (0, 0))
        if held + count:
            self._of_author[message.author] = (held + count, held_bytes + size)
        else:
            del self._of_author[message.author]

    def put(self, message: M) -> None:
        """Store it in place of the one on its topic. [MQTT5-3.3.1-5] [MQTT3-3.3.1-5]"""
        node = self._root
        for level in message.name.split("/"):
            if node.children is None:
                node.children = {}
            child = node.children.get(level)
            if child is None:
                self._made += 1
                child = node.children[level] = _Node(self._made)
                self.nodes += 1
            node = child
        if node.message is not None:
            self._charge(node.message, -1, -node.message.size)
        self._charge(message, 1, message.size)
        node.message = message
        self.stamp += 1
        node.stamp = self.stamp

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
        self._charge(message, -1, -message.size)
        for depth in range(len(levels), 0, -1):
            node, children = path[depth], path[depth - 1].children
            if children is None or node.message is not None or node.children:
                break
            del children[levels[depth - 1]]
            self.nodes -= 1
        return message

    def match(self, filter: str, latest: int | None = None) -> Iterator[M]:
        """Every message whose topic matches `filter`; "$" topics only where the filter names the "$"
        [MQTT5-4.7.2-1]. With `latest`, only those that were put when `stamp` was at most that.

        Lazy: nothing is looked up before it is asked for, and the store may change between two results.
        """
        return (message for message in self.walk(filter, latest) if message is not None)

    def walk(self, filter: str, latest: int | None = None) -> Iterator[M | None]:
        """As `match`, with None in between whenever `BREATH_NODES` levels were looked at.

        Attack: filters that look at the whole store and match nothing, while everybody else waits.
        """
        bound = self.stamp if latest is None else latest
        newest = self._made
        levels = filter.split("/")
        stack: list[tuple[Iterator[_Node[M]], int]] = [(iter((self._root,)), 0)]
        looked = 0
        while stack:
            nodes, depth = stack[-1]
            node = next(nodes, None)
            if node is None:
                stack.pop()
                continue
            looked += 1
            if looked % BREATH_NODES == 0:
                yield None
            if depth == len(levels):
                if node.message is not None and node.stamp <= bound:
                    yield node.message
            elif levels[depth] == "#":
                yield from self._below(node, depth == 0, bound, newest)
            elif levels[depth] == "+":
                stack.append((_children(node, depth == 0, newest), depth + 1))
            elif node.children and (found := node.children.get(levels[depth])) is not None:
                stack.append((iter((found,)), depth + 1))

    def _below(self, top: _Node[M], at_root: bool, bound: int, newest: int) -> Iterator[M | None]:
        """`top` itself and everything under it: "sport/#" matches "sport" as well."""
        stack = [iter((top,))]
        looked = 0
        while stack:
            node = next(stack[-1], None)
            if node is None:
                stack.pop()
                continue
            looked += 1
            if looked % BREATH_NODES == 0:
                yield None
            if node.message is not None and node.stamp <= bound:
                yield node.message
            if node.children:
                stack.append(_children(node, at_root and node is top, newest))

    def __iter__(self) -> Iterator[M]:
        stack = [self._root]
        while stack:
            node = stack.pop()
            if node.message is not None:
                yield node.message
            stack.extend((node.children or {}).values())


def _children(node: _Node[M], at_root: bool, newest: int) -> Iterator[_Node[M]]:
    """The levels below `node` up to the number `newest`, a page of them at a time; the store may change while
    they are gone through. At the root without those that begin with "$".

    Attack: a thousand clients that are owed all of a large store and do not read.
    """
    last = seen = 0
    while node.children:
        # Those that are gone since were before the next one: so it is at place `seen` or earlier.
        page, last, seen = _page(node.children, last, seen, at_root, newest)
        if not page:
            return
        yield from page


def _page(
    children: dict[str, _Node[M]], last: int, seen: int, at_root: bool, newest: int
) -> tuple[list[_Node[M]], int, int]:
    """The next children after the one with the number `last`, its number, and how many there are up to it."""
    page: list[_Node[M]] = []
    start = min(seen, len(children))
    if start and next(islice(children.values(), start - 1, None)).number > last:
        start = 0  # some are gone that were passed: look again from the beginning
    for name, child in islice(children.items(), start, None):
        if child.number > newest:
            break
        start += 1
        if child.number <= last:
            continue
        last = child.number
        if not (at_root and name.startswith("$")):
            page.append(child)
            if len(page) == PAGE_NODES:
                break
    return page, last, start

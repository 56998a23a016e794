"""Retained messages by topic, found by exact name or by filter. Bounded in number and in bytes."""

from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

from bollard.routing.level import Level
from bollard.routing.names import Names


class Retainable(Protocol):
    """What the store needs to know of a message."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def author(self) -> str: ...


#: Levels of topics for each message that may be retained, and for the first ones: each costs 200 bytes.
NODES_PER_MESSAGE = 8
FIRST_NODES = 1024
#: Levels that `walk` looks at before it takes breath.
BREATH_NODES = 16
#: Levels below one that `walk` notes at a time: a place in a large store must not weigh as much as the store.
PAGE_NODES = 512
#: Levels below one above which their order is kept as a list.
MANY_NODES = 512

M = TypeVar("M", bound=Retainable)


class Node(Level):
    """One topic level. `number` grows from each to the next that is made; `stamp` is that of its `message`.

    Where there are many below it, `order` lists them too, with some that are gone since: a place among them is
    found by number.
    """

    __slots__ = ("message", "number", "order", "stamp")

    def __init__(self, level: str, number: int) -> None:
        self.level = level
        self.number = number
        self.children = None
        self.order: list[Node] | None = None
        self.message: Any = None
        self.stamp = 0

    def add(self, child: "Node") -> None:
        """Enter a level below that is not there yet, made after all others."""
        self.put(child)
        children = self.children
        if self.order is not None:
            self.order.append(child)
        elif isinstance(children, dict) and len(children) > MANY_NODES:
            self.order = list(children.values())

    def drop(self, child: "Node") -> None:
        """Take a level below out, which is there."""
        self.take(child)
        children = self.children
        if self.order is not None:
            if not isinstance(children, dict):
                self.order = None
            elif len(self.order) > 2 * len(children):
                self.order = list(children.values()) if len(children) > MANY_NODES else None

    def page(self, last: int, newest: int, at_root: bool, size: int) -> "list[Node]":
        """The next levels below, at most `size`, of those with numbers above `last` and not above `newest`; at the
        root without those that begin with "$"."""
        children = self.children
        if children is None:
            return []
        found: list[Node] = []
        at = 0
        if isinstance(children, Node):
            listed = [children]
        elif self.order is None:
            listed = list(children.values())
        else:
            listed = self.order
            at = _place(listed, last)
        while at < len(listed) and len(found) < size:
            child = listed[at]
            at += 1
            if child.number > newest:
                break
            if child.number > last and not (at_root and child.level.startswith("$")):
                found.append(child)
        return found


def _place(order: list[Node], last: int) -> int:
    """How many of `order` have numbers up to `last`."""
    low = 0
    high = len(order)
    while low < high:
        middle = (low + high) // 2
        node = order[middle]
        if node.number > last:
            high = middle
        else:
            low = middle + 1
    return low


class RetainedStore(Generic[M]):
    """At most one message a topic. `count` and `bytes` say what it holds, `nodes` how many levels of topics
    it takes to find it; `stamp` is the number of the latest `put`.

    `max_messages` and `max_bytes` bound the whole store, `max_messages_of_one` and `max_bytes_of_one` what
    one author holds of it; what has no author is the server's own and counts for the whole only.
    """

    __slots__ = (
        "_made",
        "_names",
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
        self._root = Node("", 0)
        self._names = Names()
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

    @property
    def of_authors(self) -> int:
        """How many messages are somebody's, not the server's own. For any thread."""
        return sum(count for count, _ in list(self._of_author.values()))

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
            child = node.child(level)
            if child is None:
                self._made += 1
                child = Node(self._names.one(level), self._made)
                node.add(child)
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
            child = node.child(level)
            if child is None:
                return None
            node = child
        message: M | None = node.message
        return message

    def remove(self, topic: str) -> M | None:
        """Take the message on `topic` out, with every level that only it needed."""
        node = self._root
        path = [node]
        for level in topic.split("/"):
            child = node.child(level)
            if child is None:
                return None
            node = child
            path.append(node)
        message: M | None = node.message
        if message is None:
            return None
        node.message = None
        self._charge(message, -1, -message.size)
        while len(path) > 1 and node.message is None and node.children is None:
            path.pop()
            path[-1].drop(node)
            self.nodes -= 1
            node = path[-1]
        return message

    def may_match(self, filter: str) -> bool:
        """Whether there are the levels that `filter` names before its first wildcard: without them no message
        matches it. Looks at no more levels than `filter` has."""
        node = self._root
        for level in filter.split("/"):
            if level == "+":
                return node.children is not None
            if level == "#":
                return node.children is not None or node.message is not None
            child = node.child(level)
            if child is None:
                return False
            node = child
        return node.message is not None

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
        stack: list[tuple[Iterator[Node], int]] = [(iter((self._root,)), 0)]
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
            else:
                found = node.child(levels[depth])
                if found is not None:
                    stack.append((iter((found,)), depth + 1))

    def _below(self, top: Node, at_root: bool, bound: int, newest: int) -> Iterator[M | None]:
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
            if node.children is not None:
                stack.append(_children(node, at_root and node is top, newest))

    def __iter__(self) -> Iterator[M]:
        stack = [self._root]
        while stack:
            node = stack.pop()
            if node.message is not None:
                yield node.message
            stack.extend(_children(node, False, self._made))


def _children(node: Node, at_root: bool, newest: int) -> Iterator[Node]:
    """The levels below `node` up to the number `newest`, a page of them at a time; the store may change while
    they are gone through. At the root without those that begin with "$".

    Attack: a thousand clients that are owed all of a large store and do not read.
    """
    last = 0
    while page := node.page(last, newest, at_root, PAGE_NODES):
        yield from page
        last = page[-1].number

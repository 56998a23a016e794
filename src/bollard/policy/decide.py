"""The decision itself: tries of topic filters, and the walk through them.

Pure and in memory: nothing is parsed, logged or cached here, and nothing raises. Which rules apply to whom
was settled before, in compile.py; here only the identity is left to compare, as one whole level with one
whole level. So a name such as "a/+" could never be read as part of a filter.
"""

from collections.abc import Iterable

from bollard.base.types import Action, Decision
from bollard.policy.model import ID

_SUBSCRIBE = int(Action.SUBSCRIBE)

NOT_A_NAME = Decision(False, "", "a topic name holds no wildcards")


class Node:
    """A level of a trie of filters. Decisions stand where a filter ends, the same for all who share the trie.

    `names` leads on by the text of the level, `own` where the level is the identity's name, `plus` where it
    is anything. `here` is the decision of the filter that ends with this level, `below` of the one that
    goes on with `#`.
    """

    __slots__ = ("below", "here", "names", "own", "plus")

    def __init__(self) -> None:
        self.names: dict[str, Node] = {}
        self.own: Node | None = None
        self.plus: Node | None = None
        self.here: Decision | None = None
        self.below: Decision | None = None

    def add(self, levels: Iterable[str], decision: Decision) -> None:
        """Let topics that `levels` match have `decision`; one that is there already stays."""
        node = self
        for level in levels:
            if level == "#":
                node.below = node.below or decision
                return
            node = node.child(level)
        node.here = node.here or decision

    def child(self, level: str) -> "Node":
        """The node that `level` of a filter leads to, made if there is none."""
        if level == ID:
            self.own = self.own or Node()
            return self.own
        if level == "+":
            self.plus = self.plus or Node()
            return self.plus
        found = self.names.get(level)
        if found is None:
            found = self.names[level] = Node()
        return found


class Profile:
    """What some identities have in common: the tries of what is denied and allowed them.

    `denied` and `allowed` have one trie for each `Action`, by its number, or None where there is no rule;
    `silence` has the decision where neither says anything.
    """

    __slots__ = ("allowed", "denied", "silence")

    def __init__(
        self, denied: list[Node | None], allowed: list[Node | None], silence: list[Decision]
    ) -> None:
        self.denied = denied
        self.allowed = allowed
        self.silence = silence


def decide(profile: Profile, identity: str, action: int, topic: str) -> Decision:
    """May `identity`, who has `profile`, do `action` (the number of an `Action`) on `topic`?

    A deny decides first, then an allow, then silence. Of several that match, the most specific one is told:
    text before the own name before `+` before `#`, from the first level on.

    SUBSCRIBE is asked about a filter: it is denied if one deny holds all of it, allowed if one allow does.
    What merely overlaps a deny is subscribed, and the denied part of it is stopped at each RECEIVE.
    """
    subscribe = action == _SUBSCRIBE
    if not subscribe and ("+" in topic or "#" in topic):
        return NOT_A_NAME
    levels = topic.split("/")
    if subscribe and topic == "#":
        levels.insert(0, "+")  # the same topics, as none has zero levels; so "+/#" is seen to hold them
    denied = profile.denied[action]
    if denied is not None:
        found = _start(denied, levels, identity, subscribe)
        if found is not None:
            return found
    allowed = profile.allowed[action]
    if allowed is not None:
        found = _start(allowed, levels, identity, subscribe)
        if found is not None:
            return found
    return profile.silence[action]


def _start(root: Node, levels: list[str], identity: str, subscribe: bool) -> Decision | None:
    """Walk from the first level, where no wildcard may stand for a level with `$`. [MQTT5-4.7.2-1]"""
    first = levels[0]
    if first.startswith("$"):
        child = root.names.get(first)
        if child is None:
            return None
        if subscribe:
            return _holds(child, levels, 1, len(levels), identity)
        return _match(child, levels, 1, len(levels), identity)
    if subscribe:
        return _holds(root, levels, 0, len(levels), identity)
    return _match(root, levels, 0, len(levels), identity)


def _match(node: Node, levels: list[str], index: int, count: int, identity: str) -> Decision | None:
    """The decision of the most specific filter under `node` that matches the topic name `levels`, if any."""
    if index == count:
        return node.here or node.below  # "a/#" matches "a" as well
    level = levels[index]
    child = node.names.get(level)
    found: Decision | None = None
    if child is not None:
        found = _match(child, levels, index + 1, count, identity)
    if found is None and node.own is not None and level == identity:
        found = _match(node.own, levels, index + 1, count, identity)
    if found is None and node.plus is not None:
        found = _match(node.plus, levels, index + 1, count, identity)
    return node.below if found is None else found


def _holds(node: Node, levels: list[str], index: int, count: int, identity: str) -> Decision | None:
    """The decision of the most specific filter under `node` that holds the filter `levels`, if any does.

    Only `+` and `#` hold a `+`, and only `#` a `#`.
    """
    if index == count:
        return node.here or node.below
    level = levels[index]
    if level == "#":
        return node.below
    found: Decision | None = None
    if level != "+":
        child = node.names.get(level)
        if child is not None:
            found = _holds(child, levels, index + 1, count, identity)
        if found is None and node.own is not None and level == identity:
            found = _holds(node.own, levels, index + 1, count, identity)
    if found is None and node.plus is not None:
        found = _holds(node.plus, levels, index + 1, count, identity)
    return node.below if found is None else found

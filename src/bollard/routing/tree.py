"""The subscription tree: topic filters by level; and which plans a change of it makes worthless.

Depth is bounded by the filters that are let in, so the recursion of `match` is bounded too.

A plan (`plan.py`) is good for as long as its `generation` is that of the tree. A filter that comes or goes
concerns only topics that share its first two levels, if it names them: then just their plans get the
generation 0, which the tree never has. Attack: one client that subscribes and unsubscribes without end on
topics of its own, while all others pay for new plans. Every other change raises the tree's generation.
"""

from typing import Any

from bollard.routing.plan import Plan
from bollard.routing.shared import SharedGroup


class Subscription:
    """One entry of one session. `identifier` is the Subscription Identifier, 0 when none was given;
    `group` the name of the shared subscription, "" when it is not shared; `filter` without that prefix."""

    __slots__ = ("filter", "group", "identifier", "no_local", "qos", "retain_as_published", "session")

    def __init__(
        self,
        session: Any,
        filter: str,
        group: str,
        qos: int,
        no_local: bool,
        retain_as_published: bool,
        identifier: int,
    ) -> None:
        self.session = session
        self.filter = filter
        self.group = group
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.identifier = identifier


class Node:
    """One level of some filters."""

    __slots__ = ("children", "groups", "subscriptions")

    def __init__(self) -> None:
        self.children: dict[str, Node] | None = None
        self.subscriptions: dict[Any, Subscription] | None = None
        self.groups: dict[str, SharedGroup] | None = None

    def empty(self) -> bool:
        return not self.children and not self.subscriptions and not self.groups


class Tree:
    """All subscriptions. `generation` changes whenever what any topic matches may have changed; `looks` is at how
    many levels the last `match` has looked."""

    __slots__ = ("_levels", "_root", "_watched", "count", "generation", "looks", "shared_count")

    def __init__(self) -> None:
        self._root = Node()
        self._levels: dict[str, int] = {}
        self._watched: dict[str, list[Plan]] = {}
        self.generation = 1
        self.looks = 0
        self.count = 0
        self.shared_count = 0

    def add(self, subscription: Subscription) -> None:
        """Enter it, in place of an earlier one of the same session, filter and group.
        [MQTT5-3.8.4-3] [MQTT3-3.8.4-3]"""
        node = self._root
        for level in subscription.filter.split("/"):
            if node.children is None:
                node.children = {}
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = Node()
            node = child
        if subscription.group:
            if node.groups is None:
                node.groups = {}
            group = node.groups.get(subscription.group)
            if group is None:
                group = node.groups[subscription.group] = SharedGroup(subscription.group, subscription.filter)
            if group.add(subscription):
                self.shared_count += 1
                self._charge(subscription, 1)
        else:
            if node.subscriptions is None:
                node.subscriptions = {}
            if subscription.session not in node.subscriptions:
                self.count += 1
                self._charge(subscription, 1)
            node.subscriptions[subscription.session] = subscription
        self._changed(subscription.filter)

    def remove(self, subscription: Subscription) -> None:
        """Take it out, with every level that only it needed."""
        levels = subscription.filter.split("/")
        node = self._root
        path = [node]
        for level in levels:
            child = node.children.get(level) if node.children else None
            if child is None:
                return
            node = child
            path.append(node)
        if subscription.group:
            group = node.groups.get(subscription.group) if node.groups else None
            if group is not None and node.groups is not None and group.remove(subscription):
                self.shared_count -= 1
                self._charge(subscription, -1)
                if not group.members:
                    del node.groups[subscription.group]
        elif node.subscriptions and node.subscriptions.pop(subscription.session, None) is not None:
            self.count -= 1
            self._charge(subscription, -1)
        for depth in range(len(levels), 0, -1):
            parent = path[depth - 1]
            node = path[depth]
            if parent.children is None or not node.empty():
                break
            del parent.children[levels[depth - 1]]
        self._changed(subscription.filter)

    def _charge(self, subscription: Subscription, sign: int) -> None:
        """Count the levels of a filter for the principal whose session holds it."""
        principal = subscription.session.principal
        left = self._levels.get(principal, 0) + sign * (subscription.filter.count("/") + 1)
        if left:
            self._levels[principal] = left
        else:
            del self._levels[principal]

    def levels_of(self, principal: str) -> int:
        """How many levels the filters of a principal have, all together."""
        return self._levels.get(principal, 0)

    def watch(self, name: str, plan: Plan) -> None:
        """Make `plan`, which is for the topic `name` and of the present generation, stale when its time comes."""
        branch = "/".join(name.split("/", 2)[:2])
        watched = self._watched.get(branch)
        if watched is None:
            self._watched[branch] = [plan]
        else:
            watched.append(plan)

    def outdate(self) -> None:
        """Every plan is stale."""
        self.generation += 1
        self._watched.clear()

    def _changed(self, filter: str) -> None:
        """A filter came or went."""
        first = filter.split("/", 2)[:2]
        if "+" in first or "#" in first:
            self.outdate()
            return
        for plan in self._watched.pop("/".join(first), ()):
            plan.generation = 0

    def group(self, name: str, filter: str) -> SharedGroup | None:
        """The shared subscription `$share/<name>/<filter>`, if it has members."""
        node = self._root
        for level in filter.split("/"):
            child = node.children.get(level) if node.children is not None else None
            if child is None:
                return None
            node = child
        return node.groups.get(name) if node.groups is not None else None

    def match(self, topic: str) -> tuple[list[Subscription], list[SharedGroup]]:
        """Every subscription and shared group whose filter matches the Topic Name `topic`.

        A wildcard at the first level does not match a topic that begins with "$". [MQTT5-4.7.2-1]
        [MQTT3-4.7.2-1]
        """
        found: list[Subscription] = []
        groups: list[SharedGroup] = []
        self.looks = 0
        self._descend(self._root, topic.split("/"), 0, topic.startswith("$"), found, groups)
        return found, groups

    def _descend(
        self,
        node: Node,
        levels: list[str],
        depth: int,
        dollar: bool,
        found: list[Subscription],
        groups: list[SharedGroup],
    ) -> None:
        self.looks += 1
        children = node.children
        if depth == len(levels):
            self._collect(node, found, groups)
            if children is not None:
                # "sport/#" matches "sport" as well. [MQTT5 4.7.1.2]
                child = children.get("#")
                if child is not None:
                    self._collect(child, found, groups)
            return
        if children is None:
            return
        child = children.get(levels[depth])
        if child is not None:
            self._descend(child, levels, depth + 1, dollar, found, groups)
        if dollar and depth == 0:
            return
        child = children.get("+")
        if child is not None:
            self._descend(child, levels, depth + 1, dollar, found, groups)
        child = children.get("#")
        if child is not None:
            self._collect(child, found, groups)

    def _collect(self, node: Node, found: list[Subscription], groups: list[SharedGroup]) -> None:
        if node.subscriptions is not None:
            found.extend(node.subscriptions.values())
        if node.groups is not None:
            groups.extend(node.groups.values())

"""The subscription tree: topic filters by level; and which plans a change of it makes worthless.

Depth is bounded by the filters that are let in, so the recursion of `match` is bounded too.

A plan (`plan.py`) is good for as long as its `generation` is that of the tree. A filter that comes or goes
concerns only topics that share its first two levels, if it names them: then just their plans get the
generation 0, which the tree never has. Attack: one client that subscribes and unsubscribes without end on
topics of its own, while all others pay for new plans. Every other change raises the tree's generation.
"""

from typing import Any

from bollard.routing.level import Level
from bollard.routing.names import Names
from bollard.routing.plan import Plan
from bollard.routing.shared import SharedGroup


class Subscription:
    """One entry of one session. `identifier` is the Subscription Identifier, 0 when none was given;
    `group` the name of the shared subscription, "" when it is not shared; `filter` without that prefix.
    `qos` is what was granted, or less while policy allows its principal less (`engine/rations.py`)."""

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


class Node(Level):
    """One level of some filters. `subscriptions` (by session) are None, the only one, or a dict."""

    __slots__ = ("groups", "subscriptions")

    def __init__(self, level: str) -> None:
        self.level = level
        self.children = None
        self.subscriptions: Subscription | dict[Any, Subscription] | None = None
        self.groups: dict[str, SharedGroup] | None = None

    def enter(self, subscription: Subscription) -> bool:
        """Enter it in place of an earlier one of its session; False if there was one."""
        present = self.subscriptions
        if present is None:
            self.subscriptions = subscription
            return True
        if isinstance(present, Subscription):
            only = present
            if only.session is subscription.session:
                self.subscriptions = subscription
                return False
            self.subscriptions = {only.session: only, subscription.session: subscription}
            return True
        new = subscription.session not in present
        present[subscription.session] = subscription
        return new

    def leave(self, session: Any) -> bool:
        """Take the subscription of `session` out; False if there is none."""
        present = self.subscriptions
        if present is None:
            return False
        if isinstance(present, Subscription):
            only = present
            if only.session is not session:
                return False
            self.subscriptions = None
            return True
        if present.pop(session, None) is None:
            return False
        if len(present) == 1:
            self.subscriptions = next(iter(present.values()))
        return True

    def empty(self) -> bool:
        return self.children is None and self.subscriptions is None and not self.groups


class Tree:
    """All subscriptions. `generation` changes whenever what any topic matches may have changed; `looks` is at how
    many levels the last `match` has looked."""

    __slots__ = ("_levels", "_names", "_root", "_watched", "count", "generation", "looks", "shared_count")

    def __init__(self) -> None:
        self._root = Node("")
        self._names = Names()
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
            child = node.child(level)
            if child is None:
                child = Node(self._names.one(level))
                node.put(child)
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
        elif node.enter(subscription):
            self.count += 1
            self._charge(subscription, 1)
        self._changed(subscription.filter)

    def remove(self, subscription: Subscription) -> None:
        """Take it out, with every level that only it needed."""
        node = self._root
        path = [node]
        for level in subscription.filter.split("/"):
            child = node.child(level)
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
        elif node.leave(subscription.session):
            self.count -= 1
            self._charge(subscription, -1)
        while len(path) > 1 and node.empty():
            path.pop()
            parent = path[-1]
            parent.take(node)
            node = parent
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
            child = node.child(level)
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
        if depth == len(levels):
            self._collect(node, found, groups)
            # "sport/#" matches "sport" as well. [MQTT5 4.7.1.2]
            child = node.child("#")
            if child is not None:
                self._collect(child, found, groups)
            return
        if node.children is None:
            return
        child = node.child(levels[depth])
        if child is not None:
            self._descend(child, levels, depth + 1, dollar, found, groups)
        if dollar and depth == 0:
            return
        child = node.child("+")
        if child is not None:
            self._descend(child, levels, depth + 1, dollar, found, groups)
        child = node.child("#")
        if child is not None:
            self._collect(child, found, groups)

    def _collect(self, node: Node, found: list[Subscription], groups: list[SharedGroup]) -> None:
        present = node.subscriptions
        if isinstance(present, Subscription):
            found.append(present)
        elif present is not None:
            found.extend(present.values())
        if node.groups is not None:
            groups.extend(node.groups.values())

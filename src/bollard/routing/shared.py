"""Shared subscriptions: each message goes to one member of the group, in turn. [MQTT5-4.8.2]"""

from collections.abc import Callable
from typing import Any

#: A subscription; all that a group needs of it is its `session`.
Member = Any


class SharedGroup:
    """The members of `$share/<name>/<filter>`, in the order in which they joined."""

    __slots__ = ("_next", "_order", "filter", "members", "name")

    def __init__(self, name: str, filter: str) -> None:
        self.name = name
        self.filter = filter
        self.members: dict[Any, Member] = {}
        self._order: list[Member] | None = None
        self._next = 0

    def add(self, member: Member) -> bool:
        """Enter or replace a member; True when it is new."""
        new = member.session not in self.members
        self.members[member.session] = member
        self._order = None
        return new

    def remove(self, member: Member) -> bool:
        """Take a member out; False when it was none."""
        self._order = None
        return self.members.pop(member.session, None) is not None

    def choose(self, fitness: Callable[[Member], int]) -> Member | None:
        """The next member in turn among the fittest; None when nobody may get the message.

        `fitness` answers 0 for a member that must not get it, more for one that can take it sooner.
        Turns count over all members, so that equally fit ones get equal shares.
        """
        members = self._order
        if members is None:
            members = self._order = list(self.members.values())
        count = len(members)
        best: Member | None = None
        best_fitness = 0
        best_at = 0
        for step in range(count):
            at = (self._next + step) % count
            grade = fitness(members[at])
            if grade > best_fitness:
                best, best_fitness, best_at = members[at], grade, at
                if grade >= FITTEST:
                    break
        if best is not None:
            self._next = (best_at + 1) % count
        return best


#: A member with this fitness can take a message at once: nobody can be fitter.
FITTEST = 3

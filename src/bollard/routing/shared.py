"""Shared subscriptions: each message goes to one member of the group, in turn. [MQTT5-4.8.2]"""

from collections.abc import Callable
from typing import Any

#: A subscription; all that a group needs of it is its `session`.
Member = Any


class SharedGroup:
    """The members of `$share/<name>/<filter>`, in the order in which they joined.

    Members that are away stand apart: they are asked only when nobody who is there may have the message.
    Attack: hundreds of absent members, all of whom would be asked for each message.
    """

    __slots__ = ("_absent", "_away", "_next", "_present", "filter", "members", "name")

    def __init__(self, name: str, filter: str) -> None:
        self.name = name
        self.filter = filter
        self.members: dict[Any, Member] = {}
        self._away: set[Any] = set()
        self._present: list[Member] | None = None
        self._absent: list[Member] = []
        self._next = 0

    def add(self, member: Member) -> bool:
        """Enter or replace a member, which is there; True when it is new."""
        new = member.session not in self.members
        self.members[member.session] = member
        self._present = None
        return new

    def remove(self, member: Member) -> bool:
        """Take a member out; False when it was none."""
        self._present = None
        self._away.discard(member.session)
        return self.members.pop(member.session, None) is not None

    def mark(self, session: Any, away: bool) -> None:
        """The client of a member went away, or came back."""
        self._present = None
        if away and session in self.members:
            self._away.add(session)
        else:
            self._away.discard(session)

    def choose(self, fitness: Callable[[Member], int]) -> Member | None:
        """The next member in turn among the fittest; None when nobody may get the message.

        `fitness` answers 0 for a member that must not get it, more for one that can take it sooner.
        Turns count over all members, so that equally fit ones get equal shares.
        """
        present = self._present
        if present is None:
            present = self._present = [m for s, m in self.members.items() if s not in self._away]
            self._absent = [self.members[session] for session in self._away]
        chosen = self._choose_from(present, fitness)
        return chosen if chosen is not None else self._choose_from(self._absent, fitness)

    def _choose_from(self, members: list[Member], fitness: Callable[[Member], int]) -> Member | None:
        count = len(members)
        best: Member | None = None
        best_fitness = 0
        best_at = 0
        for step in range(count):
            at = (self._next + step) % count
            grade = fitness(members[at])
            if grade > best_fitness:
                best, best_fitness, best_at = members[at], grade, at
            if best_fitness >= FITTEST or (best is not None and step >= ENOUGH):
                break
        if best is not None:
            self._next = (best_at + 1) % count
        return best


#: Members that are asked before the fittest of them is good enough.
ENOUGH = 64
#: A member with this fitness can take a message at once: nobody can be fitter.
FITTEST = 3

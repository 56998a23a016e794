"""Shared subscriptions: who is in the group, who of them is there, and whose turn it is. [MQTT5-4.8.2]

Which member may have a message, and can take it now, is the engine's to judge (`engine/share.py`).
"""

from typing import Any

#: A subscription; all that a group needs of it is its `session`.
Member = Any


class SharedGroup:
    """The members of `$share/<name>/<filter>`, in the order in which they joined.

    Members that are away stand apart: they are asked only when nobody who is there may have the message.
    Attack: hundreds of absent members, all of whom would be asked for each message. `turn` is the place in
    `present()`, or in `absent()`, of the member that is asked first.
    """

    __slots__ = ("_absent", "_away", "_present", "filter", "members", "name", "turn")

    def __init__(self, name: str, filter: str) -> None:
        self.name = name
        self.filter = filter
        self.members: dict[Any, Member] = {}
        self._away: dict[Any, None] = {}
        self._present: list[Member] | None = None
        self._absent: list[Member] | None = None
        self.turn = 0

    def add(self, member: Member) -> bool:
        """Enter or replace a member, which is there; True when it is new."""
        new = member.session not in self.members
        self.members[member.session] = member
        if not new:
            self._stale()
        elif self._present is not None:
            # Attack: a member that joins before each message, and ten thousand are sorted for each.
            self._present.append(member)
        return new

    def remove(self, member: Member) -> bool:
        """Take a member out; False when it was none."""
        self._stale()
        self._away.pop(member.session, None)
        return self.members.pop(member.session, None) is not None

    def mark(self, session: Any, away: bool) -> None:
        """The client of a member went away, or came back."""
        self._stale()
        if away and session in self.members:
            self._away[session] = None
        else:
            self._away.pop(session, None)

    def _stale(self) -> None:
        self._present = None
        self._absent = None

    def unsorted(self) -> int:
        """How many members the next `present()` has to look at; 0 while its list is kept."""
        return len(self.members) if self._present is None else 0

    def present(self) -> list[Member]:
        """The members whose clients are there; the list is the group's own."""
        present = self._present
        if present is None:
            away = self._away
            present = self._present = [m for session, m in self.members.items() if session not in away]
        return present

    def absent(self) -> list[Member]:
        """The members whose clients are away; the list is the group's own."""
        absent = self._absent
        if absent is None:
            absent = self._absent = [self.members[session] for session in self._away]
        return absent

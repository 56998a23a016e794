"""From events to those who want them, and how many of each kind there were. Two events come with each connection, so
this is quick.

Whether an observer wants a kind of event is asked once. What it hears it can read and not change.
"""

from collections.abc import Callable

from bollard.base.events import Event
from bollard.server.observers import Observer


class _Kind:
    """Who hears events of one kind, and how many of them there were."""

    __slots__ = ("count", "hearers")

    def __init__(self, hearers: tuple[Observer, ...]) -> None:
        self.hearers = hearers
        self.count = 0


class Hearing:
    """`choose` says who hears events of a kind; its answer holds for as long as the process lives."""

    __slots__ = ("_choose", "_kinds")

    def __init__(self, choose: Callable[[type[Event]], tuple[Observer, ...]]) -> None:
        self._choose = choose
        self._kinds: dict[type[Event], _Kind] = {}

    def tell(self, event: Event) -> None:
        """Count `event`, and call everybody who hears events like it."""
        kind = self._kinds.get(type(event))
        if kind is None:
            kind = self._kinds[type(event)] = _Kind(self._choose(type(event)))
        kind.count += 1
        for observe in kind.hearers:
            observe(event)

    def counts(self) -> dict[type[Event], int]:
        """How many events of each kind there were. Any thread."""
        return {kind: found.count for kind, found in list(self._kinds.items())}

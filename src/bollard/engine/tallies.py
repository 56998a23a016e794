"""What each principal has done and was refused, since the start: for its owner to see which device is the odd one.

Messages are counted in their connection, where it costs next to nothing, and are added here when it ends.
"""

from collections.abc import Iterable, Mapping

from bollard.base.types import Action
from bollard.session.connection import Connection

#: Principals that are remembered: each is an identity that was let in, so a registry of this size is full.
MAX_TALLIES = 100_000


class Tally:
    """Totals of one principal. Messages and bytes (of payloads) as seen from the broker; `denied_receive`
    counts messages, or topics, that were withheld from it."""

    __slots__ = (
        "denied_publish",
        "denied_receive",
        "denied_subscribe",
        "denied_will",
        "received",
        "received_bytes",
        "sent",
        "sent_bytes",
    )

    def __init__(self) -> None:
        self.received = 0
        self.received_bytes = 0
        self.sent = 0
        self.sent_bytes = 0
        self.denied_publish = 0
        self.denied_subscribe = 0
        self.denied_receive = 0
        self.denied_will = 0

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}

    def add(self, connection: Connection) -> None:
        """Add what `connection` has counted."""
        self.received += connection.received
        self.received_bytes += connection.received_bytes
        self.sent += connection.sent
        self.sent_bytes += connection.sent_bytes

    @property
    def denied(self) -> int:
        """Everything that it was refused."""
        return self.denied_publish + self.denied_subscribe + self.denied_receive + self.denied_will


#: The total that a refusal of each action belongs to.
_DENIED = {
    Action.PUBLISH: "denied_publish",
    Action.RETAIN: "denied_publish",
    Action.SUBSCRIBE: "denied_subscribe",
    Action.SHARE: "denied_subscribe",
    Action.RECEIVE: "denied_receive",
    Action.WILL: "denied_will",
}


class Tallies:
    """A tally for each principal. `of_all` may be called from any thread."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, Tally] = {}

    def of(self, principal: str) -> Tally:
        """The tally of `principal`; one that nobody keeps where there are too many."""
        tally = self._known.get(principal)
        if tally is None:
            tally = Tally()
            if len(self._known) < MAX_TALLIES:
                self._known[principal] = tally
        return tally

    def refuse(self, principal: str, action: Action) -> None:
        """Count a refusal."""
        tally = self.of(principal)
        name = _DENIED[action]
        setattr(tally, name, getattr(tally, name) + 1)

    def of_all(self, connections: Iterable[Connection]) -> dict[str, Tally]:
        """Copies of all tallies, with what live `connections` have counted so far."""
        totals: dict[str, Tally] = {}
        for principal, tally in list(self._known.items()):
            total = totals[principal] = Tally()
            for name in Tally.__slots__:
                setattr(total, name, getattr(tally, name))
        for connection in connections:
            totals.setdefault(connection.principal, Tally()).add(connection)
        return totals


def busiest(totals: Mapping[str, Tally], count: int) -> dict[str, Tally]:
    """At most `count` of `totals`: those with the most denials, then those with the most messages."""
    order = sorted(
        totals, key=lambda name: (-totals[name].denied, -totals[name].received - totals[name].sent)
    )
    return {name: totals[name] for name in order[:count]}

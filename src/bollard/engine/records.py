"""The rows in which the engine's state is kept on disk, and what a store gives back at start.

A row is a tuple in the order of its table's columns. Times are wall-clock seconds, so that deadlines count
through a downtime; 0.0 is "none". What writes and reads them is a store; what they mean is in `restore.py`.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

#: QoS in the lower two bits of `flags`, RETAIN in the third.
QOS_BITS = 0b011
RETAIN_BIT = 0b100


class SessionRecord(NamedTuple):
    """A session as it stands. `connected` says that its client was there, or about to be, when this was
    written: `ends_at` and `will_at` run only without it. `will_name` is "" when there is no will."""

    number: int
    principal: str
    client_id: str
    connected: bool
    expiry_s: int
    ends_at: float
    will_at: float
    will_name: str = ""
    will_payload: bytes = b""
    will_flags: int = 0
    will_delay_s: int = 0
    will_expiry_s: int = -1
    will_forward: bytes = b""


class SubscriptionRecord(NamedTuple):
    """`filter` is the whole filter, with its $share prefix where it has one."""

    session: int
    filter: str
    qos: int
    no_local: bool
    retain_as_published: bool
    identifier: int


class ReceivedRecord(NamedTuple):
    """A QoS 2 Packet Identifier of the client whose PUBREL has not come."""

    session: int
    packet_id: int


class MessageRecord(NamedTuple):
    """An application message that at least one delivery or the retained store refers to."""

    number: int
    name: str
    payload: bytes
    flags: int
    author: str
    client_id: str
    forward: bytes
    expires_at: float


class DeliveryRecord(NamedTuple):
    """A message that a session is owed. `number` orders the deliveries of a session.

    `packet_id` is 0 while it waits in the queue; `released` is 0 until its PUBREC came, then it orders
    the PUBRELs. `identifiers` are Subscription Identifiers in decimal, separated by blanks; `share` is the
    shared subscription through which it came, as a filter.
    """

    session: int
    number: int
    message: int
    flags: int
    packet_id: int
    released: int
    identifiers: str | None
    share: str | None


class Kept(Protocol):
    """Everything that a store holds, each table as a stream; deliveries in the order of their numbers."""

    def sessions(self) -> Iterator[SessionRecord]: ...

    def subscriptions(self) -> Iterator[SubscriptionRecord]: ...

    def received(self) -> Iterator[ReceivedRecord]: ...

    def messages(self) -> Iterator[MessageRecord]: ...

    def deliveries(self) -> Iterator[DeliveryRecord]: ...

    def retained(self) -> Iterator[int]:
        """Numbers of the messages that are retained."""
        ...

"""What must be on disk, as numbered batches of records, and the gate of acknowledgements.

The engine records every change of state that a persistent session or the retained store needs. Records
of one batch are keyed by what they describe, so a later one replaces an earlier one and a message that
is acknowledged before its batch was taken costs the disk nothing. Whoever must wait for a record notes
`sequence`, the number of the batch being filled, and goes on once `committed` has reached it.

Times in records are wall-clock seconds, so that deadlines count through a downtime: `wall` converts.
"""

from dataclasses import dataclass

from bollard.routing.tree import Subscription
from bollard.session.message import Delivery, Message
from bollard.session.session import Session
from bollard.session.will import Will

#: How far the delivery of a message has come.
WAITING, RELEASED = 0, 1


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as it stands. `ends_at` and `will_at` are 0.0 while its client is connected."""

    number: int
    principal: str
    client_id: str
    expiry_s: int
    ends_at: float
    will: Will | None
    will_at: float


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """The session and all that belongs to it is gone."""

    number: int


@dataclass(frozen=True, slots=True)
class SubscriptionRecord:
    session: int
    filter: str
    qos: int
    no_local: bool
    retain_as_published: bool
    identifier: int


@dataclass(frozen=True, slots=True)
class SubscriptionEnd:
    session: int
    filter: str


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """An application message that at least one delivery or the retained store refers to."""

    number: int
    name: str
    payload: bytes
    qos: int
    retain: int
    author: str
    client_id: str
    forward: bytes
    expires_at: float


@dataclass(frozen=True, slots=True)
class MessageEnd:
    number: int


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """`packet_id` is 0 while it waits in the queue; `number` orders the deliveries of a session."""

    session: int
    number: int
    message: int
    qos: int
    retain: int
    identifiers: tuple[int, ...]
    packet_id: int
    state: int
    share: str


@dataclass(frozen=True, slots=True)
class DeliveryEnd:
    session: int
    number: int


@dataclass(frozen=True, slots=True)
class ReceivedRecord:
    """A QoS 2 Packet Identifier of the client whose PUBREL has not come."""

    session: int
    packet_id: int


@dataclass(frozen=True, slots=True)
class ReceivedEnd:
    session: int
    packet_id: int


@dataclass(frozen=True, slots=True)
class RetainedRecord:
    name: str
    message: int


@dataclass(frozen=True, slots=True)
class RetainedEnd:
    name: str


Record = (
    SessionRecord
    | SessionEnd
    | SubscriptionRecord
    | SubscriptionEnd
    | MessageRecord
    | MessageEnd
    | DeliveryRecord
    | DeliveryEnd
    | ReceivedRecord
    | ReceivedEnd
    | RetainedRecord
    | RetainedEnd
)


class Journal:
    """Records on their way to the disk.

    `enabled` is False for a broker that keeps nothing: then no session gets a number, and everything
    below is never called. `writes` counts records ever made: whoever compares it before and after knows
    whether something was recorded.
    """

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.sequence = 1
        self.committed = 0
        self.writes = 0
        self.wall_offset = 0.0
        self._batch: dict[tuple[object, ...], Record] = {}
        self._fresh: set[tuple[object, ...]] = set()
        self._next_session = 1
        self._next_message = 1
        self._next_delivery = 1

    def wall(self, monotonic: float) -> float:
        """The wall-clock second of a monotonic one; 0.0 stays 0.0."""
        return monotonic + self.wall_offset if monotonic else 0.0

    def start_after(self, session: int, message: int, delivery: int) -> None:
        """Continue numbering above what a store already holds."""
        self._next_session = session + 1
        self._next_message = message + 1
        self._next_delivery = delivery + 1

    def take(self) -> tuple[int, list[Record]]:
        """The batch being filled, with its number; the next one is begun."""
        batch = list(self._batch.values())
        self._batch = {}
        self._fresh = set()
        self.sequence += 1
        return self.sequence - 1, batch

    def waiting(self) -> int:
        """How many records wait to be taken."""
        return len(self._batch)

    def session(self, session: Session) -> None:
        """Record a session as it stands now; gives it its number the first time."""
        if not session.number:
            session.number = self._next_session
            self._next_session += 1
        away = session.connection is None
        self._put(
            ("session", session.number),
            SessionRecord(
                session.number,
                session.principal,
                session.client_id,
                session.expiry_s,
                self.wall(session.ends_at) if away else 0.0,
                session.will,
                self.wall(session.will_at) if away else 0.0,
            ),
        )

    def end_session(self, session: Session) -> None:
        number, session.number = session.number, 0
        self._replace(("session", number), SessionEnd(number))

    def subscription(self, session: Session, filter: str, subscription: Subscription) -> None:
        """`filter` is the whole filter, with its $share prefix where it has one."""
        self._put(
            ("subscription", session.number, filter),
            SubscriptionRecord(
                session.number,
                filter,
                subscription.qos,
                subscription.no_local,
                subscription.retain_as_published,
                subscription.identifier,
            ),
        )

    def end_subscription(self, session: Session, filter: str) -> None:
        self._replace(("subscription", session.number, filter), SubscriptionEnd(session.number, filter))

    def queue(self, session: Session, delivery: Delivery, packet_id: int, share: str) -> None:
        """Record that `delivery` is owed to `session`; its message goes with the first such record."""
        if not delivery.number:
            delivery.number = self._next_delivery
            self._next_delivery += 1
        self._refer(delivery.message)
        key = ("delivery", session.number, delivery.number)
        self._fresh.add(key)
        self._put(key, self._delivery(session, delivery, packet_id, WAITING, share))

    def advance(self, session: Session, delivery: Delivery, packet_id: int, state: int, share: str) -> None:
        """Record how far a delivery has come that was recorded before."""
        key = ("delivery", session.number, delivery.number)
        self._put(key, self._delivery(session, delivery, packet_id, state, share))

    def done(self, session: Session, delivery: Delivery) -> None:
        """The client has taken the message, or it will never be sent."""
        key = ("delivery", session.number, delivery.number)
        if key in self._fresh:
            self._fresh.discard(key)
            self._batch.pop(key, None)
        else:
            self._replace(key, DeliveryEnd(session.number, delivery.number))
        self._unrefer(delivery.message)

    def received(self, session: Session, packet_id: int) -> None:
        """A QoS 2 message with this Packet Identifier was accepted."""
        self._replace(("received", session.number, packet_id), ReceivedRecord(session.number, packet_id))

    def completed(self, session: Session, packet_id: int) -> None:
        """Its PUBREL came: the identifier may be used again."""
        self._replace(("received", session.number, packet_id), ReceivedEnd(session.number, packet_id))

    def retain(self, message: Message, replaced: Message | None) -> None:
        """`message` is now the retained one of its topic."""
        self._refer(message)
        self._replace(("retained", message.name), RetainedRecord(message.name, message.number))
        if replaced is not None:
            self._unrefer(replaced)

    def unretain(self, message: Message) -> None:
        self._replace(("retained", message.name), RetainedEnd(message.name))
        self._unrefer(message)

    def forget(self, deliveries: list[Delivery]) -> None:
        """The session that was owed these has ended; its record says so for the rows themselves."""
        for delivery in deliveries:
            self._unrefer(delivery.message)

    def _delivery(
        self, session: Session, delivery: Delivery, packet_id: int, state: int, share: str
    ) -> DeliveryRecord:
        return DeliveryRecord(
            session.number,
            delivery.number,
            delivery.message.number,
            delivery.qos,
            delivery.retain,
            delivery.identifiers,
            packet_id,
            state,
            share,
        )

    def _refer(self, message: Message) -> None:
        message.references += 1
        if message.references > 1:
            return
        if not message.number:
            message.number = self._next_message
            self._next_message += 1
        key = ("message", message.number)
        self._fresh.add(key)
        self._put(
            key,
            MessageRecord(
                message.number,
                message.name,
                message.payload,
                message.qos,
                message.retain,
                message.author,
                message.client_id,
                message.forward,
                self.wall(message.expires_at),
            ),
        )

    def _unrefer(self, message: Message) -> None:
        message.references -= 1
        if message.references:
            return
        key = ("message", message.number)
        if key in self._fresh:
            self._fresh.discard(key)
            self._batch.pop(key, None)
        else:
            self._replace(key, MessageEnd(message.number))
        message.number = 0

    def _put(self, key: tuple[object, ...], record: Record) -> None:
        self.writes += 1
        self._batch[key] = record

    def _replace(self, key: tuple[object, ...], record: Record) -> None:
        """As `_put`, but after everything that the batch holds already: order matters to an end."""
        self._batch.pop(key, None)
        self._put(key, record)

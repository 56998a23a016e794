"""What must be on disk, as numbered batches of changes, and the gate of acknowledgements.

The engine records every change of state that a persistent session or the retained store needs. A batch
holds each thing once, as it stands at the end of the batch: a message that every receiver has acknowledged
before its batch was taken costs the disk nothing. Whoever must wait for a record notes `sequence`, the
number of the batch being filled, and goes on once `committed` has reached it. A batch that the disk
refused is given back and becomes part of the next one, so nothing is ever written out of order.

Rows and their meaning are in `records.py`; what is gated, in the verbs.
"""

from collections.abc import Iterator

from bollard.engine.records import DeliveryRecord, MessageRecord, SessionRecord, SubscriptionRecord
from bollard.routing.tree import Subscription
from bollard.session.message import Delivery, Message
from bollard.session.session import Session

#: A delivery with its message's number, Packet Identifier and place among the PUBRELs.
Owed = tuple[Delivery, int, int, int]
Key = tuple[int, int]


class Batch:
    """Changes that become durable together, or not at all.

    `deliveries` and `messages` are new, `moved` are deliveries whose row is on disk already; of
    `subscriptions`, `received` and `retained` the value says whether they are there (None, False: gone).
    The keys in `ended_…` are deleted; with a session goes all that belongs to it.
    """

    __slots__ = (
        "deliveries",
        "ended_deliveries",
        "ended_messages",
        "ended_sessions",
        "messages",
        "moved",
        "received",
        "retained",
        "sessions",
        "subscriptions",
        "wall_offset",
        "writes",
    )

    def __init__(self) -> None:
        self.writes = 0
        self.wall_offset = 0.0
        self.sessions: dict[int, SessionRecord] = {}
        self.subscriptions: dict[tuple[int, str], SubscriptionRecord | None] = {}
        self.received: dict[Key, bool] = {}
        self.messages: dict[int, Message] = {}
        self.deliveries: dict[Key, Owed] = {}
        self.moved: dict[Key, Owed] = {}
        self.retained: dict[int, bool] = {}
        self.ended_sessions: dict[int, bool] = {}
        self.ended_messages: dict[int, bool] = {}
        self.ended_deliveries: dict[Key, bool] = {}

    def __bool__(self) -> bool:
        """Whether anything was recorded, even if nothing of it is left to write."""
        return self.writes != 0

    def __len__(self) -> int:
        """How many rows there are to write or delete."""
        return (
            len(self.messages)
            + len(self.deliveries)
            + len(self.moved)
            + len(self.ended_messages)
            + len(self.ended_deliveries)
            + len(self.received)
            + len(self.retained)
            + len(self.subscriptions)
            + len(self.sessions)
            + len(self.ended_sessions)
        )

    def message_rows(self) -> Iterator[MessageRecord]:
        """`records.MessageRecord`s, as plain tuples."""
        offset = self.wall_offset
        for number, message in self.messages.items():
            expires_at = message.expires_at + offset if message.expires_at != 0.0 else 0.0
            yield (  # type: ignore[misc]
                number,
                message.name,
                message.payload,
                message.qos | message.retain << 2,
                message.author,
                message.client_id,
                message.forward,
                expires_at,
            )

    def delivery_rows(self, moved: bool) -> Iterator[DeliveryRecord]:
        """`records.DeliveryRecord`s, as plain tuples: those that moved, or those that are new."""
        for key, owed in (self.moved if moved else self.deliveries).items():
            delivery, message, packet_id, released = owed
            yield (  # type: ignore[misc]
                key[0],
                key[1],
                message,
                delivery.qos | delivery.retain << 2,
                packet_id,
                released,
                " ".join(map(str, delivery.identifiers)) if delivery.identifiers else None,
                share_of(delivery),
            )

    def absorb(self, older: "Batch") -> None:
        """Take in a batch that came before this one and is not on disk."""
        self.writes += older.writes
        self.sessions = {
            **{k: v for k, v in older.sessions.items() if k not in self.ended_sessions},
            **self.sessions,
        }
        self.subscriptions = {**older.subscriptions, **self.subscriptions}
        self.received = {**older.received, **self.received}
        self.retained = {**older.retained, **self.retained}
        self.ended_sessions = {**older.ended_sessions, **self.ended_sessions}
        for number, message in older.messages.items():
            if self.ended_messages.pop(number, None) is None:
                self.messages[number] = message
        for key, owed in older.deliveries.items():
            # What was new then is new now, as it stands now.
            if self.ended_deliveries.pop(key, None) is None:
                self.deliveries[key] = self.moved.pop(key, owed)
        for key, owed in older.moved.items():
            if key not in self.ended_deliveries:
                self.moved.setdefault(key, owed)
        self.ended_messages.update(older.ended_messages)
        self.ended_deliveries.update(older.ended_deliveries)


def share_of(delivery: Delivery) -> str | None:
    """The shared subscription that a delivery came through, as a filter; None if none."""
    group = delivery.group
    return f"$share/{group.name}/{group.filter}" if group is not None else None


class Journal:
    """Changes on their way to the disk.

    `enabled` is False for a broker that keeps nothing: then no session gets a number, and nothing below
    is called. `writes` counts changes ever recorded: whoever compares it before and after knows whether
    something was. `failing` is True from a batch that the disk refused to the next one that it took.
    `wall_offset` is what turns monotonic into wall-clock seconds.
    """

    __slots__ = (
        "_next_delivery",
        "_next_message",
        "_next_release",
        "_next_session",
        "batch",
        "committed",
        "enabled",
        "failing",
        "sequence",
        "wall_offset",
        "writes",
    )

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.failing = False
        self.sequence = 1
        self.committed = 0
        self.writes = 0
        self.wall_offset = 0.0
        self.batch = Batch()
        self._next_session = 1
        self._next_message = 1
        self._next_delivery = 1
        self._next_release = 1

    def wall(self, monotonic: float) -> float:
        """The wall-clock second of a monotonic one; 0.0 stays 0.0."""
        return monotonic + self.wall_offset if monotonic else 0.0

    def start_after(self, session: int, message: int, delivery: int, release: int) -> None:
        """Continue numbering above what a store already holds."""
        self._next_session = session + 1
        self._next_message = message + 1
        self._next_delivery = delivery + 1
        self._next_release = release + 1

    def take(self) -> tuple[int, Batch]:
        """The batch being filled, with its number; the next one is begun."""
        batch = self.batch
        batch.wall_offset = self.wall_offset
        self.batch = Batch()
        self.sequence += 1
        return self.sequence - 1, batch

    def give_back(self, batch: Batch) -> None:
        """The disk refused `batch`, the last that was taken: it goes with the one being filled."""
        self.batch.absorb(batch)

    def session(self, session: Session, connected: bool) -> None:
        """Record a session as it stands now; gives it its number the first time."""
        if not session.number:
            session.number = self._next_session
            self._next_session += 1
        record = SessionRecord(
            session.number,
            session.principal,
            session.client_id,
            connected,
            session.expiry_s,
            0.0 if connected else self.wall(session.ends_at),
            0.0 if connected else self.wall(session.will_at),
        )
        will = session.will
        if will is not None:
            record = record._replace(
                will_name=will.name,
                will_payload=will.payload,
                will_flags=will.qos | int(will.retain) << 2,
                will_delay_s=will.delay_s,
                will_expiry_s=will.expiry_s,
                will_forward=will.forward,
            )
        self.batch.sessions[session.number] = record
        self._wrote()

    def end_session(self, session: Session) -> None:
        """The session is gone, with all rows that bear its number."""
        self.batch.sessions.pop(session.number, None)
        self.batch.ended_sessions[session.number] = True
        session.number = 0
        self._wrote()

    def subscription(self, session: Session, filter: str, subscription: Subscription) -> None:
        """`filter` is the whole filter, with its $share prefix where it has one."""
        self.batch.subscriptions[(session.number, filter)] = SubscriptionRecord(
            session.number,
            filter,
            subscription.qos,
            subscription.no_local,
            subscription.retain_as_published,
            subscription.identifier,
        )
        self._wrote()

    def end_subscription(self, session: Session, filter: str) -> None:
        self.batch.subscriptions[(session.number, filter)] = None
        self._wrote()

    def queue(self, session: Session, delivery: Delivery, packet_id: int) -> None:
        """Record that `delivery` is owed to `session`; its message goes with the first such record."""
        if delivery.number == 0:
            delivery.number = self._next_delivery
            self._next_delivery += 1
        message = delivery.message
        self._refer(message)
        self.batch.deliveries[(session.number, delivery.number)] = (delivery, message.number, packet_id, 0)
        self._wrote()

    def advance(self, session: Session, delivery: Delivery, packet_id: int) -> None:
        """A delivery that was recorded before has left the queue under `packet_id`."""
        self._move((session.number, delivery.number), (delivery, delivery.message.number, packet_id, 0))

    def release(self, session: Session, delivery: Delivery, packet_id: int) -> None:
        """PUBREC came for a delivery: from now on only PUBREL is sent for it."""
        released = self._next_release
        self._next_release += 1
        owed = (delivery, delivery.message.number, packet_id, released)
        self._move((session.number, delivery.number), owed)

    def done(self, session: Session, delivery: Delivery) -> None:
        """The client has taken the message, or it will never be sent."""
        key = (session.number, delivery.number)
        batch = self.batch
        if batch.deliveries.pop(key, None) is None:
            batch.moved.pop(key, None)
            batch.ended_deliveries[key] = True
        self._unrefer(delivery.message)
        self._wrote()

    def received(self, session: Session, packet_id: int) -> None:
        """A QoS 2 message with this Packet Identifier was accepted."""
        self.batch.received[(session.number, packet_id)] = True
        self._wrote()

    def completed(self, session: Session, packet_id: int) -> None:
        """Its PUBREL came: the identifier may be used again."""
        self.batch.received[(session.number, packet_id)] = False
        self._wrote()

    def retain(self, message: Message) -> None:
        """`message` is now the retained one of its topic."""
        self._refer(message)
        self.batch.retained[message.number] = True
        self._wrote()

    def unretain(self, message: Message) -> None:
        """`message` is retained no more."""
        if self.batch.retained.pop(message.number, None) is None:
            self.batch.retained[message.number] = False
        self._unrefer(message)
        self._wrote()

    def forget(self, deliveries: list[Delivery]) -> None:
        """The session that was owed these has ended; its end says so for the rows themselves."""
        for delivery in deliveries:
            self._unrefer(delivery.message)

    def adopt(self, message: Message, number: int) -> None:
        """A message that the store already holds under `number`, referred to once more."""
        message.number = number
        message.references += 1

    def _wrote(self) -> None:
        self.writes += 1
        self.batch.writes += 1

    def _move(self, key: Key, owed: Owed) -> None:
        batch = self.batch
        if key in batch.deliveries:
            batch.deliveries[key] = owed
        else:
            batch.moved[key] = owed
        self._wrote()

    def _refer(self, message: Message) -> None:
        message.references += 1
        if message.references == 1:
            message.number = self._next_message
            self._next_message += 1
            self.batch.messages[message.number] = message

    def _unrefer(self, message: Message) -> None:
        message.references -= 1
        if message.references == 0:
            if self.batch.messages.pop(message.number, None) is None:
                self.batch.ended_messages[message.number] = True
            message.number = 0

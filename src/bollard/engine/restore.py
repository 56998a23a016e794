"""The engine's state as a store kept it: sessions, what they are owed, retained messages, deadlines.

A store streams its tables (`records.Kept`) and nothing is held twice, so that a million retained messages
load in one pass. Afterwards every client is away: one that was connected when the records ended has just
lost its connection, whatever ended it. Rows that contradict each other (after salvage) are left out and
taken off the disk.
"""

from dataclasses import dataclass
from typing import Any

from bollard.engine.core import Core
from bollard.engine.leave import expire_session, fire_will, leave
from bollard.engine.publish import expire_retained
from bollard.engine.records import QOS_BITS, RETAIN_BIT, DeliveryRecord, Kept, MessageRecord, SessionRecord
from bollard.routing.tree import Subscription
from bollard.session.message import Delivery, Message
from bollard.session.session import NEVER_EXPIRES, Session
from bollard.session.will import Will
from bollard.wire.topics import split_share


@dataclass(frozen=True, slots=True)
class Restored:
    """What a store held. `left_out` counts rows that referred to something that is not there."""

    sessions: int = 0
    subscriptions: int = 0
    messages: int = 0
    deliveries: int = 0
    retained: int = 0
    left_out: int = 0


def restore(core: Core, kept: Kept, now: float, wall: float) -> Restored:
    """Fill an empty, journaling `core` from `kept`; `wall` is the wall-clock second of `now`.

    What has expired meanwhile ends at the next tick, wills of clients that were connected are published
    or begin their delay now, and everything that this changes is in the journal.
    """
    core.now = now
    core.journal.wall_offset = wall - now
    return _Restoring(core, kept).run()


class _Restoring:
    """One pass over a store: what each table needs from those before it."""

    def __init__(self, core: Core, kept: Kept) -> None:
        self.core = core
        self.kept = kept
        self.batch = core.journal.batch
        self.sessions: dict[int, Session] = {}
        self.messages: dict[int, Message] = {}
        self.connected: list[Session] = []
        #: Principals and client identifiers, once each: a few of them wrote a million messages.
        self.names: dict[str, str] = {}
        self.left_out = 0
        self.last_session = self.last_message = self.last_delivery = self.last_release = 0

    def run(self) -> Restored:
        for record in self.kept.sessions():
            self._session(record)
        subscriptions = self._subscriptions()
        self._received()
        for message in self.kept.messages():
            self._message(message)
        messages = len(self.messages)
        deliveries = self._deliveries()
        retained = self._retained()
        self.core.journal.start_after(
            self.last_session, self.last_message, self.last_delivery, self.last_release
        )
        self._discard_unreferred()
        restored = Restored(len(self.sessions), subscriptions, messages, deliveries, retained, self.left_out)
        for session in self.connected:
            leave(self.core, session, True)
        return restored

    def _session(self, record: SessionRecord) -> None:
        core = self.core
        session = Session(record.principal, record.client_id)
        session.number = record.number
        session.expiry_s = record.expiry_s
        if record.will_name:
            session.will = _will(record)
        self.sessions[record.number] = session
        self.last_session = max(self.last_session, record.number)
        core.sessions.setdefault(record.principal, {})[record.client_id] = session
        if record.connected:
            self.connected.append(session)
            return
        if session.expiry_s != NEVER_EXPIRES:
            session.ends_at = self._deadline(record.ends_at, session.expiry_s)
            core.deadlines.add(session.ends_at, expire_session, (core, session))
        if session.will is not None:
            session.will_at = self._deadline(record.will_at, session.will.delay_s)
            core.deadlines.add(session.will_at, fire_will, (core, session))

    def _deadline(self, wall: float, interval_s: int) -> float:
        """The monotonic second of a deadline; a clock that was set back must not prolong the interval."""
        core = self.core
        latest = core.now + interval_s
        return min(wall - core.journal.wall_offset, latest) if wall else latest

    def _subscriptions(self) -> int:
        count = 0
        for number, filter, qos, no_local, retain_as_published, identifier in self.kept.subscriptions():
            session = self.sessions.get(number)
            if session is None:
                self._leave_out(self.batch.subscriptions, (number, filter), None)
                continue
            group, inner = split_share(filter)
            subscription = Subscription(
                session, inner, group, qos, bool(no_local), bool(retain_as_published), identifier
            )
            self.core.tree.add(subscription)
            shared = self.core.tree.group(group, inner) if group else None
            if shared is not None:
                shared.mark(session, True)
            session.subscriptions[filter] = subscription
            count += 1
        return count

    def _received(self) -> None:
        for number, packet_id in self.kept.received():
            session = self.sessions.get(number)
            if session is None:
                self._leave_out(self.batch.received, (number, packet_id), False)
            elif session.received is None:
                session.received = {packet_id}
            else:
                session.received.add(packet_id)

    def _message(self, record: MessageRecord) -> None:
        number, name, payload, flags, author, client_id, forward, wall = record
        expires_at = wall - self.core.journal.wall_offset if wall else 0.0
        qos, retain = flags & QOS_BITS, int(bool(flags & RETAIN_BIT))
        same = self.names.setdefault
        author, client_id = same(author, author), same(client_id, client_id)
        self.messages[number] = Message(
            name, name.encode(), payload, qos, retain, author, client_id, forward, expires_at
        )
        self.last_message = max(self.last_message, number)

    def _deliveries(self) -> int:
        count = 0
        released: list[tuple[int, Session, int, Delivery]] = []
        for record in self.kept.deliveries():
            session = self.sessions.get(record.session)
            message = self.messages.get(record.message)
            self.last_delivery = max(self.last_delivery, record.number)
            self.last_release = max(self.last_release, record.released)
            if session is None or message is None:
                self._leave_out(self.batch.ended_deliveries, (record.session, record.number), True)
                continue
            self.core.journal.adopt(message, record.message)
            delivery = self._delivery(record, message)
            count += 1
            if record.released:
                released.append((record.released, session, record.packet_id, delivery))
            elif record.packet_id:
                session.sending().keep(record.packet_id, delivery)
            else:
                session.enqueue(delivery)
        for _, session, packet_id, delivery in sorted(released, key=lambda entry: entry[0]):
            # PUBREL goes out in the order in which PUBREC came. [MQTT5-4.6.0-4] [MQTT3-4.6.0-4]
            inflight = session.sending()
            inflight.released[packet_id] = delivery
            inflight.bytes += delivery.message.size
        return count

    def _delivery(self, record: DeliveryRecord, message: Message) -> Delivery:
        """Generation 0 is before every policy: the rights are asked again when it goes out."""
        group = None
        if record.share:
            name, filter = split_share(record.share)
            group = self.core.tree.group(name, filter)
        identifiers = tuple(map(int, record.identifiers.split())) if record.identifiers else ()
        qos, retain = record.flags & QOS_BITS, int(bool(record.flags & RETAIN_BIT))
        delivery = Delivery(message, qos, retain, identifiers, 0, group)
        delivery.number = record.number
        return delivery

    def _leave_out(self, rows: dict[Any, Any], key: object, gone: object) -> None:
        """Have a row that refers to nothing taken off the disk."""
        self.left_out += 1
        rows[key] = gone
        self.batch.writes += 1

    def _retained(self) -> int:
        core = self.core
        count = 0
        for number in self.kept.retained():
            message = self.messages.get(number)
            if message is None or core.retained.get(message.name) is not None:
                self._leave_out(self.batch.retained, number, False)
                continue
            core.journal.adopt(message, number)
            core.retained.put(message)
            count += 1
            if message.expires_at:
                core.deadlines.add(message.expires_at, expire_retained, (core, message))
        return count

    def _discard_unreferred(self) -> None:
        for number, message in self.messages.items():
            if message.references == 0:
                self._leave_out(self.batch.ended_messages, number, True)
        self.messages.clear()


def _will(record: SessionRecord) -> Will:
    return Will(
        record.will_name,
        record.will_name.encode(),
        record.will_payload,
        record.will_flags & QOS_BITS,
        bool(record.will_flags & RETAIN_BIT),
        record.will_delay_s,
        record.will_expiry_s,
        record.will_forward,
    )

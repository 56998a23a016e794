"""From a routed message to one client: send it now, queue it, or drop it; and what acknowledgements do.

The way of QoS 1 and 2 to a client: `deliver` → window open? → `_send` (Packet Identifier, output) → PUBACK, or
PUBREC → PUBREL → PUBCOMP → the next from the queue.
"""

from collections import deque

from bollard.base.errors import ProtocolError
from bollard.engine.core import Core
from bollard.session.connection import PRESSING_BYTES, Connection
from bollard.session.message import ENTRY_BYTES, Delivery, unkept
from bollard.session.session import Session
from bollard.wire.publish import encode_ack, short_ack
from bollard.wire.spec import PacketType, ReasonCode

PUBREL = int(PacketType.PUBREL)
NOT_FOUND = int(ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)


def deliver(core: Core, session: Session, delivery: Delivery) -> None:
    """Send `delivery` to `session`, or keep it until the client can take it.

    QoS 0 is for clients that are there and read; QoS 1 and 2 wait in the session's queue.
    """
    connection: Connection | None = session.connection
    if delivery.qos == 0:
        if connection is not None:
            if connection.put_delivery(delivery, 0, 0, core.now):
                count_sent(core, connection, len(delivery.message.payload))
            else:
                core.counters.publish_dropped += 1
        return
    if connection is not None and session.queue is None:
        inflight = session.sending()
        if inflight.again is None and inflight.room_for(delivery, connection.window, connection.window_bytes):
            if connection.room_for(delivery.message.size):
                _send(core, session, connection, delivery, False)
                return
            # A slow reader, or much at once: the rest follows when this is written.
            core.replays.setdefault(connection, deque())
    _enqueue(core, session, delivery)


def count_sent(core: Core, connection: Connection, size: int) -> None:
    """A message with a payload of `size` bytes is in the output of `connection`."""
    counters = core.counters
    counters.publish_sent += 1
    counters.publish_bytes_sent += size
    connection.sent += 1
    connection.sent_bytes += size
    if connection.size > PRESSING_BYTES:
        core.pressing = True


def _send(core: Core, session: Session, connection: Connection, delivery: Delivery, recorded: bool) -> None:
    """Begin a QoS 1 or 2 exchange. The caller has checked that the window is open.

    To a session on disk, a QoS 2 PUBLISH leaves only after its Packet Identifier is there: otherwise a
    crash would make the message a second one.
    """
    inflight = session.sending()
    kept = delivery
    if session.expiry_s == 0 and session.number == 0 and delivery.group is None:
        kept = unkept(delivery.qos)
    packet_id = inflight.take(kept)
    if session.number:
        if recorded:
            core.journal.advance(session, delivery, packet_id)
        else:
            core.record(session, delivery, packet_id)
        if delivery.qos == 2:
            # Without an alias: what goes out meanwhile must not refer to what still waits.
            packet = connection.encode(delivery, packet_id, 0, core.now, False)
            if packet is not None:
                connection.hold(core.journal.sequence, packet)
                core.holding[connection] = None
                count_sent(core, connection, len(delivery.message.payload))
                return
            _too_large(core, session, connection, packet_id, delivery)
            return
    if connection.put_delivery(delivery, packet_id, 0, core.now):
        count_sent(core, connection, len(delivery.message.payload))
    else:
        _too_large(core, session, connection, packet_id, delivery)


def _too_large(
    core: Core, session: Session, connection: Connection, packet_id: int, delivery: Delivery
) -> None:
    """The client does not accept packets of this size: go on as if it had been sent. [MQTT5-3.1.2-25]"""
    session.sending().acknowledge(packet_id)
    core.settled(session, delivery)
    core.counters.publish_dropped += 1
    core.limit("maximum_packet_size", session, connection, f"a message on {delivery.message.name}")


def _enqueue(core: Core, session: Session, delivery: Delivery) -> None:
    """Append to the queue, unless that would break a bound: then the new message is dropped."""
    name = ""
    size = session.queue_bytes + delivery.message.size + ENTRY_BYTES
    if session.waiting >= core.max_queue_messages:
        name = "max_queue_messages"
    elif size > core.max_queue_bytes:
        name = "max_queue_bytes"
    elif size > core.share(session.principal, core.max_queue_bytes, core.max_principal_queue_bytes):
        name = "max_principal_queue_bytes"
    if name:
        core.counters.publish_dropped += 1
        if not session.full:
            session.full = True
            core.limit(name, session, None, f"a message on {delivery.message.name} was dropped")
        return
    session.enqueue(delivery)
    if session.number:
        core.record(session, delivery, 0)


def send_waiting(core: Core, session: Session) -> None:
    """Fill the window: first what a resumed session sends again, then the queue, oldest first."""
    connection: Connection | None = session.connection
    if connection is None:
        return
    while True:
        delivery = following(connection, session)
        if delivery is None:
            return
        if not connection.room_for(delivery.message.size):
            core.replays.setdefault(connection, deque())
            return
        if session.sending().again is not None:
            _send_again(core, session, connection)
            continue
        delivery = session.dequeue()
        if delivery.message.expired(core.now):
            # [MQTT5-3.3.2-5]
            core.settled(session, delivery)
            core.counters.expired_messages += 1
        elif not core.still_allowed(session, delivery):
            core.settled(session, delivery)
            core.counters.publish_dropped += 1
        else:
            _send(core, session, connection, delivery, True)


def following(connection: Connection, session: Session) -> Delivery | None:
    """What goes out next; None when nothing waits or the window is closed."""
    inflight = session.inflight
    if inflight is not None and inflight.again is not None:
        return inflight.sent[inflight.again[0]] if inflight.count() < connection.window else None
    if session.queue is None:
        return None
    delivery = session.queue.first()
    if inflight is None or inflight.room_for(delivery, connection.window, connection.window_bytes):
        return delivery
    return None


def resume(core: Core, session: Session) -> None:
    """A client came back to its session: PUBREL and PUBLISH that were not finished go out again, under
    their Packet Identifiers and in their order, then the queue. [MQTT5-4.4.0-1] [MQTT3-4.4.0-1]"""
    connection: Connection | None = session.connection
    inflight = session.inflight
    if connection is not None and inflight is not None:
        for packet_id in inflight.released:
            _put_safe(core, connection, short_ack(PUBREL, packet_id))
        inflight.again = deque(inflight.sent) if inflight.sent else None
    send_waiting(core, session)


def _send_again(core: Core, session: Session, connection: Connection) -> None:
    """The next PUBLISH of a resumed session, with DUP set. [MQTT5-3.3.1-1] [MQTT3-3.3.1-1]"""
    inflight = session.sending()
    assert inflight.again is not None
    packet_id = inflight.again[0]
    inflight.skip(packet_id)
    delivery = inflight.sent[packet_id]
    allowed = core.still_allowed(session, delivery)
    if allowed and _put_again(core, connection, delivery, packet_id):
        count_sent(core, connection, len(delivery.message.payload))
    elif delivery.qos == 2:
        # The client may have it and take another message under this identifier for the same one: the
        # exchange is brought to its end without the message.
        core.counters.publish_dropped += 1
        _release(core, connection, session, packet_id, delivery)
    elif allowed:
        _too_large(core, session, connection, packet_id, delivery)
    else:
        inflight.acknowledge(packet_id)
        core.settled(session, delivery)
        core.counters.publish_dropped += 1


def _put_again(core: Core, connection: Connection, delivery: Delivery, packet_id: int) -> bool:
    """Output a PUBLISH with DUP set; False when the client does not accept its size."""
    if delivery.qos == 1 or not core.journal.failing:
        return connection.put_delivery(delivery, packet_id, 1, core.now)
    packet = connection.encode(delivery, packet_id, 1, core.now, False)
    if packet is None:
        return False
    _put_safe(core, connection, packet)
    return True


def _put_safe(core: Core, connection: Connection, data: bytes) -> None:
    """Output what belongs to a QoS 2 exchange of a session that was resumed: its state is on disk, unless
    the disk fails, when sessions on it are resumed nevertheless, to be emptied."""
    if core.journal.failing:
        connection.hold(core.journal.sequence, data)
        core.holding[connection] = None
    else:
        connection.put(data)


def puback(core: Core, session: Session, packet_id: int) -> None:
    """The client has a QoS 1 message, or refuses it: either way it is finished."""
    inflight = session.inflight
    delivery = inflight.acknowledge(packet_id) if inflight is not None else None
    if inflight is None or delivery is None:
        return
    if delivery.qos != 1:
        inflight.keep(packet_id, delivery)
        raise ProtocolError("PUBACK for a QoS 2 message", "MQTT5-4.3.3")
    if inflight.again is not None:
        inflight.skip(packet_id)
    if session.number:
        core.settled(session, delivery)
    if session.queue is not None or inflight.again is not None:
        send_waiting(core, session)


def pubrec(core: Core, connection: Connection, session: Session, packet_id: int, reason_code: int) -> None:
    """The client has a QoS 2 message: answer PUBREL; a refusal ends the exchange. [MQTT5-4.3.3-4, -5]"""
    inflight = session.sending()
    delivery = inflight.waiting(packet_id)
    if delivery is None:
        known = packet_id in inflight.released
        code = 0 if known or connection.version != 5 else NOT_FOUND
        # Behind the one that waits for the disk, if it does.
        core.put_after_commit(
            connection, core.journal.writes, encode_ack(PUBREL, packet_id, code, connection.version)
        )
        return
    if delivery.qos != 2:
        raise ProtocolError("PUBREC for a QoS 1 message", "MQTT5-4.3.2")
    if inflight.again is not None:
        inflight.skip(packet_id)
    if reason_code >= 0x80:
        inflight.acknowledge(packet_id)
        core.settled(session, delivery)
        send_waiting(core, session)
        return
    _release(core, connection, session, packet_id, delivery)


def _release(
    core: Core, connection: Connection, session: Session, packet_id: int, delivery: Delivery
) -> None:
    """PUBREL: what remains of a QoS 2 exchange is that both sides forget its identifier."""
    session.sending().release(packet_id, delivery)
    if session.number:
        # PUBREL lets the client forget the identifier: a crash must not make us send PUBLISH again.
        core.journal.release(session, delivery, packet_id)
        connection.hold(core.journal.sequence, short_ack(PUBREL, packet_id))
        core.holding[connection] = None
    else:
        connection.put_ack(PUBREL, packet_id)


def pubcomp(core: Core, session: Session, packet_id: int) -> None:
    """The client has finished a QoS 2 exchange. [MQTT5-4.3.3-7]"""
    inflight = session.inflight
    delivery = inflight.complete(packet_id) if inflight is not None else None
    if delivery is not None:
        core.settled(session, delivery)
        send_waiting(core, session)

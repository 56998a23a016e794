"""How connections and sessions end: the will, the wait for the client's return, the hand-over of shared work."""

from bollard.base.events import AccessDenied, ClientDisconnected, ConnectRefused, SessionEnded
from bollard.base.types import Action
from bollard.engine.core import Core
from bollard.engine.expiry import NO_MORE
from bollard.engine.publish import distribute, retain
from bollard.engine.rations import may_leave_will
from bollard.engine.responses import foreign_response
from bollard.engine.share import share_out
from bollard.routing.plan import Route, Share
from bollard.routing.shared import SharedGroup
from bollard.session.connection import Connection
from bollard.session.fifo import Fifo
from bollard.session.message import ENTRY_BYTES, Delivery, Message
from bollard.session.session import NEVER_EXPIRES, Session
from bollard.session.states import CLOSED, CONNECTED
from bollard.wire.codec import encode
from bollard.wire.connect import Disconnect
from bollard.wire.framer import Framer
from bollard.wire.properties import Properties
from bollard.wire.publish import Publish
from bollard.wire.spec import ReasonCode

NORMAL_DISCONNECTION = int(ReasonCode.NORMAL_DISCONNECTION)
#: What a connection that is closed has in place of its own: nothing is fed to it.
NO_BYTES = Framer(1)
#: What the end of a session, and of each subscription, costs in the measure of `intake`.
END_COST = 50


def close(
    core: Core,
    connection: Connection,
    code: int,
    reason: str,
    *,
    by: str = "server",
    will: bool = True,
    tell: str = "",
) -> None:
    """End a connection. `code` 0 sends no DISCONNECT, and neither does anything but a connected 5.0 client
    [MQTT5-3.14.0-1]; `will` False drops the Will Message; `tell` becomes the Reason String."""
    end(core, connection, code, reason, by, will, tell)


def end(core: Core, connection: Connection, code: int, reason: str, by: str, will: bool, tell: str) -> None:
    """`close` with every argument in its place, as compiled callers have them."""
    if connection.state == CLOSED:
        return
    if by == "server" and code and connection.state == CONNECTED and connection.version == 5:
        _disconnect(core, connection, code, tell)
    core.deadlines.end(connection.deadline)
    connection.deadline = None
    connection.state = CLOSED
    connection.closing = True
    connection.departed = by == "client"
    if not connection.dirty:
        connection.mark()
    connection.framer = NO_BYTES
    connection.routes.clear()
    connection.aliases_in = connection.aliases_out = None
    connection.held = None
    connection.pending = connection.exchange = None
    if core.holding:
        core.holding.pop(connection, None)
    if core.replays:
        core.replays.pop(connection, None)
    if core.unfinished:
        core.unfinished.pop(connection, None)
    session: Session | None = connection.session
    connection.session = None
    if session is None:
        _turn_away(core, connection, will)
        return
    session.connection = None
    core.tallies.of(session.principal).add(connection)
    core.counters.clients_connected -= 1
    address = connection.peer.address
    # `+`: a plain number, also of an enumeration.
    core.events.append(ClientDisconnected(session.principal, session.client_id, address, by, +code, reason))
    leave(core, session, will)


def _disconnect(core: Core, connection: Connection, code: int, tell: str) -> None:
    """[MQTT5-3.14.2-3]: no Reason String in a packet that the client would find too large."""
    properties = Properties()
    if code in (ReasonCode.USE_ANOTHER_SERVER, ReasonCode.SERVER_MOVED) and core.server_reference:
        properties.server_reference = core.server_reference
    if tell:
        properties.reason_string = tell
    packet = encode(Disconnect(code, properties), 5)
    if len(packet) > connection.max_packet_out:
        properties.reason_string = None
        packet = encode(Disconnect(code, properties), 5)
    if len(packet) <= connection.max_packet_out:
        connection.put(packet)


def _turn_away(core: Core, connection: Connection, with_will: bool) -> None:
    """If the connection was accepted and waited for the disk: its session is without a client again, and
    its will is due as if CONNACK had been sent. [MQTT5-3.1.2-8]"""
    session = core.find(connection.principal, connection.client_id)
    admission = core.admissions.get(session) if session is not None else None
    if session is not None and admission is not None and admission.connection is connection:
        del core.admissions[session]
        leave(core, session, with_will)


def leave(core: Core, session: Session, with_will: bool) -> None:
    """The client is away: its will is due now or later, its session ends now or later."""
    if session.inflight is not None:
        session.inflight.again = None
    if not with_will:
        session.will = None
    will = session.will
    if will is not None:
        # [MQTT5-3.1.2-8] [MQTT5-3.1.3-9] [MQTT3-3.1.2-8]
        if will.delay_s and session.expiry_s:
            session.will_at = core.now + will.delay_s
            core.deadlines.add(session.will_at, fire_will, (core, session))
        else:
            publish_will(core, session)
    if session.expiry_s == 0:
        end_session(core, session, "")
        return
    mark_shares(core, session, True)
    stay_away(core, session)
    hand_over(core, session)
    if session.number:
        core.journal.session(session, False)


def mark_shares(core: Core, session: Session, away: bool) -> None:
    """Tell the shared subscriptions of a session whether its client is there."""
    for subscription in session.subscriptions.values():
        if subscription.group:
            group: SharedGroup | None = core.tree.group(subscription.group, subscription.filter)
            if group is not None:
                group.mark(session, away)


def watch(subject: tuple[Core, Connection], now: float) -> float:
    """The one deadline of a connection: until it is connected, and from then on until it shows that it lives."""
    return keepalive(subject, now) if subject[1].state == CONNECTED else connect_timeout(subject, now)


def keepalive(subject: tuple[Core, Connection], now: float) -> float:
    """Nothing came for one and a half times Keep Alive. [MQTT5-3.1.2-22] [MQTT3-3.1.2-24]"""
    core, connection = subject
    due = connection.last_seen + connection.keepalive_s * 1.5
    if now < due:
        return due
    close(core, connection, ReasonCode.KEEP_ALIVE_TIMEOUT, "nothing came within Keep Alive")
    return NO_MORE


def connect_timeout(subject: tuple[Core, Connection], now: float) -> float:
    """A connection that is not admitted in time is closed: half a CONNECT must not hold a slot."""
    core, connection = subject
    core.counters.connects_refused += 1
    core.limit("connect_timeout_s", None, connection, "CONNECT did not come in time")
    peer = connection.peer
    core.events.append(
        ConnectRefused(
            peer.address,
            peer.listener,
            connection.client_id,
            "",
            ReasonCode.UNSPECIFIED_ERROR,
            "CONNECT did not come in time",
        )
    )
    close(core, connection, 0, "CONNECT did not come in time")
    return NO_MORE


def drop_deadlines(core: Core, session: Session) -> None:
    """Its client is there, or it ends: neither its expiry nor a delayed will is waited for."""
    if session.ends_at:
        session.ends_at = 0.0
        core.deadlines.drop(expire_session, (core, session))
    drop_will(core, session)


def drop_will(core: Core, session: Session) -> None:
    """A delayed will is not waited for any more."""
    if session.will_at:
        session.will_at = 0.0
        core.deadlines.drop(fire_will, (core, session))


def stay_away(core: Core, session: Session) -> None:
    """Let the Session Expiry Interval run. [MQTT5-3.1.2-23]"""
    if session.expiry_s != NEVER_EXPIRES:
        session.ends_at = core.now + session.expiry_s
        core.deadlines.add(session.ends_at, expire_session, (core, session))


def expire_session(subject: tuple[Core, Session], now: float) -> float:
    """Its deadline passed, unless the client came back meanwhile."""
    core, session = subject
    if session.connection is not None or session.ends_at == 0.0:
        return NO_MORE
    if session.ends_at > now:
        return session.ends_at
    if core.find(session.principal, session.client_id) is session:
        end_session(core, session, "the session expired")
    return NO_MORE


def fire_will(subject: tuple[Core, Session], now: float) -> float:
    """The Will Delay Interval passed, unless the client came back meanwhile. [MQTT5-3.1.3-9]"""
    core, session = subject
    if session.connection is None and session.will_at and session.will_at <= now:
        publish_will(core, session)
        if session.number:
            core.journal.session(session, False)
    return NO_MORE


def publish_will(core: Core, session: Session) -> None:
    """Publish the will as its client would: the rights are asked again now. [MQTT5-3.1.2-14, -15]"""
    will = session.will
    session.will = None
    session.will_at = 0.0
    if will is None:
        return
    principal = session.principal
    allowed = core.may(principal, Action.WILL, will.name) and (
        not will.retain or core.may(principal, Action.RETAIN, will.name)
    )
    allowed = allowed and not foreign_response(core, principal, will.forward)
    if not allowed or not may_leave_will(core, principal, will.qos, len(will.payload) + len(will.forward)):
        core.counters.denied_will += 1
        core.tallies.refuse(principal, Action.WILL)
        reason = "its right to it has ended, or it is more than its limits allow now"
        core.events.append(AccessDenied(principal, session.client_id, "will", will.name, "", reason))
        return
    expires_at = core.now + will.expiry_s if will.expiry_s >= 0 else 0.0
    message = Message(
        will.name,
        will.topic,
        will.payload,
        will.qos,
        int(will.retain),
        principal,
        session.client_id,
        will.forward,
        expires_at,
    )
    route_own(core, message)


def route_own(core: Core, message: Message) -> None:
    """Retain and distribute a message that comes from no connection: a will, or the server's own."""
    if message.retain and not retain(core, message):
        core.limit(core.retained.bound(message), None, None, f"a message on {message.name}")
        return
    packet = Publish()
    packet.topic = message.topic
    packet.size = len(message.payload)
    packet.qos = message.qos
    packet.retain = message.retain
    distribute(core, None, packet, Route(message.name, 0), message.topic, message, False)


def end_session(core: Core, session: Session, reason: str) -> None:
    """Everything of a session goes: will published, subscriptions out, shared work handed over.

    The caller has closed its connection. `reason` "" means that it ended with its connection, which is no
    news.
    """
    of_principal = core.sessions.get(session.principal)
    if of_principal is None or of_principal.get(session.client_id) is not session:
        return
    del of_principal[session.client_id]
    if not of_principal:
        del core.sessions[session.principal]
    drop_deadlines(core, session)
    if session.will is not None:
        publish_will(core, session)
    core.spent += END_COST * (1 + len(session.subscriptions))
    if session.subscriptions:
        for subscription in session.subscriptions.values():
            core.tree.remove(subscription)
        session.subscriptions.clear()
    if session.queue is not None or session.inflight is not None:
        hand_over(core, session)
    if session.number:
        core.journal.forget(owed(session))
        core.journal.end_session(session)
    session.queue = None
    session.queue_bytes = session.waiting = 0
    session.inflight = None
    session.received = None
    if reason:
        core.events.append(SessionEnded(session.principal, session.client_id, reason))


def owed(session: Session) -> list[Delivery]:
    """Every delivery that the session has not finished."""
    deliveries: list[Delivery] = list(session.queue) if session.queue is not None else []
    if session.inflight is not None:
        deliveries.extend(session.inflight.sent.values())
        deliveries.extend(session.inflight.released.values())
    return deliveries


def hand_over(core: Core, session: Session) -> None:
    """Give work of shared subscriptions to members that are there. [MQTT5-4.8.2-4, -5]

    What waits in the queue moves, and so do QoS 1 messages that were sent and not acknowledged. A QoS 2
    exchange that has begun stays with its client, lest the message be delivered twice.
    """
    moved: list[Delivery] = []
    if session.queue is not None:
        stays = Fifo()
        for delivery in session.queue:
            (moved if _movable(session, delivery) else stays).append(delivery)
        if moved:
            session.queue = stays if len(stays) else None
            session.queue_bytes = sum(delivery.message.size + ENTRY_BYTES for delivery in stays)
            session.waiting = len(stays)
            session.full = session.full and len(stays) > 0
    if session.inflight is not None:
        for packet_id, delivery in list(session.inflight.sent.items()):
            if delivery.qos == 1 and _movable(session, delivery):
                session.inflight.acknowledge(packet_id)
                moved.append(delivery)
    for delivery in moved:
        core.settled(session, delivery)
        group: SharedGroup = delivery.group
        message = delivery.message
        if not message.expired(core.now) and core.author_may(message):
            share_out(core, Share(group), message, message.qos, delivery.retain)


def _movable(session: Session, delivery: Delivery) -> bool:
    """Whether another member of the delivery's group could take it; one that is connected, while the
    session goes on."""
    group: SharedGroup | None = delivery.group
    if group is None:
        return False
    ended = session not in group.members
    return any(member is not session and (ended or member.connection is not None) for member in group.members)


def receive_disconnect(core: Core, connection: Connection, packet: Disconnect) -> None:
    """The client says good-bye: no will, unless it asks for it with 0x04. [MQTT5-3.14.4-3]
    [MQTT3-3.14.4-3]"""
    session: Session | None = connection.session
    properties = packet.properties
    expiry = properties.session_expiry_interval
    if session is not None and expiry is not None:
        if session.expiry_s == 0 and expiry:
            close(
                core,
                connection,
                ReasonCode.PROTOCOL_ERROR,
                "a session that ends with its connection cannot be kept by DISCONNECT",
                tell="Session Expiry Interval was 0 in CONNECT",
            )
            return
        session.expiry_s = min(expiry, core.session_expiry_max_s)
    code = packet.code
    end(core, connection, code, properties.reason_string or "", "client", code != NORMAL_DISCONNECTION, "")

"""The way of a PUBLISH, top to bottom.

1. the packet is decoded and its alias resolved
2. the topic is legal and the publisher may use it (remembered in the connection's `Route`)
3. what the server offers, and the client's quota, are kept
4. a QoS 2 message that was accepted before is only acknowledged again
5. the retained store takes its part
6. the `Plan` of the topic says who receives, each receiver's right included
7. every receiver gets it, encoded once for all that get it alike
8. the acknowledgement goes out, after the disk has what it promises
"""

from bollard.base.errors import MalformedPacket, PeerError, ProtocolError
from bollard.base.types import MUCH_BYTES, Action, Decision
from bollard.engine.core import MAX_PLAN_BYTES, MAX_PLANS, MAX_REQUESTS, PLAN_BYTES, Core, ServerRequest
from bollard.engine.delivery import count_sent, deliver
from bollard.engine.expiry import NO_MORE
from bollard.engine.rations import admit, fit_receivers, renew_ration
from bollard.engine.responses import foreign_response, refuse_response
from bollard.engine.share import choose_member, delivery_for
from bollard.routing.plan import (
    EVERYONE,
    MAX_RIGHTS_OF_SHARE,
    OTHERS,
    PUBLISHER,
    Branch,
    Plan,
    Route,
    Share,
)
from bollard.routing.tree import Subscription
from bollard.session.connection import MAX_ROUTE_BYTES, MAX_ROUTES, Connection
from bollard.session.inflight import packet_key
from bollard.session.message import Message, new_delivery, new_message, unkept
from bollard.session.session import Session
from bollard.wire.framer import Framer
from bollard.wire.publish import Publish, encode_ack, publish_size
from bollard.wire.spec import PacketType, ReasonCode
from bollard.wire.topics import check_topic_name

PUBACK = int(PacketType.PUBACK)
PUBREC = int(PacketType.PUBREC)
PUBCOMP = int(PacketType.PUBCOMP)
NO_MATCHING_SUBSCRIBERS = int(ReasonCode.NO_MATCHING_SUBSCRIBERS)
NOT_AUTHORIZED = int(ReasonCode.NOT_AUTHORIZED)
QUOTA_EXCEEDED = int(ReasonCode.QUOTA_EXCEEDED)
#: Topics that the server itself answers; also the mark of such a route, in place of a rule.
TO_SERVER = "$enroll/"
#: Topics that nobody but the server writes.
OWN_TOPICS = ("$SYS/", "$diag/")
OWN_REASON = "$SYS and $diag belong to the server"
NOT_FOUND = int(ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)
#: Unfinished QoS 2 messages of one principal whose clients know no quota, and of one such client.
MAX_UNFINISHED = 1_000_000
MAX_PACKET_ID = 65_535
#: What a receiver costs when a plan is made, in the measure of `intake`.
PLAN_COST = 10
#: What a topic costs that a connection has not used before.
ROUTE_COST = 800
#: What a level of the subscription tree costs that was looked at for it.
LOOK_COST = 4
#: A message is copied for its receivers up to here, altogether; above, they refer to the same bytes.
MAX_COPIED = 1_048_576
#: What a right to receive by a shared subscription weighs, that is remembered with a plan.
RIGHT_OF_SHARE_BYTES = 100


def receive_publish(core: Core, connection: Connection, session: Session) -> None:
    """Act on the PUBLISH that the connection's framer has found."""
    framer: Framer = connection.framer
    packet = core.packet
    packet.scan(framer.buffer, framer.header, framer.body, framer.end, connection.version)
    topic = packet.topic
    if packet.alias:
        topic = _resolve(core, connection, packet)
    found = connection.routes.get(topic)
    route: Route = found if found is not None else new_route(core, connection, topic)
    if route.generation != core.policy_generation:
        judge(core, connection.principal, route)
        if connection.ration_generation != core.policy_generation:
            renew_ration(core, connection)
    counters = core.counters
    counters.publish_received += 1
    counters.publish_bytes_received += packet.size
    connection.received += 1
    connection.received_bytes += packet.size
    if core.tap is not None:
        core.tap.published(
            connection.principal,
            route.name,
            packet.qos,
            bool(packet.retain),
            packet.size,
            bool(route.allowed),
        )
    # The bytes can go on as they came where nothing in them is for this server alone.
    intact = packet.alias == 0 and packet.expiry < 0 and framer.header & 0x09 == 0
    if packet.qos or packet.retain or packet.identifiers:
        _receive_marked(core, connection, session, packet, route, topic, intact)
    elif not route.allowed:
        _turn_away(core, connection, packet, route)
    elif (not packet.responds and connection.ration is None) or _excess(core, connection, packet, route) == 0:
        distribute(core, connection, packet, route, topic, None, intact)


def _resolve(core: Core, connection: Connection, packet: Publish) -> bytes:
    aliases = connection.aliases_in
    if aliases is None:
        raise PeerError(ReasonCode.TOPIC_ALIAS_INVALID, "no topic alias was offered", "MQTT5-3.2.2-18")
    return aliases.resolve(packet.alias, packet.topic)


def new_route(core: Core, connection: Connection, topic: bytes) -> Route:
    """Check a topic that this connection has not used before, and who may. [MQTT5-3.3.2-1, -2]"""
    limits = core.limits
    try:
        name = topic.decode()
    except UnicodeDecodeError:
        raise MalformedPacket("the topic is not UTF-8", "MQTT5-1.5.4-1") from None
    if topic.count(b"/") >= limits.max_topic_levels:
        core.limit("max_topic_levels", None, connection, "a topic name is too deep")
        raise PeerError(
            ReasonCode.TOPIC_NAME_INVALID, f"a topic of more than {limits.max_topic_levels} levels"
        )
    check_topic_name(name, limits.max_topic_levels)
    if len(topic) > limits.max_topic_bytes:
        core.limit("max_topic_bytes", None, connection, "a topic name is too long")
        raise PeerError(ReasonCode.TOPIC_NAME_INVALID, f"a topic of more than {limits.max_topic_bytes} bytes")
    # Attack: endless topics. Each is judged, and looked up by its levels.
    core.spent += ROUTE_COST + len(topic)
    route = Route(name, 0)
    connection.route_bytes += len(topic)
    if len(connection.routes) >= MAX_ROUTES or connection.route_bytes > MAX_ROUTE_BYTES:
        connection.routes.clear()
        connection.route_bytes = len(topic)
    connection.routes[topic] = route
    return route


def judge(core: Core, principal: str, route: Route) -> None:
    """Ask the policy for the publisher's right, once a generation."""
    decision = core.decide(principal, Action.PUBLISH, route.name)
    if decision.allowed and route.name.startswith(OWN_TOPICS):
        # What the server says about itself is nobody else's to say. [MQTT5 4.7.2]
        decision = Decision(rule="built-in", reason=OWN_REASON)
    # What is for the server is allowed, and yet goes to nobody: see `_turn_away`.
    to_server = decision.allowed and route.name.startswith(TO_SERVER)
    route.allowed = decision.allowed and not to_server
    route.rule = TO_SERVER if to_server else decision.rule
    route.reason = decision.reason
    route.may_retain = -1
    route.generation = core.policy_generation


def may_retain(core: Core, principal: str, route: Route) -> bool:
    """Whether the publisher may also leave a retained message on the topic."""
    if route.may_retain < 0:
        decision = core.decide(principal, Action.RETAIN, route.name)
        route.may_retain = 1 if decision.allowed else 0
        if not decision.allowed:
            route.rule = decision.rule
            route.reason = decision.reason
    return route.may_retain == 1


def refuse(core: Core, connection: Connection, route: Route, action: Action) -> None:
    core.counters.denied_publish += 1
    core.denied(connection, action, route.name, Decision(False, route.rule, route.reason))


def _excess(core: Core, connection: Connection, packet: Publish, route: Route) -> int:
    """What stands against a message on a topic that its sender may use: 0, or the reason code of a refusal."""
    foreign = foreign_response(core, connection.principal, packet.forward)
    if foreign:
        refuse_response(core, connection, route.name, foreign)
        return NOT_AUTHORIZED
    return admit(core, connection, packet, route.name)


def _turn_away(core: Core, connection: Connection, packet: Publish, route: Route) -> int:
    """A message that is not routed: it is for the server itself, or it is refused. Gives the reason code."""
    if route.rule != TO_SERVER:
        refuse(core, connection, route, Action.PUBLISH)
        return NOT_AUTHORIZED
    if len(core.requests) >= MAX_REQUESTS:
        return QUOTA_EXCEEDED
    core.requests.append(
        ServerRequest(
            connection.principal, connection.client_id, connection.peer, route.name, packet.content()
        )
    )
    return 0


def _receive_marked(
    core: Core,
    connection: Connection,
    session: Session,
    packet: Publish,
    route: Route,
    topic: bytes,
    intact: bool,
) -> None:
    """A PUBLISH with an acknowledgement to give or something to retain."""
    _check_offer(core, packet)
    writes = core.journal.writes if core.journaling else 0
    received = session.received
    if packet.qos == 2:
        if received is None:
            received = session.received = set()
        if packet_key(packet.packet_id) in received:
            # Accepted before: no second delivery, whatever the rights are now. [MQTT5-4.3.3-10]
            core.acknowledge(connection, writes, PUBREC, packet.packet_id)
            return
    if packet.qos:
        _check_quota(core, connection, session)
    if core.journal.failing and route.allowed and _needs_disk(core, session, packet, route):
        _decline(core, connection, packet)
        return
    reason_code = _accept(core, connection, packet, route, topic, intact)
    if packet.qos == 0:
        return
    version = connection.version
    if packet.qos == 2 and (version != 5 or reason_code < 0x80):
        assert received is not None
        received.add(packet_key(packet.packet_id))
        if session.number:
            core.journal.received(session, packet.packet_id)
    kind = PUBACK if packet.qos == 1 else PUBREC
    if reason_code == 0 or version != 5:
        # 3.1.1 has no way to refuse, so a denied message is acknowledged and dropped. [MQTT3-3.3.5-2]
        core.acknowledge(connection, writes, kind, packet.packet_id)
    else:
        core.put_after_commit(connection, writes, encode_ack(kind, packet.packet_id, reason_code, version))


def _needs_disk(core: Core, session: Session, packet: Publish, route: Route) -> bool:
    """Whether accepting the message promises something that must survive."""
    if (packet.retain and _stored(core, route.name)) or (packet.qos == 2 and session.number):
        return True
    plan = plan_for(core, route.name)
    receivers: list[Session] = [s for branch in plan.branches if branch.qos for s in branch.sessions]
    for share in plan.shares:
        receivers.extend(share.group.members)
    return packet.qos != 0 and any(receiver.number for receiver in receivers)


def _decline(core: Core, connection: Connection, packet: Publish) -> None:
    """The disk takes nothing: nothing is routed, so that a refusal is the truth. [MQTT5-3.4.2-1]"""
    core.counters.publish_dropped += 1
    if packet.qos and connection.version != 5:
        # 3.1.1 can refuse only by not acknowledging.
        raise PeerError(QUOTA_EXCEEDED, "the store takes nothing now")
    if packet.qos:
        kind = PUBACK if packet.qos == 1 else PUBREC
        refusal = encode_ack(kind, packet.packet_id, QUOTA_EXCEEDED, 5)
        core.put_after_commit(connection, core.journal.writes, refusal)


def _check_offer(core: Core, packet: Publish) -> None:
    """What CONNACK offered binds the client."""
    if packet.identifiers:
        raise ProtocolError("a Subscription Identifier from a client", "MQTT5-3.3.4-6")
    if packet.qos > core.maximum_qos:
        raise PeerError(ReasonCode.QOS_NOT_SUPPORTED, f"QoS {packet.qos} is not offered", "MQTT5-3.2.2-11")
    if packet.retain and not core.limits.retain_available:
        raise PeerError(ReasonCode.RETAIN_NOT_SUPPORTED, "RETAIN is not offered", "MQTT5-3.2.2-14")


def _check_quota(core: Core, connection: Connection, session: Session) -> None:
    """Unfinished QoS 1 and 2 messages of the client stay within Receive Maximum. [MQTT5-3.3.4-7, -8]

    3.1.1 knows no quota; there a wider bound stops a client that never sends PUBREL from filling memory, and
    with many sessions not a much wider one.
    """
    unfinished = len(session.received) if session.received is not None else 0
    unfinished += connection.held_pubacks
    bound = core.receive_maximum
    if unfinished >= bound and connection.version != 5:
        bound = max(bound, core.share(session.principal, MAX_PACKET_ID, MAX_UNFINISHED))
    if unfinished >= bound:
        core.limit("receive_maximum", session, connection, f"{unfinished} messages are not finished")
        raise PeerError(
            ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, "more messages at once than Receive Maximum", "MQTT5-3.3.4-7"
        )


def _accept(
    core: Core, connection: Connection, packet: Publish, route: Route, topic: bytes, intact: bool
) -> int:
    """Store and route a message that must be judged first; the reason code of its acknowledgement."""
    if not route.allowed:
        return _turn_away(core, connection, packet, route)
    if packet.responds or connection.ration is not None:
        excess = _excess(core, connection, packet, route)
        if excess:
            return excess
    message = None
    if packet.retain:
        if not may_retain(core, connection.principal, route):
            refuse(core, connection, route, Action.RETAIN)
            return NOT_AUTHORIZED
        message = make_message(core, connection, packet, route, topic)
        if not retain(core, message):
            core.limit(core.retained.bound(message), None, connection, f"a message on {route.name}")
            return QUOTA_EXCEEDED
    if distribute(core, connection, packet, route, topic, message, intact) == 0:
        return NO_MATCHING_SUBSCRIBERS
    return 0


def make_message(
    core: Core, connection: Connection | None, packet: Publish, route: Route, topic: bytes
) -> Message:
    """The application message that a packet carries; `connection` is None for the server's own."""
    author = connection.principal if connection is not None else ""
    client_id = connection.client_id if connection is not None else ""
    expires_at = core.now + packet.expiry if packet.expiry >= 0 else 0.0
    return new_message(
        route.name,
        topic,
        packet.content(),
        packet.qos,
        packet.retain,
        author,
        client_id,
        packet.forward,
        expires_at,
    )


def retain(core: Core, message: Message) -> bool:
    """Store, replace or, for an empty payload, remove the retained message of a topic; False when the
    store's bounds refuse it. [MQTT5-3.3.1-5, -6, -7] [MQTT3-3.3.1-5, -10, -11]"""
    store = core.retained
    old = store.get(message.name)
    if not message.payload:
        if old is not None:
            drop_retained(core, old)
        return True
    if not store.fits(message):
        return False
    store.put(message)
    if old is not None and old.expires_at:
        core.deadlines.drop(expire_retained, (core, old))
    if _stored(core, message.name):
        core.journal.retain(message)
        if old is not None:
            core.journal.unretain(old)
    if message.expires_at:
        core.deadlines.add(message.expires_at, expire_retained, (core, message))
    return True


def expire_retained(subject: tuple[Core, Message], now: float) -> float:
    """A retained message has reached its expiry, unless another took its place. [MQTT5-3.3.2-5]"""
    core, message = subject
    core.spent += PLAN_COST
    if core.retained.get(message.name) is message:
        drop_retained(core, message)
        core.counters.expired_messages += 1
    return NO_MORE


def drop_retained(core: Core, message: Message) -> None:
    """Take a retained message out of the store and off the disk."""
    core.retained.remove(message.name)
    if message.expires_at:
        core.deadlines.drop(expire_retained, (core, message))
    if _stored(core, message.name):
        core.journal.unretain(message)


def _stored(core: Core, name: str) -> bool:
    """Whether the retained message of a topic is kept on disk. What the server says about itself is not."""
    return core.journaling and not name.startswith("$SYS/")


def distribute(
    core: Core,
    connection: Connection | None,
    packet: Publish,
    route: Route,
    topic: bytes,
    message: Message | None,
    intact: bool,
) -> int:
    """Hand the message to every receiver of the topic; how many there are.

    `message` is made when first needed, unless the caller has it. `intact`: the packet in the framer of
    `connection` may go on unchanged to receivers of its version that get it alike.
    """
    plan = route.plan
    if plan is None or plan.generation != core.tree.generation:
        plan = route.plan = plan_for(core, route.name)
        if connection is not None:
            # The route keeps the plan, also when nobody else does.
            connection.route_bytes += plan.weight
    # Large messages cost their copies as well, when they are written; attack: large properties, no payload.
    size = packet.size + len(packet.forward)
    core.spent += plan.receivers * (1 + (size >> 6))
    if connection is not None:
        publisher = connection.session
    else:
        # A will is local to its client as well. [MQTT5-3.8.3-3]
        publisher = core.find(message.author, message.client_id) if message is not None else None
    # What its receivers get without an object of its own.
    copied = connection is not None and packet.expiry < 0 and plan.receivers * size <= MAX_COPIED
    receivers = 0
    for branch in plan.branches:
        qos = packet.qos if packet.qos < branch.qos else branch.qos
        kept = packet.retain if branch.retain_as_published else 0
        alike = intact and qos == packet.qos and not branch.identifiers
        copies = copied and not branch.identifiers
        delivery = None
        for session in branch.sessions:
            if branch.audience != EVERYONE and (session is publisher) != (branch.audience == PUBLISHER):
                continue
            receivers += 1
            if (
                copies
                and connection is not None
                and _pass_on(core, session, packet, connection, topic, qos, kept, alike)
            ):
                continue
            if delivery is None:
                if message is None:
                    message = make_message(core, connection, packet, route, topic)
                delivery = new_delivery(message, qos, kept, branch.identifiers, core.policy_generation, None)
            deliver(core, session, delivery)
    if plan.shares:
        receivers += _share_out(core, connection, packet, route, topic, message, intact, copied)
    return receivers


def _share_out(
    core: Core,
    connection: Connection | None,
    packet: Publish,
    route: Route,
    topic: bytes,
    message: Message | None,
    intact: bool,
    copied: bool,
) -> int:
    """One member of each shared subscription of the route's plan gets the message; how many did."""
    assert route.plan is not None
    receivers = 0
    for share in route.plan.shares:
        member = choose_member(core, share, route.name, packet.qos)
        if member is None:
            continue
        receivers += 1
        if copied and connection is not None and packet.qos == 0 and not member.identifier:
            kept = packet.retain if member.retain_as_published else 0
            if _pass_on(core, member.session, packet, connection, topic, 0, kept, intact):
                continue
        if message is None:
            message = make_message(core, connection, packet, route, topic)
        delivery = delivery_for(core, share, member, message, packet.qos, packet.retain)
        deliver(core, member.session, delivery)
    return receivers


def _pass_on(
    core: Core,
    session: Session,
    packet: Publish,
    publisher: Connection,
    topic: bytes,
    qos: int,
    kept: int,
    alike: bool,
) -> bool:
    """Copy a message from the publisher's input to the receiver's output, byte for byte where it is `alike`.

    False when this receiver gets it otherwise: under an alias, later, or kept until it is acknowledged.
    """
    connection: Connection | None = session.connection
    if connection is None:
        return qos == 0
    if connection.aliases_out is not None or connection.size > MUCH_BYTES:
        return False
    framer: Framer = publisher.framer
    properties = packet.forward if connection.version == 5 else None
    if connection.version != publisher.version:
        alike = False
    size = framer.end - framer.start if alike else publish_size(topic, qos, properties, packet.size)
    packet_id = 0
    if qos:
        packet_id = _exchange(session, connection, qos, size)
        if packet_id == 0:
            return False
    elif size > connection.max_packet_out or connection.size + size > connection.max_outbox_bytes:
        core.counters.publish_dropped += 1
        return True
    if not alike:
        first = 0x30 | qos << 1 | kept
        end = packet.at + packet.size
        connection.put_publish(first, topic, packet_id, properties, framer.buffer, packet.at, end, size)
    elif packet_id:
        middle = framer.body + 2 + len(topic)
        connection.put_identified(framer.buffer, framer.start, middle, packet_id, framer.end)
    else:
        connection.put_range(framer.buffer, framer.start, framer.end)
    count_sent(core, connection, packet.size)
    return True


def _exchange(session: Session, connection: Connection, qos: int, size: int) -> int:
    """Begin an exchange of which nothing need be kept: its Packet Identifier, or 0 where this is none, or
    where others wait before it."""
    if session.expiry_s or session.number or session.queue is not None or size > connection.max_packet_out:
        return 0
    inflight = session.sending()
    kept = unkept(qos)
    if (
        inflight.again is not None
        or not inflight.room_for(kept, connection.window, connection.window_bytes)
        or not connection.room_for(size)
    ):
        return 0
    return inflight.take(kept)


def plan_for(core: Core, name: str) -> Plan:
    """The receivers of a topic, from the subscription tree and each one's right to receive."""
    known = core.plans.get(name)
    if known is not None and known.generation == core.tree.generation:
        plan: Plan = known
        return plan
    plan = Plan(core.tree.generation)
    found, groups = core.tree.match(name)
    by_session: dict[Session, list[Subscription]] = {}
    for subscription in found:
        session: Session = subscription.session
        matching = by_session.get(session)
        if matching is not None:
            matching.append(subscription)
        elif core.may(session.principal, Action.RECEIVE, name):
            by_session[session] = [subscription]
        else:
            core.withheld(session.principal)
    if core.qos_bounded:
        fit_receivers(core, found, groups)
    branches: dict[tuple[int, bool, tuple[int, ...], int], Branch] = {}
    for session, matching in by_session.items():
        local = [subscription for subscription in matching if not subscription.no_local]
        if len(local) == len(matching):
            _branch(plan, branches, session, matching, EVERYONE)
        else:
            _branch(plan, branches, session, matching, OTHERS)
            if local:
                _branch(plan, branches, session, local, PUBLISHER)
    plan.shares.extend([Share(group) for group in groups])
    plan.receivers = len(found) + len(groups)
    plan.weight = PLAN_BYTES + len(name) + 8 * len(found)
    for group in groups:
        plan.weight += PLAN_BYTES + RIGHT_OF_SHARE_BYTES * min(len(group.members), MAX_RIGHTS_OF_SHARE)
    # Attack: filters with and without "+" at each level that match nothing, and a new topic in each message.
    core.spent += PLAN_COST * (1 + plan.receivers) + LOOK_COST * core.tree.looks
    core.plan_bytes += plan.weight
    if len(core.plans) >= MAX_PLANS or core.plan_bytes > MAX_PLAN_BYTES:
        core.plans.clear()
        core.plan_bytes = plan.weight
        core.tree.outdate()
        plan.generation = core.tree.generation
    core.plans[name] = plan
    core.tree.watch(name, plan)
    return plan


def _branch(
    plan: Plan,
    branches: dict[tuple[int, bool, tuple[int, ...], int], Branch],
    session: Session,
    matching: list[Subscription],
    audience: int,
) -> None:
    """Enter `session` once, however many of its filters match: the highest QoS, every identifier.
    [MQTT5-3.3.4-2, -3, -4] [MQTT3-3.3.5-1]"""
    qos = max([subscription.qos for subscription in matching])
    kept = max([subscription.retain_as_published for subscription in matching])
    identifiers = tuple([s.identifier for s in matching if s.identifier])
    key = (qos, kept, identifiers, audience)
    branch = branches.get(key)
    if branch is None:
        branch = branches[key] = Branch(qos, kept, identifiers, audience)
        plan.branches.append(branch)
    branch.sessions.append(session)


def receive_pubrel(core: Core, connection: Connection, session: Session, packet_id: int) -> None:
    """The client forgets a QoS 2 message: so may we. [MQTT5-4.3.3-11] [MQTT3-4.3.3-2]"""
    writes = core.journal.writes if core.journaling else 0
    received = session.received
    key = packet_key(packet_id)
    if received is not None and key in received:
        received.discard(key)
        if session.number:
            core.journal.completed(session, packet_id)
        core.acknowledge(connection, writes, PUBCOMP, packet_id)
        return
    code = NOT_FOUND if connection.version == 5 else 0
    core.put_after_commit(connection, writes, encode_ack(PUBCOMP, packet_id, code, connection.version))

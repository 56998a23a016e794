"""SUBSCRIBE and UNSUBSCRIBE: judge, enter, acknowledge, then send what is retained.

Retained messages go out in portions, as the client reads: a filter such as "#" may match a million of
them, and they must neither fill the output nor keep anyone else waiting.
"""

from collections import deque

from bollard.base.errors import MalformedPacket, PeerError
from bollard.base.types import Action
from bollard.engine.core import Core, Replay
from bollard.engine.delivery import deliver, following, send_waiting
from bollard.engine.leave import close
from bollard.engine.rations import has_subscriptions, qos_for, ration_of
from bollard.routing.tree import Subscription
from bollard.session.connection import Connection
from bollard.session.message import Delivery, Message
from bollard.session.session import Session
from bollard.session.states import CONNECTED
from bollard.wire.codec import encode
from bollard.wire.properties import Properties
from bollard.wire.spec import ReasonCode
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter, Unsuback, Unsubscribe
from bollard.wire.topics import check_filter, split_share

#: Output of one connection above which it gets no further retained messages for the moment.
REPLAY_BYTES = 65_536
#: Looks into the retained store within one turn (attack: filters that match much and deliver nothing).
REPLAY_LOOKS = 500
#: What a filter costs, and what a replay that is owed costs when another is added, in the measure of `intake`.
FILTER_COST = 400
OWED_COST = 5
#: Levels of filters for each subscription that a principal may have, and for the first ones: each costs 200
#: bytes.
LEVELS_PER_SUBSCRIPTION = 4
FIRST_LEVELS = 1024
#: 3.1.1 has one code for every refusal of a subscription.
FAILURE = 0x80


def receive_subscribe(core: Core, connection: Connection, session: Session, packet: Subscribe) -> None:
    """Answer each filter on its own, in order. [MQTT5-3.8.4-5, -6, -7] [MQTT3-3.8.4-4, -5]"""
    identifiers = packet.properties.subscription_identifiers
    identifier = identifiers[0] if identifiers else 0
    # All are judged for syntax before any is entered: a malformed packet must change nothing.
    for wanted in packet.filters:
        _check_syntax(wanted.filter)
    core.spent += FILTER_COST * len(packet.filters)
    writes = core.journal.writes
    codes: list[int] = []
    replays: list[Replay] = []
    for wanted in packet.filters:
        code = _subscribe(core, connection, session, wanted, identifier, replays)
        codes.append(code if code < 0x80 or connection.version == 5 else FAILURE)
    suback = encode(Suback(packet.packet_id, tuple(codes), Properties()), connection.version)
    _answer(core, connection, writes, suback)
    if replays and connection.state == CONNECTED:
        # Attack: asking for everything again and again. Only the latest request for a filter stands.
        owed = [replay for replay in core.replays.get(connection, ()) if _stands(session, replay)]
        core.spent += OWED_COST * len(owed)
        core.replays[connection] = deque([*owed, *replays])


def _answer(core: Core, connection: Connection, writes: int, data: bytes) -> None:
    """Nothing can be left out of an acknowledgement: too large for the client, it ends the connection.
    [MQTT5-3.1.2-24]"""
    if len(data) > connection.max_packet_out:
        text = "its acknowledgement is larger than it accepts"
        close(core, connection, ReasonCode.PACKET_TOO_LARGE, text)
        return
    core.put_after_commit(connection, writes, data)


def _check_syntax(filter: str) -> None:
    """[MQTT5-4.7.1-1, -2] [MQTT5-4.7.3-1] [MQTT5-4.8.2-1, -2] [MQTT3-4.7.1-2, -3] [MQTT3-4.7.3-1]"""
    try:
        check_filter(filter, 65_536)
    except PeerError as fault:
        raise MalformedPacket(fault.text, fault.clause) from None


def _subscribe(
    core: Core,
    connection: Connection,
    session: Session,
    wanted: SubscribeFilter,
    identifier: int,
    replays: list[Replay],
) -> int:
    """Enter one subscription; its reason code."""
    limits = core.limits
    filter = wanted.filter
    group, inner = split_share(filter)
    if inner.count("/") >= limits.max_topic_levels:
        core.limit("max_topic_levels", session, connection, "a filter is too deep")
        return ReasonCode.TOPIC_FILTER_INVALID
    if len(filter.encode()) > limits.max_topic_bytes:
        core.limit("max_topic_bytes", session, connection, "a filter is too long")
        return ReasonCode.TOPIC_FILTER_INVALID
    existing: Subscription | None = session.subscriptions.get(filter)
    if existing is None and (
        _has_many(core, connection, session, filter) or has_subscriptions(core, connection, session, filter)
    ):
        return ReasonCode.QUOTA_EXCEEDED
    decision = core.decide(session.principal, Action.SUBSCRIBE, inner)
    if decision.allowed and group:
        # Attack: joining somebody else's group to take its messages away.
        decision = core.decide(session.principal, Action.SHARE, group)
    if core.tap is not None:
        core.tap.subscribed(session.principal, inner, group, wanted.qos, decision.allowed)
    if not decision.allowed:
        core.counters.denied_subscribe += 1
        core.denied(connection, Action.SUBSCRIBE, filter, decision)
        return ReasonCode.NOT_AUTHORIZED
    if core.journal.failing and session.number:
        return ReasonCode.QUOTA_EXCEEDED
    qos = min(wanted.qos, qos_for(core, session.principal))
    subscription = Subscription(
        session, inner, group, qos, wanted.no_local, wanted.retain_as_published, identifier
    )
    core.tree.add(subscription)
    session.subscriptions[filter] = subscription
    if session.number:
        core.journal.subscription(session, filter, subscription)
    # [MQTT5-3.3.1-9, -10, -11] [MQTT3-3.3.1-6]; none for shared subscriptions.
    asked = wanted.retain_handling == 0 or (wanted.retain_handling == 1 and existing is None)
    if asked and not group and core.retained.may_match(inner):
        # What is retained from now on reaches the subscription as a live message.
        replays.append(Replay(subscription, core.retained.stamp))
    return qos


def _has_many(core: Core, connection: Connection, session: Session, filter: str) -> bool:
    """Whether the session has all the subscriptions that it may have."""
    limits = core.limits
    count = len(session.subscriptions)
    if count >= limits.max_subscriptions:
        core.limit("max_subscriptions", session, connection, filter)
        return True
    # Attack: filters of the greatest depth, whose levels cost more than they do.
    deep = core.tree.levels_of(session.principal) + filter.count("/") >= (
        FIRST_LEVELS + LEVELS_PER_SUBSCRIPTION * limits.max_principal_subscriptions
    )
    few = core.share(session.principal, limits.max_subscriptions, limits.max_principal_subscriptions)
    if deep or count >= few:
        core.limit("max_principal_subscriptions", session, connection, filter)
        return True
    return False


def receive_unsubscribe(core: Core, connection: Connection, session: Session, packet: Unsubscribe) -> None:
    """[MQTT5-3.10.4-1 … -6] [MQTT3-3.10.4-1 … -6]"""
    core.spent += FILTER_COST * len(packet.filters)
    for filter in packet.filters:
        _check_syntax(filter)
    writes = core.journal.writes
    codes = tuple(_unsubscribe(core, session, filter) for filter in packet.filters)
    unsuback = encode(Unsuback(packet.packet_id, codes, Properties()), connection.version)
    _answer(core, connection, writes, unsuback)


def _unsubscribe(core: Core, session: Session, filter: str) -> int:
    subscription: Subscription | None = session.subscriptions.pop(filter, None)
    if subscription is None:
        return ReasonCode.NO_SUBSCRIPTION_EXISTED
    if not session.subscriptions:
        session.subscriptions.clear()  # an empty dict keeps the room of all that was in it
    core.tree.remove(subscription)
    if session.number:
        core.journal.end_subscription(session, filter)
    return ReasonCode.SUCCESS


def continue_replays(core: Core) -> None:
    """Send what connections are owed, in turn, until so much was looked at that others must have theirs."""
    looks = REPLAY_LOOKS
    for connection in list(core.replays):
        if looks <= 0:
            return
        looks -= continue_replay(core, connection, looks)
        pending = core.replays.pop(connection, None)
        if pending is not None:
            core.replays[connection] = pending


def continue_replay(core: Core, connection: Connection, looks: int) -> int:
    """Send what is owed of queue and retained messages, as far as output, window and `looks` allow now; how
    many looks it took."""
    session: Session | None = connection.session
    if connection not in core.replays or session is None:
        return 0
    if connection.writable:
        send_waiting(core, session)
    pending = core.replays[connection]
    looked = 0
    while pending and looked < looks and ready_to_replay(connection, session):
        looked += 1
        replay = pending[0]
        if not _stands(session, replay) or not _look(core, session, replay):
            pending.popleft()
    if not pending and following(connection, session) is None:
        del core.replays[connection]
    return looked


def _look(core: Core, session: Session, replay: Replay) -> bool:
    """One look for the next retained message, sent if there is one; False when there are no more."""
    if replay.messages is None:
        replay.messages = core.retained.walk(replay.subscription.filter, replay.latest)
    try:
        message = next(replay.messages)
    except StopIteration:
        return False
    if message is not None:
        _replay(core, session, replay.subscription, message)
    return True


def ready_to_replay(connection: Connection, session: Session) -> bool:
    """Whether there is room for a retained message: output short, transport taking, nothing queued."""
    return connection.writable and connection.size < REPLAY_BYTES and session.queue is None


def ready_to_continue(core: Core, connection: Connection) -> bool:
    """Whether `continue_replay` would send something now."""
    session: Session | None = connection.session
    if session is None or not connection.writable:
        return False
    delivery = following(connection, session)
    if delivery is not None:
        return connection.room_for(delivery.message.size)
    return bool(core.replays[connection]) and ready_to_replay(connection, session)


def _replay(core: Core, session: Session, subscription: Subscription, message: Message) -> None:
    """One retained message, with RETAIN set [MQTT5-3.3.1-8] [MQTT3-3.3.1-8], if its author may still
    publish it, and the receiver may read it."""
    if message.expired(core.now):
        return
    own = message.author == session.principal and message.client_id == session.client_id
    if subscription.no_local and own:
        return
    if not core.author_may(message):
        return
    if message.author and not core.may(message.author, Action.RETAIN, message.name):
        return
    if not core.may(session.principal, Action.RECEIVE, message.name):
        core.withheld(session.principal)
        return
    if core.qos_bounded:
        ration_of(core, session.principal)
    identifiers = (subscription.identifier,) if subscription.identifier else ()
    qos = min(message.qos, subscription.qos)
    deliver(core, session, Delivery(message, qos, 1, identifiers, core.policy_generation))


def _stands(session: Session, replay: Replay) -> bool:
    """Whether the subscription is neither gone nor replaced: shared ones are never owed anything."""
    subscription = replay.subscription
    return session.subscriptions.get(subscription.filter) is subscription

"""Admission: CONNECT, the question who it is, the session, CONNACK.

A CONNECT goes through `receive_connect` (what can be judged without knowing who asks), becomes a `Question`
for the shell, and comes back through `accept`, `challenge` or `refuse`. No session is touched before the
peer is known, so a stranger's client id cannot kick, resume or wipe another's. [MQTT5 5.4.2]
"""

from bollard.base.authentication import Accepted, Challenge, Question, Refused
from bollard.base.errors import PeerError, ProtocolError
from bollard.base.events import ClientConnected, ConnectRefused
from bollard.base.types import Action, Decision, Secret
from bollard.engine.core import Admission, Core
from bollard.engine.delivery import resume
from bollard.engine.leave import close, drop_deadlines, end, end_session, mark_shares
from bollard.engine.publish import OWN_REASON, OWN_TOPICS
from bollard.engine.rations import has_connections, qos_for, renew_ration, will_fault
from bollard.session.aliases import InboundAliases, OutboundAliases
from bollard.session.connection import Connection
from bollard.session.session import Session, new_session
from bollard.session.states import ASKED, CHALLENGED, CONNECTED
from bollard.session.will import Will
from bollard.wire.codec import encode
from bollard.wire.connect import Auth, Connack, Connect
from bollard.wire.connect import Will as WireWill
from bollard.wire.properties import Properties, encode_properties
from bollard.wire.spec import CONNACK_RETURN_CODE, PacketType, ReasonCode
from bollard.wire.topics import check_topic_name

#: What Receive Maximum is when it is not given. [MQTT5 3.1.2.11.3]
UNLIMITED_RECEIVE = 65_535
#: CONNACK of 3.1.1 with success, without and with Session Present. [MQTT3-3.2.2-1, -2, -3]
ACCEPTED_3 = encode(Connack(), 4)
ACCEPTED_3_KEPT = encode(Connack(session_present=True), 4)
#: Refusals that 3.1.1 can call "server unavailable".
NOT_NOW = frozenset(
    {ReasonCode.QUOTA_EXCEEDED, ReasonCode.USE_ANOTHER_SERVER, ReasonCode.CONNECTION_RATE_EXCEEDED}
)


def receive_connect(core: Core, connection: Connection, packet: Connect) -> None:
    """Judge what needs no identity, then ask who it is."""
    properties = packet.properties
    connection.version = packet.version
    connection.client_id = packet.client_id
    connection.problem_information = properties.request_problem_information != 0
    if properties.maximum_packet_size is not None:
        connection.max_packet_out = properties.maximum_packet_size
    if core.server_reference:
        refuse(core, connection, packet, Refused(ReasonCode.USE_ANOTHER_SERVER, "this server redirects"))
        return
    try:
        _check_client_id(core, connection, packet)
        if packet.will is not None:
            _check_will(core, packet.will)
    except PeerError as fault:
        refuse(core, connection, packet, Refused(fault.code, str(fault), fault.text))
        return
    connection.pending = packet
    connection.method = properties.authentication_method or ""
    _ask(core, connection, packet, "connect", properties.authentication_data or b"")


def _check_client_id(core: Core, connection: Connection, packet: Connect) -> None:
    """[MQTT5-3.1.3-5, -6, -8] [MQTT3-3.1.3-5, -7, -8, -9]"""
    client_id = packet.client_id
    if not client_id and packet.version != 5 and not packet.clean_start:
        code = ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
        raise PeerError(code, "an empty client identifier needs a clean session", "MQTT3-3.1.3-8")
    bound = core.max_client_id_bytes
    # No character takes more than four bytes.
    if len(client_id) * 4 > bound and len(client_id.encode()) > bound:
        core.limit("max_client_id_bytes", None, connection, f"more than {bound} bytes")
        code = ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
        raise PeerError(code, f"a client identifier of more than {bound} bytes", "MQTT5-3.1.3-8")


def _check_will(core: Core, will: WireWill) -> None:
    """[MQTT5-3.2.2-12, -13] and the topic rules of a PUBLISH."""
    limits = core.limits
    check_topic_name(will.topic, limits.max_topic_levels)
    if len(will.topic.encode()) > limits.max_topic_bytes:
        raise PeerError(ReasonCode.TOPIC_NAME_INVALID, "the will topic is too long")
    if will.qos > limits.maximum_qos:
        raise PeerError(ReasonCode.QOS_NOT_SUPPORTED, "the will's QoS is not offered", "MQTT5-3.2.2-12")
    if will.retain and not limits.retain_available:
        raise PeerError(ReasonCode.RETAIN_NOT_SUPPORTED, "RETAIN is not offered", "MQTT5-3.2.2-13")


def _ask(core: Core, connection: Connection, packet: Connect, step: str, data: bytes) -> None:
    """Put the question. Until the answer comes, nothing else of this connection is read."""
    connection.asked = True
    if connection.state != CONNECTED:
        connection.state = ASKED
    core.questions.append(
        Question(
            connection,
            step,
            connection.peer,
            packet.client_id,
            packet.username,
            Secret(packet.password) if packet.password is not None else None,
            connection.method,
            data,
            connection.principal,
            connection.exchange,
        )
    )


def receive_auth(core: Core, connection: Connection, packet: Auth) -> None:
    """A step of enhanced authentication, at CONNECT or later.

    [MQTT5-4.12.0-5]: the method never changes; [MQTT5-4.12.0-6, -7]: without one in CONNECT there is no
    AUTH; [MQTT5-4.12.1-1]: neither may re-authentication change it.
    """
    if not connection.method:
        raise ProtocolError("AUTH without an Authentication Method in CONNECT", "MQTT5-4.12.0-7")
    if packet.properties.authentication_method != connection.method:
        raise ProtocolError("the Authentication Method changed", "MQTT5-4.12.0-5")
    data = packet.properties.authentication_data or b""
    pending = connection.pending or Connect(version=5, client_id=connection.client_id)
    if connection.state == CHALLENGED:
        if packet.code != ReasonCode.CONTINUE_AUTHENTICATION:
            raise ProtocolError("only Continue authentication may follow a challenge", "MQTT5-4.12.0-3")
        _ask(core, connection, pending, "continue", data)
    elif packet.code == ReasonCode.RE_AUTHENTICATE and not connection.reauthenticating:
        connection.reauthenticating = True
        connection.exchange = None
        _ask(core, connection, pending, "reauthenticate", data)
    elif (
        packet.code == ReasonCode.CONTINUE_AUTHENTICATION
        and connection.reauthenticating
        and not connection.asked
    ):
        # Attack: a flood of answers that nobody asked for, each a question to a slow verifier.
        _ask(core, connection, pending, "continue", data)
    else:
        raise ProtocolError("no authentication is under way", "MQTT5-4.12.0-3")


def challenge(core: Core, connection: Connection, question: Question, step: Challenge) -> None:
    """[MQTT5-4.12.0-2]: the reason code of a further step is 0x18."""
    connection.exchange = question.exchange
    if connection.state == ASKED:
        connection.state = CHALLENGED
    auth = _auth(connection, ReasonCode.CONTINUE_AUTHENTICATION, step.data)
    if len(auth) <= connection.max_packet_out:
        connection.put(auth)
    elif connection.state == CONNECTED:
        close(core, connection, ReasonCode.PACKET_TOO_LARGE, "AUTH is larger than it accepts")
    else:
        told = Refused(ReasonCode.PACKET_TOO_LARGE, "AUTH is larger than it accepts")
        refuse(core, connection, connection.pending, told)


def _auth(connection: Connection, code: int, data: bytes) -> bytes:
    properties = Properties(authentication_method=connection.method, authentication_data=data or None)
    return encode(Auth(code, properties), 5)


def reauthenticated(core: Core, connection: Connection, answer: Accepted | Refused) -> None:
    """The end of a re-authentication: it must be the same principal. [MQTT5-4.12.1-2]"""
    connection.reauthenticating = False
    connection.exchange = None
    if isinstance(answer, Accepted) and answer.principal == connection.principal:
        auth = _auth(connection, ReasonCode.SUCCESS, answer.data)
        if len(auth) <= connection.max_packet_out:
            connection.put(auth)
        else:
            close(core, connection, ReasonCode.PACKET_TOO_LARGE, "AUTH is larger than it accepts")
        return
    code = answer.code if isinstance(answer, Refused) else ReasonCode.NOT_AUTHORIZED
    core.events.append(_refusal(connection, None, code, "re-authentication failed"))
    close(core, connection, code, "re-authentication failed")


def refuse(core: Core, connection: Connection, packet: Connect | None, answer: Refused) -> None:
    """CONNACK with a refusal, then close. [MQTT5-3.2.2-6, -7] [MQTT3-3.2.2-4, -5]

    No CONNACK where 3.1.1 has no word for it [MQTT3-3.2.2-6], nor one that is larger than the client
    accepts; the Reason String is left out first [MQTT5-3.2.2-19].
    """
    core.counters.connects_refused += 1
    core.events.append(_refusal(connection, packet, answer.code, answer.reason))
    properties = Properties()
    if connection.version == 5:
        if answer.tell:
            properties.reason_string = answer.tell
        if answer.code in (ReasonCode.USE_ANOTHER_SERVER, ReasonCode.SERVER_MOVED):
            properties.server_reference = core.server_reference
    if connection.version == 5 or answer.code in CONNACK_RETURN_CODE or answer.code in NOT_NOW:
        connack = encode(Connack(False, answer.code, properties), connection.version)
        if len(connack) > connection.max_packet_out and properties.reason_string is not None:
            properties.reason_string = None
            connack = encode(Connack(False, answer.code, properties), connection.version)
        if len(connack) <= connection.max_packet_out:
            connection.put(connack)
    close(core, connection, 0, answer.reason)


def _refusal(connection: Connection, packet: Connect | None, code: int, reason: str) -> ConnectRefused:
    username = (packet.username if packet is not None else None) or ""
    peer = connection.peer
    return ConnectRefused(peer.address, peer.listener, connection.client_id, username, int(code), reason)


def accept(core: Core, connection: Connection, packet: Connect, answer: Accepted) -> None:
    """The peer is who it says: find or make its session, and attach once the disk has what CONNACK says."""
    connection.pending = None
    connection.exchange = None
    connection.principal = answer.principal
    assigned = "" if packet.client_id else core.entropy.token()
    connection.client_id = packet.client_id or assigned
    renew_ration(core, connection)
    connack = _connack(core, connection, packet, assigned, answer.data, False)
    refused = _may_connect(core, connection, packet)
    if refused is None and len(connack) > connection.max_packet_out:
        refused = Refused(ReasonCode.PACKET_TOO_LARGE, "CONNACK is larger than it accepts")
    if refused is not None:
        refuse(core, connection, packet, refused)
        return
    writes = core.journal.writes
    session, present = _session(core, connection, packet)
    if present:
        connack = _connack(core, connection, packet, assigned, answer.data, True)
    session.expiry_s = _granted_expiry(core, packet)
    # The connection is there: a will that was delayed is not published. [MQTT5-3.1.3-9]
    drop_deadlines(core, session)
    session.will = _will(core, packet.will) if packet.will is not None else None
    if core.journaling and (session.expiry_s or session.number):
        core.journal.session(session, True)
    if core.journal.writes != writes and not core.journal.failing:
        core.admissions[session] = Admission(
            core.journal.sequence, connection, session, packet, connack, present
        )
    else:
        attach(core, connection, session, packet, connack, present)


def _may_connect(core: Core, connection: Connection, packet: Connect) -> Refused | None:
    """Rights and quotas that need the principal."""
    principal = connection.principal
    refused = _judge_will(core, connection, packet.will) if packet.will is not None else None
    if refused is not None:
        return refused
    if connection.ration is not None and has_connections(core, connection):
        core.limit("policy.max_connections", None, connection, "connect: one more than policy allows")
        return Refused(
            ReasonCode.QUOTA_EXCEEDED, "its policy allows no more connections", "too many connections"
        )
    sessions = core.sessions.get(principal)
    known = sessions is not None and connection.client_id in sessions
    if core.journal.failing and not _may_without_disk(core, connection, packet):
        return Refused(ReasonCode.QUOTA_EXCEEDED, "its session cannot be stored now", "the store is full")
    if sessions is not None and not known and len(sessions) >= core.max_sessions:
        core.limit("max_sessions", None, connection, f"{len(sessions)} sessions")
        return Refused(ReasonCode.QUOTA_EXCEEDED, "its principal has too many sessions", "too many sessions")
    return None


def _judge_will(core: Core, connection: Connection, will: WireWill) -> Refused | None:
    """Whether the client may leave `will` behind, as policy and its limits are now."""
    principal, size = connection.principal, len(will.payload)
    decision, action = _may_leave(core, principal, will)
    if core.tap is not None:
        core.tap.left_will(principal, will.topic, will.qos, will.retain, size, decision.allowed)
    if not decision.allowed:
        core.counters.denied_will += 1
        core.denied(connection, action, will.topic, decision)
        return Refused(
            ReasonCode.NOT_AUTHORIZED,
            f"its will on {will.topic} is not allowed: {decision.reason}",
            "the will is not allowed",
        )
    code, fault = will_fault(core, principal, will.qos, size + len(_passed_on(will)))
    if code:
        core.counters.denied_will += 1
        core.tell_refusal(connection, Action.WILL, "policy.will", f"{fault}, on {will.topic}")
        # 3.1.1 has no word for it but "not authorized".
        return Refused(code if connection.version == 5 else ReasonCode.NOT_AUTHORIZED, fault, fault)
    return None


def _may_leave(core: Core, principal: str, will: WireWill) -> tuple[Decision, Action]:
    """The decision about a will, and the action that it is about."""
    decision, action = core.decide(principal, Action.WILL, will.topic), Action.WILL
    if decision.allowed and will.retain:
        decision, action = core.decide(principal, Action.RETAIN, will.topic), Action.RETAIN
    if decision.allowed and will.topic.startswith(OWN_TOPICS):
        decision = Decision(rule="built-in", reason=OWN_REASON)
    foreign = will.properties.response_topic or ""
    asked = decision.allowed and bool(foreign) and not core.foreign_responses
    if asked and not core.decide(principal, Action.RECEIVE, foreign).allowed:
        reason = f"it may not receive on its Response Topic {foreign}"
        decision = Decision(rule="built-in.responses", reason=reason)
    return decision, action


def _may_without_disk(core: Core, connection: Connection, packet: Connect) -> bool:
    """Whether a client may be let in while the disk takes nothing: to a session that is not kept, or to one
    that is on the disk already, whose client makes room by taking what waits."""
    session = core.find(connection.principal, connection.client_id)
    if session is not None and session.number:
        return not packet.clean_start
    return not _granted_expiry(core, packet)


def _session(core: Core, connection: Connection, packet: Connect) -> tuple[Session, bool]:
    """The session that this CONNECT means, and whether it was there. [MQTT5-3.1.2-4, -5, -6]
    [MQTT3-3.1.2-4, -5, -6]; an earlier connection to it ends. [MQTT5-3.1.4-3] [MQTT3-3.1.4-2]"""
    principal, client_id = connection.principal, connection.client_id
    session = core.find(principal, client_id)
    if session is not None:
        waiting = core.admissions.get(session)
        earlier = waiting.connection if waiting is not None else session.connection
        if earlier is not None:
            taken_over = "the client connected again"
            end(core, earlier, ReasonCode.SESSION_TAKEN_OVER, taken_over, "server", True, "")
            session = core.find(principal, client_id)
    if session is not None and packet.clean_start:
        end_session(core, session, "the client started clean")
        session = None
    if session is not None:
        return session, True
    session = new_session(principal, client_id)
    of_principal = core.sessions.get(principal)
    if of_principal is None:
        of_principal = core.sessions[principal] = {}
    of_principal[client_id] = session
    return session, False


def _granted_expiry(core: Core, packet: Connect) -> int:
    """Session Expiry Interval in force; 3.1.1 knows only "with the connection" and "kept"."""
    if packet.version != 5:
        return 0 if packet.clean_start else core.session_expiry_max_s
    return min(packet.properties.session_expiry_interval or 0, core.session_expiry_max_s)


def _granted_keepalive(core: Core, packet: Connect) -> int:
    """Keep Alive in force: never more than the ceiling, and never none."""
    asked = packet.keepalive_s
    return asked if 0 < asked < core.keepalive_max_s else core.keepalive_max_s


def _connack(
    core: Core, connection: Connection, packet: Connect, assigned: str, data: bytes, present: bool
) -> bytes:
    """What success says. [MQTT5-3.2.2-2, -3, -16, -21] [MQTT3-3.2.2-1, -2, -3]"""
    if packet.version != 5:
        return ACCEPTED_3_KEPT if present else ACCEPTED_3
    limits = core.limits
    asked = packet.properties
    properties = Properties(maximum_packet_size=limits.max_packet_bytes)
    if limits.receive_maximum != UNLIMITED_RECEIVE:
        properties.receive_maximum = limits.receive_maximum
    if limits.topic_alias_maximum:
        properties.topic_alias_maximum = limits.topic_alias_maximum
    maximum_qos = qos_for(core, connection.principal)
    if maximum_qos < 2:
        properties.maximum_qos = maximum_qos
    if not limits.retain_available:
        properties.retain_available = 0
    expiry_s = _granted_expiry(core, packet)
    if expiry_s != (asked.session_expiry_interval or 0):
        properties.session_expiry_interval = expiry_s
    if assigned:
        properties.assigned_client_identifier = assigned
    keepalive_s = _granted_keepalive(core, packet)
    if keepalive_s != packet.keepalive_s:
        properties.server_keep_alive = keepalive_s
    if connection.method:
        properties.authentication_method = connection.method
        properties.authentication_data = data or None
    if asked.request_response_information == 1 and core.response_information:
        properties.response_information = core.response_information.replace("${id}", connection.principal)
    return encode(Connack(present, ReasonCode.SUCCESS, properties), 5)


def attach(
    core: Core, connection: Connection, session: Session, packet: Connect, connack: bytes, present: bool
) -> None:
    """Join connection and session: from here on the client is connected."""
    asked = packet.properties
    connection.state = CONNECTED
    connection.session = session
    session.connection = connection
    if present:
        mark_shares(core, session, False)
    connection.framer.max_packet_bytes = core.max_packet_bytes
    connection.connected_at = core.now
    if connection.ration_generation != core.policy_generation:
        renew_ration(core, connection)
    connection.keepalive_s = _granted_keepalive(core, packet)
    connection.window_bytes = core.share(
        session.principal, core.max_queue_bytes, core.max_principal_queue_bytes
    )
    # Attack: a thousand readers that read nothing. One packet has room in any case.
    share = core.share(session.principal, core.max_outbox_bytes, core.max_principal_queue_bytes)
    connection.max_outbox_bytes = min(core.max_outbox_bytes, max(core.max_packet_bytes, share))
    connection.window = min(asked.receive_maximum or UNLIMITED_RECEIVE, core.max_inflight)
    if packet.version == 5:
        maximum = core.limits.topic_alias_maximum
        connection.aliases_in = InboundAliases(maximum)
        outbound = min(asked.topic_alias_maximum or 0, maximum)
        connection.aliases_out = OutboundAliases(outbound) if outbound else None
    core.deadlines.hasten(connection.deadline, core.now + connection.keepalive_s * 1.5)
    counters = core.counters
    counters.connects_accepted += 1
    counters.clients_connected += 1
    if counters.clients_connected > counters.clients_maximum:
        counters.clients_maximum = counters.clients_connected
    peer = connection.peer
    core.events.append(
        ClientConnected(
            session.principal,
            session.client_id,
            peer.address,
            peer.listener,
            connection.version,
            present,
            connection.keepalive_s,
        )
    )
    connection.put(connack)
    if present:
        resume(core, session)


def _will(core: Core, will: WireWill) -> Will:
    """The will as the session keeps it. [MQTT5-3.1.2-7] [MQTT3-3.1.2-8]"""
    given = will.properties
    expiry = given.message_expiry_interval
    return Will(
        will.topic,
        will.topic.encode(),
        will.payload,
        will.qos,
        will.retain,
        min(given.will_delay_interval or 0, core.limits.max_will_delay_s),
        -1 if expiry is None else expiry,
        _passed_on(will),
    )


def _passed_on(will: WireWill) -> bytes:
    """The properties of a will that travel with it, without their length."""
    given = will.properties
    kept = Properties(
        payload_format_indicator=given.payload_format_indicator,
        content_type=given.content_type,
        response_topic=given.response_topic,
        correlation_data=given.correlation_data,
        user_properties=given.user_properties,
    )
    block = encode_properties(kept, PacketType.PUBLISH)
    start = 0
    while block[start] & 0x80:
        start += 1
    return block[start + 1 :]

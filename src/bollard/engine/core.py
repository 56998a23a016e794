"""The state that the engine's verbs share, and the small things that all of them do with it.

`broker.py` is the face; `connect.py`, `publish.py`, `subscribe.py` and `delivery.py` are the verbs. Only the
broker makes a `Core`.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bollard.base.authentication import Question
from bollard.base.counters import Counters
from bollard.base.events import AccessDenied, Event, LimitReached
from bollard.base.types import Action, ClientId, Decision, Peer, Principal
from bollard.engine.expiry import Deadlines
from bollard.engine.journal import Journal
from bollard.engine.limits import Limits
from bollard.engine.ports import Authorizer, Entropy, Tap
from bollard.engine.responses import foreign_response
from bollard.engine.tallies import Tallies
from bollard.routing.plan import Plan
from bollard.routing.retained import RetainedStore
from bollard.routing.tree import Subscription, Tree
from bollard.session.connection import Connection
from bollard.session.message import Delivery, Message
from bollard.session.session import Session
from bollard.wire.connect import Connect
from bollard.wire.publish import Publish, short_ack


@dataclass(frozen=True, slots=True)
class Admission:
    """A CONNECT that was accepted and waits for journal batch `sequence`."""

    sequence: int
    connection: Connection
    session: Session
    packet: Connect
    connack: bytes
    present: bool


class Replay:
    """Retained messages that a new subscription is still owed: those with stamps up to `latest`.

    They are looked up as they are sent. `messages` is None before the first look, since a place in the store weighs
    three times as much as a subscription; None among them is a breath.
    """

    __slots__ = ("latest", "messages", "subscription")

    def __init__(self, subscription: Subscription, latest: int) -> None:
        self.subscription = subscription
        self.latest = latest
        self.messages: Iterator[Message | None] | None = None


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """A message to the server itself. `peer` is where its sender is connected from."""

    principal: Principal
    client_id: ClientId
    peer: Peer
    topic: str
    payload: bytes


#: A client that goes on with what it may not do is told of once in so many seconds.
REFUSAL_GAP_S = 10.0
#: Messages to the server that wait to be taken (attack: a flood of requests, each worth a signature).
MAX_REQUESTS = 64

#: Plans and rights kept in memory, and what they may weigh; both are emptied when full (attack: endless
#: topics, long ones, and many receivers).
MAX_PLANS = 50_000
MAX_PLAN_BYTES = 32 * 1024 * 1024
MAX_RIGHTS = 200_000
MAX_RIGHT_BYTES = 64 * 1024 * 1024
#: What an entry weighs beside its topic.
PLAN_BYTES = 600
RIGHT_BYTES = 150


class Core:
    """Everything that the verbs work on.

    `now` is the monotonic second of the call in progress. The limits that are asked for each message or connection
    stand beside `limits` as fields of their own. `requests` are messages to the server itself. `rations` is what
    principals with limits have used, `unlimited` are principals without any, `tallies` what each has done;
    `foreign_responses` lets everybody name any Response Topic; `qos_bounded` says that the QoS of somebody's
    subscriptions may have to change before they are used. `policy_generation` counts changes of rights;
    `tree.generation` changes of subscriptions and of rights. `dirty` are the connections with something for the
    shell, `holding` those with output that waits for the disk, `replays` those that are owed retained messages,
    `admissions` CONNECTs whose session is on its way to the disk. `spent` is the work done for the connection at
    hand, `unfinished` are connections that have sent more than one turn's worth of it (`intake.py`). `pressing` asks
    the shell to write before the turn ends.
    """

    __slots__ = (
        "admissions",
        "authorizer",
        "connect_timeout_s",
        "counters",
        "deadlines",
        "dirty",
        "entropy",
        "events",
        "foreign_responses",
        "holding",
        "journal",
        "journaling",
        "keepalive_max_s",
        "limits",
        "max_client_id_bytes",
        "max_connect_bytes",
        "max_inflight",
        "max_outbox_bytes",
        "max_packet_bytes",
        "max_principal_queue_bytes",
        "max_queue_bytes",
        "max_queue_messages",
        "max_sessions",
        "maximum_qos",
        "now",
        "packet",
        "plan_bytes",
        "plans",
        "policy_generation",
        "pressing",
        "qos_bounded",
        "questions",
        "rations",
        "receive_maximum",
        "replays",
        "requests",
        "response_information",
        "retained",
        "right_bytes",
        "rights",
        "server_reference",
        "session_expiry_max_s",
        "sessions",
        "spent",
        "tallies",
        "tap",
        "tree",
        "unfinished",
        "unlimited",
    )

    def __init__(
        self,
        limits: Limits,
        authorizer: Authorizer,
        entropy: Entropy,
        now: float,
        durable: bool,
        response_information: str,
        server_reference: str,
    ) -> None:
        self.limits = limits
        self.authorizer = authorizer
        self.entropy = entropy
        self.now = now
        self.connect_timeout_s = limits.connect_timeout_s
        self.keepalive_max_s = limits.keepalive_max_s
        self.max_client_id_bytes = limits.max_client_id_bytes
        self.max_connect_bytes = limits.max_connect_bytes
        self.max_inflight = limits.max_inflight
        self.max_outbox_bytes = limits.max_outbox_bytes
        self.max_packet_bytes = limits.max_packet_bytes
        self.max_sessions = limits.max_sessions
        self.session_expiry_max_s = limits.session_expiry_max_s
        self.max_queue_messages = limits.max_queue_messages
        self.max_queue_bytes = limits.max_queue_bytes
        self.max_principal_queue_bytes = limits.max_principal_queue_bytes
        self.receive_maximum = limits.receive_maximum
        self.maximum_qos = limits.maximum_qos
        self.response_information = response_information
        self.server_reference = server_reference
        self.tree = Tree()
        self.retained: RetainedStore[Message] = RetainedStore(
            limits.max_retained_messages,
            limits.max_retained_bytes,
            limits.max_principal_retained,
            limits.max_principal_retained_bytes,
        )
        self.sessions: dict[str, dict[str, Session]] = {}
        self.deadlines = Deadlines()
        self.journal = Journal(durable)
        self.journaling = durable
        self.counters = Counters()
        self.policy_generation = 1
        self.packet = Publish()
        self.plans: dict[str, Plan] = {}
        self.plan_bytes = 0
        self.rights: dict[tuple[str, str, int], bool] = {}
        self.right_bytes = 0
        self.rations: dict[str, Any] = {}
        self.unlimited: set[str] = set()
        self.tallies = Tallies()
        self.foreign_responses = False
        self.qos_bounded = False
        self.spent = 0
        self.tap: Tap | None = None
        self.unfinished: dict[Connection, None] = {}
        self.dirty: list[Connection] = []
        self.pressing = False
        self.admissions: dict[Session, Admission] = {}
        self.holding: dict[Connection, None] = {}
        self.replays: dict[Connection, deque[Replay]] = {}
        self.questions: list[Question] = []
        self.requests: list[ServerRequest] = []
        self.events: list[Event] = []

    def decide(self, principal: str, action: Action, topic: str) -> Decision:
        """Ask the policy. An authorizer that fails denies: nothing is open by accident."""
        try:
            return self.authorizer.decide(principal, action, topic)
        except Exception as fault:
            return Decision(reason=f"the authorizer failed: {type(fault).__name__}")

    def may(self, principal: str, action: Action, topic: str) -> bool:
        """As `decide`, remembered until the policy changes."""
        key = (principal, topic, int(action))
        known = self.rights.get(key)
        if known is None:
            self.right_bytes += RIGHT_BYTES + len(topic)
            if len(self.rights) >= MAX_RIGHTS or self.right_bytes > MAX_RIGHT_BYTES:
                self.rights.clear()
                self.right_bytes = 0
            known = self.rights[key] = self.decide(principal, action, topic).allowed
        return known

    def rights_changed(self) -> None:
        """Every route, plan and judged delivery is stale from now on."""
        self.policy_generation += 1
        self.tree.outdate()
        self.rights.clear()
        self.right_bytes = 0
        self.plans.clear()
        self.plan_bytes = 0
        self.unlimited.clear()

    def author_may(self, message: Message) -> bool:
        """Whether who wrote it may still put a message on its topic, by publishing or by leaving a will;
        the server's own messages have no author. Either right does: what one may say by dying, one may
        have said. And if the message asks for an answer, whether its author may still read that."""
        author, name = message.author, message.name
        if not author:
            return True
        if message.forward and foreign_response(self, author, message.forward):
            return False
        return self.may(author, Action.PUBLISH, name) or self.may(author, Action.WILL, name)

    def still_allowed(self, session: Session, delivery: Delivery) -> bool:
        """Whether the author may still publish this and the receiver may still receive it.

        Asked when a message leaves a queue or is sent again: rights may have changed while it waited.
        """
        if delivery.generation == self.policy_generation:
            return True
        message = delivery.message
        if not self.author_may(message):
            return False
        if not self.may(session.principal, Action.RECEIVE, message.name):
            self.withheld(session.principal)
            return False
        return True

    def denied(self, connection: Connection, action: Action, topic: str, decision: Decision) -> None:
        """Report a denial, thinning out: a peer must not fill the log by asking again."""
        self.tallies.refuse(connection.principal, action)
        if self.worth_telling(connection):
            self.events.append(
                AccessDenied(
                    connection.principal,
                    connection.client_id,
                    action.name.lower(),
                    topic,
                    decision.rule,
                    decision.reason,
                )
            )

    def withheld(self, principal: str) -> None:
        """Count a message that `principal` subscribes to and may not receive."""
        self.counters.denied_receive += 1
        self.tallies.refuse(principal, Action.RECEIVE)

    def worth_telling(self, connection: Connection) -> bool:
        """Count a refusal, and whether it becomes an event: the first, then ever fewer, but one in
        `REFUSAL_GAP_S` all the time."""
        connection.denials += 1
        count = connection.denials
        if count <= 16 or count & (count - 1) == 0 or self.now - connection.told_at >= REFUSAL_GAP_S:
            connection.told_at = self.now
            return True
        return False

    def tell_refusal(self, connection: Connection, action: Action, limit: str, detail: str) -> None:
        """Report that a limit of policy refused an `action` of a client, thinning out as `denied` does."""
        self.tallies.refuse(connection.principal, action)
        if self.worth_telling(connection):
            self.limit(limit, None, connection, f"{action.name.lower()}: {detail}")

    def limit(self, name: str, session: Session | None, connection: Connection | None, detail: str) -> None:
        """Report that a bound did its work, and who ran into it."""
        principal = session.principal if session else connection.principal if connection else ""
        client_id = session.client_id if session else connection.client_id if connection else ""
        address = connection.peer.address if connection else ""
        self.events.append(LimitReached(name, principal, client_id, address, detail))

    def share(self, principal: str, of_session: int, of_principal: int) -> int:
        """What one session of `principal` may hold: `of_session`, or its part of `of_principal` where there
        are so many that it is less."""
        sessions = self.sessions.get(principal)
        count = len(sessions) if sessions else 1
        return of_session if count * of_session <= of_principal else of_principal // count

    def find(self, principal: str, client_id: str) -> Session | None:
        """The session of exactly this principal and client id."""
        of_principal = self.sessions.get(principal)
        return of_principal.get(client_id) if of_principal else None

    def record(self, session: Session, delivery: Delivery, packet_id: int) -> None:
        """Keep a delivery on disk, where its session is kept."""
        if session.number:
            self.journal.queue(session, delivery, packet_id)

    def settled(self, session: Session, delivery: Delivery) -> None:
        """The delivery is finished, or will never be: nothing of it is kept."""
        if session.number:
            self.journal.done(session, delivery)

    def acknowledge(
        self, connection: Connection, writes_before: int, packet_type: int, packet_id: int
    ) -> None:
        """As `put_after_commit`, of a PUBACK, PUBREC or PUBCOMP that says success."""
        if self.journaling and self.journal.writes != writes_before:
            connection.hold(self.journal.sequence, short_ack(packet_type, packet_id))
            self.holding[connection] = None
        else:
            connection.put_ack(packet_type, packet_id)

    def put_after_commit(self, connection: Connection, writes_before: int, data: bytes) -> None:
        """Output `data` once what was recorded since `writes_before` is on disk, at once if nothing was.

        Behind output that already waits it waits as well: acknowledgements keep the order of what they
        acknowledge. [MQTT5-4.6.0-2, -3, -4]
        """
        if not self.journaling:
            connection.put(data)
            return
        journal = self.journal
        if journal.writes != writes_before:
            connection.hold(journal.sequence, data)
            self.holding[connection] = None
        elif connection.held is not None:
            connection.hold(connection.held[-1][0], data)
        else:
            connection.put(data)

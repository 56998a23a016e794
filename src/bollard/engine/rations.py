"""What policy lets a principal use: how much of it is used up, and what happens to who wants more.

The authorizer says how much (`Allowance`), for each principal; what is used is counted here, for all of its
connections together. A connection without limits has no ration, so its messages pay one comparison. Every
refusal names the offender in an event.
"""

from collections.abc import Iterable

from bollard.base.allowance import Allowance, allowance_from
from bollard.base.errors import PeerError
from bollard.base.events import LimitReached
from bollard.base.types import Action
from bollard.engine.core import Core
from bollard.routing.shared import SharedGroup
from bollard.routing.tree import Subscription
from bollard.session.connection import Connection
from bollard.session.session import Session
from bollard.wire.publish import Publish
from bollard.wire.spec import ReasonCode

#: What holds while the authorizer fails: its rights deny, and so must its limits.
NOTHING = Allowance(max_qos=0, max_payload=0, max_subscriptions=0, max_connections=1)
#: Messages refused in a row, beside ten times the burst, after which a flood costs the connection.
MAX_REFUSED = 100
#: Principals of which it is known that policy does not limit them.
MAX_UNLIMITED = 65_536


class Ration:
    """One principal's `allowance` under policy generation `generation`, and what is left of its rate.

    `tokens` are the messages that may come now, as of `filled_at`; below 0 after wills, which are never late.
    `refused` counts messages refused since the last that was not, `untold` refusals since the last event.
    `lowered` has the QoS that was granted to subscriptions that get less now.
    """

    __slots__ = ("allowance", "filled_at", "generation", "lowered", "refused", "tokens", "untold")

    def __init__(self, allowance: Allowance, generation: int, now: float) -> None:
        self.allowance = allowance
        self.generation = generation
        self.filled_at = now
        self.tokens = float(allowance.rate.count) if allowance.rate else 0.0
        self.refused = 0
        self.untold = 0
        self.lowered: dict[Subscription, int] = {}

    def renew(self, allowance: Allowance, generation: int) -> None:
        """Take over a changed `allowance`. A rate that stays the same keeps what is used of it."""
        if allowance.rate != self.allowance.rate:
            self.tokens = float(allowance.rate.count) if allowance.rate else 0.0
        self.allowance = allowance
        self.generation = generation

    def take(self, now: float, debt: int = 0) -> bool:
        """Count one message; False if none is left, and as many as `debt` times the burst are owed."""
        rate = self.allowance.rate
        if rate is None:
            return True
        gained = max(now - self.filled_at, 0.0) * rate.count / rate.seconds
        self.tokens = min(self.tokens + gained, float(rate.count))
        self.filled_at = now
        if self.tokens < 1.0 - debt * rate.count:
            self.refused += 1
            return False
        self.tokens -= 1.0
        self.refused = 0
        return True

    def full(self, now: float) -> bool:
        """Whether all of its burst may come at `now`."""
        rate = self.allowance.rate
        if rate is None:
            return True
        gained = max(now - self.filled_at, 0.0) * rate.count / rate.seconds
        return self.tokens + gained >= rate.count

    @property
    def flooded(self) -> bool:
        """Whether refusing is not enough: somebody sends many times what its rate allows."""
        rate = self.allowance.rate
        return rate is not None and self.refused > MAX_REFUSED + 10 * rate.count


def ration_of(core: Core, principal: str) -> Ration | None:
    """The ration of `principal` as of now; None if the policy does not limit it."""
    if principal in core.unlimited:
        return None
    ration: Ration | None = core.rations.get(principal)
    if ration is not None and ration.generation == core.policy_generation:
        return ration
    allowance = _ask(core, principal)
    if allowance is None:
        if core.rations.pop(principal, None) is not None and ration is not None:
            _fit(core, principal, ration.lowered, None)
        # Attack: a client for each of very many identities, to fill the memory with what is known of them.
        if len(core.unlimited) >= MAX_UNLIMITED:
            core.unlimited.clear()
        core.unlimited.add(principal)
        return None
    if ration is None:
        ration = core.rations[principal] = Ration(allowance, core.policy_generation, core.now)
    else:
        ration.renew(allowance, core.policy_generation)
    if allowance.max_qos is not None or ration.lowered:
        ration.lowered = _fit(core, principal, ration.lowered, allowance.max_qos)
    return ration


def _fit(
    core: Core, principal: str, lowered: dict[Subscription, int], max_qos: int | None
) -> dict[Subscription, int]:
    """Give the subscriptions of `principal` the QoS that they were granted, but `max_qos` at most. Which have
    less than that now, and what they were granted."""
    found: dict[Subscription, int] = {}
    for session in core.sessions.get(principal, {}).values():
        for subscription in session.subscriptions.values():
            granted = lowered.get(subscription, subscription.qos)
            subscription.qos = granted if max_qos is None else min(granted, max_qos)
            if subscription.qos != granted:
                found[subscription] = granted
    return found


def fit_receivers(core: Core, found: Iterable[Subscription], groups: Iterable[SharedGroup]) -> None:
    """Let no subscription that matches a topic have more QoS than policy allows its principal now."""
    for subscription in found:
        ration_of(core, subscription.session.principal)
    for group in groups:
        core.spent += len(group.members)
        for session in group.members:
            ration_of(core, session.principal)


def renew_ration(core: Core, connection: Connection) -> None:
    """Give `connection` the ration that its principal has now."""
    connection.ration = ration_of(core, connection.principal)
    connection.ration_generation = core.policy_generation


def _ask(core: Core, principal: str) -> Allowance | None:
    try:
        return allowance_from(core.authorizer, principal)
    except Exception:
        return NOTHING


def forget_strangers(core: Core) -> None:
    """Drop the rations of principals that have no session and have nothing to wait for.

    Attack: to spend the burst of a rate, leave, and come back to a whole one.
    """
    strangers = [name for name in core.rations if name not in core.sessions]
    for principal in strangers:
        ration: Ration = core.rations[principal]
        if ration.full(core.now):
            del core.rations[principal]


def admit(core: Core, connection: Connection, packet: Publish, name: str) -> int:
    """Judge a PUBLISH on topic `name` by the ration of its connection: 0, or the reason code of a refusal.

    Raises PeerError where only the end of the connection can say so: QoS above what CONNACK offered
    [MQTT5-3.2.2-11], and a flood that goes on although all of it is refused (0x96).
    """
    ration: Ration | None = connection.ration
    if ration is None:
        return 0
    allowance = ration.allowance
    if allowance.max_qos is not None and packet.qos > allowance.max_qos:
        _exceeded(core, connection, ration, "max_qos", f"QoS {packet.qos} on {name}")
        if connection.version == 5:
            raise PeerError(ReasonCode.QOS_NOT_SUPPORTED, f"QoS {packet.qos} is above its max_qos")
        return ReasonCode.QOS_NOT_SUPPORTED
    size = packet.size + len(packet.forward)  # attack: a payload that travels as user properties
    if allowance.max_payload is not None and size > allowance.max_payload:
        _exceeded(core, connection, ration, "max_payload", f"{size} bytes on {name}")
        return ReasonCode.QUOTA_EXCEEDED
    if not ration.take(core.now):
        _exceeded(core, connection, ration, "rate", f"more than {allowance.rate}, on {name}")
        if ration.flooded:
            ration.refused = 0
            raise PeerError(ReasonCode.MESSAGE_RATE_TOO_HIGH, f"messages far above its rate {allowance.rate}")
        return ReasonCode.QUOTA_EXCEEDED
    return 0


def _exceeded(core: Core, connection: Connection, ration: Ration, bound: str, detail: str) -> None:
    """Count a message that a limit of policy refused, and report it, thinned out as denials are."""
    core.counters.denied_publish += 1
    _tell(core, connection, ration, Action.PUBLISH, bound, detail)


def _tell(
    core: Core, connection: Connection, ration: Ration, action: Action, bound: str, detail: str
) -> None:
    core.tallies.refuse(connection.principal, action)
    if not core.worth_telling(connection):
        ration.untold += 1
        return
    more, ration.untold = ration.untold, 0
    address, text = connection.peer.address, f"{action.name.lower()}: {detail}"
    core.events.append(
        LimitReached(
            f"policy.{bound}", connection.principal, connection.client_id, address, text, more or None
        )
    )


def will_fault(core: Core, principal: str, qos: int, size: int) -> tuple[int, str]:
    """What `principal` may not do with a will of this QoS and size: a reason code and a sentence, or (0, "")."""
    ration = ration_of(core, principal)
    if ration is None:
        return 0, ""
    allowance = ration.allowance
    if allowance.max_qos is not None and qos > allowance.max_qos:
        return ReasonCode.QOS_NOT_SUPPORTED, f"its will has QoS {qos}, above its max_qos {allowance.max_qos}"
    if allowance.max_payload is not None and size > allowance.max_payload:
        text = f"its will has {size} bytes, above its max_payload {allowance.max_payload}"
        return ReasonCode.PACKET_TOO_LARGE, text
    return 0, ""


def may_leave_will(core: Core, principal: str, qos: int, size: int) -> bool:
    """Whether a will that is due now may go out. It counts as a message, and may be one too many."""
    ration = ration_of(core, principal)
    return ration is None or (not will_fault(core, principal, qos, size)[0] and ration.take(core.now, debt=1))


def qos_for(core: Core, principal: str) -> int:
    """The highest QoS that `principal` may use."""
    ration = ration_of(core, principal)
    own = ration.allowance.max_qos if ration is not None else None
    highest: int = core.limits.maximum_qos
    return highest if own is None else min(own, highest)


def has_subscriptions(core: Core, connection: Connection, session: Session, filter: str) -> bool:
    """Whether the principal has all the subscriptions that policy lets it have, in all its sessions."""
    ration = ration_of(core, session.principal)
    bound = ration.allowance.max_subscriptions if ration is not None else None
    if bound is None:
        return False
    count = sum(len(one.subscriptions) for one in core.sessions.get(session.principal, {}).values())
    if count < bound:
        return False
    assert ration is not None
    core.counters.denied_subscribe += 1
    _tell(core, connection, ration, Action.SUBSCRIBE, "max_subscriptions", filter)
    return True


def has_connections(core: Core, connection: Connection) -> bool:
    """Whether the principal of `connection` has all the others that policy lets it have. Its ration is as of now."""
    ration: Ration | None = connection.ration
    bound = ration.allowance.max_connections if ration is not None else None
    if bound is None:
        return False
    sessions = core.sessions.get(connection.principal, {}).values()
    others = [one for one in sessions if one.client_id != connection.client_id]
    return sum(1 for one in others if one.connection is not None or one in core.admissions) >= bound


def surplus(core: Core) -> list[Connection]:
    """Connections beyond what policy allows their principals now, the latest first to go."""
    found: list[Connection] = []
    for principal, sessions in core.sessions.items():
        if len(sessions) < 2:
            continue
        ration = ration_of(core, principal)
        bound = ration.allowance.max_connections if ration is not None else None
        if bound is not None:
            live = [one.connection for one in sessions.values() if one.connection is not None]
            found += sorted(live, key=lambda one: one.connected_at)[bound:]
    return found

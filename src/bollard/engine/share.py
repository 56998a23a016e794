"""Which member of a shared subscription gets a message. [MQTT5-4.8.2-4, -5]

Members are asked in turn, and the first that can take the message at once gets it: a group of any size costs
one question a message while its members keep up. Only when nobody can take it at once do those come into
question whose window is full, and when nobody is there, those that are away.
"""

from bollard.base.types import Action
from bollard.engine.core import Core
from bollard.engine.delivery import deliver
from bollard.routing.plan import MAX_RIGHTS_OF_SHARE, Share
from bollard.routing.shared import SharedGroup
from bollard.routing.tree import Subscription
from bollard.session.connection import Connection
from bollard.session.message import Delivery, Message, new_delivery
from bollard.session.session import Session

#: How soon a member can take a message: never, when its client comes back, when it reads on, at once.
NEVER = 0
LATER = 1
SOON = 2
NOW = 3
#: Members that are asked before the fittest of them is good enough.
ENOUGH = 64
#: What it costs to ask a member, and to ask its rights, in the measure of `intake`.
ASK_COST = 1
JUDGE_COST = 10
#: The same for a member when those that are there are sorted out anew, because some came or went.
SORT_COST = 10


def choose_member(core: Core, share: Share, name: str, qos: int) -> Subscription | None:
    """The member that gets a message on `name` at `qos`; None when nobody may have it.

    The turn goes on behind the one that is chosen, so that equally fit members get equal shares.
    """
    group: SharedGroup = share.group
    # Attack: a SUBSCRIBE to a large group before each message.
    core.spent += group.unsorted() * SORT_COST
    members = group.present()
    count = len(members)
    at = group.turn
    best = NEVER
    best_at = 0
    step = 0
    while step < count:
        if at >= count:
            at = 0
        fitness = _fitness(core, share, members[at], name, qos)
        if fitness > best:
            best = fitness
            best_at = at
        if best == NOW or (best != NEVER and step >= ENOUGH):
            break
        at += 1
        step += 1
    core.spent += (step + 1) * ASK_COST
    if best == NEVER:
        return _choose_absent(core, share, name, qos) if qos else None
    group.turn = best_at + 1
    chosen: Subscription = members[best_at]
    return chosen


def _choose_absent(core: Core, share: Share, name: str, qos: int) -> Subscription | None:
    """The next member in turn that is away and may keep the message until it is back."""
    group: SharedGroup = share.group
    members = group.absent()
    count = len(members)
    at = group.turn
    for step in range(count):
        if at >= count:
            at = 0
        member: Subscription = members[at]
        at += 1
        if _fitness(core, share, member, name, qos) != NEVER:
            core.spent += (step + 1) * ASK_COST
            group.turn = at
            return member
    core.spent += count * ASK_COST
    return None


def _fitness(core: Core, share: Share, member: Subscription, name: str, qos: int) -> int:
    """How soon `member` can take the message; NEVER without the right to it."""
    session: Session = member.session
    known = share.rights.get(session.principal)
    if known is None:
        known = _judge(core, share, session.principal, name)
    if not known:
        return NEVER
    connection: Connection | None = session.connection
    if connection is None:
        return LATER if qos and member.qos else NEVER
    if not connection.writable:
        return SOON
    if session.queue is not None:
        return SOON
    inflight = session.inflight
    return SOON if inflight is not None and inflight.count() >= connection.window else NOW


def _judge(core: Core, share: Share, principal: str, name: str) -> bool:
    """Whether `principal` may receive what is published on `name`, and by this group; remembered with the
    plan, which is worked out again when rights change."""
    core.spent += JUDGE_COST
    if len(share.rights) >= MAX_RIGHTS_OF_SHARE:
        share.rights.clear()
    known = share.rights[principal] = core.may(principal, Action.RECEIVE, name) and core.may(
        principal, Action.SHARE, share.group.name
    )
    return known


def delivery_for(
    core: Core, share: Share, member: Subscription, message: Message, qos: int, retain: int
) -> Delivery:
    """How the message goes out to the member that was chosen."""
    identifiers = (member.identifier,) if member.identifier else ()
    kept = retain if member.retain_as_published else 0
    granted = qos if qos < member.qos else member.qos
    return new_delivery(message, granted, kept, identifiers, core.policy_generation, share.group)


def share_out(core: Core, share: Share, message: Message, qos: int, retain: int) -> bool:
    """Give a message to one member; False when nobody may have it."""
    member = choose_member(core, share, message.name, qos)
    if member is None:
        return False
    deliver(core, member.session, delivery_for(core, share, member, message, qos, retain))
    return True

"""What a connection may do that exists only to enroll or to renew, and who may ask for a certificate.

A device publishes its signing request on `REQUEST_TOPIC`, or asks on `ROOTS_TOPIC` whom it is to trust, and
reads the answer on a topic of its own. Whoever connected with an enrollment string, or by proving the key of an
expired certificate, is not the identity itself but a principal with these rights and no others, which
no policy can name: its name holds a character that identities cannot have.
"""

from typing import Protocol

from bollard.base.allowance import PassedOn
from bollard.base.types import Action, Decision, Principal
from bollard.identity.names import is_identity
from bollard.identity.records import Snapshot, State

REQUEST_TOPIC = "$enroll/csr"
ROOTS_TOPIC = "$enroll/roots"
_REPLIES = "$enroll/reply/"
_OURS = "$enroll/"

#: What stands before an identity in the name of a connection that enrolls, or renews after expiry.
ENROLLING, RENEWING = "enroll:", "renew:"

_GRANTED = Decision(True, "built-in.enrollment", "it may ask for a certificate of its own")
_DENIED = Decision(False, "built-in.enrollment", "this connection is for enrollment only")


def reply_topic(identity: str) -> str:
    """Where the answers for `identity` are published."""
    return _REPLIES + identity


def asking_identity(principal: Principal) -> str:
    """The identity behind the name of an enrollment connection; "" for every other principal."""
    for prefix in (ENROLLING, RENEWING):
        if principal.startswith(prefix) and is_identity(principal.removeprefix(prefix)):
            return principal.removeprefix(prefix)
    return ""


class Others(Protocol):
    """Who decides about everything else: the engine's `Authorizer`, seen from this floor."""

    def decide(self, principal: Principal, action: Action, topic: str) -> Decision: ...


class EnrollmentRights(PassedOn):
    """`engine.ports.Authorizer`: decides about enrollment, and asks `others` about everything else."""

    def __init__(self, others: Others, registry: Snapshot) -> None:
        super().__init__(others)
        self._others = others
        self._registry = registry

    def decide(self, principal: Principal, action: Action, topic: str) -> Decision:
        asking = asking_identity(principal)
        if not asking and not topic.startswith(_OURS):
            return self._others.decide(principal, action, topic)
        identity = asking or self._active(principal)
        if identity and (
            (action is Action.PUBLISH and topic in (REQUEST_TOPIC, ROOTS_TOPIC))
            or (action in (Action.SUBSCRIBE, Action.RECEIVE) and topic == reply_topic(identity))
        ):
            return _GRANTED
        return _DENIED

    def _active(self, principal: Principal) -> str:
        known = self._registry.identities.get(principal)
        return principal if known is not None and known.state is State.ACTIVE else ""

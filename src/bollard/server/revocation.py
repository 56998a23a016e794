"""Revocation in the running broker: the audit event, and the sweep for certificates that lapse.

What has ended is decided in `identity/revoke.py` and by the registry; the operations are in `control.py`.
"""

import time
from collections.abc import Callable
from typing import ClassVar, Self

from bollard.base.events import Event
from bollard.base.types import Principal
from bollard.engine.broker import Broker, KickReport
from bollard.identity.records import CertificateState, Snapshot
from bollard.identity.revoke import lapsed, outdated

#: MQTT 5.0: the credential that the connection was made with counts no more.
NOT_AUTHORIZED = 0x87


class IdentityEnded(Event, frozen=True):
    """What lived of an identity was ended: for the audit. The numbers are what was alive.

    `code` is the MQTT 5.0 reason code that its clients read, `reason` says why in a sentence.
    """

    name: ClassVar[str] = "identity.ended"
    level: ClassVar[str] = "warning"
    principal: str
    code: int
    reason: str
    connections: int
    sessions: int
    wills: int
    retained: int

    @classmethod
    def of(cls, principal: Principal, code: int, reason: str, report: KickReport) -> Self:
        return cls(
            principal, code, reason, report.connections, report.sessions, report.wills, report.retained
        )


class LapseWatch:
    """Ends connections whose credential ends while they live. On the loop only.

    The end of an identity's certificate ends all of its connections, without their wills: those that hold
    another valid credential are back at once.
    """

    def __init__(
        self,
        broker: Broker,
        snapshot: Callable[[], Snapshot],
        emit: Callable[[Event], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`snapshot` gives the registry as it is; `clock` tells seconds since the epoch."""
        self._broker = broker
        self._snapshot = snapshot
        self._emit = emit
        self._clock = clock
        self._looked_at = clock()
        self._generation = -1
        self._next = 0.0

    def sweep(self) -> int:
        """End what has lapsed since the last call, and return how many identities that were.

        Cheap unless something ends: the next end is remembered until the registry changes.
        """
        now = self._clock()
        registry = self._snapshot()
        if registry.generation != self._generation or now < self._looked_at:
            self._generation = registry.generation
            self._next = _next_end(registry, min(self._looked_at, now))
        self._looked_at = now
        if now < self._next:
            return 0
        self._next = _next_end(registry, now)
        reasons = self._lapsed(registry, now)
        for principal, reason in reasons.items():
            report = self._broker.kick(principal, NOT_AUTHORIZED, reason, time.monotonic())
            self._emit(IdentityEnded.of(principal, NOT_AUTHORIZED, reason, report))
        return len(reasons)

    def recheck(self, identity: Principal) -> int:
        """End the connections of `identity` that were made with a credential that has ended since, without
        their wills, and return how many those were. The others, made with the new one, stay."""
        registry, now = self._snapshot(), self._clock()
        ended = wills = 0
        reason = ""
        for connection in list(self._broker.connections()):
            if connection.principal != identity:
                continue
            why = outdated(registry, identity, connection.peer, now)
            if why:
                reason = f"{why}; connect with the new credential"
                ended += 1
                wills += connection.session is not None and connection.session.will is not None
                self._broker.disconnect(connection, NOT_AUTHORIZED, reason, time.monotonic(), will=False)
        if ended:
            report = KickReport(connections=ended, sessions=0, wills=wills, retained=0)
            self._emit(IdentityEnded.of(identity, NOT_AUTHORIZED, reason, report))
        return ended

    def _lapsed(self, registry: Snapshot, now: float) -> dict[Principal, str]:
        reasons = {}
        for connection in self._broker.connections():
            certificate = connection.peer.certificate
            reason = lapsed(registry, certificate, now) if certificate is not None else ""
            if reason:
                reasons[connection.principal] = reason
        return reasons


def _next_end(registry: Snapshot, after: float) -> float:
    """When the next certificate ends that still counts and ends after `after`; infinity if none does."""
    ends = (
        record.not_after
        for identity in registry.identities.values()
        for record in identity.certificates
        if record.state is CertificateState.ACTIVE and record.not_after > after
    )
    return min(ends, default=float("inf"))

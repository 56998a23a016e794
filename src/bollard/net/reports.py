"""Reports of what was refused, thinned out: whoever floods us must not flood the log as well."""

from collections.abc import Callable

from bollard.base.events import Event, LimitReached, TransportRefused


class Throttle:
    """Lets through so many reports a second."""

    __slots__ = ("_admitted", "_second", "_suppressed", "per_second")

    def __init__(self, per_second: int = 20) -> None:
        self.per_second = per_second
        self._second = 0
        self._admitted = 0
        self._suppressed = 0

    def admit(self, now: float) -> int:
        """How many were held back since the last one let through, or -1: hold this one back too."""
        if int(now) != self._second:
            self._second = int(now)
            self._admitted = 0
        if self._admitted >= self.per_second:
            self._suppressed += 1
            return -1
        self._admitted += 1
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed


class Reports:
    """Tells `emit` of refused transports and of limits that were reached, each kind with a rate of its own."""

    __slots__ = ("_emit", "_throttles")

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._throttles: dict[str, Throttle] = {}

    def refused(self, address: str, listener: str, reason: str, now: float) -> None:
        """A transport ended before MQTT began."""
        suppressed = self._admit("", now)
        if suppressed >= 0:
            also = f" (and {suppressed} more refused, not shown)" if suppressed else ""
            self._emit(TransportRefused(address, listener, reason + also))

    def limit(
        self, limit: str, principal: str, client_id: str, address: str, detail: str, now: float
    ) -> None:
        """A bound of the transports did its work."""
        suppressed = self._admit(limit, now)
        if suppressed >= 0:
            self._emit(LimitReached(limit, principal, client_id, address, detail, suppressed or None))

    def _admit(self, kind: str, now: float) -> int:
        throttle = self._throttles.get(kind)
        if throttle is None:
            throttle = self._throttles[kind] = Throttle()
        return throttle.admit(now)

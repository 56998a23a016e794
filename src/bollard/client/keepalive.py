"""When to send PINGREQ, and when to give the server up. Time comes in as an argument, in monotonic seconds."""

import math

#: A PINGREQ goes out after this part of the keep-alive time, so that a slow network does not end us.
PING_AT = 0.75
#: How long a server may take for PINGRESP, at most; less with a shorter keep-alive.
RESPONSE_S = 15.0


class KeepAlive:
    """The clock of one connection. What was sent and heard is told from outside; `due` says what to do."""

    def __init__(self) -> None:
        self._interval_s = 0.0
        self._last_sent = 0.0
        self._last_heard = 0.0
        self._asked_at = 0.0
        self._owed = 0

    def start(self, interval_s: int, now: float) -> None:
        """A connection stands; 0 turns keep-alive off. [MQTT5-3.1.2-21] [MQTT5-3.1.2-22]"""
        self._interval_s = float(interval_s)
        self._last_sent = self._last_heard = now
        self._owed = 0

    def stop(self) -> None:
        self._interval_s = 0.0

    def sent(self, now: float) -> None:
        self._last_sent = now

    def heard(self, now: float) -> None:
        """Bytes came: the server is alive, even if what we asked for is still behind a large message."""
        self._last_heard = now
        if self.waiting:
            self._asked_at = now

    def pinged(self, now: float) -> None:
        """A PINGREQ was sent."""
        self._asked_at = now
        self._owed += 1

    def ponged(self) -> None:
        """A PINGRESP came; only when `waiting`."""
        self._owed -= 1

    @property
    def waiting(self) -> bool:
        """Is a PINGRESP owed to us?"""
        return self._owed > 0

    def deadline(self) -> float:
        """When `due` has to be asked again; inf for never."""
        if not self._interval_s:
            return math.inf
        if self.waiting:
            return self._asked_at + min(self._interval_s, RESPONSE_S)
        return min(self._last_sent, self._last_heard) + PING_AT * self._interval_s

    def due(self, now: float, *, reading: bool) -> str:
        """ "ping": send PINGREQ and tell `pinged`; "dead": the server is gone; "": nothing yet.

        While we ourselves do not read, silence says nothing about the server.
        """
        if now < self.deadline():
            return ""
        if not self.waiting:
            return "ping"
        if reading:
            return "dead"
        self._asked_at = now
        return ""

"""Signs of an attack in recorded traffic: guessing, probing of topics, ids that flap, a retry without TLS.

All are counts within a time, over tables of bounded size. A sign is no proof: what it counted is told with it.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import TypeVar

from bollard.assess.capture.evidence import Seen
from bollard.assess.capture.flow import Flow

Where = tuple[Flow, int, int]
_Key = TypeVar("_Key")

#: Refused logins of one address within the time; connects of one client id; refused filters of one address.
GUESSES, GUESSES_NS = 10, 300 * 10**9
FLAPS, FLAPS_NS = 10, 60 * 10**9
FILTERS = 10
#: A CONNECT in the clear within this time of a failed handshake is a retry.
RETRY_NS = 300 * 10**9
MAX_WATCHED = 10_000
MAX_SEEN = 50

_LOGIN_CODES = frozenset((0x86, 0x87, 0x8C))


def _watched(table: dict[_Key, deque[int]], key: _Key, size: int) -> deque[int]:
    """The last times of `key`; beyond the bound, times that nobody keeps."""
    times = table.get(key)
    if times is None:
        times = deque(maxlen=size)
        if len(table) < MAX_WATCHED:
            table[key] = times
    return times


@dataclass(slots=True)
class Attacks:
    """What is watched. `failed_logins` counts all refused logins, `failures` are failed TLS handshakes."""

    seen: dict[str, Seen] = field(default_factory=dict)
    downgrades: dict[str, Seen] = field(default_factory=dict)
    failures: dict[tuple[str, str], tuple[int, Seen, bool]] = field(default_factory=dict)
    failed_logins: int = 0
    _guesses: dict[tuple[str, str], deque[int]] = field(default_factory=dict)
    _connects: dict[str, deque[int]] = field(default_factory=dict)
    _filters: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def refused(self, code: int, where: Where) -> None:
        """A login was refused with `code`."""
        if code not in _LOGIN_CODES:
            return
        flow, _, time_ns = where
        self.failed_logins += 1
        times = _watched(self._guesses, (flow.client, flow.target), GUESSES)
        times.append(time_ns)
        if len(times) == GUESSES and 0 <= time_ns - times[0] <= GUESSES_NS:
            self._tell(
                f"guess {flow.client} {flow.target}", f"{GUESSES} refused logins within 5 minutes", where
            )

    def connected(self, client_id: str, where: Where) -> None:
        """A device said who it is."""
        times = _watched(self._connects, client_id[:256], FLAPS)
        times.append(where[2])
        if len(times) == FLAPS and 0 <= where[2] - times[0] <= FLAPS_NS:
            text = f"the client id {client_id[:64]} connected {FLAPS} times within a minute"
            self._tell(f"flap {client_id[:64]}", text, where)

    def refused_filters(self, filters: list[str], where: Where) -> None:
        """A server refused these subscriptions."""
        key = (where[0].client, where[0].target)
        if key not in self._filters and len(self._filters) >= MAX_WATCHED:
            return
        asked = self._filters.setdefault(key, set())
        asked.update(each[:64] for each in filters[: FILTERS - len(asked)])
        if len(asked) >= FILTERS:
            self._tell(f"scan {key}", f"{FILTERS} different subscriptions were refused", where)

    def failed(self, why: str, where: Where, *, certain: bool = False) -> None:
        """A TLS handshake, or the connection for one, came to nothing. `certain`: the port says that it was for MQTT."""
        flow, frame, time_ns = where
        key = (flow.client, flow.server)
        before = self.failures.get(key)
        if before is None and len(self.failures) >= MAX_WATCHED:
            return
        seen = before[1] if before else Seen(place=flow.place(frame, time_ns), text=why, count=0)
        certain = certain or (before is not None and before[2])
        self.failures[key] = (time_ns, Seen(place=seen.place, text=seen.text, count=seen.count + 1), certain)

    def connected_in_clear(self, where: Where) -> None:
        """A CONNECT without TLS: a retry, if TLS with the same server failed shortly before."""
        flow, frame, time_ns = where
        failure = self.failures.get((flow.client, flow.server))
        if failure is None or not 0 <= time_ns - failure[0] <= RETRY_NS:
            return
        key = f"{flow.client} {flow.server}"
        before = self.downgrades.get(key)
        if before is not None:
            self.downgrades[key] = Seen(place=before.place, text=before.text, count=before.count + 1)
        elif len(self.downgrades) < MAX_SEEN:
            text = f"CONNECT in the clear, after TLS had failed ({failure[1].text}; {failure[1].place})"
            self.downgrades[key] = Seen(place=flow.place(frame, time_ns), text=text)

    def _tell(self, key: str, text: str, where: Where) -> None:
        before = self.seen.get(key)
        if before is not None:
            self.seen[key] = Seen(place=before.place, text=before.text, count=before.count + 1)
        elif len(self.seen) < MAX_SEEN:
            self.seen[key] = Seen(place=where[0].place(*where[1:]), text=text)

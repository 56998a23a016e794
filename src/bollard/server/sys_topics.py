"""The broker's own `$SYS` topics, under the names that Mosquitto made common.

Pure arithmetic over counters that somebody else reads; publishing is the caller's. A topic is given out
only when its value has changed, as subscribers expect: retained messages hold the last one.
"""

import math
from collections.abc import Callable, Iterator, Mapping

#: Topic below $SYS/broker/ and the counter or gauge that it shows.
TOTALS = {
    "bytes/received": "bytes_received",
    "bytes/sent": "bytes_sent",
    "clients/connected": "clients_connected",
    "clients/active": "clients_connected",
    "clients/disconnected": "clients_disconnected",
    "clients/inactive": "clients_disconnected",
    "clients/maximum": "clients_maximum",
    "clients/total": "clients_total",
    "messages/received": "packets_received",
    "messages/sent": "packets_sent",
    "publish/bytes/received": "publish_bytes_received",
    "publish/bytes/sent": "publish_bytes_sent",
    "publish/messages/dropped": "publish_dropped",
    "publish/messages/received": "publish_received",
    "publish/messages/sent": "publish_sent",
    "retained messages/count": "retained_messages",
    "shared_subscriptions/count": "shared_subscriptions",
    "store/messages/bytes": "retained_bytes",
    "store/messages/count": "retained_messages",
    "subscriptions/count": "subscriptions",
}

#: Topic below $SYS/broker/load/ and the counter whose growth a minute it averages.
LOADS = {
    "bytes/received": "bytes_received",
    "bytes/sent": "bytes_sent",
    "connections": "connects_accepted",
    "messages/received": "packets_received",
    "messages/sent": "packets_sent",
    "publish/dropped": "publish_dropped",
    "publish/received": "publish_received",
    "publish/sent": "publish_sent",
    "sockets": "connections_accepted",
}

_MINUTES = (1, 5, 15)


class SysTopics:
    """What to publish below `$SYS/broker`, each time it is asked."""

    def __init__(self, version: str, counters: Callable[[], Mapping[str, int]], now: float) -> None:
        """`counters` gives the current value of every name in `TOTALS` and `LOADS`; `now` is monotonic."""
        self._version = version
        self._counters = counters
        self._started = self._last = now
        self._before: Mapping[str, int] = {}
        self._averages: dict[str, float] = {}
        self._told: dict[str, str] = {}

    def due(self, now: float) -> Iterator[tuple[str, bytes]]:
        """Topic and payload of everything that differs from what was given out before."""
        for name, value in self._values(now):
            if self._told.get(name) != value:
                self._told[name] = value
                yield f"$SYS/broker/{name}", value.encode()

    def _values(self, now: float) -> Iterator[tuple[str, str]]:
        counters = self._counters()
        yield "version", f"bollard version {self._version}"
        yield "uptime", f"{int(now - self._started)} seconds"
        for name, source in TOTALS.items():
            yield name, str(counters[source])
        elapsed_s = now - self._last
        if elapsed_s > 0:
            for name, source in LOADS.items():
                growth = counters[source] - self._before.get(source, 0)
                yield from self._load(name, growth * 60.0 / elapsed_s, elapsed_s)
            self._last = now
            self._before = dict(counters)

    def _load(self, name: str, per_minute: float, elapsed_s: float) -> Iterator[tuple[str, str]]:
        """Exponential averages over 1, 5 and 15 minutes, as in the load of a Unix system."""
        for minutes in _MINUTES:
            key = f"load/{name}/{minutes}min"
            weight = math.exp(-elapsed_s / (60.0 * minutes))
            before = self._averages.get(key, 0.0)
            self._averages[key] = per_minute + weight * (before - per_minute)
            yield key, f"{self._averages[key]:.2f}"

"""Prometheus metrics: the engine's counters and events by name, served on a port of their own.

No label is ever text that a peer chose: whoever could make labels could fill the memory. Served by a
thread, so that a slow reader of metrics costs the broker nothing.
"""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bollard.base.errors import LocalError
from bollard.base.events import Event, LimitReached
from bollard.engine.tallies import Tally, busiest
from bollard.server.config import Address
from bollard.server.units import is_loopback

#: What a reader gets for one request.
REQUEST_TIMEOUT_S = 10.0
#: Requests at one time; more are closed unread (attack: connections that each hold a thread and a file).
MAX_READERS = 16
#: How often the thread looks whether it should end; `close` takes so long.
STOP_POLL_S = 0.1

#: Identities that have a label of their own: a bound on the series, whatever the registry holds.
MAX_IDENTITIES = 500

#: Values that can go down; every other name is a total.
GAUGES = frozenset(
    {
        "clients_connected",
        "clients_disconnected",
        "clients_maximum",
        "clients_total",
        "retained_bytes",
        "retained_messages",
        "retained_of_clients",
        "shared_subscriptions",
        "subscriptions",
    }
)

Environment = dict[str, Any]
StartResponse = Callable[..., Any]


class BrokerMetrics(Collector):
    """Collects the broker's numbers when asked, with the events by name and level, and counts limits by name."""

    def __init__(
        self,
        counters: Callable[[], Mapping[str, int]],
        version: str,
        compiled: bool,
        tallies: Callable[[], Mapping[str, Tally]] = dict,
        events: Callable[[], Mapping[type[Event], int]] = dict,
    ) -> None:
        """`counters`, `tallies`, by principal, and `events`, by kind, may be called from any thread."""
        self._tallies = tallies
        self._counters = counters
        self._version = version
        self._variant = "compiled" if compiled else "pure"
        self._events = events
        self._limits: dict[str, int] = {}

    def observe(self, event: Event) -> None:
        """Count the limit that was reached, if `event` is about one. Its name is ours."""
        if isinstance(event, LimitReached):
            self._limits[event.limit] = self._limits.get(event.limit, 0) + 1 + (event.more or 0)

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("bollard_build_info", "Always 1", labels=["version", "variant"])
        info.add_metric([self._version, self._variant], 1)
        yield info
        for name, value in self._counters().items():
            words = name.replace("_", " ").capitalize()
            family = GaugeMetricFamily if name in GAUGES else CounterMetricFamily
            yield family(f"bollard_{name}", words, value=value)
        events = CounterMetricFamily("bollard_events", "Events by name", labels=["event", "level"])
        for kind, count in self._events().items():
            events.add_metric([kind.name, kind.level], count)
        yield events
        limits = CounterMetricFamily(
            "bollard_limits_reached", "How often a bound did its work", labels=["limit"]
        )
        for limit, count in list(self._limits.items()):
            limits.add_metric([limit], count)
        yield limits
        yield self._denials()

    def _denials(self) -> Metric:
        """Denials by identity and kind. Identities are enrolled names, and only those with the most are told."""
        family = CounterMetricFamily(
            "bollard_identity_denied", "What identities were refused", labels=["identity", "what"]
        )
        for identity, tally in busiest(self._tallies(), MAX_IDENTITIES).items():
            for name, count in tally.as_dict().items():
                if count and name.startswith("denied_"):
                    family.add_metric([identity, name.removeprefix("denied_")], count)
        return family


class MetricsServer:
    """An HTTP server for one collector, on its own thread."""

    def __init__(self, bind: Address, collector: Collector) -> None:
        """Bind, and serve until `close`. Raises LocalError if the address cannot be bound."""
        registry = CollectorRegistry()
        registry.register(collector)
        app = _guarded(make_wsgi_app(registry), any_host=not is_loopback(bind.host))
        kind = _Server6 if ":" in bind.host else _Server
        try:
            self._server = make_server(bind.host, bind.port, app, kind, _Handler)
        except OSError as error:
            raise LocalError(
                f"metrics cannot be served on {bind}: {error.strerror}",
                "Choose another port under [metrics], or stop what uses this one.",
            ) from None
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(STOP_POLL_S,), name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _guarded(
    app: Callable[[Environment, StartResponse], Any], *, any_host: bool
) -> Callable[..., Iterable[bytes]]:
    """`app` at /metrics only, and on loopback only for requests that name this machine.

    A web page could otherwise make a browser on this machine read metrics for it, by letting its own
    host name resolve to 127.0.0.1 (DNS rebinding).
    """

    def serve(environ: Environment, start: StartResponse) -> Iterable[bytes]:
        if not any_host and not _names_loopback(environ.get("HTTP_HOST", "")):
            start("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"Ask for http://127.0.0.1 or http://localhost.\n"]
        if environ.get("PATH_INFO") != "/metrics":
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"Metrics are at /metrics.\n"]
        answer: Iterable[bytes] = app(environ, start)
        return answer

    return serve


def _names_loopback(host: str) -> bool:
    name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self._readers = threading.BoundedSemaphore(MAX_READERS)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._readers.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._readers.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._readers.release()

    def server_bind(self) -> None:
        # The library's own asks the DNS for the host's name, which can hang the start.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)
        self.setup_environ()


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_TIMEOUT_S

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: reads of metrics are no events."""

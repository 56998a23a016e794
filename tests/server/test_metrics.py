"""Prometheus metrics over HTTP on loopback."""

import http.client
from collections.abc import Iterator

import pytest

from bollard.base.errors import LocalError
from bollard.base.events import ClientConnected, LimitReached
from bollard.server.config import Address
from bollard.server.hearing import Hearing
from bollard.server.metrics import BrokerMetrics, MetricsServer

NUMBERS = {"publish_received": 7, "clients_connected": 2}


@pytest.fixture
def hearing() -> Hearing:
    return Hearing(lambda kind: ())


@pytest.fixture
def metrics(hearing: Hearing) -> BrokerMetrics:
    return BrokerMetrics(lambda: NUMBERS, "1.2", compiled=True, events=hearing.counts)


@pytest.fixture
def server(metrics: BrokerMetrics) -> Iterator[MetricsServer]:
    server = MetricsServer(Address("127.0.0.1", 0), metrics)
    yield server
    server.close()


def get(port: int, path: str = "/metrics", host: str = "127.0.0.1") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_counters_and_gauges_are_served_under_their_names(server: MetricsServer) -> None:
    status, text = get(server.port)
    assert status == 200
    assert "bollard_publish_received_total 7.0" in text
    assert "bollard_clients_connected 2.0" in text
    assert 'bollard_build_info{variant="compiled",version="1.2"} 1.0' in text


def test_events_are_counted_by_name_and_never_labelled_by_what_a_peer_wrote(
    server: MetricsServer, hearing: Hearing
) -> None:
    for number in range(50):
        hearing.tell(ClientConnected("plug", f"client-{number}", "192.0.2.7", "tls", 5, False, 60))
    text = get(server.port)[1]
    assert 'bollard_events_total{event="client.connected",level="info"} 50.0' in text
    assert "client-1" not in text


def test_only_metrics_are_served(server: MetricsServer) -> None:
    assert get(server.port, "/")[0] == 404
    assert get(server.port, "/metrics/../etc/passwd")[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", "", "[::2]"])
def test_a_page_that_rebinds_its_name_to_loopback_reads_nothing(server: MetricsServer, host: str) -> None:
    status, text = get(server.port, host=host)
    assert status == 403
    assert "bollard_" not in text


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:9464", "[::1]:9464"])
def test_names_of_this_machine_are_served(server: MetricsServer, host: str) -> None:
    assert get(server.port, host=host)[0] == 200


def test_a_busy_port_is_told_with_what_to_do(server: MetricsServer, metrics: BrokerMetrics) -> None:
    with pytest.raises(LocalError, match="cannot be served") as caught:
        MetricsServer(Address("127.0.0.1", server.port), metrics)
    assert "[metrics]" in caught.value.remedy


def test_limits_are_counted_by_their_names_and_with_what_was_not_reported(metrics: BrokerMetrics) -> None:
    metrics.observe(LimitReached("max_guesses", "plug", "c", "192.0.2.7", "wrong credentials"))
    metrics.observe(LimitReached("max_guesses", "lamp", "c", "192.0.2.7", "wrong credentials", more=41))
    (found,) = (family for family in metrics.collect() if family.name == "bollard_limits_reached")
    assert [(sample.labels, sample.value) for sample in found.samples] == [({"limit": "max_guesses"}, 43.0)]

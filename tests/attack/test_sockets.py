"""Floods through real sockets: what is not read for a while is neither lost nor kept in memory."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from bollard.engine.limits import Limits
from bollard.server.config import Address
from bollard.server.metrics import MAX_READERS, BrokerMetrics, MetricsServer
from spec.daemon import DaemonBroker, SocketLink
from spec.doors import Doorman, Rules

PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
COUNT = 60_000
CONNECT_V4 = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"
CONNACK = b"\x20\x02\x00\x00"


@pytest.fixture
def daemon() -> Iterator[DaemonBroker]:
    made = DaemonBroker(Limits(), Rules(), Doorman())
    yield made
    made.stop()


def received(link: SocketLink, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and not link.ended:
        data += link.read(wait=True)
    return bytes(data)


def test_a_flood_of_pings_is_answered_to_the_last_one(daemon: DaemonBroker) -> None:
    healthy = daemon.connected(5, "healthy")
    link = daemon.dial()
    link.write(CONNECT_V4)
    assert received(link, len(CONNACK)) == CONNACK
    flood = threading.Thread(target=link.write, args=(PINGREQ * COUNT,))
    flood.start()
    healthy.ping()
    answers = received(link, 2 * COUNT)
    flood.join()
    assert answers == PINGRESP * COUNT
    healthy.ping()


def test_a_flood_that_ends_with_the_connection_leaves_the_others_alone(daemon: DaemonBroker) -> None:
    healthy = daemon.connected(5, "healthy")
    for _ in range(3):
        link = daemon.dial()
        link.write(CONNECT_V4 + PINGREQ * 20_000)
        link.drop()
    healthy.ping()


def test_connections_to_the_metrics_that_say_nothing_do_not_each_hold_a_thread() -> None:
    server = MetricsServer(Address("127.0.0.1", 0), BrokerMetrics(dict, "1", compiled=False))
    before = threading.active_count()
    links: list[socket.socket] = []
    try:
        for _ in range(3 * MAX_READERS):
            links.append(socket.create_connection(("127.0.0.1", server.port), 5))
        end = time.monotonic() + 5
        while not any(is_closed(link) for link in links) and time.monotonic() < end:
            time.sleep(0.01)
        assert threading.active_count() - before <= MAX_READERS
        assert sum(map(is_closed, links)) >= 1
    finally:
        for link in links:
            link.close()
        server.close()


def is_closed(link: socket.socket) -> bool:
    link.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        try:
            return link.recv(1, socket.MSG_PEEK) == b""
        except ConnectionError:
            return True
    return False

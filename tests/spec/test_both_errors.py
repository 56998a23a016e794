"""What goes wrong on our side, and packets that would be too large for the client: chapters 4.8 and 3.1.2."""

import pytest

from bollard.wire.connect import Pingreq

from .clauses import clause
from .conversation import Broker
from .daemon import DaemonBroker
from .doors import METHOD
from .packets import V5, connect, sub, subscribe, unsubscribe


@clause("MQTT3-4.8.0-2")
def test_an_error_of_ours_ends_only_the_connection_that_met_it(
    daemon: DaemonBroker, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("as if there were none left")

    a, b = daemon.connected(version), daemon.connected(version)
    monkeypatch.setattr("bollard.engine.rare.receive_subscribe", fail)
    a.send(subscribe(1, sub("a")), Pingreq())
    a.everything()
    a.expect_closed()
    b.ping()
    assert len(daemon.warnings) == 1
    daemon.warnings.clear()


@clause("MQTT5-3.1.2-24")
def test_no_answer_of_many_parts_is_larger_than_the_client_takes(broker: Broker) -> None:
    a = broker.connected(V5, maximum_packet_size=40)
    a.send(subscribe(1, *(sub(f"a{number}") for number in range(50))), Pingreq())
    assert max(map(len, a.everything()), default=0) <= 40
    b = broker.connected(V5, maximum_packet_size=40)
    b.send(unsubscribe(1, *(f"a{number}" for number in range(50))), Pingreq())
    assert max(map(len, b.everything()), default=0) <= 40


@clause("MQTT5-3.1.2-24", "MQTT5-3.2.2-19")
@pytest.mark.parametrize("size", [1, 4, 10])
def test_a_client_that_cannot_take_connack_gets_nothing_larger(broker: Broker, size: int) -> None:
    a = broker.client(V5)
    a.send(connect(V5, "", maximum_packet_size=size))
    assert max(map(len, a.until_end()), default=0) <= size
    b = broker.client(V5)
    b.send(connect(V5, "b", maximum_packet_size=size, authentication_method=METHOD))
    assert max(map(len, b.until_end()), default=0) <= size

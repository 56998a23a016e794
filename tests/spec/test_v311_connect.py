"""CONNECT and CONNACK, chapters 3.1 and 3.2: what only MQTT 3.1.1 has."""

import pytest

from bollard.engine.limits import Limits

from .clauses import clause
from .conftest import Build
from .conversation import Broker
from .doors import Doorman, Rules
from .memory import MemoryBroker
from .packets import V311, connect, packet, text, will


@clause("MQTT3-3.1.2-22", "MQTT3-3.1.4-1")
def test_a_password_needs_a_user_name(broker: Broker) -> None:
    a = broker.client(V311)
    a.send(packet(0x10, text("MQTT") + bytes((4, 0x42, 0, 60)) + text("a") + text("secret")))
    a.expect_closed()


@clause("MQTT3-3.1.3-7", "MQTT3-3.1.3-8")
def test_an_empty_id_with_a_session_to_keep_is_refused(broker: Broker) -> None:
    a = broker.client(V311)
    a.send(connect(V311, "", clean=False))
    a.expect_bytes("20 02 00 02")
    a.expect_closed()


@clause("MQTT3-3.1.4-4", "MQTT3-3.2.2-1")
def test_connack_is_these_four_bytes(broker: Broker) -> None:
    a = broker.client(V311)
    a.send(bytes.fromhex("10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 61"))
    a.expect_bytes("20 02 00 00")


@clause("MQTT3-3.2.2-6")
def test_a_refusal_that_has_no_return_code_is_just_the_end(build: Build) -> None:
    """No code of 3.1.1 says that the QoS of a will is not supported."""
    a = build(limits=Limits(maximum_qos=1)).client(V311)
    a.send(connect(V311, "a", will=will(qos=2)))
    a.expect_closed()


@clause("MQTT3-3.2.2-6", "MQTT3-3.1.4-1")
def test_a_connect_that_is_too_large_is_just_the_end(build: Build) -> None:
    a = build(limits=Limits(max_connect_bytes=100)).client(V311)
    a.send(connect(V311, "a" * 100))
    a.expect_closed()


@clause("MQTT3-3.1.2-4", "MQTT3-4.1.0-1")
@pytest.mark.parametrize(("waited", "present"), [(3600, True), (7201, False)])
def test_a_kept_session_lasts_as_long_as_the_server_keeps_sessions(waited: int, present: bool) -> None:
    timed = MemoryBroker(Limits(session_expiry_max_s=7200), Rules(), Doorman())
    timed.connected(V311, "a", clean=False).disconnect()
    timed.advance(waited)
    a = timed.client(V311)
    a.send(connect(V311, "a", clean=False))
    a.expect_connack(session_present=present)

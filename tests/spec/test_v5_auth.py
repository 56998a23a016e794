"""Enhanced authentication, chapters 3.15 and 4.12, with a mechanism that the conversations bring along."""

from typing import Any

import pytest

from bollard.wire.connect import Auth, Connack, Disconnect

from .clauses import clause
from .conversation import Broker, Client
from .doors import METHOD
from .packets import V5, Message, connect, packet, properties_of, text, will

CONTINUE, AGAIN = 0x18, 0x19


def auth(code: int, data: bytes | None = None, method: str | None = METHOD) -> Auth:
    return Auth(code, properties_of(authentication_method=method, authentication_data=data))


def challenged(broker: Broker) -> Client:
    """A client that named the method and got its riddle."""
    a = broker.client(V5)
    a.send(connect(V5, "a", authentication_method=METHOD))
    a.expect(auth(CONTINUE, b"riddle"))
    return a


def authenticated(broker: Broker, **options: Any) -> Client:
    a = broker.client(V5)
    a.send(connect(V5, "a", authentication_method=METHOD, authentication_data=b"right", **options))
    a.expect_connack()
    return a


@clause("MQTT5-4.12.0-2", "MQTT5-4.12.0-3", "MQTT5-4.12.0-5", "MQTT5-3.15.2-1", "MQTT5-3.2.0-1")
def test_an_exchange_goes_on_until_the_server_knows_who_it_is(broker: Broker) -> None:
    a = challenged(broker)
    for _ in range(3):
        a.send(auth(CONTINUE, b"again"))
        a.expect(auth(CONTINUE, b"riddle"))
    a.send(auth(CONTINUE, b"right"))
    answer = a.expect_connack()
    assert answer.properties.authentication_method == METHOD
    assert answer.properties.authentication_data == b"well done"
    a.ping()


@clause("MQTT5-4.12.0-5")
def test_the_method_is_repeated_where_the_first_step_is_enough(broker: Broker) -> None:
    a = broker.client(V5)
    a.send(connect(V5, "a", authentication_method=METHOD, authentication_data=b"right"))
    assert a.expect_connack().properties.authentication_method == METHOD


@clause("MQTT5-4.12.0-1", "MQTT5-3.1.4-2")
def test_an_unknown_method_is_refused(broker: Broker) -> None:
    a = broker.client(V5)
    a.send(connect(V5, "a", authentication_method="TELEPATHY"))
    a.expect_refused(0x8C)


@clause("MQTT5-4.12.0-4", "MQTT5-3.1.4-6", "MQTT5-3.14.0-1")
def test_a_wrong_answer_is_refused_at_any_step(broker: Broker) -> None:
    watcher = broker.connected(V5)
    watcher.subscribe("#")
    a = challenged(broker)
    a.send(auth(CONTINUE, b"again"))
    a.expect(auth(CONTINUE, b"riddle"))
    a.send(auth(CONTINUE, b"wrong"), Message("a", b"x"))
    a.expect_refused(0x87)
    watcher.expect_nothing()


@clause("MQTT5-4.12.0-5", "MQTT5-4.13.1-1", "MQTT5-3.14.0-1")
@pytest.mark.parametrize("method", ["OTHER", None])
def test_another_method_in_the_middle_is_refused(broker: Broker, method: str | None) -> None:
    a = challenged(broker)
    a.send(auth(CONTINUE, b"right" if method else None, method))
    answer = a.receive()
    assert isinstance(answer, Connack)
    assert answer.code in (0x82, 0x8C)
    a.expect_closed()


@clause("MQTT5-4.12.0-3", "MQTT5-3.15.2-1", "MQTT5-3.14.0-1")
@pytest.mark.parametrize("code", [0x00, 0x19])
def test_a_client_answers_with_no_other_code(broker: Broker, code: int) -> None:
    a = challenged(broker)
    a.send(auth(code, b"right"))
    answer = a.receive()
    assert isinstance(answer, Connack)
    assert answer.code == 0x82
    a.expect_closed()


@clause("MQTT5-4.12.0-6")
def test_who_names_no_method_is_told_none(broker: Broker) -> None:
    answer = broker.client(V5).connect("a", username="user", password=b"secret")
    assert answer.properties.authentication_method is None
    assert answer.properties.authentication_data is None


@clause("MQTT5-4.12.0-7", "MQTT5-4.13.1-1")
@pytest.mark.parametrize("code", [CONTINUE, AGAIN])
def test_an_auth_of_who_named_no_method_ends_the_connection(broker: Broker, code: int) -> None:
    a = broker.connected(V5)
    a.send(auth(code, b"right"))
    a.expect_closed(0x82)


@pytest.mark.parametrize("header", [0xF1, 0xF2, 0xF4, 0xF8])
@clause("MQTT5-3.15.1-1", "MQTT5-2.1.3-1")
def test_flags_of_auth_end_the_connection(broker: Broker, header: int) -> None:
    block = b"\x15" + text(METHOD)
    a = authenticated(broker)
    a.send(packet(header, bytes((AGAIN, len(block))) + block))
    a.expect_closed(0x81)


@pytest.mark.parametrize("code", [0x01, 0x17, 0x1A, 0x80, 0xFF])
@clause("MQTT5-3.15.2-1", "MQTT5-4.13.1-1")
def test_a_code_that_auth_does_not_have_ends_the_connection(broker: Broker, code: int) -> None:
    block = b"\x15" + text(METHOD)
    a = authenticated(broker)
    a.send(packet(0xF0, bytes((code, len(block))) + block))
    assert a.raw()[2] in (0x81, 0x82)
    a.expect_closed()


# once more, on a living connection


@clause("MQTT5-4.12.1-1", "MQTT5-4.12.0-2", "MQTT5-4.12.0-5", "MQTT5-3.15.2-1")
def test_a_client_may_prove_itself_again(broker: Broker) -> None:
    a = authenticated(broker)
    a.subscribe("a")
    a.send(auth(AGAIN))
    a.expect(auth(CONTINUE, b"riddle"))
    a.publish("a", b"x")
    a.expect_message("a", b"x")
    a.send(auth(CONTINUE, b"right"))
    a.expect(auth(0x00, b"well done"))
    a.ping()


@clause("MQTT5-4.12.1-2", "MQTT5-4.13.2-1")
def test_a_failed_proof_ends_the_connection(broker: Broker) -> None:
    watcher = broker.connected(V5)
    watcher.subscribe("will")
    a = authenticated(broker, will=will())
    a.send(auth(AGAIN))
    a.expect(auth(CONTINUE, b"riddle"))
    a.send(auth(CONTINUE, b"wrong"))
    a.expect_closed(0x87)
    watcher.expect_message("will", b"gone")


@clause("MQTT5-4.12.1-1", "MQTT5-4.12.0-5")
def test_a_proof_by_another_method_ends_the_connection(broker: Broker) -> None:
    a = authenticated(broker)
    a.send(auth(AGAIN, b"right", "OTHER"))
    found = a.receive()
    assert isinstance(found, Disconnect)
    assert found.code in (0x82, 0x8C)
    a.expect_closed()


@clause("MQTT5-4.12.1-1", "MQTT5-3.15.2-1")
def test_an_answer_without_a_riddle_ends_the_connection(broker: Broker) -> None:
    a = authenticated(broker)
    a.send(auth(CONTINUE, b"right"))
    a.expect_closed(0x82)


@clause("MQTT5-4.12.0-3", "MQTT5-4.12.1-1")
def test_an_answer_before_the_riddle_ends_the_connection(broker: Broker) -> None:
    a = authenticated(broker)
    a.send(auth(AGAIN), *(auth(CONTINUE, b"again") for _ in range(50)))
    a.expect_closed(0x82)


@clause("MQTT5-3.14.0-1")
def test_a_client_may_give_up_during_the_exchange(broker: Broker) -> None:
    a = challenged(broker)
    a.send(Disconnect(0, properties_of()))
    a.expect_closed()

"""Enhanced authentication: an exchange with a mechanism, at CONNECT and later."""

import pytest

from bollard.base.authentication import Accepted, Answer, Challenge, Question, Refused
from bollard.wire.connect import Auth, Connack, Disconnect
from bollard.wire.properties import Properties
from bollard.wire.spec import ReasonCode
from support.memory import Device, House, connect, publish, subscribe

METHOD = "COUNT"
CONTINUE, AGAIN = ReasonCode.CONTINUE_AUTHENTICATION, ReasonCode.RE_AUTHENTICATE


class Counting:
    """A mechanism: the peer must count on from what it was sent, `steps` times.

    It keeps where it is in the exchange, as a real one keeps its nonces.
    """

    def __init__(self, steps: int = 2, principal: str = "me") -> None:
        self.steps = steps
        self.principal = principal
        self.questions: list[Question] = []

    def __call__(self, question: Question) -> Answer:
        self.questions.append(question)
        if question.method != METHOD:
            return Refused(ReasonCode.BAD_AUTHENTICATION_METHOD, "an unknown method")
        done = 0 if question.step != "continue" else question.exchange
        if question.data != str(done).encode():
            return Refused(ReasonCode.NOT_AUTHORIZED, "it cannot count")
        question.exchange = done + 1
        if question.exchange < self.steps:
            return Challenge(b"next")
        return Accepted(self.principal, b"good")


def auth(code: int, data: bytes, method: str = METHOD) -> Auth:
    return Auth(code, Properties(authentication_method=method, authentication_data=data))


def hello(data: bytes = b"0", method: str = METHOD) -> object:
    return connect("c", authentication_method=method, authentication_data=data)


def authenticated(mechanism: Counting, steps: int = 2) -> tuple[House, Device]:
    house = House(answerer=mechanism)
    device = house.open()
    device.send(hello())  # type: ignore[arg-type]
    for step in range(1, steps):
        device.one(Auth)
        device.send(auth(CONTINUE, str(step).encode()))
    assert device.one(Connack).code == 0
    return house, device


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_an_exchange_of_any_length_ends_in_connack(steps: int) -> None:
    mechanism = Counting(steps)
    house = House(answerer=mechanism)
    device = house.open()
    device.send(hello())  # type: ignore[arg-type]
    for step in range(1, steps):
        challenge = device.one(Auth)
        assert challenge == Auth(
            CONTINUE, Properties(authentication_method=METHOD, authentication_data=b"next")
        )
        device.send(auth(CONTINUE, str(step).encode()))
    connack = device.one(Connack)
    assert (connack.code, connack.properties.authentication_method) == (0, METHOD)
    assert connack.properties.authentication_data == b"good"
    assert [question.step for question in mechanism.questions] == ["connect"] + ["continue"] * (steps - 1)
    assert house.session("c", "me") is not None


@pytest.mark.parametrize("at", [0, 1])
def test_a_wrong_step_is_refused(at: int) -> None:
    house = House(answerer=Counting(3))
    device = house.open()
    device.send(hello(b"wrong" if at == 0 else b"0"))  # type: ignore[arg-type]
    if at:
        device.send(auth(CONTINUE, b"wrong"))
        device.one(Auth)
    assert device.one(Connack).code == ReasonCode.NOT_AUTHORIZED
    assert device.closed
    assert list(house.broker.sessions()) == []


def test_an_unknown_method_is_refused() -> None:
    device = House(answerer=Counting()).open()
    device.send(hello(method="OTHER"))  # type: ignore[arg-type]
    assert device.one(Connack).code == ReasonCode.BAD_AUTHENTICATION_METHOD


@pytest.mark.parametrize(
    "packet",
    [
        auth(CONTINUE, b"1", "OTHER"),
        auth(AGAIN, b"1"),
        publish(5, "a"),
        subscribe("a"),
        connect("again"),
    ],
    ids=["another method", "re-authenticate", "publish", "subscribe", "connect"],
)
def test_nothing_but_the_next_step_is_legal_during_the_exchange(packet: object) -> None:
    house = House(answerer=Counting(3))
    device = house.open()
    device.send(hello())  # type: ignore[arg-type]
    device.one(Auth)
    device.send(packet)  # type: ignore[arg-type]
    assert device.closed
    assert list(house.broker.sessions()) == []


def test_an_exchange_that_stalls_is_closed_in_time() -> None:
    house = House(answerer=Counting(3))
    device = house.open()
    device.send(hello())  # type: ignore[arg-type]
    house.advance(11)
    assert device.closed


def test_auth_without_a_method_in_connect_is_a_protocol_error(house: House) -> None:
    device = house.connect()
    device.send(auth(AGAIN, b"0"))
    assert device.one(Disconnect).code == ReasonCode.PROTOCOL_ERROR


def test_re_authentication_keeps_the_session_running() -> None:
    mechanism = Counting()
    house, device = authenticated(mechanism)
    device.subscribe("a")
    device.send(auth(AGAIN, b"0"))
    device.one(Auth)
    house.broker.publish("a", b"meanwhile", now=house.now)
    house.settle()
    assert device.payloads() == [b"meanwhile"]
    device.send(auth(CONTINUE, b"1"))
    assert device.one(Auth).code == ReasonCode.SUCCESS
    assert mechanism.questions[-1].principal == "me"


def test_re_authentication_that_fails_ends_the_connection() -> None:
    _, device = authenticated(Counting())
    device.send(auth(AGAIN, b"wrong"))
    assert device.one(Disconnect).code == ReasonCode.NOT_AUTHORIZED


def test_re_authentication_cannot_change_who_it_is() -> None:
    mechanism = Counting(1)
    house, device = authenticated(mechanism, 1)
    mechanism.principal = "somebody else"
    device.send(auth(AGAIN, b"0"))
    assert device.one(Disconnect).code == ReasonCode.NOT_AUTHORIZED
    assert house.session("c", "somebody else") is None


def test_re_authentication_cannot_change_the_method() -> None:
    _, device = authenticated(Counting())
    device.send(auth(AGAIN, b"0", "OTHER"))
    assert device.one(Disconnect).code == ReasonCode.PROTOCOL_ERROR


def test_a_second_re_authentication_before_the_first_has_ended_is_a_protocol_error() -> None:
    _, device = authenticated(Counting())
    device.send(auth(AGAIN, b"0"), auth(AGAIN, b"0"))
    assert device.one(Disconnect).code == ReasonCode.PROTOCOL_ERROR


def test_answers_that_nobody_asked_for_are_not_put_to_the_mechanism() -> None:
    mechanism = Counting()
    _, device = authenticated(mechanism)
    before = len(mechanism.questions)
    device.send(auth(AGAIN, b"0"), *[auth(CONTINUE, b"1")] * 50)
    assert device.closed
    assert len(mechanism.questions) <= before + 1


def test_a_continuation_without_a_challenge_is_a_protocol_error() -> None:
    _, device = authenticated(Counting())
    device.send(auth(CONTINUE, b"1"))
    assert device.one(Disconnect).code == ReasonCode.PROTOCOL_ERROR


def test_a_challenge_larger_than_the_client_takes_ends_the_exchange() -> None:
    house = House(answerer=Counting())
    device = house.open()
    device.send(connect("c", authentication_method=METHOD, authentication_data=b"0", maximum_packet_size=10))
    assert device.one(Connack).code == ReasonCode.PACKET_TOO_LARGE
    assert device.closed

import pytest

from bollard.client.errors import AuthenticationFailed, ClientError, ServerBrokeProtocol
from bollard.client.exchange import MAX_CHALLENGES
from bollard.client.protocol import CONNECT_TOKEN
from bollard.wire.connect import Auth, Connack, Connect, Disconnect
from bollard.wire.properties import Properties
from client.peer import Talk


class Echo:
    """A mechanism whose server proves itself by saying b"proof"."""

    method = "ECHO"

    def __init__(self) -> None:
        self.certificate: bytes | None = b"unset"

    def start(self, server_certificate: bytes | None) -> bytes:
        self.certificate = server_certificate
        return b"first"

    def step(self, data: bytes) -> bytes:
        return b"re:" + data

    def finish(self, data: bytes) -> None:
        if data != b"proof":
            raise ValueError("no proof")


def said(data: bytes | None, method: str | None = "ECHO") -> Properties:
    return Properties(authentication_method=method, authentication_data=data)


def connecting() -> Talk:
    talk = Talk(authentication=Echo())
    talk.core.connect(talk.now, b"der")
    return talk


def test_the_exchange_runs_inside_connect() -> None:
    talk = connecting()
    (packet,) = talk.sent()
    assert isinstance(packet, Connect)
    assert packet.properties.authentication_method == "ECHO"
    assert packet.properties.authentication_data == b"first"
    talk.say(Auth(0x18, said(b"q")))
    assert talk.sent() == [Auth(0x18, said(b"re:q"))]
    talk.say(Connack(False, 0, said(b"proof")))
    assert isinstance(dict(talk.core.take_outcomes())[CONNECT_TOKEN], Connack)


def test_the_mechanism_sees_the_certificate_of_the_server() -> None:
    mechanism = Echo()
    talk = Talk(authentication=mechanism)
    talk.core.connect(talk.now, b"der")
    assert mechanism.certificate == b"der"


@pytest.mark.parametrize(
    "told",
    [said(b"wrong"), said(None), Properties(), said(b"proof", "OTHER")],
    ids=["wrong", "none", "bare", "other"],
)
def test_a_server_without_proof_gets_nothing_more(told: Properties) -> None:
    talk = connecting()
    talk.sent()
    talk.publish("secret", b"s", qos=1)
    talk.say(Connack(False, 0, told))
    assert isinstance(talk.core.failure, AuthenticationFailed)
    assert talk.sent() == []


def test_a_server_cannot_ask_for_ever() -> None:
    talk = connecting()
    for _ in range(MAX_CHALLENGES + 1):
        talk.say(Auth(0x18, said(b"q")))
    assert isinstance(talk.core.failure, AuthenticationFailed)


@pytest.mark.parametrize(
    "packet", [Auth(0x18, said(b"q", "OTHER")), Auth(0x00, said(b"proof")), Auth(0x19, said(b"q"))]
)
def test_auth_of_another_method_or_kind_is_a_protocol_error(packet: Auth) -> None:
    talk = connecting()
    talk.say(packet)
    assert isinstance(talk.core.failure, ServerBrokeProtocol)


def connected() -> Talk:
    talk = connecting()
    talk.say(Connack(False, 0, said(b"proof")))
    talk.sent()
    talk.outcomes()
    return talk


def test_authenticating_again_ends_with_success() -> None:
    talk = connected()
    token = talk.core.reauthenticate(talk.now, b"der")
    assert talk.sent() == [Auth(0x19, said(b"first"))]
    talk.say(Auth(0x18, said(b"q")))
    assert talk.sent() == [Auth(0x18, said(b"re:q"))]
    talk.say(Auth(0x00, said(b"proof")))
    assert talk.outcomes() == {token: 0}


def test_authenticating_again_without_proof_ends_the_connection() -> None:
    talk = connected()
    token = talk.core.reauthenticate(talk.now)
    talk.sent()
    talk.say(Auth(0x00, said(b"wrong")))
    assert isinstance(talk.core.failure, AuthenticationFailed)
    assert talk.sent() == [Disconnect(0x80)]
    assert isinstance(talk.outcomes()[token], AuthenticationFailed)


def test_two_at_a_time_or_none_agreed_on_is_refused() -> None:
    talk = connected()
    talk.core.reauthenticate(talk.now)
    with pytest.raises(ClientError):
        talk.core.reauthenticate(talk.now)
    plain = Talk()
    plain.connect()
    with pytest.raises(ClientError):
        plain.core.reauthenticate(plain.now)


def test_auth_out_of_turn_is_a_protocol_error() -> None:
    talk = connected()
    talk.say(Auth(0x18, said(b"q")))
    assert isinstance(talk.core.failure, ServerBrokeProtocol)


def test_a_method_that_nobody_asked_for_is_a_protocol_error() -> None:
    talk = Talk()
    talk.core.connect(talk.now)
    talk.say(Connack(False, 0, said(b"x")))
    assert isinstance(talk.core.failure, ServerBrokeProtocol)

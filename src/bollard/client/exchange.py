"""MQTT 5.0 enhanced authentication, the client's side: CONNECT or AUTH 0x19, challenges, the last word.

The mechanism itself is a plug (`messages.Authentication`); here is the order of events that it can rely on:
`start`, then any number of `step`, then `finish`, and nothing else is sent before `finish` has returned.
"""

from collections.abc import Callable
from typing import TypeVar

from bollard.base.errors import ProtocolError
from bollard.client.errors import AuthenticationFailed, ClientError
from bollard.client.messages import Authentication
from bollard.wire.connect import Auth
from bollard.wire.properties import Properties
from bollard.wire.spec import ReasonCode

#: Challenges in one authentication (attack: a server that goes on asking for ever).
MAX_CHALLENGES = 16

_T = TypeVar("_T")


class Exchange:
    """The authentication of one connection. `token` is what waits for a re-authentication, 0 for none."""

    def __init__(self, mechanism: Authentication | None) -> None:
        self.token = 0
        self._mechanism = mechanism
        self._running = False
        self._challenges = 0

    @property
    def possible(self) -> bool:
        """May a re-authentication begin?"""
        return self._mechanism is not None and not self._running

    def start(self, server_certificate: bytes | None, token: int = 0) -> Properties:
        """The properties that begin an authentication; empty ones without a mechanism."""
        self.token = token
        self._challenges = 0
        mechanism = self._mechanism
        if mechanism is None:
            return Properties()
        self._running = True
        return self._saying(_hooked(lambda: mechanism.start(server_certificate)))

    def answer(self, packet: Auth) -> Auth | None:
        """The AUTH to answer an AUTH with; None where it was the good end of a re-authentication."""
        mechanism = self._mechanism
        if mechanism is None:
            raise ProtocolError("AUTH, but no authentication method was agreed on", "MQTT5-4.12.0-1")
        if not self._running or packet.properties.authentication_method != mechanism.method:
            raise ProtocolError("AUTH out of turn, or of another method", "MQTT5-4.12.0-5")
        if packet.code == ReasonCode.SUCCESS and self.token:
            self.finish(packet.properties)
            return None
        if packet.code != ReasonCode.CONTINUE_AUTHENTICATION:  # [MQTT5-4.12.0-2]
            raise ProtocolError(f"AUTH with reason code 0x{packet.code:02X} from a server", "MQTT5-4.12.0-2")
        self._challenges += 1
        if self._challenges > MAX_CHALLENGES:
            raise AuthenticationFailed(f"the server asked more than {MAX_CHALLENGES} times")
        data = packet.properties.authentication_data or b""
        return Auth(ReasonCode.CONTINUE_AUTHENTICATION, self._saying(_hooked(lambda: mechanism.step(data))))

    def finish(self, told: Properties) -> None:
        """Let the mechanism judge the last word of the server, in CONNACK or AUTH."""
        mechanism = self._mechanism
        if mechanism is None:
            if told.authentication_method is not None:
                raise ProtocolError("an authentication method that we did not ask for", "MQTT5-4.12.0-6")
            return
        if told.authentication_method != mechanism.method:
            raise AuthenticationFailed("the server left the authentication method out of its answer")
        data = told.authentication_data or b""
        _hooked(lambda: mechanism.finish(data))
        self._running = False

    def _saying(self, data: bytes) -> Properties:
        assert self._mechanism is not None
        return Properties(authentication_method=self._mechanism.method, authentication_data=data)


def _hooked(call: Callable[[], _T]) -> _T:
    """Call a mechanism. It is foreign code that judges hostile data: whatever it raises means no."""
    try:
        return call()
    except ClientError:
        raise
    except Exception as error:
        raise AuthenticationFailed(
            f"the authentication mechanism refused the server: {type(error).__name__}",
            "The server could not prove that it knows the secret, or does not speak this method.",
        ) from error

"""Every way in which an operation of the client fails. Texts are for our own user: what happened, and what to
do next. What a server wrote is escaped before it gets here, and no text holds a password or a payload.

Mistakes in the arguments are not here: those are `LocalError`, raised before anything is sent.
"""

from collections.abc import Mapping

from bollard.base.errors import BollardError
from bollard.client.reasons import describe, heals, printable, remedy, told


class ClientError(BollardError):
    """Base of what can go wrong between us and a server.

    `message` says what happened, `remedy` what to do; `heals` whether trying again, unchanged, may help.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "", *, heals: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.heals = heals

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message


class ConnectFailed(ClientError):
    """No connection came about: name, network, port, TLS, or nobody answered in time."""


class ServerNotTrusted(ClientError):
    """The server could not show that it is the one we were told to trust. Nothing was sent to it."""


class ConnectionLost(ClientError):
    """The connection broke, or the server stopped answering."""


class ServerBrokeProtocol(ClientError):
    """The server sent what the specification forbids. `code` and `clause` say what; we have hung up."""

    def __init__(self, code: int, text: str, clause: str = "") -> None:
        place = f" [{clause}]" if clause else ""
        super().__init__(
            f"the server broke the protocol: {printable(text)}{place}",
            "Is this an MQTT server of the version that you chose?",
        )
        self.code = code
        self.clause = clause


class AuthenticationFailed(ClientError):
    """The server did not finish the authentication as the method demands. Nothing more was sent to it."""


class Refused(ClientError):
    """The server answered with a reason code of 0x80 or above. `code` is it, `reason` its own words."""

    def __init__(self, what: str, code: int, reason: str | None = None, advice: str = "") -> None:
        super().__init__(f"{what}: {describe(code)}{told(reason)}", advice or remedy(code), heals=heals(code))
        self.code = code
        self.reason = reason or ""


class ConnectRefused(Refused):
    """CONNACK with a refusal. `reference` names another server where the server named one."""

    def __init__(self, code: int, reason: str | None = None, reference: str | None = None) -> None:
        super().__init__("the server refused the connection", code, reason, _advice(code, reference))
        self.reference = reference or ""


class ServerDisconnected(Refused):
    """The server ended the connection with a DISCONNECT."""

    def __init__(self, code: int, reason: str | None = None, reference: str | None = None) -> None:
        super().__init__("the server ended the connection", code, reason, _advice(code, reference))
        self.reference = reference or ""
        if code < 0x80:
            self.heals = True


class PublishRefused(Refused):
    """The server did not take a message of QoS 1 or 2."""

    def __init__(self, topic: str, code: int, reason: str | None = None) -> None:
        super().__init__(f'the server refused the message to "{printable(topic)}"', code, reason)
        self.topic = topic


class SubscribeRefused(Refused):
    """The server refused some filters. `codes` has the answer for every filter of the request."""

    def __init__(self, codes: Mapping[str, int], reason: str | None = None) -> None:
        refused = {name: code for name, code in codes.items() if code >= 0x80}
        names = ", ".join(f'"{printable(name)}"' for name in refused)
        super().__init__(f"the server refused to subscribe to {names}", next(iter(refused.values())), reason)
        self.codes = dict(codes)


class UnsubscribeRefused(Refused):
    """The server refused to end some subscriptions. `codes` as in `SubscribeRefused`."""

    def __init__(self, codes: Mapping[str, int], reason: str | None = None) -> None:
        refused = {name: code for name, code in codes.items() if code >= 0x80}
        names = ", ".join(f'"{printable(name)}"' for name in refused)
        super().__init__(
            f"the server refused to unsubscribe from {names}", next(iter(refused.values())), reason
        )
        self.codes = dict(codes)


class NotSupported(ClientError):
    """The server has said at CONNECT that it does not do this, so it was not sent."""


class DeliveryUnknown(ClientError):
    """A QoS 2 message was under way when the server lost the session: it may have arrived or not.

    It is not sent again, because that could deliver it twice.
    """


class QueueFull(ClientError):
    """Too many messages wait to be sent, or the server sent more than fits and would not wait."""


class ClientClosed(ClientError):
    """The client was closed, by `async with` ending or by `close`."""


def _advice(code: int, reference: str | None) -> str:
    """What to do about a connection that was refused or ended with `code`."""
    advice = remedy(code, of_connection=True)
    return f'{advice} It names "{printable(reference[:200])}".'.strip() if reference else advice

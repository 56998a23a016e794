"""What happened, as frozen records. Observers turn them into log lines, audit entries and metrics.

An event can never alter an outcome: it is emitted after the fact and read by many. Fields never hold
secrets or payloads; text that a peer chose (client ids, topics, user names) is in them as it came, so
whoever prints an event must escape it.

Two are made for each connection, so they are structs, whose fields are set a dozen times faster than those of a
frozen dataclass.
"""

from typing import ClassVar

import msgspec


class Event(msgspec.Struct, frozen=True):
    """Base of all events. `name` is stable; `level` is "debug", "info", "warning" or "error"."""

    name: ClassVar[str] = "event"
    level: ClassVar[str] = "info"


class ClientConnected(Event, frozen=True):
    name: ClassVar[str] = "client.connected"
    principal: str
    client_id: str
    address: str
    listener: str
    version: int
    session_present: bool
    keepalive_s: int


class ClientDisconnected(Event, frozen=True):
    """`by` is "client", "server" or "network"; `code` an MQTT 5.0 reason code; `reason` a sentence."""

    name: ClassVar[str] = "client.disconnected"
    principal: str
    client_id: str
    address: str
    by: str
    code: int
    reason: str


class ConnectRefused(Event, frozen=True):
    """A CONNECT, or an authentication, that was answered with a refusal or just closed."""

    name: ClassVar[str] = "connect.refused"
    level: ClassVar[str] = "warning"
    address: str
    listener: str
    client_id: str
    username: str
    code: int
    reason: str


class TransportRefused(Event, frozen=True):
    """A connection that ended before MQTT began: TLS alert, plaintext on a TLS port, limit, timeout."""

    name: ClassVar[str] = "transport.refused"
    level: ClassVar[str] = "warning"
    address: str
    listener: str
    reason: str


class AccessDenied(Event, frozen=True):
    """`action` is the lower-case name of an `Action`; `topic` a topic name or filter."""

    name: ClassVar[str] = "access.denied"
    level: ClassVar[str] = "warning"
    principal: str
    client_id: str
    action: str
    topic: str
    rule: str
    reason: str


class LimitReached(Event, frozen=True):
    """A bound did its work. `limit` is the configuration key; `principal` or `address` the offender; `more`
    how often it did so besides since the last report."""

    name: ClassVar[str] = "limit.reached"
    level: ClassVar[str] = "warning"
    limit: str
    principal: str
    client_id: str
    address: str
    detail: str
    more: int | None = None


class SessionEnded(Event, frozen=True):
    name: ClassVar[str] = "session.ended"
    principal: str
    client_id: str
    reason: str


class ServerEvent(Event, frozen=True):
    """Life of the server itself: started, stopped, reloaded, failed; `what` says which."""

    name: ClassVar[str] = "server"
    what: str
    detail: str = ""


class ServerWarning(Event, frozen=True):
    name: ClassVar[str] = "server.warning"
    level: ClassVar[str] = "warning"
    what: str
    detail: str = ""

"""What crosses between an application and the client: messages, authentication, the settings of a connection.

Records without behaviour beyond checking themselves.
"""

from dataclasses import dataclass, field
from typing import Protocol

from bollard.base.errors import LocalError, PeerError
from bollard.base.types import Secret
from bollard.wire.connect import Will
from bollard.wire.properties import Properties
from bollard.wire.spec import MAX_STRING_BYTES, V5, V311
from bollard.wire.topics import check_topic_name

#: Topic levels that we accept from a server, and send. The format itself allows 65,536.
MAX_TOPIC_LEVELS = 1024


@dataclass(frozen=True, slots=True)
class Message:
    """A message that arrived. `properties` are those of MQTT 5.0, and empty with 3.1.1.

    `retain` says that it was stored by the server before we subscribed (or as published, if asked for so);
    `duplicate` that the server may have sent it before.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    duplicate: bool = False
    properties: Properties = field(default_factory=Properties)


class Authentication(Protocol):
    """A mechanism of MQTT 5.0 enhanced authentication, for one connection after another.

    Any method may raise: the connection then ends, and nothing more is sent.
    """

    method: str

    def start(self, server_certificate: bytes | None) -> bytes:
        """Data for CONNECT or re-authentication. The DER certificate that TLS verified is for channel binding;
        None where the transport has none."""
        ...

    def step(self, data: bytes) -> bytes:
        """Answer to a challenge of the server. [MQTT5-4.12.0-3]"""
        ...

    def finish(self, data: bytes) -> None:
        """The server's last word, b"" if it had none. Must raise unless it proves what the method promises:
        nothing is published or subscribed before this has returned."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that CONNECT says, and the bounds of what we accept. Checked when made.

    `session_expiry_s` None means: ends with the connection, or, where the client reconnects by itself, long
    enough to resume (`RESUME_S`) and ended when the client closes.
    """

    version: int = V5
    client_id: str = ""
    clean_start: bool = True
    session_expiry_s: int | None = None
    keepalive_s: int = 60
    username: str | None = None
    password: Secret | None = None
    will: Will | None = None
    authentication: Authentication | None = None
    receive_maximum: int = 100
    max_packet_bytes: int = 1_048_576
    topic_alias_maximum: int = 16
    max_queue_messages: int = 1_000
    max_queue_bytes: int = 16_777_216
    user_properties: tuple[tuple[str, str], ...] = ()
    request_response_information: bool = False

    def __post_init__(self) -> None:
        if self.version not in (V311, V5):
            raise LocalError(f"there is no protocol version {self.version}", "Use 4 for MQTT 3.1.1, or 5.")
        self._check_numbers()
        if self.version == V311:
            self._check_311()
        if self.will is not None:
            _check_will(self.will)

    def _check_numbers(self) -> None:
        _within("keepalive_s", self.keepalive_s, 0, 65_535)
        _within("receive_maximum", self.receive_maximum, 1, 65_535)
        _within("max_packet_bytes", self.max_packet_bytes, 16, 268_435_460)
        _within("topic_alias_maximum", self.topic_alias_maximum, 0, 65_535)
        _within("max_queue_messages", self.max_queue_messages, 1, 1_000_000)
        _within("max_queue_bytes", self.max_queue_bytes, 1, 1 << 40)
        if self.session_expiry_s is not None:
            _within("session_expiry_s", self.session_expiry_s, 0, 0xFFFF_FFFF)
        for name, text in (("client_id", self.client_id), ("username", self.username or "")):
            try:
                size = len(text.encode())
            except UnicodeEncodeError as error:
                raise LocalError(
                    f"{name} is not text", "It must be possible to write it as UTF-8."
                ) from error
            _within(f"length of {name}", size, 0, MAX_STRING_BYTES)

    def _check_311(self) -> None:
        """What only version 5 has. [MQTT3-3.1.3-7] [MQTT3-3.1.2-22]"""
        if self.password is not None and self.username is None:
            raise LocalError("MQTT 3.1.1 has no password without a user name", "Give a user name, or use 5.")
        if not self.client_id and not self.clean_start:
            raise LocalError("MQTT 3.1.1 can only keep a session for a client id", "Give a client id.")
        given: dict[str, object] = {
            "session_expiry_s": self.session_expiry_s,
            "authentication": self.authentication,
            "user_properties": self.user_properties,
            "request_response_information": self.request_response_information,
        }
        if self.will is not None and self.will.properties != Properties():
            given["will properties"] = self.will.properties
        named = [name for name, value in given.items() if value]
        if named:
            raise LocalError(f"MQTT 3.1.1 has no {', '.join(named)}", "Leave it out, or use version 5.")


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise LocalError(f"{name} is {value}", f"It must be between {low} and {high}.")


def _check_will(will: Will) -> None:
    check_name(will.topic)
    _within("QoS of the will", will.qos, 0, 2)
    _within("size of the will", len(will.payload), 0, MAX_STRING_BYTES)


def check_name(topic: str) -> None:
    """Raise `LocalError` unless `topic` can be published to. [MQTT5-3.3.2-2] [MQTT3-3.3.2-2]"""
    try:
        check_topic_name(topic, MAX_TOPIC_LEVELS)
    except PeerError as error:
        raise LocalError(
            f"cannot publish to {topic!r}: {error.text}", "Give a topic without wildcards."
        ) from error

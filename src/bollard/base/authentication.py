"""The words in which the engine asks who a peer is, and an authenticator answers.

Authentication may be slow (password hashing, exchanges with the client), so it is a question that is answered
later, by who owns the identities; the engine asks it for each CONNECT, each AUTH and each re-authentication.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from bollard.base.types import Peer, Principal, Secret


@dataclass(slots=True)
class Question:
    """Who is this? Asked for each CONNECT, each AUTH step and each re-authentication.

    `step` is "connect", "continue" or "reauthenticate". `method` and `data` are the MQTT 5.0
    Authentication Method and Data, else "" and b"". `exchange` belongs to the mechanism that answers:
    what it stores there comes back with the next step of the same connection. `principal` is who the
    connection already is, for a re-authentication. `connection` is opaque to whoever answers.
    """

    connection: Any
    step: str
    peer: Peer
    client_id: str
    username: str | None
    password: Secret | None
    method: str = ""
    data: bytes = b""
    principal: Principal = ""
    exchange: Any = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """It is `principal`. `data` goes back as Authentication Data where a method was used."""

    principal: Principal
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Not yet: send AUTH 0x18 with `data` and ask again with the answer. [MQTT5-4.12.0-2]"""

    data: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """No. `code` is a CONNACK reason code; `reason` is for our own log and never leaves it;
    `tell` is what the peer may read as Reason String."""

    code: int
    reason: str
    tell: str = ""


Answer = Accepted | Challenge | Refused


class Authenticator(Protocol):
    """Answers questions from memory, in microseconds; slow verifiers run in the shell's pool."""

    def answer(self, question: Question) -> Answer: ...

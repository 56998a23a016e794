"""The words in which the engine asks who a peer is, and an authenticator answers.

Authentication may be slow (password hashing, exchanges with the client), so it is a question that is answered
later, by who owns the identities; the engine asks it for each CONNECT, each AUTH and each re-authentication.

Questions and answers are made for each connection, so they are structs, as events are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, final

import msgspec

from bollard.base.types import Peer, Principal, Secret


class Question(msgspec.Struct):
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


class Accepted(msgspec.Struct, frozen=True):
    """It is `principal`. `data` goes back as Authentication Data where a method was used."""

    principal: Principal
    data: bytes = b""


class Challenge(msgspec.Struct, frozen=True):
    """Not yet: send AUTH 0x18 with `data` and ask again with the answer. [MQTT5-4.12.0-2]"""

    data: bytes


class Refused(msgspec.Struct, frozen=True):
    """No. `code` is a CONNACK reason code; `reason` is for our own log and never leaves it;
    `tell` is what the peer may read as Reason String. `wrong_credential`: a secret was presented that is not
    the right one, as by somebody who guesses."""

    code: int
    reason: str
    tell: str = ""
    wrong_credential: bool = False


Answer = Accepted | Challenge | Refused


@final
@dataclass(frozen=True, slots=True)
class Later:
    """The answer takes work that must not hold up the loop; it is under way.

    `when_done` is called once with what is to be called, by any thread, as soon as it is done; that it is
    done already does not matter. Then `conclude` gives the answer, on the loop, at the moment when it is used: so
    what has changed meanwhile, such as a revocation, counts.
    """

    when_done: Callable[[Callable[[], None]], None]
    conclude: Callable[[], Answer]


class Authenticator(Protocol):
    """Answers questions from memory, in microseconds; what takes longer is promised for later."""

    def answer(self, question: Question) -> Answer | Later: ...

"""The server's part of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, as a `Mechanism`.

Theory. `start` reads client-first and always answers with a challenge, whether or not the name is enrolled;
`proceed` reads client-final, checks channel binding, nonce and proof, and answers with the server's
signature. An unknown name gets the salt that it would have if it were enrolled, and fails where a wrong
secret fails, after the same work.

Channel binding. PLUS binds the exchange to the TLS connection by the hash of our certificate, so that
somebody in the middle with another certificate cannot pass the messages on. A server has several
certificates, and a client signs the one it saw: either is right. A client that says `y` could bind but
believes that we cannot; since we can, somebody in between has told it so, and it is refused.
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from bollard.base.authentication import Accepted, Answer, Challenge, Question, Refused
from bollard.identity.credentials import Verifier
from bollard.identity.ports import Mechanism
from bollard.identity.records import Snapshot
from bollard.identity.scram import (
    END_POINT,
    ITERATIONS,
    KEY_BYTES,
    METHOD,
    METHOD_PLUS,
    ClientFinal,
    ClientFirst,
    ScramKeys,
    base64_text,
    proves,
    read_client_final,
    read_client_first,
    signature,
    signed_text,
)

PROTOCOL_ERROR = 0x82
NOT_AUTHORIZED = 0x87
_TOLD = "authentication failed"


@dataclass(frozen=True, slots=True)
class _Exchange:
    """What is remembered between challenge and answer. `known` False: the keys are a stand-in."""

    opening: ClientFirst
    challenge: str
    nonce: str
    keys: ScramKeys
    known: bool

    @property
    def claimed(self) -> str:
        """Whose secret is about to be proved."""
        return self.opening.username


class ScramMechanism:
    """One of the two methods: with `bound`, SCRAM-SHA-256-PLUS. Thread-safe; keeps nothing of an exchange.

    `snapshot` gives the current registry; `verifier` knows every name's salt.
    """

    def __init__(self, snapshot: Callable[[], Snapshot], verifier: Verifier, *, bound: bool) -> None:
        self._snapshot = snapshot
        self._verifier = verifier
        self._bound = bound
        # Nobody has the secret of these, so no proof fits them.
        self._stand_in = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES)

    def start(self, question: Question) -> Answer:
        try:
            opening = read_client_first(question.data)
        except ValueError as error:
            return Refused(PROTOCOL_ERROR, f"bad client-first message: {error}", "bad SCRAM message")
        refused = self._check_binding_offer(opening, question)
        if refused is not None:
            return refused
        if opening.authorize_as not in ("", opening.username):
            return Refused(NOT_AUTHORIZED, "it asks to act as somebody else", _TOLD)
        keys, known = self._keys(opening.username)
        nonce = opening.nonce + secrets.token_urlsafe(18)
        challenge = f"r={nonce},s={base64_text(keys.salt)},i={keys.iterations}"
        question.exchange = _Exchange(opening, challenge, nonce, keys, known)
        return Challenge(challenge.encode())

    def proceed(self, question: Question) -> Answer:
        exchange = question.exchange
        assert isinstance(exchange, _Exchange)
        try:
            final = read_client_final(question.data)
        except ValueError as error:
            return Refused(PROTOCOL_ERROR, f"bad client-final message: {error}", "bad SCRAM message")
        name = exchange.opening.username[:80]
        if not hmac.compare_digest(final.nonce, exchange.nonce):
            return Refused(NOT_AUTHORIZED, f"SCRAM of {name!r} with another exchange's nonce", _TOLD)
        if not self._binds(exchange.opening, final, question):
            return Refused(
                NOT_AUTHORIZED,
                f"SCRAM of {name!r} is bound to another TLS connection: somebody may be in between",
                _TOLD,
            )
        text = signed_text(exchange.opening.bare, exchange.challenge, final.without_proof)
        if not proves(exchange.keys, text, final.proof) or not exchange.known:
            why = "a wrong secret" if exchange.known else "no such SCRAM user"
            return Refused(NOT_AUTHORIZED, f"SCRAM of {name!r}: {why}", _TOLD, wrong_credential=True)
        signed = base64_text(signature(exchange.keys.server_key, text))
        return Accepted(exchange.opening.username, f"v={signed}".encode())

    def _check_binding_offer(self, opening: ClientFirst, question: Question) -> Refused | None:
        """The flag must fit the method; `y` means that somebody hid PLUS from the client."""
        if self._bound:
            if opening.flag != END_POINT:
                return Refused(
                    NOT_AUTHORIZED,
                    f"{METHOD_PLUS} with channel binding {opening.flag[:40]!r}",
                    f"use the channel binding {END_POINT}",
                )
            if not question.peer.tls_server_end_points:
                return Refused(
                    NOT_AUTHORIZED, f"{METHOD_PLUS} without TLS to bind to", f"use {METHOD} without TLS"
                )
        elif opening.flag == "y" and question.peer.tls_server_end_points:
            return Refused(
                NOT_AUTHORIZED,
                f"a downgrade: the client believes that {METHOD_PLUS} is not offered",
                f"use {METHOD_PLUS}",
            )
        elif opening.flag not in ("n", "y"):
            return Refused(NOT_AUTHORIZED, f"{METHOD} with a channel binding", f"use {METHOD_PLUS}")
        return None

    def _keys(self, username: str) -> tuple[ScramKeys, bool]:
        """The keys of `username`, or a stand-in that looks the same from outside."""
        salt = self._verifier.scram_salt(username)
        identity = self._snapshot().identities.get(username)
        if identity is not None and identity.scram is not None:
            return identity.scram, True
        return ScramKeys(salt, ITERATIONS, *self._stand_in), False

    def _binds(self, opening: ClientFirst, final: ClientFinal, question: Question) -> bool:
        header = opening.header.encode()
        if not self._bound:
            return hmac.compare_digest(final.binding, header)
        return any(
            hmac.compare_digest(final.binding, header + end_point)
            for end_point in question.peer.tls_server_end_points
        )


def scram_mechanisms(snapshot: Callable[[], Snapshot], verifier: Verifier) -> dict[str, Mechanism]:
    """Both methods, by their names."""
    return {
        METHOD: ScramMechanism(snapshot, verifier, bound=False),
        METHOD_PLUS: ScramMechanism(snapshot, verifier, bound=True),
    }

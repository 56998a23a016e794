"""From what a client presents to who it is. Knows nothing of topics, sessions or what it may do.

What is presented, and what decides:

    client certificate      the registry's owner of exactly this certificate; nothing else is tried after it
    TLS-PSK                 the identity whose key the handshake has proved; likewise
    authentication method   the principal that the mechanism proved
    user name, password     the identity of that name, if the password is its secret, or one that a person
                            chose, where that is allowed; or, if it is the secret of its enrollment string, a
                            principal that may enroll and nothing else
    nothing at all          the principal "anonymous", where the listener allows it

Every further claim must agree with the one that decides: a user name must be the same identity, and a
password must be that identity's. A claim that is wrong, or that cannot be checked, refuses the client;
it is never ignored, because whoever sent it believes that it protects something. Only the credentials
of an identity that is ACTIVE in the registry count, at every CONNECT and re-authentication: a resumed
TLS session skips the checks of a handshake, so the certificate's state and end are checked here.

Outward, an unknown user and a wrong password are the same answer after the same work: where people's
passwords are allowed, each password that is not right at a glance goes through the slow check. Someone who has
proved a key or a secret may read what is wrong with it.
"""

import hashlib
import time
from collections.abc import Callable, Mapping

from bollard.base.authentication import Accepted, Answer, Challenge, Later, Question, Refused
from bollard.base.types import ANONYMOUS, Peer, Principal, Secret
from bollard.identity.credentials import Verifier
from bollard.identity.enrollment_rights import ENROLLING, asking_identity
from bollard.identity.ports import Mechanism
from bollard.identity.records import CertificateState, Identity, Snapshot, State
from bollard.identity.renewal import outlived, replaces_others
from bollard.identity.slow_check import SlowChecks
from bollard.identity.tokens import may_connect

PROTOCOL_ERROR = 0x82
BAD_USER_NAME_OR_PASSWORD = 0x86
NOT_AUTHORIZED = 0x87
SERVER_BUSY = 0x89
BAD_AUTHENTICATION_METHOD = 0x8C

_NO_PASSWORD = Secret(b"")
#: Who presents nothing at all, where the listener allows that and where it does not.
_ANYBODY = Accepted(ANONYMOUS)
_NOBODY = Refused(
    NOT_AUTHORIZED,
    "no credentials, and this listener does not allow anonymous clients",
    "user name and password or a client certificate required",
)


def _forget(identity: str, serial: int) -> None:
    """Nobody wants to know that a new certificate was used."""


class RegistryAuthenticator:
    """`engine.ports.Authenticator` over the registry. Answers in microseconds; thread-safe.

    `snapshot` gives the current registry (`registry.snapshot`); `mechanisms` maps Authentication
    Method names to what handles them; `clock` tells seconds since the epoch, for the end of certificates.
    `used` is told an identity and a serial when a certificate is used that replaces others; it must not
    block, and may be told more than once. `slow` checks passwords that people chose; None: none counts.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        verifier: Verifier,
        *,
        mechanisms: Mapping[str, Mechanism] | None = None,
        clock: Callable[[], float] = time.time,
        used: Callable[[str, int], None] = _forget,
        slow: SlowChecks | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._verifier = verifier
        self._mechanisms = dict(mechanisms or {})
        self._clock = clock
        self._used = used
        self._slow = slow

    def answer(self, question: Question) -> Answer | Later:
        """Who is it? Never raises for what a peer sent, and never says `Accepted` when unsure."""
        peer = question.peer
        proved = peer.certificate is not None or peer.psk is not None
        claimed = question.username is not None or question.password is not None
        if not (proved or claimed or question.method) and question.step == "connect":
            return _ANYBODY if peer.allow_anonymous else _NOBODY
        registry = self._snapshot()
        owner: Principal = ""
        if proved:
            found = self._by_transport(registry, peer)
            if isinstance(found, Refused):
                return found
            owner = found
        if question.method:
            return self._by_mechanism(registry, question, owner)
        if question.step != "connect":
            return Refused(PROTOCOL_ERROR, f"authentication step {question.step!r} without a method")
        if owner:
            return self._confirmed(registry, question, Accepted(owner))
        return self._by_password(registry, question)

    def _by_transport(self, registry: Snapshot, peer: Peer) -> Principal | Refused:
        """Whose certificate or key the handshake has proved."""
        if peer.certificate is not None:
            return self._by_certificate(registry, peer.certificate)
        assert peer.psk is not None
        return _by_psk(registry, *peer.psk)

    def _by_certificate(self, registry: Snapshot, certificate: bytes) -> Principal | Refused:
        """The active owner of a certificate that TLS has verified up to the device authority."""
        found = registry.by_certificate(hashlib.sha256(certificate).digest())
        if found is None:
            return Refused(
                NOT_AUTHORIZED,
                "client certificate is not in the registry",
                "this certificate is not enrolled here",
            )
        identity, record = found
        if record.state is not CertificateState.ACTIVE:
            return _unusable(f"certificate {record.serial:x} of {identity.id!r}", record.state)
        if self._clock() >= record.not_after:
            return _unusable(f"certificate {record.serial:x} of {identity.id!r}", "expired")
        if outlived(identity, record, self._clock()):
            return _unusable(f"certificate {record.serial:x} of {identity.id!r}", CertificateState.SUPERSEDED)
        refused = _active(registry, identity.id)
        if refused is None and replaces_others(identity, record.serial):
            self._used(identity.id, record.serial)
        return refused or identity.id

    def _by_password(self, registry: Snapshot, question: Question) -> Answer | Later:
        """User name and password. The password is checked first, whether or not the user exists."""
        identity = registry.identities.get(question.username or "")
        password = question.password or _NO_PASSWORD
        if self._verifier.check(password, identity.verifier if identity else b"") and identity:
            return _active(registry, identity.id) or Accepted(identity.id)
        enrolling = self._by_token(identity, question)
        if enrolling is not None:
            return enrolling
        why = "unknown user name" if identity is None else "wrong password"
        if identity is not None and not identity.has_password:
            why = "the identity has no password"
        elif identity is not None and identity.password_hash and self._slow is None:
            why = f"the password of {identity.id!r} was chosen by a person; allow_human_passwords is off"
        refused = Refused(BAD_USER_NAME_OR_PASSWORD, why, "bad user name or password", wrong_credential=True)
        return self._slowly(identity, password, refused)

    def _slowly(
        self, identity: Identity | None, password: Secret, refused: Refused, accepted: Accepted | None = None
    ) -> Answer | Later:
        """`accepted`, or the identity itself, if `password` is the one that a person chose for it."""
        slow = self._slow
        if slow is None:
            return refused
        if identity is not None and slow.remembers(identity, password):
            return _active(self._snapshot(), identity.id) or accepted or Accepted(identity.id)
        check = slow.begin(identity, password)
        if check is None:
            return Refused(SERVER_BUSY, "too many passwords wait to be checked", "server busy, try again")

        def conclude() -> Answer:
            right = not check.cancelled() and check.exception() is None and check.result()
            registry = self._snapshot()
            now = registry.identities.get(identity.id) if identity is not None else None
            if not right or identity is None or now is None or now.password_hash != identity.password_hash:
                return refused
            slow.remember(now, password)
            return _active(registry, now.id) or accepted or Accepted(now.id)

        return Later(lambda call: check.add_done_callback(lambda _: call()), conclude)

    def _by_token(self, identity: Identity | None, question: Question) -> Answer | None:
        """The password as the secret of an enrollment string; None if it is not. The same work for all."""
        token = identity.token if identity is not None else None
        right = self._verifier.check_token(
            question.password or _NO_PASSWORD, token.verifier if token is not None else b""
        )
        if identity is None or token is None or not right:
            return None
        if identity.state in (State.REVOKED, State.SUSPENDED):
            return _unusable(f"identity {identity.id!r}", identity.state)
        refusal = may_connect(token, self._clock())
        if not question.peer.tls_server_end_points:
            refusal = "enrollment needs TLS"
        if refusal:
            return Refused(NOT_AUTHORIZED, f"enrollment of {identity.id!r}: {refusal}", refusal)
        return Accepted(ENROLLING + identity.id)

    def _by_mechanism(self, registry: Snapshot, question: Question, owner: Principal) -> Answer | Later:
        """One step of an enhanced authentication. `owner` is whose certificate was presented, or ""."""
        mechanism = self._mechanisms.get(question.method)
        if mechanism is None:
            # [MQTT5-4.12.0-1]
            return Refused(
                BAD_AUTHENTICATION_METHOD,
                f"unknown authentication method {question.method[:80]!r}",
                "unsupported authentication method",
            )
        if question.step == "continue":
            if question.exchange is None:
                return Refused(PROTOCOL_ERROR, "authentication data without an exchange")
            result = mechanism.proceed(question)
        else:
            question.exchange = None
            result = mechanism.start(question)
        if isinstance(result, Challenge):
            return result
        question.exchange = None
        if isinstance(result, Refused):
            return result
        if owner and result.principal != owner:
            return Refused(
                NOT_AUTHORIZED,
                f"certificate of {owner!r}, but {question.method} proved {result.principal!r}",
                "certificate and authentication method name different identities",
            )
        return self._confirmed(registry, question, result)

    def _confirmed(self, registry: Snapshot, question: Question, accepted: Accepted) -> Answer | Later:
        """`accepted`, if every further claim agrees. An empty user name or password claims nothing."""
        principal = accepted.principal
        if asking_identity(principal):
            return _confirmed_asking(question, accepted)
        inactive = _active(registry, principal)
        if inactive:
            return inactive
        if question.principal and question.principal != principal:
            return Refused(
                NOT_AUTHORIZED,
                f"re-authentication of {question.principal!r} as {principal!r}",
                "re-authentication must keep the identity",
            )
        if question.username and question.username != principal:
            return Refused(
                NOT_AUTHORIZED,
                f"user name {question.username[:80]!r} beside the credentials of {principal!r}",
                "the user name is not the identity that was proved; leave it out",
            )
        identity = registry.identities[principal]
        if not question.password or self._verifier.check(question.password, identity.verifier):
            return accepted
        refused = Refused(
            BAD_USER_NAME_OR_PASSWORD,
            f"a password that is not that of {principal!r} beside its other credentials",
            "bad password; leave it out",
        )
        return self._slowly(identity, question.password, refused, accepted)


def _by_psk(registry: Snapshot, name: str, salt: bytes) -> Principal | Refused:
    """The active owner of the key that a TLS-PSK handshake has proved, if it still is its key."""
    identity = registry.identities.get(name)
    if identity is None or not salt or identity.psk_salt != salt:
        return Refused(NOT_AUTHORIZED, f"the key of {name[:80]!r} was replaced", "this key was replaced")
    return _active(registry, name) or name


def _confirmed_asking(question: Question, accepted: Accepted) -> Answer:
    """`accepted` for an enrollment connection, which claims nothing else and never becomes another."""
    if question.step == "reauthenticate" or question.principal or question.username or question.password:
        return Refused(
            NOT_AUTHORIZED, "further claims beside a proof of a key", "leave out user name and password"
        )
    return accepted


def _active(registry: Snapshot, principal: Principal) -> Refused | None:
    """None if `principal` may connect at all, else why not."""
    identity = registry.identities.get(principal)
    if identity is None:
        return Refused(NOT_AUTHORIZED, f"{principal[:80]!r} is not enrolled", "this identity is not enrolled")
    if identity.state is not State.ACTIVE:
        return _unusable(f"identity {principal!r}", identity.state)
    return None


def _unusable(what: str, state: str) -> Refused:
    return Refused(NOT_AUTHORIZED, f"{what} is {state}", f"{what.split()[0]} is {state}")

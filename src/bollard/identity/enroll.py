"""From a token and a signing request to a certificate; the same steps whatever the transport was.

    open      the owner gives an identity a token, and gets its secret once
    approve   the owner lets a device in that asked with a token which needs that
    enroll    a device spends its token: CSR judged, token bound to its key, serial recorded, signed, then
              certificate, spent token and active identity in one transaction
    renew     a device that has a certificate gets the next one (`renewal.py` says when it may)
    roots     a device asks whom it is to trust, and says which roots it has

A crash between the two transactions leaves a serial that the next start revokes, and a token that is bound
to the device's key and not spent: the device asks again.
"""

import re
import uuid
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.authority import DEVICE_LIFE_S, Authorities, certify, pem
from bollard.identity.credentials import generate_secret
from bollard.identity.csr import Request, check_key, read_csr
from bollard.identity.key_proof import verify
from bollard.identity.profile import PublicKey
from bollard.identity.records import Approval, CertificateState, Identity, State, Token
from bollard.identity.refusals import (
    BAD_REQUEST,
    FORBIDDEN,
    TOO_LARGE,
    UNAUTHORIZED,
    UNAVAILABLE,
    EnrollmentRefused,
)
from bollard.identity.registry import Registry
from bollard.identity.renewal import check_pace, check_renewable, may_renew, used, without_others
from bollard.identity.roots import pin_of
from bollard.identity.tokens import claimed, may_connect, new_token

#: Certificates that stay usable beside the next one when it is not known which of them the device has.
_MAX_KEPT = 4
#: What a device may say of the roots that it has: fifteen pins.
MAX_PINS_BYTES = 1024
_PIN = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate for a device: its DER, the device CA's, and when it ends (seconds since the epoch)."""

    identity: str
    certificate: bytes = field(repr=False)
    issuer: bytes = field(repr=False)
    not_after: int

    @property
    def chain_pem(self) -> bytes:
        return pem(*map(x509.load_der_x509_certificate, (self.certificate, self.issuer)))


@dataclass(frozen=True, slots=True)
class Waiting:
    """The device's owner has to approve first. `key_sha256` is what both can compare."""

    identity: str
    key_sha256: bytes


class Desk:
    """Where devices enroll and renew. Any thread; each step is one transaction of the registry.

    `now` is everywhere in seconds since the epoch. Devices' faults are `EnrollmentRefused`, ours
    `LocalError`.
    """

    def __init__(
        self,
        registry: Registry,
        authorities: Authorities,
        ended: Callable[[str], None] = lambda _identity: None,
    ) -> None:
        """`ended` is told, by the thread that is at work, whose older credentials may just have ended."""
        self._registry = registry
        self._authorities = authorities
        self._ended = ended

    # --- for the owner -------------------------------------------------------------------------------

    def open(self, identity: str, *, now: float, life_s: float, approval: bool) -> Secret:
        """A token for an identity that exists; an earlier one of it ends. Returns its secret, once."""
        secret = generate_secret()
        token = new_token(
            self._registry.verifier.make(secret), now=int(now), life_s=life_s, approval=approval
        )
        self._registry.change(identity, lambda known: replace(known, token=token, changed_at=int(now)))
        return secret

    def approve(self, identity: str, *, now: float) -> Identity:
        """Let the device in that asked as `identity`. `LocalError` if none has asked, or none needs to."""

        def grant(known: Identity) -> Identity:
            token = known.token
            if token is None or token.approval is Approval.NONE or token.spent_at:
                raise LocalError(
                    f"nothing of {identity!r} waits for approval", "`bollard devices` lists what does."
                )
            if now >= token.expires_at:
                raise LocalError(
                    f"the enrollment string of {identity!r} has expired",
                    f"Give the device another: bollard devices rotate {identity} --token",
                )
            if not token.key:
                raise LocalError(
                    f"no device has asked as {identity!r} yet",
                    "Give it the enrollment string first; then compare what it shows with what you see here.",
                )
            return replace(known, token=replace(token, approval=Approval.GRANTED), changed_at=int(now))

        return self._registry.change(identity, grant)

    # --- for devices ---------------------------------------------------------------------------------

    def check_secret(self, identity: str, secret: Secret, *, now: float) -> None:
        """Raise unless `secret` is that of a token which `identity` may still spend. The same work for all;
        only who knows the secret hears more than that it is wrong."""
        known = self._registry.snapshot().identities.get(identity)
        token = known.token if known is not None else None
        right = self._registry.verifier.check_token(secret, token.verifier if token is not None else b"")
        if token is None or not right:
            raise EnrollmentRefused(UNAUTHORIZED, "wrong user name or password")
        refusal = may_connect(token, now)
        if refusal:
            raise EnrollmentRefused(FORBIDDEN, refusal)

    def enroll(self, identity: str, csr: bytes, *, now: float) -> Issued | Waiting:
        """Spend the token of `identity`, whose secret the caller has checked (`check_secret`)."""
        request = read_csr(csr)
        known = self._device(identity)
        request.check_names(identity, _urn(known))
        try:
            known = self._registry.change(identity, lambda found: _bound(found, request, now))
        except LocalError as error:
            raise EnrollmentRefused(FORBIDDEN, error.message) from error
        token = known.token
        assert token is not None, "a bound token"
        if token.spent_at:
            return self._again(known, token)
        if token.approval is Approval.REQUIRED:
            return Waiting(identity, request.key_sha256)
        return self._issue(identity, request.key, now, token)

    def renew(self, certificate: bytes, csr: bytes, *, now: float) -> Issued:
        """The next certificate for whoever holds `certificate` (DER), and has proved its key."""
        known = check_renewable(self._registry.snapshot(), certificate, now)
        request = read_csr(csr)
        request.check_names(known.id, _urn(known))
        serial = x509.load_der_x509_certificate(certificate).serial_number
        return self._issue(known.id, request.key, now, None, keep={serial})

    def renew_signed(self, certificate: bytes, csr: bytes, signature: bytes, *, now: float) -> Issued:
        """As `renew`, for a certificate that TLS takes no more: `signature` is its key's over `csr` (DER).

        Somebody who sends it again gets a certificate for the device's own key, and nothing for theirs.
        """
        check_renewable(self._registry.snapshot(), certificate, now)
        key = check_key(x509.load_der_x509_certificate(certificate).public_key())
        if not verify(key, signature, csr):
            raise EnrollmentRefused(FORBIDDEN, "the signature is not by the key of the certificate")
        return self.renew(certificate, csr, now=now)

    def renew_proved(self, identity: str, csr: bytes, *, now: float) -> Issued:
        """The next certificate of `identity`, on a connection that began with the proof of an old key.

        Judged again by the newest certificate that it has: meanwhile it may have been revoked.
        """
        known = self._device(identity)
        renewable = [record for record in known.active_certificates if may_renew(record, now)]
        if not renewable:
            raise EnrollmentRefused(FORBIDDEN, "no certificate of this identity may be renewed")
        request = read_csr(csr)
        request.check_names(identity, _urn(known))
        # Which of them was proved is not known here; more than a few are not kept all the same.
        keep = {record.serial for record in sorted(renewable, key=lambda r: r.created_at)[-_MAX_KEPT:]}
        return self._issue(identity, request.key, now, None, keep=keep)

    def used(self, identity: str, serial: int, *, now: float) -> None:
        """The device has used its certificate `serial`: those that it replaced end. No error if none does."""
        self._registry.change(identity, lambda known: used(known, serial, int(now)))
        self._ended(identity)

    # --- whom devices trust --------------------------------------------------------------------------

    def roots(self) -> tuple[x509.Certificate, ...]:
        """The server roots that devices are to trust, those in force first."""
        return self._authorities.trusted

    def pins(self) -> tuple[str, ...]:
        """Pins of the P-256 roots, the one in force first; only while another is to follow."""
        following = self._authorities.next_roots
        return () if following is None else (self._authorities.pin, pin_of(following.certificates[0]))

    def has_roots(self, identity: str, said: bytes) -> None:
        """`identity` says which roots it has: their SHA-256 in hex, between spaces or line ends.

        Believed, because who lies about it locks out nobody else. Raises `EnrollmentRefused`.
        """
        if len(said) > MAX_PINS_BYTES:
            raise EnrollmentRefused(TOO_LARGE, f"more than {MAX_PINS_BYTES} bytes of pins")
        pins = {each.decode("ascii", "replace").lower() for each in said.split()}
        if not all(map(_PIN.fullmatch, pins)):
            raise EnrollmentRefused(BAD_REQUEST, "a pin is the SHA-256 of a root: 64 hexadecimal digits")
        following = self._authorities.next_roots
        if following is not None and pins & following.pins:
            # To the very roots that were compared: others may be to follow by now.
            following.holders.add(self._device(identity).id)

    def fetched_roots(self, certificate: bytes, *, now: float) -> None:
        """Whoever holds `certificate` (DER), and has proved its key, is about to be given `roots`."""
        following = self._authorities.next_roots
        if following is None:
            return
        known = check_renewable(self._registry.snapshot(), certificate, now)
        following.holders.add(known.id)

    # --- inside --------------------------------------------------------------------------------------

    def _device(self, identity: str) -> Identity:
        known = self._registry.snapshot().identities.get(identity)
        if known is None:
            raise EnrollmentRefused(UNAUTHORIZED, "this identity is not enrolled")
        if known.state in (State.REVOKED, State.SUSPENDED):
            raise EnrollmentRefused(FORBIDDEN, f"this identity is {known.state.value}")
        return known

    def _again(self, known: Identity, token: Token) -> Issued:
        """The answer that the device did not hear, if it still holds."""
        leaf = x509.load_der_x509_certificate(token.certificate)
        record = next((c for c in known.certificates if c.serial == leaf.serial_number), None)
        if record is None or record.state is not CertificateState.ACTIVE:
            raise EnrollmentRefused(FORBIDDEN, "the certificate of this enrollment string has ended")
        return self._issued(known.id, leaf, record.not_after)

    def _issue(
        self,
        identity: str,
        key: PublicKey,
        now: float,
        token: Token | None,
        keep: AbstractSet[int] = frozenset(),
    ) -> Issued:
        """Record, sign, complete. With `token`, it is spent in the transaction that completes.

        An enrollment ends every credential before it; a renewal keeps the serials `keep` beside the next.
        """

        def complete(known: Identity, leaf: x509.Certificate) -> Identity:
            if token is None:
                return without_others(known, {*keep, leaf.serial_number}, int(now))
            if known.token is None or known.token.verifier != token.verifier:
                raise EnrollmentRefused(FORBIDDEN, "this enrollment string was replaced")
            spent = replace(known.token, spent_at=int(now), certificate=_bytes(leaf))
            return replace(known.without_secrets, token=spent)

        if token is None:
            check_pace(self._device(identity), now)
        begin = self._authorities.device_ca.certificate.not_valid_before_utc.timestamp()
        if now < begin:
            raise EnrollmentRefused(UNAVAILABLE, "the server's clock is wrong; its owner must set it")
        try:
            leaf, not_after = certify(
                self._authorities,
                self._registry,
                identity,
                key,
                now=now,
                life_s=DEVICE_LIFE_S,
                supersede=token is not None,
                also=complete,
            )
        except LocalError as error:
            raise EnrollmentRefused(UNAVAILABLE, "the server cannot issue certificates now") from error
        self._ended(identity)
        return self._issued(identity, leaf, not_after)

    def _issued(self, identity: str, leaf: x509.Certificate, not_after: int) -> Issued:
        return Issued(identity, _bytes(leaf), _bytes(self._authorities.device_ca.certificate), not_after)


def _bound(known: Identity, request: Request, now: float) -> Identity:
    token = claimed(known.token, request.key_sha256, now)
    return known if token == known.token else replace(known, token=token, changed_at=int(now))


def _urn(known: Identity) -> str:
    return uuid.UUID(known.uuid).urn


def _bytes(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)

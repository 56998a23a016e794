"""Proof of a key whose certificate has expired: how a device that slept too long gets in to renew.

TLS refuses an expired certificate, so the device connects without one and uses this method of enhanced
authentication. It gets a connection that may renew, and nothing else.

    CONNECT  the certificate, DER
    AUTH     a nonce of 32 bytes
    AUTH     signature by the certificate's key over `text_to_sign`
    CONNACK  nothing

The signed text holds the hash of the server's certificate: a signature that somebody in between asked for
is worth nothing elsewhere.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from bollard.base.authentication import Accepted, Answer, Challenge, Question, Refused
from bollard.identity.enrollment_rights import RENEWING
from bollard.identity.profile import PrivateKey, PublicKey
from bollard.identity.records import Snapshot
from bollard.identity.refusals import EnrollmentRefused
from bollard.identity.renewal import check_renewable

METHOD = "BOLLARD-KEY"
MAX_CERTIFICATE_BYTES = 8192
NONCE_BYTES = 32
NOT_AUTHORIZED = 0x87
_PREFIX = b"Bollard proof of a key\0"


@dataclass(frozen=True, slots=True)
class _Exchange:
    identity: str
    key: PublicKey
    nonce: bytes


class KeyProofMechanism:
    """`Mechanism` for `METHOD`. `snapshot` gives the current registry, `clock` seconds since the epoch."""

    def __init__(self, snapshot: Callable[[], Snapshot], clock: Callable[[], float] = time.time) -> None:
        self._snapshot = snapshot
        self._clock = clock

    def start(self, question: Question) -> Answer:
        if not question.peer.tls_server_end_points:
            return Refused(NOT_AUTHORIZED, f"{METHOD} without TLS", "renewal needs TLS")
        if question.step != "connect" or len(question.data) > MAX_CERTIFICATE_BYTES:
            return Refused(NOT_AUTHORIZED, f"{METHOD} out of place or with too much data", "renewal refused")
        try:
            # Ours by its hash, so it is one that we made: only then is it taken apart.
            identity = check_renewable(self._snapshot(), question.data, self._clock())
        except EnrollmentRefused as refusal:
            return Refused(NOT_AUTHORIZED, f"{METHOD}: {refusal.text}", refusal.text)
        key = x509.load_der_x509_certificate(question.data).public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            return Refused(NOT_AUTHORIZED, f"{METHOD} with another kind of key", "renewal refused")
        nonce = secrets.token_bytes(NONCE_BYTES)
        question.exchange = _Exchange(identity.id, key, nonce)
        return Challenge(nonce)

    def proceed(self, question: Question) -> Answer:
        exchange = question.exchange
        assert isinstance(exchange, _Exchange)
        for end_point in question.peer.tls_server_end_points:
            if verify(exchange.key, question.data, text_to_sign(exchange.nonce, end_point)):
                return Accepted(RENEWING + exchange.identity)
        return Refused(
            NOT_AUTHORIZED, f"{METHOD} of {exchange.identity!r} with a wrong signature", "renewal refused"
        )


def text_to_sign(nonce: bytes, end_point: bytes) -> bytes:
    """`end_point` is the RFC 5929 hash of the server's certificate."""
    return _PREFIX + nonce + hashlib.sha256(end_point).digest()


def sign(key: PrivateKey, text: bytes) -> bytes:
    """ECDSA (DER), or RSA with PKCS#1 v1.5 padding; SHA-256."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(text, ec.ECDSA(hashes.SHA256()))
    return key.sign(text, padding.PKCS1v15(), hashes.SHA256())


def verify(key: PublicKey, signature: bytes, text: bytes) -> bool:
    """Whether `signature` over `text` was made with the private half of `key`."""
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, text, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True

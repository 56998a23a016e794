"""Reading a certificate signing request: what is taken from it, and what makes us refuse it.

Taken is the public key, and nothing else. Names come from the registry; those in the request are only
compared, so that a device that asks for another name hears of its mistake.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bollard.identity.profile import PublicKey
from bollard.identity.refusals import BAD_REQUEST, TOO_LARGE, EnrollmentRefused

#: A request with RSA-4096 and every name that we accept has less than 2 KB; base64 and PEM add a third.
MAX_CSR_BYTES = 16_384
_CURVES = (ec.SECP256R1, ec.SECP384R1)
_MIN_RSA_BITS, _MAX_RSA_BITS = 2048, 4096
_PEM_HEAD = b"-----BEGIN "
#: What the parser raises for what somebody made up; it has no common base.
_UNREADABLE = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose sender has the private key. `key_sha256` is over the DER of the public key.

    `common_name` and `uris` are the names that it asks for, "" and () for none.
    """

    key: PublicKey
    key_sha256: bytes
    common_name: str
    uris: tuple[str, ...]

    def check_names(self, identity: str, urn: str) -> None:
        """Raise unless the names asked for, if any, are those of this identity."""
        if self.common_name not in ("", identity):
            raise EnrollmentRefused(
                BAD_REQUEST, f"the request is for {self.common_name[:80]!r}; its name must be {identity!r}"
            )
        if set(self.uris) - {urn}:
            raise EnrollmentRefused(
                BAD_REQUEST, f"the request has alternative names that are not this identity's; it has {urn}"
            )


def read_csr(data: bytes) -> Request:
    """A PKCS#10 request as DER, as base64 of it (with or without line breaks), or as PEM.

    Raises `EnrollmentRefused` for what is too large, malformed, not signed by its own key, weak, or asks
    for more than a device can be.
    """
    if len(data) > MAX_CSR_BYTES:
        raise EnrollmentRefused(TOO_LARGE, f"a request of more than {MAX_CSR_BYTES} bytes")
    try:
        csr = x509.load_der_x509_csr(_der(data))
        signed = csr.is_signature_valid
        key = csr.public_key()
        names = [str(name.value) for name in csr.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
        extensions = csr.extensions
    except _UNREADABLE:
        raise EnrollmentRefused(BAD_REQUEST, "this is not a certificate signing request") from None
    if not signed:
        raise EnrollmentRefused(BAD_REQUEST, "the request is not signed by the key that it is for")
    if len(names) > 1:
        raise EnrollmentRefused(BAD_REQUEST, "the request has more than one common name")
    public = check_key(key)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Request(public, hashlib.sha256(der).digest(), "".join(names), _uris(extensions))


def check_key(key: object) -> PublicKey:
    """`key` itself, or `EnrollmentRefused` if it is of a kind that we do not certify."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        if isinstance(key.curve, _CURVES):
            return key
        raise EnrollmentRefused(BAD_REQUEST, f"the curve {key.curve.name} is not accepted; use P-256")
    if isinstance(key, rsa.RSAPublicKey):
        # Attack: an exponent of 1 or 3 turns a signature into something that can be forged.
        if _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS and key.public_numbers().e >= 65_537:
            return key
        raise EnrollmentRefused(
            BAD_REQUEST,
            f"a weak or oversized RSA key ({key.key_size} bits); use P-256, or RSA of {_MIN_RSA_BITS} to "
            f"{_MAX_RSA_BITS} bits with exponent 65537",
        )
    raise EnrollmentRefused(BAD_REQUEST, "keys of this kind are not accepted; use P-256")


def _der(data: bytes) -> bytes:
    """The DER in any of the three forms that clients send."""
    text = data.strip()
    if text.startswith(_PEM_HEAD):
        lines = text.splitlines()
        text = b"".join(line.strip() for line in lines[1:-1])
    elif text[:1] == b"\x30":
        return data
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None


def _uris(extensions: x509.Extensions) -> tuple[str, ...]:
    """The alternative names asked for; other kinds than URIs are given back too, to be refused."""
    uris: list[str] = []
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints) and value.ca:
            raise EnrollmentRefused(BAD_REQUEST, "the request asks to become an authority")
        if isinstance(value, x509.SubjectAlternativeName):
            uris += [str(name.value) for name in value]
    return tuple(uris)

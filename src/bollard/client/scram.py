"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS as an `Authentication`: the secret never leaves this machine, and the
server must prove that it knows its keys before anything else is sent.
"""

import hashlib
import hmac
import secrets

from cryptography import x509

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.client.errors import AuthenticationFailed
from bollard.identity.scram import (
    END_POINT,
    METHOD,
    METHOD_PLUS,
    ClientKeys,
    base64_text,
    derive,
    encode_name,
    proof,
    read_server_final,
    read_server_first,
    signature,
    signed_text,
)


class Scram:
    """Proves `password` for `username` without sending it. Give it to `Client(authentication=...)`.

    With `bind`, as by default, the proof is bound to the certificate that the server showed in TLS: it is
    worth nothing to somebody in between. Without TLS there is nothing to bind to; `bind=False` says that
    this is wanted. Name and password are ASCII; those that a Bollard server generates are.
    """

    def __init__(self, username: str, password: str | bytes | Secret, *, bind: bool = True) -> None:
        secret = password.reveal() if isinstance(password, Secret) else password
        self._password = Secret(secret.encode() if isinstance(secret, str) else secret)
        if not username or not (username.isascii() and username.isprintable()):
            raise LocalError("SCRAM needs a user name of printable ASCII characters")
        if not self._password or not self._password.reveal().isascii():
            raise LocalError("SCRAM needs a password of ASCII characters")
        self.method = METHOD_PLUS if bind else METHOD
        self._username = username
        self._bind = bind
        self._known: tuple[bytes, int, ClientKeys] | None = None
        self._expected = b""

    def start(self, server_certificate: bytes | None) -> bytes:
        """client-first: who we are, and a nonce."""
        self._header = b"n,,"
        self._end_point = b""
        if self._bind:
            if server_certificate is None:
                raise AuthenticationFailed(
                    "SCRAM cannot be bound to a connection without TLS", "Use TLS, or bind=False."
                )
            self._header = f"p={END_POINT},,".encode()
            self._end_point = end_point(server_certificate)
        self._expected = b""
        self._nonce = secrets.token_urlsafe(18)
        self._bare = f"n={encode_name(self._username)},r={self._nonce}"
        return self._header + self._bare.encode()

    def step(self, data: bytes) -> bytes:
        """client-final: the proof. A second challenge of one exchange is refused."""
        if self._expected:
            raise AuthenticationFailed("the server asked for a second proof")
        first = read_server_first(data)
        if not first.nonce.startswith(self._nonce) or first.nonce == self._nonce:
            # Attack: an answer that was recorded earlier.
            raise AuthenticationFailed("the server's answer belongs to another exchange")
        keys = self._keys(first.salt, first.iterations)
        without_proof = f"c={base64_text(self._header + self._end_point)},r={first.nonce}"
        text = signed_text(self._bare, data.decode(), without_proof)
        self._expected = signature(keys.server_key, text)
        return f"{without_proof},p={base64_text(proof(keys.client_key, text))}".encode()

    def finish(self, data: bytes) -> None:
        """server-final: raises unless the server has proved that it knows our keys."""
        expected, self._expected = self._expected, b""
        if not expected or not hmac.compare_digest(read_server_final(data), expected):
            raise AuthenticationFailed(
                "the server could not prove that it knows this identity",
                "Somebody else may have answered. Check host, port and CA file.",
            )

    def _keys(self, salt: bytes, iterations: int) -> ClientKeys:
        """Computed once for a salt: a device that reconnects does not pay again."""
        if self._known is None or self._known[:2] != (salt, iterations):
            self._known = (salt, iterations, derive(self._password.reveal(), salt, iterations))
        return self._known[2]


def end_point(certificate: bytes) -> bytes:
    """RFC 5929 `tls-server-end-point` of a DER certificate: under the hash that signed it, at least SHA-256."""
    signed = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    name = "sha256" if signed is None or signed.name in ("md5", "sha1") else signed.name
    return hashlib.new(name, certificate).digest()

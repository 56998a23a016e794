"""Getting and renewing a certificate over MQTT, the device's side.

    fetch_root    the server root that an enrollment string pins, from a server that nobody has verified yet
    ask           a signing request on `$enroll/csr`, and the server's answer
    request       the same for any request to the server itself
    ProveKey      how a device whose certificate has expired gets in to renew it

Keys and files are the caller's; nothing here writes.
"""

import asyncio
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from bollard.base.documents import load_json
from bollard.base.errors import LocalError
from bollard.client.client import Client
from bollard.client.errors import AuthenticationFailed, ClientError, ConnectRefused, ServerNotTrusted
from bollard.client.link import Address
from bollard.client.scram import end_point
from bollard.client.shell import shown_root
from bollard.identity import key_proof
from bollard.identity.enrollment_rights import REQUEST_TOPIC, reply_topic
from bollard.identity.profile import PrivateKey
from bollard.identity.tokens import EnrollmentString

REPLY_TIMEOUT_S = 30.0
#: Two certificates, and much room.
MAX_ANSWER_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered: "issued" with `certificate` (PEM, with its issuer) and where MQTT is served,
    "waiting" with the `key` to compare, or "refused" with a `reason`. `retry_s` 0: asking again is vain."""

    status: str
    certificate: str = ""
    host: str = ""
    port: int = 0
    key: str = ""
    retry_s: int = 0
    reason: str = ""


class ProveKey:
    """`Authentication` by the key of a certificate of ours that the server has issued, valid or expired.

    The connection can only renew it. The server is verified by TLS, as always.
    """

    method = key_proof.METHOD

    def __init__(self, certificate: bytes, key: PrivateKey) -> None:
        """`certificate` is DER."""
        self._certificate = certificate
        self._key = key
        self._end_point = b""

    def start(self, server_certificate: bytes | None) -> bytes:
        if server_certificate is None:
            raise AuthenticationFailed("a key is proved over TLS only")
        self._end_point = end_point(server_certificate)
        return self._certificate

    def step(self, data: bytes) -> bytes:
        if len(data) != key_proof.NONCE_BYTES:
            raise AuthenticationFailed("the server's challenge is none")
        return key_proof.sign(self._key, key_proof.text_to_sign(data, self._end_point))

    def finish(self, data: bytes) -> None:
        """The server has nothing more to prove than TLS has shown."""


async def fetch_root(string: EnrollmentString) -> bytes:
    """The server root (DER) that `string` pins. The connection carries no secret, and trusts nobody: whoever
    answers, the root has the pinned hash or is refused. Raises `ClientError`."""
    try:
        root = await shown_root(Address(host=string.host, port=string.port))
    except ConnectRefused as error:
        raise ServerNotTrusted(
            "this server cannot show the root that the enrollment string names",
            "Check that the string is whole, and that it is a Bollard broker that answers there.",
        ) from error
    if not string.recognizes(root):
        raise ServerNotTrusted(
            "the server is not the one that the enrollment string was made for",
            "Somebody else may answer at this address. Nothing secret was sent. Ask the owner for a new string.",
        )
    return root


def make_csr(key: PrivateKey, identity: str) -> bytes:
    """A signing request for `identity`, DER."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, identity)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.DER)


async def ask(client: Client, identity: str, csr: bytes, timeout_s: float = REPLY_TIMEOUT_S) -> Answer:
    """Send `csr` for `identity` on a connected `client` and wait for the answer. Raises `ClientError`."""
    return _read(await request(client, identity, REQUEST_TOPIC, csr, timeout_s))


async def request(
    client: Client, identity: str, topic: str, payload: bytes, timeout_s: float = REPLY_TIMEOUT_S
) -> bytes:
    """Publish `payload` to the server itself, on `topic`, and wait for its answer. Raises `ClientError`."""
    await client.subscribe(reply_topic(identity), qos=1)
    await client.publish(topic, payload, qos=1)
    try:
        async with asyncio.timeout(timeout_s):
            async for message in client.messages:
                if message.topic == reply_topic(identity):
                    return message.payload
    except TimeoutError:
        pass
    raise ClientError(f"the server did not answer the request on {topic}", "Try again.", heals=True)


def _read(payload: bytes) -> Answer:
    try:
        told = load_json(payload, MAX_ANSWER_BYTES)
        return Answer(**{name: value for name, value in told.items() if name in Answer.__slots__})
    except (ValueError, TypeError, AttributeError):
        raise ClientError("the server's answer cannot be read", "Its version may be another one.") from None


def leaf_of(chain_pem: str, key: PrivateKey) -> x509.Certificate:
    """The certificate for `key` at the head of what a server issued. `LocalError` if it is for another."""
    try:
        leaf = x509.load_pem_x509_certificates(chain_pem.encode("ascii"))[0]
    except (ValueError, IndexError):
        raise LocalError("what the server issued is no certificate") from None
    if leaf.public_key() != key.public_key():
        raise LocalError("the server issued a certificate for another key than ours", "Try again.")
    return leaf

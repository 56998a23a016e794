"""The server roots in a device's file, kept as the server says: over a connection that they have verified.

    keep_roots    ask which roots to trust, replace the file if they are others, and tell the server

Attack: whoever answers in the server's place could plant a root of its own and be believed ever after. So
nothing is taken from a connection whose server TLS has not verified, and nothing that has none of the roots
which the file holds.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from bollard.base.documents import load_json
from bollard.base.errors import LocalError
from bollard.client.client import Client
from bollard.client.enroll import request
from bollard.client.errors import ClientError, ServerNotTrusted
from bollard.identity.enrollment_rights import ROOTS_TOPIC
from bollard.identity.files import write_private
from bollard.identity.roots import pin_of, read_certificates

#: What a server may tell: two roots, two that are to follow, and room.
MAX_ROOTS, MAX_BYTES = 8, 32_768
#: JSON may write each byte in six.
MAX_ANSWER_BYTES = 6 * MAX_BYTES + 1024


async def keep_roots(client: Client, identity: str, path: Path) -> bool:
    """Make `path`, which holds the roots (PEM) that `client` trusts, what the server says; whether it changed.

    `client` is connected as `identity`. The file is replaced in one step, and the server then told, which so
    knows who is ready before it replaces its root. `ServerNotTrusted` for roots that are none, or for none
    that are known; `ClientError` if the server does not answer or is too old to; then the file stays.
    """
    if not client.verifies_server:
        raise LocalError("roots are only taken from a server that TLS has verified")
    held = read_certificates(path)
    told = await _ask(client, identity, held)
    _check(told, held)
    if set(told) == set(held):
        return False
    write_private(path, b"".join(each.public_bytes(serialization.Encoding.PEM) for each in told))
    await _ask(client, identity, told)
    return True


async def _ask(client: Client, identity: str, held: Iterable[x509.Certificate]) -> list[x509.Certificate]:
    """What the server says, told that we hold `held`."""
    payload = await request(client, identity, ROOTS_TOPIC, " ".join(map(pin_of, held)).encode())
    try:
        text = load_json(payload, MAX_ANSWER_BYTES)["roots"]
        if len(text) > MAX_BYTES:
            raise ValueError(len(text))
        return x509.load_pem_x509_certificates(text.encode("ascii"))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ClientError("the server's answer has no roots", "Its version may be another one.") from None


def _check(told: Sequence[x509.Certificate], held: Sequence[x509.Certificate]) -> None:
    """`ServerNotTrusted` unless `told` are roots, few, and one of them is in `held`."""
    if len(told) > MAX_ROOTS or not all(map(_is_root, told)):
        raise ServerNotTrusted("what the server gave as its roots are none", "Tell the broker's owner.")
    if not set(told) & set(held):
        raise ServerNotTrusted(
            "none of the roots that the server names is one that we trust", "Tell the broker's owner."
        )


def _is_root(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False

"""TLS with pre-shared keys: its server-side context, and who a handshake was with.

A listener of its own, without certificates, so that a handshake succeeds only with a key. Needs Python 3.13.

Python tells the callback the name that a client gives, and afterwards nobody which one it was. Handshakes
are driven one step at a time on the loop, and the callback runs inside such a step: so what it noted during
a step belongs to the stream whose step that was.
"""

import ssl
from collections.abc import Callable

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.net.tls import ALPN, ServerContext

#: With forward secrecy: a key that is stolen later opens no recorded traffic.
SUITES = "ECDHE-PSK-CHACHA20-POLY1305:ECDHE-PSK-AES128-CBC-SHA256:ECDHE-PSK-AES256-CBC-SHA384:@SECLEVEL=2"
#: Longest name of an identity; longer ones are nobody's.
MAX_NAME_BYTES = 64

Find = Callable[[str], tuple[Secret, bytes]]


def is_available() -> bool:
    """Whether this Python has what TLS-PSK needs."""
    return bool(getattr(ssl, "HAS_PSK", False))


class PskContext(ServerContext):
    """A context without certificates. `heard` is what the handshake step in hand was told: name and salt."""

    heard: tuple[str, bytes] | None = None


def psk_context(find: Find) -> PskContext:
    """A context that asks `find` for the key of a name, and the salt that it was made with.

    Raises LocalError if this Python cannot do it.
    """
    if not is_available():
        raise LocalError(
            "TLS with pre-shared keys needs Python 3.13 or newer",
            "Run the broker with a newer Python, or remove `psk` from the listener.",
        )
    context = PskContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(SUITES)
    # A ticket would be taken for the name of a key. There is no signature that resumption could save.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    context.set_alpn_protocols([ALPN["tls"]])

    def key_of(name: str | None) -> bytes:
        identity = name or ""
        if len(identity.encode()) > MAX_NAME_BYTES:
            identity = ""
        key, salt = find(identity)
        context.heard = (identity, salt)
        return key.reveal()

    context.set_psk_server_callback(key_of)  # type: ignore[attr-defined,unused-ignore]  # new in Python 3.13
    return context

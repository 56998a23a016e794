"""Keys of TLS-PSK: which key an identity has. No TLS here.

A key is made from a salt that is stored, and from a secret that lies beside the pepper: a stolen database
holds no key, and to replace a key is to replace its salt.
"""

import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass

from bollard.base.types import Secret
from bollard.identity.records import Snapshot

SALT_BYTES = 16
KEY_BYTES = 32


def new_salt() -> bytes:
    """A fresh salt, and with it a fresh key."""
    return os.urandom(SALT_BYTES)


def psk_of(master: bytes, identity: str, salt: bytes) -> Secret:
    """The key of `identity` with `salt`: 32 bytes."""
    return Secret(hmac.digest(master, salt + identity.encode(), "sha256"))


@dataclass(frozen=True, slots=True)
class PskKeys:
    """What TLS asks: a name to its key. For any thread."""

    snapshot: Callable[[], Snapshot]
    master: bytes

    def find(self, identity: str) -> tuple[Secret, bytes]:
        """The key of `identity` and the salt that it was made with.

        Who has none gets a key that nobody knows, with the salt b"", so that the handshake fails as it does
        with a wrong key: else it would tell which names are enrolled. Whether an identity may connect at all
        is decided at CONNECT, where it can be told why not.
        """
        known = self.snapshot().identities.get(identity)
        if known is not None and known.psk_salt:
            return psk_of(self.master, identity, known.psk_salt), known.psk_salt
        return Secret(os.urandom(KEY_BYTES)), b""

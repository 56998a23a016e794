"""Generated secrets and what is stored of them. Passwords that a human chose do not belong here.

A secret has 160 random bits, so guessing is hopeless and a slow hash would only help an attacker who
sends a storm of CONNECTs. What is stored is HMAC-SHA256(pepper, secret), and beside it the keys of the
same secret for SCRAM.
"""

import base64
import hashlib
import hmac
import os
from pathlib import Path

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.files import read_private, write_private
from bollard.identity.scram import ITERATIONS, SALT_BYTES, ScramKeys, derive, keys_for_server

SECRET_BYTES = 20
PEPPER_BYTES = 32


def generate_secret() -> Secret:
    """A fresh secret as text: 32 characters of the base32 alphabet (`A-Z 2-7`), 160 random bits."""
    return Secret(base64.b32encode(os.urandom(SECRET_BYTES)))


def ensure_pepper(path: Path, *, expected: bool) -> Secret:
    """The pepper of `path`, made on the first run.

    `expected` says that verifiers exist which were made with it: then a missing file is a `LocalError`,
    because a new one would silently lock every device out. A file of wrong size is one always.
    """
    if not path.exists():
        if expected:
            raise LocalError(
                f"{path} is missing, and the stored passwords cannot be checked without it",
                "Restore it from your backup, or move registry.db away and enroll the devices again.",
            )
        write_private(path, os.urandom(PEPPER_BYTES))
    pepper = read_private(path)
    if len(pepper) != PEPPER_BYTES:
        raise LocalError(
            f"{path} is damaged: it has {len(pepper)} bytes instead of {PEPPER_BYTES}",
            "Restore it from your backup.",
        )
    return Secret(pepper)


class Verifier:
    """Makes and checks verifiers of generated secrets, with one pepper. Thread-safe."""

    __slots__ = ("_dummy", "_labels", "_pepper", "_salts")

    def __init__(self, pepper: Secret) -> None:
        self._pepper = pepper
        self._dummy = os.urandom(hashlib.sha256().digest_size)
        self._labels = hmac.digest(pepper.reveal(), b"labels of factories", "sha256")
        self._salts = hmac.digest(pepper.reveal(), b"salts of SCRAM", "sha256")

    def make(self, secret: Secret) -> bytes:
        """HMAC-SHA256(pepper, secret): 32 bytes to store."""
        return hmac.digest(self._pepper.reveal(), secret.reveal(), "sha256")

    def check(self, secret: Secret, verifier: bytes) -> bool:
        """Whether `verifier` was made from `secret`. An empty verifier matches nothing.

        The same work is done for an empty verifier, that is, for an unknown user: otherwise the time
        of an answer would tell which names are enrolled.
        """
        matches = hmac.compare_digest(self.make(secret), verifier or self._dummy)
        return matches and bool(verifier)

    def make_for_label(self, secret_sha256: bytes) -> bytes:
        """What to store of a factory label's secret, of which only the SHA-256 is known: 32 bytes.

        With a key of its own: else whoever reads a manifest could present the hash as the secret.
        """
        return hmac.digest(self._labels, secret_sha256, "sha256")

    def check_token(self, secret: Secret, verifier: bytes) -> bool:
        """As `check`, for the verifier of an enrollment string or of a factory label; the same work for both."""
        label = self.make_for_label(hashlib.sha256(secret.reveal()).digest())
        is_label = hmac.compare_digest(label, verifier or self._dummy)
        is_string = self.check(secret, verifier)
        return (is_label or is_string) and bool(verifier)

    @property
    def password_pepper(self) -> bytes:
        """The pepper of passwords that people chose (`passwords.py`)."""
        return hmac.digest(self._pepper.reveal(), b"passwords of people", "sha256")

    @property
    def psk_master(self) -> bytes:
        """What the keys of TLS-PSK are made from (`psk.py`)."""
        return hmac.digest(self._pepper.reveal(), b"keys of TLS-PSK", "sha256")

    def scram_salt(self, name: str) -> bytes:
        """The salt of `name`, whether or not it is enrolled: always the same, and to be foretold by nobody.

        So the answer to an unknown name is the one that it would get if it were enrolled.
        """
        return hmac.digest(self._salts, name.encode(), "sha256")[:SALT_BYTES]

    def scram_keys(self, name: str, secret: Secret) -> ScramKeys:
        """What to store so that `name` can prove `secret` by SCRAM. Takes about a millisecond."""
        salt = self.scram_salt(name)
        return keys_for_server(derive(secret.reveal(), salt, ITERATIONS), salt, ITERATIONS)

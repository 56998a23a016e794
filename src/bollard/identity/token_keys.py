"""Private keys that are in a PKCS#11 token: what the builders of certificates and lists take for a key.

They sign, and that is all: nothing of the key can be read. Every signature is verified before it is given
away. A token that errs, or answers with another key, would else be noticed by the devices, and one wrong
RSA signature can give the key away.
"""

import threading
from typing import Any, NoReturn, Self

import pkcs11
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from pkcs11.types import SignMixin

from bollard.base.errors import LocalError

#: The library initializes modules for one thread at a time.
TOKEN_LOCK = threading.RLock()
ECDSA = ec.ECDSA(hashes.SHA256())

_Data = bytes | bytearray | memoryview


class _InToken:
    """`handle` is the key in the token; `key_id` its CKA_ID, `token` and `name` are the labels of the two."""

    handle: pkcs11.PrivateKey
    key_id: bytes
    token: str
    name: str

    def private_numbers(self) -> NoReturn:
        raise self._kept()

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> NoReturn:
        raise self._kept()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def _kept(self) -> LocalError:
        return LocalError(f"the key {self.name} is in the token {self.token} and does not leave it")

    def _signature(self, data: bytes, mechanism: pkcs11.Mechanism) -> bytes:
        handle = self.handle
        if not isinstance(handle, SignMixin):
            raise LocalError(f"the token {self.token} does not let {self.name} sign", "It is another key.")
        try:
            with TOKEN_LOCK:
                return bytes(handle.sign(data, mechanism=mechanism))
        except pkcs11.PKCS11Error as error:
            raise LocalError(
                f"the token {self.token} did not sign with {self.name}: {type(error).__name__}",
                "Is it plugged in? A token that was away needs a restart of the broker.",
            ) from None

    def _wrong(self) -> LocalError:
        return LocalError(
            f"the token {self.token} signed with another key than {self.name}, or wrongly",
            "Restore the files in ca/ that belong to this token, or have the token looked at.",
        )


class TokenEcKey(_InToken, ec.EllipticCurvePrivateKey):
    """A P-256 key in a token."""

    def __init__(
        self,
        public: ec.EllipticCurvePublicKey,
        handle: pkcs11.PrivateKey,
        key_id: bytes,
        token: str,
        name: str,
    ) -> None:
        self._public, self.handle, self.key_id, self.token, self.name = public, handle, key_id, token, name

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> NoReturn:
        raise LocalError(f"the key {self.name} only signs")

    def sign(self, data: _Data, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """An ECDSA signature with SHA-256, the only one that is made. `LocalError` if the token fails."""
        assert isinstance(signature_algorithm.algorithm, hashes.SHA256)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(data)
        # The digest is ours: hardly a token hashes for ECDSA itself.
        raw = self._signature(digest.finalize(), pkcs11.Mechanism.ECDSA)
        half = len(raw) // 2
        signature = encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))
        try:
            self._public.verify(signature, data, ECDSA)
        except InvalidSignature:
            raise self._wrong() from None
        return signature


class TokenRsaKey(_InToken, rsa.RSAPrivateKey):
    """An RSA key in a token."""

    def __init__(
        self, public: rsa.RSAPublicKey, handle: pkcs11.PrivateKey, key_id: bytes, token: str, name: str
    ) -> None:
        self._public, self.handle, self.key_id, self.token, self.name = public, handle, key_id, token, name

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public

    def decrypt(self, ciphertext: bytes, padding: AsymmetricPadding) -> NoReturn:
        raise LocalError(f"the key {self.name} only signs")

    def sign(
        self,
        data: _Data,
        padding: AsymmetricPadding,
        algorithm: Prehashed | hashes.HashAlgorithm | Any,
    ) -> bytes:
        """A PKCS#1 v1.5 signature with SHA-256, the only one that is made. `LocalError` if the token fails."""
        assert isinstance(padding, _PKCS1)
        assert isinstance(algorithm, hashes.SHA256)
        signature = self._signature(bytes(data), pkcs11.Mechanism.SHA256_RSA_PKCS)
        try:
            self._public.verify(signature, bytes(data), padding, hashes.SHA256())
        except InvalidSignature:
            raise self._wrong() from None
        return signature


_PKCS1 = padding.PKCS1v15
TokenKey = TokenEcKey | TokenRsaKey

"""The keys of the authorities in a PKCS#11 token: made there, found there, and used there.

A key is made in the token, not extractable, and never is anywhere else; or it is put into the token from the
file where it was, and the file is wiped. Its key file in `ca/` is then a reference: an RFC 7512 URI that names
the token, the key's label and CKA_ID, and the public key behind it, because not every token keeps those. The
reference is no secret. One that was exchanged is found out: the public key has to be the certificate's, and
the token proves at the start that it has the private one.

The PIN is tried once a start. Tokens count wrong ones and lock themselves, often for good; so a PIN in a file that
was refused is not tried again, by however many restarts and commands, until that file has changed.
"""

import os
import re
import stat
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pkcs11
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass, TokenFlag
from pkcs11.util.ec import encode_named_curve_parameters

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.files import read_private, write_private
from bollard.identity.keys import ByPassphrase, damaged, is_plain, is_reference
from bollard.identity.profile import PrivateKey, PublicKey
from bollard.identity.token_keys import ECDSA, TOKEN_LOCK, TokenEcKey, TokenKey, TokenRsaKey
from bollard.identity.unlock import TokenSettings

#: What is known of the file whose PIN was refused.
REFUSED_FILE = "pin.refused"

_ID = re.compile(rb"^pkcs11:(?:[^;\s]+;)*id=((?:%[0-9A-Fa-f]{2}){1,64})(?:;\S*)?$", re.MULTILINE)
_P256 = encode_named_curve_parameters("secp256r1")
_SIGN = MechanismFlag.SIGN | MechanismFlag.VERIFY
#: What is asked of a key: it stays in the token, and only whoever has the PIN uses it.
_KEPT: dict[Attribute, Any] = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.PRIVATE: True,
}


def open_token(settings: TokenSettings, directory: Path, left: ByPassphrase | None) -> "TokenKeys":
    """Log in to the token, with one attempt. `left` opens the keys that are still in files.

    What is remembered of a refused PIN is in `directory`. `LocalError` says which of it is wrong: module,
    token, or PIN.
    """
    module = _checked(settings.module)
    refused = directory / REFUSED_FILE
    with TOKEN_LOCK:
        token = _find(module, settings)
        _require_tries(settings, token)
        version = _version(settings)
        if version and refused.exists() and read_private(refused) == version:
            raise LocalError(
                f"the PIN in {settings.pin_file} was refused, and the file has not changed since",
                f"It is not tried again, so that the token {settings.label} does not lock itself: correct it.",
            )
        try:
            session = _login(settings, token, settings.read_pin())
        except PinRefused:
            if version:
                write_private(refused, version)
            raise
        refused.unlink(missing_ok=True)
        return TokenKeys(session, settings.label, left)


class PinRefused(LocalError):
    """The token says that the PIN is wrong."""


class TokenKeys:
    """`Keys` in a token, with those that a move has not reached yet in files."""

    def __init__(self, session: pkcs11.Session, label: str, left: ByPassphrase | None) -> None:
        self._session = session
        self._label = label
        self._left = left

    def new_ec_key(self, name: str) -> ec.EllipticCurvePrivateKey:
        key_id = os.urandom(16)
        with TOKEN_LOCK, self._saying(f"make a P-256 key for {name}"):
            curve = self._session.create_domain_parameters(
                KeyType.EC, {Attribute.EC_PARAMS: _P256}, local=True
            )
            public, private = curve.generate_keypair(**_template(name, key_id))
            self._require_kept(name, private, public)
            # A DER octet string as the standard has it, or the point itself, as some tokens do.
            point = bytes(public[Attribute.EC_POINT])[-65:]
        known = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        return TokenEcKey(known, private, key_id, self._label, name)

    def new_rsa_key(self, name: str) -> rsa.RSAPrivateKey:
        key_id = os.urandom(16)
        with TOKEN_LOCK, self._saying(f"make an RSA key for {name}"):
            public, private = self._session.generate_keypair(KeyType.RSA, 2048, **_template(name, key_id))
            self._require_kept(name, private, public)
            modulus = int.from_bytes(public[Attribute.MODULUS])
            exponent = int.from_bytes(public[Attribute.PUBLIC_EXPONENT])
        known = rsa.RSAPublicNumbers(exponent, modulus).public_key()
        return TokenRsaKey(known, private, key_id, self._label, name)

    def put(self, name: str, key: PrivateKey) -> TokenKey:
        """Put a key that was in a file into the token; it is tried before this returns."""
        key_id = os.urandom(16)
        about = {
            **_numbers(key),
            **_KEPT,
            Attribute.CLASS: ObjectClass.PRIVATE_KEY,
            Attribute.TOKEN: True,
            Attribute.SIGN: True,
            Attribute.ID: key_id,
            Attribute.LABEL: _label(name),
        }
        with TOKEN_LOCK, self._saying(f"take the key of {name}"):
            handle = self._session.create_object(about)
            assert isinstance(handle, pkcs11.PrivateKey)
            self._require_kept(name, handle)
        stored = _wrapped(key.public_key(), handle, key_id, self._label, name)
        _prove(stored)
        return stored

    def stored(self, key: PrivateKey) -> bytes:
        if isinstance(key, TokenEcKey | TokenRsaKey):
            return _reference(key)
        if self._left is None:
            raise _unmoved("a key of an authority")
        return self._left.stored(key)

    def read(self, path: Path) -> PrivateKey:
        text = read_private(path)
        if is_reference(text):
            return self._referenced(path, text)
        if self._left is None or is_plain(text):
            raise _unmoved(str(path))
        return self._left.read(path)

    def _referenced(self, path: Path, text: bytes) -> TokenKey:
        found = _ID.search(text)
        pem = text.find(b"-----BEGIN PUBLIC KEY-----")
        if found is None or pem < 0:
            raise damaged(path)
        try:
            public = serialization.load_pem_public_key(text[pem:])
        except ValueError:
            raise damaged(path) from None
        if not isinstance(public, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise damaged(path)
        key_id = unquote_to_bytes(found[1])
        try:
            with TOKEN_LOCK:
                handle = self._session.get_key(ObjectClass.PRIVATE_KEY, id=key_id)
        except pkcs11.PKCS11Error:
            raise LocalError(
                f"the token {self._label} does not have the key that {path} names ({key_id.hex()})",
                "Use the token that has it, or restore the token from its own backup.",
            ) from None
        assert isinstance(handle, pkcs11.PrivateKey)
        key = _wrapped(public, handle, key_id, self._label, path.stem)
        _prove(key)
        return key

    def _require_kept(self, name: str, private: pkcs11.PrivateKey, public: Any = None) -> None:
        """The token has to say that the key stays; else it is taken away again."""
        if private[Attribute.SENSITIVE] and not private[Attribute.EXTRACTABLE]:
            return
        for each in (private, public):
            if each is not None:
                each.destroy()
        raise LocalError(
            f"the token {self._label} would give the key of {name} away",
            "It has to keep keys that are sensitive and not extractable; use another token.",
        )

    def _saying(self, what: str) -> "_Saying":
        return _Saying(f"the token {self._label} did not {what}")


class _Saying:
    """Turns an error of the library into one that says what was wanted."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pkcs11.PKCS11Error):
            raise LocalError(
                f"{self._what}: {type(error).__name__}",
                "Its manual says what it can do; for a token that takes no keys see docs/IDENTITY.md.",
            ) from None


def _checked(module: Path) -> Path:
    """The module's file. It runs with all our rights: nobody else may have put it there, or could."""
    try:
        real = module.resolve(strict=True)
        status = real.stat()
        folders = [each.stat() for each in real.parents]
    except OSError as error:
        raise LocalError(
            f"cannot read the PKCS#11 module {module}: {error.strerror}",
            "Name the shared library that came with the token: pkcs11_module in [authorities].",
        ) from None
    open_to_all = any(each.st_mode & 0o002 and not each.st_mode & stat.S_ISVTX for each in folders)
    foreign = any(each.st_uid not in (0, os.geteuid()) for each in (status, *folders))
    if foreign or open_to_all or status.st_mode & 0o022 or not stat.S_ISREG(status.st_mode):
        raise LocalError(
            f"others may write the PKCS#11 module {real}, or a directory above it",
            "It runs with all rights of the broker: let it belong to root, and chmod go-w it.",
        )
    return real


def _find(module: Path, settings: TokenSettings) -> pkcs11.Token:
    try:
        tokens = list(pkcs11.lib(str(module)).get_tokens())
    except (pkcs11.PKCS11Error, RuntimeError) as error:
        raise LocalError(
            f"the PKCS#11 module {settings.module} cannot be used: {str(error) or type(error).__name__}",
            "Name the shared library that came with the token: pkcs11_module in [authorities].",
        ) from None
    fitting = [token for token in tokens if token.label == settings.label]
    if len(fitting) == 1:
        return fitting[0]
    labels = ", ".join(repr(token.label) for token in tokens if token.label) or "none"
    raise LocalError(
        f"{'no token has' if not fitting else 'more than one token has'} the label {settings.label!r}",
        f"The module shows: {labels}. Plug it in, or correct pkcs11_token in [authorities].",
    )


def _require_tries(settings: TokenSettings, token: pkcs11.Token) -> None:
    """Leave the last try to a person: a wrong PIN in a file, at each restart, would lock the token."""
    if token.flags & TokenFlag.USER_PIN_LOCKED:
        raise LocalError(
            f"the token {settings.label} is locked: its PIN was wrong too often",
            "Its security officer can give it a new PIN; its manual says how.",
        )
    if token.flags & TokenFlag.USER_PIN_FINAL_TRY and settings.pin_from != "prompt":
        raise LocalError(
            f"the token {settings.label} has one try left, and it is not spent on a PIN from a file",
            'Log in to it by hand, or with pin_from = "prompt"; then correct the PIN that is stored.',
        )


def _version(settings: TokenSettings) -> bytes:
    """What changes with the file of the PIN, and says nothing of the PIN; empty without such a file."""
    if settings.pin_file is None:
        return b""
    try:
        status = settings.pin_file.stat()
    except OSError:
        return b""  # reading it says what is wrong
    return f"{settings.pin_file} {status.st_ino} {status.st_mtime_ns} {status.st_size}\n".encode()


def _login(settings: TokenSettings, token: pkcs11.Token, pin: Secret) -> pkcs11.Session:
    try:
        return token.open(rw=True, user_pin=pin.reveal().decode())
    except (pkcs11.PinIncorrect, pkcs11.PinLocked, pkcs11.PinLenRange, pkcs11.PinInvalid):
        raise PinRefused(
            f"the token {settings.label} refused the PIN; it was tried once and is not tried again",
            "Correct it before the next start: tokens lock themselves after a few wrong ones.",
        ) from None
    except pkcs11.PKCS11Error as error:
        raise LocalError(
            f"the token {settings.label} cannot be opened: {type(error).__name__}",
            "Is it initialized, with a user PIN, and free to be written?",
        ) from None


def _template(name: str, key_id: bytes) -> dict[str, Any]:
    return {
        "id": key_id,
        "label": _label(name),
        "store": True,
        "capabilities": _SIGN,
        "private_template": _KEPT,
    }


def _label(name: str) -> str:
    return f"bollard {name}"


def _numbers(key: PrivateKey) -> dict[Attribute, Any]:
    """A software key as a token takes it."""
    numbers = key.private_numbers()
    if isinstance(numbers, ec.EllipticCurvePrivateNumbers):
        return {
            Attribute.KEY_TYPE: KeyType.EC,
            Attribute.EC_PARAMS: _P256,
            Attribute.VALUE: numbers.private_value.to_bytes(32),
        }
    parts = {
        Attribute.MODULUS: numbers.public_numbers.n,
        Attribute.PUBLIC_EXPONENT: numbers.public_numbers.e,
        Attribute.PRIVATE_EXPONENT: numbers.d,
        Attribute.PRIME_1: numbers.p,
        Attribute.PRIME_2: numbers.q,
        Attribute.EXPONENT_1: numbers.dmp1,
        Attribute.EXPONENT_2: numbers.dmq1,
        Attribute.COEFFICIENT: numbers.iqmp,
    }
    whole = {part: value.to_bytes((value.bit_length() + 7) // 8) for part, value in parts.items()}
    return {Attribute.KEY_TYPE: KeyType.RSA, **whole}


def _wrapped(public: PublicKey, handle: pkcs11.PrivateKey, key_id: bytes, token: str, name: str) -> TokenKey:
    if isinstance(public, ec.EllipticCurvePublicKey):
        return TokenEcKey(public, handle, key_id, token, name)
    return TokenRsaKey(public, handle, key_id, token, name)


def _prove(key: TokenKey) -> None:
    """Have the token sign something: it says which key it has, and that the PIN is enough to use it."""
    if isinstance(key, TokenEcKey):
        key.sign(os.urandom(32), ECDSA)
    else:
        key.sign(os.urandom(32), padding.PKCS1v15(), SHA256())


def _reference(key: TokenKey) -> bytes:
    key_id = "".join(f"%{byte:02X}" for byte in key.key_id)
    uri = f"pkcs11:token={quote(key.token, '')};object={quote(_label(key.name), '')};id={key_id};type=private"
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return uri.encode() + b"\n" + public


def _unmoved(what: str) -> LocalError:
    return LocalError(
        f'{what} is in a file, and [authorities] says unlock = "pkcs11"',
        "Write the unlock that it had, and move all keys: bollard authority unlock pkcs11",
    )

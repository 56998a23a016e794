"""SCRAM-SHA-256 (RFC 5802, RFC 7677): the arithmetic and the form of its messages, for both ends.

    CONNECT  client-first  gs2-header n=USER,r=NONCE
    AUTH     server-first  r=NONCE+MORE,s=SALT,i=ITERATIONS
    AUTH     client-final  c=BINDING,r=NONCE+MORE,p=PROOF
    CONNACK  server-final  v=SIGNATURE

Messages travel as Authentication Data as they are, without another base64. The server stores keys that
check a proof and make a signature, but cannot make a proof. The server's part of the exchange is in
`scram_mechanism.py`, the client's in `bollard.client.scram`.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field

METHOD = "SCRAM-SHA-256"
METHOD_PLUS = "SCRAM-SHA-256-PLUS"
#: The binding of RFC 5929 to the certificate that the server showed in TLS.
END_POINT = "tls-server-end-point"

#: What RFC 7677 asks for, and what clients insist on. Our secrets are random, so more would only tire devices.
ITERATIONS = 4096
#: A server that asks for more wants to keep the client busy, not safe.
MAX_ITERATIONS = 200_000
SALT_BYTES = 16
KEY_BYTES = 32
#: Every message of ours is far shorter; a longer one is an attempt to fill memory.
MAX_MESSAGE_BYTES = 2048


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What a server keeps of one secret. Whoever reads it can pass as this server, never as the client."""

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """What a client computes from its secret, once for each salt. A device may store these instead."""

    client_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServerFirst:
    """The server's challenge, taken apart."""

    nonce: str
    salt: bytes
    iterations: int


@dataclass(frozen=True, slots=True)
class ClientFirst:
    """The client's opening, taken apart. `flag` is "n", "y" or the name of a channel binding.

    `header` is the GS2 header as it came, `bare` the rest: both are signed later.
    """

    flag: str
    authorize_as: str
    username: str
    nonce: str
    header: str
    bare: str


@dataclass(frozen=True, slots=True)
class ClientFinal:
    """The client's answer, taken apart. `without_proof` is what it signs."""

    binding: bytes
    nonce: str
    proof: bytes = field(repr=False)
    without_proof: str = field(repr=False)


def derive(secret: bytes, salt: bytes, iterations: int) -> ClientKeys:
    """The slow step: PBKDF2 of `secret`, about a millisecond for `ITERATIONS`."""
    salted = hashlib.pbkdf2_hmac("sha256", secret, salt, iterations)
    return ClientKeys(_hmac(salted, b"Client Key"), _hmac(salted, b"Server Key"))


def keys_for_server(keys: ClientKeys, salt: bytes, iterations: int) -> ScramKeys:
    """What the server may know of a client's keys."""
    return ScramKeys(salt, iterations, hashlib.sha256(keys.client_key).digest(), keys.server_key)


def proof(client_key: bytes, message: str) -> bytes:
    """The client's proof for an exchange whose signed text is `message`."""
    stored_key = hashlib.sha256(client_key).digest()
    return _xor(client_key, _hmac(stored_key, message.encode()))


def proves(keys: ScramKeys, message: str, claimed: bytes) -> bool:
    """Whether `claimed` was made by whoever has the secret that `keys` belong to."""
    if len(claimed) != KEY_BYTES:
        return False
    client_key = _xor(claimed, _hmac(keys.stored_key, message.encode()))
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), keys.stored_key)


def signature(server_key: bytes, message: str) -> bytes:
    """The server's own proof that it knows the keys."""
    return _hmac(server_key, message.encode())


def signed_text(client_first_bare: str, server_first: str, final_without_proof: str) -> str:
    """What proof and signature are over."""
    return f"{client_first_bare},{server_first},{final_without_proof}"


def encode_name(name: str) -> str:
    """A user name as it stands in a message: `,` and `=` would end it."""
    return name.replace("=", "=3D").replace(",", "=2C")


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def read_client_first(data: bytes) -> ClientFirst:
    """Raises `ValueError` for what is no client-first message."""
    text = _text(data)
    pieces = text.split(",")
    if len(pieces) != 4:
        raise ValueError("not of the form gs2-header,n=,r=; extensions are not known here")
    flag, authorize_as = pieces[0], pieces[1]
    if flag.startswith("p="):
        flag = flag[2:]
    elif flag not in ("n", "y"):
        raise ValueError("no such channel binding flag")
    return ClientFirst(
        flag,
        _decode_name(_value(authorize_as, "a")) if authorize_as else "",
        _decode_name(_value(pieces[2], "n")),
        _nonce(_value(pieces[3], "r")),
        f"{pieces[0]},{pieces[1]},",
        f"{pieces[2]},{pieces[3]}",
    )


def read_server_first(data: bytes) -> ServerFirst:
    """Raises `ValueError` for what is no server-first message, or asks for too little or too much work."""
    pieces = _text(data).split(",")
    if len(pieces) < 3:
        raise ValueError("not of the form r=,s=,i=")
    digits = _value(pieces[2], "i")
    if not digits.isdigit() or len(digits) > 7:
        raise ValueError("the iteration count is no number")
    iterations = int(digits)
    if not ITERATIONS <= iterations <= MAX_ITERATIONS:
        raise ValueError(f"an iteration count outside {ITERATIONS} to {MAX_ITERATIONS}")
    return ServerFirst(_nonce(_value(pieces[0], "r")), _base64(_value(pieces[1], "s")), iterations)


def read_client_final(data: bytes) -> ClientFinal:
    """Raises `ValueError` for what is no client-final message."""
    text = _text(data)
    without_proof, comma, last = text.rpartition(",")
    pieces = without_proof.split(",")
    if not comma or len(pieces) != 2:
        raise ValueError("not of the form c=,r=,p=; extensions are not known here")
    return ClientFinal(
        _base64(_value(pieces[0], "c")),
        _nonce(_value(pieces[1], "r")),
        _base64(_value(last, "p")),
        without_proof,
    )


def read_server_final(data: bytes) -> bytes:
    """The server's signature. Raises `ValueError` for an error message or anything else."""
    return _base64(_value(_text(data).split(",")[0], "v"))


def _text(data: bytes) -> str:
    if not 0 < len(data) <= MAX_MESSAGE_BYTES:
        raise ValueError("an empty or too long message")
    text = data.decode("utf-8")
    if not text.isprintable():
        raise ValueError("control characters in a message")
    return text


def _value(piece: str, name: str) -> str:
    if not piece.startswith(f"{name}="):
        raise ValueError(f"{name}= is missing")
    return piece[2:]


def _nonce(value: str) -> str:
    if not value or not value.isascii():
        raise ValueError("an empty nonce, or one that is not ASCII")
    return value


def _base64(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None


def _decode_name(value: str) -> str:
    if not value or value.replace("=2C", "").replace("=3D", "").count("="):
        raise ValueError("an empty name, or one with a bare =")
    return value.replace("=2C", ",").replace("=3D", "=")


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one) ^ int.from_bytes(other)).to_bytes(KEY_BYTES)

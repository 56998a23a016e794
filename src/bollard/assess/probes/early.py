"""Whether a server offers 0-RTT, by reading its session tickets.

The library here speaks TLS 1.3 and does not tell what a ticket allows. So its handshake is watched: with the traffic
secret, which it writes to a file of ours, the tickets are decrypted and read. Nothing is sent early.
"""

import asyncio
import contextlib
import ssl
import struct
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from bollard.assess.probes.evidence import NoAnswer, Tickets
from bollard.assess.probes.room import ANONYMOUS, Room

#: Tickets follow the handshake at once; a server that sends none by then is taken to have none.
TICKET_S = 2.0
#: A handshake and its tickets fit into this; a server that sends more is left.
MAX_BYTES = 262_144
_APPLICATION, _HANDSHAKE, _NEW_SESSION_TICKET, _EARLY_DATA = 23, 22, 4, 42


@dataclass(frozen=True, slots=True)
class Suite:
    """What decrypts the records of one cipher suite of TLS 1.3."""

    cipher: type[AESGCM] | type[ChaCha20Poly1305]
    key_bytes: int
    hash: hashes.HashAlgorithm


SUITES = {
    "TLS_AES_128_GCM_SHA256": Suite(AESGCM, 16, hashes.SHA256()),
    "TLS_AES_256_GCM_SHA384": Suite(AESGCM, 32, hashes.SHA384()),
    "TLS_CHACHA20_POLY1305_SHA256": Suite(ChaCha20Poly1305, 32, hashes.SHA256()),
}


async def probe_tickets(room: Room) -> tuple[Tickets]:
    """Shake hands in TLS 1.3 and read the tickets. Raises `NoAnswer` where that cannot be done."""
    if room.transport not in ("tls", "wss"):
        raise NoAnswer("this listener has no TLS")
    identity = next((each for each in room.identities if each.cert_file is not None), ANONYMOUS)
    context = room.context(identity)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with tempfile.TemporaryDirectory(prefix="bollard-") as folder:
        context.keylog_filename = str(Path(folder) / "secrets")
        name, received = await _shake(room, context)
        secret = _server_secret(Path(folder) / "secrets")
    if name not in SUITES or not secret:
        raise NoAnswer("the suite that was agreed to cannot be read here")
    found = early_data(received, secret, SUITES[name])
    return (Tickets(count=len(found), early_data_bytes=max(found, default=0)),)


async def _shake(room: Room, context: ssl.SSLContext) -> tuple[str, bytes]:
    """A handshake and what follows it for a moment: the suite, and all bytes that came."""
    await room.pace()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=room.server_name)
    received = b""
    try:
        async with asyncio.timeout(room.timeout_s):
            reader, writer = await asyncio.open_connection(room.place.address, room.place.port)
    except (OSError, TimeoutError):
        raise NoAnswer("no connection could be had") from None
    try:
        async with asyncio.timeout(room.timeout_s):
            while not _advanced(tls):
                writer.write(outgoing.read())
                data = await reader.read(16_384)
                if not data or len(received) > MAX_BYTES:
                    raise NoAnswer("a handshake of TLS 1.3 was not finished")
                received += data
                incoming.write(data)
        writer.write(outgoing.read())
        received += await _more(reader, min(TICKET_S, room.timeout_s))
        return (tls.cipher() or ("", "", 0))[0], received
    except (OSError, TimeoutError, ssl.SSLError):
        raise NoAnswer("a handshake of TLS 1.3 was not finished") from None
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _advanced(tls: ssl.SSLObject) -> bool:
    """Is the handshake through?"""
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


async def _more(reader: asyncio.StreamReader, seconds: float) -> bytes:
    data, end = b"", time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and len(data) < MAX_BYTES:
        try:
            async with asyncio.timeout(left):
                chunk = await reader.read(16_384)
        except (TimeoutError, OSError):
            break
        if not chunk:
            break
        data += chunk
    return data


def _server_secret(file: Path) -> bytes:
    """The secret of what the server sends after its handshake, as the library wrote it down."""
    if not file.exists():
        return b""
    for line in file.read_text("ascii").splitlines():
        label, _, rest = line.partition(" ")
        if label == "SERVER_TRAFFIC_SECRET_0":
            return bytes.fromhex(rest.partition(" ")[2])
    return b""


def early_data(received: bytes, secret: bytes, suite: Suite) -> list[int]:
    """For each ticket among these records, how many bytes of early data it allows; 0 means none.

    Records before the traffic secret was in use do not decrypt with it and are passed over.
    """
    cipher = suite.cipher(_expand(secret, "key", suite.key_bytes, suite.hash))
    nonce = int.from_bytes(_expand(secret, "iv", 12, suite.hash), "big")
    found: list[int] = []
    number = position = 0
    while position + 5 <= len(received):
        kind, size = received[position], int.from_bytes(received[position + 3 : position + 5], "big")
        head, body = received[position : position + 5], received[position + 5 : position + 5 + size]
        position += 5 + size
        if kind != _APPLICATION or len(body) < size:
            continue
        try:
            inner = cipher.decrypt((nonce ^ number).to_bytes(12, "big"), body, head).rstrip(b"\0")
        except InvalidTag:
            continue
        number += 1
        if inner[-1:] == bytes((_HANDSHAKE,)):
            found += read_tickets(inner[:-1])
    return found


def _expand(secret: bytes, label: str, size: int, hash: hashes.HashAlgorithm) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 9846, 7.1)."""
    name = b"tls13 " + label.encode()
    info = struct.pack(">HB", size, len(name)) + name + b"\0"
    return HKDFExpand(algorithm=hash, length=size, info=info).derive(secret)


def read_tickets(messages: bytes) -> list[int]:
    """The early data that each NewSessionTicket allows. What is cut short or garbled ends the reading."""
    found: list[int] = []
    position = 0
    while position + 4 <= len(messages):
        kind, size = messages[position], int.from_bytes(messages[position + 1 : position + 4], "big")
        body = messages[position + 4 : position + 4 + size]
        position += 4 + size
        if kind == _NEW_SESSION_TICKET:
            with contextlib.suppress(IndexError, struct.error):
                found.append(_allowed(body))
    return found


def _allowed(ticket: bytes) -> int:
    position = 9 + ticket[8]
    position += 2 + struct.unpack_from(">H", ticket, position)[0]
    end = position + 2 + struct.unpack_from(">H", ticket, position)[0]
    position += 2
    while position + 4 <= end:
        number, size = struct.unpack_from(">HH", ticket, position)
        if number == _EARLY_DATA and size == 4:
            return int(struct.unpack_from(">I", ticket, position + 4)[0])
        position += 4 + size
    return 0

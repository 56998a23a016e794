"""TLS by ClientHellos of our own: which versions, suites and groups a server agrees to.

Only first messages are exchanged, so nothing here needs cryptography, and old or hybrid algorithms can be asked
for that no library here has. A group is asked for without a key share: a server that has it answers with a
HelloRetryRequest that names it.
"""

import asyncio
import contextlib
import os
import struct
from dataclasses import dataclass, field

from bollard.assess.probes.evidence import NoAnswer, Suites, TlsOffer
from bollard.assess.probes.room import Room

VERSIONS = {"SSL 3.0": 0x0300, "TLS 1.0": 0x0301, "TLS 1.1": 0x0302, "TLS 1.2": 0x0303, "TLS 1.3": 0x0304}

ECDHE_AEAD = {
    0xC02B: "ECDHE_ECDSA_AES_128_GCM_SHA256",
    0xC02C: "ECDHE_ECDSA_AES_256_GCM_SHA384",
    0xC02F: "ECDHE_RSA_AES_128_GCM_SHA256",
    0xC030: "ECDHE_RSA_AES_256_GCM_SHA384",
    0xCCA8: "ECDHE_RSA_CHACHA20_POLY1305_SHA256",
    0xCCA9: "ECDHE_ECDSA_CHACHA20_POLY1305_SHA256",
    0xC0AC: "ECDHE_ECDSA_AES_128_CCM",
    0xC0AD: "ECDHE_ECDSA_AES_256_CCM",
}
ECDHE_CBC = {
    0xC009: "ECDHE_ECDSA_AES_128_CBC_SHA",
    0xC00A: "ECDHE_ECDSA_AES_256_CBC_SHA",
    0xC013: "ECDHE_RSA_AES_128_CBC_SHA",
    0xC014: "ECDHE_RSA_AES_256_CBC_SHA",
    0xC023: "ECDHE_ECDSA_AES_128_CBC_SHA256",
    0xC027: "ECDHE_RSA_AES_128_CBC_SHA256",
}
STATIC_RSA = {
    0x002F: "RSA_AES_128_CBC_SHA",
    0x0035: "RSA_AES_256_CBC_SHA",
    0x003C: "RSA_AES_128_CBC_SHA256",
    0x003D: "RSA_AES_256_CBC_SHA256",
    0x009C: "RSA_AES_128_GCM_SHA256",
    0x009D: "RSA_AES_256_GCM_SHA384",
    0xC09C: "RSA_AES_128_CCM",
    0xC09D: "RSA_AES_256_CCM",
}
FFDHE = {
    0x0033: "DHE_RSA_AES_128_CBC_SHA",
    0x0039: "DHE_RSA_AES_256_CBC_SHA",
    0x0067: "DHE_RSA_AES_128_CBC_SHA256",
    0x006B: "DHE_RSA_AES_256_CBC_SHA256",
    0x009E: "DHE_RSA_AES_128_GCM_SHA256",
    0x009F: "DHE_RSA_AES_256_GCM_SHA384",
    0xCCAA: "DHE_RSA_CHACHA20_POLY1305_SHA256",
}
CCM_8 = {
    0xC0A0: "RSA_AES_128_CCM_8",
    0xC0A1: "RSA_AES_256_CCM_8",
    0xC0A2: "DHE_RSA_AES_128_CCM_8",
    0xC0A3: "DHE_RSA_AES_256_CCM_8",
    0xC0AE: "ECDHE_ECDSA_AES_128_CCM_8",
    0xC0AF: "ECDHE_ECDSA_AES_256_CCM_8",
}
TLS13 = {
    0x1301: "AES_128_GCM_SHA256",
    0x1302: "AES_256_GCM_SHA384",
    0x1303: "CHACHA20_POLY1305_SHA256",
    0x1304: "AES_128_CCM_SHA256",
    0x1305: "AES_128_CCM_8_SHA256",
}
WEAK = {
    "no encryption": {
        0x0001: "RSA_NULL_MD5",
        0x0002: "RSA_NULL_SHA",
        0x003B: "RSA_NULL_SHA256",
        0xC006: "ECDHE_ECDSA_NULL_SHA",
        0xC010: "ECDHE_RSA_NULL_SHA",
    },
    "no authentication": {
        0x0018: "DH_anon_RC4_128_MD5",
        0x0034: "DH_anon_AES_128_CBC_SHA",
        0x003A: "DH_anon_AES_256_CBC_SHA",
        0x006C: "DH_anon_AES_128_CBC_SHA256",
        0x006D: "DH_anon_AES_256_CBC_SHA256",
        0x00A6: "DH_anon_AES_128_GCM_SHA256",
        0x00A7: "DH_anon_AES_256_GCM_SHA384",
        0xC018: "ECDH_anon_AES_128_CBC_SHA",
        0xC019: "ECDH_anon_AES_256_CBC_SHA",
    },
    "export": {
        0x0003: "RSA_EXPORT_RC4_40_MD5",
        0x0006: "RSA_EXPORT_RC2_CBC_40_MD5",
        0x0008: "RSA_EXPORT_DES40_CBC_SHA",
        0x0014: "DHE_RSA_EXPORT_DES40_CBC_SHA",
    },
    "RC4": {
        0x0004: "RSA_RC4_128_MD5",
        0x0005: "RSA_RC4_128_SHA",
        0xC007: "ECDHE_ECDSA_RC4_128_SHA",
        0xC011: "ECDHE_RSA_RC4_128_SHA",
    },
    "DES and 3DES": {
        0x0009: "RSA_DES_CBC_SHA",
        0x000A: "RSA_3DES_EDE_CBC_SHA",
        0x0015: "DHE_RSA_DES_CBC_SHA",
        0x0016: "DHE_RSA_3DES_EDE_CBC_SHA",
        0xC008: "ECDHE_ECDSA_3DES_EDE_CBC_SHA",
        0xC012: "ECDHE_RSA_3DES_EDE_CBC_SHA",
    },
}
NAMES = {
    suite: name
    for table in (ECDHE_AEAD, ECDHE_CBC, STATIC_RSA, FFDHE, CCM_8, TLS13, *WEAK.values())
    for suite, name in table.items()
}
GROUPS = {0x001D: "X25519", 0x0017: "secp256r1", 0x0018: "secp384r1"}
HYBRID_GROUPS = {0x11EC: "X25519MLKEM768", 0x11EB: "SecP256r1MLKEM768", 0x11ED: "SecP384r1MLKEM1024"}
_ALL_GROUPS = (0x001D, 0x0017, 0x0018, 0x0019, 0x001E, 0x0100)
_SIGNATURES = (0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201)

_SERVER_HELLO, _CERTIFICATE, _CERTIFICATE_REQUEST, _SERVER_HELLO_DONE = 2, 11, 13, 14
_HANDSHAKE, _ALERT = 22, 21
#: A server's first flight may be this long; beyond it, the server is left.
MAX_FLIGHT_BYTES = 131_072


@dataclass(slots=True)
class Answer:
    """What came back. `version` 0: no ServerHello, and `alert` is the number of the alert, or -1."""

    version: int = 0
    suite: int = 0
    compression: int = 0
    extensions: dict[int, bytes] = field(default_factory=dict)
    alert: int = -1
    tls: bool = False
    certificates: tuple[bytes, ...] = ()
    wants_certificate: bool | None = None


def client_hello(
    version: int, suites: tuple[int, ...], name: str, groups: tuple[int, ...] = _ALL_GROUPS
) -> bytes:
    """One record with a ClientHello of exactly this version that offers exactly these suites and groups."""
    body = struct.pack(">H", min(version, 0x0303)) + os.urandom(32) + b"\x20" + os.urandom(32)
    body += struct.pack(f">H{len(suites)}H", 2 * len(suites), *suites)
    body += b"\x02\x01\x00" if version < 0x0304 else b"\x01\x00"
    if version > 0x0300:
        extensions = _extensions(version, name, groups)
        body += struct.pack(">H", len(extensions)) + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return struct.pack(">BHH", _HANDSHAKE, min(version, 0x0301), len(message)) + message


def _extensions(version: int, name: str, groups: tuple[int, ...]) -> bytes:
    block = b""
    if name and not name.replace(".", "").isdigit() and ":" not in name:
        host = name.encode("idna") if not name.isascii() else name.encode()
        block += _extension(0, struct.pack(">HBH", len(host) + 3, 0, len(host)) + host)
    block += _extension(10, struct.pack(f">H{len(groups)}H", 2 * len(groups), *groups))
    block += _extension(11, b"\x01\x00")
    if version >= 0x0303:
        block += _extension(13, struct.pack(f">H{len(_SIGNATURES)}H", 2 * len(_SIGNATURES), *_SIGNATURES))
    if version == 0x0304:
        block += _extension(43, b"\x02\x03\x04") + _extension(51, b"\x00\x00")
    else:
        block += _extension(23, b"") + _extension(0xFF01, b"\x00")
    return block


def _extension(number: int, data: bytes) -> bytes:
    return struct.pack(">HH", number, len(data)) + data


def read_flight(data: bytes) -> tuple[Answer, bool]:
    """What a server's first bytes say, and whether more are needed. Never raises, whatever the bytes are."""
    answer = Answer()
    messages = b""
    position = 0
    while position + 5 <= len(data):
        kind, major, _, size = struct.unpack_from(">BBBH", data, position)
        if kind not in (_HANDSHAKE, _ALERT, 20, 23) or major != 3:
            return answer, False
        fragment = data[position + 5 : position + 5 + size]
        if len(fragment) < size:
            break
        position += 5 + size
        if kind == _ALERT and len(fragment) >= 2:
            answer.tls, answer.alert = True, fragment[1]
            return answer, False
        if kind == _HANDSHAKE:
            messages += fragment
        elif kind == 23:
            break
    return answer, _read_messages(messages, answer)


def _read_messages(messages: bytes, answer: Answer) -> bool:
    """Fill `answer` from handshake messages; True when the flight has not ended."""
    position = 0
    while position + 4 <= len(messages):
        kind, size = messages[position], int.from_bytes(messages[position + 1 : position + 4], "big")
        body = messages[position + 4 : position + 4 + size]
        if len(body) < size:
            return True
        position += 4 + size
        if kind == _SERVER_HELLO:
            _read_server_hello(body, answer)
            if answer.version == 0x0304 or not answer.tls:
                return False
        elif kind == _CERTIFICATE:
            answer.certificates = _read_certificates(body)
        elif kind == _CERTIFICATE_REQUEST:
            answer.wants_certificate = True
        elif kind == _SERVER_HELLO_DONE:
            answer.wants_certificate = bool(answer.wants_certificate)
            return False
    return True


def _read_server_hello(body: bytes, answer: Answer) -> None:
    try:
        version = int.from_bytes(body[:2], "big")
        position = 35 + body[34]
        suite, compression = struct.unpack_from(">HB", body, position)
        extensions = read_extensions(body[position + 5 :])
    except (IndexError, struct.error):
        return
    answer.tls = True
    answer.suite, answer.compression, answer.extensions = suite, compression, extensions
    answer.version = int.from_bytes(extensions[43], "big") if 43 in extensions else version


def read_extensions(data: bytes) -> dict[int, bytes]:
    """The extensions of a hello by their numbers; what is cut short ends with what there is."""
    found: dict[int, bytes] = {}
    position = 0
    while position + 4 <= len(data):
        number, size = struct.unpack_from(">HH", data, position)
        found[number] = data[position + 4 : position + 4 + size]
        position += 4 + size
    return found


def _read_certificates(body: bytes) -> tuple[bytes, ...]:
    found: list[bytes] = []
    position = 3
    while position + 3 <= len(body) and len(found) < 10:
        size = int.from_bytes(body[position : position + 3], "big")
        found.append(body[position + 3 : position + 3 + size])
        position += 3 + size
    return tuple(found)


async def ask(room: Room, hello: bytes) -> Answer:
    """Send one ClientHello and read the server's first flight. An unreachable server gives an empty answer."""
    await room.pace()
    data = b""
    try:
        async with asyncio.timeout(room.timeout_s):
            reader, writer = await asyncio.open_connection(room.place.address, room.place.port)
    except (OSError, TimeoutError):
        return Answer()
    answer = Answer()
    try:
        async with asyncio.timeout(room.timeout_s):
            writer.write(hello)
            more = True
            while more and len(data) < MAX_FLIGHT_BYTES:
                chunk = await reader.read(16_384)
                if not chunk:
                    break
                data += chunk
                answer, more = read_flight(data)
    except (OSError, TimeoutError):
        pass
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return answer


async def speaks_tls(room: Room) -> bool:
    """Does this port answer a ClientHello with TLS, be it with an alert?"""
    suites = (*ECDHE_AEAD, *ECDHE_CBC, *STATIC_RSA, *FFDHE)
    return (await ask(room, client_hello(0x0303, suites, room.server_name))).tls or (
        await ask(room, client_hello(0x0304, tuple(TLS13), room.server_name))
    ).tls


async def probe_tls(room: Room) -> tuple[TlsOffer]:
    """Everything that ClientHellos tell. Raises `NoAnswer` where there is no TLS."""
    if room.transport not in ("tls", "wss"):
        raise NoAnswer("this listener has no TLS")
    versions, best, old = await _probe_versions(room)
    if not any(each.accepted for each in versions):
        raise NoAnswer("the server agreed to none of the TLS versions that were offered")
    room.chain = old.certificates
    picked: dict[str, str] = {}
    if best:
        families = {**WEAK, "static RSA": STATIC_RSA, "FFDHE": FFDHE, "AEAD": ECDHE_AEAD, "CCM_8": CCM_8}
        for name, table in families.items():
            answer = await ask(room, client_hello(best, tuple(table), room.server_name))
            if answer.version and answer.suite in table:
                picked[name] = table[answer.suite]
    has13 = versions[-1].accepted
    return (
        TlsOffer(
            versions=versions,
            weak={name: picked[name] for name in WEAK if name in picked},
            static_rsa=picked.get("static RSA", ""),
            ffdhe=picked.get("FFDHE", ""),
            aead=has13 or "AEAD" in picked,
            ccm_8=picked.get("CCM_8", ""),
            groups=await _probe_groups(room, GROUPS) if has13 else (),
            hybrid_groups=await _probe_groups(room, HYBRID_GROUPS) if has13 else (),
            extended_master_secret=23 in old.extensions if best else None,
            secure_renegotiation=0xFF01 in old.extensions if best else None,
            compression=bool(old.compression),
            client_certificate=old.wants_certificate,
        ),
    )


async def _probe_versions(room: Room) -> tuple[tuple[Suites, ...], int, Answer]:
    """Each version's answer, the best version below 1.3 (0: none), and the answer to that."""
    results = []
    best, old = 0, Answer()
    everything = (*ECDHE_AEAD, *ECDHE_CBC, *STATIC_RSA, *FFDHE, *WEAK["DES and 3DES"], *WEAK["RC4"])
    for name, number in VERSIONS.items():
        suites = tuple(TLS13) if number == 0x0304 else everything
        answer = await ask(room, client_hello(number, suites, room.server_name))
        accepted = answer.version == number
        suite = NAMES.get(answer.suite, f"0x{answer.suite:04X}") if accepted else ""
        results.append(Suites(version=name, accepted=accepted, suite=suite))
        if accepted and number < 0x0304:
            best, old = number, answer
    return tuple(results), best, old


async def _probe_groups(room: Room, groups: dict[int, str]) -> tuple[str, ...]:
    found: list[str] = []
    for number, name in groups.items():
        answer = await ask(room, client_hello(0x0304, tuple(TLS13), room.server_name, (number,)))
        share = answer.extensions.get(51, b"")
        if answer.version == 0x0304 and share[:2] == struct.pack(">H", number):
            found.append(name)
    return tuple(found)

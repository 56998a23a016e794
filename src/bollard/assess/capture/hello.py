"""What a ClientHello says, and its fingerprint. Nothing raises, whatever the bytes are."""

import hashlib
import struct
from dataclasses import dataclass

from bollard.assess.probes.hello import read_extensions

_SNI, _GROUPS, _SIGNATURES, _ALPN, _VERSIONS = 0, 10, 13, 16, 43
_LABELS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3"}


@dataclass(frozen=True, slots=True)
class ClientHello:
    """The offer of a client. `versions` are those of the extension or else the old field; GREASE is left out."""

    versions: tuple[int, ...]
    suites: tuple[int, ...]
    extensions: tuple[int, ...]
    groups: tuple[int, ...]
    signatures: tuple[int, ...]
    sni: str
    alpn: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """The same for the same TLS library and settings, in the form of JA4."""
        best = _LABELS.get(max(self.versions, default=0), "00")
        first = self.alpn[0] if self.alpn else ""
        ends = first[0] + first[-1] if first and (first[0] + first[-1]).isalnum() else "00"
        counts = f"{min(len(self.suites), 99):02d}{min(len(self.extensions), 99):02d}"
        suites = _short(",".join(f"{each:04x}" for each in sorted(self.suites)))
        others = sorted(each for each in self.extensions if each not in (_SNI, _ALPN))
        text = ",".join(f"{each:04x}" for each in others)
        if self.signatures:
            text += "_" + ",".join(f"{each:04x}" for each in self.signatures)
        return f"t{best}{'d' if self.sni else 'i'}{counts}{ends}_{suites}_{_short(text)}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else "0" * 12


def read_client_hello(body: bytes) -> ClientHello | None:
    """The ClientHello whose message body this is; None if it is broken."""
    try:
        position = 35 + body[34]
        (size,) = struct.unpack_from(">H", body, position)
        suites = _numbers(body[position + 2 : position + 2 + size])
        position += 2 + size
        position += 1 + body[position]
        extensions = read_extensions(body[position + 2 :])
    except (IndexError, struct.error):
        return None
    versions = _numbers(extensions.get(_VERSIONS, b"")[1:])
    return ClientHello(
        versions=versions or (int.from_bytes(body[:2], "big"),),
        suites=suites,
        extensions=tuple(each for each in extensions if not _grease(each)),
        groups=_numbers(extensions.get(_GROUPS, b"")[2:]),
        signatures=_numbers(extensions.get(_SIGNATURES, b"")[2:]),
        sni=_server_name(extensions.get(_SNI, b"")),
        alpn=_protocols(extensions.get(_ALPN, b"")[2:]),
    )


def _numbers(data: bytes) -> tuple[int, ...]:
    count = len(data) // 2
    return tuple(each for each in struct.unpack(f">{count}H", data[: 2 * count]) if not _grease(each))


def _grease(number: int) -> bool:
    """Values that clients strew in so that servers learn to ignore what they don't know (RFC 8701)."""
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF


def _server_name(data: bytes) -> str:
    return _text(data[5 : 5 + int.from_bytes(data[3:5], "big")])


def _text(data: bytes) -> str:
    return data[:255].decode("ascii", errors="replace")


def _protocols(data: bytes) -> tuple[str, ...]:
    found: list[str] = []
    position = 0
    while position < len(data) and len(found) < 20:
        size = data[position]
        found.append(_text(data[position + 1 : position + 1 + size]))
        position += 1 + size
    return tuple(each for each in found if each)

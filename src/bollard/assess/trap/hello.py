"""A device's ClientHello: what it offers. Pure, and never raises, whatever the bytes are."""

import struct
from dataclasses import dataclass

from bollard.assess.probes.hello import NAMES, VERSIONS, WEAK

#: A ClientHello with hybrid key shares has a few kilobytes.
MAX_HELLO_BYTES = 32_768
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _EARLY_DATA, _SUPPORTED_VERSIONS = 0, 42, 43
_VERSION_NAMES = {number: name for name, number in VERSIONS.items()}
_WEAK_SUITES = frozenset(suite for table in WEAK.values() for suite in table)


@dataclass(frozen=True, slots=True)
class Hello:
    """What a device offers. `lowest` is the oldest version that it says it would take."""

    server_name: str = ""
    lowest: str = ""
    weak: tuple[str, ...] = ()
    early_data: bool = False


def read_hello(data: bytes) -> Hello | None:
    """The ClientHello at the beginning of a stream; None while it is incomplete or when it is none."""
    message = _message(data)
    if message is None:
        return None
    try:
        return _read(message)
    except (IndexError, struct.error):
        return Hello()


def _message(data: bytes) -> bytes | None:
    """The body of the first handshake message, put together from its records."""
    joined, position = b"", 0
    while position + 5 <= len(data):
        kind, size = data[position], int.from_bytes(data[position + 3 : position + 5], "big")
        if kind != _HANDSHAKE:
            return None
        joined += data[position + 5 : position + 5 + size]
        position += 5 + size
        if len(joined) >= 4 and len(joined) >= 4 + int.from_bytes(joined[1:4], "big"):
            return joined[4:] if joined[0] == _CLIENT_HELLO else None
    return None


def _read(body: bytes) -> Hello:
    (version,) = struct.unpack_from(">H", body)
    position = 35 + body[34]
    (size,) = struct.unpack_from(">H", body, position)
    suites = struct.unpack_from(f">{size // 2}H", body, position + 2)
    position += 2 + size
    position += 1 + body[position]
    extensions: dict[int, bytes] = {}
    position += 2
    while position + 4 <= len(body):
        number, size = struct.unpack_from(">HH", body, position)
        extensions.setdefault(number, body[position + 4 : position + 4 + size])
        position += 4 + size
    supported = extensions.get(_SUPPORTED_VERSIONS, b"")
    versions = [int.from_bytes(supported[at : at + 2], "big") for at in range(1, len(supported) - 1, 2)]
    known = [each for each in versions if each in _VERSION_NAMES] or [version]
    return Hello(
        server_name=_server_name(extensions.get(_SERVER_NAME, b"")),
        lowest=_VERSION_NAMES.get(min(known), ""),
        weak=tuple(NAMES[each] for each in suites if each in _WEAK_SUITES),
        early_data=_EARLY_DATA in extensions,
    )


def _server_name(data: bytes) -> str:
    size = int.from_bytes(data[3:5], "big")
    return data[5 : 5 + size].decode("ascii", "replace")[:255] if len(data) > 5 else ""

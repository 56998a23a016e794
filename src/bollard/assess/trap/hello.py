"""A device's ClientHello: what it offers. Pure, and never raises, whatever the bytes are."""

from dataclasses import dataclass

from bollard.assess.capture.hello import read_client_hello
from bollard.assess.probes.hello import NAMES, VERSIONS, WEAK

#: A ClientHello with hybrid key shares has a few kilobytes.
MAX_HELLO_BYTES = 32_768
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_EARLY_DATA = 42
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
    offer = read_client_hello(message)
    if offer is None:
        return Hello()
    known = [each for each in offer.versions if each in _VERSION_NAMES]
    return Hello(
        server_name=offer.sni,
        lowest=_VERSION_NAMES[min(known)] if known else "",
        # Each once: a hello may name a suite ten thousand times.
        weak=tuple(NAMES[each] for each in dict.fromkeys(offer.suites) if each in _WEAK_SUITES),
        early_data=_EARLY_DATA in offer.extensions,
    )


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

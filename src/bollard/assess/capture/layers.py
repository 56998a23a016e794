"""From a frame to its TCP segment: link layer, VLAN tags, IPv4, IPv6. Functions over a buffer, nothing kept.

What is not read comes back as a reason, to be counted: fragments, tunnels, other protocols, cut headers.
"""

import ipaddress
import struct

#: Key of the direction (addresses and ports as on the wire), sequence number, flags, start and end of the data in
#: the buffer, and its length on the wire, which is more where the capture cut the frame.
Segment = tuple[bytes, int, int, int, int, int]

ETHERNET, NULL, LOOP, SLL, SLL2 = 1, 0, 108, 113, 276
_RAW = (12, 14, 101, 228, 229)
_IPV4, _IPV6 = 0x0800, 0x86DD
_VLAN = (0x8100, 0x88A8, 0x9100)
#: IPv6 in the address families of Linux, the BSDs and macOS.
_FAMILIES_V6 = (10, 24, 28, 30)
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60
MAX_EXTENSION_HEADERS = 8
MAX_TAGS = 4

NOT_IP = "not IP"
NOT_TCP = "not TCP"
FRAGMENT = "IP fragment"
SHORT = "header cut short"
BROKEN = "broken header"
UNKNOWN_LINK = "unknown link type"

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

_u32 = struct.Struct(">I").unpack_from


def read_segment(link: int, buffer: bytes, start: int, end: int) -> Segment | str:
    """The TCP segment in `buffer[start:end]`, or why there is none to read."""
    if link == ETHERNET:
        if end - start < 14:
            return SHORT
        kind = buffer[start + 12] << 8 | buffer[start + 13]
        at = start + 14
        if kind != _IPV4 and kind != _IPV6:
            kind, at = _untagged(buffer, kind, at, end)
    else:
        found = _network(link, buffer, start, end)
        if isinstance(found, str):
            return found
        kind, at = found
    if kind == _IPV4:
        return _ipv4(buffer, at, end)
    return _ipv6(buffer, at, end) if kind == _IPV6 else NOT_IP


def _untagged(buffer: bytes, kind: int, at: int, end: int) -> tuple[int, int]:
    """Protocol and position after VLAN tags, which may be stacked."""
    for _ in range(MAX_TAGS):
        if kind not in _VLAN or end - at < 4:
            break
        kind = buffer[at + 2] << 8 | buffer[at + 3]
        at += 4
    return kind, at


def _network(link: int, buffer: bytes, start: int, end: int) -> tuple[int, int] | str:
    """Protocol and position of the network layer, for links other than Ethernet."""
    if link in _RAW:
        if end <= start:
            return SHORT
        return (_IPV6 if buffer[start] >> 4 == 6 else _IPV4), start
    head = {NULL: 4, LOOP: 4, SLL: 16, SLL2: 20}.get(link)
    if head is None:
        return UNKNOWN_LINK
    at = start + head
    if end < at:
        return SHORT
    if link in (SLL, SLL2):
        place = start + 14 if link == SLL else start
        return _untagged(buffer, buffer[place] << 8 | buffer[place + 1], at, end)
    # The family is in the byte order of whoever recorded; it is below 256 either way.
    family = max(buffer[start], buffer[start + 3])
    return (_IPV4 if family == 2 else _IPV6 if family in _FAMILIES_V6 else 0), at


def _ipv4(buffer: bytes, at: int, end: int) -> Segment | str:
    if end - at < 20:
        return SHORT
    first = buffer[at]
    if first >> 4 != 4 or first < 0x45:
        return BROKEN
    if (buffer[at + 6] << 8 | buffer[at + 7]) & 0x3FFF:
        return FRAGMENT
    if buffer[at + 9] != 6:
        return NOT_TCP
    total = buffer[at + 2] << 8 | buffer[at + 3]
    # Frames that are longer than a packet may be were split only after they had been recorded: no length then.
    return _tcp(buffer, buffer[at + 12 : at + 20], at + (first & 15) * 4, at + total if total else end, end)


def _ipv6(buffer: bytes, at: int, end: int) -> Segment | str:
    if end - at < 40:
        return SHORT
    if buffer[at] >> 4 != 6:
        return BROKEN
    size = buffer[at + 4] << 8 | buffer[at + 5]
    stop = at + 40 + size if size else end
    addresses, kind, position = buffer[at + 8 : at + 40], buffer[at + 6], at + 40
    for _ in range(MAX_EXTENSION_HEADERS):
        if kind == 6:
            return _tcp(buffer, addresses, position, stop, end)
        if kind not in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION):
            return NOT_TCP
        if end - position < 8:
            return SHORT
        length = buffer[position + 1]
        if kind == _FRAGMENT:
            if (buffer[position + 2] << 8 | buffer[position + 3]) & 0xFFF9:
                return FRAGMENT
            length = 0
        following = buffer[position]
        position += 4 * (length + 2) if kind == _AUTHENTICATION else 8 * (length + 1)
        kind = following
    return BROKEN


def _tcp(buffer: bytes, addresses: bytes, at: int, stop: int, end: int) -> Segment | str:
    if end - at < 20:
        return SHORT
    data = at + (buffer[at + 12] >> 4) * 4
    if data < at + 20 or stop < data:
        return BROKEN
    if data > end:
        return SHORT
    have = stop if stop < end else end
    return addresses + buffer[at : at + 4], _u32(buffer, at + 4)[0], buffer[at + 13], data, have, stop - data


def reverse(key: bytes) -> bytes:
    """The key of the other direction."""
    half = (len(key) - 4) // 2
    return key[half : 2 * half] + key[:half] + key[-2:] + key[-4:-2]


def endpoints(key: bytes) -> tuple[str, int, str, int]:
    """Address and port of sender and receiver."""
    half = (len(key) - 4) // 2
    sender, receiver = ipaddress.ip_address(key[:half]), ipaddress.ip_address(key[half : 2 * half])
    return (
        *(str(sender), int.from_bytes(key[-4:-2], "big")),
        *(str(receiver), int.from_bytes(key[-2:], "big")),
    )


def hardware(link: int, buffer: bytes, start: int, end: int) -> tuple[str, str]:
    """The MAC addresses of sender and receiver, "" where the link does not tell."""
    if link == ETHERNET and end - start >= 12:
        return _mac(buffer[start + 6 : start + 12]), _mac(buffer[start : start + 6])
    place, size = (start + 6, start + 5) if link == SLL else (start + 12, start + 11)
    if link in (SLL, SLL2) and end - start >= 18 and buffer[size] == 6:
        return _mac(buffer[place : place + 6]), ""
    return "", ""


def _mac(data: bytes) -> str:
    return data.hex(":") if any(data) else ""

"""Sizes, durations and addresses as people write them: "64KiB", "5m", "[::]:8883".

Pure functions from text to value. They raise `ValueError` with what was expected; who asked adds the
file and the line.
"""

import re
from ipaddress import ip_address, ip_network
from pathlib import Path

from bollard.base.sizes import parse_quantity
from bollard.base.sizes import parse_size as parse_size
from bollard.server.config import Address, Network

DURATIONS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_-]+)*")
#: Longest path that fits a Unix socket's address everywhere (macOS: 104 with the final NUL).
MAX_SOCKET_PATH_BYTES = 103


def parse_duration(value: object) -> float:
    """Seconds: a number, or text with a unit such as "30s", "5m", "12h" or "7d"."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    number, unit = parse_quantity(value, DURATIONS, 'seconds, or a duration such as "30s", "5m" or "7d"')
    return number * DURATIONS[unit]


def parse_address(value: object, base: Path) -> Address:
    """ "ADDRESS:PORT", "[IPv6]:PORT" or "unix:PATH"; a relative path is taken from `base`."""
    if not isinstance(value, str):
        raise ValueError('text such as "0.0.0.0:8883" or "unix:/run/bollard/mqtt.sock"')
    if value.startswith("unix:"):
        return Address(path=_socket_path(value.removeprefix("unix:"), base))
    host, colon, port = value.rpartition(":")
    # "::1:8883" is an address by itself: without brackets nobody knows where the port begins.
    bare_ipv6 = ":" in host and not host.startswith("[")
    if not colon or bare_ipv6 or not re.fullmatch(r"\d{1,5}", port) or int(port) > 65_535:
        raise ValueError('an address and a port (0 to 65535), such as "0.0.0.0:8883" or "[::]:8883"')
    return Address(host=parse_host(host), port=int(port))


def parse_host(host: str) -> str:
    """An IP address (IPv6 with or without brackets) or a host name, as the socket layer wants it."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return str(ip_address(bare))
    except ValueError:
        pass
    if ":" in bare or re.fullmatch(r"[0-9.]*", bare) or not _HOST_NAME.fullmatch(bare):
        raise ValueError('an IP address or a host name; IPv6 in brackets: "[::1]:8883"')
    return bare


def parse_network(value: object) -> Network:
    """An IP network such as "192.168.1.0/24"; a plain address is a network of one."""
    if not isinstance(value, str):
        raise ValueError('text such as "192.168.1.0/24"')
    try:
        return ip_network(value)
    except ValueError as error:
        raise ValueError(f'a network such as "192.168.1.0/24" ({error})') from None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. A name counts only if it is "localhost"."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _socket_path(text: str, base: Path) -> Path:
    path = base / text
    if not text or "\0" in text:
        raise ValueError('a path after "unix:", such as "unix:/run/bollard/mqtt.sock"')
    if len(bytes(path)) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(f"a path of at most {MAX_SOCKET_PATH_BYTES} bytes for a Unix socket")
    return path

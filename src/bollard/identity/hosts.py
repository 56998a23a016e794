"""Under which names and addresses this host can be reached, found without network traffic.

Host names are asked of the kernel only: a look-up in the DNS could hang the first start, or let
whoever answers it choose the names in our certificate.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bollard.base.errors import LocalError

#: More would make the certificate too large for small devices' TLS buffers.
MAX_NAMES = 16
MAX_ADDRESSES = 32
#: ub-common-name of X.509.
MAX_COMMON_NAME = 64

_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_LOCAL_ROUTE = re.compile(r"\|-- (\d+\.\d+\.\d+\.\d+)\n\s+/32 host LOCAL")
#: IFA_F_TEMPORARY | IFA_F_DADFAILED | IFA_F_DEPRECATED | IFA_F_TENTATIVE of linux/if_addr.h.
_UNSTABLE = 0x01 | 0x08 | 0x20 | 0x40

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class HostNames:
    """What a server certificate is for. `common_name` is the bare `.local` name that some firmware
    compares exactly. `names` are lower case, in order of preference, without repeats."""

    common_name: str
    names: tuple[str, ...]
    addresses: tuple[Address, ...]

    def adding(self, extra: Iterable[str]) -> "HostNames":
        """These and `extra`, each a host name or an address as a user wrote it.

        `LocalError` for what is neither, and for more than fit: a name that was asked for is never
        left out silently.
        """
        names: list[str] = []
        addresses: list[Address] = []
        for text in extra:
            try:
                addresses.append(ipaddress.ip_address(text))
            except ValueError:
                names.append(_checked(text))
        if len(set(names)) > MAX_NAMES or len(set(addresses)) > MAX_ADDRESSES:
            raise LocalError(
                f"too many names for one certificate: at most {MAX_NAMES} names and {MAX_ADDRESSES} addresses",
                "Small devices cannot read a larger one. Leave some out.",
            )
        return _bounded(self.common_name, [*names, *self.names], [*addresses, *self.addresses])


def local_names() -> HostNames:
    """Every name and address of this host that does not change by itself.

    The host name whole, its first label, that label under `.local`, and `localhost`; addresses of all
    interfaces except link-local and temporary IPv6 ones.
    """
    host = socket.gethostname().rstrip(".").lower()
    label = host.partition(".")[0]
    candidates = [f"{label}.local", host, label, "localhost"]
    names = [name for name in candidates if _is_host_name(name)]
    common_name = next(name for name in names if len(name) <= MAX_COMMON_NAME)
    return _bounded(common_name, names, [*_ipv4_addresses(), *_ipv6_addresses()])


def _ipv4_addresses() -> list[Address]:
    """Local IPv4 addresses, loopback included, from the kernel's routing table."""
    table = _read(Path("/proc/net/fib_trie"))
    found = {ipaddress.IPv4Address(text) for text in _LOCAL_ROUTE.findall(table)}
    return sorted(found | {ipaddress.IPv4Address("127.0.0.1")})


def _ipv6_addresses() -> list[Address]:
    """Stable local IPv6 addresses with more than link scope, and ::1."""
    found = {ipaddress.IPv6Address("::1")}
    for line in _read(Path("/proc/net/if_inet6")).splitlines():
        digits, _, _, _, flags, *_ = line.split()
        address = ipaddress.IPv6Address(int(digits, 16))
        if not address.is_link_local and not int(flags, 16) & _UNSTABLE:
            found.add(address)
    return sorted(found)


def _read(path: Path) -> str:
    """Its text, or none where this system has no such file."""
    try:
        return path.read_text("ascii")
    except OSError:
        return ""


def _is_host_name(name: str) -> bool:
    """Letters, digits, `-` and `_` in labels; a last label of digits would be a mistyped address."""
    return _HOST_NAME.fullmatch(name) is not None and not name.rpartition(".")[2].isdigit()


def _checked(name: str) -> str:
    name = name.rstrip(".").lower()
    if not _is_host_name(name):
        raise LocalError(
            f"{name[:80]!r} is neither a host name nor an address", "Write it without port or scheme."
        )
    return name


def _bounded(common_name: str, names: list[str], addresses: list[Address]) -> HostNames:
    """Without repeats, and no more than a small device's TLS buffers bear."""
    return HostNames(
        common_name, tuple(dict.fromkeys(names))[:MAX_NAMES], tuple(dict.fromkeys(addresses))[:MAX_ADDRESSES]
    )

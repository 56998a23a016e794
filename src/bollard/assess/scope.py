"""What may be assessed: targets as users write them, the scope file, and who has consented.

Nothing is contacted before `authorize` has agreed. A name is resolved once and its addresses are judged; the
probes then connect to those addresses, so that a name cannot point elsewhere between permission and deed.
"""

import ipaddress
import re
import socket
import tomllib
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from bollard.base.errors import ConfigError, LocalError

#: Addresses that one command may name, written out or as a range.
MAX_ADDRESSES = 1_024

SCHEMES = {"mqtt": "tcp", "mqtts": "tls", "ws": "ws", "wss": "wss"}
DEFAULT_PORTS = {"tcp": 1883, "tls": 8883, "ws": 80, "wss": 443}
#: Where brokers listen when a target names no port.
USUAL_PORTS = (1883, 8883, 8080, 8083, 8084, 8884, 9001)

#: Addresses that one's own network can have. Those that a provider shares among customers are not among them.
PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"),
    )
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One place to look at. `transport` "" and `port` 0 mean: find out. `path` is that of a WebSocket.

    `spare` are further addresses of the same name, for a server that listens on one of them only.
    """

    host: str
    address: str
    spare: tuple[str, ...] = ()
    port: int = 0
    transport: str = ""
    path: str = "/mqtt"

    @property
    def reach(self) -> str:
        """From where its addresses can be reached, at the widest: "loopback", "private" or "public"."""
        order = ("loopback", "private", "public")
        reaches = [reach_of(ipaddress.ip_address(each)) for each in (self.address, *self.spare)]
        return max(reaches, key=order.index)


class Scope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The scope file: who allows what, until when.

    `targets` are host names, addresses or networks, each of them with `:port` if only that port is meant.
    `intrusive` allows what strains a target; it counts only in a file that its owner has signed. Both days of
    `valid_from` and `valid_until` count, in UTC; without the first, it counts at once.
    """

    version: int
    authorized_by: str
    valid_until: date
    targets: tuple[str, ...]
    valid_from: date | None = None
    active: bool = False
    public: bool = False
    intrusive: bool = False


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """What the user has said on the command line. `signed_by` is the fingerprint of the key that signed the scope."""

    authorized: bool = False
    own_network: bool = False
    public: bool = False
    active: bool = False
    intrusive: bool = False
    scope: Scope | None = None
    signed_by: str = ""


Resolver = Callable[[str], Sequence[str]]


def resolve(host: str) -> Sequence[str]:
    """The addresses of `host`, the first one first. Raises `LocalError` when it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise LocalError(
            f"cannot find {host}: {error.strerror}", "Check the spelling of the target."
        ) from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def reach_of(address: Address) -> str:
    """ "loopback", "private" or "public". What is neither of the first two counts as public."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return "loopback"
    return "private" if any(address in network for network in PRIVATE) else "public"


def parse_target(text: str, resolver: Resolver = resolve) -> list[Place]:
    """The places that one TARGET means: `host`, `host:port`, `scheme://host[:port][/path]` or a network.

    Raises `LocalError` for what is no target, and for a network of more than `MAX_ADDRESSES` addresses.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme not in SCHEMES:
        raise LocalError(
            f"{_shown(text)}: unknown scheme", f"Known are {', '.join(f'{s}://' for s in SCHEMES)}."
        )
    transport = SCHEMES[scheme] if separator else ""
    if not separator and "/" in text:
        return [Place(host=str(each), address=str(each)) for each in _network(text)]
    try:
        parts = urlsplit(f"//{rest if separator else text}")
        host, port = parts.hostname or "", parts.port or 0
    except ValueError:
        raise _not_a_target(text) from None
    if parts.username is not None or parts.query or parts.fragment or not re.fullmatch(r"[\w.:%-]+", host):
        raise _not_a_target(text)
    port = port or (DEFAULT_PORTS[transport] if transport else 0)
    first, *others = resolver(host)
    return [
        Place(
            host=host,
            address=first,
            spare=tuple(others),
            port=port,
            transport=transport,
            path=parts.path or "/mqtt",
        )
    ]


def _network(text: str) -> Iterable[Address]:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise _not_a_target(text) from None
    if network.num_addresses > MAX_ADDRESSES:
        raise LocalError(
            f"{network} has more than {MAX_ADDRESSES} addresses",
            "Name smaller networks, one after the other.",
        )
    return list(network.hosts())


def _not_a_target(text: str) -> LocalError:
    return LocalError(
        f"{_shown(text)} is no target",
        "Targets look like broker.local, 192.0.2.7:8883, mqtts://broker.local or 192.0.2.0/28.",
    )


def _shown(text: str) -> str:
    return ascii(text[:100])


def read_scope(path: Path) -> Scope:
    """The scope file at `path`, checked. Raises `ConfigError`."""
    try:
        return parse_scope(path.read_bytes(), path)
    except OSError as error:
        raise ConfigError(f"cannot read the scope file: {error.strerror}", path) from None


def parse_scope(data: bytes, path: Path) -> Scope:
    """What a scope file says whose bytes are `data`, checked. Raises `ConfigError`, which names `path`."""
    try:
        scope = msgspec.convert(tomllib.loads(data.decode("utf-8")), Scope)
    except UnicodeDecodeError:
        raise _no_scope("it is no text in UTF-8", path) from None
    except (ValueError, RecursionError) as error:
        raise _no_scope(str(error), path) from None
    if scope.version != 1:
        raise ConfigError(f"scope files of version {scope.version} are not known here", path)
    if not scope.authorized_by.strip():
        raise ConfigError(
            "authorized_by is empty", path, remedy="Name who allows this, and how to reach them."
        )
    if scope.valid_from is not None and scope.valid_from > scope.valid_until:
        raise ConfigError("valid_until is before valid_from", path)
    for target in scope.targets:
        _check_entry(target, path)
    return scope


def _no_scope(why: str, path: Path) -> ConfigError:
    return ConfigError(
        f"this is no scope file: {why}",
        path,
        remedy="It needs version, authorized_by, valid_until and targets; valid_from, active, public and intrusive "
        "are optional.",
    )


def check_day(scope: Scope, today: date) -> None:
    """Raise `LocalError` unless the permission counts on the day `today`."""
    if scope.valid_until < today:
        raise LocalError(f"the scope file expired on {scope.valid_until}", "Ask for permission again.")
    if scope.valid_from is not None and scope.valid_from > today:
        raise LocalError(f"the scope file is not valid before {scope.valid_from}", "Wait until then.")


def _check_entry(entry: str, path: Path) -> None:
    if not re.fullmatch(r"[\w.:%/\[\]-]+", entry):
        raise ConfigError(f"{_shown(entry)} in targets is no host, address or network", path)


def authorize(places: Sequence[Place], consent: Consent, today: date) -> None:
    """Raise `LocalError` unless every place may be looked at, in the way that is asked for.

    Loopback is free. A private address needs the word that it is one's own, or a scope file. A public one needs
    a scope file that names it and says `public`, and the word on the command line as well. What is intrusive
    needs a signed scope file that says so and names every target, this machine included.
    """
    if len(places) > MAX_ADDRESSES:
        raise LocalError(f"more than {MAX_ADDRESSES} addresses", "Scan them in several runs.")
    scope = consent.scope
    if scope is not None:
        check_day(scope, today)
    for place in places:
        _authorize_one(place, consent)
    if consent.active and scope is not None and not scope.active:
        raise LocalError("the scope file does not allow active checks", "It needs active = true.")
    if consent.intrusive:
        _authorize_intrusive(places, consent)


def _authorize_intrusive(places: Sequence[Place], consent: Consent) -> None:
    scope = consent.scope
    if scope is None or not consent.signed_by:
        raise LocalError(
            "intrusive checks need a scope file that the owner has signed",
            "--scope FILE --owner-key KEY.pub, with FILE.sig beside FILE: bollard scope sign makes it.",
        )
    if not scope.intrusive:
        raise LocalError("the scope file does not allow intrusive checks", "It needs intrusive = true.")
    for place in places:
        if not any(_covers(entry, place) for entry in scope.targets):
            raise LocalError(
                f"{place.host} is not in the scope file", "Intrusive checks look only at what it names."
            )


def _authorize_one(place: Place, consent: Consent) -> None:
    if place.reach == "loopback":
        return
    where = place.host if place.host == place.address else f"{place.host} ({place.address})"
    if place.reach == "private" and consent.own_network:
        return
    if consent.scope is None:
        own = "" if place.reach == "public" else "; if the network is yours, --i-own-this-network will do"
        raise LocalError(
            f"{where} is not on this machine: scanning it needs permission",
            f"Name who gave it in a scope file: --scope FILE --i-am-authorized{own}.",
        )
    if not consent.authorized:
        raise LocalError(f"{where} needs your word that its owner agreed", "If so, add --i-am-authorized.")
    if not any(_covers(entry, place) for entry in consent.scope.targets):
        raise LocalError(f"{where} is not in the scope file", "Only what it names under targets is scanned.")
    if place.reach == "public" and not (consent.public and consent.scope.public):
        raise LocalError(
            f"{where} is a public address",
            "That needs public = true in the scope file and --allow-public.",
        )


def _covers(entry: str, place: Place) -> bool:
    """Does this entry of a scope file name the place? One with a port names only that port."""
    network = _as_network(entry)
    if network is not None:
        return all(ipaddress.ip_address(each) in network for each in (place.address, *place.spare))
    host, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.startswith("[")):
        return int(port) == place.port and _covers(host.strip("[]"), place)
    return entry.lower() == place.host.lower()


def _as_network(entry: str) -> Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None

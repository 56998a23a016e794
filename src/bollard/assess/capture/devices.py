"""Who was seen: each device and each server with the facts that the inventory lists, within bounds."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bollard.assess.capture.evidence import Place
from bollard.assess.capture.hardware import Makers
from bollard.assess.capture.masking import utc
from bollard.assess.model import Asset

MAX_DEVICES = 5_000
MAX_SERVERS = 2_000
#: Of each device: topics and filters that are listed, and of everything else.
MAX_TOPICS = 200
MAX_FEW = 20
#: What is kept of a name that somebody else chose.
MAX_NAME = 256
#: A card with more addresses than this belongs to a router, and says nothing about a device.
MAX_ADDRESSES_OF_A_CARD = 4


#: What a device has few of, by name.
_FEW = (
    *("addresses", "cards", "servers", "versions", "transports", "users", "will"),
    *("tls", "fingerprints"),
)


def add(few: dict[str, None], value: str, limit: int = MAX_FEW) -> None:
    """Note `value` if there is room."""
    if value and len(few) < limit:
        few[value[:MAX_NAME]] = None


@dataclass(slots=True)
class Device:
    """What opened connections under one client id, without one from one address under one user name, or, where no
    CONNECT was seen, from one address.

    `connected`: a CONNECT was seen. `waits` is set while the server may still assign a client id: the key that it
    has in the notes until then, and the one that it has without an id.
    """

    name: str
    first_ns: int
    client_id: str = ""
    connected: bool = False
    waits: tuple[str, str] | None = None
    assigned: bool = False
    last_ns: int = 0
    addresses: dict[str, None] = field(default_factory=dict)
    cards: dict[str, None] = field(default_factory=dict)
    servers: dict[str, None] = field(default_factory=dict)
    versions: dict[str, None] = field(default_factory=dict)
    transports: dict[str, None] = field(default_factory=dict)
    users: dict[str, None] = field(default_factory=dict)
    published: dict[bytes, int] = field(default_factory=dict)
    subscribed: dict[str, None] = field(default_factory=dict)
    will: dict[str, None] = field(default_factory=dict)
    tls: dict[str, None] = field(default_factory=dict)
    fingerprints: dict[str, None] = field(default_factory=dict)
    sent: int = 0
    received: int = 0
    retained: int = 0
    connects: int = 0
    refused: int = 0
    keepalive_s: int = -1
    bridge: bool = False

    def absorb(self, other: "Device") -> None:
        """Take in what was seen of the same device under another key."""
        for name in _FEW:
            mine: dict[str, None] = getattr(self, name)
            for value in getattr(other, name):
                add(mine, value)
        for each in other.subscribed:
            add(self.subscribed, each, MAX_TOPICS)
        for topic, count in other.published.items():
            if topic in self.published or len(self.published) < MAX_TOPICS:
                self.published[topic] = self.published.get(topic, 0) + count
        self.sent += other.sent
        self.received += other.received
        self.retained += other.retained
        self.connects += other.connects
        self.refused += other.refused
        self.bridge = self.bridge or other.bridge
        self.assigned = self.assigned or other.assigned
        if other.keepalive_s >= 0:
            self.keepalive_s = other.keepalive_s
        self.first_ns = min(self.first_ns, other.first_ns)
        self.last_ns = max(self.last_ns, other.last_ns)

    def asset(self, makers: Makers, routers: set[str]) -> Asset:
        """The device as the report lists it."""
        facts: dict[str, Any] = {
            "client id": self.client_id,
            "id given by the server": self.assigned,
            "versions": list(self.versions),
            "over": list(self.transports),
            "servers": list(self.servers),
            "user names": list(self.users),
            "publishes": _counted(self.published),
            "messages sent": self.sent,
            "of them retained": self.retained,
            "messages received": self.received,
            "subscribes to": list(self.subscribed),
            "will on": list(self.will),
            "keep alive": f"{self.keepalive_s} s" if self.keepalive_s >= 0 else "",
            "connects": self.connects,
            "refused": self.refused,
            "bridge": self.bridge,
            "TLS": list(self.tls),
            "ClientHello": list(self.fingerprints),
            "seen": f"{utc(self.first_ns)} to {utc(self.last_ns)}",
        }
        return Asset(
            name=self.name,
            kind="device",
            addresses=tuple(self.addresses),
            hardware=_hardware(self.cards, makers, routers),
            facts={key: value for key, value in facts.items() if value not in ("", [], {}, 0, False)},
        )


def _hardware(cards: Iterable[str], makers: Makers, routers: set[str]) -> tuple[str, ...]:
    """Network cards with their makers, or marked as those of a router."""
    return tuple(f"{card} (a router's)" if card in routers else makers.describe(card) for card in cards)


def _counted(topics: dict[bytes, int]) -> dict[str, int]:
    """Topics with their counts, the busiest first."""
    ordered = sorted(topics.items(), key=lambda each: (-each[1], each[0]))
    return {topic.decode(errors="replace"): count for topic, count in ordered}


@dataclass(slots=True)
class ServerNotes:
    """What took connections at one address and port."""

    address: str
    port: int
    place: Place
    clear: int = 0
    tls: int = 0
    known: bool = False
    cards: dict[str, None] = field(default_factory=dict)
    clients: dict[str, None] = field(default_factory=dict)
    transports: dict[str, None] = field(default_factory=dict)
    tls_facts: dict[str, None] = field(default_factory=dict)
    certificates: dict[str, None] = field(default_factory=dict)

    def asset(self, makers: Makers, routers: set[str]) -> Asset:
        """The server as the report lists it."""
        facts: dict[str, Any] = {
            "port": self.port,
            "connections in the clear": self.clear,
            "connections with TLS": self.tls,
            "over": list(self.transports),
            "clients": list(self.clients),
            "TLS": list(self.tls_facts),
            "certificates": list(self.certificates),
        }
        name = f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"
        return Asset(
            name=name,
            kind="server",
            addresses=(self.address,),
            hardware=_hardware(self.cards, makers, routers),
            facts={key: value for key, value in facts.items() if value not in ("", [], 0)},
        )


def routers(everyone: Iterable[tuple[Iterable[str], Iterable[str]]]) -> set[str]:
    """The cards that stand for more addresses than one machine has. Given are pairs of cards and addresses."""
    addresses: dict[str, set[str]] = {}
    for cards, those in everyone:
        for card in cards:
            addresses.setdefault(card, set()).update(those)
    return {card for card, those in addresses.items() if len(those) > MAX_ADDRESSES_OF_A_CARD}

"""The configuration as a frozen tree: what `load.py` makes of a file and `compose.py` builds from.

Holds values and their meaning only. Reading and judging them is in `load.py`, the table of keys in
`settings.py`. Every default is the safe one; what weakens is a field that begins with `allow_`.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from bollard.engine.limits import Limits
from bollard.identity.unlock import Unlock
from bollard.net.gate import TransportLimits

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener binds: host and port, or the path of a Unix socket (then `host` is "")."""

    host: str = ""
    port: int = 0
    path: Path | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerConfig:
    """One `[[listener]]`. Without `allow_plaintext` it speaks TLS, unless it is a Unix socket.

    `origins` are the values of the Origin header that a browser may come from (WebSocket only).
    `allow_plaintext_from` lists networks, beside loopback, that may speak plaintext. `psk`: TLS with
    pre-shared keys, in place of certificates.
    """

    bind: Address
    transport: str = "tls"
    origins: tuple[str, ...] = ()
    allow_plaintext: bool = False
    allow_plaintext_from: tuple[Network, ...] = ()
    allow_anonymous: bool = False
    psk: bool = False

    @property
    def websocket(self) -> bool:
        return self.transport == "websocket"

    @property
    def unix(self) -> bool:
        return self.bind.path is not None

    @property
    def encrypted(self) -> bool:
        return not self.allow_plaintext and not self.unix

    @property
    def name(self) -> str:
        """What events and messages call this listener: "tls 0.0.0.0:8883"."""
        kind = "unix" if self.unix else "plaintext" if self.allow_plaintext else "tls"
        if self.psk:
            kind = "psk"
        if self.websocket:
            kind = {"unix": "websocket", "plaintext": "ws", "tls": "wss"}[kind]
        return f"{kind} {self.bind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """Where Prometheus reads; `bind` None means nowhere."""

    bind: Address | None = None
    allow_remote: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EstConfig:
    """Where devices enroll by EST (RFC 7030), over HTTPS; `bind` None means nowhere."""

    bind: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """`format` is "text" or "json"; `level` the least that is written."""

    format: str = "text"
    level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """Where kept sessions and retained messages go. `max_store_bytes` 0 leaves the bound to the disk."""

    allow_relaxed_durability: bool = False
    max_store_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """How much of the audit log is kept."""

    max_log_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole of a configuration file, judged and complete.

    `file` is where it was read from; `state_dir` and `policy` are absolute. `public_name` is the name
    or address that devices are told to connect to, "" for the one that is found at start.
    `names` are further names and addresses for the server certificates. `response_information` and
    `server_reference` are the properties of that name in CONNACK, "" for none. `allow_human_passwords`
    lets passwords count that people chose, or that another broker stored.
    """

    file: Path
    state_dir: Path
    policy: Path
    listeners: tuple[ListenerConfig, ...]
    public_name: str = ""
    names: tuple[str, ...] = ()
    response_information: str = ""
    server_reference: str = ""
    sys_interval_s: float = 10.0
    allow_human_passwords: bool = False
    limits: Limits = field(default_factory=Limits)
    transport_limits: TransportLimits = field(default_factory=TransportLimits)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    est: EstConfig = field(default_factory=EstConfig)
    log: LogConfig = field(default_factory=LogConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    unlock: Unlock = field(default_factory=Unlock)


def weaknesses(config: Config) -> list[str]:
    """A sentence for each `allow_` that is on; the server says them at every start."""
    found = []
    for listener in config.listeners:
        place = f"listener {listener.bind}"
        if listener.allow_plaintext:
            whom = ", ".join(["loopback", *map(str, listener.allow_plaintext_from)])
            found.append(f"allow_plaintext: {place} is not encrypted; peers on {whom} may use it")
        if listener.allow_anonymous:
            found.append(f'allow_anonymous: {place} takes clients without credentials as "anonymous"')
    if config.allow_human_passwords:
        found.append(
            "allow_human_passwords: passwords that people chose, which can be guessed, let clients in"
        )
    if config.store.allow_relaxed_durability:
        found.append("allow_relaxed_durability: a power failure may lose what was acknowledged last")
    if config.metrics.allow_remote:
        found.append(f"allow_remote: metrics on {config.metrics.bind} can be read without a password")
    return found

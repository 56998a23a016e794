"""What a capture tells, as evidence: places, lengths, counts and kinds; never a credential, never a payload."""

import msgspec

from bollard.assess.model import Evidence


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the capture something was seen. `flow` is "client:port > server:port", `time` is UTC."""

    frame: int
    time: str
    flow: str

    def __str__(self) -> str:
        return f"frame {self.frame}, {self.flow}"


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Something worth telling, and where it was first seen. `count` is how often in all."""

    place: Place
    text: str
    count: int = 1


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A password in the clear. `hash` is salted anew for each run, so that it can be compared but not guessed."""

    place: Place
    client: str
    user: str
    length: int
    hash: str
    count: int = 1


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A signed token or another bearer secret in the clear. `expires` is its own `exp`, in UTC, "" without one."""

    place: Place
    client: str
    where: str
    kind: str
    length: int
    hash: str
    expires: str = ""
    expired: bool = False


class SharedLogin(msgspec.Struct, frozen=True, kw_only=True):
    """One credential of several devices. `certain`: they have different client ids and addresses."""

    user: str
    hash: str
    clients: tuple[str, ...]
    addresses: tuple[str, ...]
    certain: bool


class TlsFlow(msgspec.Struct, frozen=True, kw_only=True):
    """The TLS of one client with one server, from one of its handshakes, with the faults seen in it.

    `why` says why it counts as MQTT. `weak` and `dated` are what was agreed to and should not be: broken, or only
    old. `faults` are those of the certificate; `proceeded`: the client sent data after it had seen them.
    `visible`: the certificate could be seen, which TLS 1.3 does not allow. `alert` is that of the client.
    """

    place: Place
    client: str
    server: str
    why: str
    version: str = ""
    suite: str = ""
    sni: str = ""
    alpn: tuple[str, ...] = ()
    fingerprint: str = ""
    visible: bool = False
    proceeded: bool = False
    alert: int = -1
    failed: str = ""
    weak: tuple[str, ...] = ()
    dated: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    names_missing: bool = False
    hello_seen: bool = False
    count: int = 1


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A place where MQTT was spoken. `reach` is "loopback", "private" or "public"; `known` by the user's word."""

    address: str
    port: int
    reach: str
    known: bool
    clear: int
    tls: int
    place: Place


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """What could not be read, counted, so that nobody takes silence for safety."""

    frames: dict[str, int] = {}
    streams: dict[str, int] = {}
    talks: dict[str, int] = {}

    @property
    def total(self) -> int:
        """Places where MQTT could have hidden: not frames of other protocols, which are none."""
        streams = sum(self.streams.get(name, 0) for name in ("gaps", "cut", "given_up"))
        frames = sum(
            self.frames.get(name, 0) for name in ("IP fragment", "header cut short", "unknown link type")
        )
        return streams + frames + sum(self.talks.values())


class Traffic(Evidence, frozen=True, kw_only=True):
    """Everything that the checks judge. Lists are samples, bounded; counts are whole.

    `clear` are connections with MQTT in the clear, `clear_inside` those of them within one machine, `inferred`
    those without their beginning, known by the packets alone. `connects` are CONNECT packets that could be read.
    """

    file: str
    frames: int
    first: str
    last: str
    clear: int
    clear_inside: int
    inferred: int
    connects: int
    publishes: int
    clear_seen: tuple[Seen, ...] = ()
    logins: tuple[Login, ...] = ()
    tokens: tuple[Token, ...] = ()
    shared: tuple[SharedLogin, ...] = ()
    credentials: int = 0
    secrets: tuple[Seen, ...] = ()
    sensitive_topics: tuple[Seen, ...] = ()
    looked_through: int = 0
    not_looked: int = 0
    tls: tuple[TlsFlow, ...] = ()
    tls_flows: int = 0
    other_tls: int = 0
    failures: tuple[Seen, ...] = ()
    downgrades: tuple[Seen, ...] = ()
    attacks: tuple[Seen, ...] = ()
    commands: int = 0
    retained_commands: tuple[Seen, ...] = ()
    new_senders: tuple[Seen, ...] = ()
    servers: tuple[Server, ...] = ()
    devices: int = 0
    unread: Unread = Unread()

    @property
    def mqtt(self) -> bool:
        return bool(self.clear or self.tls_flows)


def shown(seen: tuple[Seen, ...]) -> list[str]:
    """Sightings as a report tells them."""
    return [
        f"{each.place}: {each.text}" + (f" ({each.count} times)" if each.count > 1 else "") for each in seen
    ]

"""Where a probe works: one place, the identities it may use, and the bounds it keeps.

The bounds are what makes a scan polite: packets a second, connections at a time, seconds to wait, and a random
namespace of its own outside which nothing is published.
"""

import asyncio
import secrets
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path

from bollard.assess.probes.evidence import NoAnswer
from bollard.assess.scope import Place
from bollard.base.types import Secret
from bollard.wire.connect import Connect, Will
from bollard.wire.properties import Properties
from bollard.wire.spec import V5

#: What every client id and topic of an assessment begins with, so that logs name the visitor.
CLIENT_PREFIX = "mqttassess-"
TOPIC_PREFIX = "assess"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Credentials that the user gave. `label` is what reports call it; no password is ever shown."""

    label: str
    username: str | None = None
    password: Secret | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    client_id: str = ""

    @property
    def anonymous(self) -> bool:
        return self.username is None and self.cert_file is None


ANONYMOUS = Identity(label="anonymous")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How hard a scan may look.

    `packets_per_s`: packets and connections to one target. `timeout_s`: for each answer. `listen_s`, and
    `listen_messages` and `listen_bytes`: how much of others' traffic is taken in at most. `patience_s`: how long
    an idle connection is watched. `echo_s`: how long further copies of a canary are awaited. `connections`: the
    most that any row of probes holds at a time, four of one probe and two that are watched; only what is
    intrusive opens more.
    """

    packets_per_s: float = 5.0
    timeout_s: float = 5.0
    listen_s: float = 5.0
    listen_messages: int = 200
    listen_bytes: int = 1_048_576
    patience_s: float = 35.0
    echo_s: float = 0.5
    connections: int = 6


class Pace:
    """Spaces the packets to one target evenly, over all its connections."""

    def __init__(self, packets_per_s: float) -> None:
        self._gap_s = 1.0 / packets_per_s
        self._next = 0.0

    async def __call__(self) -> None:
        now = time.monotonic()
        due = max(now, self._next)
        self._next = due + self._gap_s
        if due > now:
            await asyncio.sleep(due - now)


@dataclass(slots=True, kw_only=True)
class Room:
    """One listener of one target, while it is looked at.

    `versions` is what the first probe of entrances learns: by the label of an identity, the protocol version in
    which it is let in; `reasons` why it could not even ask. `chain` is the server's certificates (DER), if a handshake showed them in the clear.
    `own_topic` is one that the first identity may publish to and the second may not read, as the user says.
    `shared_topic` is one that both identities may publish and subscribe to. `revoke_command` is what the operator
    gave to revoke the second identity. `ceiling` is how many connections one address should get at most, 0 unsaid.
    `allow_exposed_password` sends a password even where others can read it.
    """

    place: Place
    transport: str
    bounds: Bounds
    pace: Pace
    identities: tuple[Identity, ...] = ()
    ca_file: Path | None = None
    server_name: str = ""
    expect_mtls: bool = False
    active: bool = False
    whole_host: bool = False
    own_topic: str = ""
    shared_topic: str = ""
    revoke_command: tuple[str, ...] = ()
    ceiling: int = 0
    intrusive: bool = False
    namespace: str = field(default_factory=lambda: f"{TOPIC_PREFIX}/{secrets.token_hex(16)}")
    allow_exposed_password: bool = False
    versions: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    chain: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        self.server_name = self.server_name or self.place.host

    @property
    def timeout_s(self) -> float:
        return self.bounds.timeout_s

    @property
    def echo_s(self) -> float:
        return self.bounds.echo_s

    def client_id(self) -> str:
        """A client id that nobody else has, of the 23 characters that MQTT 3.1 allows."""
        return CLIENT_PREFIX + secrets.token_hex(6)

    def member(self) -> tuple[Identity, int]:
        """The identity to look around with, and its protocol version. Raises `NoAnswer` when nobody gets in."""
        for identity in (*self.identities, ANONYMOUS):
            if identity.label in self.versions:
                return identity, self.versions[identity.label]
        if self.identities:
            why = [
                f"{each.label}: {self.reasons[each.label]}"
                for each in self.identities
                if each.label in self.reasons
            ]
            told = f" ({'; '.join(why)})" if why else ""
            raise NoAnswer(f"none of the given credentials was let in{told}, nor was anybody without")
        how = "bollard scan TARGET --username NAME --password-file FILE"
        raise NoAnswer(f"nobody is let in without credentials, and none were given: {how}")

    def members(self) -> tuple[Identity, ...]:
        """All given identities that are let in."""
        return tuple(each for each in self.identities if each.label in self.versions)

    def context(self, identity: Identity = ANONYMOUS) -> ssl.SSLContext:
        """The TLS of one connection. Without a password at stake it meets any server, however weak, because such
        a server must be looked at too; a password goes only to a server that proves who it is."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if identity.password is not None and not self.allow_exposed_password:
            self._trust(context)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_ciphers("ALL:@SECLEVEL=0")
        if self.transport == "tls":
            context.set_alpn_protocols(["mqtt"])
        if identity.cert_file is not None:
            context.load_cert_chain(identity.cert_file, identity.key_file)
        return context

    def _trust(self, context: ssl.SSLContext) -> None:
        if self.ca_file is not None:
            context.load_verify_locations(self.ca_file)
        else:
            context.load_default_certs()

    def hello(
        self,
        identity: Identity = ANONYMOUS,
        *,
        version: int = V5,
        client_id: str = "",
        clean_start: bool = True,
        keepalive_s: int = 60,
        will: Will | None = None,
        expiry_s: int | None = None,
    ) -> Connect:
        """The CONNECT of an identity. Raises `NoAnswer` rather than show its password to whoever listens."""
        if (
            identity.password is not None
            and self.transport in ("tcp", "ws")
            and not self.allow_exposed_password
        ):
            raise NoAnswer("the password was not sent without TLS; --allow-exposed-password does")
        properties = Properties(session_expiry_interval=expiry_s) if version == V5 else Properties()
        return Connect(
            version=version,
            clean_start=clean_start,
            keepalive_s=keepalive_s,
            client_id=client_id or identity.client_id or self.client_id(),
            username=identity.username,
            password=identity.password.reveal() if identity.password is not None else None,
            will=will,
            properties=properties,
        )

"""What the probes of a scan bring home, as frozen records. No I/O, no judgement, no secret, no payload."""

import msgspec

from bollard.assess.model import Evidence


class NoAnswer(Exception):
    """There is no evidence to be had, and the text says why: not reachable, no TLS, nobody let in."""


class Silent(NoAnswer):
    """No connection was taken at all."""


class Busy(Exception):
    """The target answered that it has had enough: the scan of it ends here."""


class Reach(Evidence, frozen=True, kw_only=True):
    """How this place answers. `transport` is "tcp", "tls", "ws" or "wss".

    `plaintext_answers`: a CONNECT without TLS got an MQTT answer on this very port. `reach` says whether the
    address is "loopback", "private" or "public".
    """

    transport: str
    reach: str
    plaintext_answers: bool

    @property
    def tls(self) -> bool:
        return self.transport in ("tls", "wss")

    @property
    def websocket(self) -> bool:
        return self.transport in ("ws", "wss")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One CONNECT and its answer.

    `outcome`: "accepted", "refused" (with `code`, a reason code of 5.0), "closed" (the connection ended without
    an answer), "silent" (none in time), "malformed" (an answer that is no MQTT), or "" when it was not tried.
    """

    version: int
    outcome: str = ""
    code: int = 0
    elapsed_ms: int = 0
    assigned_id: bool = False

    @property
    def accepted(self) -> bool:
        return self.outcome == "accepted"

    @property
    def answered(self) -> bool:
        """Did the server say yes or no, rather than nothing?"""
        return self.outcome in ("accepted", "refused", "closed")


class Doors(Evidence, frozen=True, kw_only=True):
    """Who gets in: nobody in particular, a user that cannot exist, a user without a password, MQTT 3.1."""

    anonymous: tuple[Entry, ...]
    invented: Entry
    empty_password: Entry
    no_password: Entry
    old_version: Entry
    given: tuple[Entry, ...] = ()

    @property
    def shut(self) -> bool:
        """Did every connection end without a word, so that nothing was asked that could be judged?"""
        tried = (*self.anonymous, self.invented, self.empty_password, self.no_password)
        return all(entry.outcome == "closed" for entry in tried)

    @property
    def anonymous_accepted(self) -> bool:
        return any(entry.accepted for entry in self.anonymous)


class Offer(Evidence, frozen=True, kw_only=True):
    """What an accepted MQTT 5.0 CONNECT, which asked for everything, was granted. None: not limited.

    `keepalive_s` answers 65,535, `session_expiry_s` answers 0xFFFFFFFF.
    """

    identity: str
    keepalive_s: int | None
    session_expiry_s: int | None
    max_packet_bytes: int | None
    topic_alias_maximum: int
    receive_maximum: int


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """Something sensitive in a message of others: what kind, where; never the thing itself."""

    kind: str
    topic: str
    retained: bool


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What came for one filter. `code` is that of the SUBACK, -1 if none came.

    `topics` is a sample, control characters and all: whoever shows it must escape it.
    """

    filter: str
    code: int
    messages: int = 0
    payload_bytes: int = 0
    retained: int = 0
    topics: tuple[str, ...] = ()
    sightings: tuple[Sighting, ...] = ()

    @property
    def refused(self) -> bool:
        return self.code >= 0x80


class Ears(Evidence, frozen=True, kw_only=True):
    """What can be listened to as `identity`. `version` is the protocol version that was used."""

    identity: str
    version: int
    everything: Heard
    system: Heard
    control: Heard


class Product(Evidence, frozen=True, kw_only=True):
    """Which broker this is, and where that was read. `version` "" when only the product shows."""

    name: str = ""
    version: str = ""
    source: str = ""


class Patience(Evidence, frozen=True, kw_only=True):
    """How long a connection that says nothing, and one that says half a CONNECT, is kept.

    None: still open after `waited_s`.
    """

    silent_s: float | None
    half_s: float | None
    waited_s: float


class Origins(Evidence, frozen=True, kw_only=True):
    """The HTTP status of a WebSocket handshake from a foreign page, and from no page at all. 101 is yes."""

    foreign: int
    none: int


class OpenPort(msgspec.Struct, frozen=True, kw_only=True):
    """A port that took a connection, and what it is known for."""

    port: int
    purpose: str
    http: bool = False


class Ports(Evidence, frozen=True, kw_only=True):
    """Administration and cluster ports of the same host."""

    looked: tuple[int, ...]
    administration: tuple[OpenPort, ...]
    cluster: tuple[OpenPort, ...]


class Canary(Evidence, frozen=True, kw_only=True):
    """An own message under `namespace`, published by one connection and awaited by another.

    `sent_code`: the reason code of the PUBACK, -1 without one. `heard_code`: that of the SUBACK. `arrived`: the
    canary came through. `everything_*`: the same by a subscription to #. `retained_*`: the same for a retained one, read by a later subscriber. `cleaned`: the
    retained canary is gone, verified; None when nothing had to be removed. `distinct`: two identities were used.
    """

    namespace: str
    sender: str
    receiver: str
    distinct: bool
    version: int
    sent_code: int
    heard_code: int
    arrived: bool
    everything_code: int = -1
    everything_arrived: bool = False
    retained_code: int = -1
    retained_arrived: bool = False
    cleaned: bool | None = None
    copies: int = 0
    deep_code: int = -1
    deep_arrived: bool = False


class Trick(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt around a refusal: the filter, its SUBACK code, and whether a canary came through it."""

    filter: str
    code: int
    arrived: bool = False


class Bypass(Evidence, frozen=True, kw_only=True):
    """Ways around what was refused.

    `denied`: plain filters that were refused, each with its code. `equivalents` and `shared` are tricks for them.
    `publish_denied`: a publish was refused with a reason code; `will_outcome` is the answer to a CONNECT whose
    will names the same topic, and `will_arrived` whether that will came through.
    """

    denied: tuple[Trick, ...]
    equivalents: tuple[Trick, ...]
    shared: tuple[Trick, ...]
    publish_denied: bool
    can_hear: bool
    will_outcome: str = ""
    will_arrived: bool = False
    wildcard_id: str = ""
    wildcard_gained: tuple[str, ...] = ()


class Fence(Evidence, frozen=True, kw_only=True):
    """Whether one identity can read what is only the other's, on a topic that the user says is the first one's.

    `control`: the first one's own second connection got the canary, so it was delivered at all. `tricks` are the
    filters of the other, each with its code and whether the canary came through it.
    """

    owner: str
    other: str
    control: bool
    tricks: tuple[Trick, ...]


class Takeover(Evidence, frozen=True, kw_only=True):
    """Two identities and one client id: was the first thrown out, and did the second get its session?

    `session_kept`: the first identity itself was handed its own session when it came back, so there was one.
    """

    second_outcome: str
    first_ended: bool
    first_code: int
    session_handed_over: bool
    session_kept: bool = True


class Guesses(Evidence, frozen=True, kw_only=True):
    """Passwords tried: `tried` of those that vendors ship, and `wrong_tries` wrong ones of one invented user.

    `default_login` names the user that got in, never the password. `throttled`: the broker slowed down, refused
    or closed before the last try; `stopped`: that was before the default logins were through. `codes` are those of
    all that failed.
    """

    tried: int
    default_login: str
    wrong_tries: int
    first_ms: int
    last_ms: int
    throttled: bool
    codes: tuple[int, ...]
    stopped: bool = False
    known_user_codes: tuple[int, ...] = ()
    known_user_ms: int = 0
    unknown_user_ms: int = 0


class Abuse(msgspec.Struct, frozen=True, kw_only=True):
    """One malformed packet: did the connection survive it? Not `tested` where a sound one ends it as well."""

    name: str
    survived: bool
    tested: bool = True


class Strictness(Evidence, frozen=True, kw_only=True):
    """The malformed packets, each on a connection of its own."""

    identity: str
    packets: tuple[Abuse, ...]


class Suites(msgspec.Struct, frozen=True, kw_only=True):
    """One TLS version: accepted or not, and the suite that the server picked."""

    version: str
    accepted: bool
    suite: str = ""


class TlsOffer(Evidence, frozen=True, kw_only=True):
    """What the server's TLS agrees to, by ClientHellos of our own.

    `weak`: names of weak families of which it picked a suite, with that suite. `forward_secret`, `aead`: for TLS
    1.2, whether it can agree to such a suite. `client_certificate`: it asks for one (None: not to be seen).
    """

    versions: tuple[Suites, ...]
    weak: dict[str, str]
    static_rsa: str = ""
    ffdhe: str = ""
    aead: bool = False
    ccm_8: str = ""
    groups: tuple[str, ...] = ()
    hybrid_groups: tuple[str, ...] = ()
    extended_master_secret: bool | None = None
    secure_renegotiation: bool | None = None
    compression: bool = False
    client_certificate: bool | None = None

    def speaks(self, version: str) -> bool:
        return any(each.version == version and each.accepted for each in self.versions)


class Leaf(Evidence, frozen=True, kw_only=True):
    """The server's certificate. Times are seconds since the epoch, read at `read_at`.

    `trusted`: the chain leads to an authority of `trusted_by` ("given CA file" or "system authorities").
    `name_matches`: a subjectAltName covers `expected_name`. `unreadable` says why nothing else is filled.
    """

    subject: str = ""
    issuer: str = ""
    self_signed: bool = False
    names: tuple[str, ...] = ()
    common_name: str = ""
    expected_name: str = ""
    name_matches: bool = False
    not_before: int = 0
    not_after: int = 0
    read_at: int = 0
    key: str = ""
    key_bits: int = 0
    signature_hash: str = ""
    sha256: str = ""
    key_sha256: str = ""
    trusted: bool = False
    trusted_by: str = ""
    trust_fault: str = ""
    der: str = ""
    unreadable: str = ""


class ClientCertificates(Evidence, frozen=True, kw_only=True):
    """What the server does with clients by their certificate.

    `without`: outcome of a CONNECT without one; `foreign`: with one of an authority that we invented, "" when not
    tried. `expected`: the user says that the policy is mutual TLS.
    """

    expected: bool
    requested: bool | None
    without: str
    foreign: str = ""


class Listeners(Evidence, frozen=True, kw_only=True):
    """All places of one host that speak MQTT, as `transport:port`."""

    found: tuple[str, ...]
    tls: bool
    all_usual_ports: bool


class Tickets(Evidence, frozen=True, kw_only=True):
    """The session tickets of a handshake in TLS 1.3: how many, and the most early data that one allows, in bytes."""

    count: int
    early_data_bytes: int


class RevocationTrial(Evidence, frozen=True, kw_only=True):
    """What a broker still does for an identity after its operator revoked it, by name of the way; and what ended."""

    still_working: tuple[str, ...]
    ended: tuple[str, ...] = ()
    revoked: str = ""
    command_ms: int = 0


class Reflection(Evidence, frozen=True, kw_only=True):
    """Whether a request was passed on with a Response Topic that its requester may not write to, and was answered."""

    passed_on: bool
    arrived: bool


class Crowd(Evidence, frozen=True, kw_only=True):
    """How many of the connections that one address opened were taken. `ceiling`: the most it should get, 0 unsaid."""

    opened: int
    accepted: int
    ceiling: int = 0

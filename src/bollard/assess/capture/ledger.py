"""The TLS of a capture: one entry for each client with each server, and what is wrong in what they agreed to."""

from collections.abc import Collection
from dataclasses import dataclass, field

from bollard.assess.capture.attacks import Attacks
from bollard.assess.capture.devices import add
from bollard.assess.capture.dialogs import TLS_PORTS
from bollard.assess.capture.evidence import TlsFlow
from bollard.assess.capture.flow import Flow
from bollard.assess.capture.masking import utc
from bollard.assess.capture.tls import TlsNotes
from bollard.assess.probes.certificate import describe
from bollard.assess.probes.evidence import Leaf
from bollard.assess.probes.hello import CCM_8, ECDHE_CBC, FFDHE, NAMES, STATIC_RSA, VERSIONS, WEAK
from bollard.assess.probes.room import Bounds, Pace, Room
from bollard.assess.scope import Place as Address

MAX_ENTRIES = 10_000
MIN_RSA_BITS = 2_048
_VERSION_NAMES = {number: name for name, number in VERSIONS.items()}
_FAMILIES = {suite: family for family, table in WEAK.items() for suite in table}
_DATED = (
    ("no forward secrecy", STATIC_RSA),
    ("finite-field key exchange", FFDHE),
    ("no authenticated encryption", ECDHE_CBC),
    ("a short tag", CCM_8),
)


@dataclass(slots=True)
class Entry:
    """One client with one server. What stands in dicts is what any of their connections showed, in order."""

    flow: Flow
    frame: int
    time_ns: int
    count: int = 0
    hello_seen: bool = False
    versions: dict[str, None] = field(default_factory=dict)
    suites: dict[str, None] = field(default_factory=dict)
    snis: dict[str, None] = field(default_factory=dict)
    alpn: dict[str, None] = field(default_factory=dict)
    fingerprints: dict[str, None] = field(default_factory=dict)
    subjects: dict[str, None] = field(default_factory=dict)
    weak: dict[str, None] = field(default_factory=dict)
    dated: dict[str, None] = field(default_factory=dict)
    faults: dict[str, None] = field(default_factory=dict)
    visible: bool = False
    proceeded: bool = False
    names_missing: bool = False
    alert: int = -1
    failed: str = ""


class Ledger:
    """All entries. `ports` are further ones that count as MQTT over TLS."""

    def __init__(self, attacks: Attacks, ports: Collection[int] = ()) -> None:
        self.entries: dict[tuple[str, str, int], Entry] = {}
        self.left_out = 0
        self._attacks = attacks
        self._ports = TLS_PORTS | set(ports)

    def take(self, notes: TlsNotes) -> None:
        """A connection with TLS has ended, or the capture has."""
        flow = notes.flow
        key = (flow.client, flow.server, flow.server_port)
        entry = self.entries.get(key)
        if entry is None:
            if len(self.entries) >= MAX_ENTRIES:
                self.left_out += 1
                return
            entry = self.entries[key] = Entry(flow, notes.frame, notes.time_ns)
        entry.count += 1
        _read_hello(entry, notes)
        _read_answer(entry, notes)
        failed = notes.failed
        if failed:
            entry.failed = entry.failed or failed
            self._attacks.failed(failed, (flow, notes.frame, notes.time_ns))
        if notes.client_alert >= 0:
            entry.alert = notes.client_alert

    def why_mqtt(self, entry: Entry, clear: Collection[str]) -> str:
        """Why this counts as MQTT, "" if nothing says so. `clear` are addresses that speak MQTT in the clear."""
        if any("mqtt" in each for each in entry.alpn):
            return "ALPN"
        port = entry.flow.server_port
        if port in self._ports:
            return f"port {port}"
        return (
            "the server speaks MQTT in the clear as well"
            if entry.flow.server in clear and port != 443
            else ""
        )

    def flows(self, clear: Collection[str]) -> list[tuple[Entry, TlsFlow]]:
        """The entries that count as MQTT."""
        return [
            (entry, _flow(entry, why))
            for entry in self.entries.values()
            for why in (self.why_mqtt(entry, clear),)
            if why
        ]


def _read_hello(entry: Entry, notes: TlsNotes) -> None:
    hello = notes.hello
    if hello is None:
        return
    if not entry.hello_seen:
        entry.hello_seen = True
        entry.flow, entry.frame, entry.time_ns = notes.flow, notes.frame, notes.time_ns
    add(entry.snis, hello.sni)
    add(entry.fingerprints, hello.fingerprint)
    for each in hello.alpn:
        add(entry.alpn, each)


def _read_answer(entry: Entry, notes: TlsNotes) -> None:
    answer = notes.answer
    if not answer.version:
        return
    version = _VERSION_NAMES.get(answer.version, f"0x{answer.version:04X}")
    suite = NAMES.get(answer.suite, f"0x{answer.suite:04X}")
    add(entry.versions, version)
    add(entry.suites, suite)
    if answer.version < VERSIONS["TLS 1.2"]:
        add(entry.weak, version)
    if answer.suite in _FAMILIES:
        add(entry.weak, f"{suite}: {_FAMILIES[answer.suite]}")
    for what, table in _DATED:
        if answer.suite in table:
            add(entry.dated, f"{suite}: {what}")
    if answer.certificates and answer.version < VERSIONS["TLS 1.3"]:
        _read_certificate(entry, notes, answer.certificates[0])


def _read_certificate(entry: Entry, notes: TlsNotes, der: bytes) -> None:
    entry.visible = True
    sni = notes.hello.sni if notes.hello else ""
    leaf = read_leaf(der, sni)
    if leaf.unreadable:
        add(entry.faults, "the certificate cannot be read")
        return
    faults = list(faults_of(leaf, sni, notes.time_ns // 10**9))
    for each in faults:
        add(entry.faults, each)
    entry.proceeded = entry.proceeded or bool(faults and notes.client_data and notes.client_alert < 0)
    entry.names_missing = entry.names_missing or not leaf.names
    add(entry.subjects, f"{leaf.subject} ({', '.join(leaf.names) or 'no names'})")
    if leaf.key == "RSA" and leaf.key_bits < MIN_RSA_BITS:
        add(entry.weak, f"a certificate of RSA {leaf.key_bits}")
    if leaf.signature_hash in ("sha1", "md5"):
        add(entry.weak, f"a certificate signed with {leaf.signature_hash}")


def read_leaf(der: bytes, name: str) -> Leaf:
    """The certificate as evidence, held against the name that the client asked for."""
    room = Room(place=Address(host=name, address=""), transport="tls", bounds=Bounds(), pace=Pace(1.0))
    return describe(der, room, "")


def faults_of(leaf: Leaf, name: str, now_s: int) -> list[str]:
    """What a client that looks must refuse, as of `now_s`. Whether it knows the authority cannot be seen here."""
    faults = []
    if leaf.not_after < now_s:
        faults.append(f"expired since {utc(leaf.not_after * 10**9)[:10]}")
    if leaf.not_before > now_s:
        faults.append(f"not valid before {utc(leaf.not_before * 10**9)[:10]}")
    if name and not leaf.name_matches:
        faults.append(
            f"made out to {', '.join(leaf.names[:5]) or leaf.common_name or 'nobody'}, asked for as {name}"
        )
    return faults


def _flow(entry: Entry, why: str) -> TlsFlow:
    return TlsFlow(
        place=entry.flow.place(entry.frame, entry.time_ns),
        client=entry.flow.client,
        server=entry.flow.target,
        why=why,
        version=", ".join(entry.versions),
        suite=", ".join(entry.suites),
        sni=", ".join(entry.snis),
        alpn=tuple(entry.alpn),
        fingerprint=", ".join(entry.fingerprints),
        visible=entry.visible,
        proceeded=entry.proceeded,
        alert=entry.alert,
        failed=entry.failed,
        weak=tuple(entry.weak),
        dated=tuple(entry.dated),
        faults=tuple(entry.faults),
        names_missing=entry.names_missing,
        hello_seen=entry.hello_seen,
        count=entry.count,
    )

"""Why a device does not get in: what went wrong lately, remembered for each identity, bounded.

Fed with events as any observer; alters nothing. What a peer claims to be is believed only so far that the
attempt is shown under that name, with the address it came from: somebody else's attempts as "plug" are
something that the owner of "plug" should see as well.

Each failure belongs to a layer, from the outside to the inside:

    tcp  tls  clock  certificate  credential  binding  identity  will  policy  limit  protocol
"""

import re
import shlex
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from bollard.base.events import (
    AccessDenied,
    ClientConnected,
    ClientDisconnected,
    ConnectRefused,
    Event,
    LimitReached,
    TransportRefused,
)
from bollard.base.types import Principal
from bollard.identity.records import Snapshot
from bollard.net.pace import Memory, Remembered

#: What is remembered at most: identities, failures of each, and failures that nobody can be named for.
MAX_IDENTITIES = 10_000
MAX_FAILURES = 8
MAX_STRANGERS = 256
#: Longest text that is kept of one failure; peers choose parts of it.
MAX_TEXT_CHARS = 300
#: Bounds of an examination: from how many addresses, and for how many seconds if nobody says that it has ended.
MAX_EXAMINED_FROM = 64
MAX_EXAMINATION_S = 900.0

_QUOTED = re.compile(r"'([A-Za-z0-9_.-]{1,64})'")


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that went wrong. `at` in seconds since the epoch; `claimed` is whose attempt it was, as far
    as that is known."""

    at: float
    layer: str
    address: str
    text: str
    remedy: str
    claimed: str = ""


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """A look of our own at the listeners, from `addresses`. `began` and `until` in seconds since the epoch;
    `refused` counts what came from there meanwhile and named nobody that is enrolled."""

    began: float
    until: float
    addresses: tuple[str, ...]
    refused: int = 0


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of one identity, newest first; `since` is when remembering began.

    `nearby` are failures of transports that named nobody, from the address that it last used; `unnamed`
    those from anywhere. `examination` is the latest, whose refusals are in neither.
    """

    since: float
    connected_at: float = 0.0
    connected_from: str = ""
    failures: tuple[Failure, ...] = ()
    nearby: tuple[Failure, ...] = ()
    unnamed: tuple[Failure, ...] = ()
    examination: Examination | None = None


class _Memory(Remembered):
    """What is remembered of one identity."""

    __slots__ = ("address", "at", "failures")

    def __init__(self, identity: Principal) -> None:
        self._open(identity)
        self.at = 0.0
        self.address = ""
        self.failures: deque[Failure] = deque(maxlen=MAX_FAILURES)


class Failures:
    """An observer of events that can be asked. For any thread."""

    def __init__(self, snapshot: Callable[[], Snapshot], clock: Callable[[], float] = time.time) -> None:
        """`snapshot` gives the registry, `clock` seconds since the epoch."""
        self._snapshot = snapshot
        self._clock = clock
        self._since = clock()
        self._lock = threading.Lock()
        self._known = Memory(MAX_IDENTITIES)
        self._strangers: deque[Failure] = deque(maxlen=MAX_STRANGERS)
        self._examination: Examination | None = None

    def observe(self, event: Event) -> None:
        """Remember `event` if it says something about why somebody is not in."""
        # Two come with each connection: they must not be asked what else they might be.
        if type(event) is ClientConnected:
            with self._lock:
                memory = self._memory(event.principal)
                memory.at, memory.address = self._clock(), event.address
        elif type(event) is not ClientDisconnected or event.by != "client":
            self._trouble(event)

    def _trouble(self, event: Event) -> None:
        match event:
            case ConnectRefused():
                layer, remedy = of_refusal(event.code, event.reason)
                claimed = self._claimed(event)
                self._note(layer, event.address, event.reason, remedy.replace("ID", claimed or "ID"), claimed)
            case TransportRefused():
                layer, remedy = of_transport(event.reason)
                self._note(layer, event.address, event.reason, remedy, "")
            case ClientDisconnected() if event.code:
                layer, remedy = of_disconnect(event.code, event.reason)
                remedy = remedy.replace("ID", event.principal)
                self._note(layer, event.address, event.reason, remedy, event.principal)
            case AccessDenied():
                text = f"{event.action} {event.topic}: {event.reason}"
                self._note("policy", "", text, _ask_policy(event), event.principal)
            case LimitReached() if event.principal:
                remedy = f"If it is right to do so, raise {event.limit} under [limits]."
                if event.limit.startswith("policy."):
                    remedy = f"See which rule limits it: bollard policy show {event.principal}"
                self._note("limit", event.address, f"{event.limit}: {event.detail}", remedy, event.principal)

    def examined(self, addresses: Sequence[str], for_s: float) -> None:
        """Our owner looks at the listeners from `addresses`, for `for_s` more seconds: what is refused there
        meanwhile is counted and not remembered. For the owner alone: whoever may say this hides who comes from there.
        """
        with self._lock:
            now = self._clock()
            known = self._examination
            until = now + min(max(for_s, 0.0), MAX_EXAMINATION_S)
            if known is not None and now < known.until:
                self._examination = msgspec.structs.replace(known, until=until)
            else:
                where = tuple(addresses[:MAX_EXAMINED_FROM])
                self._examination = Examination(began=now, until=until, addresses=where)

    def of(self, identity: Principal) -> History:
        """What is remembered of `identity`."""
        with self._lock:
            strangers = list(reversed(self._strangers))
            memory: _Memory | None = self._known.get(identity)
            named = [failure for failure in strangers if failure.claimed == identity]
            unnamed = [failure for failure in strangers if not failure.claimed]
            looked = self._examination
            if memory is None:
                return History(
                    since=self._since, failures=tuple(named), unnamed=tuple(unnamed), examination=looked
                )
            nearby = [failure for failure in unnamed if failure.address == memory.address != ""]
            return History(
                since=self._since,
                connected_at=memory.at,
                connected_from=memory.address,
                failures=(*reversed(memory.failures), *named),
                nearby=tuple(nearby),
                unnamed=tuple(unnamed),
                examination=looked,
            )

    def _note(self, layer: str, address: str, text: str, remedy: str, claimed: str) -> None:
        enrolled = self._snapshot().identities
        failure = Failure(
            at=self._clock(),
            layer=layer,
            address=address,
            text=text[:MAX_TEXT_CHARS],
            remedy=remedy,
            claimed=claimed[:MAX_TEXT_CHARS],
        )
        with self._lock:
            # Attack: endless names. Only those that are enrolled get a memory of their own.
            if claimed in enrolled:
                self._memory(claimed).failures.append(failure)
            elif not self._examines(failure):
                self._strangers.append(failure)

    def _examines(self, failure: Failure) -> bool:
        """Whether `failure` is counted with the examination that is on. Called with the lock."""
        known = self._examination
        if known is None or failure.at > known.until or failure.address not in known.addresses:
            return False
        self._examination = msgspec.structs.replace(known, refused=known.refused + 1)
        return True

    def _memory(self, identity: Principal) -> _Memory:
        memory: _Memory | None = self._known.recall(identity)
        if memory is None:
            memory = _Memory(identity)
            self._known.put(memory)
        return memory

    def _claimed(self, event: ConnectRefused) -> str:
        """Whose attempt it was: whom the broker's own reason names, else who the client says it is."""
        enrolled = self._snapshot().identities
        names = [*_QUOTED.findall(event.reason), event.username, event.client_id]
        return next((name for name in names if name in enrolled), event.username or event.client_id)


def _ask_policy(event: AccessDenied) -> str:
    """The command that explains a denial; only the beginning of a topic that is very long."""
    command = ["bollard", "why", event.principal, event.action, event.topic[:MAX_TEXT_CHARS]]
    return shlex.join(command)


#: A layer, and a remedy in which ID stands for the identity.
Judgement = tuple[str, str]

_NEW_CERTIFICATE = "bollard devices rotate ID --certificate"
_NEW_PASSWORD = "bollard devices rotate ID"  # noqa: S105  # a command, not a password

#: What stands in the reason of a refusal with 0x87, and what follows from it. The first that fits counts.
_REFUSALS: tuple[tuple[str, Judgement], ...] = (
    ("its will on", ("will", "Let it: bollard why ID will TOPIC; or change the will of the client.")),
    ("user name", ("binding", "Leave the user name out, or set it to the name of the identity.")),
    ("but SCRAM", ("binding", "Certificate and password must belong to the same identity.")),
    ("re-authentication", ("binding", "A connection keeps its identity; connect anew as another one.")),
    ("not in the registry", ("certificate", _NEW_CERTIFICATE + ", and install what it gives")),
    ("is expired", ("certificate", _NEW_CERTIFICATE + "; if it should be valid, compare the clocks")),
    ("is superseded", ("certificate", "It uses an old certificate: install the newest one.")),
    ("is suspended", ("identity", "bollard devices resume ID")),
    ("is pending", ("identity", "Finish its enrollment: bollard enroll ID")),
    ("is revoked", ("identity", "A revoked identity does not come back: enroll it under another name.")),
    ("is not enrolled", ("identity", "bollard enroll ID")),
    ("no credentials", ("credential", "Give the client its user name and password, or its certificate.")),
)
#: The same for 0x86.
_WRONG_PASSWORDS: tuple[tuple[str, Judgement], ...] = (
    ("allow_human_passwords is off", ("credential", f"{_NEW_PASSWORD}; or set allow_human_passwords = true")),
    (
        "the identity has no password",
        ("credential", f"It has a certificate; for a password: {_NEW_PASSWORD}"),
    ),
)
#: What stands in the reason for which a connection was ended with 0x87.
_ENDED_CREDENTIALS: tuple[tuple[str, Judgement], ...] = (
    ("certificate has expired", ("certificate", _NEW_CERTIFICATE + "; or let the device renew in time")),
    ("its certificate is", ("certificate", "It used an old certificate: install the newest one.")),
    ("authority of its certificate", ("certificate", _NEW_CERTIFICATE + ", and install what it gives")),
    (
        "was replaced",
        ("credential", "Install the new credential on the device: files with the old one are stale."),
    ),
)
_OTHER: Judgement = ("protocol", "See what the broker noted of it: bollard log")
_OF_CODE: dict[int, Judgement] = {
    0x80: ("protocol", "The broker gave no reason; its log has one."),
    0x81: ("protocol", "The client sends what is no MQTT; update it."),
    0x82: ("protocol", "The client breaks the protocol; update it."),
    0x83: ("protocol", "The broker failed inside, not the device: see its log."),
    0x84: ("protocol", "The client speaks another version of MQTT: set it to 3.1.1 or 5.0."),
    0x85: ("binding", "Give the client another client id."),
    0x86: (
        "credential",
        f"Compare user name and password, or give it new ones: {_NEW_PASSWORD} (with --out FOLDER: and write its "
        "settings file anew)",
    ),
    0x87: ("identity", "bollard devices show ID"),
    0x89: ("limit", "Too many were checked at once: it gets in when it tries again."),
    0x8B: ("tcp", "The broker was stopped; it comes back by itself."),
    0x8C: ("credential", "Set the client to a method that this broker has, or to user name and password."),
    0x8D: ("tcp", "The device or its network was silent for longer than Keep Alive."),
    0x8E: ("binding", "Two clients use the same identity and client id: give one of them another id."),
    0x8F: ("protocol", "The client subscribes to what is no topic filter; correct it."),
    0x90: ("protocol", "The client names what is no topic, or one that is too long or too deep; correct it."),
    0x93: ("limit", "The client sends more at once than it was told to."),
    0x94: ("protocol", "The client uses a topic alias that it never set, or more than it was allowed."),
    0x95: ("limit", "A packet was larger than one side accepts: see max_packet_bytes."),
    0x96: ("limit", "It sends more than policy lets it: bollard policy show ID"),
    0x97: ("limit", "See the limits of the broker: bollard status"),
    0x98: ("identity", "An operator ended it: bollard devices show ID"),
    0x9A: ("policy", "Messages cannot be retained here: see retain_available."),
    0x9B: ("limit", "The quality of service is not offered: see maximum_qos."),
    0x9C: ("binding", "This broker sends clients away: see server_reference in its configuration."),
    0x9D: ("binding", "This broker sends clients away: see server_reference in its configuration."),
    0x9F: ("limit", "It tried too often: repair its credentials or its loop, then wait for some minutes."),
}

_TRUST = (
    "Give the device the present server-root.crt (`bollard authority` says where it is), and a name or address of the "
    "broker that its certificate holds."
)
_TO_TLS = "Set the device to TLS, with server-root.crt as its CA file; or give it a listener of the kind that it wants."
_STRENGTH = (
    "The device and this broker have no way of encryption in common: update its software, or its TLS library."
)
_NETWORK = "Look at the device and the network in between: it begins, and does not go on."
_WEBSOCKET = "Set the client to MQTT over WebSocket at the path /mqtt, or to a listener without WebSocket."

#: What stands in the reason for which a transport was refused, and what follows from it. The first that fits counts.
_TRANSPORTS: tuple[tuple[str, Judgement], ...] = (
    (
        "expired or not yet valid",
        ("clock", "Set the clock of the device, and that of this machine: bollard doctor"),
    ),
    (
        "certificate is not yet valid",
        ("clock", "Set the clock of this machine; then let the device try again."),
    ),
    (
        "the client's certificate is not accepted",
        ("certificate", "Give the device a new one: bollard devices rotate ID --certificate"),
    ),
    ("on a TLS port", ("tcp", _TO_TLS)),
    ("on a plaintext port", ("tcp", "Set the device to the port with TLS: bollard status shows it.")),
    ("on an MQTT port", ("tcp", "Set the client to MQTT, or give it a [[listener]] for WebSocket.")),
    (
        "neither TLS nor MQTT",
        ("tcp", "Set the device to MQTT over TLS, with server-root.crt as its CA file."),
    ),
    (
        "sent nothing",
        ("tcp", "If it is a device: look at its TLS settings and its network. Probes do this too."),
    ),
    ("plaintext from outside", ("tcp", _TO_TLS)),
    ("origins", ("protocol", "If the page is your own, list its origin under origins of the [[listener]].")),
    ("WebSocket", ("protocol", _WEBSOCKET)),
    ("upgrade", ("protocol", _WEBSOCKET)),
    ("where MQTT has only binary ones", ("protocol", _WEBSOCKET)),
    ("did not complete the TLS handshake", ("tls", _NETWORK)),
    ("closed the connection without ending TLS", ("tls", _NETWORK)),
    ("gave up the TLS handshake", ("tls", _NETWORK)),
    ("left during the TLS handshake", ("tls", _TRUST)),
    ("does not trust our server certificate", ("tls", _TRUST)),
    ("rejects our server certificate", ("tls", _TRUST)),
    ("could not verify our signature", ("tls", _TRUST)),
    ("the name in our certificate", ("tls", _TRUST)),
    ("the bytes are not TLS", ("tls", _TO_TLS)),
    (
        "failed inside itself",
        ("tls", "Give the device more memory for TLS, or restart it; its own log may say more."),
    ),
)


def of_refusal(code: int, reason: str) -> Judgement:
    """Layer and remedy of a refused CONNECT or authentication."""
    for text, judgement in {0x86: _WRONG_PASSWORDS, 0x87: _REFUSALS}.get(code, ()):
        if text in reason:
            return judgement
    return _OF_CODE.get(code, _OTHER)


def of_disconnect(code: int, reason: str) -> Judgement:
    """Layer and remedy of a connection that was ended with `code`."""
    for text, judgement in _ENDED_CREDENTIALS if code == 0x87 else ():
        if text in reason:
            return judgement
    return _OF_CODE.get(code, _OTHER)


def of_transport(reason: str) -> Judgement:
    """Layer and remedy of a connection that ended before MQTT began."""
    return next((judgement for text, judgement in _TRANSPORTS if text in reason), ("tls", _STRENGTH))

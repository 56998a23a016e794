"""One recorded TLS connection: what both sides said before they encrypted, and how it ended.

Records are walked over; only those of the handshake are kept, up to a bound. Once both sides send encrypted data,
nobody reads the connection any more. Up to TLS 1.2 the certificate and a client's alert about it are in the clear;
TLS 1.3 hides both, and only an encrypted record as short as an alert hints at one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from bollard.assess.capture.flow import Flow
from bollard.assess.capture.hello import ClientHello, read_client_hello
from bollard.assess.capture.streams import Budget, Sink
from bollard.assess.probes.hello import Answer, read_flight

CHANGE, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
MAX_RECORD_BYTES = 18_432
#: What is kept of the messages of one side.
MAX_HANDSHAKE_BYTES = 131_072
#: An encrypted alert of TLS 1.3: two bytes, the type, the tag.
SHORT_RECORD_BYTES = 24

ALERTS = {
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    112: "unrecognized_name",
    116: "certificate_required",
    120: "no_application_protocol",
}
_WARNING, _CLOSE_NOTIFY = 1, 0


@dataclass(slots=True)
class TlsNotes:
    """What one connection told. Alerts are their numbers, -1 for none; `client_data`: application data was sent."""

    flow: Flow
    frame: int
    time_ns: int
    hello: ClientHello | None = None
    answer: Answer = field(default_factory=Answer)
    client_alert: int = -1
    server_alert: int = -1
    client_data: bool = False
    server_data: bool = False
    hinted_alert: bool = False
    middle: bool = False
    missing: bool = False
    how: str = ""

    @property
    def failed(self) -> str:
        """Why the handshake came to nothing, "" if it did not or if that cannot be told."""
        for who, alert in (("client", self.client_alert), ("server", self.server_alert)):
            if alert >= 0:
                return f"the {who} sent the alert {ALERTS.get(alert, alert)}"
        if self.hello is None or self.missing or self.how == "open":
            return ""
        if self.hinted_alert and self.how in ("closed", "reset"):
            return "the client sent an encrypted record as short as an alert, and no more"
        if not (self.client_data and self.server_data):
            return "the connection was reset" if self.how == "reset" else "the connection was closed"
        return ""


class TlsTalk:
    """Both directions. `told` gets the notes once, at the end. `middle`: the handshake is not in the capture."""

    __slots__ = ("_client", "_done", "_server", "_told", "notes", "sinks")

    def __init__(
        self,
        flow: Flow,
        client: int,
        budget: Budget,
        told: Callable[[TlsNotes], None],
        where: tuple[int, int],
    ) -> None:
        self.notes = TlsNotes(flow, *where)
        self._told = told
        self._done = False
        self._client = _Records(self, True, budget)
        self._server = _Records(self, False, budget)
        self.sinks: list[Sink | None] = [None, None]
        self.sinks[client] = self._client
        self.sinks[1 - client] = self._server

    def enough(self) -> None:
        """Stop reading once both sides have sent application data: the rest tells nothing."""
        notes = self.notes
        if notes.client_data and notes.server_data and self._client.records > 1:
            self.sinks[:] = [None, None]

    def end(self, how: str, frame: int, time_ns: int) -> None:
        if self._done:
            return
        self._done = True
        self.notes.how = how
        self._server.read_flight()
        for each in (self._client, self._server):
            each.forget()
        self._told(self.notes)


class _Records:
    """The records of one direction."""

    __slots__ = (
        "_budget",
        "_from_client",
        "_held",
        "_messages",
        "_secret",
        "_skip",
        "_taken",
        "_talk",
        "records",
    )

    def __init__(self, talk: TlsTalk, from_client: bool, budget: Budget) -> None:
        self._talk = talk
        self._from_client = from_client
        self._budget = budget
        self._held = b""
        self._messages = bytearray()
        self._skip = 0
        self._taken = 0
        self._secret = False
        #: Encrypted records of this side.
        self.records = 0

    def gap(self) -> None:
        self._talk.notes.missing = True
        self._stop()

    def data(self, data: bytes, frame: int, time_ns: int) -> None:
        if self._skip:
            if len(data) <= self._skip:
                self._skip -= len(data)
                return
            data = data[self._skip :]
            self._skip = 0
        if self._held:
            data = self._held + data
            self._budget.left += len(self._held)
            self._held = b""
        position, size = 0, len(data)
        while position + 5 <= size:
            kind, length = data[position], data[position + 3] << 8 | data[position + 4]
            if not CHANGE <= kind <= 24 or data[position + 1] != 3 or length > MAX_RECORD_BYTES:
                self._talk.notes.missing = True
                return self._stop()
            end = position + 5 + length
            if self._secret or kind == DATA:
                self._encrypted(kind, length)
                if end > size:
                    self._skip = end - size
                    return None
            else:
                if end > size:
                    break
                self._plain(kind, data, position, end)
            position = end
        if self._budget.take(size - position):
            self._held = data[position:]
        else:
            self.gap()
        return None

    def _plain(self, kind: int, data: bytes, start: int, end: int) -> None:
        notes = self._talk.notes
        if kind == ALERT and end - start == 7:
            level, number = data[start + 5], data[start + 6]
            if level != _WARNING and number != _CLOSE_NOTIFY:
                if self._from_client:
                    notes.client_alert = number
                else:
                    notes.server_alert = number
        elif kind == CHANGE:
            self._secret = True
            self.read_flight()
        elif kind == HANDSHAKE and not self._full(end - start):
            # A server's records are kept as they are, for the reader of flights; a client's as messages.
            self._messages += data[start:end] if not self._from_client else data[start + 5 : end]
            if self._from_client and notes.hello is None:
                self._read_hello()

    def _full(self, size: int) -> bool:
        """Is there no room for `size` bytes more? Otherwise they are taken."""
        if len(self._messages) + size > MAX_HANDSHAKE_BYTES or not self._budget.take(size):
            self._talk.notes.missing = True
            return True
        self._taken += size
        return False

    def _read_hello(self) -> None:
        messages = self._messages
        if len(messages) < 4 or messages[0] != 1:
            return
        size = int.from_bytes(messages[1:4], "big")
        if len(messages) >= 4 + size:
            self._talk.notes.hello = read_client_hello(bytes(messages[4 : 4 + size]))

    def read_flight(self) -> None:
        """Read what a server has said in the clear, once there will be no more of it."""
        if not self._from_client and self._messages:
            self._talk.notes.answer, _ = read_flight(bytes(self._messages))
            self._budget.left += self._taken
            self._taken = 0
            self._messages = bytearray()

    def _encrypted(self, kind: int, length: int) -> None:
        notes, talk = self._talk.notes, self._talk
        if not self._secret:
            self._secret = True
            self.read_flight()
        if kind != DATA:
            return
        self.records += 1
        if self._from_client:
            if self.records == 1:
                notes.hinted_alert = length <= SHORT_RECORD_BYTES
            else:
                notes.hinted_alert = False
            notes.client_data = notes.client_data or not notes.hinted_alert
        else:
            notes.server_data = True
        talk.enough()

    def forget(self) -> None:
        """Let go of what is held."""
        self._budget.left += self._taken
        self._budget.left += len(self._held)
        self._held = b""
        self._taken = 0
        self._messages = bytearray()

    def _stop(self) -> None:
        """This direction can no longer be read."""
        self.read_flight()
        self.forget()
        sinks = self._talk.sinks
        if self in sinks:
            sinks[sinks.index(self)] = None

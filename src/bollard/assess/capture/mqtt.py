"""One recorded MQTT connection: its packets, in both directions, told to the notebook.

A direction in which bytes are missing is read on only from a place where whole, legal packets begin again; one
that no longer is MQTT is left. Both are counted.
"""

from bollard.assess.capture.devices import Device
from bollard.assess.capture.flow import Flow
from bollard.assess.capture.notebook import Notebook
from bollard.assess.capture.packets import Cutter, NoRoom, plausible
from bollard.assess.capture.streams import Budget, Sink
from bollard.base.errors import PeerError
from bollard.wire.codec import Packet, decode
from bollard.wire.connect import Auth, Connack, Connect
from bollard.wire.publish import Publish
from bollard.wire.spec import V5, V311, PacketType
from bollard.wire.subscribe import Suback, Subscribe

#: SUBSCRIBEs without an answer, and topic aliases, that one connection may have here.
MAX_OPEN = 100
MAX_ALIASES = 1_000
_BRIDGE = 0x80
_READ = frozenset(
    (
        *(PacketType.CONNECT, PacketType.CONNACK, PacketType.SUBSCRIBE),
        *(PacketType.SUBACK, PacketType.AUTH),
    )
)


class MqttTalk:
    """Both directions. `version` is 0 until a CONNECT was seen; `client` is the index of the client's direction."""

    __slots__ = ("bridge", "device", "flow", "label", "notes", "sinks", "subscribing", "transport", "version")

    def __init__(
        self,
        notes: Notebook,
        flow: Flow,
        client: int,
        budget: Budget,
        transport: str = "tcp",
    ) -> None:
        self.notes = notes
        self.flow = flow
        self.transport = transport
        self.version = 0
        self.label = ""
        self.bridge = False
        self.device: Device | None = None
        self.subscribing: dict[int, tuple[str, ...]] = {}
        self.sinks: list[Sink | None] = [None, None]
        self.sinks[client] = _Side(self, True, budget)
        self.sinks[1 - client] = _Side(self, False, budget)

    def end(self, how: str, frame: int, time_ns: int) -> None:
        if self.device is not None:
            self.device = self.notes.roster.settle(self.device)
            self.device.last_ns = max(self.device.last_ns, time_ns)
        for sink in self.sinks:
            if isinstance(sink, _Side):
                sink.cutter.forget()

    def present(self, time_ns: int) -> Device:
        """The device of this connection; known by its address alone until it says who it is."""
        if self.device is None:
            self.device = self.notes.roster.device("", self.flow, time_ns)
        return self.device

    def connect(self, buffer: bytes, header: int, body: int, end: int, frame: int, time_ns: int) -> None:
        """A CONNECT of any of the three versions; that of a bridge has a bit more in its level."""
        name = buffer[body + 2 : body + 8]
        label = ""
        if name == b"MQIsdp":
            # MQTT 3.1 has the same fields under another name.
            head = b"\0\4MQTT\4"
            buffer = head + buffer[body + 9 : end]
            body, end, label = 0, len(buffer), "3.1"
        elif buffer[body + 6 : body + 7] >= b"\x80":
            self.bridge = True
            buffer = buffer[body : body + 6] + bytes((buffer[body + 6] & ~_BRIDGE,)) + buffer[body + 7 : end]
            body, end = 0, len(buffer)
        packet = decode(buffer, header, body, end, 0)
        assert isinstance(packet, Connect)
        self.version = packet.version
        self.label = label or {V311: "3.1.1", V5: "5.0"}[packet.version]
        self.subscribing.clear()
        if self.device is not None:
            self.notes.roster.settle(self.device)
        self.device = self.notes.connect(self, packet, frame, time_ns)


class _Side:
    """One direction."""

    __slots__ = ("_aliases", "_from_client", "_lost", "_packet", "_talk", "cutter")

    def __init__(self, talk: MqttTalk, from_client: bool, budget: Budget) -> None:
        self._talk = talk
        self._from_client = from_client
        self._lost = False
        self._packet = Publish()
        self._aliases: dict[int, bytes] = {}
        self.cutter = Cutter(budget)

    def gap(self) -> None:
        self.cutter.forget()
        self._lost = True

    def data(self, data: bytes, frame: int, time_ns: int) -> None:
        if self._lost:
            if not plausible(data):
                return
            self._lost = False
            self._talk.notes.unread("directions read on after a gap")
        try:
            for header, buffer, body, end, whole in self.cutter.cut(data):
                kind = header >> 4
                if kind == PacketType.PUBLISH:
                    self._publish(header, buffer, body, end, frame, time_ns)
                elif kind in _READ:
                    if whole:
                        self._other(kind, header, buffer, body, end, frame, time_ns)
                    else:
                        self._talk.notes.unread("packets too long to read")
        except PeerError:
            self._leave("directions that are no legal MQTT")
        except NoRoom:
            self._leave("directions given up for want of room")

    def _leave(self, why: str) -> None:
        self._talk.notes.unread(why)
        self.cutter.forget()
        sinks = self._talk.sinks
        if self in sinks:
            sinks[sinks.index(self)] = None
        self._lost = True

    def _publish(self, header: int, buffer: bytes, body: int, end: int, frame: int, time_ns: int) -> None:
        talk = self._talk
        notes = talk.notes
        device = talk.device or talk.present(time_ns)
        if end - body > 2:
            # The usual case, a topic that was seen and looked at often enough: it is only counted.
            stop = body + 2 + (buffer[body] << 8 | buffer[body + 1])
            note = notes.topics.get(buffer[body + 2 : stop])
            if note is not None and not note.looks and not note.command:
                properties = stop + 2 if header & 6 else stop
                if talk.version != V5 or (properties < end and not buffer[properties]):
                    return notes.count(device, note, self._from_client)
        packet = self._packet
        packet.decode(buffer, header, body, end, talk.version or V311)
        topic = packet.topic
        if packet.alias:
            if not topic:
                topic = self._aliases.get(packet.alias, b"")
            elif packet.alias in self._aliases or len(self._aliases) < MAX_ALIASES:
                self._aliases[packet.alias] = topic
        if topic:
            place = (talk.flow, frame, time_ns)
            notes.publish(device, topic, packet.payload, bool(packet.retain), self._from_client, place)
        else:
            notes.unread("messages under an alias that was not seen")
        return None

    def _other(
        self, kind: int, header: int, buffer: bytes, body: int, end: int, frame: int, time_ns: int
    ) -> None:
        talk = self._talk
        if kind == PacketType.CONNECT:
            return talk.connect(buffer, header, body, end, frame, time_ns)
        packet = self._decoded(buffer, header, body, end)
        notes, place = talk.notes, (talk.flow, frame, time_ns)
        if isinstance(packet, Connack):
            assigned = packet.properties.assigned_client_identifier or ""
            talk.device = notes.roster.settle(talk.present(time_ns), assigned)
            notes.connack(talk.device, packet.code, place)
        elif isinstance(packet, Subscribe):
            filters = tuple(each.filter for each in packet.filters)
            notes.subscribe(talk.present(time_ns), filters)
            if len(talk.subscribing) < MAX_OPEN:
                talk.subscribing[packet.packet_id] = filters
        elif isinstance(packet, Suback):
            filters = talk.subscribing.pop(packet.packet_id, ())
            refused = [name for name, code in zip(filters, packet.codes, strict=False) if code >= 0x80]
            notes.refused_filters(refused, place)
        elif isinstance(packet, Auth) and self._from_client:
            notes.auth(talk.present(time_ns), packet, place)
        return None

    def _decoded(self, buffer: bytes, header: int, body: int, end: int) -> Packet:
        """The packet; where no CONNECT told the version, the one in which it is legal is taken from then on."""
        talk = self._talk
        if talk.version:
            return decode(buffer, header, body, end, talk.version)
        try:
            return decode(buffer, header, body, end, V311)
        except PeerError:
            packet = decode(buffer, header, body, end, V5)
            talk.version = V5
            return packet

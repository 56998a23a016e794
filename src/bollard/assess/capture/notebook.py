"""Everything that a capture told about MQTT in the clear: the notes that readers take and the checks judge later.

Secrets come in here and go no further: of each a length, a salted hash and its place is kept. Every table has a
bound; what finds no room is counted.
"""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bollard.assess.capture import masking
from bollard.assess.capture.attacks import Attacks
from bollard.assess.capture.devices import MAX_TOPICS, Device, add
from bollard.assess.capture.evidence import Login, Seen, SharedLogin, Token
from bollard.assess.capture.flow import Flow
from bollard.assess.capture.roster import Roster
from bollard.assess.probes.ears import kinds_of_secret
from bollard.wire.connect import Auth, Connect

if TYPE_CHECKING:
    from bollard.assess.capture.mqtt import MqttTalk

#: Flow, frame and time of something seen.
Where = tuple[Flow, int, int]

MAX_TOPIC_NOTES = 50_000
MAX_SEEN = 50
MAX_CREDENTIALS = 10_000
#: So many messages of each topic are looked through for secrets: all of them would take longer than reading.
LOOKS = 16
MAX_LOOK_BYTES = 4_096
#: And so many bytes in all: patterns are slow on what was made to slow them.
MAX_LOOKED_BYTES = 8 << 20
#: Topics and filters that all devices together may have in the inventory.
MAX_ENTRIES = 200_000
MAX_TOPIC_BYTES = 256

_COMMAND = re.compile(
    rb"(?i)(^|[/_-])(cmnd|cmd|command|commands|set|control|switch|rpc|unlock|open|ota|reboot)([/_-]|$)"
)
_SENSITIVE = re.compile(
    rb"(?i)(^|[/_-])(gps|lat|lon|location|position|presence|occupancy|person|face|alarm|doorlock|lock|camera|health|"
    rb"heart|glucose|patient|password|passwd|secret|token|apikey|credentials?)([/_-]|$)"
)


@dataclass(slots=True)
class TopicNote:
    """One topic: how many of its messages are still to be looked through, and who publishes to it."""

    topic: bytes
    command: bool
    looks: int = LOOKS
    senders: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class _Credential:
    user: str
    hash: str
    clients: dict[str, None] = field(default_factory=dict)
    addresses: dict[str, None] = field(default_factory=dict)


class Notebook:
    """The notes of one capture. `known` are servers that the user expects, as addresses or networks say."""

    def __init__(self) -> None:
        self.roster = Roster(self.unread)
        self.topics: dict[bytes, TopicNote] = {}
        self.attacks = Attacks()
        self.clear = self.clear_inside = self.inferred = 0
        self.connects = self.publishes = self.commands = 0
        self.looked_through = self.not_looked = 0
        self._look_left = MAX_LOOKED_BYTES
        self._room = MAX_ENTRIES
        self.talks: dict[str, int] = {}
        self.clear_seen: dict[str, Seen] = {}
        self.secrets: dict[str, Seen] = {}
        self.sensitive: dict[str, Seen] = {}
        self.retained_commands: dict[str, Seen] = {}
        self.new_senders: dict[str, Seen] = {}
        self.logins: dict[tuple[str, str], Login] = {}
        self.tokens: dict[tuple[str, str], Token] = {}
        self._credentials: dict[str, _Credential] = {}

    # ------------------------------------------------------------------ connections

    def unread(self, what: str) -> None:
        """Count something that could not be read."""
        self.talks[what] = self.talks.get(what, 0) + 1

    def begin(
        self, flow: Flow, transport: str, inside: bool, inferred: bool, frame: int, time_ns: int
    ) -> None:
        """A connection that speaks MQTT in the clear. `inferred`: known by its packets, without a CONNECT."""
        self.clear += 1
        self.clear_inside += inside
        self.inferred += inferred
        server = self.roster.server(flow, frame, time_ns)
        if server is not None:
            server.clear += 1
            add(server.transports, "WebSocket" if transport == "ws" else "TCP")
            add(server.clients, flow.client)
        how = " over WebSocket" if transport == "ws" else ""
        text = f"MQTT in the clear{how}" + (", its beginning not in the capture" if inferred else "")
        note(self.clear_seen, f"{flow.client} {flow.target} {text}", text, (flow, frame, time_ns))

    # ------------------------------------------------------------------ packets

    def connect(self, talk: "MqttTalk", packet: Connect, frame: int, time_ns: int) -> Device:
        """A CONNECT, with the credentials in it."""
        flow = talk.flow
        where = (flow, frame, time_ns)
        self.connects += 1
        if packet.client_id:
            device = self.roster.device(packet.client_id, flow, time_ns)
        else:
            device = self.roster.unnamed(packet, flow, time_ns)
        device.connects += 1
        device.keepalive_s = packet.keepalive_s
        device.bridge = device.bridge or talk.bridge
        add(device.versions, talk.label)
        add(device.transports, "WebSocket" if talk.transport == "ws" else "TCP")
        if packet.will is not None:
            add(device.will, packet.will.topic)
            topic = packet.will.topic.encode()
            self.publish(device, topic, packet.will.payload, packet.will.retain, True, where, will=True)
        if packet.client_id:
            self.attacks.connected(packet.client_id, where)
        self.attacks.connected_in_clear(where)
        self._credentials_of(device, packet, where)
        if packet.properties.authentication_method == "PLAIN":
            self._login(device, "", packet.properties.authentication_data or b"", where)
        return device

    def _credentials_of(self, device: Device, packet: Connect, where: Where) -> None:
        user, password = packet.username or "", packet.password or b""
        if user:
            add(device.users, masking.mask(user))
        name_token = masking.signed_token(user.encode())
        if name_token:
            self.token(device, "user name of CONNECT", "signed token", name_token, where)
        if password:
            token = masking.signed_token(password)
            if token:
                self.token(device, "password of CONNECT", "signed token", token, where)
            else:
                self._login(device, user, password, where)
            self._shared(device, user, password, where)

    def _login(self, device: Device, user: str, password: bytes, where: Where) -> None:
        digest = masking.digest(password)
        key = (device.name, digest)
        before = self.logins.get(key)
        if before is None and len(self.logins) >= MAX_CREDENTIALS:
            return self.unread("passwords beyond those that are listed")
        self.logins[key] = Login(
            place=before.place if before else where[0].place(*where[1:]),
            client=device.name,
            user=masking.mask(user) if user else "",
            length=len(password),
            hash=digest,
            count=before.count + 1 if before else 1,
        )
        return None

    def token(self, device: Device | None, place: str, kind: str, token: bytes, where: Where) -> None:
        """A bearer secret was seen."""
        digest = masking.digest(token)
        if (place, digest) in self.tokens:
            return
        if len(self.tokens) >= MAX_CREDENTIALS:
            return self.unread("tokens beyond those that are listed")
        end = masking.expiry(token)
        self.tokens[place, digest] = Token(
            place=where[0].place(*where[1:]),
            client=device.name if device else where[0].client,
            where=place,
            kind=kind,
            length=len(token),
            hash=digest,
            expires=masking.utc(end * 1_000_000_000) if end is not None else "",
            expired=end is not None and end * 1_000_000_000 < where[2],
        )
        return None

    def _shared(self, device: Device, user: str, password: bytes, where: Where) -> None:
        digest = masking.digest(user.encode() + b"\0" + password)
        found = self._credentials.get(digest)
        if found is None:
            if len(self._credentials) >= MAX_CREDENTIALS:
                return
            found = self._credentials[digest] = _Credential(masking.mask(user) if user else "", digest)
        add(found.clients, device.name)
        add(found.addresses, where[0].client)

    def shared(self) -> tuple[SharedLogin, ...]:
        """Credentials that more than one client id used. Two addresses at least make it certain."""
        return tuple(
            SharedLogin(
                user=each.user,
                hash=each.hash,
                clients=tuple(each.clients),
                addresses=tuple(each.addresses),
                certain=len(each.addresses) > 1,
            )
            for each in self._credentials.values()
            if len(each.clients) > 1
        )[:MAX_SEEN]

    @property
    def credentials(self) -> int:
        """How many different credentials were seen."""
        return len(self._credentials)

    def connack(self, device: Device, code: int, where: Where) -> None:
        """The server's answer to a CONNECT."""
        if code >= 0x80:
            device.refused += 1
            self.attacks.refused(code, where)

    def auth(self, device: Device, packet: Auth, where: Where) -> None:
        """A further step of an authentication, of which only PLAIN shows a secret."""
        if packet.properties.authentication_method == "PLAIN" and packet.properties.authentication_data:
            self._login(device, "", packet.properties.authentication_data, where)

    def subscribe(self, device: Device, filters: tuple[str, ...]) -> None:
        """Filters that a device asked for."""
        for each in filters:
            if each not in device.subscribed and self._room:
                self._room -= 1
                add(device.subscribed, each, MAX_TOPICS)

    def refused_filters(self, filters: list[str], where: Where) -> None:
        """Filters that a server refused."""
        if filters:
            self.attacks.refused_filters(filters, where)

    def count(self, device: Device, note: TopicNote, sent: bool) -> None:
        """One more message of a topic that was looked at often enough."""
        self.publishes += 1
        if sent:
            device.sent += 1
            published = device.published
            if note.topic in published:
                published[note.topic] += 1
            else:
                self._sender(device, note, None)
        else:
            device.received += 1

    def publish(
        self,
        device: Device,
        topic: bytes,
        payload: bytes,
        retain: bool,
        sent: bool,
        where: Where,
        *,
        will: bool = False,
    ) -> None:
        """A message, or a will, which is one that may yet come."""
        key = topic[:MAX_TOPIC_BYTES]
        found = self.topics.get(key)
        if found is None:
            found = self._new_topic(key, where)
        if found.looks:
            found.looks -= 1
            self._look(device, found, payload, where)
        self.commands += found.command and sent
        if sent and found.command and retain and payload:
            name = _name(key)
            note(self.retained_commands, f"{device.name} {name}", f"{device.name} retains {name}", where)
        if will:
            return
        device.retained += retain and sent
        if sent and key not in device.published:
            self._sender(device, found, where)
            self.publishes += 1
            device.sent += 1
        else:
            self.count(device, found, sent)

    def _sender(self, device: Device, found: TopicNote, where: Where | None) -> None:
        """A device publishes to a topic for the first time."""
        if len(device.published) < MAX_TOPICS and self._room:
            self._room -= 1
            device.published[found.topic] = 1
        if found.command and where is not None and found.senders and device.name not in found.senders:
            name = _name(found.topic)
            text = f"{device.name} publishes to {name}, as {', '.join(list(found.senders)[:3])} did before"
            note(self.new_senders, f"{device.name} {name}", text, where)
        add(found.senders, device.name, 8)

    def _new_topic(self, topic: bytes, where: Where) -> TopicNote:
        made = TopicNote(topic, bool(_COMMAND.search(topic)))
        if len(self.topics) < MAX_TOPIC_NOTES:
            self.topics[topic] = made
        found = _SENSITIVE.search(topic)
        if found:
            word = found[2].decode().lower()
            note(self.sensitive, word, f"topics with \u201c{word}\u201d, such as {_name(topic)}", where)
        return made

    def _look(self, device: Device, found: TopicNote, payload: bytes, where: Where) -> None:
        """Look a payload through for what it should not show, and forget it."""
        payload = payload[:MAX_LOOK_BYTES]
        if len(payload) > self._look_left:
            self.not_looked += 1
            return
        self.looked_through += 1
        self._look_left -= len(payload)
        for kind in kinds_of_secret(payload) if payload else ():
            name = _name(found.topic)
            note(self.secrets, f"{kind} {name}", f"{kind} on {name}", where)
            if kind == "signed token":
                token = masking.signed_token(payload)
                if token:
                    self.token(device, f"message on {name}", kind, token, where)


def note(seen: dict[str, Seen], key: str, text: str, where: Where) -> None:
    """Count a sighting; its first place is kept. Beyond the bound only known ones are counted."""
    before = seen.get(key)
    if before is not None:
        seen[key] = Seen(place=before.place, text=before.text, count=before.count + 1)
    elif len(seen) < MAX_SEEN:
        seen[key] = Seen(place=where[0].place(*where[1:]), text=text)


def _name(topic: bytes) -> str:
    return topic.decode(errors="replace")

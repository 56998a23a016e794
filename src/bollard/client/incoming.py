"""Messages that the server sends: aliases, the receiver's half of QoS 1 and 2, and the bounded inbox.

Theory of operation. A message of QoS 1 or 2 is *held* from its arrival until the application takes it from the
inbox; only then is it acknowledged. So the receive maximum that we announced bounds what waits unread, and what
was never read comes again after a reconnection. A QoS 2 message is *received* from its PUBREC until PUBREL.

    QoS 1:   (none) --PUBLISH--> held --taken, PUBACK--> (none)
    QoS 2:   (none) --PUBLISH--> held --taken, PUBREC--> received --PUBREL, PUBCOMP--> (none)

A PUBLISH whose identifier is already held (QoS 1: and that says DUP) or received is the same message again and is
not delivered twice.
"""

from collections import deque
from dataclasses import dataclass

from bollard.base.errors import MalformedPacket, PeerError, ProtocolError
from bollard.client.errors import QueueFull
from bollard.client.messages import MAX_TOPIC_LEVELS, Message
from bollard.wire.properties import Properties
from bollard.wire.publish import Publish, encode_ack
from bollard.wire.spec import V5, PacketType, ReasonCode
from bollard.wire.topics import check_topic_name

#: What we reckon a waiting message costs beyond its topic and payload (attack: a flood of empty messages).
MESSAGE_OVERHEAD = 500


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message in the inbox, with what its acknowledgement needs. `epoch` counts sessions."""

    message: Message
    packet_id: int
    epoch: int
    cost: int


class Inbox:
    """Messages that the application has not taken yet; bounded in number and bytes.

    `full` asks the reader to stop. Where reading has to go on nevertheless, QoS 0 messages without room are
    dropped and counted, and others are taken up to twice the bytes; then it raises `QueueFull`.
    """

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self.dropped = 0
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._queue: deque[Waiting] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def full(self) -> bool:
        return len(self._queue) >= self._max_messages or self._bytes >= self._max_bytes

    def put(self, waiting: Waiting) -> None:
        if self.full:
            if waiting.message.qos == 0:
                self.dropped += 1
                return
            if self._bytes >= 2 * self._max_bytes:
                raise QueueFull(
                    "the server sent more than fits", "Take messages faster, or raise max_queue_bytes."
                )
        self._queue.append(waiting)
        self._bytes += waiting.cost

    def take(self) -> Waiting:
        """The oldest message. Raises `IndexError` when there is none."""
        waiting = self._queue.popleft()
        self._bytes -= waiting.cost
        return waiting


class Incoming:
    """What arrived in one session; lives through reconnections, aliases do not."""

    def __init__(self, inbox: Inbox, version: int, receive_maximum: int, topic_alias_maximum: int) -> None:
        self.inbox = inbox
        self._version = version
        # 3.1.1 has no way to announce a maximum; there, the packet identifiers are the bound.
        self._receive_maximum = receive_maximum if version == V5 else 65_535
        self._alias_maximum = topic_alias_maximum if version == V5 else 0
        self._aliases: dict[int, str] = {}
        self._held: dict[int, int] = {}
        self._received: set[int] = set()
        self._epoch = 0

    def begin(self, *, resumed: bool) -> None:
        """A connection stands. Without the old session, old identifiers mean nothing. [MQTT5-3.2.2-5]"""
        self._aliases.clear()
        if not resumed:
            self._held.clear()
            self._received.clear()
            self._epoch += 1

    def publish(self, packet: Publish) -> bytes:
        """Take in a PUBLISH; returns what has to be sent at once (mostly nothing)."""
        topic = self._topic(packet)
        packet.alias = 0
        if packet.qos and self._known(packet):
            again = packet.qos == 2 and packet.packet_id in self._received
            return encode_ack(PacketType.PUBREC, packet.packet_id, 0, self._version) if again else b""
        message = Message(
            topic=topic,
            payload=packet.payload,
            qos=packet.qos,
            retain=bool(packet.retain),
            duplicate=bool(packet.dup),
            properties=packet.properties() if self._version == V5 else Properties(),
        )
        if packet.qos:
            self._count(packet)
        cost = MESSAGE_OVERHEAD + len(topic) + len(packet.payload) + len(packet.forward)
        self.inbox.put(Waiting(message, packet.packet_id, self._epoch, cost))
        return b""

    def take(self) -> tuple[Message, bytes]:
        """(the oldest message, the acknowledgement that taking it makes due)."""
        waiting = self.inbox.take()
        packet_id = waiting.packet_id
        if waiting.epoch != self._epoch or packet_id not in self._held:
            return waiting.message, b""
        if self._held.pop(packet_id) == 1:
            return waiting.message, encode_ack(PacketType.PUBACK, packet_id, 0, self._version)
        self._received.add(packet_id)
        return waiting.message, encode_ack(PacketType.PUBREC, packet_id, 0, self._version)

    def pubrel(self, packet_id: int) -> bytes:
        """The PUBCOMP. One for an identifier that we do not know is what a lost session leaves behind."""
        if packet_id in self._held:
            raise ProtocolError("PUBREL before PUBREC", "MQTT5-4.3.3-5")
        known = packet_id in self._received
        self._received.discard(packet_id)
        code = ReasonCode.SUCCESS if known else ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
        return encode_ack(PacketType.PUBCOMP, packet_id, code, self._version)

    def _known(self, packet: Publish) -> bool:
        held = self._held.get(packet.packet_id)
        if held is None:
            held = 2 if packet.packet_id in self._received else 0
        if held and held != packet.qos:
            raise ProtocolError(f"packet identifier {packet.packet_id} used again while it is in use")
        # QoS 1 without DUP is another message: the first may have expired at the server while we were away.
        return held == 2 or (held == 1 and packet.dup != 0)

    def _count(self, packet: Publish) -> None:
        if len(self._held) + len(self._received) >= self._receive_maximum:
            raise PeerError(
                ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, "more messages than our Receive Maximum", "MQTT5-3.3.4-7"
            )
        self._held[packet.packet_id] = packet.qos

    def _topic(self, packet: Publish) -> str:
        """The topic name, by its alias where it has one. [MQTT5-3.3.2-8]"""
        if packet.alias > self._alias_maximum:
            raise PeerError(
                ReasonCode.TOPIC_ALIAS_INVALID, f"topic alias {packet.alias} is above our maximum"
            )
        if packet.topic:
            topic = _decoded(packet.topic)
            if packet.alias:
                self._aliases[packet.alias] = topic
            return topic
        if packet.alias not in self._aliases:
            raise ProtocolError("neither a topic nor a topic alias that stands for one", "MQTT5-3.3.2-8")
        return self._aliases[packet.alias]


def _decoded(topic: bytes) -> str:
    try:
        text = topic.decode()
    except UnicodeDecodeError as error:
        raise MalformedPacket("a topic that is not UTF-8", "MQTT5-1.5.4-1") from error
    check_topic_name(text, MAX_TOPIC_LEVELS)
    return text

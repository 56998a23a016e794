"""Application messages on their way out, and how they look on the wire.

A `Message` is what one client published, once, however many receive it. A `Delivery` is one way in
which it goes out (QoS, RETAIN flag, subscription identifiers), shared by every receiver that gets it in
that way: its bytes are made once a protocol version and then only referred to. What differs from
receiver to receiver (packet identifier, topic alias) is written by the connection.
"""

from typing import Any

from bollard.wire.publish import property_block, publish_head
from bollard.wire.reader import encode_varint

#: What an entry of a queue weighs beside what `Message.size` says (attack: millions of empty messages).
ENTRY_BYTES = 224


class Message:
    """What was published.

    `name` and `topic` are the Topic Name as text and as its UTF-8; `forward` the MQTT 5.0 properties
    that a server passes on unaltered [MQTT5-3.3.2-4, -15, -16, -17, -18]; `expires_at` the monotonic
    second at which it expires, 0.0 for never; `author` and `client_id` say whose right to publish is
    asked again whenever the message is delivered later. `number` and `references` belong to the journal:
    0 until it is recorded there; `size` is what whoever holds it is charged, in bytes; a queue adds `ENTRY_BYTES`.
    """

    __slots__ = (
        "author",
        "client_id",
        "expires_at",
        "forward",
        "name",
        "number",
        "payload",
        "qos",
        "references",
        "retain",
        "size",
        "topic",
    )

    def __init__(
        self,
        name: str,
        topic: bytes,
        payload: bytes,
        qos: int,
        retain: int,
        author: str,
        client_id: str,
        forward: bytes,
        expires_at: float,
    ) -> None:
        self._set(name, topic, payload, qos, retain, author, client_id, forward, expires_at)

    def _set(
        self,
        name: str,
        topic: bytes,
        payload: bytes,
        qos: int,
        retain: int,
        author: str,
        client_id: str,
        forward: bytes,
        expires_at: float,
    ) -> None:
        self.name = name
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.author = author
        self.client_id = client_id
        self.forward = forward
        self.expires_at = expires_at
        self.number = 0
        self.references = 0
        self.size = len(payload) + len(topic) + len(forward) + 64

    def expired(self, now: float) -> bool:
        """Whether its Message Expiry Interval has passed. [MQTT5-3.3.2-5]"""
        return self.expires_at != 0.0 and self.expires_at <= now


def new_message(
    name: str,
    topic: bytes,
    payload: bytes,
    qos: int,
    retain: int,
    author: str,
    client_id: str,
    forward: bytes,
    expires_at: float,
) -> Message:
    """`Message(...)` without the cost of its call: compiled, the arguments travel as C values."""
    made = Message.__new__(Message)
    made._set(name, topic, payload, qos, retain, author, client_id, forward, expires_at)
    return made


class Delivery:
    """One encoding of a message: `qos`, `retain` and `identifiers` as its receivers see them.

    `group` is the shared subscription through which it came, else None; `generation` the policy
    generation under which both author and receivers were judged; `number` belongs to the journal.
    """

    __slots__ = (
        "_packet3",
        "_packet5",
        "_properties",
        "_remaining",
        "generation",
        "group",
        "identifiers",
        "message",
        "number",
        "qos",
        "retain",
    )

    def __init__(
        self,
        message: Message,
        qos: int,
        retain: int,
        identifiers: tuple[int, ...],
        generation: int,
        group: Any = None,
    ) -> None:
        self._set(message, qos, retain, identifiers, generation, group)

    def _set(
        self,
        message: Message,
        qos: int,
        retain: int,
        identifiers: tuple[int, ...],
        generation: int,
        group: Any,
    ) -> None:
        self.message = message
        self.qos = qos
        self.retain = retain
        self.identifiers = identifiers
        self.generation = generation
        self.group = group
        self.number = 0
        self._properties: bytes | None = None
        self._packet3: bytes | None = None
        self._packet5: bytes | None = None
        self._remaining = -1

    def packet(self, version: int, now: float) -> bytes:
        """The whole PUBLISH, for QoS 0."""
        if version != 5:
            packet = self._packet3
            if packet is None:
                packet = self._packet3 = self._encode(b"")
            return packet
        properties = self.properties(now)
        packet = self._packet5
        if packet is None:
            packet = self._packet5 = self._encode(encode_varint(len(properties)) + properties)
        return packet

    def _encode(self, properties: bytes) -> bytes:
        message = self.message
        rest = len(properties) + len(message.payload)
        return publish_head(message.topic, 0, self.retain, 0, rest) + properties + message.payload

    def properties(self, now: float) -> bytes:
        """The properties for receivers of 5.0, without their length."""
        message = self.message
        if message.expires_at != 0.0:
            self._count_down(now)
        properties = self._properties
        if properties is None:
            properties = self._properties = property_block(
                message.forward, self._remaining, 0, self.identifiers
            )
        return properties

    def _count_down(self, now: float) -> None:
        """The interval sent is the one received less the time spent waiting. [MQTT5-3.3.2-6]"""
        # One that was sent before may be sent again although its time is over.
        remaining = max(int(self.message.expires_at - now + 0.999), 0)
        if remaining != self._remaining:
            self._remaining = remaining
            self._properties = None
            self._packet5 = None


def new_delivery(
    message: Message, qos: int, retain: int, identifiers: tuple[int, ...], generation: int, group: Any
) -> Delivery:
    """`Delivery(...)` without the cost of its call."""
    made = Delivery.__new__(Delivery)
    made._set(message, qos, retain, identifiers, generation, group)
    return made


def _make_unkept(qos: int) -> Delivery:
    message = Message("", b"", b"", qos, 0, "", "", b"", 0.0)
    message.size = 0
    return Delivery(message, qos, 0, (), 0)


_UNKEPT = [_make_unkept(qos) for qos in range(3)]


def unkept(qos: int) -> Delivery:
    """What stands for a message on its way to a client whose session ends with its connection: such a message is
    never sent again, so that nothing of it is kept."""
    return _UNKEPT[qos]

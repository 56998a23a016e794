"""Application messages on their way out, and how they look on the wire.

A `Message` is what one client published, once, however many receive it. A `Delivery` is one way in
which it goes out (QoS, RETAIN flag, subscription identifiers), shared by every receiver that gets it in
that way: its bytes are made once a protocol version and then only referred to. What differs from
receiver to receiver (packet identifier, topic alias) is written by the connection.
"""

from typing import Any

from bollard.wire.publish import property_bytes, publish_head


class Message:
    """What was published.

    `name` and `topic` are the Topic Name as text and as its UTF-8; `forward` the MQTT 5.0 properties
    that a server passes on unaltered [MQTT5-3.3.2-4, -15, -16, -17, -18]; `expires_at` the monotonic
    second at which it expires, 0.0 for never; `author` and `client_id` say whose right to publish is
    asked again whenever the message is delivered later. `number` and `references` belong to the journal:
    0 until it is recorded there; `size` is what a queue is charged for holding it, in bytes.
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
        "_head3",
        "_head5",
        "_packet3",
        "_packet5",
        "_remaining",
        "_tail5",
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
        self._head3: bytes | None = None
        self._head5: bytes | None = None
        self._tail5: bytes | None = None
        self._packet3: bytes | None = None
        self._packet5: bytes | None = None
        self._remaining = -1

    def packet(self, version: int, now: float) -> bytes:
        """The whole PUBLISH, for QoS 0."""
        if version == 5:
            tail = self.tail(5, now)
            packet = self._packet5
            if packet is None:
                packet = self._packet5 = self.head(5) + tail
            return packet
        packet = self._packet3
        if packet is None:
            packet = self._packet3 = self.head(4) + self.message.payload
        return packet

    def tail(self, version: int, now: float) -> bytes:
        """What follows the packet identifier: properties and payload. Call it before `head`."""
        message = self.message
        if version != 5:
            return message.payload
        if message.expires_at != 0.0:
            self._count_down(now)
        tail = self._tail5
        if tail is None:
            properties = property_bytes(message.forward, self._remaining, 0, self.identifiers)
            tail = self._tail5 = properties + message.payload
        return tail

    def head(self, version: int) -> bytes:
        """What precedes the packet identifier: fixed header and Topic Name."""
        identifier = 2 if self.qos else 0
        if version == 5:
            head = self._head5
            if head is None:
                tail = self._tail5
                rest = identifier + (0 if tail is None else len(tail))
                head = self._head5 = publish_head(self.message.topic, self.qos, self.retain, 0, rest)
            return head
        head = self._head3
        if head is None:
            rest = identifier + len(self.message.payload)
            head = self._head3 = publish_head(self.message.topic, self.qos, self.retain, 0, rest)
        return head

    def adopt(self, buffer: bytes, start: int, body: int, end: int, version: int) -> None:
        """Take head and tail from the QoS 1 or 2 PUBLISH in `buffer[start:end]` as they came, for
        receivers of `version`. The caller knows that nothing in them must change."""
        after = body + 2 + len(self.message.topic)
        if version == 5:
            self._head5 = buffer[start:after]
            self._tail5 = buffer[after + 2 : end]
        else:
            self._head3 = buffer[start:after]

    def _count_down(self, now: float) -> None:
        """The interval sent is the one received less the time spent waiting. [MQTT5-3.3.2-6]"""
        remaining = int(self.message.expires_at - now + 0.999)
        if remaining != self._remaining:
            self._remaining = remaining
            self._tail5 = None
            self._head5 = None
            self._packet5 = None


def new_delivery(
    message: Message, qos: int, retain: int, identifiers: tuple[int, ...], generation: int, group: Any
) -> Delivery:
    """`Delivery(...)` without the cost of its call."""
    made = Delivery.__new__(Delivery)
    made._set(message, qos, retain, identifiers, generation, group)
    return made

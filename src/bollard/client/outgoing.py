"""Messages on their way to the server: the sender's half of QoS 0, 1 and 2. No I/O, no clock.

Theory of operation. A message waits in `_waiting` until the server's receive maximum has room for it; then it
gets a packet identifier and stands in `_unacknowledged`. PUBACK ends QoS 1. PUBREC moves QoS 2 to `_released`,
PUBCOMP ends it. After a reconnection that resumed the session, PUBREL is sent again for all of `_released`,
and everything in `_unacknowledged` waits again, first in line and in the old order, to be sent with DUP.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from bollard.base.errors import BollardError, ProtocolError
from bollard.client.errors import DeliveryUnknown, NotSupported, PublishRefused, QueueFull
from bollard.wire.properties import Properties
from bollard.wire.publish import encode_ack, encode_publish
from bollard.wire.spec import V5, PacketType

#: Messages that may wait for a connection, or for room (attack: a server that never acknowledges).
MAX_WAITING = 10_000
#: Unacknowledged messages that we keep in flight, whatever the server allows. 3.1.1 cannot tell us its limit.
MAX_INFLIGHT = {4: 20, 5: 1_000}


class PacketIds:
    """The packet identifiers of one client, shared by everything that it sends. [MQTT5-2.2.1-3]"""

    __slots__ = ("_last", "_used")

    def __init__(self) -> None:
        self._used: set[int] = set()
        self._last = 0

    def take(self) -> int:
        """An identifier that is not in use, never 0. Raises `QueueFull` when all are."""
        if len(self._used) >= 65_535:
            raise QueueFull("all 65,535 packet identifiers are in use", "Wait for acknowledgements.")
        candidate = self._last % 65_535 + 1
        while candidate in self._used:
            candidate = candidate % 65_535 + 1
        self._used.add(candidate)
        self._last = candidate
        return candidate

    def free(self, packet_id: int) -> None:
        self._used.discard(packet_id)


@dataclass(slots=True)
class Outbound:
    """One message to publish; `token` is what the application waits for. `packet_id` 0: never sent."""

    token: int
    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: Properties | None
    packet_id: int = 0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the server said in CONNACK that it takes. The defaults are those of the specification."""

    receive_maximum: int = 65_535
    maximum_qos: int = 2
    retain_available: bool = True
    max_packet_bytes: int = 268_435_460

    @classmethod
    def told(cls, properties: Properties) -> Self:
        """From the properties of a CONNACK, where what is absent has its default. [MQTT5-3.2.2.3]"""
        return cls(
            receive_maximum=properties.receive_maximum or 65_535,
            maximum_qos=2 if properties.maximum_qos is None else properties.maximum_qos,
            retain_available=properties.retain_available != 0,
            max_packet_bytes=properties.maximum_packet_size or 268_435_460,
        )


#: A finished operation: its token, and its result (a reason code below 0x80) or its error.
Outcome = tuple[int, int | BollardError]


class Outgoing:
    """The outgoing messages of one session; lives through reconnections."""

    def __init__(self, ids: PacketIds, version: int) -> None:
        self._ids = ids
        self._version = version
        self._waiting: deque[Outbound] = deque()
        self._unacknowledged: dict[int, Outbound] = {}
        self._released: dict[int, int] = {}
        self._can = Capabilities()

    @property
    def unanswered(self) -> int:
        """Messages for which the server still owes an acknowledgement."""
        return len(self._unacknowledged) + len(self._released)

    def add(self, message: Outbound) -> None:
        """Put a message in line. Raises `QueueFull` at `MAX_WAITING`."""
        if len(self._waiting) >= MAX_WAITING:
            raise QueueFull(f"{MAX_WAITING} messages wait to be sent", "Wait for some of them first.")
        self._waiting.append(message)

    def begin(self, capabilities: Capabilities, *, resumed: bool) -> tuple[bytes, list[Outcome]]:
        """A connection stands: (what to send first, what can no longer succeed). [MQTT5-4.4.0-1]"""
        self._can = capabilities
        again = list(self._unacknowledged.values())
        self._unacknowledged.clear()
        outcomes: list[Outcome] = []
        if not resumed:
            again, outcomes = self._start_over(again)
        self._waiting.extendleft(reversed(again))
        return b"".join(self._release(packet_id) for packet_id in self._released), outcomes

    def _start_over(self, sent: list[Outbound]) -> tuple[list[Outbound], list[Outcome]]:
        """The server knows nothing of our session any more: what is safe to send as new, and what has ended."""
        outcomes: list[Outcome] = []
        for packet_id, token in self._released.items():
            self._ids.free(packet_id)
            # PUBREC said that the server took the message; sending it again would deliver it twice.
            outcomes.append((token, 0))
        self._released.clear()
        again = []
        for message in sent:
            self._ids.free(message.packet_id)
            message.packet_id = 0
            if message.qos == 1:
                again.append(message)
            else:
                outcomes.append(
                    (message.token, DeliveryUnknown("the server lost the session of a QoS 2 message"))
                )
        return again, outcomes

    def flush(self) -> tuple[bytes, list[Outcome]]:
        """(bytes of every message that may be sent now, outcomes of those that are finished by that).

        Order is kept over all QoS, so a message that must wait for room holds back those behind it.
        """
        parts: list[bytes] = []
        outcomes: list[Outcome] = []
        quota = min(self._can.receive_maximum, MAX_INFLIGHT[self._version]) - self.unanswered
        while self._waiting and (self._waiting[0].qos == 0 or quota > 0):
            message = self._waiting.popleft()
            try:
                parts.append(self._encode(message))
            except BollardError as error:
                self._ids.free(message.packet_id)
                outcomes.append((message.token, error))
                continue
            if message.qos:
                quota -= 1
                self._unacknowledged[message.packet_id] = message
            else:
                outcomes.append((message.token, 0))
        return b"".join(parts), outcomes

    def _encode(self, message: Outbound) -> bytes:
        if message.qos > self._can.maximum_qos:  # [MQTT5-3.2.2-11]
            raise NotSupported(
                f"the server takes QoS {self._can.maximum_qos} at most",
                f"Publish with QoS {self._can.maximum_qos}.",
            )
        if message.retain and not self._can.retain_available:  # [MQTT5-3.2.2-14]
            raise NotSupported("the server keeps no retained messages", "Publish without retain.")
        again = message.packet_id != 0
        if message.qos and not again:
            message.packet_id = self._ids.take()
        packet = encode_publish(
            message.topic.encode(),
            message.payload,
            qos=message.qos,
            retain=int(message.retain),
            dup=int(again),  # [MQTT5-3.3.1-1] [MQTT3-3.3.1-1]
            packet_id=message.packet_id,
            version=self._version,
            properties=message.properties,
        )
        if len(packet) > self._can.max_packet_bytes:  # [MQTT5-3.2.2-15]
            raise NotSupported(
                f"a packet of {len(packet)} bytes is too large for the server",
                f"It takes {self._can.max_packet_bytes} bytes, topic and properties included.",
            )
        return packet

    def puback(self, packet_id: int, code: int, reason: str | None) -> Outcome:
        """PUBACK: the end of QoS 1. Raises `ProtocolError` when nobody waits for it."""
        message = self._unacknowledged.get(packet_id)
        if message is None or message.qos != 1:
            raise ProtocolError(f"PUBACK for packet identifier {packet_id}, which is not in flight")
        return self._finish(message, code, reason)

    def pubrec(self, packet_id: int, code: int, reason: str | None) -> tuple[bytes, Outcome | None]:
        """PUBREC: (the PUBREL to answer with, the outcome if this was a refusal). [MQTT5-4.3.3-4]"""
        if packet_id in self._released:
            return self._release(packet_id), None
        message = self._unacknowledged.get(packet_id)
        if message is None or message.qos != 2:
            raise ProtocolError(f"PUBREC for packet identifier {packet_id}, which is not in flight")
        if code >= 0x80:
            return b"", self._finish(message, code, reason)
        del self._unacknowledged[packet_id]
        self._released[packet_id] = message.token
        return self._release(packet_id), None

    def pubcomp(self, packet_id: int) -> Outcome:
        """PUBCOMP: the end of QoS 2, whatever its code: the server has nothing left of it."""
        token = self._released.pop(packet_id, None)
        if token is None:
            raise ProtocolError(f"PUBCOMP for packet identifier {packet_id}, which is not in flight")
        self._ids.free(packet_id)
        return token, 0

    def tokens(self) -> Iterator[int]:
        """Everything that somebody waits for, for the day that it cannot succeed any more."""
        yield from self._released.values()
        yield from (message.token for message in self._unacknowledged.values())
        yield from (message.token for message in self._waiting)

    def _finish(self, message: Outbound, code: int, reason: str | None) -> Outcome:
        del self._unacknowledged[message.packet_id]
        self._ids.free(message.packet_id)
        if code >= 0x80:
            return message.token, PublishRefused(message.topic, code, reason)
        return message.token, code

    def _release(self, packet_id: int) -> bytes:
        # A plain PUBREL is the same four bytes in both versions.
        return encode_ack(PacketType.PUBREL, packet_id, 0, V5)

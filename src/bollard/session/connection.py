"""The network half of a client: bytes in, bytes out, and what lives only as long as the connection.

Output gathers in an `Outbox`; the shell writes it once a turn. What must wait for the disk waits in `held`. A
connection knows nothing of routing or rights.
"""

from collections import deque
from typing import TYPE_CHECKING, Any

from bollard.base.counters import Counters
from bollard.base.types import Peer
from bollard.session.aliases import InboundAliases, OutboundAliases
from bollard.session.message import Delivery
from bollard.session.outbox import new_outbox
from bollard.session.states import CLOSED, OPENED
from bollard.wire.connect import Connect
from bollard.wire.framer import new_framer
from bollard.wire.publish import (
    packet_id_bytes,
    publish_head,
    publish_size,
    short_ack,
    short_ack_start,
)
from bollard.wire.reader import encode_varint, two_bytes
from bollard.wire.spec import MAX_REMAINING_LENGTH

if TYPE_CHECKING:
    from bollard.session.session import Session

#: First byte of a PUBACK.
PUBACK = 0x40
#: Topics whose route is kept for each connection: a bound against publishers with endless topics.
MAX_ROUTES = 1024
#: What these may weigh, their plans included (attack: long topics from many connections).
MAX_ROUTE_BYTES = 1_048_576
#: Output above which the shell is asked to write before the turn ends: what was just gathered is in the processor's
#: cache then, and what all receivers of a turn get together is not.
PRESSING_BYTES = 65_536


class Connection:
    """One transport, from accept to close.

    For the shell: `owner` is its own, `peer` where it came from, `closing` asks to write what `take_output` gives and
    close, `departed` says that the client closes as well and awaits no more bytes; the shell sets `writable` to False
    while the transport cannot take more. `window` is how many QoS 1 and 2 messages the client takes at once (its
    Receive Maximum, never above ours), `max_packet_out` the largest packet it accepts. `overflowed` says that more
    than `max_outbox_bytes` wait for a client that does not read, in spite of QoS 0 messages being dropped. `cut` says
    that nothing of what waits may reach the client any more. `asked` says that a question about its identity is open;
    `held_bytes` and `held_pubacks` count what waits for the disk. `denials` counts refusals for want of a right,
    `told_at` is when the last of them became an event; `ration` is what policy lets the client use, None for no
    limits, as of policy generation `ration_generation`. `deadline` is until when it must have become CONNECTED, or
    shown that it lives. `received` and `sent` count messages, with the bytes of their payloads. `packets` is how many
    have come. `route_bytes` is what `routes` weigh; `window_bytes` how many bytes of QoS 1 and 2 messages may be on
    their way to the client without its acknowledgement.
    """

    __slots__ = (
        "aliases_in",
        "aliases_out",
        "asked",
        "client_id",
        "closing",
        "connected_at",
        "counters",
        "cut",
        "deadline",
        "denials",
        "departed",
        "dirty",
        "dirty_list",
        "exchange",
        "framer",
        "held",
        "held_bytes",
        "held_pubacks",
        "keepalive_s",
        "last_seen",
        "max_outbox_bytes",
        "max_packet_out",
        "method",
        "outbox",
        "overflowed",
        "owner",
        "packets",
        "peer",
        "pending",
        "principal",
        "problem_information",
        "ration",
        "ration_generation",
        "reauthenticating",
        "received",
        "received_bytes",
        "route_bytes",
        "routes",
        "sent",
        "sent_bytes",
        "session",
        "size",
        "state",
        "told_at",
        "version",
        "window",
        "window_bytes",
        "writable",
    )

    def __init__(
        self,
        peer: Peer,
        max_packet_bytes: int,
        max_outbox_bytes: int,
        dirty_list: list["Connection"],
        counters: Counters,
    ) -> None:
        self._open(peer, max_packet_bytes, max_outbox_bytes, dirty_list, counters)

    def _open(
        self,
        peer: Peer,
        max_packet_bytes: int,
        max_outbox_bytes: int,
        dirty_list: list["Connection"],
        counters: Counters,
    ) -> None:
        self.owner: Any = None
        self.peer = peer
        self.state = OPENED
        self.version = 4
        self.principal = ""
        self.client_id = ""
        self.session: Session | None = None
        self.framer = new_framer(max_packet_bytes)
        self.outbox = new_outbox()
        self.size = 0
        self.dirty = False
        self.dirty_list = dirty_list
        self.counters = counters
        self.closing = False
        self.departed = False
        self.cut = False
        self.writable = True
        self.overflowed = False
        self.max_outbox_bytes = max_outbox_bytes
        self.max_packet_out = MAX_REMAINING_LENGTH + 5
        self.window = 0
        self.window_bytes = 0
        self.held: deque[tuple[int, bytes]] | None = None
        self.held_bytes = 0
        self.held_pubacks = 0
        self.routes: dict[bytes, Any] = {}
        self.route_bytes = 0
        self.aliases_in: InboundAliases | None = None
        self.aliases_out: OutboundAliases | None = None
        self.connected_at = 0.0
        self.last_seen = 0.0
        self.deadline: Any = None
        self.packets = 0
        self.keepalive_s = 0
        self.denials = 0
        self.told_at = 0.0
        self.ration: Any = None
        self.ration_generation = 0
        self.received = 0
        self.received_bytes = 0
        self.sent = 0
        self.sent_bytes = 0
        self.problem_information = True
        self.method = ""
        self.exchange: Any = None
        self.pending: Connect | None = None
        self.reauthenticating = False
        self.asked = False

    @property
    def connected(self) -> bool:
        """Whether CONNACK with success was sent and the connection still stands."""
        return self.session is not None and self.state != CLOSED

    def put(self, data: bytes) -> None:
        """Append `data` to the output. Nothing is added once the connection is closed."""
        if self.state != CLOSED:
            self.outbox.put(data)
            self._added(len(data))
            if self.size > self.max_outbox_bytes:
                self.overflowed = True

    def put_range(self, source: bytes, start: int, end: int) -> None:
        """Append the packet `source[start:end]`, for which the caller has found room."""
        if self.state != CLOSED:
            self.outbox.put_range(source, start, end)
            self._added(end - start)

    def put_identified(self, source: bytes, start: int, middle: int, packet_id: int, end: int) -> None:
        """As `put_range`, of a PUBLISH whose packet identifier, at `middle`, is to be `packet_id`."""
        if self.state != CLOSED:
            self.outbox.put_identified(source, start, middle, packet_id, end)
            self._added(end - start)

    def put_publish(
        self,
        first: int,
        topic: bytes,
        packet_id: int,
        properties: bytes | None,
        source: bytes,
        start: int,
        end: int,
        size: int,
    ) -> None:
        """As `put_range`, of a PUBLISH of `size` bytes that is made of these parts: see `Outbox.put_publish`."""
        if self.state != CLOSED:
            self.outbox.put_publish(first, topic, packet_id, properties, source, start, end)
            self._added(size)

    def put_ack(self, packet_type: int, packet_id: int) -> None:
        """As `put`, of a PUBACK, PUBREC, PUBREL or PUBCOMP that says success; behind what is held, if
        something is."""
        if self.held is not None:
            self.hold(self.held[-1][0], short_ack(packet_type, packet_id))
        elif self.state != CLOSED:
            self.outbox.put_ack(short_ack_start(packet_type), packet_id)
            self._added(4)
            if self.size > self.max_outbox_bytes:
                self.overflowed = True

    def _added(self, size: int) -> None:
        """Account for a packet of `size` bytes that is in the output now."""
        self.size += size
        self.counters.packets_sent += 1
        if not self.dirty:
            self.mark()

    def discard(self) -> None:
        """Forget the output that waits."""
        self.outbox.clear()
        self.size = 0

    def mark(self) -> None:
        """Tell the shell, once a turn, that this connection has something for it."""
        self.dirty = True
        self.dirty_list.append(self)

    def put_delivery(self, delivery: Delivery, packet_id: int, dup: int, now: float) -> bool:
        """Append a PUBLISH. False: not sent, because it exceeds what the client accepts
        [MQTT5-3.1.2-24], or because a QoS 0 message found the output full."""
        if packet_id == 0 and self.size + delivery.message.size > self.max_outbox_bytes:
            return False
        if self.aliases_out is not None or dup:
            head = self._head(delivery, packet_id, dup, now, True)
            if head is None:
                return False
            if self.state != CLOSED:
                # The payload is put by itself: attack, a large one for many receivers with aliases.
                self.outbox.put(head)
                self.outbox.put(delivery.message.payload)
                self._added(len(head) + len(delivery.message.payload))
                if packet_id == 0 and self.size > self.max_outbox_bytes:
                    self.overflowed = True
            return True
        if packet_id == 0 and delivery.group is None:
            # Encoded once for all receivers. A shared subscription has one for each delivery, so its payload is
            # not copied: attack, a large one for many groups.
            packet = delivery.packet(self.version, now)
            if len(packet) > self.max_packet_out:
                return False
            self.put(packet)
            return True
        message = delivery.message
        payload = message.payload
        properties = delivery.properties(now) if self.version == 5 else None
        size = publish_size(message.topic, delivery.qos, properties, len(payload))
        if size > self.max_packet_out:
            return False
        first = 0x30 | delivery.qos << 1 | delivery.retain
        self.put_publish(first, message.topic, packet_id, properties, payload, 0, len(payload), size)
        return True

    def encode(self, delivery: Delivery, packet_id: int, dup: int, now: float, aliased: bool) -> bytes | None:
        """A PUBLISH whose bytes fit this connection only; None when the client does not accept its size."""
        head = self._head(delivery, packet_id, dup, now, aliased)
        return None if head is None else head + delivery.message.payload

    def _head(self, delivery: Delivery, packet_id: int, dup: int, now: float, aliased: bool) -> bytes | None:
        """What precedes the payload in such a PUBLISH.

        With `aliased`, an alias is spent on a topic at its first message; later ones carry the alias
        alone, so what this returns must be sent, and at once.
        """
        message = delivery.message
        topic = message.topic
        properties = b""
        alias = 0
        known = False
        if self.version == 5:
            if aliased and self.aliases_out is not None:
                alias = self.aliases_out.known(topic)
                known = alias != 0
                if known:
                    topic = b""
                else:
                    alias = self.aliases_out.free()
            properties = delivery.properties(now)
            if alias:
                properties = b"\x23" + two_bytes(alias) + properties
            properties = encode_varint(len(properties)) + properties
        rest = len(properties) + len(message.payload) + (2 if packet_id else 0)
        head = publish_head(topic, delivery.qos, delivery.retain, dup, rest)
        if len(head) + rest > self.max_packet_out:
            return None
        if alias and not known and self.aliases_out is not None:
            self.aliases_out.assign(topic)
        if packet_id:
            head += packet_id_bytes(packet_id)
        return head + properties

    def room_for(self, size: int) -> bool:
        """Whether a QoS 1 or 2 message may go out now: within the output's bound, or alone."""
        waiting = self.size + self.held_bytes
        return waiting == 0 or waiting + size <= self.max_outbox_bytes

    def hold(self, sequence: int, data: bytes) -> None:
        """Append `data` to the output once journal batch `sequence` is on disk, in this order."""
        if self.state == CLOSED:
            return
        if self.held is None:
            self.held = deque()
        self.held.append((sequence, data))
        self.held_bytes += len(data)
        self.held_pubacks += data[0] == PUBACK
        if self.held_bytes > self.max_outbox_bytes:
            # Attack: filling memory with answers while the disk is slow.
            self.overflowed = True
            if not self.dirty:
                self.mark()

    def release(self, committed: int) -> bool:
        """Output what waited for batches up to `committed`. True when nothing waits any more."""
        held = self.held
        if held is None:
            return True
        while held and held[0][0] <= committed:
            data = held.popleft()[1]
            self.held_bytes -= len(data)
            self.held_pubacks -= data[0] == PUBACK
            self.put(data)
        if held:
            return False
        self.held = None
        return True

    def take_output(self) -> bytes:
        """Everything that waits to be written, in one piece; b"" if nothing."""
        data = self.outbox.take()
        self.counters.bytes_sent += len(data)
        self.size = 0
        return data

    def take_piece(self) -> bytes | bytearray:
        """What is to be written next, see `Outbox.take_piece`; b"" if nothing."""
        piece = self.outbox.take_piece()
        size = len(piece)
        self.counters.bytes_sent += size
        self.size -= size
        return piece


def new_connection(
    peer: Peer,
    max_packet_bytes: int,
    max_outbox_bytes: int,
    dirty_list: list[Connection],
    counters: Counters,
) -> Connection:
    """`Connection(...)` without the cost of its call."""
    made = Connection.__new__(Connection)
    made._open(peer, max_packet_bytes, max_outbox_bytes, dirty_list, counters)
    return made

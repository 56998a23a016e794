# cython: boundscheck=False, wraparound=False
"""Packet identifiers of messages sent to one client, and where each exchange stands.

`sent` holds deliveries that wait for PUBACK or PUBREC, `released` the identifiers whose PUBREC came and
whose PUBCOMP has not. Both are dicts, so their order is the order of sending, which is the order in which
a resumed session sends again. [MQTT5-4.6.0-1] [MQTT3-4.6.0-1]

Of QoS 1 messages that are never sent again nothing is kept but their identifiers. As long as nothing else is on its
way these are a run of numbers, of which clients acknowledge the first: so the run is two numbers. Whatever does not
fit makes it entries of `sent`.
"""

from collections import deque

from bollard.session.message import Delivery, unkept

MAX_PACKET_ID = 65_535
#: The identifiers as objects, made once: keys of what is on its way.
PACKET_IDS = list(range(MAX_PACKET_ID + 1))
_UNKEPT = unkept(1)


def packet_key(packet_id: int) -> int:
    """A Packet Identifier as an object: always the same."""
    return PACKET_IDS[packet_id]


class Inflight:
    """The server-to-client half of QoS 1 and 2 for one session.

    `again` holds the identifiers that a resumed session has yet to send again, None when there are none:
    a client that comes back may take fewer at once than it did before. `bytes` is what `sent` and
    `released` hold of messages.
    """

    __slots__ = ("_first", "_run", "again", "bytes", "last_id", "released", "sent")

    def __init__(self) -> None:
        self.sent: dict[int, Delivery] = {}
        self.released: dict[int, Delivery] = {}
        self.again: deque[int] | None = None
        self.bytes = 0
        self.last_id = 0
        self._first = 0
        self._run = 0

    def count(self) -> int:
        """Exchanges begun on this connection and not finished. [MQTT5-3.3.4-9]"""
        count = self._run + len(self.sent) + len(self.released)
        return count if self.again is None else count - len(self.again)

    def room_for(self, delivery: Delivery, window: int, window_bytes: int) -> bool:
        """Whether an exchange may begin: within the bounds of number and bytes, or as the only one.

        Attack: a client that reads everything and acknowledges nothing, so that large messages pile up.
        """
        count = self.count()
        return count < window and (count == 0 or self.bytes + delivery.message.size <= window_bytes)

    def keep(self, packet_id: int, delivery: Delivery) -> None:
        """Take up an exchange that a store has kept."""
        self._spell_out()
        self.sent[packet_id] = delivery
        self.bytes += delivery.message.size
        self.last_id = packet_id

    def waiting(self, packet_id: int) -> Delivery | None:
        """What waits for PUBACK or PUBREC under `packet_id`."""
        self._spell_out()
        return self.sent.get(PACKET_IDS[packet_id])

    def acknowledge(self, packet_id: int) -> Delivery | None:
        """PUBACK has come, or the message will never be sent: the exchange that ends with it, if there is one."""
        if self._run:
            if packet_id == self._first:
                self._first += 1
                self._run -= 1
                return _UNKEPT
            self._spell_out()
        delivery = self.sent.pop(PACKET_IDS[packet_id], None)
        if delivery is not None:
            self.bytes -= delivery.message.size
        return delivery

    def release(self, packet_id: int, delivery: Delivery) -> None:
        """PUBREC has come: the exchange waits for PUBCOMP from now on."""
        key = PACKET_IDS[packet_id]
        del self.sent[key]
        self.released[key] = delivery

    def complete(self, packet_id: int) -> Delivery | None:
        """PUBCOMP has come: the exchange that ends with it, if there is one."""
        delivery = self.released.pop(PACKET_IDS[packet_id], None)
        if delivery is not None:
            self.bytes -= delivery.message.size
        return delivery

    def skip(self, packet_id: int) -> None:
        """It need not be sent again any more: it was, or the client has answered before it was."""
        again = self.again
        if again is not None and packet_id in again:
            again.remove(packet_id)
            if not again:
                self.again = None

    def take(self, delivery: Delivery) -> int:
        """Give `delivery` a Packet Identifier that is not in use. [MQTT5-2.2.1-4] [MQTT3-2.3.1-4]

        The caller keeps `count()` below 65,535, so a free one always exists.
        """
        packet_id = self.last_id
        sent = self.sent
        if delivery is _UNKEPT and packet_id < MAX_PACKET_ID and not sent and not self.released:
            packet_id += 1
            if self._run == 0:
                self._first = packet_id
            self._run += 1
            self.last_id = packet_id
            return packet_id
        self._spell_out()
        before = len(sent)
        while True:
            packet_id = packet_id + 1 if packet_id < MAX_PACKET_ID else 1
            key = PACKET_IDS[packet_id]
            if self.released and key in self.released:
                continue
            sent.setdefault(key, delivery)
            if len(sent) > before:
                self.last_id = packet_id
                self.bytes += delivery.message.size
                return packet_id

    def _spell_out(self) -> None:
        """Make the run entries like all others. What comes next goes there as well until all are gone, so that this
        is done once for each of them at most."""
        for packet_id in range(self._first, self._first + self._run):
            self.sent[PACKET_IDS[packet_id]] = _UNKEPT
        self._run = 0

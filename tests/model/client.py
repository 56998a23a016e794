"""A client that keeps its own books: what it received, what it still has to acknowledge, and that nothing is wrong.

It is the receiving half of MQTT as the specification describes it, and fails the test as soon as the broker
breaks a rule towards it.
"""

from dataclasses import dataclass

from bollard.base.types import Action
from bollard.wire.codec import Packet
from bollard.wire.publish import Ack, Publish
from bollard.wire.spec import PacketType
from support.memory import Device

from .reference import Entry, Reference, Slot

PUBACK, PUBREC, PUBREL, PUBCOMP = (
    PacketType.PUBACK,
    PacketType.PUBREC,
    PacketType.PUBREL,
    PacketType.PUBCOMP,
)


@dataclass
class Pending:
    """A QoS 1 or 2 message that the client has not finished. `released`: PUBREL came; `optional`: the broker
    may have dropped it, or given it to another member of a group."""

    number: int
    qos: int
    topic: str = ""
    released: bool = False
    optional: bool = False


class Client:
    """One client through all its connections. `pending` lives as long as its session."""

    def __init__(self, slot: Slot, reference: Reference) -> None:
        self.slot = slot
        self.reference = reference
        self.device: Device | None = None
        self.version = 5
        self.window = 0
        self.pending: dict[int, Pending] = {}
        self.aliases: dict[int, bytes] = {}
        self.latest: dict[tuple[Slot, str, int], int] = {}
        #: Identifiers that went out on this connection and are not finished.
        self.in_flight: set[int] = set()
        self.next_id = 0

    @property
    def online(self) -> bool:
        return self.device is not None and not self.device.closed

    def joined(self, device: Device, version: int, window: int, present: bool) -> None:
        self.device, self.version, self.window = device, version, window
        self.aliases, self.in_flight = {}, set()
        if not present:
            self.pending, self.latest = {}, {}

    def left(self) -> None:
        """The connection is gone: unfinished QoS 1 messages of a group may go to another member."""
        for pending in self.pending.values():
            pending.optional |= pending.qos == 1 and pending.number in self.reference.jobs

    def rights_changed(self) -> None:
        """What the client may no longer receive, or its author publish, is not sent again."""
        for pending in self.pending.values():
            if pending.qos == 1 and not self.reference.deliverable(pending.number, pending.topic, self.slot):
                pending.optional = True

    def packet_id(self) -> int:
        self.next_id = self.next_id % 65_535 + 1
        return self.next_id

    # Receiving ---------------------------------------------------------------------------------------

    def absorb(self) -> None:
        """Take in everything that came, and check it."""
        if self.device is None:
            return
        for packet in self.device.take():
            self.receive(packet)

    def receive(self, packet: Packet) -> None:
        if isinstance(packet, Publish):
            self.receive_publish(packet)
        elif isinstance(packet, Ack) and packet.packet_type == PUBREL:
            pending = self.pending.get(packet.packet_id)
            if pending is not None:
                assert pending.qos == 2, "PUBREL for a QoS 1 message"
                pending.released = True
            else:
                # The server ends an exchange of which the client knows nothing.
                self.pending[packet.packet_id] = Pending(0, 2, released=True)
            self.in_flight.add(packet.packet_id)

    def receive_publish(self, packet: Publish) -> None:
        topic = self.topic_of(packet)
        number = int(packet.payload)
        reference = self.reference
        # A will needed its own right when it was due; afterwards its author's right to publish is asked.
        allowed = reference.deliverable(number, topic, self.slot) or (
            number in reference.wills and reference.may(self.slot[0], Action.RECEIVE, topic)
        )
        assert allowed, f"{number} was delivered without right"
        known = self.pending.get(packet.packet_id) if packet.qos else None
        if known is not None and known.number == number and packet.dup:
            assert known.qos == packet.qos
            assert not known.released, "PUBLISH again after PUBREL"
        else:
            assert known is None or known.qos == 1, f"identifier {packet.packet_id} is in use"
            self.first(packet, number, topic)
            if packet.qos:
                self.pending[packet.packet_id] = Pending(number, packet.qos, topic)
        if packet.qos:
            self.in_flight.add(packet.packet_id)
            assert len(self.in_flight) <= self.window, "more in flight than Receive Maximum"

    def topic_of(self, packet: Publish) -> str:
        if packet.alias and packet.topic:
            assert packet.alias not in self.aliases
            self.aliases[packet.alias] = packet.topic
        return (packet.topic or self.aliases[packet.alias]).decode()

    def first(self, packet: Publish, number: int, topic: str) -> None:
        """A message that was not delivered here before: it must be owed."""
        session = self.reference.sessions[self.slot]
        # What must come is taken to have come before what may.
        for entry in sorted(session.owed, key=lambda entry: entry.optional):
            if entry.number == number and self.fits(entry, packet):
                session.owed.remove(entry)
                assert entry.topic == topic
                assert entry.expires_at > self.reference.now, "an expired message was delivered"
                self.in_order(packet, number, topic)
                return
        job = self.reference.jobs.get(number)
        # What was given to a member stays with it when it unsubscribes.
        if job is not None and any(g in session.shares or self.slot in m for g, m in job.members.items()):
            job.holders.append((self.slot, packet.qos))
            assert job.topic == topic
            assert job.expires_at > self.reference.now, "an expired job was handed out"
            assert packet.qos <= job.qos
            assert job.optional or job.fair(), f"a job went to more than one member: {job}"
            return
        raise AssertionError(f"{number} at QoS {packet.qos} is not owed to {self.slot}: {session.owed}")

    def fits(self, entry: Entry, packet: Publish) -> bool:
        identifiers = entry.identifiers if self.version == 5 else ()
        return (entry.qos, entry.retain, identifiers) == (
            packet.qos,
            bool(packet.retain),
            tuple(sorted(packet.identifiers)),
        )

    def in_order(self, packet: Publish, number: int, topic: str) -> None:
        """Messages of one author on one topic at one QoS come in the order in which they were published."""
        if packet.retain or number in self.reference.wills:
            return
        key = (self.reference.authors[number], topic, packet.qos)
        assert self.latest.get(key, 0) < number, f"{number} overtook {self.latest[key]}"
        self.latest[key] = number

    # Answering ---------------------------------------------------------------------------------------

    def acknowledge(self, count: int) -> None:
        """The next step of up to `count` exchanges, oldest first."""
        device = self.device
        assert device is not None
        for packet_id in list(self.pending)[:count]:
            if packet_id not in self.in_flight:
                continue
            pending = self.pending[packet_id]
            if pending.qos == 1:
                self.finish(packet_id)
                device.ack(PUBACK, packet_id)
            elif pending.released:
                self.finish(packet_id)
                device.ack(PUBCOMP, packet_id)
            else:
                device.ack(PUBREC, packet_id)
            self.absorb()

    def finish(self, packet_id: int) -> None:
        del self.pending[packet_id]
        self.in_flight.discard(packet_id)

"""The engine in memory, with devices that speak whole packets to it. Time passes when a test says so.

`House` stands for the shell: it answers questions, commits the journal, takes output and closes. A `Device`
is one network connection of one client. What the engine wrote is decoded with `bollard.wire`, so a device
sees packets, not bytes.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from bollard.base.authentication import Accepted, Answer, Question
from bollard.base.events import Event
from bollard.base.types import Peer
from bollard.engine.broker import Broker
from bollard.engine.journal import Batch
from bollard.engine.limits import Limits
from bollard.engine.ports import Authorizer
from bollard.session.connection import Connection
from bollard.session.session import Session
from bollard.wire.codec import Packet, decode, encode
from bollard.wire.connect import Connack, Connect, Disconnect, Pingreq, Will
from bollard.wire.framer import Framer
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack, Publish, encode_publish
from bollard.wire.spec import MAX_REMAINING_LENGTH, PacketType
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter, Unsuback, Unsubscribe

from .rights import Rights

START = 1000.0

P = TypeVar("P")


class Tokens:
    """Identifiers that are unique, long enough, and the same in every run."""

    def __init__(self) -> None:
        self.count = 0

    def token(self) -> str:
        self.count += 1
        return f"auto{self.count:020}"


def user_name(question: Question) -> Answer:
    """Everyone is who the user name says; without one, "anonymous"."""
    return Accepted(question.username or "anonymous")


class House:
    """A broker and the shell around it.

    `settle` does what the shell does after each read. `commits` False leaves the journal's batches to the
    test, which then calls `commit`. `answers` False leaves questions in `questions`.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        authorizer: Authorizer | None = None,
        *,
        durable: bool = False,
        answerer: Callable[[Question], Answer] = user_name,
        response_information: str = "",
        server_reference: str = "",
    ) -> None:
        self.now = START
        self.answerer = answerer
        self.answers = True
        self.commits = True
        self.questions: list[Question] = []
        self.batches: list[tuple[int, Batch]] = []
        self.events: list[Event] = []
        self.devices: list[Device] = []
        self.broker = Broker(
            limits=limits or Limits(),
            authorizer=authorizer or Rights(),
            entropy=Tokens(),
            now=self.now,
            durable=durable,
            response_information=response_information,
            server_reference=server_reference,
        )

    def open(self, version: int = 5, address: str = "192.0.2.1") -> "Device":
        """A new network connection on which nothing was sent."""
        device = Device(self, self.broker.accept(Peer(address=address), self.now), version)
        device.connection.owner = device
        self.devices.append(device)
        return device

    def connect(self, client_id: str = "", version: int = 5, **options: object) -> "Device":
        """A client that was let in; `options` are those of `connect`."""
        device = self.open(version)
        device.send(connect(client_id or f"client{len(self.devices)}", version, **options))
        connack = device.one(Connack)
        assert connack.code == 0, f"refused with 0x{connack.code:02X}"
        device.connack = connack
        return device

    def advance(self, seconds: float) -> None:
        """Let time pass, acting on everything that falls due on the way."""
        end = self.now + seconds
        while self.broker.next_deadline() <= end:
            self.now = max(self.now, self.broker.next_deadline())
            self.broker.tick(self.now)
            self.settle()
        self.now = end
        self.broker.tick(end)
        self.settle()

    def settle(self) -> None:
        """Go on until the engine has nothing more for the shell."""
        while self._turn():
            pass

    def _turn(self) -> bool:
        self.questions += self.broker.take_questions()
        busy = bool(self.questions) and self.answers
        if self.answers:
            asked, self.questions = self.questions, []
            for question in asked:
                self.broker.answer(question, self.answerer(question), self.now)
        self._journal()
        if self.commits:
            busy = self.commit() or busy
        dirty = self.broker.drain()
        for connection in dirty:
            connection.owner._flush()
        self.events += self.broker.take_events()
        return busy or bool(dirty)

    def _journal(self) -> None:
        sequence, records = self.broker.take_journal()
        if records:
            self.batches.append((sequence, records))

    def commit(self) -> bool:
        """All batches taken so far are on disk; False when there were none."""
        self._journal()
        batches, self.batches = self.batches, []
        if batches:
            self.broker.committed(batches[-1][0], self.now)
        return bool(batches)

    def told(self, kind: type[P]) -> list[P]:
        """The events of one kind since the start."""
        self.events += self.broker.take_events()
        return [event for event in self.events if isinstance(event, kind)]

    def session(self, client_id: str, principal: str = "anonymous") -> Session | None:
        return self.broker.core.find(principal, client_id)


class Device:
    """One end of one connection. `packets` is what came and was not asked for yet.

    `reading` False makes it a slow reader: the transport takes nothing more from the engine.
    `acknowledges` True answers QoS 1 and 2 as a good client does.
    """

    def __init__(self, house: House, connection: Connection, version: int) -> None:
        self.house = house
        self.connection = connection
        self.version = version
        self.packets: list[Packet] = []
        self.raw: list[bytes] = []
        self.connack: Connack | None = None
        self.closed = False
        self.acknowledges = False
        self.reading = True
        self._framer = Framer(MAX_REMAINING_LENGTH + 5)
        self._packet_id = 0

    # Sending -----------------------------------------------------------------------------------------

    def send(self, *packets: Packet | bytes) -> None:
        """Packets, or bytes as they are, in one piece."""
        self.feed(*packets)
        self.house.settle()

    def feed(self, *packets: Packet | bytes) -> None:
        """As `send`, but the shell does not get its turn."""
        data = b"".join(p if isinstance(p, bytes) else encode(p, self.version) for p in packets)
        if not self.closed:
            self.house.broker.receive(self.connection, data, self.house.now)

    def packet_id(self) -> int:
        self._packet_id = self._packet_id % 65_535 + 1
        return self._packet_id

    def publish(self, topic: str, payload: bytes = b"x", *, qos: int = 0, **options: object) -> int:
        """One PUBLISH; its Packet Identifier. `options` are those of `publish`."""
        packet_id = int(str(options.pop("packet_id", self.packet_id() if qos else 0)))
        self.send(publish(self.version, topic, payload, qos=qos, packet_id=packet_id, **options))
        return packet_id

    def subscribe(
        self, *filters: str | SubscribeFilter, qos: int = 0, identifier: int = 0
    ) -> tuple[int, ...]:
        """The codes of SUBACK; what else came stays in `packets`."""
        self.send(subscribe(*filters, qos=qos, identifier=identifier, packet_id=self.packet_id()))
        return self.one(Suback).codes

    def unsubscribe(self, *filters: str) -> tuple[int, ...]:
        self.send(Unsubscribe(self.packet_id(), filters))
        return self.one(Unsuback).codes

    def ack(self, kind: PacketType, packet_id: int, code: int = 0) -> None:
        self.send(Ack(kind, packet_id, code))

    def ping(self) -> None:
        self.send(Pingreq())

    def leave(self, code: int = 0, **properties: object) -> None:
        """DISCONNECT, and the end of the transport."""
        self.send(Disconnect(code, Properties(**properties)))  # type: ignore[arg-type]
        self.drop()

    def drop(self) -> None:
        """The network breaks."""
        self.closed = True
        self.house.broker.lost(self.connection, self.house.now)
        self.house.settle()

    # Receiving ---------------------------------------------------------------------------------------

    def _flush(self) -> None:
        if not self.reading:
            self.connection.writable = False
            return
        data = self.connection.take_output()
        if not self.closed:
            self._take(data)
        if self.connection.closing and not self.closed:
            self.closed = True
            self.house.broker.lost(self.connection, self.house.now)

    def read_again(self) -> None:
        """A slow reader takes everything that waits."""
        self.reading = True
        self.house.broker.writable(self.connection, self.house.now)
        self.house.settle()

    def _take(self, data: bytes) -> None:
        framer = self._framer
        framer.feed(data)
        while framer.next():
            packet = decode(framer.buffer, framer.header, framer.body, framer.end, self.version)
            self.raw.append(framer.buffer[framer.start : framer.end])
            self.packets.append(packet)
            if self.acknowledges:
                self._acknowledge(packet)

    def _acknowledge(self, packet: Packet) -> None:
        if isinstance(packet, Publish) and packet.qos:
            kind = PacketType.PUBACK if packet.qos == 1 else PacketType.PUBREC
            self.feed(Ack(kind, packet.packet_id))
        elif isinstance(packet, Ack) and packet.packet_type == PacketType.PUBREL:
            self.feed(Ack(PacketType.PUBCOMP, packet.packet_id))

    def take(self) -> list[Packet]:
        """Everything that came since the last look."""
        found, self.packets, self.raw = self.packets, [], []
        return found

    def one(self, kind: type[P]) -> P:
        """The first packet of a kind, taken out; there must be one."""
        for index, packet in enumerate(self.packets):
            if isinstance(packet, kind):
                del self.packets[index], self.raw[index]
                return packet
        raise AssertionError(f"no {kind.__name__} among {self.packets}, closed={self.closed}")

    def messages(self) -> list[Publish]:
        """Every PUBLISH since the last look; other packets are dropped."""
        return [packet for packet in self.take() if isinstance(packet, Publish)]

    def payloads(self) -> list[bytes]:
        return [packet.payload for packet in self.messages()]

    def acks(self) -> list[tuple[PacketType, int, int]]:
        """(type, Packet Identifier, reason code) of each acknowledgement since the last look."""
        found = [packet for packet in self.take() if isinstance(packet, Ack)]
        return [(PacketType(ack.packet_type), ack.packet_id, ack.reason_code) for ack in found]


# Packets -----------------------------------------------------------------------------------------------


def connect(
    client_id: str,
    version: int = 5,
    *,
    principal: str | None = None,
    clean: bool = True,
    keepalive_s: int = 60,
    will: Will | None = None,
    expiry: int | None = None,
    **properties: object,
) -> Connect:
    """A CONNECT; for 3.1.1, a session is kept when `clean` is False."""
    if version == 5 and expiry is not None:
        properties["session_expiry_interval"] = expiry
    return Connect(
        version=version,
        clean_start=clean,
        keepalive_s=keepalive_s,
        client_id=client_id,
        username=principal,
        will=will,
        properties=Properties(**properties),  # type: ignore[arg-type]
    )


def publish(
    version: int,
    topic: str,
    payload: bytes = b"x",
    *,
    qos: int = 0,
    retain: bool = False,
    dup: bool = False,
    packet_id: int = 0,
    **properties: object,
) -> bytes:
    return encode_publish(
        topic.encode(),
        payload,
        qos=qos,
        retain=int(retain),
        dup=int(dup),
        packet_id=packet_id,
        version=version,
        properties=Properties(**properties) if properties else None,  # type: ignore[arg-type]
    )


def subscribe(
    *filters: str | SubscribeFilter, qos: int = 0, identifier: int = 0, packet_id: int = 1
) -> Subscribe:
    wanted = tuple(f if isinstance(f, SubscribeFilter) else SubscribeFilter(f, qos) for f in filters)
    return Subscribe(
        packet_id, wanted, Properties(subscription_identifiers=(identifier,) if identifier else ())
    )


def topics(messages: Iterable[Publish]) -> list[str]:
    return [message.topic.decode() for message in messages]

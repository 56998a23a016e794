"""Conversations with a broker, written as a script: who sends what, and what has to come back.

A `Client` is one end of one network connection. It runs against the engine in memory, where time is an
argument, or against a daemon over a socket; a script does not see the difference. Packets go out through
the codec of `bollard.wire`, or as raw bytes where they break the rules. No verdicts live here beyond
"that is not what was expected".
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Protocol

from bollard.wire.codec import Packet, decode, encode
from bollard.wire.connect import Connack, Disconnect, Pingreq, Pingresp
from bollard.wire.framer import Framer
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack, Publish, encode_publish
from bollard.wire.spec import MAX_REMAINING_LENGTH
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter, Unsuback, Unsubscribe

from .packets import V5, V311, Message, connect, lasting, message, properties_of, sub


class Link(Protocol):
    """The transport below a client. `ended`: the end has been read, or it was broken off."""

    ended: bool

    def write(self, data: bytes) -> None: ...

    def read(self, wait: bool) -> bytes:
        """What has arrived; with `wait`, at least one byte unless nothing comes or the peer has closed."""
        ...

    def at_end(self) -> bool:
        """Has the broker closed the connection, with everything before that read? Waits for it."""
        ...

    def drop(self) -> None:
        """Break the connection as a failing network does."""
        ...


class Broker(ABC):
    """What a script connects to. `clients` are all connections ever made, in order."""

    def __init__(self) -> None:
        self.clients: list[Client] = []

    @abstractmethod
    def dial(self) -> Link: ...

    def client(self, version: int) -> "Client":
        """A new network connection on which nothing has been sent."""
        made = Client(self, self.dial(), version)
        self.clients.append(made)
        return made

    def connected(self, version: int, client_id: str = "", **options: Any) -> "Client":
        """A new client that has been accepted; `options` as for `connect`."""
        made = self.client(version)
        made.connect(client_id or f"client{len(self.clients)}", **options)
        return made

    def advance(self, seconds: float) -> None:
        """Let time pass, with everything that falls due on the way."""
        raise NotImplementedError("the daemon lives in real time")

    @abstractmethod
    def settle(self) -> None:
        """Return when the broker has dealt with everything that was sent so far."""


class Client:
    """One end of one network connection, speaking `version`."""

    def __init__(self, broker: Broker, link: Link, version: int) -> None:
        self.broker = broker
        self.link = link
        self.version = version
        self.live = False
        self._framer = Framer(MAX_REMAINING_LENGTH + 5)
        self._inbox: list[bytes] = []

    # sending

    def send(self, *packets: "Packet | Message | bytes") -> None:
        """Write packets one after the other, in one piece; bytes go out as they are."""
        self.link.write(b"".join(self._encode(packet) for packet in packets))

    def _encode(self, packet: "Packet | Message | bytes") -> bytes:
        if isinstance(packet, bytes):
            return packet
        if isinstance(packet, Message):
            return self._encode_message(packet)
        return encode(packet, self.version)

    def _encode_message(self, message: Message) -> bytes:
        properties = message.properties
        properties.topic_alias = message.alias or None
        encoded = encode_publish(
            message.topic.encode(),
            message.payload,
            qos=message.qos,
            retain=message.retain,
            dup=message.dup,
            packet_id=message.packet_id,
            version=self.version,
            properties=properties if self.version == V5 else None,
        )
        properties.topic_alias = None
        return encoded

    def publish(self, topic: str, payload: bytes = b"", **options: Any) -> None:
        """Send one PUBLISH; `options` as for `message`."""
        self.send(message(topic, payload, **options))

    # receiving

    def raw(self) -> bytes:
        """The next whole packet as bytes; the script fails when none comes."""
        if not self._fill(wait=True):
            state = "closed the connection" if self.link.at_end() else "sent nothing"
            raise AssertionError(f"a packet was expected, but the broker {state}")
        return self._inbox.pop(0)

    def until_end(self) -> list[bytes]:
        """Every packet up to the end of the connection, as bytes."""
        while self._fill(wait=True, beyond=len(self._inbox)):
            pass
        found, self._inbox = self._inbox, []
        self.expect_closed()
        return found

    def everything(self) -> list[bytes]:
        """Every packet that waits, as bytes, whether or not the connection has ended."""
        self.barrier()
        return self._waiting()

    def receive(self) -> "Packet | Message":
        """The next packet, decoded."""
        return self._decode(self.raw())

    def expect(self, *packets: "Packet | Message") -> None:
        """Exactly these packets come next, in this order.

        A successful PUBACK or PUBREC may also say that nobody has subscribed (0x10).
        """
        for packet in packets:
            found = self.receive()
            if isinstance(found, Ack) and found.reason_code == NOBODY and found.packet_type in (4, 5):
                found = Ack(found.packet_type, found.packet_id)
            assert found == packet, f"expected {packet}, found {found}"

    def expect_bytes(self, text: str) -> None:
        """The next packet is exactly these bytes, in hexadecimal."""
        found = self.raw()
        assert found == bytes.fromhex(text), f"expected {text}, found {found.hex(' ')}"

    def expect_message(self, topic: str, payload: bytes = b"", **options: Any) -> Message:
        """A PUBLISH comes next: all of it as described, but for a packet identifier that was not named."""
        found = self.next_message()
        wanted = message(topic, payload, **{"packet_id": found.packet_id, **options})
        assert found == wanted, f"expected {wanted}, found {found}"
        assert bool(found.packet_id) == bool(found.qos), f"packet identifier {found.packet_id}"
        return found

    def next_message(self) -> Message:
        """A PUBLISH comes next, whatever is in it."""
        found = self.receive()
        assert isinstance(found, Message), f"expected a PUBLISH, found {found}"
        return found

    def next_ack(self) -> Ack:
        """An acknowledgement of a PUBLISH comes next, whatever it says."""
        found = self.receive()
        assert isinstance(found, Ack), f"expected an acknowledgement, found {found}"
        return found

    def messages(self) -> list[Message]:
        """Every PUBLISH that waits, up to now; other packets fail the script."""
        found = [self._decode(packet) for packet in self._waiting()]
        assert all(isinstance(packet, Message) for packet in found), f"not only messages: {found}"
        return [packet for packet in found if isinstance(packet, Message)]

    def expect_nothing(self) -> None:
        """Nothing has come, and the connection is open."""
        found = [self._decode(packet) for packet in self._waiting()]
        assert not found, f"expected nothing, found {found}"
        assert not self.link.ended, "the connection is closed"

    def expect_closed(self, code: int | None = None) -> None:
        """The broker has closed. In 5.0 a DISCONNECT with `code` came before, in 3.1.1 nothing did.

        `code` None means that nothing comes before the end, in either version.
        """
        if code is not None and self.version == V5:
            found = self.receive()
            assert isinstance(found, Disconnect), f"expected DISCONNECT, found {found}"
            assert found.code == code, f"expected DISCONNECT 0x{code:02X}, found 0x{found.code:02X}"
            assert found.properties.session_expiry_interval is None, "only a client may send that"
        self._fill(wait=False)
        assert not self._inbox, f"before the end came {[packet.hex(' ') for packet in self._inbox]}"
        assert self.link.at_end(), "the connection is still open"
        self.live = False

    def expect_refused(self, code: int) -> Connack | None:
        """CONNECT was refused: CONNACK with `code` where the version has a word for it, then the end."""
        found = None
        if self.version == V5 or code in RETURN_CODES:
            first = self.raw()
            if self.version == V311:
                assert first == bytes((0x20, 2, 0, RETURN_CODES[code])), first.hex(" ")
            answer = self._decode(first)
            assert isinstance(answer, Connack), f"expected CONNACK, found {answer}"
            assert not answer.session_present
            if self.version == V5:
                assert answer.code == code, f"expected CONNACK 0x{code:02X}, found 0x{answer.code:02X}"
            found = answer
        self.expect_closed()
        return found

    # the usual steps

    def connect(self, client_id: str, **options: Any) -> Connack:
        """Send CONNECT and be accepted; options as for the function `connect`."""
        self.send(connect(self.version, client_id, **options))
        return self.expect_connack()

    def expect_connack(self, session_present: bool | None = None) -> Connack:
        """CONNECT was accepted."""
        found = self.receive()
        assert isinstance(found, Connack), f"expected CONNACK, found {found}"
        assert found.code == 0, f"refused with 0x{found.code:02X}"
        if session_present is not None:
            assert found.session_present is session_present
        self.live = True
        return found

    def subscribe(self, *filters: "str | SubscribeFilter", packet_id: int = 10, **options: Any) -> Suback:
        """Send SUBSCRIBE and be granted everything; `qos` and other options serve for filters that are text."""
        identifier = options.pop("subscription_identifier", None)
        wanted = [item if isinstance(item, SubscribeFilter) else sub(item, **options) for item in filters]
        properties = properties_of(subscription_identifiers=(identifier,)) if identifier else Properties()
        self.send(Subscribe(packet_id, tuple(wanted), properties))
        found = self.receive()
        assert isinstance(found, Suback), f"expected SUBACK, found {found}"
        assert found.packet_id == packet_id
        assert list(found.codes) == [item.qos for item in wanted]
        return found

    def unsubscribe(self, *filters: str, packet_id: int = 11) -> Unsuback:
        """Send UNSUBSCRIBE and have it acknowledged."""
        self.send(Unsubscribe(packet_id, filters, Properties()))
        found = self.receive()
        assert isinstance(found, Unsuback), f"expected UNSUBACK, found {found}"
        assert found.packet_id == packet_id
        return found

    def ping(self) -> None:
        """One PINGREQ, and its PINGRESP comes next."""
        self.send(Pingreq())
        found = self.receive()
        assert isinstance(found, Pingresp), f"expected PINGRESP, found {found}"

    def disconnect(self, code: int = 0, **properties: Any) -> None:
        """Say goodbye; the broker closes the connection."""
        self.send(Disconnect(code, properties_of(**properties)))
        self.expect_closed()

    def drop(self) -> None:
        """The network fails."""
        self.live = False
        self.link.drop()
        self.broker.settle()

    def barrier(self) -> None:
        """All that was sent here has been dealt with: PINGRESP has come; what came before it waits."""
        self._fill(wait=False)
        known = len(self._inbox)
        self.send(Pingreq())
        while PINGRESP not in self._inbox[known:]:
            if not self._fill(wait=True, beyond=len(self._inbox)):
                return
        del self._inbox[known + self._inbox[known:].index(PINGRESP)]

    # inside

    def _waiting(self) -> list[bytes]:
        self.broker.settle()
        self._fill(wait=False)
        found, self._inbox = self._inbox, []
        return found

    def _fill(self, wait: bool, beyond: int = 0) -> bool:
        """Take in what has arrived; with `wait`, until there are more than `beyond` packets or the end."""
        while True:
            wanted = wait and len(self._inbox) <= beyond
            data = self.link.read(wanted)
            self._inbox.extend(self._split(data))
            if not data:
                return len(self._inbox) > beyond

    def _split(self, data: bytes) -> Iterator[bytes]:
        framer = self._framer
        framer.feed(data)
        while framer.next():
            yield bytes(framer.buffer[framer.start : framer.end])

    def _decode(self, packet: bytes) -> "Packet | Message":
        framer = Framer(MAX_REMAINING_LENGTH + 5)
        framer.feed(packet)
        assert framer.next()
        found = decode(framer.buffer, framer.header, framer.body, framer.end, self.version)
        return _message_of(found) if isinstance(found, Publish) else found


NOBODY = 0x10
PINGRESP = b"\xd0\x00"
#: 5.0 code -> 3.1.1 return code, as chapter 3.2.2.3 of 3.1.1 has words for them.
RETURN_CODES = {0x84: 1, 0x85: 2, 0x88: 3, 0x86: 4, 0x87: 5}


def _message_of(found: Publish) -> Message:
    properties = found.properties()
    alias = properties.topic_alias or 0
    properties.topic_alias = None
    return Message(
        bytes(found.topic).decode(),
        bytes(found.payload),
        found.qos,
        bool(found.retain),
        bool(found.dup),
        found.packet_id,
        alias,
        properties,
    )


def kept(broker: Broker, version: int, client_id: str = "a", **options: Any) -> Client:
    """A client that comes to a session which outlives its connection."""
    return broker.connected(version, client_id, clean=False, **{**lasting(version), **options})


def watching(broker: Broker, version: int, topic_filter: str = "#", qos: int = 2) -> Client:
    """A client that has just subscribed."""
    made = broker.connected(version)
    made.subscribe(topic_filter, qos=qos)
    return made

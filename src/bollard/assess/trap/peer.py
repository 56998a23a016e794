"""The conversation at an endpoint: from the first byte to the end of one visit.

The device is the side that may be hostile here: what it sends is bounded in bytes (`wire`), packets and time, and
whatever it sends ends as a `Visit`. Commands carry a text that means nothing to any device.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from bollard.assess.trap.endpoints import Conduct, Endpoint
from bollard.assess.trap.evidence import OVERSIZE, Rung, Visit
from bollard.assess.trap.wire import Gone, Wire
from bollard.base.errors import PeerError
from bollard.identity.scram import base64_text
from bollard.wire.codec import Packet, decode, encode
from bollard.wire.connect import Auth, Connack, Connect, Disconnect, Pingreq, Pingresp
from bollard.wire.framer import Framer
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack, Publish, encode_publish
from bollard.wire.spec import V5, PacketType
from bollard.wire.subscribe import Suback, Subscribe, Unsuback, Unsubscribe

#: A handshake, or a CONNECT after it, that takes longer is no attempt.
HANDSHAKE_S = 10.0
MAX_PACKET_BYTES = 262_144
MAX_PACKETS = 1_000
#: Of a SCRAM nonce; a longer one comes back cut, which its client cannot take.
MAX_NONCE_BYTES = 256
MAX_TOPIC_BYTES = 65_535
#: Commands for one visit.
MAX_COMMANDS = 8
#: After a command was accepted, so long is listened for what follows.
AFTERWARDS_S = 0.3
COMMAND = b"bollard-trap: this command has no meaning"

#: What is no MQTT, by name. Each is followed by a command, which only a device takes that goes on regardless; but for
#: the first, of which a command would be a part. It is the first so that a device shows by the next whether it lives.
CASES = {
    OVERSIZE: b"\x30\xff\xff\xff\x7f\x00\x01a",
    "a packet of type 0": b"\x00\x00",
    "a length of five bytes": b"\x30\xff\xff\xff\xff\x7f",
    "a PUBLISH of QoS 3": b"\x36\x06\x00\x01a\x00\x01x",
    "a topic that is longer than its packet": b"\x30\x04\x00\xffab",
}


@dataclass(slots=True, kw_only=True)
class Manner:
    """How to receive visitors. `hash_key` is of this run; `elsewhere` is the server that redirections name."""

    endpoint: Endpoint
    context: ssl.SSLContext | None
    linger_s: float = 5.0
    elsewhere: str = ""
    hash_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)


async def attend(
    wire: Wire, manner: Manner, at_s: float, number: int, told: Callable[[Visit], None]
) -> Visit:
    """Receive one visitor. Never raises for anything that it does. Cancelled, it ends the visit and tells of it.

    `number` counts the visits here; `told` hears of what is noted as soon as the CONNECT was read.
    """
    visit = Visit(at_s=at_s)
    try:
        await _receive(wire, manner, visit, number, told)
    except Gone as end:
        visit.alert, visit.fault = end.alert, end.fault
        visit.ended = "alert" if end.alert else "closed"
    except asyncio.CancelledError:
        visit.ended = "cut"
    except TimeoutError:
        visit.ended = "stalled" if visit.rung == Rung.ABORTED else "ours"
    except Exception:
        # The boundary of visits: no device may end the trap, or have what it showed before forgotten.
        visit.ended = "malformed"
    hello = wire.hello
    if hello is not None:
        visit.greeted = True
        visit.server_name, visit.lowest_offer = hello.server_name, hello.lowest
        visit.weak_offers, visit.early_data = hello.weak, hello.early_data
    return visit


async def _receive(
    wire: Wire, manner: Manner, visit: Visit, number: int, told: Callable[[Visit], None]
) -> None:
    async with asyncio.timeout(HANDSHAKE_S):
        first = await wire.peek()
        visit.plaintext = first[0] == PacketType.CONNECT << 4
        visit.greeted = first[0] == 0x16
        if manner.endpoint.conduct is Conduct.RESET and not visit.plaintext:
            visit.ended = "ours"
            wire.reset()
            return
        if manner.context is not None and not visit.plaintext:
            visit.tls = await wire.secure(manner.context)
    talk = _Talk(wire, manner, visit)
    try:
        # A device that has finished the handshake and hangs up without a byte has judged the certificate late.
        async with asyncio.timeout(manner.linger_s):
            connect = await talk.hear()
    except TimeoutError:
        visit.rung = Rung.HANDSHAKE
        raise
    if not isinstance(connect, Connect):
        raise PeerError(0x82, "the first packet is no CONNECT", "MQTT5-3.1.0-1")
    talk.note(connect)
    told(visit)
    async with asyncio.timeout(manner.linger_s):
        await _converse(talk, connect, number)


async def _converse(talk: "_Talk", connect: Connect, number: int) -> None:
    conduct = talk.manner.endpoint.conduct
    if conduct is Conduct.DROP:
        talk.visit.ended = "ours"
    elif conduct is Conduct.REFUSE_METHOD and connect.properties.authentication_method is not None:
        await talk.say(Connack(code=0x8C))
        await talk.hear_out()
    elif conduct is Conduct.REDIRECT:
        await talk.redirect()
    else:
        await talk.accept(connect)
        if conduct is Conduct.MALFORMED:
            await talk.break_protocol(number)
        await talk.serve()


class _Talk:
    """MQTT with one visitor."""

    def __init__(self, wire: Wire, manner: Manner, visit: Visit) -> None:
        self.manner, self.visit = manner, visit
        self._wire = wire
        self._framer = Framer(MAX_PACKET_BYTES)
        self._packets = 0
        self._version = V5
        self._command_ids: set[int] = set()

    async def hear(self) -> Packet:
        """The device's next packet. Raises `Gone`, or `PeerError` for what is none or one too many."""
        framer = self._framer
        while not framer.next():
            framer.feed(await self._wire.read())
        self._packets += 1
        if self._packets > MAX_PACKETS:
            raise PeerError(0x96, "too many packets")
        return decode(framer.buffer, framer.header, framer.body, framer.end, self._version)

    async def say(self, packet: Packet) -> None:
        await self._wire.write(encode(packet, self._version))

    def note(self, connect: Connect) -> None:
        """What CONNECT says about the device; of a password, only its length and a hash."""
        visit = self.visit
        self._version = visit.mqtt = connect.version
        visit.method = (connect.properties.authentication_method or "")[:100]
        visit.climb(Rung.CONNECT)
        if connect.password:
            self._note_credential("password", connect.password)

    def _note_credential(self, kind: str, secret: bytes) -> None:
        visit = self.visit
        visit.climb(Rung.CREDENTIAL)
        visit.credential, visit.credential_bytes = kind, len(secret)
        visit.credential_hash = hmac.new(self.manner.hash_key, secret, hashlib.sha256).hexdigest()[:16]

    async def redirect(self) -> None:
        """Name the other server, where the version has a word for it. [MQTT5 4.11]"""
        properties = (
            Properties(server_reference=self.manner.elsewhere) if self._version == V5 else Properties()
        )
        await self.say(Connack(code=0x9C, properties=properties))
        await self.hear_out()

    async def hear_out(self) -> None:
        """Give a refused device a moment to hang up."""
        with contextlib.suppress(Gone):
            while True:
                await self.hear()

    async def accept(self, connect: Connect) -> None:
        """CONNACK, after the dance of enhanced authentication where the device asks for it."""
        properties = Properties()
        method = connect.properties.authentication_method
        if method is not None:
            properties = await self._challenge(method, connect.properties.authentication_data or b"")
        if self._version == V5 and not connect.client_id:
            properties.assigned_client_identifier = f"trap-{secrets.token_hex(8)}"
        await self.say(Connack(properties=properties))

    async def _challenge(self, method: str, first: bytes) -> Properties:
        """SCRAM up to a signature that is wrong; anything else is accepted as it is."""
        if not method.startswith("SCRAM-"):
            return Properties(authentication_method=method)
        nonce = next((each[2:] for each in first.split(b",") if each.startswith(b"r=")), b"")[
            :MAX_NONCE_BYTES
        ]
        salt = base64.b64encode(secrets.token_bytes(16)).decode()
        challenge = f"r={nonce.decode('ascii', 'replace')}{secrets.token_hex(9)},s={salt},i=4096"
        await self.say(
            Auth(0x18, Properties(authentication_method=method, authentication_data=challenge.encode()))
        )
        answer = await self.hear()
        if isinstance(answer, Auth) and answer.properties.authentication_data:
            self.visit.proof_sent = True
        final = f"v={base64_text(secrets.token_bytes(32))}".encode()
        return Properties(authentication_method=method, authentication_data=final)

    async def break_protocol(self, number: int) -> None:
        """Send one of the cases, each visit another, then a command as if nothing had been."""
        name = list(CASES)[number % len(CASES)]
        self.visit.case = name
        await self._wire.write(CASES[name])
        if name != OVERSIZE:
            await self._command("bollard/trap")

    async def serve(self) -> None:
        """Answer as a broker does, command what is subscribed to, until the device goes or time is over."""
        while True:
            packet = await self.hear()
            await self._answer(packet)
            if isinstance(packet, Disconnect):
                return
            if self.visit.accepted:
                async with asyncio.timeout(AFTERWARDS_S):
                    while True:
                        await self._answer(await self.hear())

    async def _answer(self, packet: Packet) -> None:
        visit = self.visit
        if isinstance(packet, Pingreq):
            await self.say(Pingresp())
        elif isinstance(packet, Subscribe):
            visit.acted = True
            visit.subscriptions += len(packet.filters)
            await self.say(Suback(packet.packet_id, tuple(min(each.qos, 1) for each in packet.filters)))
            for each in packet.filters:
                await self._command(_topic(each.filter))
        elif isinstance(packet, Unsubscribe):
            await self.say(Unsuback(packet.packet_id, (0,) * len(packet.filters)))
        elif isinstance(packet, Publish):
            visit.acted = True
            visit.published += 1
            if packet.qos:
                kind = PacketType.PUBACK if packet.qos == 1 else PacketType.PUBREC
                await self.say(Ack(kind, packet.packet_id))
        elif isinstance(packet, Ack):
            await self._acknowledged(packet)

    async def _acknowledged(self, packet: Ack) -> None:
        if packet.packet_type == PacketType.PUBACK and packet.packet_id in self._command_ids:
            if packet.reason_code < 0x80:
                self.visit.accepted += 1
                self.visit.climb(Rung.OBEYED)
        elif packet.packet_type == PacketType.PUBREL:
            await self.say(Ack(PacketType.PUBCOMP, packet.packet_id))

    async def _command(self, topic: str) -> None:
        """A retained command of QoS 1: who acknowledges it has taken it."""
        visit = self.visit
        if not topic or visit.commands >= MAX_COMMANDS:
            return
        visit.commands += 1
        self._command_ids.add(visit.commands)
        await self._wire.write(
            encode_publish(
                topic.encode(), COMMAND, qos=1, retain=1, packet_id=visit.commands, version=self._version
            )
        )


def _topic(filter: str) -> str:
    """A topic that this filter matches; "" for the server's own topics, and where it would become too long."""
    if filter.startswith("$share/"):
        filter = filter.split("/", 2)[-1]
    if filter.startswith("$"):
        return ""
    topic = "/".join("trap" if level in ("+", "#") else level for level in filter.split("/"))
    return topic if len(topic.encode()) <= MAX_TOPIC_BYTES else ""

"""One connection of a probe, over any transport, that speaks MQTT packet by packet.

It sends what it is told, legal or not, verifies no server (the probe of certificates does that on its own), and
never sends more than a `Room` allows. What an answer means is not decided here.
"""

import asyncio
import contextlib
import ssl
import time
from typing import Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Origin, Subprotocol

from bollard.assess.probes.evidence import Busy, Entry, NoAnswer
from bollard.assess.probes.room import ANONYMOUS, Identity, Room
from bollard.base.errors import PeerError
from bollard.wire.codec import Packet, decode, encode
from bollard.wire.connect import Auth, Connack, Connect, Disconnect
from bollard.wire.framer import Framer
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack, Publish, encode_publish
from bollard.wire.spec import V5, V311, PacketType
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter

#: The largest packet that is read; a broker that sends more is disconnected.
MAX_PACKET_BYTES = 1_048_576
_CHUNK = 65_536


class Line:
    """A connection. Use `async with await Line.open(room)`; leaving it closes without a word."""

    def __init__(self, room: Room, version: int) -> None:
        self.room = room
        self.version = version
        self.closed = False
        self.connack: Connack | None = None
        self.last: Packet | None = None
        self._framer = Framer(MAX_PACKET_BYTES)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._socket: ClientConnection | None = None
        self._packet_id = 0

    @classmethod
    async def open(
        cls,
        room: Room,
        *,
        version: int = V5,
        transport: str = "",
        identity: Identity = ANONYMOUS,
        context: ssl.SSLContext | None = None,
        origin: str | None = None,
    ) -> Self:
        """Connect. `transport` replaces that of the room. Raises `NoAnswer`; `InvalidStatus` for a WebSocket."""
        line = cls(room, version)
        kind = transport or room.transport
        tls = (context or room.context(identity)) if kind in ("tls", "wss") else None
        await room.pace()
        try:
            async with asyncio.timeout(room.timeout_s):
                if kind in ("ws", "wss"):
                    line._socket = await line._open_websocket(tls, origin)
                else:
                    name = room.server_name if tls is not None else None
                    line._streams = await asyncio.open_connection(
                        room.place.address, room.place.port, ssl=tls, server_hostname=name
                    )
        except InvalidStatus:
            raise
        except (OSError, TimeoutError, WebSocketException, EOFError, ValueError) as error:
            raise NoAnswer(_why(error)) from None
        return line

    async def _open_websocket(self, tls: ssl.SSLContext | None, origin: str | None) -> ClientConnection:
        place = self.room.place
        host = f"[{place.host}]" if ":" in place.host else place.host
        scheme = "wss" if tls is not None else "ws"
        return await connect(
            f"{scheme}://{host}:{place.port}{place.path}",
            host=place.address,
            port=place.port,
            ssl=tls,
            server_hostname=self.room.server_name if tls is not None else None,
            origin=Origin(origin) if origin else None,
            subprotocols=[Subprotocol("mqtt")],
            compression=None,
            proxy=None,
            user_agent_header=None,
            open_timeout=None,
            ping_interval=None,
            close_timeout=1,
            max_size=MAX_PACKET_BYTES,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.abort()

    async def abort(self) -> None:
        """End the connection without a DISCONNECT, so that the server sends our will."""
        self.closed = True
        if self._socket is not None:
            self._socket.transport.abort()
            with contextlib.suppress(Exception):
                await self._socket.wait_closed()
        elif self._streams is not None:
            writer = self._streams[1]
            writer.transport.abort()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()
        self._socket = self._streams = None

    # -- bytes ------------------------------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        """Send bytes as they are. A connection that is gone shows at the next `receive`."""
        await self.room.pace()
        try:
            if self._socket is not None:
                await self._socket.send(data)
            elif self._streams is not None:
                self._streams[1].write(data)
                await self._streams[1].drain()
        except (OSError, ConnectionClosed):
            self.closed = True

    async def receive(self, timeout_s: float | None = None) -> Packet | None:
        """The next packet; None when none comes in time or the connection ended (`closed` says which).

        Raises `PeerError` for an answer that is no MQTT.
        """
        end = time.monotonic() + (self.room.timeout_s if timeout_s is None else timeout_s)
        while True:
            if self._framer.next():
                framer = self._framer
                self.last = decode(framer.buffer, framer.header, framer.body, framer.end, self.version)
                return self.last
            left = end - time.monotonic()
            if left <= 0 or not await self._read(left):
                return None

    async def _read(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                if self._socket is not None:
                    message = await self._socket.recv()
                    data = message if isinstance(message, bytes) else b""
                elif self._streams is not None:
                    data = await self._streams[0].read(_CHUNK)
                else:
                    data = b""
        except TimeoutError:
            return False
        except (OSError, ConnectionClosed, ssl.SSLError):
            data = b""
        if not data:
            self.closed = True
            return False
        self._framer.feed(data)
        return True

    # -- packets ----------------------------------------------------------------------------------------

    async def connect(self, packet: Connect) -> Entry:
        """Send a CONNECT and say what came of it. Raises `Busy` when the target has had enough."""
        return await self.enter(encode(packet, packet.version), packet.version)

    async def enter(self, data: bytes, version: int) -> Entry:
        """As `connect`, with the bytes of a CONNECT."""
        self.version = max(version, 4)
        began = time.monotonic()
        await self.send(data)
        try:
            answer = await self.receive()
        except PeerError:
            answer = self._refusal_of_311()
            if answer is None:
                return Entry(version=version, outcome="malformed")
        elapsed_ms = int((time.monotonic() - began) * 1000)
        if isinstance(answer, Auth):
            return Entry(version=version, outcome="refused", code=0x8C, elapsed_ms=elapsed_ms)
        if not isinstance(answer, Connack):
            part = answer is not None or self._framer.pending
            outcome = "malformed" if part else "closed" if self.closed else "silent"
            return Entry(version=version, outcome=outcome, elapsed_ms=elapsed_ms)
        if answer.code in (0x97, 0x9F):
            raise Busy(f"the target asked us to slow down (reason code 0x{answer.code:02X})")
        if answer.code:
            return Entry(version=version, outcome="refused", code=answer.code, elapsed_ms=elapsed_ms)
        self.connack = answer
        assigned = bool(answer.properties.assigned_client_identifier)
        return Entry(version=version, outcome="accepted", elapsed_ms=elapsed_ms, assigned_id=assigned)

    def _refusal_of_311(self) -> Packet | None:
        """The packet that could not be read as 5.0, if it is a 3.1.1 refusal: older brokers know no other."""
        framer = self._framer
        with contextlib.suppress(PeerError):
            answer = decode(framer.buffer, framer.header, framer.body, framer.end, V311)
            if isinstance(answer, Connack) and answer.code:
                return answer
        return None

    async def subscribe(self, *filters: str, qos: int = 0) -> tuple[int, ...]:
        """Subscribe and return the codes of the SUBACK, each -1 when none came. Messages before it are kept
        by nobody: brokers may send retained ones early, and `listen` is there for those."""
        self._packet_id += 1
        packet = Subscribe(self._packet_id, tuple(SubscribeFilter(each, qos) for each in filters))
        await self.send(encode(packet, self.version))
        answer = await self._await(Suback)
        return answer.codes if isinstance(answer, Suback) else (-1,) * len(filters)

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False, expiry_s: int = 60
    ) -> int:
        """Publish and return the reason code of the PUBACK: 0 in 3.1.1, -1 when none came. QoS 0 gives 0."""
        self._packet_id += 1
        # An empty payload clears a retained message, which must not itself be kept.
        expires = Properties(message_expiry_interval=expiry_s) if payload and self.version == V5 else None
        await self.send(
            encode_publish(
                topic.encode(),
                payload,
                qos=qos,
                retain=int(retain),
                packet_id=self._packet_id if qos else 0,
                version=self.version,
                properties=expires,
            )
        )
        if not qos:
            return 0
        answer = await self._await(Ack)
        if isinstance(answer, Ack) and answer.packet_type == PacketType.PUBACK:
            return answer.reason_code
        if isinstance(answer, Disconnect) and answer.code >= 0x80:
            return answer.code
        return -1

    async def _await(self, kind: type[Packet]) -> Packet | None:
        """The next packet of `kind`, or a DISCONNECT, or None; messages that come before it are passed over."""
        end = time.monotonic() + self.room.timeout_s
        while (left := end - time.monotonic()) > 0:
            packet = await self.receive(left)
            if packet is None or isinstance(packet, kind | Disconnect):
                if isinstance(packet, Disconnect) and packet.code in (0x97, 0x9F):
                    raise Busy(f"the target asked us to slow down (reason code 0x{packet.code:02X})")
                return packet
        return None

    async def awaits(self, topic: str, payload: bytes, timeout_s: float) -> int:
        """How many copies of this message come in time. After the first, only a short while is waited."""
        copies = 0
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            packet = await self.receive(left)
            if packet is None:
                break
            if isinstance(packet, Publish) and packet.topic == topic.encode() and packet.payload == payload:
                copies += 1
                end = min(end, time.monotonic() + self.room.echo_s)
        return copies

    async def goodbye(self) -> None:
        """DISCONNECT, which discards our will; in 5.0 it ends the session at once as well."""
        if not self.closed:
            properties = Properties(session_expiry_interval=0) if self.version == V5 else Properties()
            await self.send(encode(Disconnect(0, properties), self.version))
        await self.abort()


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, ssl.SSLError):
        return f"the TLS handshake failed: {error.reason or 'without a reason'}"
    return (
        f"{type(error).__name__}: {error.strerror or 'no reason given'}"
        if isinstance(error, OSError)
        else (
            "it does not speak WebSocket"
            if isinstance(error, WebSocketException | EOFError)
            else type(error).__name__
        )
    )

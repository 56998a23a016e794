"""One transport and its connection: bytes of the kernel to the broker, output of the broker to the kernel.

A stream lives on a `Transport` as an asyncio protocol does on its own. `PlainStream` passes bytes through;
`TlsStream`, in `tlsstream.py`, encrypts. Either may carry WebSocket frames inside. Scheduling and errors are in
`pump.py`, counting in `gate.py`.

A stream goes through these phases, only forwards:

    SILENT     nothing came yet; what speaks first tells MQTT, TLS and HTTP apart
    HANDSHAKE  TLS is being set up
    FRAMED     WebSocket: the upgrade, then MQTT in binary frames
    OPEN       what arrives is MQTT
    LINGERING  we have said our last; what still arrives is dropped until the peer closes or time is up
    GONE       the transport is closed, or was never let in
"""

import ssl
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING

from bollard.base import memory
from bollard.base.types import Peer
from bollard.net.transport import Transport
from bollard.net.websocket import NORMAL, WebSocket
from bollard.session.outbox import reuse

if TYPE_CHECKING:
    from bollard.net.pump import Pump
    from bollard.net.traffic import Meter
    from bollard.session.connection import Connection

SILENT, HANDSHAKE, FRAMED, OPEN, LINGERING, GONE = range(6)

#: WebSocket bytes taken in at once, see `Stream._unframe`.
FRAME_SLICE_BYTES = 4_096
NOTHING = bytearray()

CLIENT_HELLO, CONNECT = 0x16, 0x10
HTTP_METHODS = (b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI", b"CONN", b"DELE", b"PRI ")


@dataclass(frozen=True, slots=True)
class Door:
    """What all connections of one listener have in common.

    `transport` is what `Peer.transport` says. `context` None means no TLS here. `websocket` tells whether
    frames are expected, from pages of `origins` only. `plaintext_from` are networks beside loopback whose
    peers may speak without TLS; it is asked only where `context` is None.
    """

    name: str
    transport: str
    context: ssl.SSLContext | None = None
    websocket: bool = False
    origins: tuple[str, ...] = ()
    plaintext_from: tuple[IPv4Network | IPv6Network, ...] = ()
    allow_anonymous: bool = False

    def admits(self, address: str) -> bool:
        """May a peer at `address` use this door? TLS: anyone. Plaintext: loopback and who was named."""
        if self.context is not None or address == "unix" or address.startswith("127."):
            return True
        peer = ip_address(address.partition("%")[0])
        return peer.is_loopback or any(peer in network for network in self.plaintext_from)


class Stream:
    """What both kinds have in common.

    `connection` is the broker's half, from the end of TLS and WebSocket until we or they are through.
    `newcomer` is true until a CONNECT was accepted. `backlog` are WebSocket bytes not taken in yet. `held`
    says that the broker is not through with what came, or that more has come than is allowed, so that nothing
    more is read. `allowance` is how many bytes may come before the `meters` are asked, `settled` how many
    packets they know of, `turn` in which turn of the pump they were asked last.
    """

    __slots__ = (
        "address",
        "allowance",
        "backlog",
        "connection",
        "door",
        "held",
        "meters",
        "newcomer",
        "phase",
        "port",
        "pump",
        "settled",
        "transport",
        "turn",
        "websocket",
    )

    transport: Transport

    def __init__(self, pump: "Pump", door: Door) -> None:
        self.pump = pump
        self.door = door
        self.phase = SILENT
        self.address = ""
        self.port = 0
        self.newcomer = True
        self.held = False
        self.allowance = pump.traffic.allowance
        self.settled = 0
        self.turn = -1
        self.meters: tuple[Meter, ...] = ()
        self.connection: Connection | None = None
        self.websocket: WebSocket | None = None
        self.backlog = NOTHING

    # What the transport calls.

    def connection_made(self, transport: Transport, address: str, port: int) -> None:
        """The kernel accepted someone: count them in, or drop them before a byte is read."""
        self.transport = transport
        self.address = address
        self.port = port
        if not self.pump.enter(self):
            self.phase = GONE
            transport.abort()

    def data_received(self, buffer: bytearray, size: int) -> None:
        """The first `size` bytes of `buffer` have come, which holds something else afterwards."""
        raise NotImplementedError

    def eof_received(self) -> None:
        """The peer has said its last: the transport closes itself, then calls `connection_lost`."""
        if self.transport.get_write_buffer_size():
            self.pump.linger(self)  # attack: a peer that never takes what waits

    def connection_lost(self, error: Exception | None) -> None:
        """The transport is gone, however that came."""
        if self.phase == GONE:
            return
        if self.connection is None:
            self._explain_departure()
        self.phase = GONE
        self.pump.gone(self)

    def pause_writing(self) -> None:
        """The kernel takes no more: the broker keeps, and bounds, what follows."""
        if self.connection is not None:
            self.connection.writable = False

    def resume_writing(self) -> None:
        if self.connection is not None:
            self.pump.resumed(self)

    # What the pump calls.

    def flush(self) -> None:
        """Write what the broker has for this peer, and close if the broker says so."""
        connection = self.connection
        if connection is None:
            return
        if connection.cut and self.transport.get_write_buffer_size():
            self.drop()
            return
        quiet = not connection.size
        if connection.writable and not quiet:
            if self.websocket is not None:
                self.send(self.websocket.wrap(connection.take_output()))
            else:
                self._send_pieces(connection)
        if self.newcomer and connection.connected:
            self._settle(connection.principal)
        if connection.closing:
            if connection.writable:
                self.farewell(connection.departed and quiet)
            else:
                self.pump.linger(self)

    def _send_pieces(self, connection: "Connection") -> None:
        """Send what waits, for as long as the kernel takes it."""
        while connection.writable:
            piece = connection.take_piece()
            if not piece:
                return
            self.send(piece)
            reuse(piece)
            if not connection.size:
                return

    def hold(self) -> None:
        """Read nothing more until `let_go`: the broker has enough of this peer for the moment."""
        self.held = True
        if self.transport.is_reading():
            self.transport.pause_reading()

    def let_go(self) -> None:
        """The broker is through with what came: read on."""
        self.held = False
        if self.phase == FRAMED:
            self.pump.guard(self, self._unframe_slice)
        elif self.phase == OPEN and not self.transport.is_closing() and not self.transport.is_reading():
            self.transport.resume_reading()

    def send(self, data: bytes | bytearray) -> None:
        """Hand `data`, of which nothing is referred to afterwards, to the transport, encrypted where this stream
        encrypts."""
        raise NotImplementedError

    def farewell(self, departed: bool) -> None:
        """Part from the broker and close, in the manner of each layer. `departed`: the peer awaits nothing."""
        self.pump.forget(self)
        if self.websocket is not None:
            self.websocket.close(NORMAL)
            self.send(self.websocket.take_output())
            departed = False  # it awaits the Close frame
        self.hang_up(departed)

    def hang_up(self, departed: bool = False) -> None:
        """Close our direction, in the manner of this stream."""
        self.close(departed)

    def close(self, departed: bool) -> None:
        """Close our direction of the transport, then wait a while for the peer to close its own.

        Closing at once would make the kernel answer unread input with a reset, and a reset may overtake
        the CONNACK or DISCONNECT that says why. Who has `departed` with a DISCONNECT waits for neither.
        """
        self.phase = LINGERING
        transport = self.transport
        if transport.is_closing():
            return
        if departed:
            transport.close()
            if transport.get_write_buffer_size():
                self.pump.linger(self)  # attack: a peer that never takes what waits
            return
        if not transport.is_reading():
            transport.resume_reading()
        transport.write_eof()
        self.pump.linger(self)

    def drop(self) -> None:
        """Close at once, without a word."""
        self.phase = LINGERING
        self.pump.forget(self)
        self.transport.abort()

    def overdue(self) -> str:
        """What this stream has not done in time, for the log."""
        if self.phase == SILENT:
            return "sent nothing"
        return (
            "did not complete the TLS handshake"
            if self.phase == HANDSHAKE
            else "did not complete the upgrade"
        )

    # From bytes to the broker.

    def certificate(self) -> bytes | None:
        """DER of the client's certificate, verified up to the device authority; None if there is none."""
        return None

    def psk(self) -> tuple[str, bytes] | None:
        """Whose pre-shared key TLS has proved, and its salt; None if none was used."""
        return None

    def end_points(self) -> tuple[bytes, ...]:
        """What a client can bind its authentication to; nothing without TLS."""
        return ()

    def begin(self) -> None:
        """The bytes from here on are MQTT, or WebSocket frames with MQTT in them."""
        limits = self.pump.gate.limits
        if self.door.websocket:
            self.websocket = WebSocket(
                self.door.origins,
                limits.max_connect_bytes,
                limits.max_packet_bytes,
                inside_tls=self.door.context is not None,
            )
            self.backlog = bytearray()
            self.phase = FRAMED
        else:
            self._join()
            self.phase = OPEN

    def deliver(self, data: bytes) -> None:
        """Plaintext of the peer."""
        if self.phase == OPEN:
            self.pump.receive(self, data)
        elif self.phase == FRAMED:
            self._unframe(data)

    def _join(self) -> None:
        door = self.door
        peer = Peer(
            self.address,
            self.port,
            door.name,
            door.transport,
            self.certificate(),
            door.allow_anonymous,
            self.end_points(),
            self.psk(),
        )
        self.pump.join(self, peer)

    def _settle(self, principal: str) -> None:
        self.newcomer = False
        self.pump.gate.authenticated(self)
        self.meters = self.pump.traffic.meters(self.address, principal)
        if self.websocket is not None:
            self.websocket.widen()

    def _unframe(self, data: bytes) -> None:
        """WebSocket: take in a slice of what arrived; the rest later, while the peer is not read.

        Attack: forty thousand empty frames in one read would silence everyone else for a tenth of a second.
        """
        backlog = self.backlog
        backlog += data
        if len(backlog) == len(data):
            self._unframe_slice()

    def step(self) -> None:
        """The next slice of frames. Called by the queue of steps."""
        if self.phase == FRAMED:
            self.pump.guard(self, self._unframe_slice)

    def _unframe_slice(self) -> None:
        if self.held:
            return
        backlog = self.backlog
        data = bytes(backlog[:FRAME_SLICE_BYTES])
        del backlog[:FRAME_SLICE_BYTES]
        self._answer_frames(data)
        if self.phase != FRAMED:
            backlog.clear()
        elif self.held:
            return
        elif backlog:
            self.transport.pause_reading()
            self.pump.steps.submit(self)
        elif not self.transport.is_reading():
            self.transport.resume_reading()

    def _answer_frames(self, data: bytes) -> None:
        """Answer what the frames ask for and pass on what they carry."""
        websocket = self.websocket
        if websocket is None:
            return
        before = websocket.frames
        payloads = websocket.receive(data)
        self.pump.framed(self, websocket.frames - before, len(data) - sum(map(len, payloads)))
        if websocket.open and self.connection is None:
            self._join()
        for payload in payloads:
            self.pump.receive(self, payload)
        if self.connection is not None and not self.connection.writable and not websocket.ended:
            websocket.drop_surplus()
        else:
            self.send(websocket.take_output())
        if websocket.ended:
            if websocket.refusal:
                self.pump.refused(self, websocket.refusal)
            self.pump.forget(self)
            self.hang_up()

    def _explain_departure(self) -> None:
        """Some clients close without an alert when they distrust us: that is worth a line."""
        if self.phase == HANDSHAKE:
            self.pump.refused(
                self,
                "the client left during the TLS handshake; if it does not trust our certificate, give it "
                "the CA file (server-root.crt)",
            )
        elif self.phase == FRAMED:
            self.pump.refused(self, "the client left before the WebSocket upgrade was complete")


class PlainStream(Stream):
    """A Unix socket, or TCP where the owner allows plaintext."""

    __slots__ = ()

    def data_received(self, buffer: bytearray, size: int) -> None:
        data = memory.first(buffer, size)
        if self.phase == OPEN:
            self.pump.receive(self, data)
        elif self.phase < OPEN:
            try:
                self._early(data)
            except Exception:
                self.pump.failed(self)

    def send(self, data: bytes | bytearray) -> None:
        if isinstance(data, bytearray):
            data = bytes(data)  # what the kernel does not take at once waits in the transport
        if data:
            self.transport.write(data)

    def _early(self, data: bytes) -> None:
        """What comes before MQTT: the first bytes, or WebSocket."""
        if self.phase == SILENT:
            foreign = self._foreign(data)
            if foreign:
                self.pump.refused(self, foreign)
                self.hang_up()
                return
            self.begin()
        self.deliver(data)

    def _foreign(self, data: bytes) -> str:
        """What the first bytes are if they do not belong here; "" if they may."""
        if data[0] == CONNECT:
            return ""
        if data[0] == CLIENT_HELLO:
            return "TLS on a plaintext port; use the TLS listener, or connect without TLS"
        if data[:4] in HTTP_METHODS and not self.door.websocket:
            return "HTTP on an MQTT port; MQTT over WebSocket needs a listener of its own"
        return ""

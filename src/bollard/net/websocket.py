"""MQTT inside WebSocket frames, without I/O: bytes in; MQTT bytes and bytes to send out.

The frames themselves are the `websockets` library's; here is what MQTT and safety add: the subprotocol,
the allowed origins and paths, binary frames only, no compression, and bounds on what is held back.
Frames and MQTT packets need not align [MQTT5-6.0.0-2]: payloads are handed on frame by frame.
"""

import logging
from collections.abc import Sequence

from websockets.exceptions import InvalidOrigin
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Origin, Subprotocol

#: Where a WebSocket may be asked for.
PATHS = ("/", "/mqtt")
#: Request line and headers together; browsers with large cookies send 8 KiB.
MAX_REQUEST_BYTES = 16_384
#: Payload of one outgoing frame: small clients buffer a frame whole.
FRAME_BYTES = 16_384
#: A frame may carry more than one packet, so it may be this much larger than the largest.
SLACK_BYTES = 65_536

#: Frames that may come before a CONNECT was accepted. Attack: frames without content, each of which costs the
#: processor more than a message does.
MAX_EARLY_FRAMES = 256

NORMAL, UNSUPPORTED_DATA, POLICY_VIOLATION, TOO_BIG = 1000, 1003, 1008, 1009

#: The library would log what a peer sent; refusals are events of ours instead.
_SILENT = logging.Logger("bollard.net.websocket", logging.CRITICAL + 1)


class WebSocket:
    """The server's half of one WebSocket.

    `open` says that the upgrade was answered with 101. `ended` says that nothing more will come in or may go out:
    send what `take_output` gives and close. `frames` counts those that came. `refusal` is why, in a sentence for our
    own log, "" when the client closed properly.
    """

    __slots__ = (
        "_held",
        "_inside_tls",
        "_limit",
        "_max_frame_bytes",
        "_protocol",
        "_stranger",
        "ended",
        "frames",
        "open",
        "refusal",
    )

    def __init__(
        self,
        origins: Sequence[str],
        max_connect_bytes: int,
        max_packet_bytes: int,
        *,
        inside_tls: bool = False,
    ) -> None:
        self.open = False
        self.ended = False
        self.frames = 0
        self.refusal = ""
        self._held = 0
        self._inside_tls = inside_tls
        self._limit = max_connect_bytes
        self._stranger = True
        self._max_frame_bytes = max_packet_bytes + SLACK_BYTES
        self._protocol = ServerProtocol(
            # None: no Origin header. Only browsers send one, and only they can be made to connect from
            # a page of somebody else's.
            origins=[None, *map(Origin, origins)],
            subprotocols=[Subprotocol("mqtt")],  # [MQTT5-6.0.0-3] [MQTT5-6.0.0-4]
            extensions=None,  # compression would leak secrets beside chosen text, and expands into bombs
            max_size=self._max_frame_bytes,
            logger=_SILENT,
        )

    def widen(self) -> None:
        """The client is authenticated: frames may now be as large as its packets, and as many as its meters bear."""
        self._stranger = False
        self._limit = self._max_frame_bytes

    def receive(self, data: bytes) -> list[bytes]:
        """Take what arrived and return the MQTT bytes in it, in order. Never raises."""
        if self.ended:
            return []
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        # All that can be held is what came since the last event; a declared length allocates nothing.
        self._held = 0 if events else self._held + len(data)
        payloads: list[bytes] = []
        for event in events:
            if isinstance(event, Request):
                self._answer(event)
            elif isinstance(event, Frame):
                self.frames += 1
                self._unpack(event, payloads)
            if self.ended:
                return payloads
        self._check_bounds()
        return payloads

    def _answer(self, request: Request) -> None:
        """Accept or reject the upgrade."""
        protocol = self._protocol
        if request.path.partition("?")[0] not in PATHS:
            response = protocol.reject(404, "MQTT over WebSocket is at /mqtt.\n")
            self.refusal = "WebSocket asked for an unknown path; it is at /mqtt"
        else:
            if self._inside_tls and _same_origin(request):
                protocol.origins = None
            response = protocol.accept(request)
            if response.status_code != 101:
                self.refusal = _why_rejected(protocol.handshake_exc)
        protocol.send_response(response)
        self.open = response.status_code == 101
        self.ended = not self.open

    def _unpack(self, frame: Frame, payloads: list[bytes]) -> None:
        if frame.opcode is Opcode.BINARY or frame.opcode is Opcode.CONT:
            payloads.append(bytes(frame.data))
        elif frame.opcode is Opcode.TEXT:
            # [MQTT5-6.0.0-1] [MQTT3-6.0.0-1]
            self.close(UNSUPPORTED_DATA, "a text frame where MQTT has only binary ones")
        elif frame.opcode is Opcode.CLOSE:
            self.ended = True

    def _check_bounds(self) -> None:
        protocol = self._protocol
        if protocol.parser_exc is not None:
            self.ended = True
            self.refusal = f"bad WebSocket frame: {protocol.parser_exc}"
        elif protocol.handshake_exc is not None:
            self.ended = True
            self.refusal = "not a WebSocket request; MQTT without WebSocket belongs on another listener"
        elif not self.open:
            if self._held > MAX_REQUEST_BYTES:
                self.ended = True
                self.refusal = f"the WebSocket request is longer than {MAX_REQUEST_BYTES} bytes"
        elif self._held > self._limit:
            self.close(TOO_BIG, f"a WebSocket frame of more than {self._limit} bytes")
        elif self._stranger and self.frames > MAX_EARLY_FRAMES:
            self.close(
                POLICY_VIOLATION,
                f"more than {MAX_EARLY_FRAMES} WebSocket frames before a CONNECT was accepted",
            )

    def close(self, code: int, refusal: str = "") -> None:
        """Say goodbye with `code`, if that can still be said."""
        if self.open and not self.ended and not self._protocol.close_expected():
            self._protocol.send_close(code)
        self.ended = True
        self.refusal = refusal

    def wrap(self, data: bytes) -> bytes:
        """`data` as binary frames, after whatever else was waiting to be sent; not any more once either side
        closes."""
        if self.ended or self._protocol.state is not State.OPEN:
            return self.take_output()
        for start in range(0, len(data), FRAME_BYTES):
            self._protocol.send_binary(data[start : start + FRAME_BYTES])
        return self.take_output()

    def take_output(self) -> bytes:
        """Handshake and control frames that wait."""
        return b"".join(self._protocol.data_to_send())

    def drop_surplus(self) -> None:
        """The peer does not read: keep only the newest answer to its pings (RFC 6455, 5.5.3)."""
        del self._protocol.writes[:-1]


def _same_origin(request: Request) -> bool:
    """Whether the page, if it is one, came from the very address that it connects to.

    Some clients that are no browsers send such an Origin as well. Only inside TLS: there a page of
    somebody else's cannot make its own name point here, for our certificate does not carry that name.
    """
    origins = request.headers.get_all("Origin")
    hosts = request.headers.get_all("Host")
    return len(origins) == len(hosts) == 1 and origins[0].lower() == f"https://{hosts[0].lower()}"


def _why_rejected(error: Exception | None) -> str:
    if isinstance(error, InvalidOrigin):
        return "WebSocket from a page whose origin is not listed under `origins`"
    return f"WebSocket upgrade refused: {str(error)[:200]}"

"""The client's side of MQTT 3.1.1 and 5.0 without I/O: bytes, verbs and time in; bytes and outcomes out.

Theory of operation. One `ClientProtocol` is one session. It lives through any number of connections:

    idle --connect--> connecting --CONNACK 0--> connected --lost, DISCONNECT, error--> idle

Verbs of the application return a *token*; `take_outcomes` later gives (token, result or error). A shell writes
what `take_output` gives, hands in what arrives, calls `tick` at `next_deadline`, and hangs up once `closing`
is set; `failure` then says why. Everything that a server can do wrong ends its connection and nothing else:
`receive` never raises for it.

While the inbox is full, packets stay unread (`holding`), which the shell turns into back-pressure. Only when
an answer is awaited they are read on: an application that publishes while it takes messages must not deadlock.
"""

import enum
from collections.abc import Callable

from bollard.base.errors import BollardError, PeerError, ProtocolError
from bollard.client.errors import (
    ClientClosed,
    ClientError,
    ConnectionLost,
    ConnectRefused,
    QueueFull,
    ServerBrokeProtocol,
    ServerDisconnected,
)
from bollard.client.exchange import Exchange
from bollard.client.incoming import Inbox, Incoming
from bollard.client.keepalive import KeepAlive
from bollard.client.messages import Message, Settings, check_name
from bollard.client.outgoing import Capabilities, Outbound, Outcome, Outgoing, PacketIds
from bollard.client.requests import OWN_TOKEN, Request, Requests
from bollard.wire.codec import Packet, decode, encode
from bollard.wire.connect import Auth, Connack, Connect, Disconnect, Pingreq, Pingresp
from bollard.wire.framer import Framer
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack, Publish
from bollard.wire.spec import V5, PacketType, ReasonCode
from bollard.wire.subscribe import Suback, SubscribeFilter, Unsuback

#: Token of the outcome that says how CONNECT went; its result is the Connack.
CONNECT_TOKEN = -1
#: How long the server keeps the session of a client that reconnects by itself, unless told otherwise.
RESUME_S = 300
#: Reason codes that a client may say in DISCONNECT; the others are the server's alone. [MQTT5-3.14.2-1]
_OUR_CODES = frozenset({0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, *range(0x93, 0x9A)})


class State(enum.Enum):
    IDLE = "idle"
    CONNECTING = "connecting"
    CONNECTED = "connected"


Result = int | tuple[int, ...] | Connack | BollardError


class ClientProtocol:
    """One session with one server. `reconnects` says that the shell will connect again after a loss."""

    def __init__(self, settings: Settings, *, reconnects: bool = False) -> None:
        self.settings = settings
        self.state = State.IDLE
        self.closing = False
        self.failure: ClientError | None = None
        self.client_id = settings.client_id
        self.connack: Connack | None = None
        self._reconnects = reconnects
        self._framer = Framer(settings.max_packet_bytes)
        self._keepalive = KeepAlive()
        ids = PacketIds()
        self._outgoing = Outgoing(ids, settings.version)
        self._requests = Requests(ids, settings.version)
        self.inbox = Inbox(settings.max_queue_messages, settings.max_queue_bytes)
        self._incoming = Incoming(
            self.inbox, settings.version, settings.receive_maximum, settings.topic_alias_maximum
        )
        self._output: list[bytes] = []
        self._outcomes: list[tuple[int, Result]] = []
        self._last_token = OWN_TOKEN
        self._asked_clean = True
        self._exchange = Exchange(settings.authentication)
        self._unproven = False
        self._proof = 0
        self._now = 0.0

    # -- the shell's verbs ------------------------------------------------------------------------------

    def connect(self, now: float, server_certificate: bytes | None = None) -> None:
        """A transport stands: begin. The certificate is for the authentication mechanism's channel binding."""
        self.closing = False
        self.failure = None
        self.state = State.CONNECTING
        self._now = now
        self._framer = Framer(self.settings.max_packet_bytes)
        self._output.clear()
        self._exchange = Exchange(self.settings.authentication)
        self._guarded(lambda: self._send(self._connect_packet(server_certificate)))

    def receive(self, data: bytes, now: float) -> None:
        """What arrived. Sets `closing` and `failure` where the server broke the protocol."""
        if self.closing:
            return
        self._now = now
        self._keepalive.heard(now)
        self._framer.feed(data)
        self._guarded(self._read)

    def lost(self, cause: ClientError | None = None) -> None:
        """The transport is gone. An earlier `failure` stays: it is what led to this."""
        if self.failure is None:
            self.failure = cause or ConnectionLost(
                "the connection to the server was lost",
                "Check the network, and that the server runs.",
                heals=True,
            )
        self._stop()

    def tick(self, now: float) -> None:
        """Act on a deadline that has passed."""
        self._now = now
        action = self._keepalive.due(now, reading=not self.holding)
        if action == "ping":
            self._ping()
        elif action == "dead":
            gone = ConnectionLost("the server stopped answering", "Check the network.", heals=True)
            self._fail(gone, ReasonCode.UNSPECIFIED_ERROR)

    def next_deadline(self) -> float:
        """Monotonic seconds at which `tick` is due; inf for never."""
        return self._keepalive.deadline()

    def take_output(self) -> bytes:
        """Everything that has to be written, b"" if nothing."""
        if not self._output:
            return b""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def take_outcomes(self) -> list[tuple[int, Result]]:
        """What has ended since the last call, as (token, result or error)."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def abandon(self, error: ClientError) -> None:
        """There will be no further connection: everything that still waits ends with `error`."""
        for tokens in (self._outgoing.tokens(), self._requests.tokens()):
            self._outcomes.extend((token, error) for token in tokens)

    @property
    def holding(self) -> bool:
        """Do packets stay unread until messages are taken?"""
        awaited = self._outgoing.unanswered or self._requests.unanswered or self._exchange.token
        awaited = awaited or self._proof
        return self.inbox.full and not awaited

    # -- the application's verbs ------------------------------------------------------------------------

    def publish(
        self, topic: str, payload: bytes, *, qos: int, retain: bool, properties: Properties | None, now: float
    ) -> int:
        """Publish now, or as soon as the server has room for it. Raises `LocalError` and `QueueFull`."""
        check_name(topic)
        token = self._token()
        self._outgoing.add(Outbound(token, topic, payload, qos, retain, properties))
        self._unproven = self._unproven or qos == 0
        self._now = now
        self._flush()
        self._read_on()
        return token

    def subscribe(self, filters: tuple[SubscribeFilter, ...], identifier: int, now: float) -> int:
        """The result will be the granted QoS of each filter."""
        return self._request(Request(self._token(), filters=filters, identifier=identifier), now)

    def unsubscribe(self, names: tuple[str, ...], now: float) -> int:
        return self._request(Request(self._token(), names=names), now)

    def take_message(self, now: float) -> Message:
        """The oldest message, which is thereby acknowledged. Raises `IndexError` when there is none."""
        self._now = now
        message, acknowledgement = self._incoming.take()
        if self.state is State.CONNECTED and acknowledgement:
            self._send(acknowledgement)
        self._read_on()
        return message

    def reauthenticate(self, now: float, server_certificate: bytes | None = None) -> int:
        """Prove again who we are, on the same connection. [MQTT5-4.12.1-1]"""
        if self.state is not State.CONNECTED or not self._exchange.possible:
            raise ClientError(
                "cannot authenticate again now", "Connect with an authentication mechanism first."
            )
        self._now = now
        token = self._token()
        self._guarded(lambda: self._begin_again(token, server_certificate))
        self._read_on()
        return token

    def prove(self, now: float) -> int:
        """Ask for a sign that everything sent so far has arrived; 0 where there is nothing to prove.

        A server answers PINGREQ after what came before it, which QoS 0 does not tell otherwise.
        """
        if self.state is not State.CONNECTED or not self._unproven:
            return 0
        self._now = now
        self._unproven = False
        self._proof = self._token()
        self._ping()
        self._read_on()
        return self._proof

    def disconnect(self, now: float, *, send_will: bool = False) -> None:
        """Say goodbye; the session ends with it where it was only kept for reconnecting."""
        self._now = now
        if self.state is State.CONNECTED:
            if self.settings.version == V5:
                ends = self._reconnects and self.settings.session_expiry_s is None
                properties = Properties(session_expiry_interval=0) if ends else Properties()
                self._send(encode(Disconnect(0x04 if send_will else 0x00, properties), V5))
            elif not send_will:
                self._send(encode(Disconnect(0, Properties()), self.settings.version))
        self._stop()

    # -- inside -----------------------------------------------------------------------------------------

    def _token(self) -> int:
        self._last_token += 1
        return self._last_token

    def _request(self, request: Request, now: float) -> int:
        self._requests.add(request)
        self._now = now
        self._flush()
        self._read_on()
        return request.token

    def _begin_again(self, token: int, server_certificate: bytes | None) -> None:
        properties = self._exchange.start(server_certificate, token)
        self._send(encode(Auth(ReasonCode.RE_AUTHENTICATE, properties), V5))

    def _flush(self) -> None:
        """Send what waits and may go; before a connection stands, nothing may."""
        if self.state is not State.CONNECTED:
            return
        for data, outcomes in (self._requests.flush(), self._outgoing.flush()):
            self._outcomes.extend(outcomes)
            if data:
                self._send(data)

    def _read_on(self) -> None:
        """Read packets that were held, now that the application has done something."""
        if self.state is State.CONNECTED:
            self._guarded(self._read)

    def _ping(self) -> None:
        self._send(encode(Pingreq(), self.settings.version))
        self._keepalive.pinged(self._now)

    def _send(self, data: bytes) -> None:
        self._output.append(data)
        self._keepalive.sent(self._now)

    def _guarded(self, action: Callable[[], None]) -> None:
        """Run what may find the server at fault; the fault ends the connection."""
        try:
            action()
        except PeerError as error:
            broken = ServerBrokeProtocol(error.code, error.text, error.clause)
            self._fail(broken, error.code if error.code in _OUR_CODES else ReasonCode.PROTOCOL_ERROR)
        except QueueFull as error:
            self._fail(error, ReasonCode.QUOTA_EXCEEDED)
        except ClientError as error:
            self._fail(error, ReasonCode.UNSPECIFIED_ERROR)

    def _fail(self, error: ClientError, code: int) -> None:
        """End the connection; say why, unless the server did so first. [MQTT5-4.13.1-1]"""
        ended = self.state is not State.CONNECTED or isinstance(error, ServerDisconnected)
        if self.settings.version == V5 and not ended:
            self._send(encode(Disconnect(code, Properties()), V5))
        self.failure = error
        self._stop()

    def _stop(self) -> None:
        self.closing = True
        self.state = State.IDLE
        self._keepalive.stop()
        # These belong to their connection; unlike a message they cannot be taken up again.
        for token in (self._exchange.token, self._proof):
            if token:
                self._outcomes.append((token, self.failure or ClientClosed("the client is closed")))
        self._exchange.token = self._proof = 0

    def _connect_packet(self, server_certificate: bytes | None) -> bytes:
        settings = self.settings
        # Later connections resume what the first began; 3.1.1 would keep a clean session for no-one.
        again = settings.version == V5 and self.connack is not None
        self._asked_clean = settings.clean_start and not again
        properties = self._connect_properties(server_certificate) if settings.version == V5 else Properties()
        password = settings.password.reveal() if settings.password is not None else None
        return encode(
            Connect(
                version=settings.version,
                clean_start=self._asked_clean,
                keepalive_s=settings.keepalive_s,
                client_id=self.client_id,
                username=settings.username,
                password=password,
                will=settings.will,
                properties=properties,
            ),
            settings.version,
        )

    def _connect_properties(self, server_certificate: bytes | None) -> Properties:
        settings = self.settings
        expiry_s = settings.session_expiry_s
        if expiry_s is None:
            expiry_s = RESUME_S if self._reconnects else 0
        properties = self._exchange.start(server_certificate)
        properties.session_expiry_interval = expiry_s or None
        properties.receive_maximum = settings.receive_maximum
        properties.maximum_packet_size = settings.max_packet_bytes
        properties.topic_alias_maximum = settings.topic_alias_maximum or None
        properties.request_response_information = 1 if settings.request_response_information else None
        properties.user_properties = settings.user_properties
        return properties

    def _read(self) -> None:
        framer = self._framer
        while not self.closing and not self.holding and framer.next():
            packet = decode(framer.buffer, framer.header, framer.body, framer.end, self.settings.version)
            self._handle(framer.header >> 4, packet)

    def _handle(self, packet_type: int, packet: Packet) -> None:
        if self.state is State.CONNECTING and packet_type not in (PacketType.CONNACK, PacketType.AUTH):
            raise ProtocolError(f"{PacketType(packet_type).name} before CONNACK", "MQTT5-3.2.0-1")
        match packet:
            case Publish():
                answer = self._incoming.publish(packet)
                if answer:
                    self._send(answer)
            case Ack():
                self._on_ack(packet)
            case Suback():
                self._on_answer(*self._requests.suback(packet))
            case Unsuback():
                self._on_answer(*self._requests.unsuback(packet))
            case Pingresp():
                if not self._keepalive.waiting:
                    raise ProtocolError("PINGRESP that nobody asked for")
                self._keepalive.ponged()
                self._on_proof()
            case Connack():
                self._on_connack(packet)
            case Auth():
                self._on_auth(packet)
            case Disconnect() if self.settings.version == V5:
                told = packet.properties
                raise ServerDisconnected(packet.code, told.reason_string, told.server_reference)
            case _:
                raise ProtocolError(f"{PacketType(packet_type).name} from a server")

    def _on_ack(self, packet: Ack) -> None:
        reason = packet.properties.reason_string if packet.properties is not None else None
        outcome: Outcome | None = None
        if packet.packet_type == PacketType.PUBACK:
            outcome = self._outgoing.puback(packet.packet_id, packet.reason_code, reason)
        elif packet.packet_type == PacketType.PUBREC:
            answer, outcome = self._outgoing.pubrec(packet.packet_id, packet.reason_code, reason)
            if answer:
                self._send(answer)
        elif packet.packet_type == PacketType.PUBREL:
            self._send(self._incoming.pubrel(packet.packet_id))
        else:
            outcome = self._outgoing.pubcomp(packet.packet_id)
        if outcome is not None:
            self._outcomes.append(outcome)
            self._flush()

    def _on_answer(self, token: int, result: tuple[int, ...] | ClientError) -> None:
        if token != OWN_TOKEN:
            self._outcomes.append((token, result))
        elif isinstance(result, ClientError):
            # A subscription that the application relies on is gone: it must hear of it.
            raise result

    def _on_connack(self, packet: Connack) -> None:
        if self.state is not State.CONNECTING:
            raise ProtocolError("a second CONNACK", "MQTT5-3.2.0-2")
        told = packet.properties
        if packet.code >= 0x80:
            raise ConnectRefused(packet.code, told.reason_string, told.server_reference)
        if packet.session_present and self._asked_clean:
            raise ProtocolError("an old session after a clean start", "MQTT5-3.2.2-2")
        self._exchange.finish(told)
        if told.assigned_client_identifier and not self.client_id:
            self.client_id = told.assigned_client_identifier
        self.connack = packet
        self.state = State.CONNECTED
        asked_s = self.settings.keepalive_s
        interval_s = told.server_keep_alive if told.server_keep_alive is not None else asked_s
        self._keepalive.start(interval_s, self._now)
        self._resume(packet)
        self._outcomes.append((CONNECT_TOKEN, packet))

    def _resume(self, packet: Connack) -> None:
        """Bring both halves of the session to what the server has of it."""
        self._incoming.begin(resumed=packet.session_present)
        self._requests.begin(resumed=packet.session_present)
        data, outcomes = self._outgoing.begin(
            Capabilities.told(packet.properties), resumed=packet.session_present
        )
        self._outcomes.extend(outcomes)
        if data:
            self._send(data)
        self._flush()

    def _on_proof(self) -> None:
        if self._proof and not self._keepalive.waiting:
            self._outcomes.append((self._proof, 0))
            self._proof = 0

    def _on_auth(self, packet: Auth) -> None:
        answer = self._exchange.answer(packet)
        if answer is not None:
            self._send(encode(answer, V5))
            return
        self._outcomes.append((self._exchange.token, 0))
        self._exchange.token = 0

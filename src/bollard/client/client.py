"""What applications use: `Client`, one object for one session with one server.

The methods here check arguments and wait; `shell` keeps the connection, `protocol` speaks MQTT.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from bollard.base.errors import BollardError, LocalError
from bollard.base.types import Secret
from bollard.client.link import Address
from bollard.client.messages import Authentication, Message, Settings
from bollard.client.protocol import State
from bollard.client.shell import Persistence, Shell
from bollard.client.trust import Trust
from bollard.wire.connect import Will
from bollard.wire.properties import Properties
from bollard.wire.spec import V5, V311
from bollard.wire.subscribe import SubscribeFilter


class Client:
    """One MQTT session with one server.

    Use it as `async with Client(...) as client`: entering connects, or raises what is wrong; leaving says
    goodbye. All methods belong to the event loop that entered it.

    Where: `host` and `port` (8883), or `unix_socket`; `websocket=True` for MQTT over WebSocket at
    `websocket_path`. Trust: `ca_file`, `pin`, `server_name` (see `Trust`); without the first two the system's
    authorities. Ourselves: `username` and `password`, or `cert_file` and `key_file`, or `authentication`.

    `connect_timeout_s` bounds one attempt, from name resolution to CONNACK. With `reconnect`, a connection that
    is lost is made again, at first after about a second and at most `reconnect_max_s` apart, until the server
    says something that repeating cannot heal; `on_reconnect` is told the cause and the delay each time. The
    first connection is never repeated. The other arguments are those of `Settings`.

    What weakens the protection begins with `allow_`: `allow_plaintext` uses no TLS; `allow_any_server` does
    not check who answers; `allow_plaintext_password` sends a password, or the data of an authentication
    mechanism, in spite of either.
    """

    def __init__(
        self,
        host: str = "",
        port: int = 0,
        *,
        unix_socket: str = "",
        websocket: bool = False,
        websocket_path: str = "/mqtt",
        ca_file: str | Path | None = None,
        pin: str = "",
        server_name: str = "",
        cert_file: str | Path | None = None,
        key_file: str | Path | None = None,
        username: str | None = None,
        password: str | bytes | Secret | None = None,
        authentication: Authentication | None = None,
        client_id: str = "",
        version: int = V5,
        clean_start: bool = True,
        session_expiry_s: int | None = None,
        keepalive_s: int = 60,
        will: Will | None = None,
        user_properties: tuple[tuple[str, str], ...] = (),
        request_response_information: bool = False,
        receive_maximum: int = 100,
        max_packet_bytes: int = 1_048_576,
        topic_alias_maximum: int = 16,
        max_queue_messages: int = 1_000,
        max_queue_bytes: int = 16_777_216,
        connect_timeout_s: float = 10.0,
        reconnect: bool = False,
        reconnect_max_s: float = 60.0,
        on_reconnect: Callable[[BollardError, float], None] | None = None,
        allow_plaintext: bool = False,
        allow_plaintext_password: bool = False,
        allow_any_server: bool = False,
    ) -> None:
        address = Address(
            host=host,
            port=port,
            unix_path=unix_socket,
            websocket=websocket,
            websocket_path=websocket_path,
            allow_plaintext=allow_plaintext,
        )
        trust = Trust(
            ca_file=Path(ca_file) if ca_file else None,
            pin=pin,
            server_name=server_name,
            cert_file=Path(cert_file) if cert_file else None,
            key_file=Path(key_file) if key_file else None,
            allow_any_server=allow_any_server,
        )
        settings = Settings(
            version=version,
            client_id=client_id,
            clean_start=clean_start,
            session_expiry_s=session_expiry_s,
            keepalive_s=keepalive_s,
            username=username,
            password=_secret(password),
            will=will,
            authentication=authentication,
            receive_maximum=receive_maximum,
            max_packet_bytes=max_packet_bytes,
            topic_alias_maximum=topic_alias_maximum,
            max_queue_messages=max_queue_messages,
            max_queue_bytes=max_queue_bytes,
            user_properties=user_properties,
            request_response_information=request_response_information,
        )
        if not allow_plaintext_password:
            _refuse_exposure(address, trust, settings)
        persistence = Persistence(
            connect_timeout_s=connect_timeout_s,
            reconnect=reconnect,
            reconnect_max_s=reconnect_max_s,
            told=on_reconnect,
        )
        self._shell = Shell(address, trust, settings, persistence)
        self._core = self._shell.core

    # -- what is known ----------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        return self._core.state is State.CONNECTED

    @property
    def verifies_server(self) -> bool:
        """Does TLS verify who answers? Not in plaintext, on a Unix socket, or with `allow_any_server`."""
        return self._shell.verifies_server

    @property
    def client_id(self) -> str:
        """Ours, or the one that the server assigned."""
        return self._core.client_id

    @property
    def session_present(self) -> bool:
        """Did the last connection resume a session of the server?"""
        return self._core.connack is not None and self._core.connack.session_present

    @property
    def server_properties(self) -> Properties:
        """What the server said in its last CONNACK; empty with 3.1.1."""
        return self._core.connack.properties if self._core.connack is not None else Properties()

    @property
    def dropped(self) -> int:
        """Messages of QoS 0 that found no room while an answer was awaited (see `messages`)."""
        return self._core.inbox.dropped

    # -- life -------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._shell.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self, *, send_will: bool = False) -> None:
        """Say goodbye and end. With `send_will`, the server publishes the will nevertheless.

        What still waits for an answer fails with `ClientClosed`; closing again does nothing.
        """
        await self._shell.close(send_will=send_will)

    # -- the application's verbs ------------------------------------------------------------------------

    async def publish(
        self,
        topic: str,
        payload: str | bytes = b"",
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> int:
        """Publish, and return when the server has it: written (QoS 0), PUBACK (1), PUBCOMP (2).

        The result is the reason code: 0, or 0x10 if the server says that nobody subscribes. Raises
        `PublishRefused`, `NotSupported`, or why the connection ended. While reconnecting it waits. Cancelling
        it does not take the message back.
        """
        self._shell.check_open()
        if qos not in (0, 1, 2):
            raise LocalError(f"there is no QoS {qos}", "QoS is 0, 1 or 2.")
        if properties is not None and self._core.settings.version == V311:
            raise LocalError("MQTT 3.1.1 has no properties", "Leave them out, or use version 5.")
        data = payload.encode() if isinstance(payload, str) else bytes(payload)
        token = self._core.publish(
            topic, data, qos=qos, retain=retain, properties=properties, now=self._shell.now()
        )
        result = await self._shell.answer(token)
        if self._shell.link is not None:
            await self._shell.link.drain()
        return result if isinstance(result, int) else 0

    async def subscribe(
        self,
        *filters: str | SubscribeFilter,
        qos: int = 0,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        identifier: int = 0,
    ) -> tuple[int, ...]:
        """Subscribe, and return the granted QoS of each filter. Raises `SubscribeRefused` if one was refused.

        The keywords are for filters given as text. `identifier` (5.0) comes back with each message. After a
        reconnection to a server that lost the session, subscriptions are made again.
        """
        self._shell.check_open()
        asked = tuple(
            SubscribeFilter(each, qos, no_local, retain_as_published, retain_handling)
            if isinstance(each, str)
            else each
            for each in filters
        )
        result = await self._shell.answer(self._core.subscribe(asked, identifier, self._shell.now()))
        return result if isinstance(result, tuple) else ()

    async def unsubscribe(self, *filters: str) -> None:
        """End subscriptions. Raises `UnsubscribeRefused` if the server keeps one."""
        self._shell.check_open()
        await self._shell.answer(self._core.unsubscribe(filters, self._shell.now()))

    async def keep_roots(self, identity: str, path: str | Path) -> bool:
        """Make `path`, the file of roots (PEM) that this client trusts, what a Bollard broker says it should be.

        For a client that is connected as `identity`, on a connection of its own: messages that arrive meanwhile
        are dropped. Gives whether the file has changed; it counts from the next connection on. Raises
        `ServerNotTrusted` for what cannot be the server's roots, `ClientError` if it does not say.
        """
        from bollard.client.kept_roots import keep_roots  # reads certificates, which most clients never do

        return await keep_roots(self, identity, Path(path))

    async def reauthenticate(self) -> None:
        """Authenticate again on the same connection, by the mechanism that began it (5.0)."""
        self._shell.check_open()
        certificate = self._shell.link.server_certificate if self._shell.link is not None else None
        await self._shell.answer(self._core.reauthenticate(self._shell.now(), certificate))

    @property
    def messages(self) -> AsyncIterator[Message]:
        """Messages as they arrive, each to one taker. Ends when the client is closed; raises why the
        connection ended otherwise.

        A message of QoS 1 or 2 is acknowledged when it is handed out. While too many wait, nothing is read from
        the server, which thus has to wait; only if one of our own operations needs its answer, reading goes on
        and QoS 0 messages without room are dropped and counted in `dropped`.
        """
        return self._shell.messages()


def _secret(password: str | bytes | Secret | None) -> Secret | None:
    if password is None or isinstance(password, Secret):
        return password
    return Secret(password.encode() if isinstance(password, str) else bytes(password))


def _refuse_exposure(address: Address, trust: Trust, settings: Settings) -> None:
    """No secret goes to whoever listens, not even on loopback: there, too, anyone may have taken the port."""
    if settings.password is None and settings.authentication is None:
        return
    remedy = "Use TLS and the server's CA file; allow_plaintext_password sends it all the same."
    if not address.secure:
        raise LocalError("a password is not sent over plaintext", remedy)
    if trust.allow_any_server and not address.unix_path:
        raise LocalError("a password is not sent to a server that is not verified", remedy)

"""The life of a client around `protocol.ClientProtocol`: event loop, clock, link, waiting futures, reconnecting.

What bytes mean is decided in `protocol`, whom to trust in `trust`; what applications call is in `client`.
"""

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from bollard.base.errors import BollardError, LocalError
from bollard.client.backoff import Backoff
from bollard.client.errors import (
    AuthenticationFailed,
    ClientClosed,
    ClientError,
    ConnectFailed,
    ServerNotTrusted,
)
from bollard.client.link import CLOSE_S, Address, Link, open_link
from bollard.client.messages import Message, Settings
from bollard.client.protocol import CONNECT_TOKEN, ClientProtocol, Result
from bollard.client.root import MAX_ROOT_BYTES, AskRoot
from bollard.client.trust import Trust, client_context, explain, fetch_pinned_root, normal_pins

#: A connection that stood this long was good: the next loss begins with the shortest delay again.
STABLE_S = 10.0
FIRST_DELAY_S = 1.0
#: How long closing waits for a sign that the last messages of QoS 0 arrived.
ARRIVAL_S = 15.0
#: A server may put many packets into one WebSocket message: so much more than one packet is taken.
WEBSOCKET_SLACK = 8_388_608


@dataclass(frozen=True, slots=True, kw_only=True)
class Persistence:
    """How hard to try. `connect_timeout_s` bounds one attempt; `told` hears cause and delay of each next one."""

    connect_timeout_s: float = 10.0
    reconnect: bool = False
    reconnect_max_s: float = 60.0
    told: Callable[[BollardError, float], None] | None = None


class Shell:
    """One client, from its first connection to its end."""

    def __init__(self, address: Address, trust: Trust, settings: Settings, persistence: Persistence) -> None:
        self.core = ClientProtocol(settings, reconnects=persistence.reconnect)
        self.link: Link | None = None
        self._address = address
        self._trust = trust
        self._persistence = persistence
        self._backoff = Backoff(FIRST_DELAY_S, persistence.reconnect_max_s)
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: dict[int, asyncio.Future[Result]] = {}
        self._wake = asyncio.Event()
        self._ended: BollardError | None = None
        self._again: asyncio.Task[None] | None = None
        self._entered = False
        self._pinned_root: bytes | None = None
        self._connected_at = 0.0

    async def open(self) -> None:
        """Connect for the first time; raises what is wrong."""
        if self._entered:
            raise LocalError("a client can be entered only once", "Make a new Client.")
        self._entered = True
        try:
            await self._connect()
        except BaseException:
            self._ended = ClientClosed("the client never connected")
            raise

    async def close(self, *, send_will: bool = False) -> None:
        """Say goodbye and end; what still waits for an answer fails with `ClientClosed`."""
        if self._again is not None:
            self._again.cancel()
            await asyncio.wait({self._again})
        await self._arrive()
        if self._ended is None:
            self._ended = ClientClosed("the client is closed")
            self.core.disconnect(self.now(), send_will=send_will)
            self.core.abandon(self._ended)
        self.after()
        await self._hang_up()

    async def _arrive(self) -> None:
        """Wait until what was sent at QoS 0 has arrived: hanging up could cut it off on a slow network."""
        token = self.core.prove(self.now())
        if token:
            with contextlib.suppress(ClientError, TimeoutError):
                async with asyncio.timeout(ARRIVAL_S):
                    await self.answer(token)

    async def _connect(self) -> None:
        """One attempt: link, CONNECT, CONNACK. Raises `ClientError`; `LocalError` for our own files."""
        place = str(self._address)
        try:
            async with asyncio.timeout(self._persistence.connect_timeout_s):
                await self._attempt()
        except (OSError, TimeoutError) as error:
            await self._hang_up()
            raise explain(error, place) from error
        except BaseException:
            await self._hang_up()
            raise
        self._connected_at = self.now()

    async def _attempt(self) -> None:
        link = await open_link(
            self._address,
            await self._context(),
            self._trust.server_name,
            self._on_data,
            self._on_lost,
            self.core.settings.max_packet_bytes + WEBSOCKET_SLACK,
        )
        self.link = link
        if link.closed.is_set():
            raise ConnectionResetError("the server hung up at once")
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting[CONNECT_TOKEN] = answer
        self.core.connect(self.now(), link.server_certificate)
        self.after()
        try:
            _result(await answer)
        finally:
            self._waiting.pop(CONNECT_TOKEN, None)

    async def _context(self) -> ssl.SSLContext | None:
        address, trust = self._address, self._trust
        if address.unix_path or address.allow_plaintext:
            return None
        # With several pins, which of them the server has may change while we live.
        if trust.pin and trust.ca_file is None and (self._pinned_root is None or "," in trust.pin):
            self._pinned_root = await find_pinned_root(address, trust)
        return client_context(trust, self._pinned_root, websocket=address.websocket)

    async def _hang_up(self) -> None:
        link, self.link = self.link, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if link is None:
            return
        link.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * CLOSE_S):
                await link.closed.wait()

    @property
    def verifies_server(self) -> bool:
        """Whether TLS is used and verifies the server's chain and name."""
        address = self._address
        return not (address.unix_path or address.allow_plaintext or self._trust.allow_any_server)

    async def messages(self) -> AsyncIterator[Message]:
        """Messages until the client is closed; raises why the connection ended otherwise."""
        while True:
            while len(self.core.inbox):
                message = self.core.take_message(self.now())
                self.after()
                yield message
            if isinstance(self._ended, ClientClosed):
                return
            self.check_open()
            self._wake.clear()
            await self._wake.wait()

    # -- inside -----------------------------------------------------------------------------------------

    def now(self) -> float:
        """Monotonic seconds of the event loop: the time that `core` wants."""
        return asyncio.get_running_loop().time()

    def check_open(self) -> None:
        """Raise why nothing can be asked of this client, if so."""
        if not self._entered:
            raise LocalError(
                "the client is not connected", "Use it inside `async with Client(...) as client`."
            )
        if self._ended is not None:
            raise self._ended

    async def answer(self, token: int) -> Result:
        """The result of an operation of `core`; raises its error."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting[token] = future
        self.after()
        try:
            return _result(await future)
        finally:
            self._waiting.pop(token, None)

    def after(self) -> None:
        """Carry out what the protocol decided: results to those who wait, bytes to the link, the next timer."""
        core, link = self.core, self.link
        for token, result in core.take_outcomes():
            future = self._waiting.pop(token, None)
            if future is not None and not future.done():
                future.set_result(result)
        if link is not None:
            data = core.take_output()
            if data:
                link.write(data)
            link.set_reading(not core.holding)
            if core.closing:
                link.close()
            else:
                self._set_timer(core.next_deadline())
        if len(core.inbox) or self._ended is not None:
            self._wake.set()

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= deadline and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer = (
            None if deadline == float("inf") else asyncio.get_running_loop().call_at(deadline, self._tick)
        )

    def _tick(self) -> None:
        self._timer = None
        self.core.tick(self.now())
        self.after()

    def _on_data(self, link: Link, data: bytes) -> None:
        if link is self.link:
            self.core.receive(data, self.now())
            self.after()

    def _on_lost(self, link: Link, error: Exception | None) -> None:
        if link is not self.link:
            return
        self.link = None
        connecting = self._waiting.get(CONNECT_TOKEN)
        self.core.lost(explain(error, str(self._address)) if isinstance(error, ssl.SSLError) else None)
        cause = self.core.failure or ConnectFailed("the connection was lost")
        if connecting is not None:
            if not connecting.done():
                connecting.set_result(cause)
        elif self._ended is None:
            self._go_on(cause)

    def _go_on(self, cause: ClientError) -> None:
        """A standing connection is gone: connect again if that can help, else end."""
        if not (self._persistence.reconnect and cause.heals):
            self._finish(cause)
            return
        if self.now() - self._connected_at >= STABLE_S:
            self._backoff.reset()
        self._again = asyncio.get_running_loop().create_task(self._connect_again(cause))

    async def _connect_again(self, cause: ClientError) -> None:
        while True:
            delay_s = self._backoff.next_s()
            if self._persistence.told is not None:
                self._persistence.told(cause, delay_s)
            await asyncio.sleep(delay_s)
            try:
                await self._connect()
                return
            except ClientError as error:
                if not error.heals:
                    self._finish(error)
                    return
                cause = error
            except BollardError as error:
                self._finish(error)
                return
            except Exception as error:
                # A fault of ours must not leave the application waiting for ever.
                self._finish(ClientError(f"connecting again failed: {error!r}"))
                raise

    def _finish(self, error: BollardError) -> None:
        """There will be no connection any more: tell everyone who waits."""
        self._ended = error
        wrapped = error if isinstance(error, ClientError) else ClientError(str(error))
        self.core.abandon(wrapped)
        self.after()


async def find_pinned_root(address: Address, trust: Trust) -> bytes:
    """The root certificate (DER) that `trust.pin` names: from the chain that the server presents, else by asking it.

    Neither way verifies who answers or says anything secret; the whole SHA-256 decides. The caller then connects
    anew and verifies against that root alone. `ServerNotTrusted` if neither way brings it.
    """
    try:
        return await fetch_pinned_root(address.host, address.actual_port, trust)
    except ServerNotTrusted as untrusted:
        # A chain need not hold its root [RFC 8446, 4.4.2], and that of our own broker does not.
        try:
            root = await shown_root(address, trust.server_name)
        except ClientError as error:
            raise untrusted from error
        if hashlib.sha256(root).hexdigest() not in normal_pins(trust.pin):
            raise
        return root


async def shown_root(address: Address, server_name: str = "") -> bytes:
    """The root (DER, `MAX_ROOT_BYTES` at most) that the server shows to whoever asks by BOLLARD-ROOT.

    Nobody is verified, so compare it with a pin. Raises `ClientError` where none is shown.
    """
    asking = AskRoot()
    shell = Shell(
        address,
        Trust(server_name=server_name, allow_any_server=True),
        Settings(authentication=asking, max_packet_bytes=2 * MAX_ROOT_BYTES),
        Persistence(),
    )
    with contextlib.suppress(AuthenticationFailed):
        await shell.open()
    if not asking.root:
        raise AuthenticationFailed("the server did not show its root")
    return asking.root


def _result(result: Result) -> Result:
    if isinstance(result, BollardError):
        raise result
    return result

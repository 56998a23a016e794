"""The running broker as control sees it: what a worker thread asks is done on the loop, and waited for."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TypeVar

from msgspec import structs

from bollard import __version__
from bollard.base.types import Principal
from bollard.engine.broker import Broker
from bollard.engine.ports import Authorizer
from bollard.engine.tallies import Tally, busiest
from bollard.identity.enrollment_rights import ENROLLING, RENEWING
from bollard.net.pump import Pump
from bollard.server.build import is_compiled
from bollard.server.requests import MAX_CLIENTS, ClientInfo, Ended, Reloaded, Status, Traffic
from bollard.server.revocation import IdentityEnded

Answer = TypeVar("Answer")

#: The loop never takes so long; if it does, the asker must not hang for ever.
LOOP_TIMEOUT_S = 30.0

VERSION_NAMES = {3: "3.1", 4: "3.1.1", 5: "5.0"}


class LiveBroker:
    """`control.Live` over a broker and its pump. Make it on the loop; call its methods from other threads."""

    def __init__(
        self,
        broker: Broker,
        pump: Pump,
        authorizer: Callable[[], Authorizer],
        *,
        describe: Callable[[], Status],
        reload: Callable[[], Reloaded],
        port: Callable[[], int],
        traffic: Callable[[], Mapping[str, Tally]],
    ) -> None:
        """`authorizer` gives who may do what as of now, `describe` a status without clients; both, `reload`
        and `port` are called on the loop. `traffic` gives the tally of each principal, on any thread."""
        self._loop = asyncio.get_running_loop()
        self._broker = broker
        self._pump = pump
        self._authorizer = authorizer
        self._describe = describe
        self._reload = reload
        self._port = port
        self._traffic = traffic

    def registry_changed(self) -> None:
        self._on_loop(self.apply_policy)

    def apply_policy(self) -> None:
        """Judge everything anew by registry and policy as they are. On the loop only."""
        self._broker.set_authorizer(self._authorizer(), time.monotonic())
        self._pump.wake()

    def end(self, principal: Principal, code: int, reason: str, *, purge: bool) -> Ended:
        def kick() -> Ended:
            now = time.monotonic()
            report = self._broker.kick(principal, code, reason, now, purge=purge)
            asking = 0
            for prefix in (ENROLLING, RENEWING):  # they ask for a certificate in its name
                asked = self._broker.kick(prefix + principal, code, reason, now, purge=True)
                asking += asked.connections
            self._pump.wake()
            self._pump.emit(IdentityEnded.of(principal, code, reason, report))
            return Ended(
                connections=report.connections + asking,
                sessions=report.sessions,
                wills=report.wills,
                retained=report.retained,
            )

        return self._on_loop(kick)

    def connections_of(self, principal: Principal) -> int:
        return self._on_loop(
            lambda: sum(c.connected and c.principal == principal for c in self._broker.connections())
        )

    def traffic_of(self, principal: Principal) -> Traffic:
        tally = self._traffic().get(principal)
        return Traffic(**tally.as_dict()) if tally is not None else Traffic()

    def status(self) -> Status:
        traffic = {
            name: Traffic(**tally.as_dict()) for name, tally in busiest(self._traffic(), MAX_CLIENTS).items()
        }
        return structs.replace(self._on_loop(self._status), traffic=traffic)

    def reload(self) -> Reloaded:
        return self._on_loop(self._reload)

    def port(self) -> int:
        return self._on_loop(self._port)

    def _status(self) -> Status:
        connected = [connection for connection in self._broker.connections() if connection.connected]
        clients = tuple(
            ClientInfo(
                principal=connection.principal,
                client_id=connection.client_id,
                address=connection.peer.address,
                listener=connection.peer.listener,
                version=VERSION_NAMES.get(connection.version, "?"),
            )
            for connection in connected[:MAX_CLIENTS]
        )
        return structs.replace(self._describe(), connected=len(connected), clients=clients)

    def _on_loop(self, act: Callable[[], Answer]) -> Answer:
        done: Future[Answer] = Future()

        def run() -> None:
            try:
                done.set_result(act())
            except Exception as error:  # handed to the thread that asked, which tells its user
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result(LOOP_TIMEOUT_S)


def bare_status(
    started: float,
    listeners: tuple[str, ...],
    weak: tuple[str, ...],
    numbers: dict[str, int],
    policy_fault: str,
) -> Status:
    """A status of this process without its clients; `started` is a monotonic time."""
    return Status(
        running=True,
        version=__version__,
        compiled=is_compiled(),
        pid=os.getpid(),
        uptime_s=round(time.monotonic() - started, 3),
        listeners=listeners,
        weaknesses=weak,
        policy_fault=policy_fault,
        counters=numbers,
    )

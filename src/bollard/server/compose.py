"""The composition root: builds the broker with everything around it, and runs it. The only file that
knows all. Decides nothing itself; what a part does is in that part.

Order of a start: everything that can be wrong without a network is found first (lock, registry, policy,
certificates), then listeners are bound, then the world is told. A start that fails leaves nothing behind.
"""

import asyncio
import contextlib
import gc
import resource
import secrets
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bollard import __version__
from bollard.base.errors import BollardError, LocalError
from bollard.base.events import ClientConnected, ClientDisconnected, Event, ServerEvent, ServerWarning
from bollard.engine.broker import Broker
from bollard.engine.ports import Authorizer
from bollard.identity import key_proof, show_root
from bollard.identity.crl import is_due
from bollard.identity.enroll import Desk
from bollard.identity.enrollment_rights import EnrollmentRights
from bollard.identity.ports import Mechanism
from bollard.identity.principal import RegistryAuthenticator
from bollard.identity.psk import PskKeys
from bollard.identity.records import State
from bollard.identity.scram_mechanism import scram_mechanisms
from bollard.identity.serving import ServerCertificates, ensure_server_certificates
from bollard.identity.slow_check import SlowChecks
from bollard.net.channels import INDIRECT
from bollard.net.guard import Guard, Guesses
from bollard.net.listener import Listener, ListenerSettings
from bollard.net.loop import new_event_loop
from bollard.net.psk import psk_context
from bollard.net.pump import Pump
from bollard.net.tls import (
    CertificateFiles,
    ServerContext,
    reload_certificates,
    server_context,
    trust_clients,
)
from bollard.server.access import Access
from bollard.server.advertise import advertised_listener, certificate_names, reachable_at
from bollard.server.audit import AuditTrail
from bollard.server.audit_entries import FileLoaded
from bollard.server.build import is_compiled
from bollard.server.config import Config, ListenerConfig, weaknesses
from bollard.server.control import Control
from bollard.server.control_socket import ControlServer
from bollard.server.diagnosis import Diagnosis
from bollard.server.durability import Durability
from bollard.server.enrollment import EnrollmentService
from bollard.server.failures import Failures
from bollard.server.hearing import Hearing
from bollard.server.identities import Identities, open_identities
from bollard.server.learning import Learning
from bollard.server.live import LiveBroker, bare_status
from bollard.server.metrics import BrokerMetrics, MetricsServer
from bollard.server.numbers import Numbers
from bollard.server.observers import EventLog, Observer
from bollard.server.readiness import notify, reloading, watchdog_interval_s
from bollard.server.requests import Reloaded, Status
from bollard.server.revocation import LapseWatch
from bollard.server.state import StateDirectory, keep_memory_off_disk, make_authorities
from bollard.server.sys_topics import SysTopics
from bollard.store.database import StateLock

#: How often the policy file is looked at, and how often the certificates.
POLICY_POLL_S = 1.0
CERTIFICATE_POLL_S = 3600.0
#: How often it is asked whether a client's certificate has expired while it is connected.
LAPSE_POLL_S = 0.5
#: How often what was learned is written to disk.
LEARNED_S = 30.0
#: How often the head of the audit log is told, for whoever collects what is logged.
AUDIT_HEAD_S = 3600.0
#: Events of clients that merely connect and leave, which neither a denial nor the audit log is about.
COMING_AND_GOING = (ClientConnected, ClientDisconnected)
#: What clients get to take their last bytes when the broker stops.
STOP_GRACE_S = 2.0


class SystemEntropy:
    """`engine.ports.Entropy` from the operating system."""

    def token(self) -> str:
        return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Started:
    """What the world may know once everything listens: each listener's kind and bound address.

    `devices` is how many identities are enrolled and not revoked.
    """

    listeners: tuple[tuple[str, str], ...]
    pin: str
    root_file: str
    devices: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """What a service of a higher floor gets to work with. `context` is for HTTPS and follows reloads.

    `changed` is to be called on the loop after a change of the registry, `emit` with what should be logged;
    `guesses` says when a secret may be tried again, and is to be told, on the loop, what came of it.
    """

    config: Config
    desk: Desk
    context: ServerContext
    changed: Callable[[], None]
    emit: Callable[[Event], None]
    guesses: Guesses


#: A service of a higher floor: entered, it listens, and gives its kind and the address that it is bound to.
Service = Callable[[Offer], contextlib.AbstractAsyncContextManager[tuple[str, str]]]


def run(config: Config, announce: Callable[[Started], None], services: Sequence[Service] = ()) -> None:
    """Run the broker until SIGTERM or SIGINT. `announce` is called once, when everything listens.

    `services` are what higher floors serve beside it.
    Raises LocalError if it cannot start; then nothing is left listening.
    """
    state = StateDirectory(config.state_dir)
    log = EventLog(config.log)
    keep_memory_off_disk()
    with StateLock(state.root):
        recovery = make_authorities(state.root, config.unlock)
        if recovery is not None:
            log.tell(ServerWarning("authorities made", f"move {recovery} off this machine, to a safe place"))
        files = raise_file_limit()
        if files < config.transport_limits.max_connections:
            log.tell(ServerWarning("files", f"{files} open files bound max_connections; raise LimitNOFILE"))
        with (
            AuditTrail(
                state.audit,
                config.audit.max_log_bytes,
                lambda text: log.tell(ServerWarning("audit log", text)),
            ) as trail,
            open_identities(
                state,
                lambda text: log.tell(ServerWarning("revocation log", text)),
                trail.identity_changed,
                config.unlock,
            ) as identities,
        ):
            if identities.authorities.encrypted_now:
                names = ", ".join(identities.authorities.encrypted_now)
                log.tell(ServerWarning("authorities encrypted", f"{names} lay there unencrypted until now"))
            tell_head(log, trail)
            server = Server(config, state, identities, log, trail, services)
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(server.run(announce))
        tell_head(log, trail)


class Server:
    """One broker with its listeners, observers and chores."""

    def __init__(
        self,
        config: Config,
        state: StateDirectory,
        identities: Identities,
        log: EventLog,
        trail: AuditTrail,
        services: Sequence[Service] = (),
    ) -> None:
        """Find everything that is wrong before the loop starts. Raises LocalError."""
        self._trail = trail
        self._learning = Learning(state.learning, trail.record)
        self._config = config
        self._services = services
        self._served: list[tuple[str, str]] = []
        self._state = state
        self._identities = identities
        self._log = log
        self._failures = Failures(identities.registry.snapshot)
        self._access = Access(config.policy, lambda: identities.registry.snapshot().templates)
        self._certificates = self._ensure_certificates()
        self._contexts: dict[str, ServerContext] = {}
        self._listeners: list[tuple[ListenerConfig, Listener]] = []
        self._started = time.monotonic()
        self._hearing = Hearing(self._who_hears)
        self._for_the_record: list[Event] = [
            ServerWarning("registry older than the revocation log", f"{identity} is ended again")
            for identity in identities.ended_again
        ]
        self._weak = tuple(weaknesses(config))

    async def run(self, announce: Callable[[Started], None]) -> None:
        """Start, serve until a signal says stop, stop."""
        self._stopping = asyncio.Event()
        self._build()
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._announce(announce)
            gc.collect()
            gc.freeze()  # what lives as long as the process is not looked at again
            # Messages come and go by reference count; cycles are rare, and looking for them is not free.
            gc.set_threshold(50_000, 20, 50)
            await self._stopping.wait()
            notify("STOPPING=1")
            self._emit(ServerEvent("stopping"))
        self._emit(ServerEvent("stopped"))

    def _build(self) -> None:
        config, now = self._config, time.monotonic()
        self._durability = Durability(self._state.sessions, config.store)
        self._broker = self._durability.restore(self._make_broker)
        self._forget_revoked()
        self._numbers = Numbers(self._broker)
        self._metrics = BrokerMetrics(
            self._numbers.read,
            __version__,
            is_compiled(),
            self._numbers.of_principals,
            self._hearing.counts,
        )
        self._diagnosis = Diagnosis(self._publish_own, self._access.current)
        self._sys = SysTopics(__version__, self._numbers.read, now)
        limits = replace(
            config.transport_limits,
            max_connect_bytes=config.limits.max_connect_bytes,
            max_packet_bytes=config.limits.max_packet_bytes,
        )
        registry, verifier = self._identities.registry, self._identities.verifier
        self._watch = LapseWatch(self._broker, registry.snapshot, self._emit)
        self._desk = Desk(registry, self._identities.authorities, self._credentials_ended)
        self._enrollment = self._make_enrollment()
        self._slow = (
            SlowChecks(verifier.password_pepper, time.monotonic) if config.allow_human_passwords else None
        )
        mechanisms, used = self._mechanisms(), self._enrollment.used
        # Without passwords of people: what is left are secrets that were generated.
        generated = RegistryAuthenticator(registry.snapshot, verifier, mechanisms=mechanisms, used=used)
        authenticator = RegistryAuthenticator(
            registry.snapshot, verifier, mechanisms=mechanisms, used=used, slow=self._slow
        )
        self._guard = Guard(authenticator, limits, self._emit, unguessable=generated)
        self._pump = Pump(self._broker, self._guard, self._hearing.tell, limits=limits)
        self._pump.requested = self._enrollment.requested
        self._durability.start(self._pump)
        self._live = LiveBroker(
            self._broker,
            self._pump,
            self._authorizer,
            describe=self._describe,
            reload=self.reload,
            port=self._advertised_port,
            traffic=self._numbers.of_principals,
        )

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        """Bind and start everything; the stack undoes it in reverse order."""
        stack.callback(self._close_store)
        if self._slow is not None:
            stack.callback(self._slow.close)
        stack.push_async_callback(self._stop_pump)
        self._pump.wake()
        for listener_config in self._config.listeners:
            listener = self._listener(listener_config)
            await listener.start()
            stack.push_async_callback(listener.stop)
            self._listeners.append((listener_config, listener))
        self._control = Control(
            self._config,
            self._identities.registry,
            self._identities.authorities,
            self._live,
            self._failures,
            self._learning,
        )
        stack.push_async_callback(self._enrollment.stop)
        stack.callback(self._keep_learned)
        for service in self._services:
            self._served.append(await stack.enter_async_context(service(self._offer())))
        handle = self._trail.after_writing(self._control.handle)
        server = ControlServer(self._state.control_socket, handle, self._fault)
        await server.start()
        stack.push_async_callback(server.stop)
        self._start_metrics(stack)
        self._handle_signals()
        for chore in self._chores():
            task = asyncio.create_task(chore)
            stack.callback(task.cancel)

    def _announce(self, announce: Callable[[Started], None]) -> None:
        self._tell_store()
        for event in self._for_the_record:
            self._emit(event)
        for sentence in (*self._weak, *self._access.weaknesses(), *self._learning.weaknesses()):
            self._log.tell(ServerWarning("weakened", sentence))
        for sentence in self._certificates.renewed:
            self._emit(ServerEvent("certificate issued", sentence))
        bound = self._bound()
        if is_compiled() and INDIRECT:
            self._emit(ServerEvent("TLS by way of Python's ssl module", INDIRECT))
        self._emit(ServerEvent("started", ", ".join(f"{kind} {address}" for kind, address in bound)))
        self._emit(FileLoaded.of("configuration", self._config.file))
        self._emit(FileLoaded.of("policy", self._access.path))
        authorities = self._identities.authorities
        devices = len(self._identities.registry.snapshot().templates)
        announce(Started(bound, authorities.pin, str(authorities.root_file), devices))
        notify("READY=1", f"STATUS=listening on {', '.join(address for _, address in bound)}")

    def _make_broker(self) -> Broker:
        return Broker(
            limits=self._config.limits,
            authorizer=self._authorizer(),
            entropy=SystemEntropy(),
            now=time.monotonic(),
            durable=True,
            response_information=self._config.response_information,
            server_reference=self._config.server_reference,
        )

    def _authorizer(self) -> Authorizer:
        registry = self._identities.registry.snapshot()
        rights = EnrollmentRights(self._access.authorizer(registry), registry)
        rules = self._access.current().rules
        return self._learning.over(rights, self._access.path, rules, lambda: registry.templates)

    def _mechanisms(self) -> dict[str, Mechanism]:
        registry = self._identities.registry
        return {
            **scram_mechanisms(registry.snapshot, self._identities.verifier),
            key_proof.METHOD: key_proof.KeyProofMechanism(registry.snapshot),
            show_root.METHOD: show_root.ShowRootMechanism(lambda: self._identities.authorities.root),
        }

    def _make_enrollment(self) -> EnrollmentService:
        def publish(topic: str, payload: bytes) -> None:
            self._broker.publish(topic, payload, qos=1, now=time.monotonic())
            self._pump.wake()

        return EnrollmentService(
            self._desk,
            publish=publish,
            changed=lambda: self._live.apply_policy(),
            emit=self._emit,
            address=lambda: reachable_at(self._config, self._advertised_port()),
        )

    def _forget_revoked(self) -> None:
        """What identities left that were revoked while no broker ran, or came back with a backup."""
        for identity in self._identities.registry.list():
            if identity.state is State.REVOKED:
                self._broker.kick(identity.id, 0, "the identity is revoked", time.monotonic(), purge=True)

    async def _stop_pump(self) -> None:
        self._durability.stopped_well(await self._pump.stop(STOP_GRACE_S))

    def _close_store(self) -> None:
        self._durability.close()
        self._tell_store()

    def _tell_store(self) -> None:
        events, self._durability.events = self._durability.events, []
        for event in events:
            self._emit(event)

    # --- parts ---------------------------------------------------------------------------------------

    def _listener(self, config: ListenerConfig) -> Listener:
        settings = ListenerSettings(
            host=config.bind.host,
            port=config.bind.port,
            path=config.bind.path,
            websocket=config.websocket,
            origins=config.origins,
            allow_plaintext=config.allow_plaintext,
            allow_plaintext_from=config.allow_plaintext_from,
            allow_anonymous=config.allow_anonymous,
            name=config.name,
        )
        context: ServerContext | None = None
        if config.psk:
            verifier = self._identities.verifier
            context = psk_context(PskKeys(self._identities.registry.snapshot, verifier.psk_master).find)
        elif config.encrypted:
            context = self._context(config.transport)
        return Listener(settings, self._pump, context)

    def _context(self, transport: str) -> ServerContext:
        """One context for all listeners of a transport, so that a reload has few to change."""
        if transport not in self._contexts:
            self._contexts[transport] = server_context(
                _files(self._certificates),
                client_ca=self._identities.authorities.device_ca_file,
                transport=transport,
            )
        return self._contexts[transport]

    def _start_metrics(self, stack: contextlib.AsyncExitStack) -> None:
        """Metrics that cannot be served are said aloud, but are no reason not to serve MQTT."""
        bind = self._config.metrics.bind
        if bind is None:
            return
        try:
            server = MetricsServer(bind, self._metrics)
        except LocalError as error:
            self._emit(ServerWarning("metrics", _one_line(error)))
            return
        stack.callback(server.close)
        self._emit(ServerEvent("metrics", f"http://{replace(bind, port=server.port)}/metrics"))

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)

    def _chores(self) -> list[Coroutine[Any, Any, None]]:
        """What is done again and again. A chore that fails once is reported and goes on."""
        self._refresh_crl()
        chores = [
            self._every(POLICY_POLL_S, self._watch_policy),
            self._every(LAPSE_POLL_S, self._sweep),
            self._every(CERTIFICATE_POLL_S, self._refresh_crl),
            self._every(CERTIFICATE_POLL_S, self._renew_certificates),
            self._every(LEARNED_S, self._keep_learned_aside),
            self._every(AUDIT_HEAD_S, lambda: tell_head(self._log, self._trail)),
        ]
        if self._config.sys_interval_s:
            self._publish_sys()
            chores.append(self._every(self._config.sys_interval_s, self._publish_sys))
        if watchdog_interval_s():
            chores.append(self._every(watchdog_interval_s(), lambda: notify("WATCHDOG=1")))
        return chores

    async def _every(self, seconds: float, chore: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                chore()
            except BollardError as error:
                self._emit(ServerWarning("chore failed", _one_line(error)))
            except Exception as error:  # a boundary: one bad chore must not end the others
                self._fault(f"{chore}: {error!r}")

    # --- what changes while it runs ------------------------------------------------------------------

    def reload(self) -> Reloaded:
        """Read policy and certificates again. What is wrong keeps what was right. On the loop only."""
        notify(*reloading())
        done = [self._reload_policy(), self._reload_certificates()]
        notify("READY=1")
        return Reloaded(tuple(done))

    def _reload_policy(self) -> str:
        try:
            self._access.reload()
        except BollardError as error:
            self._emit(ServerWarning("policy not reloaded", _one_line(error)))
            return f"policy not reloaded: {error}"
        self._live.apply_policy()
        self._emit(ServerEvent("policy reloaded", str(self._access.path)))
        for sentence in self._access.weaknesses():
            self._log.tell(ServerWarning("weakened", sentence))
        self._emit(FileLoaded.of("policy", self._access.path))
        return f"policy reloaded from {self._access.path}"

    def _reload_certificates(self) -> str:
        try:
            self._certificates = self._ensure_certificates()
            for context in self._contexts.values():
                reload_certificates(context, _files(self._certificates))
                trust_clients(context, self._identities.authorities.device_ca_file)
        except BollardError as error:
            self._emit(ServerWarning("certificates not reloaded", _one_line(error)))
            return f"certificates not reloaded: {error}"
        self._emit(ServerEvent("certificates reloaded", "; ".join(self._certificates.renewed)))
        return "certificates reloaded"

    def _watch_policy(self) -> None:
        """Notice an edit of the policy file, and grants that begin or end."""
        if self._access.changed():
            self._reload_policy()
        elif self._access.expired():
            self._live.apply_policy()
        if self._learning.lapsed():
            self._live.apply_policy()
            self._emit(ServerWarning("learning", "its time is up; see bollard learn status"))

    def _keep_learned_aside(self) -> None:
        asyncio.get_running_loop().run_in_executor(None, self._keep_learned)

    def _keep_learned(self) -> None:
        """Write what was learned to disk; a full disk is no reason not to stop."""
        try:
            self._learning.save()
        except LocalError as error:
            self._log.tell(ServerWarning("learning", _one_line(error)))

    def _renew_certificates(self) -> None:
        certificates = self._ensure_certificates()
        if certificates.renewed:
            self._reload_certificates()

    def _sweep(self) -> None:
        if self._watch.sweep():
            self._pump.wake()

    def _credentials_ended(self, identity: str) -> None:
        """Older credentials of `identity` have ended by an enrollment or a renewal. For any thread."""

        def recheck() -> None:
            if self._watch.recheck(identity):
                self._pump.wake()

        self._pump.loop.call_soon_threadsafe(recheck)

    def _refresh_crl(self) -> None:
        """Make the revocation list anew if it is a day old; in a thread, because a long one takes a while."""
        if is_due(self._identities.authorities.crl_file, now=time.time()):
            loop = asyncio.get_running_loop()
            made = loop.run_in_executor(None, self._control.publish_crl)
            made.add_done_callback(self._crl_made)

    def _crl_made(self, done: asyncio.Future[str]) -> None:
        warning = "" if done.cancelled() else done.result()
        if warning:
            self._emit(ServerWarning("revocation list", warning))

    def _ensure_certificates(self) -> ServerCertificates:
        return ensure_server_certificates(
            self._identities.authorities, certificate_names(self._config), now=time.time()
        )

    def _publish_own(self, topic: str, payload: bytes) -> None:
        self._broker.publish(topic, payload, now=time.monotonic())
        self._pump.wake()

    def _publish_sys(self) -> None:
        now = time.monotonic()
        for topic, payload in self._sys.due(now):
            self._broker.publish(topic, payload, retain=True, now=now)
        self._pump.wake()

    # --- facts and reports ---------------------------------------------------------------------------

    def _bound(self) -> tuple[tuple[str, str], ...]:
        return tuple(
            (config.name.split(" ", 1)[0], address)
            for config, listener in self._listeners
            for address in listener.addresses
        ) + tuple(self._served)

    def _offer(self) -> Offer:
        return Offer(
            self._config,
            self._desk,
            self._context("websocket"),
            changed=lambda: self._live.apply_policy(),
            emit=self._emit,
            guesses=self._guard.guesses,
        )

    def _advertised_port(self) -> int:
        wanted = advertised_listener(self._config)
        return next((listener.port for config, listener in self._listeners if config is wanted), 0)

    def _describe(self) -> Status:
        listeners = tuple(f"{kind} {address}" for kind, address in self._bound())
        weak = (*self._weak, *self._access.weaknesses(), *self._learning.weaknesses())
        return bare_status(self._started, listeners, weak, self._numbers.read(), self._access.fault)

    def _emit(self, event: Event) -> None:
        self._hearing.tell(event)

    def _who_hears(self, kind: type[Event]) -> tuple[Observer, ...]:
        """Who is told of events of this kind. Two come with each connection: only those who want them get them."""
        hearers: list[Observer] = [self._failures.observe]
        if not issubclass(kind, COMING_AND_GOING):
            hearers += [self._metrics.observe, self._diagnosis.observe, self._trail.observe]
        if self._log.writes(kind):
            hearers.append(self._log)
        return tuple(hearers)

    def _fault(self, detail: str) -> None:
        self._emit(ServerWarning("internal error", detail))


def tell_head(log: EventLog, trail: AuditTrail) -> None:
    """Put the head of the audit log where another program keeps it: it proves all entries up to there."""
    log.tell(ServerEvent("audit head", str(trail.head)))


def _one_line(error: Exception) -> str:
    """What `error` says, as the detail of an event: an entry of the log is one line."""
    return "; ".join(line.strip() for line in str(error).splitlines())


def _files(certificates: ServerCertificates) -> list[CertificateFiles]:
    return [
        CertificateFiles(certificates.ecdsa_chain, certificates.ecdsa_key),
        CertificateFiles(certificates.rsa_chain, certificates.rsa_key),
    ]


def raise_file_limit() -> int:
    """Let this process open as many files as the system allows, and return how many: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

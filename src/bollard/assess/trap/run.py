"""One device through all endpoints, and the report about it.

The control comes first: what a device does at a faulty endpoint means something only if it goes on at a good one.
A device on the network finds one endpoint after the other at one port, so that it keeps its settings; a command
that starts the device gets a port for each endpoint, a few at a time.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from bollard.assess import catalogue
from bollard.assess.envelope import enclose, timestamp
from bollard.assess.model import Attempt, Facts, Report, Status, Target, judge
from bollard.assess.trap.device import run_device, words
from bollard.assess.trap.door import MAX_AT_ONCE, MAX_VISITS, Door, Stand
from bollard.assess.trap.endpoints import CONTROL, ENDPOINTS, UNSERVED, Conduct, Endpoint, context
from bollard.assess.trap.evidence import Rung, Stay, Trapped
from bollard.assess.trap.forge import Papers, forge
from bollard.assess.trap.paper_server import PaperServer
from bollard.assess.trap.peer import CASES, Manner
from bollard.base.errors import LocalError

ROOT_PATH, LIST_PATH = "/trap-root.crt", "/revoked.crl"
#: Gaps between connections that a verdict about waiting needs.
GAPS = 4
VOID = (
    "void: the device did not go on at the good endpoint, so it does not trust the test root, and ending the "
    "connection here would only repeat DEV-02"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to trap. `hosts` are the names or addresses that the device is set to, the first one foremost.

    `port` 0 means any. `command` starts the device; without it, it is somewhere on the network. Seconds:
    `wait_s` for the attempts at one endpoint, `linger_s` for one conversation, `watch_s` for reconnections,
    `settle_s` for what a device does after its last attempt.
    """

    device: str = "device"
    hosts: tuple[str, ...] = ("127.0.0.1",)
    bind: str = "127.0.0.1"
    port: int = 8883
    plain_port: int = 1883
    command: str = ""
    jobs: int = 4
    attempts: int = 2
    wait_s: float = 120.0
    control_s: float = 300.0
    linger_s: float = 5.0
    watch_s: float = 60.0
    settle_s: float = 3.0
    only: frozenset[str] = frozenset()


class Teller(Protocol):
    """What the trap says while it runs."""

    def ready(self, port: int, plain_port: int, papers: Papers, root_url: str) -> None:
        """Everything is open; now the device has to be set."""

    def begin(self, number: int, total: int, endpoint: Endpoint) -> None:
        """An endpoint opens."""

    def told(self, check: str, what: str) -> None:
        """Something happened there."""


@dataclass(slots=True)
class _Trap:
    """All that is open during a run."""

    settings: Settings
    teller: Teller
    papers: Papers
    paper_server: PaperServer
    main: Door
    plain: Door
    elsewhere: Door
    stays: dict[str, Stay] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    current: Stand | None = None


async def trap(settings: Settings, teller: Teller) -> Report:
    """Run it. Raises LocalError for ports that cannot be had and commands that cannot be started."""
    started = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="bollard-trap-") as folder:
        async with contextlib.AsyncExitStack() as stack:
            trapped, fingerprint = await _trap(settings, teller, Path(folder), stack)
    return assemble(trapped, settings, started, fingerprint)


async def _trap(
    settings: Settings, teller: Teller, folder: Path, stack: contextlib.AsyncExitStack
) -> tuple[Trapped, str]:
    held: list[_Trap] = []

    def fetched(path: str) -> None:
        stand = held[0].current if held else None
        if path == LIST_PATH and stand is not None:
            stand.lists_fetched += 1

    paper_server = await PaperServer(fetched).open(settings.bind)
    stack.push_async_callback(paper_server.close)
    main = await _open(stack, settings.bind, settings.port if not settings.command else 0)
    plain = await _open(stack, settings.bind, settings.plain_port)
    elsewhere = await _open(stack, settings.bind, 0)
    host = f"[{settings.hosts[0]}]" if ":" in settings.hosts[0] else settings.hosts[0]
    url = f"http://{host}:{paper_server.port}"
    papers = await asyncio.to_thread(forge, folder, settings.hosts, url + LIST_PATH)
    paper_server.files = {ROOT_PATH: papers.root_file.read_bytes(), LIST_PATH: papers.revocation_list}
    held.append(_Trap(settings, teller, papers, paper_server, main, plain, elsewhere))
    teller.ready(main.port, plain.port, papers, url + ROOT_PATH)
    return await _run(held[0]), papers.fingerprint


async def _open(stack: contextlib.AsyncExitStack, bind: str, port: int) -> Door:
    try:
        door = await Door(bind, port).open()
    except OSError as error:
        remedy = "Choose others with --port and --plain-port, or 0 for any; --bind must be an address of this machine."
        raise LocalError(f"cannot listen on {bind} port {port}: {error.strerror or error}", remedy) from None
    stack.push_async_callback(door.close)
    return door


async def _run(trap: _Trap) -> Trapped:
    settings = trap.settings
    wanted = [each for each in ENDPOINTS if not settings.only or each.id in settings.only]
    total = len(wanted) + 1
    trap.teller.begin(1, total, CONTROL)
    control = await _stay(trap, CONTROL, trap.main)
    trap.skipped |= UNSERVED
    trapped = Trapped(control=control)
    if not trapped.came:
        reason = never_came(control)
        trap.skipped |= dict.fromkeys((each.id for each in wanted), reason)
    else:
        trap.skipped |= {each.id: VOID for each in wanted if each.needs_trust and not trapped.trusts}
        try:
            await _visit_all(trap, [each for each in wanted if each.id not in trap.skipped], total)
        except asyncio.CancelledError:
            # Ctrl-C: what is known by now is worth a report.
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            left = (each.id for each in wanted if each.id not in trap.stays)
            trap.skipped |= dict.fromkeys(left, "the run was ended before this endpoint") | trap.skipped
    return Trapped(control=control, stays=dict(sorted(trap.stays.items())), skipped=trap.skipped)


def never_came(control: Stay) -> str:
    """What there is to say about a device that was not seen."""
    end = f"; {control.command}" if control.command else ""
    return f"the device never came, not even to the good endpoint{end}"


async def _visit_all(trap: _Trap, endpoints: list[Endpoint], total: int) -> None:
    """One after the other at one port; with a command, a few side by side, each at its own."""
    gate = asyncio.Semaphore(trap.settings.jobs if trap.settings.command else 1)

    async def one(number: int, endpoint: Endpoint) -> None:
        async with gate, contextlib.AsyncExitStack() as stack:
            own = await _open(stack, trap.settings.bind, 0) if trap.settings.command else trap.main
            trap.teller.begin(number, total, endpoint)
            trap.stays[endpoint.id] = await _stay(trap, endpoint, own)

    async with asyncio.TaskGroup() as group:
        for number, endpoint in enumerate(endpoints, 2):
            group.create_task(one(number, endpoint))


async def _stay(trap: _Trap, endpoint: Endpoint, door: Door) -> Stay:
    settings = trap.settings
    made = context(endpoint, trap.papers)
    reference = f"{settings.hosts[0]}:{trap.elsewhere.port}"
    manner = Manner(endpoint=endpoint, context=made, linger_s=settings.linger_s, elsewhere=reference)
    stand = Stand(manner=manner, wanted=_wanted(endpoint, settings), tell=trap.teller.told)
    decoy = _decoy(trap, endpoint, manner)
    trap.current = stand if endpoint.chain == "revoked" or not settings.command else trap.current
    door.stand = stand
    device = _device(trap, endpoint, door, stand)
    try:
        await _watch(stand, endpoint, settings, device)
    finally:
        for each in (door, decoy):
            if each is not None:
                await each.clear()
        if device is not None:
            device.cancel()
            await asyncio.gather(device, return_exceptions=True)
    return stand.stay()


def _wanted(endpoint: Endpoint, settings: Settings) -> int:
    if endpoint.conduct is Conduct.DROP:
        return GAPS + 1
    if endpoint.conduct is Conduct.MALFORMED:
        return max(len(CASES), settings.attempts)
    return 1 if endpoint is CONTROL else settings.attempts


def _decoy(trap: _Trap, endpoint: Endpoint, manner: Manner) -> Door | None:
    """Open the place where no correct device goes, if the endpoint has one."""
    if endpoint.conduct is Conduct.RESET:
        door, made = trap.plain, None
    elif endpoint.conduct is Conduct.REDIRECT:
        door, made = trap.elsewhere, manner.context
    else:
        return None
    return_to = Manner(endpoint=Endpoint(endpoint.id, ""), context=made, linger_s=manner.linger_s)
    return_to.hash_key = manner.hash_key
    door.decoy = return_to
    return door


def _device(trap: _Trap, endpoint: Endpoint, door: Door, stand: Stand) -> "asyncio.Task[None] | None":
    decoy = {Conduct.RESET: trap.plain, Conduct.REDIRECT: trap.elsewhere}.get(endpoint.conduct)
    if decoy is not None:
        decoy.stand = stand
    if not trap.settings.command:
        return None
    values = {
        "host": trap.settings.hosts[0],
        "port": str(door.port),
        "plain_port": str(trap.plain.port),
        "cafile": str(trap.papers.root_file),
        "crlfile": str(trap.papers.root_and_list_file),
        "endpoint": endpoint.id,
    }
    again = endpoint.conduct is not Conduct.DROP
    return asyncio.create_task(run_device(words(trap.settings.command, values), stand, again=again))


async def _watch(
    stand: Stand, endpoint: Endpoint, settings: Settings, device: "asyncio.Task[None] | None"
) -> None:
    """Return when enough was seen, the time is over, or the command will do nothing more."""
    limit_s = settings.wait_s
    if endpoint is CONTROL:
        limit_s = settings.control_s
    elif endpoint.conduct is Conduct.DROP:
        limit_s = settings.watch_s
    while stand.age_s < limit_s and not _enough(stand, endpoint, settings):
        stand.changed.clear()
        if device is not None and device.done():
            device.result()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(0.5, max(0.01, limit_s - stand.age_s))):
                await stand.changed.wait()
    if endpoint.conduct in (Conduct.RESET, Conduct.REDIRECT, Conduct.REFUSE_METHOD):
        # What a device tries after its last regular attempt: another port, another server, another way.
        await asyncio.sleep(settings.settle_s)


def _enough(stand: Stand, endpoint: Endpoint, settings: Settings) -> bool:
    stay = stand.stay()
    if stand.full and not stand.inside:
        # A device that floods the trap has shown what it does; waiting on would let nobody in.
        return True
    if endpoint is CONTROL:
        # A person may still have to install the test root; a command will do what it did before.
        given_up = bool(settings.command) and len(stay.tries) >= settings.attempts
        return given_up or any(each.rung >= Rung.CONNECT for each in stay.visits)
    if endpoint.conduct in (Conduct.RESET, Conduct.REDIRECT) and any(
        each.rung >= Rung.CONNECT for each in stay.decoy
    ):
        return True
    if endpoint.conduct is Conduct.SERVE and stay.rung >= Rung.CONNECT and not stand.inside:
        return True
    return len(stay.tries) >= stand.wanted and not stand.inside


def assemble(trapped: Trapped, settings: Settings, started: datetime, fingerprint: str) -> Report:
    """The canonical report about one device."""
    checks = [each for each in catalogue.checks() if each.definition.subject == "device"]
    checks = [each for each in checks if not settings.only or each.definition.id in settings.only]
    facts = Facts([trapped])
    return enclose(
        "trap",
        (judge(each, settings.device, facts) for each in checks),
        timestamp(started),
        authorization={"authorized_by": "the user, who holds the device and sets it to this server"},
        settings={
            "server": f"{settings.hosts[0]}",
            "attempts": settings.attempts,
            "test_root_sha256": fingerprint,
            "control": "the device went on at the good endpoint"
            if trapped.trusts
            else "the device did not go on",
        },
        targets=(Target(name=settings.device, kind="device", address=settings.hosts[0]),),
        attempts=tuple(_attempts(trapped, settings.device)),
        notes=tuple(_notes(trapped)),
    )


def _attempts(trapped: Trapped, device: str) -> Iterable[Attempt]:
    for stay in (trapped.control, *trapped.stays.values()):
        kept = msgspec.structs.replace(stay, visits=stay.visits[:50], decoy=stay.decoy[:50])
        yield Attempt(
            probe=f"endpoint {stay.check}",
            target=device,
            status=Status.OK,
            kind=Stay.__name__,
            evidence=msgspec.to_builtins(kept),
        )


def _flood(stays: list[Stay]) -> Iterable[str]:
    """A word on endpoints where the device came more often than it was received."""
    flooded = [each for each in stays if each.turned_away or len(each.visits) + len(each.decoy) >= MAX_VISITS]
    if flooded:
        where, cut = ", ".join(each.check for each in flooded), sum(each.turned_away for each in flooded)
        yield (
            f"The device flooded this server with connections at {where}. Received are {MAX_AT_ONCE} at one time and "
            f"{MAX_VISITS} in all; {cut} were cut off at once, and what they would have been is not known."
        )


def _notes(trapped: Trapped) -> Iterable[str]:
    if not trapped.came:
        reason = never_came(trapped.control)
        yield f"{reason[:1].upper()}{reason[1:]}."
    yield from _flood([trapped.control, *trapped.stays.values()])
    visits = [
        each for stay in (trapped.control, *trapped.stays.values()) for each in (*stay.visits, *stay.decoy)
    ]
    if any(each.credential for each in visits):
        yield (
            "The device has sent a credential to this trap. It was not kept, but where a faulty endpoint or no TLS "
            "could get it, others can: give the device a new one."
        )
    if not trapped.trusts and trapped.came:
        yield "Install the test root on the device and run the trap again: most results are void without it."

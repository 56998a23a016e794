"""From targets to a report: which probes the checks need, in which order, under which bounds.

One target is looked at by one probe after the other; only the probe that waits for idle connections runs beside
them. Several hosts are looked at side by side, up to a limit. What a probe finds is not interpreted here.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from bollard.assess import catalogue, given
from bollard.assess.envelope import enclose, timestamp
from bollard.assess.model import (
    Attempt,
    Caution,
    Check,
    Evidence,
    Facts,
    Missing,
    Report,
    Result,
    Status,
    Target,
    grade,
    judge,
)
from bollard.assess.probes import reach
from bollard.assess.probes.evidence import Busy, Doors, Listeners, NoAnswer, Ports, Product, Silent
from bollard.assess.probes.room import Bounds, Identity, Pace, Room
from bollard.assess.probes.table import BESIDE, OF_HOST, PROBES, Probe
from bollard.assess.scope import USUAL_PORTS, Place

#: A probe that has not ended by then is given up. Patience has its own bound.
PROBE_S = 180.0
#: Hosts that are looked at side by side.
MAX_HOSTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to look at every target; see `Room` for what has the same name there.

    `active` allows canaries, `intrusive` what strains; `only` names the checks to make, none means all.
    """

    identities: tuple[Identity, ...] = ()
    ca_file: Path | None = None
    server_name: str = ""
    own_topic: str = ""
    shared_topic: str = ""
    revoke_command: tuple[str, ...] = ()
    ceiling: int = 0
    expect_mtls: bool = False
    active: bool = False
    intrusive: bool = False
    allow_exposed_password: bool = False
    bounds: Bounds = field(default_factory=Bounds)
    only: frozenset[str] = frozenset()


Progress = Callable[[str, str], None]
"""Told the target, and what is done with it now."""


@dataclass(slots=True)
class _Looked:
    """What is known about one target while it is looked at."""

    evidence: list[Evidence] = field(default_factory=list)
    missing: dict[type[Evidence], str] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    stopped: str = ""


@dataclass(slots=True)
class HostReport:
    """Everything about one host, ready to be put into a report. `label` says what was asked for."""

    label: str = ""
    targets: list[Target] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def selected(settings: Settings) -> tuple[Check, ...]:
    """The checks to make, in their order."""
    return tuple(
        each for each in catalogue.checks() if not settings.only or each.definition.id in settings.only
    )


def _nobody(report: HostReport) -> None:
    """Nobody waits for single hosts."""


async def scan(
    places: Sequence[Place],
    settings: Settings,
    progress: Progress,
    *,
    done: Collection[str] = (),
    finished: Callable[[HostReport], None] = _nobody,
) -> list[HostReport]:
    """Look at all places, a few hosts at a time, and judge them. Order follows that of `places`.

    Hosts whose label is in `done` are left out; `finished` is told of each other one when it is through.
    """
    hosts: dict[tuple[str, str], list[Place]] = {}
    for place in places:
        hosts.setdefault((place.host, place.address), []).append(place)
    gate = asyncio.Semaphore(MAX_HOSTS)

    async def one(group: list[Place]) -> HostReport:
        async with gate:
            report = await _scan_host(group, settings, progress)
            finished(report)
            return report

    return list(await asyncio.gather(*(one(group) for group in hosts.values() if label(group) not in done)))


def hosts_of(places: Iterable[Place]) -> int:
    """How many hosts these places are on."""
    return len({(place.host, place.address) for place in places})


def label(places: Sequence[Place]) -> str:
    """What was asked about one host, in one word, so that a later scan knows it again."""
    asked = sorted({f"{place.transport}:{place.port}{place.path}" for place in places})
    return f"{places[0].host} {places[0].address} {' '.join(asked)}"


async def _scan_host(places: Sequence[Place], settings: Settings, progress: Progress) -> HostReport:
    report = HostReport(label=label(places))
    pace = Pace(settings.bounds.packets_per_s)
    whole = any(not place.port for place in places)
    rooms = []
    silent: list[str] = []
    for place in _with_ports(places):
        room = _room(place, settings, pace, whole=whole)
        progress(f"{place.host}:{place.port}", "finding out what it speaks")
        try:
            room.transport = await reach.find_transport(room)
            rooms.append(room)
        except Silent:
            silent.append(str(place.port))
        except (NoAnswer, Busy) as reason:
            report.notes.append(f"{place.host}:{place.port}: {reason}")
    if silent and not (whole and rooms):
        report.notes.append(f"{places[0].host}: nothing listens on {', '.join(silent)}")
    for room in rooms:
        await _scan_listener(room, settings, progress, report)
    if rooms:
        await _scan_surroundings(rooms, settings, progress, report)
    return report


def _with_ports(places: Iterable[Place]) -> Iterable[Place]:
    for place in places:
        for port in (place.port,) if place.port else USUAL_PORTS:
            yield msgspec.structs.replace(place, port=port)


def _room(place: Place, settings: Settings, pace: Pace, *, whole: bool) -> Room:
    return Room(
        place=place,
        transport=place.transport or "tcp",
        bounds=settings.bounds,
        pace=pace,
        identities=settings.identities,
        ca_file=settings.ca_file,
        server_name=settings.server_name,
        own_topic=settings.own_topic,
        shared_topic=settings.shared_topic,
        revoke_command=settings.revoke_command,
        ceiling=settings.ceiling,
        expect_mtls=settings.expect_mtls,
        active=settings.active,
        intrusive=settings.intrusive,
        whole_host=whole,
        allow_exposed_password=settings.allow_exposed_password,
    )


def name_of(room: Room) -> str:
    """The target's name in results: a URL."""
    scheme = {"tcp": "mqtt", "tls": "mqtts", "ws": "ws", "wss": "wss"}[room.transport]
    host = f"[{room.place.host}]" if ":" in room.place.host else room.place.host
    return f"{scheme}://{host}:{room.place.port}"


async def _scan_listener(room: Room, settings: Settings, progress: Progress, report: HostReport) -> None:
    name = name_of(room)
    looked = _Looked()
    wanted = _needed(selected(settings), "listener")
    beside = asyncio.create_task(
        _attempt(BESIDE, room, name, _Looked() if BESIDE.gives[0] not in wanted else looked)
    )
    if BESIDE.gives[0] not in wanted:
        beside.cancel()
    try:
        for probe in PROBES:
            if not wanted.isdisjoint(probe.gives) or probe.name in ("transport", "entrances"):
                progress(name, probe.name)
                await _attempt(probe, room, name, looked)
        if not beside.done():
            progress(name, BESIDE.name)
        await asyncio.gather(beside, return_exceptions=True)
    finally:
        beside.cancel()
    report.attempts += looked.attempts
    results = _judge(settings, "listener", name, room, looked)
    report.results += results
    doors = next((each for each in looked.evidence if isinstance(each, Doors)), None)
    note = given.told(name, room, doors, looked.missing.get(Doors, ""), results)
    report.notes += [note] if note else []
    product = next((each for each in looked.evidence if isinstance(each, Product)), Product())
    title = " ".join(part for part in (product.name, product.version) if part)
    report.targets.append(Target(name=name, kind="broker", address=room.place.address, product=title))


async def _scan_surroundings(
    rooms: Sequence[Room], settings: Settings, progress: Progress, report: HostReport
) -> None:
    """What concerns the host as a whole."""
    room, looked = rooms[0], _Looked()
    name = room.place.host
    secure = any(each.transport in ("tls", "wss") for each in rooms)
    found = tuple(f"{each.transport}:{each.place.port}" for each in rooms)
    looked.evidence.append(Listeners(found=found, tls=secure, all_usual_ports=room.whole_host))
    if Ports in _needed(selected(settings), "host"):
        progress(name, OF_HOST.name)
        await _attempt(OF_HOST, room, name, looked)
    report.attempts += looked.attempts
    report.results += _judge(settings, "host", name, room, looked)


def _needed(checks: Iterable[Check], subject: str) -> set[type[Evidence]]:
    names = {
        name
        for each in checks
        if each.definition.subject == subject
        for name in (*each.definition.requires, *each.definition.helped_by)
    }
    kinds = [kind for probe in (*PROBES, BESIDE, OF_HOST) for kind in probe.gives]
    return {kind for kind in kinds if kind.__name__ in names}


async def _attempt(probe: Probe, room: Room, name: str, looked: _Looked) -> None:
    """Run one probe; whatever comes of it ends up in `looked`."""
    if looked.stopped:
        return _skip(probe, name, looked, looked.stopped)
    if probe.caution is Caution.ACTIVE and not room.active:
        return _skip(probe, name, looked, "it is an active check: bollard scan TARGET --active")
    if probe.caution is Caution.INTRUSIVE and not room.intrusive:
        how = "bollard scan TARGET --intrusive, with a signed --scope FILE"
        return _skip(probe, name, looked, f"it strains the target: {how}")
    limit_s = PROBE_S if probe is not BESIDE else PROBE_S + 2 * room.bounds.patience_s
    try:
        async with asyncio.timeout(limit_s):
            evidence = await probe.run(room)
    except Busy as reason:
        looked.stopped = str(reason)
        return _skip(probe, name, looked, looked.stopped)
    except (NoAnswer, Missing) as reason:
        return _skip(probe, name, looked, str(reason))
    except Exception as error:
        # The boundary of probes: a target that answers in an unforeseen way must not end the scan of others.
        return _skip(probe, name, looked, f"the probe failed: {type(error).__name__}", Status.FAILED)
    for each in evidence:
        looked.evidence.append(each)
        looked.attempts.append(
            Attempt(
                probe=probe.name,
                target=name,
                status=Status.OK,
                kind=type(each).__name__,
                evidence=msgspec.to_builtins(each),
            )
        )
    return None


def _skip(probe: Probe, name: str, looked: _Looked, reason: str, status: Status = Status.SKIPPED) -> None:
    looked.missing |= dict.fromkeys(probe.gives, reason)
    looked.attempts.append(Attempt(probe=probe.name, target=name, status=status, reason=reason))


def _judge(settings: Settings, subject: str, name: str, room: Room, looked: _Looked) -> list[Result]:
    facts = Facts(looked.evidence, looked.missing)
    raised = room.place.reach == "public"
    return [
        judge(each, name, facts, raised=raised)
        for each in selected(settings)
        if each.definition.subject == subject
    ]


def assemble(
    hosts: Sequence[HostReport],
    settings: Settings,
    *,
    started: datetime,
    authorization: dict[str, Any],
    earlier: Report | None = None,
    complete: bool = True,
) -> Report:
    """One report of all hosts, after those of `earlier`, the state of an interrupted scan."""
    before = earlier or Report(
        kind="scan", tool="", tool_version="", started="", finished="", grade=grade(())
    )
    return enclose(
        "scan",
        (*before.results, *(result for host in hosts for result in host.results)),
        before.started or timestamp(started),
        authorization=authorization,
        settings=described(settings),
        complete=complete,
        done=(*before.done, *(host.label for host in hosts)),
        targets=(*before.targets, *(target for host in hosts for target in host.targets)),
        attempts=(*before.attempts, *(attempt for host in hosts for attempt in host.attempts)),
        notes=(*before.notes, *(note for host in hosts for note in host.notes)),
    )


def described(settings: Settings) -> dict[str, Any]:
    """The settings as a report tells them, without anything secret."""
    bounds = settings.bounds
    return {
        "active": settings.active,
        "identities": [each.label for each in settings.identities],
        "intrusive": settings.intrusive,
        "own_topic": settings.own_topic,
        "shared_topic": settings.shared_topic,
        "revocation": bool(settings.revoke_command),
        "ceiling": settings.ceiling,
        "only": sorted(settings.only),
        "packets_per_second": bounds.packets_per_s,
        "connections_at_a_time": bounds.connections,
        "timeout_s": bounds.timeout_s,
        "listen_s": bounds.listen_s,
        "patience_s": bounds.patience_s,
    }

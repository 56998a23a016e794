"""From a file of frames to a report: the walk over the capture, the inventory, the PCP checks over it."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

import msgspec

from bollard.assess import catalogue
from bollard.assess.capture.devices import Device, ServerNotes, add, routers
from bollard.assess.capture.dialogs import Opening
from bollard.assess.capture.evidence import Server, TlsFlow, Traffic, Unread
from bollard.assess.capture.flow import Flow
from bollard.assess.capture.frames import Frames, Progress
from bollard.assess.capture.hardware import Makers
from bollard.assess.capture.layers import endpoints, hardware, read_segment
from bollard.assess.capture.ledger import Entry, Ledger
from bollard.assess.capture.masking import utc
from bollard.assess.capture.notebook import Notebook
from bollard.assess.capture.streams import Budget, Counts, Reader, Streams
from bollard.assess.envelope import enclose, timestamp
from bollard.assess.model import (
    Asset,
    Attempt,
    Check,
    Facts,
    Location,
    Report,
    Result,
    Status,
    Target,
    judge,
)
from bollard.assess.scope import reach_of

SUBJECT = "capture"
#: TLS flows of which a report tells; the count tells of the rest.
MAX_FLOWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user says about the network: servers that belong in it (addresses, networks, names), TLS ports."""

    known: tuple[str, ...] = ()
    tls_ports: tuple[int, ...] = ()
    only: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """What was read of one file, "" for standard input. `complete` is False if the user broke off."""

    name: str
    file: str
    traffic: Traffic
    inventory: tuple[Asset, ...]
    notes: tuple[str, ...]
    complete: bool = True


class _Walk:
    """One walk over one capture."""

    def __init__(self, settings: Settings) -> None:
        self.notes = Notebook()
        self.ledger = Ledger(self.notes.attacks, settings.tls_ports)
        self._budget = Budget()
        self.streams = Streams(self._open, self._budget)
        self.unread: dict[str, int] = {}
        self.frames = 0
        self.first_ns = self.last_ns = 0
        self._frame: tuple[int, bytes, int, int] = (0, b"", 0, 0)

    def run(self, frames: Frames) -> None:
        """Read all frames."""
        take = self.streams.segment
        for number, time_ns, link, buffer, start, end, _ in frames:
            segment = read_segment(link, buffer, start, end)
            if isinstance(segment, str):
                self.unread[segment] = self.unread.get(segment, 0) + 1
            else:
                self._frame = (link, buffer, start, end)
                take(segment, buffer, number, time_ns)
            if not self.frames:
                self.first_ns = time_ns
            self.frames = number
            self.last_ns = time_ns

    def finish(self) -> None:
        """No frame will come any more."""
        self.streams.finish(self.frames)

    def _open(self, key: bytes, began: bool, frame: int, time_ns: int) -> Reader:
        sender, sender_port, receiver, receiver_port = endpoints(key)
        flow = Flow(sender, sender_port, receiver, receiver_port, *hardware(*self._frame))
        return Opening(flow, began, self.notes, self._budget, self.ledger.take)


def read(file: BinaryIO, name: str, settings: Settings, progress: Progress, path: str = "") -> Capture:
    """What the capture in `file` tells, which is at `path` if anywhere. Ctrl-C ends the reading, not the judging. Raises LocalError for no capture."""
    walk = _Walk(settings)
    frames = Frames(file, progress)
    complete = True
    try:
        walk.run(frames)
    except KeyboardInterrupt:
        complete = False
    walk.finish()
    flows = walk.ledger.flows({address for address, _ in walk.notes.roster.servers})
    for entry, _ in flows:
        _enter(walk.notes, entry)
    devices = merged(list(walk.notes.roster.devices.values()))
    traffic = _traffic(name, walk, [flow for _, flow in flows], len(devices), settings)
    notes = [frames.fault] if frames.fault else []
    if not complete:
        notes.append(f"reading was broken off after frame {walk.frames}")
    notes += _said(traffic.unread, walk.streams.counts)
    if walk.notes.not_looked:
        notes.append(f"{walk.notes.not_looked} more messages were not looked through for secrets")
    return Capture(
        name=name,
        file=path,
        traffic=traffic,
        inventory=inventory(devices, list(walk.notes.roster.servers.values())),
        notes=tuple(notes),
        complete=complete,
    )


def _enter(notes: Notebook, entry: Entry) -> None:
    """Put what TLS shows of a client and a server beside what is known of them."""
    flow = entry.flow
    server = notes.roster.server(flow, entry.frame, entry.time_ns)
    facts = [f"{version} {suite}" for version, suite in zip(entry.versions, entry.suites, strict=False)]
    if server is not None:
        server.tls += entry.count
        add(server.transports, "TLS")
        add(server.clients, flow.client)
        for each in facts:
            add(server.tls_facts, each)
        for each in entry.subjects:
            add(server.certificates, each)
    device = notes.roster.device("", flow, entry.time_ns)
    add(device.transports, "TLS")
    for each in facts:
        add(device.tls, each)
    for each in entry.snis:
        add(device.tls, f"asks for {each}")
    for each in entry.fingerprints:
        add(device.fingerprints, each)


def merged(devices: Sequence[Device]) -> list[Device]:
    """Devices, where what is known by an address alone belongs to the one device that connected from there.

    Those take in what is merged into them, so it is done once.
    """
    at: dict[str, list[Device]] = {}
    for each in devices:
        if each.connected:
            for address in each.addresses:
                at.setdefault(address, []).append(each)
    kept = []
    for each in devices:
        owners = at.get(each.name, []) if not each.connected else []
        if len(owners) == 1:
            owners[0].absorb(each)
        else:
            kept.append(each)
    return kept


def inventory(devices: Sequence[Device], servers: Sequence[ServerNotes]) -> tuple[Asset, ...]:
    """All devices, then all servers."""
    cards: list[Device | ServerNotes] = [*devices, *servers]
    shared = routers(
        (each.cards, each.addresses if isinstance(each, Device) else (each.address,)) for each in cards
    )
    makers = Makers({card.replace(":", "")[:6] for each in cards for card in each.cards})
    return tuple(each.asset(makers, shared) for each in cards)


def _traffic(name: str, walk: _Walk, flows: list[TlsFlow], devices: int, settings: Settings) -> Traffic:
    notes, counts = walk.notes, walk.streams.counts
    attacks = notes.attacks
    talks = dict(notes.talks)
    if walk.ledger.left_out:
        talks["TLS connections beyond those that are listed"] = walk.ledger.left_out
    mine = {(flow.client, flow.server.rpartition(":")[0].strip("[]")) for flow in flows}
    return Traffic(
        file=name,
        frames=walk.frames,
        first=utc(walk.first_ns) if walk.frames else "",
        last=utc(walk.last_ns) if walk.frames else "",
        clear=notes.clear,
        clear_inside=notes.clear_inside,
        inferred=notes.inferred,
        connects=notes.connects,
        publishes=notes.publishes,
        clear_seen=tuple(notes.clear_seen.values()),
        logins=tuple(notes.logins.values()),
        tokens=tuple(notes.tokens.values()),
        shared=notes.shared(),
        credentials=notes.credentials,
        secrets=tuple(notes.secrets.values()),
        sensitive_topics=tuple(notes.sensitive.values()),
        looked_through=notes.looked_through,
        not_looked=notes.not_looked,
        tls=tuple(flows[:MAX_FLOWS]),
        tls_flows=len(flows),
        other_tls=len(walk.ledger.entries) - len(flows),
        failures=tuple(
            seen
            for (client, server), (_, seen, certain) in attacks.failures.items()
            if certain or (client, server) in mine or f"{client} {server}" in attacks.downgrades
        )[:MAX_FLOWS],
        downgrades=tuple(attacks.downgrades.values()),
        attacks=tuple(attacks.seen.values()),
        commands=notes.commands,
        retained_commands=tuple(notes.retained_commands.values()),
        new_senders=tuple(notes.new_senders.values()),
        servers=_servers(list(notes.roster.servers.values()), flows, settings.known),
        devices=devices,
        unread=Unread(frames=walk.unread, streams=msgspec.to_builtins(counts), talks=talks),
    )


def _servers(
    servers: Sequence[ServerNotes], flows: Sequence[TlsFlow], known: Sequence[str]
) -> tuple[Server, ...]:
    names: dict[str, set[str]] = {}
    for flow in flows:
        names.setdefault(flow.server, set()).update(flow.sni.lower().split(", "))
    return tuple(
        Server(
            address=each.address,
            port=each.port,
            reach=reach_of(ipaddress.ip_address(each.address)),
            known=is_known(each.address, names.get(_target(each), set()), known),
            clear=each.clear,
            tls=each.tls,
            place=each.place,
        )
        for each in servers
    )


def _target(server: ServerNotes) -> str:
    return Flow("", 0, server.address, server.port).target


def is_known(address: str, names: set[str], known: Sequence[str]) -> bool:
    """Does the user expect this server: by its address, by a network around it, or by a name it was asked for?"""
    for each in known:
        try:
            if ipaddress.ip_address(address) in ipaddress.ip_network(each, strict=False):
                return True
        except ValueError:
            if each.lower() in names:
                return True
    return False


def _said(unread: Unread, counts: Counts) -> list[str]:
    """What could not be read, in sentences."""
    said = [
        (counts.gaps, "places where frames are missing from a connection"),
        (counts.cut, "frames that were recorded in part only"),
        (counts.given_up, "connections let go because too many were open at the same time"),
        (counts.overlapping, "segments that overlap others; what came first was read"),
    ]
    lines = [f"{count} {what}" for count, what in said if count]
    hidden = ("IP fragment", "header cut short", "broken header", "unknown link type")
    lines += [f"{unread.frames[each]} frames not read: {each}" for each in hidden if each in unread.frames]
    return lines + [f"{count} {what}" for what, count in unread.talks.items()]


def checks(only: frozenset[str] = frozenset()) -> tuple[Check, ...]:
    """The checks on captures, or those of them named in `only`."""
    mine = (each for each in catalogue.checks() if each.definition.subject == SUBJECT)
    return tuple(each for each in mine if not only or each.definition.id in only)


def assemble(captures: Sequence[Capture], settings: Settings, started: datetime) -> Report:
    """The report about these captures."""
    made = checks(settings.only)
    several = len(captures) > 1
    return enclose(
        "sniff",
        (_judged(check, each) for each in captures for check in made),
        timestamp(started),
        complete=all(each.complete for each in captures),
        settings={"known": list(settings.known), "tls_ports": list(settings.tls_ports)},
        targets=tuple(
            Target(name=each.name, kind="capture", product=_summary(each.traffic)) for each in captures
        ),
        attempts=tuple(
            Attempt(
                probe="capture",
                target=each.name,
                status=Status.OK,
                kind=Traffic.__name__,
                evidence=msgspec.to_builtins(each.traffic),
            )
            for each in captures
        ),
        notes=tuple(f"{each.name}: {note}" if several else note for each in captures for note in each.notes),
        inventory=tuple(asset for each in captures for asset in each.inventory),
    )


def _judged(check: Check, capture: Capture) -> Result:
    result = judge(check, capture.name, Facts([capture.traffic]))
    return msgspec.structs.replace(result, location=Location(file=capture.file)) if capture.file else result


def _summary(traffic: Traffic) -> str:
    if not traffic.frames:
        return "no frames"
    return (
        f"{traffic.frames} frames, {traffic.first} to {traffic.last}; {traffic.clear} connections with MQTT in the "
        f"clear, {sum(flow.count for flow in traffic.tls)} with TLS; {traffic.devices} devices"
    )

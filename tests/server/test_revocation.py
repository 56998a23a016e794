"""Revocation that bites: what lives is ended, what waits is withheld, and nobody comes back."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from msgspec import structs

from bollard.base.types import Action, Peer
from bollard.identity.records import CertificateRecord, CertificateState, Identity, Snapshot, State
from bollard.server.access import Access
from bollard.server.ask import ask
from bollard.server.requests import Changed, ChangeDevice, Enroll, Enrolled, Rotate
from bollard.server.revocation import IdentityEnded, LapseWatch
from bollard.wire.connect import Disconnect, Will
from bollard.wire.publish import Publish
from cli.daemon import Daemon, bollard, eventually
from server.tools import load_tool
from support.memory import House

tool = load_tool("revocation")

CARELESS = """\
version = 1
[template.device]
publish = ["devices/${id}/#"]
subscribe = ["devices/${id}/#"]
retain = ["devices/${id}/#"]
will = ["devices/${id}/#"]
[template.open]
publish = ["#"]
[group.all]
members = ["*"]
apply = ["open"]
"""


class Fleet:
    """Devices of one running broker, made as they are needed."""

    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self.daemon = daemon
        self.folder = folder
        self.devices: list[Any] = []

    def enroll(self, identity: str, credential: str = "password", template: str = "device") -> Enrolled:
        enrolled = self.ask(Enroll(identity, credential, template))  # type: ignore[arg-type]
        assert isinstance(enrolled, Enrolled)
        return enrolled

    def device(self, enrolled: Enrolled, version: int = 5) -> Any:
        made = tool.Device(enrolled, self.folder, version)
        self.devices.append(made)
        return made

    def connected(self, identity: str, credential: str = "password", **options: Any) -> Any:
        template = options.pop("template", "device")
        made = self.device(self.enroll(identity, credential, template))
        assert made.connect(**options) == 0
        return made

    def ask(self, request: Any) -> Any:
        return ask(tool.load_config(self.daemon.directory / "bollard.toml"), request)

    def change(self, identity: str, to: str, *, purge: bool = False) -> Changed:
        changed = self.ask(ChangeDevice(identity, to, purge))  # type: ignore[arg-type]
        assert isinstance(changed, Changed)
        return changed


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("broker") / "state") as daemon:
        yield daemon


@pytest.fixture
def fleet(running: Daemon, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(running, tmp_path)
    yield made
    for device in made.devices:
        device.close()


def heard(device: Any, until: bytes) -> list[bytes]:
    """The payloads that arrive up to the one `until`, which the test has sent behind them."""
    payloads: list[bytes] = []
    while isinstance(packet := device.receive(), Publish):
        payloads.append(packet.payload)
        if packet.payload == until:
            break
    return payloads


# --- the whole scene ---------------------------------------------------------------------------------


def test_whoever_is_revoked_is_disconnected_and_comes_back_by_no_way(tmp_path: Path) -> None:
    count = 9
    figures = tool.measure(tmp_path, count)
    assert len(figures.closed_ms) == count
    assert figures.told == 6  # those that speak 5.0
    assert figures.wills == 0
    assert figures.resumed == count  # TLS was resumed, and that was of no use
    assert (figures.refused_resumed, figures.refused_anew) == (count, count)
    assert figures.audited == count


# --- what each way of ending does --------------------------------------------------------------------


def test_a_replaced_password_ends_the_connection_with_not_authorized(fleet: Fleet) -> None:
    plug = fleet.connected("rotated")
    plug.watch()
    renewed = fleet.ask(Rotate("rotated"))
    assert plug.wait_closed()
    assert isinstance(plug.last_words, Disconnect)
    assert plug.last_words.code == 0x87
    plug.close()
    assert plug.connect() == 0x86
    assert fleet.device(renewed).connect() == 0


def test_a_replaced_certificate_ends_the_connection_also_for_a_resumed_session(fleet: Fleet) -> None:
    camera = fleet.connected("camera", "certificate")
    camera.subscribe("devices/camera/#")
    session = camera._socket.session
    camera.watch()
    renewed = fleet.ask(Rotate("camera", "certificate"))
    assert camera.wait_closed()
    assert camera.last_words.code == 0x87
    camera.close()
    assert camera.connect(session=session) == 0x87
    assert camera.resumed
    assert fleet.device(renewed).connect() == 0


def test_a_will_that_waits_for_its_delay_is_not_published(fleet: Fleet) -> None:
    observer = fleet.connected("eyes", template="app", will=False)
    observer.subscribe("devices/mortal/#")
    mortal = fleet.connected("mortal")
    mortal.close()  # without DISCONNECT: the will is due
    assert heard(observer, b"gone") == [b"gone"]
    assert mortal.connect() == 0
    changed = fleet.change("mortal", "revoked")
    assert (changed.ended.connections, changed.ended.wills) == (1, 1)
    observer.publish("devices/mortal/cmd/x", b"end")
    assert heard(observer, b"end") == [b"end"]


def test_what_a_suspended_identity_wrote_is_withheld_and_given_when_it_is_resumed(fleet: Fleet) -> None:
    plug = fleet.connected("paused")
    plug.publish("devices/paused/state", b"on", qos=1, retain=True)
    fleet.change("paused", "suspended")
    observer = fleet.connected("watcher", template="app", will=False)
    early = observer.subscribe("devices/paused/#")
    observer.publish("devices/paused/cmd/x", b"first")
    assert early + heard(observer, b"first") == [b"first"]
    fleet.change("paused", "active")
    early = observer.subscribe("devices/paused/#")
    observer.publish("devices/paused/cmd/x", b"second")
    assert early + heard(observer, b"second") == [b"on", b"second"]
    assert plug.connect() == 0


def test_what_a_suspended_identity_sent_to_a_sleeping_session_is_not_delivered(fleet: Fleet) -> None:
    sleeper = fleet.connected("sleeper", template="app", will=False)
    sleeper.subscribe("devices/talker/#", 1)
    sleeper.close()
    talker = fleet.connected("talker")
    assert talker.publish("devices/talker/state", b"queued", qos=1) is not None
    fleet.change("talker", "suspended")
    assert sleeper.connect(will=False) == 0
    sleeper.publish("devices/talker/cmd/x", b"end")
    assert heard(sleeper, b"end") == [b"end"]


@pytest.mark.parametrize(("purge", "left"), [(False, 1), (True, 0)])
def test_purge_decides_whether_sessions_and_retained_messages_of_a_suspended_identity_are_kept(
    fleet: Fleet, purge: bool, left: int
) -> None:
    name = f"purged-{purge}".lower()
    plug = fleet.connected(name)
    plug.subscribe(f"devices/{name}/cmd/#")
    plug.publish(f"devices/{name}/state", b"on", qos=1, retain=True)
    ended = fleet.change(name, "suspended", purge=purge).ended
    assert (ended.connections, ended.sessions, ended.retained) == (1, 1 - left, 1 - left)
    fleet.change(name, "active")
    plug.close()
    assert plug.connect() == 0
    assert plug.session_present == bool(left)


def test_each_end_is_in_the_log_for_the_audit(fleet: Fleet) -> None:
    fleet.connected("audited")
    fleet.change("audited", "suspended")
    fleet.change("audited", "revoked")
    assert eventually(
        lambda: (
            sum("identity.ended" in line and "principal=audited" in line for line in fleet.daemon.log) == 2
        )
    )


def test_the_revocation_list_is_made_anew_with_each_change(fleet: Fleet) -> None:
    enrolled = fleet.enroll("listed", "certificate")
    serial = x509.load_pem_x509_certificate(enrolled.chain_pem.encode()).serial_number
    path = fleet.daemon.directory / "ca" / "device-ca.crl"

    def on_the_list() -> bool:
        return (
            x509.load_pem_x509_crl(path.read_bytes()).get_revoked_certificate_by_serial_number(serial)
            is not None
        )

    for state, expected in (("suspended", True), ("active", False), ("revoked", True)):
        assert fleet.change("listed", state).warning == ""
        assert on_the_list() is expected


def test_the_registry_of_an_older_backup_brings_nobody_back(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Daemon(state) as daemon:
        fleet = Fleet(daemon, tmp_path)
        enrolled = fleet.enroll("lost", "certificate")
    shutil.copy(state / "registry.db", tmp_path / "backup.db")
    with Daemon(state) as daemon:
        Fleet(daemon, tmp_path).change("lost", "revoked")
    shutil.copy(tmp_path / "backup.db", state / "registry.db")
    with Daemon(state) as daemon:
        lost = Fleet(daemon, tmp_path).device(structs.replace(enrolled, port=daemon.port))
        assert lost.connect(will=False) == 0x87
        lost.close()
        assert daemon.logged("lost is ended again")


@pytest.mark.parametrize("to", ["suspended", "revoked"])
def test_a_connection_that_enrolls_ends_with_its_identity(fleet: Fleet, to: str) -> None:
    fleet.enroll(f"newcomer-{to}", "certificate")
    opened = fleet.ask(Rotate(f"newcomer-{to}", "token"))
    secret = opened.token.rpartition(".")[2]
    newcomer = fleet.device(structs.replace(opened, username=opened.id, password=secret))
    assert newcomer.connect(will=False) == 0
    newcomer.watch()
    assert fleet.change(opened.id, to).ended.connections == 1
    assert newcomer.wait_closed()
    assert isinstance(newcomer.last_words, Disconnect)
    assert newcomer.last_words.code == 0x98
    assert newcomer.connect(will=False) == 0x87


def test_a_string_that_is_spent_ends_what_the_old_password_is_connected_with(
    fleet: Fleet, tmp_path: Path
) -> None:
    listener = fleet.connected("spectator", template="app", will=False)
    listener.subscribe("devices/#")
    before = fleet.enroll("reborn")
    old = fleet.device(before)
    opened = fleet.ask(Rotate("reborn", "token"))
    assert old.connect() == 0  # until the string is spent the password counts
    old.watch()
    joined = bollard("join", opened.token, "--out", tmp_path / "reborn")
    assert joined.returncode == 0, joined.stderr
    assert old.wait_closed()
    assert isinstance(old.last_words, Disconnect)
    assert old.last_words.code == 0x87
    assert old.connect(will=False) == 0x86
    listener.publish("devices/spectator/cmd/end", b"end")
    assert heard(listener, b"end") == [b"end"]  # and not its will


# --- in memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "allowed"), [(State.ACTIVE, True), (State.SUSPENDED, False), (State.REVOKED, False)]
)
def test_a_group_of_everybody_gives_nothing_to_who_is_not_active(
    tmp_path: Path, state: State, allowed: bool
) -> None:
    (tmp_path / "policy.toml").write_text(CARELESS)
    registry = Snapshot().replacing(Identity("plug", "u", "device", state, 1, 1))
    access = Access(tmp_path / "policy.toml", lambda: registry.templates)
    # The policy alone says yes to all of them: this is what the guard before it is for.
    assert access.policy().decide("plug", Action.PUBLISH, "a/b").allowed
    assert access.authorizer(registry).decide("plug", Action.PUBLISH, "a/b").allowed is allowed


class Clocked:
    """One connection by certificate in a broker in memory, a registry and a clock to set."""

    def __init__(self, not_after: int) -> None:
        self.now = 1000.0
        self.events: list[object] = []
        self.house = House()
        certificate = b"der"
        record = CertificateRecord(
            7, CertificateState.ACTIVE, not_after, 1, 1, hashlib.sha256(certificate).digest()
        )
        self.plug = Identity("plug", "u", "device", State.ACTIVE, 1, 1, certificates=(record,))
        self.registry = Snapshot().replacing(self.plug)
        self.device = self.house.connect("c", principal="plug", will=Will("wills/plug", b"gone"))
        self.device.connection.peer = Peer(certificate=certificate)
        self.watch = LapseWatch(
            self.house.broker, lambda: self.registry, self.events.append, clock=lambda: self.now
        )

    def sweep(self, at: float) -> int:
        self.now = at
        swept = self.watch.sweep()
        self.house.settle()
        return swept


@pytest.fixture
def clocked() -> Callable[[int], Clocked]:
    return Clocked


def test_a_certificate_that_expires_ends_the_connection_that_it_made(
    clocked: Callable[[int], Clocked],
) -> None:
    scene = clocked(2000)
    assert scene.sweep(1999.5) == 0
    assert not scene.device.closed
    assert scene.sweep(2000) == 1
    assert scene.device.closed
    assert scene.device.one(Disconnect).code == 0x87
    (event,) = scene.events
    assert isinstance(event, IdentityEnded)
    assert (event.principal, event.code, event.reason) == ("plug", 0x87, "its certificate has expired")
    assert event.wills == 1


def test_a_certificate_that_expires_takes_the_will_with_it(clocked: Callable[[int], Clocked]) -> None:
    scene = clocked(2000)
    onlooker = scene.house.connect("onlooker")
    onlooker.subscribe("wills/#")
    scene.sweep(2000)
    assert onlooker.payloads() == []


def test_only_the_connection_of_a_replaced_certificate_ends(clocked: Callable[[int], Clocked]) -> None:
    scene = clocked(9000)
    onlooker = scene.house.connect("onlooker")
    onlooker.subscribe("wills/#")
    newer = scene.house.connect("newer", principal="plug")
    newer.connection.peer = Peer(certificate=b"newer")
    (old,) = scene.plug.certificates
    fresh = CertificateRecord(8, CertificateState.ACTIVE, 9000, 2, 2, hashlib.sha256(b"newer").digest())
    both = (replace(old, state=CertificateState.SUPERSEDED), fresh)
    scene.registry = scene.registry.replacing(replace(scene.plug, certificates=both))
    assert scene.watch.recheck("plug") == 1
    scene.house.settle()
    assert scene.device.closed
    assert scene.device.one(Disconnect).code == 0x87
    assert not newer.closed
    assert onlooker.payloads() == []
    (event,) = scene.events
    assert isinstance(event, IdentityEnded)
    assert (event.connections, event.wills) == (1, 1)


def test_a_recheck_leaves_a_password_that_still_counts_alone(clocked: Callable[[int], Clocked]) -> None:
    scene = clocked(9000)
    scene.device.connection.peer = Peer()
    scene.registry = scene.registry.replacing(replace(scene.plug, verifier=b"v" * 32))
    assert scene.watch.recheck("plug") == 0
    scene.registry = scene.registry.replacing(scene.plug)
    assert scene.watch.recheck("plug") == 1


def test_a_sweep_that_comes_late_misses_nothing(clocked: Callable[[int], Clocked]) -> None:
    scene = clocked(2000)
    assert scene.sweep(5000) == 1


def test_an_end_that_the_registry_learns_of_later_is_found_too(clocked: Callable[[int], Clocked]) -> None:
    scene = clocked(9000)
    assert scene.sweep(1500) == 0
    (record,) = scene.plug.certificates
    scene.registry = scene.registry.replacing(
        replace(scene.plug, certificates=(replace(record, not_after=1600),))
    )
    assert scene.sweep(1601) == 1


def test_a_connection_by_password_is_left_alone_by_the_sweep(clocked: Callable[[int], Clocked]) -> None:
    scene = clocked(2000)
    scene.device.connection.peer = Peer()
    assert scene.sweep(3000) == 0
    assert not scene.device.closed

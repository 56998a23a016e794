"""What reaches the audit log, from which threads, and what an attacker cannot do to it."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bollard.base.errors import LocalError
from bollard.base.events import (
    AccessDenied,
    ClientConnected,
    ConnectRefused,
    Event,
    LimitReached,
    ServerEvent,
    ServerWarning,
    TransportRefused,
)
from bollard.identity.records import Approval, CertificateRecord, CertificateState, Identity, State, Token
from bollard.server import audit as audit_module
from bollard.server.actor import ACTOR
from bollard.server.audit import AuditedStorage, AuditTrail
from bollard.server.audit_entries import (
    BURST_ENTRIES,
    MAX_COUNTED,
    WINDOW_S,
    Denials,
    FileLoaded,
    of_denial,
    of_identity,
)
from bollard.server.requests import AskStatus, Request, RotateAuthority
from bollard.server.revocation import IdentityEnded
from bollard.store.audit import known_keys, log_files, read_lines
from bollard.store.audit_chain import Entry, decode_line, verify

PLUG = Identity("plug", "uuid", "device", State.ACTIVE, 1, 1, verifier=b"secret-verifier")
CERTIFICATE = CertificateRecord(
    serial=0xAB, state=CertificateState.ACTIVE, not_after=9, created_at=1, changed_at=1
)


class Room:
    """A trail in a folder, and what is in its log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports: list[str] = []
        self.now = 1_900_000_000.0
        self.trail = AuditTrail(
            folder, 1 << 20, self.reports.append, long_lived=False, clock=lambda: self.now
        )

    def entries(self) -> list[dict[str, Any]]:
        """What was written after the first entry."""
        self.trail.flush()
        return [decode_line(line.data) for line in read_lines(log_files(self.folder))][1:]

    def kinds(self) -> list[str]:
        return [entry["kind"] for entry in self.entries()]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path / "audit")
    yield room
    room.trail.close()
    assert verify(read_lines(log_files(room.folder)), known_keys(room.folder)).fault is None


def denied(topic: str = "a/b", principal: str = "plug") -> AccessDenied:
    return AccessDenied(principal, "client", "publish", topic, "", "no rule grants publish")


def test_events_of_server_policy_and_identity_are_written_and_comings_and_goings_are_not(room: Room) -> None:
    room.trail.observe(ServerEvent("started", "tls 127.0.0.1:8883"))
    room.trail.observe(ServerEvent("policy reloaded", "policy.toml"))
    room.trail.observe(FileLoaded.of("policy", room.folder / "none"))
    room.trail.observe(IdentityEnded("plug", 0x98, "the identity is revoked", 1, 1, 0, 2))
    room.trail.observe(ClientConnected("plug", "c", "192.0.2.1", "tls", 5, False, 60))
    room.trail.observe(ServerEvent("metrics", "http://127.0.0.1:1/metrics"))
    assert room.kinds() == ["server.started", "policy.reloaded", "policy.loaded", "identity.ended"]
    assert room.entries()[3]["retained"] == 2


def test_a_loaded_file_is_told_with_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(b"version = 1\n")
    assert FileLoaded.of("policy", path).sha256.startswith("dbab12665d98")


@pytest.mark.parametrize(
    ("event", "kind", "fact"),
    [
        (denied(), "access.denied", ("topic", "a/b")),
        (
            ConnectRefused("192.0.2.1", "tls", "c", "plug", 0x87, "no"),
            "connect.refused",
            ("username", "plug"),
        ),
        (TransportRefused("192.0.2.1", "tls", "no TLS"), "transport.refused", ("address", "192.0.2.1")),
        (
            LimitReached("max_topic_levels", "plug", "c", "", "x"),
            "limit.reached",
            ("limit", "max_topic_levels"),
        ),
        (ServerWarning("policy not reloaded", "line 3"), "server.warning", ("what", "policy not reloaded")),
        (
            ServerWarning("internal error", "Traceback:\n  line\nKeyError"),
            "server.warning",
            ("detail", "KeyError"),
        ),
        (ServerWarning("store", "it is full\n  Make room."), "server.warning", ("detail", "it is full")),
        (ServerEvent("enrollment", "plug: issued"), "enrollment", ("detail", "plug: issued")),
    ],
)
def test_the_first_of_each_kind_of_denial_is_written_whole(
    room: Room, event: Event, kind: str, fact: tuple[str, str]
) -> None:
    room.trail.observe(event)
    (entry,) = room.entries()
    assert entry["kind"] == kind
    assert entry[fact[0]] == fact[1]


def test_repeated_denials_become_one_entry_with_a_count_and_some_topics() -> None:
    found: list[Entry] = []
    denials = Denials(found.append)
    for number in range(10_000):
        facts = {"identity": "plug", "topic": f"a/{number}", "reason": "r"}
        denials.note("access.denied", "plug publish", facts, 100.0 + number / 1000)
    assert len(found) == 1
    denials.sweep(100.0 + WINDOW_S)
    assert found[1].facts["repeated"] == 9_999
    assert found[1].facts["topics"] == [f"a/{number}" for number in range(1, 6)]
    assert found[1].facts["identity"] == "plug"
    denials.sweep(1000.0)
    assert len(found) == 2
    assert not denials.counting


def test_an_attacker_with_endless_names_gets_a_bounded_number_of_entries_and_of_counters() -> None:
    found: list[Entry] = []
    denials = Denials(found.append)
    hours = 12
    for second in range(0, hours * 3600, 5):
        for number in range(20):
            whose = f"192.0.2.{second}-{number}"
            denials.note("connect.refused", whose, {"address": whose}, float(second))
        denials.sweep(float(second))
        assert len(denials._of_others._counted) <= MAX_COUNTED + 1
    assert len(found) <= BURST_ENTRIES + (hours + 1) * 60
    assert sum(int(str(entry.facts.get("left_out", 0))) for entry in found) > 1000


def test_a_stranger_with_endless_addresses_does_not_push_out_what_a_device_was_denied() -> None:
    found: list[Entry] = []
    denials = Denials(found.append)
    for second in range(3600):
        denials.note("connect.refused", f"2001:db8:{second:x}::", {"address": "a"}, float(second))
        denials.sweep(float(second))
    denials.note("access.denied", "plug publish", {"identity": "plug", "topic": "t"}, 3600.0)
    assert found[-1].facts.get("identity") == "plug"


def test_addresses_of_one_network_are_one_peer() -> None:
    refused = [TransportRefused(f"2001:db8::{number:x}", "tls", "no") for number in (1, 2)]
    assert len({of_denial(event)[:2] for event in refused}) == 1  # type: ignore[index]


def test_answers_to_an_enrollment_that_repeat_are_counted_whatever_their_words() -> None:
    def whose(detail: str) -> str:
        denial = of_denial(ServerEvent("enrollment", detail))
        assert denial is not None
        return denial[1]

    early = [
        f"simpleenroll from 2001:db8::{n}: refused: too many wrong secrets; try again in {n} s"
        for n in (1, 2)
    ]
    assert len(set(map(whose, early))) == 1
    different = (
        "plug: refused too many requests",
        "plug: issued",
        "lamp: issued",
        "simpleenroll from 192.0.2.1: refused: bad CSR",
        "simpleenroll from 192.0.2.9: refused: bad CSR",
        "simpleenroll from 192.0.2.1: plug: issued",
        "simpleenroll from 192.0.2.1: plug waits for approval, key 12:ab",
    )
    assert len({whose(detail) for detail in different}) == len(different)


def test_warnings_about_different_things_are_all_written(room: Room) -> None:
    for name in ("plug", "lamp", "plug"):
        room.trail.observe(ServerWarning("registry older than the revocation log", f"{name} is ended again"))
    assert [entry["detail"] for entry in room.entries()] == ["plug is ended again", "lamp is ended again"]


def test_the_end_writes_the_counts_that_are_open(room: Room) -> None:
    for _ in range(5):
        room.trail.observe(denied())
    room.trail.close()
    assert [entry.get("repeated") for entry in room.entries()] == [None, 4]


def test_an_entry_names_who_asked_for_it(room: Room) -> None:
    token = ACTOR.set("uid 1000")
    try:
        room.trail.identity_changed(None, PLUG)
    finally:
        ACTOR.reset(token)
    room.trail.record("test")
    assert [entry.get("by") for entry in room.entries()] == ["uid 1000", "uid 1000", None]


TOKEN = Token(b"token-verifier", 1, 2)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, PLUG, [("identity.enrolled", "template", "device"), ("identity.password", "change", "set")]),
        (PLUG, PLUG, []),
        (PLUG, replace(PLUG, state=State.REVOKED), [("identity.state", "after", "revoked")]),
        (PLUG, replace(PLUG, verifier=b"x"), [("identity.password", "change", "replaced")]),
        (PLUG, replace(PLUG, verifier=b""), [("identity.password", "change", "ended")]),
        (PLUG, replace(PLUG, template="app"), [("identity.template", "after", "app")]),
        (PLUG, replace(PLUG, token=TOKEN), [("identity.enrollment_string", "change", "set")]),
        (
            replace(PLUG, token=TOKEN),
            replace(PLUG, token=replace(TOKEN, spent_at=3)),
            [("identity.enrollment_string", "change", "spent")],
        ),
        (
            replace(PLUG, token=TOKEN),
            replace(PLUG, token=replace(TOKEN, approval=Approval.GRANTED)),
            [("identity.enrollment_string", "change", "approval")],
        ),
        (
            replace(PLUG, token=TOKEN),
            replace(PLUG, token=replace(TOKEN, key=b"k")),
            [("identity.enrollment_string", "change", "claimed")],
        ),
        (PLUG, replace(PLUG, certificates=(CERTIFICATE,)), [("identity.certificate", "serial", "ab")]),
        (
            replace(PLUG, certificates=(CERTIFICATE,)),
            replace(PLUG, certificates=(replace(CERTIFICATE, state=CertificateState.REVOKED),)),
            [("identity.certificate", "state", "revoked")],
        ),
    ],
)
def test_each_change_of_an_identity_has_its_entry(
    before: Identity | None, after: Identity, expected: list[tuple[str, str, str]]
) -> None:
    found = of_identity(before, after)
    assert [kind for kind, _ in found] == [kind for kind, _, _ in expected]
    for (_, facts), (_, name, value) in zip(found, expected, strict=True):
        assert facts[name] == value
        assert facts["identity"] == "plug"


def test_no_entry_holds_a_secret(room: Room) -> None:
    secret = replace(PLUG, token=TOKEN, certificates=(CERTIFICATE,), password_hash="secret-hash")
    room.trail.identity_changed(None, secret)
    room.trail.flush()
    text = "".join(path.read_text() for path in log_files(room.folder))
    assert "identity.enrolled" in text
    assert "secret" not in text
    assert "verifier" not in text


def test_the_registry_s_storage_tells_of_a_change_once_it_is_stored() -> None:
    told: list[tuple[Identity | None, Identity]] = []

    class Storage:
        def load(self) -> list[Identity]:
            return [PLUG]

        def save(self, identity: Identity) -> None:
            assert not told

    storage = AuditedStorage(Storage(), lambda before, after: told.append((before, after)))
    changed = replace(PLUG, state=State.SUSPENDED)
    storage.save(changed)
    assert told == [(PLUG, changed)]


def test_an_operation_answers_when_its_entry_is_on_disk(room: Room) -> None:
    def operate(request: Request) -> str:
        room.trail.record("test", name="one")
        return "done"

    assert room.trail.after_writing(operate)(AskStatus()) == "done"
    assert b'"name":"one"' in log_files(room.folder)[0].read_bytes()


def test_the_replacement_of_an_authority_is_written_before_it_begins(room: Room) -> None:
    def fail(request: Request) -> None:
        raise LocalError("no such sheet")

    with pytest.raises(LocalError):
        room.trail.after_writing(fail)(RotateAuthority("server-ca", sheet="secret words", force=True))
    (entry,) = room.entries()
    assert (entry["kind"], entry["authority"], entry["force"]) == ("authority.rotation", "server-ca", True)
    assert "secret" not in str(entry)


def test_entries_from_many_threads_are_all_written(room: Room) -> None:
    def work(name: str) -> None:
        for number in range(50):
            room.trail.record("test", name=name, number=number)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(room.entries()) == 200


def test_a_full_disk_is_told_once_and_what_waits_is_written_when_it_has_room(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(entries: list[Entry]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(audit_module, "SWEEP_S", 0.01)
    monkeypatch.setattr(audit_module, "MAX_WAITING", 3)
    monkeypatch.setattr(room.trail._log, "append", full)
    room.trail.record("test", number=0)
    assert not room.trail.flush()
    for number in range(1, 6):
        room.trail.record("test", number=number)
    monkeypatch.undo()
    monkeypatch.setattr(audit_module, "SWEEP_S", 0.01)
    with room.trail._changed:
        assert room.trail._changed.wait_for(lambda: not room.trail._failing, 10)
    entries = room.entries()
    assert [entry.get("number") for entry in entries] == [0, 1, 2, None]
    assert entries[3] | {"kind": "audit.lost", "entries": 3} == entries[3]
    assert room.reports == ["the audit log cannot be written now: No space left on device"]


def test_a_log_that_somebody_cuts_while_it_is_in_use_is_told_at_once(tmp_path: Path) -> None:
    room = Room(tmp_path / "audit")
    room.trail.record("test")
    room.trail.flush()
    (path,) = log_files(room.folder)
    path.write_bytes(path.read_bytes()[:-40])
    room.trail.record("test", after="the cut")
    room.trail.flush()
    assert "begun anew after 2" in room.reports[0]
    newest = [decode_line(line.data) for line in read_lines(log_files(room.folder)[-1:])]
    assert newest[-1]["after"] == "the cut"
    room.trail.close()


def test_a_broker_changes_its_key_at_its_start_and_at_its_end(tmp_path: Path) -> None:
    with AuditTrail(tmp_path / "audit", 1 << 20, lambda text: None) as trail:
        trail.record("test")
        trail.flush()
    kinds = [decode_line(line.data)["kind"] for line in read_lines(log_files(tmp_path / "audit"))]
    assert kinds == ["audit.began", "test", "audit.key", "audit.key"]

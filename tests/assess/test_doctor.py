"""`bollard doctor`: one grade for an installation, from what lies on the disk, the configuration and the listeners."""

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from bollard.assess import catalogue
from bollard.assess.doctor import examine
from bollard.assess.model import Evidence, Result, Severity, State
from bollard.assess.probes.own import (
    AuthorityKeys,
    Backup,
    Lifetime,
    Lifetimes,
    Modes,
    OpenFile,
    Options,
    Policy,
    Record,
    Recovery,
    Running,
    Store,
)
from bollard.cli.doctor import beyond, places_of
from cli.daemon import Daemon, bollard

NOW = 1_800_000_000
DAY = 86_400


def lifetimes(days: int, *, authority: bool = False, unreadable: tuple[str, ...] = ()) -> Lifetimes:
    one = Lifetime(
        file="tls/a.crt",
        subject="CN=a",
        authority=authority,
        not_before=NOW - DAY,
        not_after=NOW + days * DAY,
    )
    return Lifetimes(read_at=NOW, certificates=(one,), unreadable=unreadable)


#: Check -> evidence with the flaw, evidence without it.
CASES: dict[str, tuple[Evidence, Evidence]] = {
    "DOC-01": (Modes(looked=3, open=(OpenFile(path="pepper", mode=0o644),)), Modes(looked=3, open=())),
    "DOC-02": (lifetimes(-1), lifetimes(300)),
    "DOC-03": (Store(problem="malformed"), Store(problem="")),
    "DOC-04": (Backup(file="b", age_s=30 * DAY, problem=""), Backup(file="b", age_s=DAY, problem="")),
    "DOC-05": (Policy(file="p", rules=1, remarks=("p:1: idle",)), Policy(file="p", rules=1, remarks=())),
    "DOC-06": (Options(weakened=("allow_plaintext: …",)), Options(weakened=())),
    "DOC-07": (Recovery(present=True, age_s=30 * DAY), Recovery(present=False)),
    "DOC-08": (Record(fault="line 3 was changed", entries=9), Record(fault="", entries=9)),
    "DOC-09": (Running(user=0, compiled=True, version="1"), Running(user=7, compiled=True, version="1")),
    "DOC-10": (Running(user=7, compiled=False, version="1"), Running(user=7, compiled=True, version="1")),
    "DOC-11": (AuthorityKeys(opened_by="a person", left=("ca.pass",)), AuthorityKeys(opened_by="a person")),
}


def judged(id: str, *evidence: Evidence) -> Result:
    return next(each for each in examine("/state", evidence, {}) if each.check == id)


def test_every_check_of_an_installation_has_its_cases() -> None:
    ids = {each.definition.id for each in catalogue.checks() if each.definition.subject == "installation"}
    assert set(CASES) == ids


@pytest.mark.parametrize("id", CASES)
def test_the_flaw_fails_its_absence_passes_and_nothing_is_not_tested(id: str) -> None:
    flaw, fine = CASES[id]
    assert judged(id, flaw).state is State.FAIL
    assert judged(id, fine).state is State.PASS
    assert judged(id).state is State.NOT_TESTED


@pytest.mark.parametrize(
    ("evidence", "severity"),
    [
        (lifetimes(-1), Severity.HIGH),
        (lifetimes(3), Severity.MEDIUM),
        (lifetimes(60, authority=True), Severity.MEDIUM),
        (lifetimes(300, unreadable=("x.crt",)), Severity.MEDIUM),
    ],
)
def test_how_bad_a_lifetime_is_depends_on_what_is_left(evidence: Lifetimes, severity: Severity) -> None:
    result = judged("DOC-02", evidence)
    assert (result.state, result.severity) == (State.FAIL, severity)


def test_a_recovery_sheet_of_today_is_only_a_note() -> None:
    assert judged("DOC-07", Recovery(present=True, age_s=DAY)).severity is Severity.INFO


def test_a_key_that_nothing_encrypts_is_worse_than_a_passphrase_left_behind() -> None:
    plain = judged("DOC-11", AuthorityKeys(opened_by="a person", unprotected=("ca/a.key",)))
    assert (plain.state, plain.severity) == (State.FAIL, Severity.HIGH)
    left = judged("DOC-11", AuthorityKeys(opened_by="a person", left=("ca.pass",)))
    assert (left.state, left.severity) == (State.FAIL, Severity.MEDIUM)


def test_a_damaged_backup_is_none_however_fresh() -> None:
    assert judged("DOC-04", Backup(file="b", age_s=1, problem="no database")).state is State.FAIL


def test_listeners_are_reached_over_this_machine() -> None:
    places, notes = places_of(["tls 0.0.0.0:8883", "wss [::]:8884", "ws 127.0.0.1:80", "unix /run/b.sock"])
    assert [(each.address, each.port, each.transport) for each in places] == [
        ("127.0.0.1", 8883, "tls"),
        ("::1", 8884, "wss"),
        ("127.0.0.1", 80, "ws"),
    ]
    assert notes == ["The listener unix /run/b.sock is not one that a scan can reach."]


def doctor(state: Path, *options: object) -> tuple[int, dict[str, Any]]:
    done = bollard("doctor", "--dir", state, "--json", *options)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def states(report: dict[str, Any]) -> dict[str, str]:
    return {each["check"]: each["state"] for each in report["results"]}


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything under `folder` that a running broker does not itself write from time to time."""
    return {
        str(path): (path.stat().st_mode, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
        and not path.name.endswith(("-shm", "-wal", ".crl", ".new"))
        and path.parent.name != "audit"
    }


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory as `bollard up` makes it, whose broker has ended."""
    state = tmp_path_factory.mktemp("doctor") / "state"
    with Daemon(state):
        pass
    return state


@pytest.fixture
def state(stopped: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "state"
    shutil.copytree(stopped, copy)
    return copy


@pytest.mark.slow
def test_a_running_installation_is_judged_whole_and_left_as_it_was(state: Path) -> None:
    with (state / "bollard.toml").open("a") as config:
        config.write("\n[limits]\nhandshake_timeout_s = 1\nconnect_timeout_s = 1\n")
    with Daemon(state):
        before = snapshot(state)
        _, report = doctor(state)
        assert snapshot(state) == before
        bollard("enroll", "--dir", state, "plug")
        why = json.loads(bollard("why", "--dir", state, "plug", "--json").stdout)
        shown = bollard("why", "--dir", state, "plug").stdout
    # What was not tested for lack of an option names a command that has it.
    untested = [each["observed"] for each in report["results"] if each["state"] == "not-tested"]
    assert any("bollard scan TARGET --active" in each for each in untested)
    assert [each for each in untested if "--" in each and not re.search("bollard scan|--backup", each)] == []
    # What doctor itself was refused is not that of a device.
    assert why["unnamed"] == []
    assert why["examination"]["refused"] > 0
    assert "while `bollard doctor` looked at the listeners" in shown
    found = states(report)
    # Whose process it is, and how it was built, is the machine's doing.
    failed = {id for id, each in found.items() if each == "fail"} - {"DOC-09", "DOC-10"}
    assert failed == {"DOC-07", "TLS-16"}
    assert {"SCN-02", "SCN-04", "SCN-25", "TLS-02", "CFG-01", "CFG-02", "DOC-01"} <= {
        id for id, each in found.items() if each == "pass"
    }
    assert [each["kind"] for each in report["targets"]] == ["installation", "configuration", "broker"]


def test_what_doctor_leaves_out_names_the_command_that_tests_it() -> None:
    places, _ = places_of(["wss [::]:8884", "tls 10.0.0.1:8883"])
    (note,) = beyond(places, Path("/my state/root.crt"))
    assert "bollard scan 'wss://[::1]:8884' --ca-file '/my state/root.crt' --active --username NAME" in note
    (note,) = beyond(places[1:], None)
    assert "bollard scan mqtts://10.0.0.1:8883 --i-own-this-network --active" in note
    assert beyond([], None) == []


def test_a_stopped_installation_is_judged_without_its_listeners(state: Path) -> None:
    code, report = doctor(state)
    assert code == 0
    assert report["grade"]["letter"] == "A"
    assert any("not running" in note for note in report["notes"])
    assert not any(each["check"].startswith("SCN-") for each in report["results"])


def test_what_is_wrong_on_the_disk_is_found(state: Path) -> None:
    (state / "pepper").chmod(0o644)
    (state / "policy.toml").write_text(
        'version = 1\n[template.all]\npublish = ["#"]\nsubscribe = ["#"]\n[group.every]\nmembers = ["*"]\n'
        'apply = ["all"]\n'
    )
    (state / "sessions.db").write_bytes(b"x" * 4096)
    old = state.parent / "old.db"
    old.write_bytes(b"x" * 4096)
    os.utime(old, (time.time() - 30 * DAY,) * 2)
    config = state / "bollard.toml"
    config.write_text("allow_human_passwords = true\n" + config.read_text())
    code, report = doctor(state, "--backup", old)
    found = states(report)
    assert code == 1
    assert {id for id in ("CFG-02", "DOC-01", "DOC-03", "DOC-04", "DOC-06") if found[id] == "fail"} == {
        "CFG-02",
        "DOC-01",
        "DOC-03",
        "DOC-04",
        "DOC-06",
    }


@pytest.mark.parametrize("options", [(), ("--json", "--fail-on", "never")])
def test_a_backup_that_is_not_there_is_said_and_ends_with_2(
    state: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    missing, page = tmp_path / "nofile.db", tmp_path / "r.html"
    done = bollard("doctor", "--dir", state, "--backup", missing, "-o", page, *options)
    assert done.returncode == 2
    assert f"the backup {missing} could not be read: No such file or directory" in done.stderr
    assert not page.exists()


def test_nothing_secret_of_the_installation_gets_into_the_report(state: Path) -> None:
    done = bollard("doctor", "--dir", state, "--json", "--details")
    secrets = [(state / "pepper").read_bytes().hex(), (state / "audit" / "key").read_text().strip()]
    assert not [each for each in secrets if each and each in done.stdout]


def test_without_an_installation_nothing_can_be_judged(tmp_path: Path) -> None:
    done = bollard("doctor", "--dir", tmp_path / "nowhere")
    assert done.returncode == 2
    assert "there is no broker" in done.stderr


def test_the_severity_that_fails_can_be_chosen(state: Path) -> None:
    (state / "pepper").chmod(0o644)
    assert doctor(state, "--fail-on", "critical")[0] == 0
    assert doctor(state, "--fail-on", "high")[0] == 1

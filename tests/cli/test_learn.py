"""`bollard learn` against a running broker and without one, from start to rules in force."""

import json
import subprocess
from pathlib import Path

import pytest

from bollard.server.config import Address
from bollard.server.state import prepare
from cli.daemon import Daemon, bollard, eventually


@pytest.fixture(scope="module")
def room(broker: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Daemon:
    """A broker with two plugs that policy gives nothing, and what connects them beside it."""
    policy = broker.directory / "policy.toml"
    policy.write_text(policy.read_text() + "\n[template.nothing]\npublish = []\n")
    for name in ("plug-1", "plug-2"):
        facts = broker.json("enroll", name, "--password", "--as", "nothing")
        (broker.directory / f"{name}.json").write_text(json.dumps(facts))
    return broker


def publish(broker: Daemon, name: str, topic: str) -> int:
    """Exit code of publishing as `name`."""
    settings = broker.directory / f"{name}.json"
    done = bollard("pub", "--settings", settings, "-t", topic, "-m", "on", "-q", "1")
    return done.returncode


def test_from_start_to_rules_in_force(room: Daemon) -> None:
    assert publish(room, "plug-1", "home/plug-1/state") != 0
    info = room.json("learn", "start", "plug-1", "plug-2", "--for", "1h", "--preset", "tasmota")
    assert info["phase"] == "learning"
    assert "tele/${id}/#" in info["ceiling"]
    assert any("learning: until" in sentence for sentence in room.json("status")["weaknesses"])
    for name in ("plug-1", "plug-2"):
        assert publish(room, name, f"home/{name}/state") == 0
    assert publish(room, "plug-1", "home/elsewhere") != 0

    done = room.run("learn", "propose")
    assert done.returncode == 0, done.stderr
    assert "home/${id}/state" in done.stdout
    assert "Of 3 messages seen, 2 would pass (66.7%)" in done.stdout
    assert "outside of what is allowed while learning" in done.stdout
    assert publish(room, "plug-1", "home/plug-1/new") == 0
    status = room.json("learn", "status")
    assert [one["topic"] for one in status["would_deny"]] == ["home/plug-1/new"]
    assert "home/plug-1/new" in room.run("learn", "status").stdout

    before = (room.directory / "policy.toml").read_text()
    said_no = room.run("learn", "apply", input="n\n")
    assert said_no.returncode == 1
    nobody = room.run("learn", "apply", stdin=subprocess.DEVNULL)
    assert nobody.returncode == 2
    assert "--yes" in nobody.stderr
    assert (room.directory / "policy.toml").read_text() == before
    done = room.run("learn", "apply", "--yes")
    assert done.returncode == 0, done.stderr
    assert "policy reloaded" in done.stdout
    assert (room.directory / "policy.toml").read_text().startswith(before)
    assert publish(room, "plug-2", "home/plug-2/state") == 0
    assert publish(room, "plug-1", "home/plug-1/new") != 0
    assert room.run("learn", "status").returncode == 1
    kinds = [
        json.loads(line)["kind"]
        for line in room.run("log", "--kind", "learning", "--json").stdout.splitlines()
    ]
    assert kinds == ["learning.started", "learning.proposed", "learning.applied"]


def test_stop_ends_the_ceiling_at_once(room: Daemon) -> None:
    room.json("learn", "start", "plug-1", "--ceiling", "attic/#")
    assert publish(room, "plug-1", "attic/x") == 0
    assert room.run("learn", "stop", "--forget").returncode == 0
    assert eventually(lambda: publish(room, "plug-1", "attic/x") != 0)
    assert room.run("learn", "propose").returncode == 2


def test_the_commands_work_without_a_broker(tmp_path: Path) -> None:
    with Daemon(tmp_path / "state") as daemon:
        pass
    assert daemon.run("learn", "status").returncode == 1
    assert daemon.json("learn", "start", "*", "--for", "2d")["phase"] == "learning"
    assert "there is no proposal" in daemon.run("learn", "apply", "--yes").stderr
    out = tmp_path / "proposal.toml"
    done = daemon.run("learn", "propose", "--out", out)
    assert done.returncode == 0
    assert "Nothing was seen yet" in done.stdout
    assert "To take it" not in done.stdout
    assert "0 identities" in out.read_text()
    assert "the proposal has no rules" in daemon.run("learn", "apply", "--yes").stderr
    assert daemon.run("learn", "stop").returncode == 0
    assert daemon.json("log", "verify")["ok"] is True


def test_who_is_not_enrolled_is_told_as_it_is_for_a_grant(room: Daemon) -> None:
    done = room.run("learn", "start", "plug-1", "nosuch", "--for", "1h")
    assert done.returncode == 0, done.stderr
    assert "note: nobody is enrolled as nosuch yet" in done.stdout
    assert "plug-1 yet" not in done.stdout
    assert room.run("learn", "stop", "--forget").returncode == 0
    info = room.json("learn", "start", "*", "anonymous")
    assert info["remarks"] == []
    assert room.run("learn", "stop", "--forget").returncode == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("start", "a b"), "cannot be an identity"),
        (("start", "plug", "--for", "soon"), "is not a time"),
        (("start", "plug", "--for", "91d"), "90 days"),
        (("start", "group:none"), "none"),
        (("start", "plug", "--preset", "tasmotta"), "there is no preset"),
        (("start",), "Missing argument"),
    ],
)
def test_what_cannot_be_meant_is_refused(room: Daemon, options: tuple[str, ...], told: str) -> None:
    done = room.run("learn", *options)
    assert done.returncode == 2
    assert told in done.stderr


def test_a_group_must_exist_before_it_is_learned(tmp_path: Path) -> None:
    state = tmp_path / "state"
    prepare(state, Address("127.0.0.1", 8883))
    for words in (
        ("learn", "start", "group:kitchen"),
        ("grant", "group:kitchen", "--publish", "a", "--no-end"),
    ):
        done = bollard(*words, "--dir", state)
        assert done.returncode == 2
        assert "There are no groups yet: add [group.kitchen]" in done.stderr
    assert "There are no grants in it." in bollard("grant", "--revoke", "x", "--dir", state).stderr


def test_a_misspelt_application_is_noted_and_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    state = tmp_path / "state"
    prepare(state, Address("127.0.0.1", 8883))
    assert bollard("enroll", "plug", "--dir", state).returncode == 0
    done = bollard("learn", "start", "plug", "--dir", state)
    assert "Learning what plug does, until" in done.stdout
    done = bollard("learn", "propose", "--application", "hnd", "--trust", "plug", "--dir", state)
    assert done.returncode == 0, done.stderr
    assert "nobody is enrolled as hnd" in done.stderr
    assert "as plug" not in done.stderr
    done = bollard("learn", "propose", "--out", tmp_path / "none" / "x.toml", "--dir", state)
    assert done.returncode == 2
    assert "Name a file" in done.stderr
    assert bollard("learn", "stop", "--dir", state).stdout == "Learning has ended.\n"
    again = bollard("learn", "stop", "--dir", state)
    assert (again.returncode, "Nothing is being learned: it ended" in again.stdout) == (0, True)
    log = bollard("log", "--kind", "learning.stopped", "--json", "--dir", state)
    assert log.stdout.count("learning.stopped") == 1

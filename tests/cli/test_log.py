"""`bollard log`: what a running broker writes down, shown, followed and checked."""

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from bollard.cli.log import _as_text
from bollard.server.audit_entries import KINDS
from bollard.store.audit import log_files
from cli.daemon import COMMAND, Daemon, bollard, eventually


@pytest.fixture(scope="module")
def busy(broker: Daemon) -> Daemon:
    """A broker with a revoked identity, a changed policy and a refused client in its log."""
    broker.json("enroll", "plug", "--password")
    broker.json("devices", "revoke", "plug")
    broker.json("enroll", "lamp", "--password")
    broker.json("grant", "lamp", "--publish", "devices/boiler/cmd", "--for", "1h")
    return broker


def lines(broker: Daemon, *options: object) -> list[dict[str, object]]:
    done = broker.run("log", "--json", *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_log_of_a_broker_is_shown_filtered_and_whole(busy: Daemon) -> None:
    kinds = [line["kind"] for line in lines(busy)]
    for kind in (
        "server.started",
        "identity.enrolled",
        "identity.ended",
        "policy.loaded",
        "configuration.loaded",
    ):
        assert kind in kinds
    assert {line["identity"] for line in lines(busy, "--id", "plug")} == {"plug"}
    assert {line["kind"] for line in lines(busy, "--kind", "policy")} == {"policy.loaded", "policy.reloaded"}
    assert len(lines(busy, "--last", "2")) == 2
    assert lines(busy, "--since", "1h") == lines(busy)
    assert lines(busy, "--since", "2100-01-01T00:00:00Z") == []
    assert str(lines(busy, "--id", "plug")[0]["by"]).startswith("uid ")


def test_text_is_for_people_and_moves_no_terminal(busy: Daemon) -> None:
    done = busy.run("log", "--kind", "identity.state")
    assert done.returncode == 0
    assert "identity.state" in done.stdout
    assert "identity=plug before=active after=revoked" in done.stdout


def test_verify_says_that_nothing_was_altered_and_agrees_with_a_kept_head(busy: Daemon) -> None:
    head = busy.run("log", "head").stdout.strip()
    answer = busy.json("log", "verify", "--head", head)
    assert answer["ok"] is True
    assert answer["entries"] >= 8
    other = f"{head.partition(':')[0]}:{'0' * 64}"
    done = busy.run("log", "verify", "--head", other)
    assert done.returncode == 1
    assert "written anew" in done.stdout


def test_follow_shows_what_is_written_from_now_on(busy: Daemon) -> None:
    command = [*COMMAND, "log", "--follow", "--last", "1", "--dir", str(busy.directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the last so far: from now on it follows
        number = 0

        def enrolled() -> bool:
            nonlocal number
            number += 1
            busy.json("enroll", f"new-{number}", "--password")
            return number > 2

        assert eventually(enrolled)
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.wait(20)
    assert "identity=new-" in line


def test_a_changed_line_is_found_and_a_killed_broker_is_no_fault(tmp_path: Path) -> None:
    with Daemon(tmp_path / "state") as daemon:
        daemon.json("enroll", "plug", "--password")
        daemon.process.kill()
        daemon.process.wait(20)
        assert daemon.run("log", "verify").returncode == 0
    daemon.json("devices", "revoke", "plug")
    assert daemon.run("log", "verify").returncode == 0
    path = log_files(daemon.directory / "audit")[0]
    path.write_bytes(path.read_bytes().replace(b'"after":"revoked"', b'"after":"resumed"'))
    done = daemon.run("log", "verify", "--json")
    assert done.returncode == 1
    fault = json.loads(done.stdout)["fault"]
    assert "signature is wrong" in fault["text"]
    revoked = [n for n, line in enumerate(path.read_bytes().splitlines(), 1) if b"resumed" in line]
    assert [fault["line"]] == revoked


def test_a_log_that_is_gone_is_found_and_told_what_to_do(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Daemon(state) as daemon:
        head = daemon.run("log", "head").stdout.strip()
    shutil.rmtree(state / "audit")
    done = daemon.run("log", "verify", "--head", head)
    assert done.returncode == 1, done.stdout + done.stderr
    assert (
        f"BAD  the audit log: there is no entry: entries up to {head.partition(':')[0]} are gone"
        in done.stdout
    )
    assert "Next: " in done.stdout
    done = daemon.run("log", "verify")
    assert done.returncode == 1
    assert "what was written is gone" in done.stdout


def test_a_line_that_is_no_entry_is_told_with_its_place_and_the_others_are_shown(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Daemon(state) as daemon:
        daemon.json("enroll", "plug", "--password")
    path = log_files(state / "audit")[0]
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*whole[:1], b"\x1b[2Jgarbage\n", *whole[1:]]))
    for options in ((), ("--json",)):
        done = daemon.run("log", *options)
        assert len(done.stdout.splitlines()) == len(whole)
        assert f"{path}:2: this line is no entry. What that means: bollard log verify" in done.stderr
        assert "garbage" not in done.stdout + done.stderr


def test_an_entry_is_shown_on_one_line_whatever_it_holds() -> None:
    record = {"time": "2030-01-31T18:00:00.000Z", "n": 1, "kind": "policy.reloaded"}
    text = _as_text({**record, "detail": "policy.toml:3: no such right\n  Did you mean publish?\n"})
    assert text.endswith('detail="policy.toml:3: no such right / Did you mean publish?"')
    assert "\\n" not in text


def test_what_nobody_wrote_is_told_as_nothing_found(busy: Daemon) -> None:
    done = busy.run("log", "--id", "nobody", "--kind", "identity")
    assert (done.returncode, done.stdout) == (0, "")
    assert 'no entry of kind "identity" about the identity "nobody"' in done.stderr


def test_every_kind_that_is_documented_may_be_asked_for_and_every_one_there_is_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "AUDIT.md").read_text()
    rows = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
    documented: set[str] = set()
    for row in rows:
        names = re.findall(r"`([^`]+)`", row)
        family = names[0].partition(".")[0]
        documented |= {f"{family}{name}" if name.startswith(".") else name for name in names}
    documented -= {"audit.…"}
    assert documented == {kind for kind in KINDS if not kind.startswith("audit.")}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--kind", "nonsense"), "There are: access.denied, "),
        (("--kind", "ident"), "is no kind of entry"),
        (("--since", "yesterday"), "is no moment"),
        (("--since", "2030-01-31T18:00:00"), "has no time zone"),
        (("verify", "--head", "1"), "64 hexadecimal digits"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(busy: Daemon, options: tuple[str, ...], told: str) -> None:
    done = busy.run("log", *options) if options[0] != "verify" else busy.run(*("log", *options))
    assert done.returncode == 2
    assert told in done.stderr


def test_without_a_log_there_is_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "bollard.toml").write_text("")
    done = bollard("log", "verify", "--dir", tmp_path)
    assert done.returncode == 2
    assert "bollard up" in done.stderr
    assert bollard("log", "--dir", tmp_path).stdout == ""

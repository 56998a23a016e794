"""A scan that is interrupted from the keyboard: what it keeps, what it says of that, and how it goes on."""

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from assess.servers import Server, says, silent
from bollard.assess.report import canonical
from cli.daemon import COMMAND, eventually

QUICK = ("--rate", "1000", "--listen", "0", "--patience", "0", "--only", "SCN-04", "--timeout", "30")
REFUSE_311 = says(b"\x20\x02\x00\x05")


class Moody(Server):
    """Says nothing until it is told to answer."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        super().__init__(self._talk_or_not)

    def _talk_or_not(self, connection: socket.socket) -> None:
        (REFUSE_311 if self.answers.is_set() else silent)(connection)


@pytest.fixture
def moody() -> Iterator[Moody]:
    with Moody() as server:
        yield server


def interrupted(command: list[str], moment: object) -> tuple[int, str]:
    """Ctrl-C at the moment that `moment` becomes true. Returns the exit code and what was said on standard error."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert eventually(moment)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return process.returncode, said


def scan(*words: object) -> list[str]:
    return [*COMMAND, "scan", *map(str, words), *QUICK]


def test_what_is_through_is_kept_and_the_same_command_goes_on_from_there(
    tmp_path: Path, moody: Moody
) -> None:
    state = tmp_path / "state.json"
    with Server(REFUSE_311) as quick:
        targets = [f"mqtt://127.0.0.1:{quick.port}", f"mqtt://localhost:{moody.port}"]
        command = scan(*targets, "--resume", state)
        code, said = interrupted(command, lambda: state.exists() and moody.connections)
        assert code == 130
        assert f"{state} keeps what is through" in said
        kept = canonical.read(state)
        assert not kept.complete
        assert {each.target for each in kept.results} == {targets[0]}
        before = quick.connections
        moody.answers.set()
        done = subprocess.run([*command, "--json"], capture_output=True, timeout=30, check=False)
        assert done.returncode == 0
        assert quick.connections == before
    whole = canonical.read(state)
    assert whole.complete
    assert {each.target for each in whole.results} == set(targets)


@pytest.mark.parametrize("resume", [True, False])
def test_before_anything_is_through_no_file_is_named_that_is_not_there(
    tmp_path: Path, moody: Moody, resume: bool
) -> None:
    state = tmp_path / "state.json"
    words = ("--resume", state) if resume else ()
    command = scan(f"mqtt://127.0.0.1:{moody.port}", *words)
    code, said = interrupted(command, lambda: moody.connections)
    assert code == 130
    assert not state.exists()
    assert ("no host is through yet" in said) is resume
    assert "keeps what is through" not in said
    assert "othing was kept" in said


def test_interrupted_again_before_a_further_host_is_through_the_earlier_state_is_named(
    tmp_path: Path, moody: Moody
) -> None:
    state = tmp_path / "state.json"
    with Server(REFUSE_311) as quick:
        first = f"mqtt://127.0.0.1:{quick.port}"
        subprocess.run(scan(first, "--resume", state), capture_output=True, timeout=30, check=False)
        kept = canonical.read(state)
        command = scan(first, f"mqtt://localhost:{moody.port}", "--resume", state)
        code, said = interrupted(command, lambda: moody.connections)
    assert code == 130
    assert f"{state} keeps what is through" in said
    assert canonical.read(state).done == kept.done

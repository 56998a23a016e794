"""tools/commandline.py: numbers have bounds, and whoever presses Ctrl-C is left with nothing."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

import pytest

from server.tools import TOOLS, load_tool


@pytest.fixture
def commandline() -> ModuleType:
    return load_tool("commandline")


@pytest.mark.parametrize("text", ["0", "11", "-5", "2.5", "x", "", "--3"])
def test_a_whole_number_out_of_bounds_is_refused_with_them(commandline: ModuleType, text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="not a whole number from 1 to 10"):
        commandline.whole(1, 10)(text)


@pytest.mark.parametrize("text", ["0", "61", "-5", "nan", "inf", "x"])
def test_seconds_out_of_bounds_are_refused_with_them(commandline: ModuleType, text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="not a number of seconds from 1 to 60"):
        commandline.seconds(1, 60)(text)


def test_numbers_within_bounds_are_read(commandline: ModuleType) -> None:
    assert [commandline.whole(-3, 10)(text) for text in ("-3", "10")] == [-3, 10]
    assert commandline.seconds(1, 60)("2.5") == 2.5


def test_who_cannot_run_ends_with_2_and_says_why(
    commandline: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot() -> int:
        raise commandline.CannotRun("something is missing")

    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    with pytest.raises(SystemExit) as ended:
        commandline.end_with("tool", cannot)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "tool: something is missing\n"


@pytest.mark.parametrize(
    ("number", "deaf"),
    [(signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGTERM, True)],
    ids=["ctrl-c", "sigterm", "sigterm-in-the-background"],
)
@pytest.mark.parametrize(
    ("command", "begun"),
    [
        (["storm.py", "--devices", "11999", "--kind", "password"], ""),
        (
            ["storm.py", "--devices", "40", "--per-address", "20", "--kind", "password"],
            "a storm of 40 devices",
        ),
        (["policy_cost.py", "measure"], "round 1"),
        (["crash.py"], "seed"),
    ],
    ids=["enrolling", "storm", "policy-cost", "crash"],
)
def test_ctrl_c_ends_without_a_traceback_and_leaves_nothing(
    tmp_path: Path, command: list[str], begun: str, number: signal.Signals, deaf: bool
) -> None:
    temporary = Path(tempfile.mkdtemp(dir=tmp_path))
    # A shell has what it runs in the background ignore Ctrl-C, us perhaps as well.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if deaf else signal.default_int_handler)
    try:
        running = subprocess.Popen(
            [sys.executable, TOOLS / command[0], *command[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with running:
        assert running.stderr is not None
        if begun:
            assert begun in running.stderr.readline()
        else:
            wait_for_files(temporary)
        # Ctrl-C reaches everything that the terminal has in the foreground; SIGTERM only the one who is named.
        if number == signal.SIGINT:
            os.killpg(running.pid, number)
        else:
            running.send_signal(number)
        _, told = running.communicate(timeout=30)
    assert running.returncode == 130, told
    assert "Traceback" not in told
    assert told.endswith(": interrupted\n")
    wait_until_gone(running.pid)
    assert list(temporary.iterdir()) == []


def wait_for_files(folder: Path) -> None:
    end = time.monotonic() + 20
    while not list(folder.rglob("registry*")):
        assert time.monotonic() < end
        time.sleep(0.02)


def wait_until_gone(group: int) -> None:
    """Until no process of `group` is there, or a failure."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    os.killpg(group, signal.SIGKILL)  # it is ours: a session of its own
    pytest.fail("processes were left behind")

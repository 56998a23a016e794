"""Clients that are ended from outside: they take leave of the broker, and end as they say."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from cli.daemon import COMMAND, Daemon, eventually


@pytest.fixture
def settings(broker: Daemon, tmp_path: Path) -> Path:
    assert broker.run("enroll", f"p{os.getpid()}-{tmp_path.name}"[:64], "--out", tmp_path).returncode == 0
    return next(tmp_path.glob("*.json"))


@contextmanager
def started(
    *words: object, stdin: int | IO[bytes] | None = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*COMMAND, *map(str, words)], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    return process.stderr.read().decode()


@pytest.mark.parametrize(
    ("number", "words", "code"),
    [
        (signal.SIGTERM, (), 0),
        (signal.SIGTERM, ("-C", "3"), 1),
        (signal.SIGINT, (), 130),
    ],
)
def test_sub_says_goodbye_and_ends_without_a_traceback(
    broker: Daemon, settings: Path, number: int, words: tuple[str, ...], code: int
) -> None:
    name = settings.stem
    with started("sub", "--settings", settings, "-t", f"devices/{name}/#", *words) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"connected")
        process.send_signal(number)
        assert process.wait(20) == code
        assert "Traceback" not in said(process)
    left = f"client.disconnected principal={name} client_id={name} address=127.0.0.1 by=client code=0"
    assert eventually(lambda: broker.logged(left))


def test_pub_that_waits_for_a_line_ends_well(broker: Daemon, settings: Path) -> None:
    name = settings.stem
    words = ("pub", "--settings", settings, "-t", f"devices/{name}/x", "-q", "1", "--json", "--stdin-lines")
    with started(*words, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert b'"bytes": 3' in process.stdout.readline()
        process.terminate()
        assert process.wait(20) == 0
        assert said(process) == ""
    assert eventually(lambda: broker.logged(f"client.disconnected principal={name} "))


def test_pub_with_lines_in_hand_says_that_not_all_was_published(settings: Path) -> None:
    name = settings.stem
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as yes:
        try:
            words = ("pub", "--settings", settings, "-t", f"devices/{name}/x", "-q", "1", "--json")
            with started(*words, "--stdin-lines", stdin=yes.stdout) as process:
                assert process.stdout is not None
                assert process.stdout.readline()
                process.terminate()
                while process.stdout.read(65_536):
                    pass  # what it still says, so that it does not wait for us
                assert process.wait(20) == 1
                assert "Traceback" not in said(process)
        finally:
            yes.kill()

"""The audit log after a kill between any two of its steps: it goes on, it is whole, and nothing confirmed is missing."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bollard.store.audit import AuditLog, known_keys, log_files, read_lines
from bollard.store.audit_chain import Entry, decode_line, verify

NOW = 1_900_000_000.0
MAX_BYTES = 64 * 1024
#: What changes a disk, and may be the last thing that happens.
STEPS = ("write", "fsync", "replace", "rename", "unlink", "truncate", "open")


def work(folder: Path, confirm: Callable[[int], None]) -> None:
    """Write, change keys, go on in new files and remove old ones; `confirm` what is told to be on disk."""
    log = AuditLog(folder, MAX_BYTES, now=NOW)
    for number in range(14):
        log.append([Entry("test", NOW, {"number": number, "part": n, "text": "x" * 400}) for n in range(8)])
        confirm(number)
        if number == 5:
            log.change_key(NOW)


class Killer:
    """Ends the process at one step: before it, or in the middle of it if it writes."""

    def __init__(self, at: int, *, torn: bool) -> None:
        self.left = at
        self.torn = torn

    def around(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                if self.torn and name == "write":
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os._exit(9)
            return real(*arguments, **options)

        return step


def killed_at(folder: Path, at: int, *, torn: bool) -> tuple[bool, int]:
    """Let a process do `work` and kill it at step `at`. Whether it came so far, and how much it had confirmed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        killer = Killer(at, torn=torn)
        for name in STEPS:
            setattr(os, name, killer.around(name, getattr(os, name)))
        told = os.dup(writer)
        work(folder, lambda number: real_write(told, b"."))
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        confirmed = len(pipe.read())
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 9, confirmed


real_write = os.write


@pytest.mark.slow
@pytest.mark.parametrize("torn", [False, True], ids=["between", "within"])
def test_a_kill_at_any_step_leaves_a_log_that_is_whole_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: bool
) -> None:
    # A kill does not need the disk to have it, and waiting for that is nearly all the time.
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    at, alive = 0, True
    while alive:
        at += 1 if not torn else 3
        folder = tmp_path / str(at)
        alive, confirmed = killed_at(folder, at, torn=torn)
        log = AuditLog(folder, MAX_BYTES, now=NOW)
        log.append([Entry("after", NOW)])
        log.change_key(NOW)
        verdict = verify(read_lines(log_files(folder)), known_keys(folder), log.head)
        assert verdict.fault is None, (at, str(verdict.fault))
        # In the middle of the very first line there is nothing yet that could go on.
        assert confirmed == 0 or not any("begun anew" in note for note in log.notes), (at, log.notes)
        records = [decode_line(line.data) for line in read_lines(log_files(folder))]
        numbers = [record["number"] for record in records if record["kind"] == "test"]
        if confirmed:
            assert numbers[-1] >= confirmed - 1, at
            assert numbers.count(confirmed - 1) == 8, at
    assert at > 100

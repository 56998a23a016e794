"""bench/instructions.py: the hot ways cost no more instructions than was agreed, and the guard sees it if they do."""

import shutil
from pathlib import Path

import instructions
import pytest

from bollard.server.build import is_compiled

COUNTED = {instructions.INTERPRETER: 1000.0, "pairs": 2000.0}


def limits(tmp_path: Path, counted: dict[str, float]) -> Path:
    path = tmp_path / "limits.toml"
    path.write_text(instructions.limits_text(counted))
    return path


@pytest.mark.timeout(instructions.PATIENCE_S + 20)
@pytest.mark.slow
def test_no_hot_way_costs_more_instructions_than_its_limit() -> None:
    if not is_compiled():
        pytest.skip("instructions are counted where the modules are compiled")
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    written, headroom, python = instructions.read_limits()
    if python != instructions.this_python():
        pytest.skip(f"the limits are of {python}, this is {instructions.this_python()}")
    found = instructions.verdicts(instructions.count(), written, headroom)
    assert not found, "\n".join([*found, "If the price is meant: make instruction-counts ARGS=--renew"])


def test_every_way_has_a_limit_and_every_limit_a_way() -> None:
    written, headroom, _ = instructions.read_limits()
    assert set(written) == set(instructions.names())
    assert 0 < headroom <= 15


def test_a_way_above_its_limit_is_named_with_what_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = limits(tmp_path, COUNTED)
    assert instructions.main(["--limits", str(path)], lambda: {**COUNTED, "pairs": 2190.0}) == 0
    assert instructions.main(["--limits", str(path)], lambda: {**COUNTED, "pairs": 2210.0}) == 1
    told = capsys.readouterr().out
    assert "pairs: 2210 instructions a message, 2200 are allowed (2000 were counted" in told
    assert "make instruction-counts ARGS=--renew" in told


def test_an_interpreter_that_needs_more_for_the_same_work_raises_the_limits() -> None:
    slower = {instructions.INTERPRETER: 1200.0, "pairs": 2600.0}
    assert instructions.verdicts(slower, COUNTED, 10) == []
    assert instructions.verdicts({**slower, "pairs": 2700.0}, COUNTED, 10)
    faster = {instructions.INTERPRETER: 500.0, "pairs": 2100.0}
    assert instructions.verdicts(faster, COUNTED, 10) == []


def test_a_way_without_a_limit_and_a_limit_without_a_way_are_found() -> None:
    found = instructions.verdicts({**COUNTED, "new": 5.0}, {**COUNTED, "old": 7.0}, 10)
    assert [sentence.split(":")[0] for sentence in found] == ["new", "old"]


def test_renewing_writes_what_was_counted(tmp_path: Path) -> None:
    path = limits(tmp_path, COUNTED)
    higher = {**COUNTED, "pairs": 9999.0}
    assert instructions.main(["--renew", "--limits", str(path)], lambda: higher) == 0
    assert instructions.read_limits(path)[0] == higher


def test_what_is_missing_is_said_and_is_no_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    def missing() -> dict[str, float]:
        raise instructions.CannotCount("valgrind is missing")

    assert instructions.main([], missing) == 2
    assert "valgrind is missing" in capsys.readouterr().err


def test_who_interrupts_it_gets_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> dict[str, float]:
        raise KeyboardInterrupt

    assert instructions.main([], interrupted) == 130
    assert capsys.readouterr().err == "instruction counts: interrupted\n"

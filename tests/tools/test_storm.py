"""tools/storm.py: everybody gets in, and the client that was there before is served meanwhile."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from server.tools import TOOLS, load_tool


@pytest.fixture
def tool() -> ModuleType:
    return load_tool("storm")


def storm(*options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(TOOLS / "storm.py"), "--devices", "60", "--per-address", "30", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize("kind", ["password", "certificate"])
def test_a_small_storm_refuses_nobody(kind: str) -> None:
    done = storm("--kind", kind, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["connected"], told["attempts"], told["failed_attempts"]) == (60, 60, {})
    assert told["healthy_ping_max_ms"] > 0


def test_people_read_the_table_of_the_document() -> None:
    done = storm("--kind", "password")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    written = (Path(__file__).parents[2] / "docs" / "STORM.md").read_text()
    assert lines[0].replace("60 devices", "10,000 devices") in written
    assert lines[2].startswith("| password | Bollard | ")
    assert lines[2].count("|") == lines[0].count("|")
    assert "no attempt failed" in lines[-1]


def test_who_is_missing_is_told(tool: ModuleType) -> None:
    figures = tool.Figures("bollard", "password", 3, waits_s=[0.1], attempts=5)
    figures.failures["CONNACK 5"] = 4
    told = tool.table([figures])
    assert "2 are missing" in told
    assert "failed attempts: 4 CONNACK 5" in told


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--per-address", "0"], "0 is not a whole number from 1 to 1000"),
        (["--per-address", "1001"], "1001 is not a whole number from 1 to 1000"),
        (["--devices", "-5"], "-5 is not a whole number from 1 to 11999"),
        (["--devices", "0"], "0 is not a whole number from 1 to 11999"),
        (["--devices", "12000"], "12000 is not a whole number from 1 to 11999"),
        (["--patience", "0"], "0 is not a number of seconds from 1 to 3600"),
    ],
)
def test_what_could_never_work_is_refused_with_its_bounds(
    tool: ModuleType, capsys: pytest.CaptureFixture[str], wrong: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        tool.parse(wrong)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_devices_that_are_there_are_kept_and_more_are_added(tool: ModuleType, tmp_path: Path) -> None:
    two = tool.enroll(tmp_path, 2, "password")
    assert tool.enroll(tmp_path, 1, "password") == two[:1]
    assert tool.enroll(tmp_path, 4, "password")[:2] == two

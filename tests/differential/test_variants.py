"""The same bytes get the same answers: compiled as uncompiled, in one piece as byte by byte.

The uncompiled variant is the source of the package under test, copied without its extension modules and run
by another interpreter: what differs is only the compilation.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bollard

from .streams import compiled, play

COUNT = 60
SEEDS = range(COUNT)


def normal(seen: dict[str, Any]) -> Any:
    """As it looks after a journey through JSON."""
    return json.loads(json.dumps(seen, sort_keys=True))


def run_uncompiled(tmp_path: Path, cut: str) -> list[Any]:
    """What the plain source answers, from a process of its own."""
    package = Path(bollard.__file__).parent
    ignored = shutil.ignore_patterns("*.so", "*.c", "*.pyd", "__pycache__")
    shutil.copytree(package, tmp_path / "bollard", ignore=ignored)
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "streams.py"), "0", str(COUNT), cut],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    is_compiled, *lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert is_compiled is False
    return lines


@pytest.mark.slow
@pytest.mark.skipif(not compiled(), reason="bollard is installed uncompiled: there is nothing to compare")
def test_compiled_and_uncompiled_give_the_same_answers(tmp_path: Path) -> None:
    expected = run_uncompiled(tmp_path, "whole")
    for seed, line in zip(SEEDS, expected, strict=True):
        assert normal(play(seed, "whole")) == line, f"seed {seed}"


@pytest.mark.parametrize("part", range(5))
def test_one_byte_at_a_time_gets_the_answers_of_the_whole(part: int) -> None:
    for seed in SEEDS[part::5]:
        whole, pieces = play(seed, "whole"), play(seed, "bytes")
        assert pieces == whole, f"seed {seed}"


def test_the_streams_reach_every_corner() -> None:
    """Random streams that end at their first packet would prove nothing."""
    seen = [play(seed, "whole") for seed in SEEDS]
    total = {name: sum(one["counters"][name] for one in seen) for name in seen[0]["counters"]}
    for name in ("publish_received", "publish_sent", "publish_dropped", "expired_messages", "denied_publish"):
        assert total[name] > 0, name
    assert total["protocol_errors"] < total["packets_received"] / 10
    assert total["packets_received"] > 30 * COUNT
    assert any(one["retained"] for one in seen)

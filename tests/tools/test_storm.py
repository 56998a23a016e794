"""tools/storm.py: everybody gets in, and the client that was there before is served meanwhile."""

import json
import subprocess
import sys

import pytest

from server.tools import TOOLS


@pytest.mark.parametrize("kind", ["password", "certificate"])
def test_a_small_storm_refuses_nobody(kind: str) -> None:
    command = [
        sys.executable,
        str(TOOLS / "storm.py"),
        "--devices",
        "60",
        "--kind",
        kind,
        "--per-address",
        "30",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["connected"], told["attempts"], told["failed_attempts"]) == (60, 60, {})
    assert told["healthy_ping_max_ms"] > 0

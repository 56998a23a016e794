"""bench/load/ending.py: what is told to end says so, ends what it started, and leaves no traceback."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
PARENT = """
import sys
from load.ending import end_on_signals, run_to_end
end_on_signals("broken off")
run_to_end([sys.executable, "-c", sys.argv[1]])
"""
CHILD = """
import time
from load.ending import end_on_signals
end_on_signals("the child as well")
print("ready", flush=True)
time.sleep(300)
"""


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_children_first_and_says_so(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD],
        cwd=BENCH,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        # Both pipes end only when the child, which has them as well, has ended.
        told = process.communicate(timeout=20)[1]
    assert process.returncode == 128 + number
    assert told == "broken off\nthe child as well\n"


def test_the_code_of_a_child_that_ends_is_told() -> None:
    script = "import sys; from load.ending import run_to_end; sys.exit(run_to_end(['sh', '-c', 'exit 7']))"
    assert subprocess.run([sys.executable, "-c", script], cwd=BENCH, timeout=20).returncode == 7


def test_a_signal_that_is_ignored_stays_so() -> None:
    script = (
        "import signal; from load.ending import end_on_signals\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN); end_on_signals('x'); signal.raise_signal(signal.SIGHUP)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=BENCH, timeout=20).returncode == 0

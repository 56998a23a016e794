"""Messages of the engine alone for each second of processor time: compiled, where installed so, and uncompiled.

In memory, no socket, no TLS: what remains is what this project's own code costs a message, on each way of `ways.py`,
and how it depends on the number of subscriptions. For figures against other brokers see `against_peers.py`, for counts
that do not depend on the machine `instructions.py`. Compare runs of one machine only.

Example:
    python bench/run.py

Exit codes: 0 all was measured, 2 usage; 130 and 143 broken off by Ctrl-C and by SIGTERM.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from load.ending import end_on_signals, run_to_end
from ways import Way, uncached_match, ways

from bollard.server.build import is_compiled

SOURCE = Path(__file__).parent.parent / "src"
#: Turns that warm up, and turns that count, in each of the repetitions.
WARM, TURNS, REPETITIONS = 2, 20, 5
NAME_WIDTH = 40
SUBSCRIPTIONS = (1_000, 20_000, 200_000)


def measure(way: Way, repetitions: int = REPETITIONS) -> float:
    """Messages per CPU second: the best repetition, since whatever disturbs only slows down."""
    recording = way.record(WARM + TURNS)
    best = 0.0
    for _ in range(repetitions):
        stage = recording.fresh()
        for steps in recording.turns[:WARM]:
            stage.play(steps)
        began = time.process_time()
        for steps in recording.turns[WARM:]:
            stage.play(steps)
        best = max(best, TURNS * way.messages / (time.process_time() - began))
    return best


def report(variant: str) -> None:
    """Measure every way, and print each when it is measured."""
    print(f"{variant:{NAME_WIDTH}}  messages for each second of processor time", flush=True)
    for way in ways():
        print(f"{way.name:{NAME_WIDTH}}  {measure(way):12,.0f}", flush=True)
    for others in SUBSCRIPTIONS:
        name = f"match uncached, {others:,} subscriptions"
        print(f"{name:{NAME_WIDTH}}  {measure(uncached_match(others), 2):12,.0f}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--alone", action="store_true", help="only the variant that is installed")
    options = parser.parse_args()
    compiled = is_compiled()
    report("compiled" if compiled else "uncompiled")
    if compiled and not options.alone:
        print(flush=True)
        return run_to_end(
            [sys.executable, __file__, "--alone"], env={**os.environ, "PYTHONPATH": str(SOURCE)}
        )
    return 0


if __name__ == "__main__":
    end_on_signals("make bench-engine: broken off")
    sys.exit(main())

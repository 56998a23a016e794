"""Messages per CPU second of the engine alone, in memory: compiled, where installed so, and uncompiled.

No socket, no TLS: what remains is what this project's own code costs a message, on each way of `ways.py`, and how it
depends on the number of subscriptions. For figures against other brokers see `against_peers.py`, for counts that do
not depend on the machine `instructions.py`. Compare runs of one machine only.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from ways import Way, uncached_match, ways

from bollard.server.build import is_compiled

SOURCE = Path(__file__).parent.parent / "src"
#: Turns that warm up, and turns that count, in each of the repetitions.
WARM, TURNS, REPETITIONS = 2, 20, 5
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


def main() -> int:
    variant = "compiled" if is_compiled() else "uncompiled"
    for way in ways():
        print(f"{variant:10}  {way.name:40}  {measure(way):12,.0f} /s", flush=True)
    for others in SUBSCRIPTIONS:
        name = f"match uncached, {others:,} subscriptions"
        print(f"{variant:10}  {name:40}  {measure(uncached_match(others), 2):12,.0f} /s", flush=True)
    if is_compiled() and "--alone" not in sys.argv:
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        return subprocess.run([sys.executable, __file__, "--alone"], env=environment, check=False).returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())

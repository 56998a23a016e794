"""Feeds the reader of captures what no recorder would write.

The seed is the scene of the tests, as pcap and as pcapng. Bytes are changed, parts cut out or doubled, frames lost,
swapped and spoiled behind their headers. A report must come of it, or a refusal; nothing may raise or take long.

    python fuzz/fuzz_captures.py --seconds 60
"""

import argparse
import io
import random
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from assess.capture.scene import mixed
from bollard.assess.capture.sniff import Settings, assemble, read
from bollard.assess.report.formats import FORMATS
from bollard.base.errors import BollardError
from support.captures import pcap, pcapng

#: Longer than this for a seed of 60 KB is a fault.
LIMIT_S = 5.0
TAPE = mixed()
FILES = (pcap(TAPE), pcapng(TAPE), pcap(TAPE, order=">", nano=True), pcapng(TAPE, order=">"))


def spoiled_bytes(chance: random.Random) -> bytes:
    """A file with some bytes changed."""
    data = bytearray(chance.choice(FILES))
    for _ in range(chance.randrange(1, 60)):
        data[chance.randrange(len(data))] = chance.choice((0, 255, chance.randrange(256)))
    return bytes(data)


def spoiled_parts(chance: random.Random) -> bytes:
    """A file with a part cut out or doubled."""
    data = chance.choice(FILES)
    first, last = sorted(chance.randrange(24, len(data)) for _ in range(2))
    return data[:first] + data[last:] if chance.random() < 0.5 else data[:last] + data[first:]


def spoiled_frames(chance: random.Random) -> bytes:
    """A file whose frames were lost, swapped, and changed behind their headers."""
    frames = [each for each in TAPE.frames if chance.random() < 0.95]
    for _ in range(chance.randrange(60)):
        place, other = chance.randrange(len(frames)), chance.randrange(len(frames))
        if chance.random() < 0.3:
            frames[place], frames[other] = frames[other], frames[place]
        time_ns, frame = frames[place]
        if len(frame) > 54:
            changed = bytearray(frame)
            at = chance.randrange(14 if chance.random() < 0.2 else 54, len(frame))
            changed[at] = chance.choice((0, 255, 0x10, 0x16, 0x30, frame[at] ^ 1 << chance.randrange(8)))
            frames[place] = (time_ns, bytes(changed))
    return pcap(frames)


def judged(data: bytes) -> None:
    """Read and render."""
    try:
        capture = read(io.BytesIO(data), "fuzz", Settings(), lambda done, frames: None)  # type: ignore[arg-type]
    except BollardError:
        return
    report = assemble([capture], Settings(), datetime.now(UTC))
    for render in FORMATS.values():
        render(report)


def main() -> int:
    """Fuzz for so many seconds; 1 with the seed of the first fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    end, rounds, seed = time.monotonic() + options.seconds, 0, options.seed
    while time.monotonic() < end:
        chance = random.Random(seed)
        data = chance.choice((spoiled_bytes, spoiled_parts, spoiled_frames))(chance)
        started = time.monotonic()
        try:
            judged(data)
        except Exception:
            traceback.print_exc()
            print(f"captures: seed {seed} raised")
            return 1
        if time.monotonic() - started > LIMIT_S:
            print(f"captures: seed {seed} took {time.monotonic() - started:.1f} s")
            return 1
        rounds, seed = rounds + 1, seed + 1
    print(f"captures: {rounds} rounds, nothing raised")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A day of a broker in minutes: does it end where it began?

    python bench/leak.py [--hours 24] [--operations 100000] [--seed 1]

The engine in memory, with a clock that the tool turns. In each hour clients of both versions come and go, take each
other over, subscribe, publish at every QoS with aliases, properties and expiry, retain and clear, leave wills, fall
silent in the middle of an exchange, stop reading, and send what no client may; policy changes, identities are
revoked, the disk refuses. Client identifiers and topics are always new. At the end of each hour everybody is gone and
what was kept has expired. Then there must be as many objects of Bollard's own as after the first hour, which warms
up, and as many blocks of memory, but for what chance leaves in tables that are bounded.
"""

import argparse
import contextlib
import gc
import resource
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from day import Day

from bollard.routing.names import Names


@dataclass(frozen=True)
class Census:
    """What there is: objects of Bollard's classes by name, blocks of Python's memory but for the names of topic levels
    that are remembered, KiB of the process."""

    objects: Counter[str]
    blocks: int
    rss_kib: int

    def grown(self, since: "Census", tolerance_blocks: int) -> list[str]:
        """What there is more of than at `since`, in sentences."""
        found = [
            f"{count} {name}, {since.objects[name]} after the first hour"
            for name, count in sorted(self.objects.items())
            if count > since.objects[name]
        ]
        if self.blocks - since.blocks > tolerance_blocks:
            found.append(f"{self.blocks - since.blocks} more blocks of memory than after the first hour")
        return found


def census() -> Census:
    gc.collect()
    everything = gc.get_objects()
    kinds = map(type, everything)
    objects = Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds if _is_ours(kind))
    # They become more, until there are too many and all are forgotten: where in this an hour ends is chance.
    names = sum(len(one) for one in everything if isinstance(one, Names))
    return Census(objects, sys.getallocatedblocks() - names, _rss_kib())


def _is_ours(kind: type) -> bool:
    return isinstance(kind.__module__, str) and kind.__module__.startswith("bollard.")


def _rss_kib() -> int:
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


#: Tables and pools of objects keep the room that they once needed; a leak of one block in a thousand operations
#: of a whole day is more than twice this.
TOLERANCE_BLOCKS = 1000


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--operations", type=int, default=100_000, help="an hour (100000)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.hours < 1 or options.operations < 1:
        parser.error("a day without hours, or hours in which nothing happens, show nothing")
    day = Day(options.seed)
    first = last = None
    for hour in range(options.hours + 1):
        day.hour(options.operations)
        last = census()
        first = first or last
        note = "warmed up" if hour == 0 else f"hour {hour}"
        print(
            f"{note:10} {sum(last.objects.values()):6} objects of ours  {last.blocks:9,} blocks  "
            f"{last.rss_kib:9,} KiB",
            flush=True,
        )
    counters = day.broker.counters
    print(f"{counters.packets_received:,} packets in, {counters.packets_sent:,} out; {dict(day.done)}")
    assert first is not None
    assert last is not None
    found = last.grown(first, TOLERANCE_BLOCKS)
    for sentence in found:
        print(f"! {sentence}")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())

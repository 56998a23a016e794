"""The running broker under load that comes and goes: does its memory end where it was after the first rounds?

    python bench/leak_daemon.py [--rounds 20] [--room DIR]

Each round opens and closes thousands of connections in the clear, over TLS, resumed and with certificates, sends at
every QoS, retains a thousand topics and clears them, and fills and drains the queues of kept sessions: what the
engine alone (`leak.py`) cannot show, which is sockets, TLS, the event loop and the store. Resident memory is read
when all is over and the broker has come to rest. It must not grow by more than five per cent from the third round on.

Exit codes: 0 nothing grew, 1 something did, 2 could not run, 130 and 143 broken off.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from against_peers import build_generator
from brokers import CannotRun, our_broker
from load.ending import end_on_signals

from bollard.net.pace import MAX_KEYS

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "load"))
from compare import Broker, children, load, rss_kb  # noqa: E402

#: (transport, arguments) of each load of a round.
LOADS = (
    ("plain", "conn --inflight 64 --src 32 -n 5000 --warmup 0"),
    ("tls", "conn --inflight 64 --src 32 -n 1000 --warmup 0"),
    ("tls", "conn --inflight 64 --src 32 --resume -n 1000 --warmup 0"),
    ("mtls", "conn --inflight 64 --src 32 -n 500 --warmup 0"),
    ("plain", "pairs -n 20 -q 2 -s 64 -d 0.5 --warmup 0"),
    ("tls", "pairs -n 20 -q 1 -s 1000 -V 5 --alias -d 0.5 --warmup 0"),
    ("plain", "shared -n 10 -m 10 --groups 2 -q 1 -s 64 -d 0.5 --warmup 0"),
    ("plain", "subs -n 50 --topics 100 -d 0"),
    ("plain", "retain -n 5 --count 1000 -q 1 -s 64 --clear -t r/%t -f r/#"),
    ("tls", "idle -n 300 -d 0.2"),
)
#: Before each round that only warms up: twice the clients that the broker remembers for its rates. Then these tables
#: are full, and Python has made them anew, as it does again and again where keys come and others go: from then on the
#: process has room for the old one beside the new one.
FILLING = ("plain", f"conn --inflight 64 --src 32 -n {2 * MAX_KEYS} --warmup 0")
#: What malloc and the allocator of Python do not give back differs from round to round.
TOLERANCE = 0.05
WARM_ROUNDS = 3


def one_load(broker: Broker, run: dict[str, Any], transport: str, arguments: str) -> None:
    told = load(run, {"transport": transport, "args": arguments.split()}, broker, [], {})
    if "error" in told:
        raise CannotRun(f"{transport} {arguments}: {told['error']}")


def run_round(broker: Broker, run: dict[str, Any], room: Path) -> int:
    """One round; KiB of resident memory after it. Raises CannotRun."""
    for transport, arguments in LOADS:
        one_load(broker, run, transport, arguments)
    for stage in ("fill", "drain"):
        arguments = f"offline --stage {stage} --state {room / 'leak.state'} -n 5 --count 500 -q 1 -s 64"
        told = load(run, {"args": arguments.split()}, broker, [], {})
        if "error" in told or told.get("lost_acked"):
            raise CannotRun(f"{arguments}: {told}")
    time.sleep(1.0)
    return rss_kb(children(broker.pid))


def verdict(sizes: list[int]) -> str:
    """What is wrong with the sizes after each round; "" if nothing is."""
    first, last = sizes[WARM_ROUNDS - 1], min(sizes[-2:])
    if last > first * (1 + TOLERANCE):
        return (
            f"{last:,} KiB at the end, {first:,} KiB after round {WARM_ROUNDS}, and {TOLERANCE:.0%} more is what may be: "
            "see whether it goes on with more --rounds, and with a part of LOADS alone"
        )
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--room", type=Path, default=HERE.parent / "build" / "leak", help="work")
    options = parser.parse_args(arguments)
    if options.rounds <= WARM_ROUNDS:
        parser.error(
            f"--rounds {options.rounds} show nothing: more than {WARM_ROUNDS} are needed, which warm up"
        )
    room: Path = options.room.resolve()
    room.mkdir(parents=True, exist_ok=True)
    try:
        build_generator(room)
        spec = our_broker(room)
        low, high, *_ = sorted(os.sched_getaffinity(0))
        run = {
            "broker_core": low,
            "gen_core": high,
            "mqttload": str(room / "load" / "mqttload"),
            "cafile": str(room / "bollard" / "ca" / "server-root.crt"),
            "cert": str(room / "bench" / "client.crt"),
            "key": str(room / "bench" / "client.key"),
        }
        broker = Broker(spec, run, {"tmp": str(room)})
        sizes: list[int] = []
        try:
            broker.start()
            for number in range(1, options.rounds + 1):
                if number <= WARM_ROUNDS:
                    one_load(broker, run, *FILLING)
                sizes.append(run_round(broker, run, room))
                print(f"round {number:3}  {sizes[-1]:9,} KiB", flush=True)
        finally:
            broker.stop()
    except (CannotRun, RuntimeError) as problem:
        print(f"make leak: {problem}", file=sys.stderr)
        return 2
    wrong = verdict(sizes)
    if wrong:
        print(f"! {wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    end_on_signals("make leak: broken off")
    raise SystemExit(main())

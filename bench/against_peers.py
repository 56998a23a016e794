"""Bollard beside the brokers of others, over sockets, in one interleaved run: tables of ratios, JSON and a chart.

Every broker runs on one core and the load generator (`bench/load`) on another. What counts is deliveries, or
connections, for each second of the broker's processor time: that repeats within a few per cent where rates
do not. All that `bench/matrix.toml` asks for is run, in three parts: the matrix, memory, and what survives kill -9.

    python bench/against_peers.py                                        everything, five repetitions
    python bench/against_peers.py --resume                               go on where the last run was broken off
    python bench/against_peers.py --reps 1 --brokers mosquitto,bollard --scenarios 'pairs*,tls-pairs*'
    python bench/against_peers.py --render --into docs                   results to docs/PERFORMANCE.md, no run

Exit codes: 0 all was measured, 1 something was lost or a broker failed, 2 could not run.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from brokers import BASELINE, CannotRun, Spec, found_brokers, machine
from chart import chart
from results import as_json, insert, lines_of, read, section

HERE = Path(__file__).parent
PARTS = ("matrix", "memory", "durable")
TITLE = f"Bollard and others, in multiples of {BASELINE}"
#: Where the figures go in the documents.
DOCUMENT, PICTURE = "PERFORMANCE.md", "performance.svg"


def build_generator(room: Path) -> Path:
    """Compile the load generator into `room`."""
    for tool, package in (("make", "make"), ("gcc", "gcc"), ("taskset", "util-linux")):
        if shutil.which(tool) is None:
            raise CannotRun(f"{tool} is missing. Install it: apt install {package}")
    if len(os.sched_getaffinity(0)) < 2:
        raise CannotRun("two cores are needed: one for the broker, one for the load generator")
    target = room / "load"
    shutil.copytree(HERE / "load", target, dirs_exist_ok=True)
    made = subprocess.run(["make", "-C", str(target), "mqttload"], capture_output=True, text=True)
    if made.returncode:
        raise CannotRun(f"the load generator does not compile (apt install libssl-dev?):\n{made.stderr}")
    return target


def matrix() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads((HERE / "matrix.toml").read_text())["scenario"]
    return found


def scenarios(part: str, seconds: float) -> list[dict[str, Any]]:
    """What `matrix.toml` asks for in one part, in the words of the comparison tool."""
    chosen = []
    for entry in matrix():
        if entry.get("part", "matrix") != part:
            continue
        args = entry["args"].split()
        scenario = {
            "name": entry["name"],
            "args": args if part != "matrix" else [*args, "--warmup", "0.5", "-d", str(seconds)],
            "transport": entry.get("transport", "plain"),
            "metrics": entry.get("metrics", ["per_cpu_s"]),
            **{name: entry[name] for name in ("kind", "reps") if name in entry},
            **({"fresh": True, "timeout": 300} if part != "matrix" else {}),
        }
        chosen.append(scenario)
        if entry.get("both"):
            chosen.append({**scenario, "name": "tls-" + entry["name"], "transport": "tls"})
    return chosen


def toml_of(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml_of(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)  # strings, numbers, truth and lists of them are spelled alike


def write_plan(room: Path, part: str, brokers: list[Spec], chosen: list[dict[str, Any]]) -> Path:
    """The configuration of the comparison tool."""
    state = room / "bollard"
    low, high, *_ = sorted(os.sched_getaffinity(0))
    run = {
        "broker_core": low,
        "gen_core": high,
        "baseline": BASELINE,
        "nice": -15 if os.geteuid() == 0 else 0,
        "mqttload": str(room / "load" / "mqttload"),
        "cafile": str(state / "ca" / "server-root.crt"),
        "cert": str(room / "bench" / "client.crt"),
        "key": str(room / "bench" / "client.key"),
    }
    tables = [("[run]", run)]
    for broker in brokers:
        durable = {"cmd": broker["durable_cmd"]} if part == "durable" and "durable_cmd" in broker else {}
        kept = {key: value for key, value in broker.items() if key not in ("version", "durable_cmd")}
        tables.append(("[[broker]]", {**kept, **durable}))
    tables += [("[[scenario]]", scenario) for scenario in chosen]
    lines = []
    for heading, table in tables:
        lines.append(heading)
        lines += [f"{key} = {toml_of(value)}" for key, value in table.items()]
    plan = room / f"plan-{part}.toml"
    plan.write_text("\n".join(lines) + "\n")
    return plan


def chosen_parts(brokers: list[Spec], options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """The scenarios of each part that has some of those asked for. Raises CannotRun for names that mean nothing."""
    there = {one["name"] for one in brokers}
    if unknown := set((options.brokers or "").split(",")) - there - {""}:
        raise CannotRun(f"--brokers {', '.join(sorted(unknown))}: there are {', '.join(sorted(there))}")
    wanted = (options.scenarios or "*").split(",")
    found = {}
    for part in options.parts:
        every = scenarios(part, options.seconds)
        if any(fnmatch(one["name"], pattern) for one in every for pattern in wanted):
            found[part] = every
    if not found:
        names = [one["name"] for part in options.parts for one in scenarios(part, options.seconds)]
        raise CannotRun(f"--scenarios {options.scenarios}: there are {', '.join(names)}")
    return found


def measure(room: Path, options: argparse.Namespace) -> None:
    """Build the generator, find the brokers, and run what is asked for; the lines are in `room`. Raises CannotRun."""
    build_generator(room)
    brokers = found_brokers(room, options.also)
    print("brokers: " + ", ".join(one["version"] for one in brokers), file=sys.stderr)
    # First whether it can be run: an hour's results must not go for a name that is misspelled.
    parts = chosen_parts(brokers, options)
    if not options.resume:
        for part in PARTS:
            (room / f"{part}.jsonl").unlink(missing_ok=True)
    (room / "about.json").write_text(json.dumps(described(brokers, options), indent=1))
    run(room, brokers, parts, options)


def run(
    room: Path, brokers: list[Spec], parts: dict[str, list[dict[str, Any]]], options: argparse.Namespace
) -> None:
    """Measure the scenarios of each part. Raises CannotRun."""
    for part, chosen in parts.items():
        plan = write_plan(room, part, brokers, chosen)
        results = room / f"{part}.jsonl"
        print(f"== {part}", file=sys.stderr, flush=True)
        command = [sys.executable, str(room / "load" / "compare.py"), "run", str(plan), "--resume"]
        command += ["--out", str(results), "--reps", str(options.reps)]
        for name in ("brokers", "scenarios"):
            if getattr(options, name):
                command += [f"--{name}", getattr(options, name)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        if done.returncode:
            raise CannotRun(f"the comparison of the part {part} did not end well; see above")


def render(room: Path, into: Path | None) -> list[str]:
    """Write table, JSON and chart of what is in `room`, and the generated part of a document below `into`.
    What went wrong."""
    results = read(*(room / f"{part}.jsonl" for part in PARTS))
    if not results.values:
        nothing = "; ".join(results.faults) or "measure first"
        raise CannotRun(f"there are no results in {room}: {nothing}")
    about = json.loads((room / "about.json").read_text())
    lines = lines_of(matrix())
    picture = chart(results, lines, TITLE)
    written = section(results, about, lines, PICTURE)
    (room / "results.md").write_text(written)
    (room / PICTURE).write_text(picture)
    (room / "results.json").write_text(as_json(results, about, lines))
    print(written)
    if into is not None:
        document = into / DOCUMENT
        document.write_text(insert(document.read_text(), "figures", written))
        (into / PICTURE).write_text(picture)
        print(f"Written: {document}, {into / PICTURE}")
    print(f"Written: {room / 'results.md'}, {room / 'results.json'}, {room / PICTURE}")
    return results.faults


def described(brokers: list[Spec], options: argparse.Namespace) -> dict[str, Any]:
    """When and where this is measured, and what."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine(),
        "versions": {one["name"]: one["version"] for one in brokers},
        "reps": options.reps,
        "seconds": options.seconds,
    }


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--room", type=Path, default=HERE.parent / "build" / "bench", help="work and results")
    parser.add_argument("--reps", type=int, default=5, help="interleaved repetitions (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="each measurement (2)")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)} (all)")
    parser.add_argument("--memory", action="store_true", help="the same as --parts memory")
    parser.add_argument("--brokers", help="names, with commas between (all that are installed)")
    parser.add_argument("--scenarios", help="patterns, with commas between (all)")
    parser.add_argument("--also", type=Path, metavar="FILE", help="further brokers: see docs/PERFORMANCE.md")
    parser.add_argument("--resume", action="store_true", help="keep the results that are there, and go on")
    parser.add_argument("--render", action="store_true", help="write tables and chart of what is there")
    parser.add_argument("--into", type=Path, metavar="DIR", help=f"refresh the figures in DIR/{DOCUMENT}")
    options = parser.parse_args(arguments)
    options.parts = ["memory"] if options.memory else options.parts.split(",")
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"--parts {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    if options.reps < 1 or options.seconds <= 0:
        parser.error("--reps and --seconds must be more than nothing")
    if options.into is not None and not (options.into / DOCUMENT).is_file():
        parser.error(f"--into {options.into}: there is no {DOCUMENT} in it")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    room: Path = options.room.resolve()
    room.mkdir(parents=True, exist_ok=True)
    try:
        if not options.render:
            measure(room, options)
        faults = render(room, options.into)
    except CannotRun as problem:
        print(f"make bench: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("make bench: broken off; --resume goes on from here", file=sys.stderr)
        return 2
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())

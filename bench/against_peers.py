"""Bollard beside the brokers of others, over sockets, in one interleaved run: tables of ratios, JSON and a chart.

Every broker runs on one core and the load generator (`bench/load`) on another. What counts is deliveries, or
connections, for each second of the broker's processor time: that depends least on what else the machine does. All
that `bench/matrix.toml` asks for is run, in three parts: the matrix, memory, and what survives kill -9.

Examples:
    python bench/against_peers.py                                        everything, five repetitions
    python bench/against_peers.py --resume                               go on where the last run was broken off
    python bench/against_peers.py --reps 1 --brokers mosquitto,bollard --scenarios 'pairs*,tls-pairs*'
    python bench/against_peers.py --resume --reps 1 --brokers 'nats*'    add to what is there
    python bench/against_peers.py --render --into docs                   results to docs/PERFORMANCE.md, no run

What a run is asked for is kept with its results. With --resume what is left open is as it was in the run before, and
without anything else all that was asked for goes on.

Exit codes: 0 all was measured, 1 something was lost or a broker failed, 2 usage, or could not run; 130 and 143 broken
off by Ctrl-C and by SIGTERM.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

from asked import Asked, as_kept, asked_for, matched
from brokers import BASELINE, CannotRun, Spec, found_brokers, machine, set_up
from chart import chart
from load.ending import end_on_signals, run_to_end
from results import as_json, insert, lines_of, read, section

HERE = Path(__file__).parent
ROOM = (HERE.parent / "build" / "bench").resolve()
PARTS = ("matrix", "memory", "durable")
TITLE = f"Bollard and others, in multiples of {BASELINE}"
#: What is kept of the runs beside the lines of their results.
ABOUT = "about.json"
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


def chosen_parts(asked: Asked) -> dict[str, list[dict[str, Any]]]:
    """The scenarios that are asked for, in their parts. Raises CannotRun for a pattern that means nothing."""
    every = {part: scenarios(part, asked.seconds) for part in matched("parts", asked.parts, PARTS)}
    wanted = matched("scenarios", asked.scenarios, [one["name"] for part in every.values() for one in part])
    chosen = {part: [one for one in found if one["name"] in wanted] for part, found in every.items()}
    return {part: found for part, found in chosen.items() if found}


def chosen_brokers(asked: Asked, brokers: list[Spec]) -> list[Spec]:
    """Those that are asked for. Raises CannotRun for a pattern that means nothing."""
    wanted = matched("brokers", asked.brokers, [one["name"] for one in brokers])
    return [one for one in brokers if one["name"] in wanted]


def measure(room: Path, options: argparse.Namespace) -> None:
    """Build the generator, find the brokers, and run what is asked for; the lines are in `room`. Raises CannotRun."""
    about = told_about(room) if options.resume else {}
    runs, now = asked_for(options, about)
    # First whether it can be run: an hour's results must not go for a name that is misspelled.
    parts = [chosen_parts(asked) for asked in now]
    build_generator(room)
    for asked in now:
        set_up(asked.brokers)
    brokers = found_brokers(room, [Path(also) for also in dict.fromkeys(one.also for one in now) if also])
    chosen = [chosen_brokers(asked, brokers) for asked in now]
    versions = dict.fromkeys(one["version"] for there in chosen for one in there)
    print("brokers: " + ", ".join(versions), file=sys.stderr)
    if not options.resume:
        for part in PARTS:
            (room / f"{part}.jsonl").unlink(missing_ok=True)
    (room / ABOUT).write_text(json.dumps(described(brokers, runs, about), indent=1))
    for asked, some, there in zip(now, parts, chosen, strict=True):
        run(room, there, some, asked.reps)


def run(room: Path, brokers: list[Spec], parts: dict[str, list[dict[str, Any]]], reps: int) -> None:
    """Measure the scenarios of each part, but nothing that is measured already. Raises CannotRun."""
    goes_on = "make bench ARGS=--resume" if room == ROOM else f'make bench ARGS="--resume --room {room}"'
    end_on_signals(f"make bench: broken off; what is measured is kept. Go on with: {goes_on}")
    for part, chosen in parts.items():
        plan = write_plan(room, part, brokers, chosen)
        results = room / f"{part}.jsonl"
        print(f"== {part}", file=sys.stderr, flush=True)
        command = [sys.executable, str(room / "load" / "compare.py"), "run", str(plan), "--resume"]
        command += ["--out", str(results), "--reps", str(reps)]
        if run_to_end(command, stdout=subprocess.DEVNULL):
            raise CannotRun(f"the comparison of the part {part} did not end well; see above")


def told_about(room: Path) -> dict[str, Any]:
    """What is kept of the results in `room` beside themselves; nothing where there are none. Raises CannotRun."""
    try:
        about: dict[str, Any] = json.loads((room / ABOUT).read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as problem:
        raise CannotRun(f"{room / ABOUT} cannot be read ({problem}). Begin anew without --resume") from None
    return about


def render(room: Path, into: Path | None) -> list[str]:
    """Write table, JSON and chart of what is in `room`, and the generated part of a document below `into`.
    What went wrong."""
    results = read(*(room / f"{part}.jsonl" for part in PARTS))
    if not results.values:
        nothing = "; ".join(results.faults) or "measure first"
        raise CannotRun(f"there are no results in {room}: {nothing}")
    about = told_about(room)
    if not about:
        raise CannotRun(f"there is no {ABOUT} in {room}, which says what was measured: measure first")
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


def described(brokers: list[Spec], runs: list[Asked], before: dict[str, Any]) -> dict[str, Any]:
    """When and where this is measured, and what; `before` tells of the results that it is added to."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine(),
        "versions": {**before.get("versions", {}), **{one["name"]: one["version"] for one in brokers}},
        "seconds": runs[-1].seconds,
        "runs": as_kept(runs),
    }


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    plain = Asked()
    parser.add_argument("--room", type=Path, default=ROOM, help="work and results")
    parser.add_argument("--reps", type=int, help=f"interleaved repetitions ({plain.reps})")
    parser.add_argument("--seconds", type=float, help=f"each measurement ({plain.seconds:g})")
    parser.add_argument("--parts", help=f"of {', '.join(PARTS)} (all)")
    parser.add_argument(
        "--memory", action="store_const", dest="parts", const="memory", help="the same as --parts memory"
    )
    parser.add_argument("--brokers", help="names or patterns, with commas between (all that there are)")
    parser.add_argument("--scenarios", help="names or patterns, with commas between (all)")
    parser.add_argument("--also", metavar="FILE", help="further brokers: see docs/PERFORMANCE.md")
    parser.add_argument("--resume", action="store_true", help="keep the results that are there, and go on")
    parser.add_argument("--render", action="store_true", help="write tables and chart of what is there")
    parser.add_argument("--into", type=Path, metavar="DIR", help=f"refresh the figures in DIR/{DOCUMENT}")
    options = parser.parse_args(arguments)
    if any(given is not None and given <= 0 for given in (options.reps, options.seconds)):
        parser.error("--reps and --seconds must be more than nothing")
    if options.also is not None:
        options.also = str(Path(options.also).resolve())
    if options.into is not None and not (options.into / DOCUMENT).is_file():
        parser.error(f"--into {options.into}: there is no {DOCUMENT} in it")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    room: Path = options.room.resolve()
    try:
        room.mkdir(parents=True, exist_ok=True)
        if not options.render:
            measure(room, options)
        faults = render(room, options.into)
    except CannotRun as problem:
        print(f"make bench: {problem}", file=sys.stderr)
        return 2
    return 1 if faults else 0


if __name__ == "__main__":
    end_on_signals("make bench: broken off")
    raise SystemExit(main())

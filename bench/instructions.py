"""Instructions that each message costs on the hot ways, counted by callgrind: the same on every run.

Counts, not times: a busy machine changes nothing. The ways are those of `ways.py`, in memory, with the installed
Bollard, which must be compiled. Every way is played in two lengths, and the difference counts, so what comes once
cancels out. One more way is nothing but Python: where the interpreter of another machine needs more for it than
the one that wrote the limits, every limit is raised by that share.

Needs valgrind. The process under it marks where a part begins with a call of getppid(2), which nothing else here
calls, and callgrind writes down the count and begins anew.
"""

import argparse
import gc
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

from ways import ways

from bollard.server.build import is_compiled

HERE = Path(__file__).parent
LIMITS = HERE / "instructions.toml"
#: How far above the written count a way may be, in per cent.
HEADROOM = 10
#: Turns before the first count, in the shorter part, and in the longer one.
WARM, SHORT, LONG = 3, 2, 6
#: What a run of all ways may take; it takes a quarter of that where nothing else runs.
PATIENCE_S = 300
INTERPRETER = "interpreter"
ROUNDS = 50


EXAMPLE = """\
Example: python bench/instructions.py           count, and compare with bench/instructions.toml
         python bench/instructions.py --renew   count, and write bench/instructions.toml

Exit codes: 0 no way is above its limit; 1 one is; 2 usage, or it could not count; 130 interrupted.
"""


class CannotCount(Exception):
    """What is missing, and what to do."""


# Inside: the process that is counted -----------------------------------------------------------------------


def mark() -> None:
    """What was counted up to here belongs to the part that ends."""
    os.getppid()


def count_inside() -> None:
    """Play every way, marked; the ways' order is that of `names`."""
    gc.disable()  # when it runs depends on all that was allocated before
    mark()
    for part in (SHORT, LONG):
        for _ in range(part):
            interpret()
        mark()
    for way in ways():
        recording = way.record(WARM + SHORT + LONG)
        stage = recording.fresh()
        for steps in recording.turns[:WARM]:
            stage.play(steps)
        gc.collect()
        mark()
        for steps in recording.turns[WARM : WARM + SHORT]:
            stage.play(steps)
        mark()
        for steps in recording.turns[WARM + SHORT :]:
            stage.play(steps)
        mark()


def interpret() -> int:
    """Work that is all the interpreter's: calls, dicts, bytes and objects, as the engine uses them."""
    table: dict[bytes, tuple[int, bytes]] = {}
    parts: list[bytes] = []
    for number in range(ROUNDS):
        key = b"topic/%d" % number
        table[key] = (number, key)
        parts.append(table[key][1][2:])
    return len(b"".join(parts)) + sum(one for one, _ in table.values())


def names() -> dict[str, int]:
    """Each way and the messages of one of its turns, in the order in which they are counted."""
    return {INTERPRETER: ROUNDS, **{way.name: way.messages for way in ways()}}


# Outside: what counts it -----------------------------------------------------------------------------------


def count() -> dict[str, float]:
    """Instructions for each message of every way. Raises CannotCount."""
    if not is_compiled():
        raise CannotCount("only compiled modules are counted; install without BOLLARD_PURE")
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CannotCount("valgrind is missing. Install it: apt install valgrind")
    with tempfile.TemporaryDirectory(prefix="bollard-instructions-") as room:
        totals = _run(valgrind, Path(room))
    expected = names()
    if len(totals) < 3 * len(expected):
        raise CannotCount(f"callgrind wrote {len(totals)} counts of {3 * len(expected)}")
    turns = LONG - SHORT
    return {
        name: (totals[3 * at + 2] - totals[3 * at + 1]) / (turns * messages)
        for at, (name, messages) in enumerate(expected.items())
    }


def _run(valgrind: str, room: Path) -> list[int]:
    """The counts that callgrind wrote at each mark, in order."""
    command = [valgrind, "--tool=callgrind", "--dump-before=getppid", "--dump-line=no", "--combine-dumps=no"]
    command += [f"--callgrind-out-file={room / 'out'}", sys.executable, str(HERE / "instructions.py")]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [*command, "--inside"], env=environment, capture_output=True, text=True, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        raise CannotCount(f"the run under valgrind took more than {PATIENCE_S} s") from None
    if done.returncode:
        raise CannotCount(f"the run under valgrind failed:\n{done.stderr[-2000:]}")
    parts = sorted(room.glob("out.*"), key=lambda path: int(path.suffix[1:]))
    return [_total(path) for path in parts]


def _total(path: Path) -> int:
    found = re.search(r"^(?:totals|summary): (\d+)$", path.read_text(), re.MULTILINE)
    if found is None:
        raise CannotCount(f"callgrind wrote no total into {path.name}")
    return int(found[1])


def verdicts(counted: dict[str, float], written: dict[str, float], headroom: float) -> list[str]:
    """What is above its limit, or has none, in sentences."""
    share = max(counted[INTERPRETER] / written[INTERPRETER], 1.0)
    found = []
    for name, value in counted.items():
        if name == INTERPRETER:
            continue
        if name not in written:
            found.append(f"{name}: {value:.0f} instructions a message, and no limit is written down")
            continue
        allowed = written[name] * share * (1 + headroom / 100)
        if value > allowed:
            found.append(
                f"{name}: {value:.0f} instructions a message, {allowed:.0f} are allowed "
                f"({written[name]:.0f} were counted when the limit was set)"
            )
    found += [
        f"{name}: has a limit and is no way of bench/ways.py" for name in written if name not in counted
    ]
    return found


def this_python() -> str:
    """The interpreter whose counts can be compared: another version does the same work in other steps."""
    return f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}"


def read_limits(path: Path = LIMITS) -> tuple[dict[str, float], float, str]:
    """The counts written down, the headroom in per cent, and the interpreter that they are of."""
    table = tomllib.loads(path.read_text())
    return table["instructions"], table["headroom_percent"], table["python"]


def limits_text(counted: dict[str, float]) -> str:
    lines = [
        "# Instructions that a message costs, compiled, as `make instruction-counts ARGS=--renew` counted them.",
        "# The test of the same name fails above the headroom. Raise a number only for what is worth its price.",
        f"headroom_percent = {HEADROOM}",
        f'python = "{this_python()}"',
        "",
        "[instructions]",
        *(f'"{name}" = {value:.0f}' for name, value in counted.items()),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None, counting: Callable[[], dict[str, float]] = count) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--renew", action="store_true", help="write what is counted as the new limits")
    parser.add_argument("--limits", type=Path, default=LIMITS, help="the file of limits")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        count_inside()
        return 0
    try:
        counted = counting()
    except CannotCount as problem:
        print(f"instruction counts: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("instruction counts: interrupted", file=sys.stderr)
        return 130
    if options.renew:
        options.limits.write_text(limits_text(counted))
    written, headroom, python = read_limits(options.limits)
    if python != this_python():
        print(f"! The limits are of {python}; this is {this_python()}: look at the differences only")
    print("| way | instructions a message | limit written | |\n|---|---|---|---|")
    for name, value in counted.items():
        base = written.get(name)
        change = f"{100 * (value / base - 1):+.1f} %" if base else "new"
        print(f"| {name} | {value:,.0f} | {f'{base:,}' if base else '-'} | {change} |")
    found = verdicts(counted, written, headroom)
    for sentence in found:
        print(f"! {sentence}")
    if found:
        print("If the price is meant: make instruction-counts ARGS=--renew")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())

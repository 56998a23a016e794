"""What runs of the comparison were asked for: kept with the results, so that they can go on and be told."""

import argparse
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from brokers import CannotRun, meant


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of one run. `brokers`, `scenarios` and `parts` are patterns with commas between, None for all."""

    reps: int = 5
    seconds: float = 2.0
    brokers: str | None = None
    scenarios: str | None = None
    parts: str | None = None
    also: str | None = None


NAMES = tuple(each.name for each in fields(Asked))


def matched(option: str, wanted: str | None, names: Iterable[str]) -> list[str]:
    """Those of `names` that a pattern of `wanted` means. Raises CannotRun if one of the patterns means nothing."""
    there = list(dict.fromkeys(names))
    found = meant(wanted, there)
    nothing = [pattern for pattern, some in found.items() if not some]
    if nothing:
        raise CannotRun(f"--{option} {','.join(map(shlex.quote, nothing))}: there are {', '.join(there)}")
    return [name for name in there if any(name in some for some in found.values())]


def runs_of(about: dict[str, Any]) -> list[Asked]:
    return [Asked(**each) for each in about.get("runs", [])]


def as_kept(runs: list[Asked]) -> list[dict[str, Any]]:
    return [asdict(each) for each in runs]


def asked_for(options: argparse.Namespace, about: dict[str, Any]) -> tuple[list[Asked], list[Asked]]:
    """All runs that the results are made of, and those of them that are to be done now.

    `about` tells of the results that are kept, and is empty where none are. What `options` leave open is as in the
    last run; where they say nothing at all, every run that was asked for goes on. Raises CannotRun for seconds that
    differ, because medians of both would mean nothing.
    """
    before, used = runs_of(about), about.get("seconds")
    given = {name: getattr(options, name) for name in NAMES if getattr(options, name) is not None}
    if used is not None and given.get("seconds", used) != used:
        raise CannotRun(
            f"--seconds {given['seconds']:g}: the results that are there were measured with --seconds {used:g}. "
            "Leave it out, or begin anew without --resume"
        )
    if before and not given:
        return before, before
    last = before[-1] if before else Asked() if used is None else Asked(seconds=used)
    if {"parts", "scenarios"} & given.keys():  # together they say what to measure
        last = replace(last, parts=None, scenarios=None)
    now = replace(last, **given)
    return [*before, *([] if now in before else [now])], [now]


def commands(runs: list[Asked]) -> list[str]:
    """What to type to measure the same again, in this order."""
    typed = []
    before: Asked | None = None
    for run in runs:
        words = ["--resume"] if before else [f"--seconds {run.seconds:g}"]
        if before is None or run.reps != before.reps:
            words.append(f"--reps {run.reps}")
        chosen = before is None or (run.parts, run.scenarios) != (before.parts, before.scenarios)
        for name, changed in (
            ("brokers", before is None or run.brokers != before.brokers),
            ("parts", chosen),
            ("scenarios", chosen),
        ):
            if changed and getattr(run, name):
                words.append(f"--{name} {shlex.quote(getattr(run, name))}")
        if run.also and (before is None or run.also != before.also):
            words.append(f"--also {shlex.quote(Path(run.also).name)}")
        typed.append(f'make bench ARGS="{" ".join(words)}"')
        before = run
    return typed

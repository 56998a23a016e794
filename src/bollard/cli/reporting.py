"""What all commands that assess share: the options about their report, and what becomes of it."""

import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bollard.cli.output import visible

if TYPE_CHECKING:
    from bollard.assess.model import Report

SEVERITIES = ("critical", "high", "medium", "low", "never")
FORMATS = ("text", "json", "html", "sarif", "junit", "markdown", "csv")
#: What a command ends with that could not look at anything.
NOTHING_TESTED = 2

Command = Callable[..., Any]


class ReportFile(click.Path):
    """A file to write, whose ending is the format. One that means none is refused before anything is done."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        fault = unknown_ending(path)
        if fault:
            self.fail(fault, param, ctx)
        return path


def unknown_ending(path: Path) -> str:
    """Why the ending of `path` is no format, in a sentence; "" if it is one."""
    from bollard.assess.report.formats import ENDINGS

    if path.suffix.lower() in ENDINGS:
        return ""
    known = ", ".join(ENDINGS)
    return f"{visible(str(path))}: unknown ending {visible(path.suffix)!r}; known are {known}. Nothing was written."


def refuse_unknown(only: frozenset[str], known: Sequence[str]) -> None:
    """Refuse what --only names and what is none of the checks `known`."""
    unknown = ", ".join(visible(each) for each in sorted(only - set(known)))
    if unknown:
        raise click.UsageError(f"--only {unknown}: no check of this command. There are: {', '.join(known)}.")


def report_options(function: Command) -> Command:
    """Add the options about the report: --out, --details, --accept, --baseline, --fail-on."""
    readable = click.Path(path_type=Path, dir_okay=False, exists=True)
    for option in (
        click.option("--fail-on", type=click.Choice(SEVERITIES), default="low", show_default=True),
        click.option(
            "--baseline", type=readable, help="An earlier report (JSON): shows what is new, open, fixed."
        ),
        click.option(
            "--accept",
            type=readable,
            help="Accepted risks (TOML): [[accept]] check, target, reason, expires.",
        ),
        click.option("--details", is_flag=True, help="Print the evidence, and why something was not tested."),
        click.option(
            "-o",
            "--out",
            type=ReportFile(),
            multiple=True,
            help="Write a report: .json .html .sarif .xml .md .csv .txt",
        ),
    ):
        function = option(function)
    return function


def revised(report: "Report", baseline: Path | None, accepted: Path | None) -> "Report":
    """`report` with what the files say about it; what in them has no effect is told on standard error."""
    from bollard.assess.report import compare

    made = compare.revise(report, baseline, accepted, datetime.now(UTC).date())
    for each in made.unused:
        click.echo(f"{accepted}: no effect: {visible(each)}", err=True)
    for each in made.notes[len(report.notes) :]:
        click.echo(f"{baseline}: {visible(each)}", err=True)
    return made


def exit_code(report: "Report", fail_on: str) -> int:
    """1 if an open problem is as severe as `fail_on` or worse, else 0; 2 if no check gave an answer."""
    from bollard.assess.model import Severity
    from bollard.assess.report import compare

    if not report.grade.ran:
        return NOTHING_TESTED
    return 1 if compare.exceeds(report, None if fail_on == "never" else Severity(fail_on)) else 0


def _nothing(report: "Report") -> str:
    """No further text."""
    return ""


def conclude(
    report: "Report", options: dict[str, Any], more: Callable[["Report"], str] = _nothing
) -> tuple["Report", int]:
    """Compare, write and print the report as the options say. Returns it as it was told, and the exit code.

    `more` is what the text format says after the report.
    """
    from bollard.assess.report import terminal
    from bollard.assess.report.formats import ENDINGS, FORMATS, write

    report = revised(report, options["baseline"], options["accept"])
    for path in options["out"]:
        kind = ENDINGS[path.suffix.lower()]
        write(path, FORMATS[kind](report) + (more(report) if kind == "text" else ""))
    kind = "json" if options["as_json"] else options.get("format_", "text")
    if kind != "text":
        click.echo(FORMATS[kind](report), nl=False)
    elif options["out"] and not options["details"]:
        click.echo(f"Grade {report.grade.letter}. Written: {', '.join(map(str, options['out']))}")
    else:
        text = terminal.render(report, colour=sys.stdout.isatty(), details=options["details"])
        click.echo(text + more(report), nl=False)
    return report, exit_code(report, options["fail_on"])

"""`bollard audit`: what is wrong in a broker's configuration, with file, line and what to write instead."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bollard.assess.model import Report

PRODUCTS = ("mosquitto", "emqx", "nanomq", "hivemq", "vernemq", "rabbitmq", "amqtt", "bollard")
FORMATS = ("text", "json", "html", "sarif", "junit", "markdown", "csv")
SEVERITIES = ("critical", "high", "medium", "low", "never")
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--product", type=click.Choice(PRODUCTS), help="Whose file it is; else it is recognised.")
@click.option("--version", "version", default="", help="The product's version, whose defaults count, as 2.0.")
@click.option("--json", "as_json", is_flag=True, help="Print the canonical report (JSON).")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option(
    "-o", "--out", type=FILE, multiple=True, help="Write a report: .json .html .sarif .xml .md .csv .txt"
)
@click.option("--details", is_flag=True, help="Print the evidence, and why something was not tested.")
@click.option(
    "--only", multiple=True, metavar="CHECK", help="Make only this check, such as CFG-01; repeatable."
)
@click.option("--accept", type=FILE, help="Accepted risks (TOML): [[accept]] check, target, reason, expires.")
@click.option("--baseline", type=FILE, help="An earlier report (JSON): shows what is new, open, fixed.")
@click.option("--fail-on", type=click.Choice(SEVERITIES), default="low", show_default=True)
def command(files: tuple[Path, ...], product: str | None, version: str, **options: Any) -> int:
    """Assess the configuration of a broker, with everything that it includes.

    Judges what is in effect, defaults of the version included, and says file, line and what to write instead.
    What was not understood is listed. Nothing is changed and nothing is connected to.

    \b
    Example:  bollard audit /etc/mosquitto/mosquitto.conf
              bollard audit emqx.conf --fail-on high -o audit.sarif

    Exit code: 1 if an open problem is as severe as --fail-on, 2 if a file could not be read.
    """
    from bollard.assess.configs.audit import audit
    from bollard.assess.model import Severity
    from bollard.assess.report import compare

    report = audit(files, product or "", version, frozenset(options["only"]))
    report = compare.revise(report, options["baseline"], options["accept"], datetime.now(UTC).date())
    _tell(report, options)
    threshold = None if options["fail_on"] == "never" else Severity(options["fail_on"])
    return 1 if compare.exceeds(report, threshold) else 0


def _tell(report: "Report", options: dict[str, Any]) -> None:
    from bollard.assess.report import terminal
    from bollard.assess.report.formats import ENDINGS, write

    for path in options["out"]:
        write(path, rendered(report, ENDINGS.get(path.suffix.lower(), "text")))
    kind = "json" if options["as_json"] else options["format_"]
    if kind != "text":
        click.echo(rendered(report, kind), nl=False)
    elif options["out"] and not options["details"]:
        click.echo(f"Grade {report.grade.letter}. Written: {', '.join(map(str, options['out']))}")
    else:
        text = terminal.render(report, colour=sys.stdout.isatty(), details=options["details"])
        click.echo(text + "".join(f"{line}\n" for line in to_write(report)), nl=False)


def rendered(report: "Report", kind: str) -> str:
    """The report in a format; text with what to write."""
    from bollard.assess.report.formats import FORMATS as RENDERERS

    text = RENDERERS[kind](report)
    return text + "".join(f"{line}\n" for line in to_write(report)) if kind == "text" else text


def to_write(report: "Report") -> "Iterator[str]":
    """For each open problem its places and the lines to write instead."""
    from bollard.assess.report.words import clean

    for result in (each for each in report.results if each.open):
        if not (result.evidence.get("places") or result.evidence.get("write")):
            continue
        yield ""
        yield f"{result.check} {clean(result.title)}"
        for place in result.evidence.get("places", []):
            yield f"  {clean(str(place))}"
        lines = result.evidence.get("write", [])
        if lines:
            yield "  Write instead:"
            yield from (f"    {clean(str(line))}" for line in lines)

"""`bollard audit`: what is wrong in a broker's configuration, with file, line and what to write instead."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bollard.cli.reporting import FORMATS, conclude, refuse_unknown, report_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bollard.assess.model import Report

PRODUCTS = ("mosquitto", "emqx", "nanomq", "hivemq", "vernemq", "rabbitmq", "amqtt", "bollard")


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--product", type=click.Choice(PRODUCTS), help="Whose file it is; else it is recognised.")
@click.option("--version", "version", default="", help="The product's version, whose defaults count, as 2.0.")
@click.option("--json", "as_json", is_flag=True, help="Print the canonical report (JSON).")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option(
    "--only", multiple=True, metavar="CHECK", help="Make only this check, such as CFG-01; repeatable."
)
@report_options
def command(files: tuple[Path, ...], product: str | None, version: str, **options: Any) -> int:
    """Assess the configuration of a broker, with everything that it includes.

    Judges what is in effect, defaults of the version included, and says file, line and what to write instead.
    What was not understood is listed. Nothing is changed and nothing is connected to.

    \b
    Example:  bollard audit /etc/mosquitto/mosquitto.conf
              bollard audit emqx.conf --fail-on high -o audit.sarif

    Exit code: 1 if an open problem is as severe as --fail-on, 2 if a file could not be read, or no
    check gave an answer.
    """
    from bollard.assess.configs.audit import audit, checks

    only = frozenset(each.upper() for each in options["only"])
    refuse_unknown(only, [each.definition.id for each in checks()])
    report = audit(files, product or "", version, only)
    return conclude(report, options, to_write)[1]


def to_write(report: "Report") -> str:
    """For each open problem its places and the lines to write instead, as text."""
    return "".join(f"{line}\n" for line in _to_write(report))


def _to_write(report: "Report") -> "Iterator[str]":
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

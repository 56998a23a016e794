"""`bollard report`: a report again, in another format, beside an earlier one, with accepted risks."""

import sys
from pathlib import Path

import click

from bollard.cli.reporting import FORMATS, SEVERITIES, exit_code, revised, unknown_ending

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), help="Default: by the ending of --out, else text."
)
@click.option("-o", "--out", type=FILE, help="Write to this file, readable by you alone, rather than print.")
@click.option("--baseline", type=FILE, help="An earlier report: shows what is new, still open, fixed.")
@click.option("--accept", type=FILE, help="Accepted risks (TOML): [[accept]] check, target, reason, expires.")
@click.option("--fail-on", type=click.Choice(SEVERITIES), default="never", show_default=True)
@click.option("--details", is_flag=True, help="Text only: with evidence, and why something was not tested.")
def command(
    file: Path,
    format_: str | None,
    out: Path | None,
    baseline: Path | None,
    accept: Path | None,
    fail_on: str,
    details: bool,
) -> int:
    """Render the report in FILE (JSON) in another format.

    \b
    Example:
      bollard report scan.json --format html -o scan.html
      bollard report today.json --baseline last-week.json

    Exit code: 0; with --fail-on, 1 if an open problem is as severe as that or worse, 2 if no check in the report
    gave an answer.
    """
    from bollard.assess.report import canonical, terminal
    from bollard.assess.report.formats import ENDINGS, write
    from bollard.assess.report.formats import FORMATS as RENDERERS

    if out is not None and format_ is None and (fault := unknown_ending(out)):
        raise click.UsageError(f"{fault} Or say which format it is with --format.")
    report = revised(canonical.read(file), baseline, accept)
    kind = format_ or (ENDINGS[out.suffix.lower()] if out is not None else "text")
    if kind == "text":
        colour = out is None and sys.stdout.isatty()
        text = terminal.render(report, colour=colour, details=details)
    else:
        text = RENDERERS[kind](report)
    if out is not None:
        write(out, text)
    else:
        click.echo(text, nl=False)
    return exit_code(report, fail_on) if fail_on != "never" else 0

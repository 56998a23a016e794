"""`bollard sniff`: what a recording of a network tells about the MQTT in it."""

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

if TYPE_CHECKING:
    from bollard.assess.capture.sniff import Capture, Settings
    from bollard.assess.model import Report

FORMATS = ("text", "json", "html", "sarif", "junit", "markdown", "csv")
SEVERITIES = ("critical", "high", "medium", "low", "never")
FILE = click.Path(path_type=Path, dir_okay=False)
#: Between two words on progress, on a terminal and elsewhere.
TERMINAL_S, LOG_S = 0.2, 10.0


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the canonical report (JSON), inventory included."
)
@click.option("--format", "format_", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option(
    "-o", "--out", type=FILE, multiple=True, help="Write a report: .json .html .sarif .xml .md .csv .txt"
)
@click.option("--details", is_flag=True, help="Print the evidence, and why something was not tested.")
@click.option(
    "--known", multiple=True, metavar="SERVER", help="A server that belongs here: address, network or name."
)
@click.option(
    "--tls-port",
    type=click.IntRange(1, 65_535),
    multiple=True,
    help="A port whose TLS counts as MQTT, besides 8883.",
)
@click.option("--name", default="", help="What the recording shows, as reports name it; default: the file.")
@click.option(
    "--only", multiple=True, metavar="CHECK", help="Make only this check, such as PCP-02; repeatable."
)
@click.option("--accept", type=FILE, help="Accepted risks (TOML): [[accept]] check, target, reason, expires.")
@click.option("--baseline", type=FILE, help="An earlier report (JSON): shows what is new, open, fixed.")
@click.option("--fail-on", type=click.Choice(SEVERITIES), default="low", show_default=True)
@click.option("--quiet", is_flag=True, help="Say nothing about progress.")
def command(files: tuple[str, ...], **options: Any) -> int:
    """Assess recorded traffic: pcap or pcapng, also compressed with gzip; "-" reads standard input.

    Finds MQTT on any port and over WebSocket, lists the devices, and tells what they show to whoever listens.
    Passwords, tokens and payloads are never stored. Nothing is sent, and no name is looked up.

    \b
    Example:  bollard sniff recording.pcap
              bollard sniff recording.pcapng --known broker.example -o sniff.html
              tcpdump -w - -i eth0 tcp | bollard sniff -

    Ctrl-C ends the reading; what was read is judged. Record only where you may.
    Exit code: 1 if an open problem is as severe as --fail-on, 2 if a file could not be read.
    """
    from bollard.assess.capture.sniff import Settings, assemble, checks
    from bollard.assess.model import Severity
    from bollard.assess.report import compare

    if options["name"] and len(files) > 1:
        raise click.UsageError("--name names one file. Give that file alone, or leave --name out.")
    started = datetime.now(UTC)
    settings = Settings(
        known=options["known"], tls_ports=options["tls_port"], only=frozenset(options["only"])
    )
    checks(settings.only)
    captures = _read_all(files, options["name"], settings, quiet=options["quiet"])
    report = assemble(captures, settings, started)
    report = compare.revise(report, options["baseline"], options["accept"], datetime.now(UTC).date())
    _tell(report, options)
    threshold = None if options["fail_on"] == "never" else Severity(options["fail_on"])
    return 1 if compare.exceeds(report, threshold) else 0


def _read_all(files: Sequence[str], name: str, settings: "Settings", *, quiet: bool) -> "list[Capture]":
    from bollard.assess.capture.sniff import read
    from bollard.assess.report.words import clean
    from bollard.base.errors import LocalError

    captures = []
    for each in files:
        title = name or ("standard input" if each == "-" else each)
        file = _opened(each)
        with file:
            size = 0 if each == "-" else Path(each).stat().st_size
            progress = _Progress(clean(title), size, quiet=quiet)
            try:
                captures.append(read(file, title, settings, progress, "" if each == "-" else each))
            except LocalError as error:
                raise LocalError(f"{title}: {error.message}", error.remedy) from None
            finally:
                progress.end()
    return captures


def _opened(name: str) -> BinaryIO:
    from bollard.base.errors import LocalError

    try:
        return sys.stdin.buffer if name == "-" else Path(name).open("rb")
    except OSError as error:
        raise LocalError(
            f"{name}: {error.strerror}", "Name a file that tcpdump or Wireshark has written."
        ) from None


class _Progress:
    """Says on standard error how far the reading is: on a terminal in place, elsewhere a line now and then."""

    def __init__(self, title: str, size: int, *, quiet: bool) -> None:
        self._title = title
        self._size = size
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._started = self._told = time.monotonic()
        self._shown = False

    def __call__(self, read_bytes: int, frames: int) -> None:
        now = time.monotonic()
        if self._quiet or now - self._told < (TERMINAL_S if self._terminal else LOG_S):
            return
        self._told = now
        self._shown = True
        rate = read_bytes / max(now - self._started, 1e-9) / 1e6
        # What was compressed has more bytes than its file.
        part = f"{100 * read_bytes // self._size} %, " if self._size >= read_bytes else ""
        text = f"{self._title}: {part}{read_bytes // 1_000_000} MB, {frames} frames, {rate:.0f} MB/s"
        click.echo(f"\r{text}\x1b[K" if self._terminal else text, err=True, nl=not self._terminal)

    def end(self) -> None:
        """The line in place has served its turn."""
        if self._shown and self._terminal:
            click.echo("\r\x1b[K", err=True, nl=False)


def _tell(report: "Report", options: dict[str, Any]) -> None:
    from bollard.assess.report import terminal
    from bollard.assess.report.formats import ENDINGS, FORMATS, write

    for path in options["out"]:
        write(path, FORMATS[ENDINGS.get(path.suffix.lower(), "text")](report))
    kind = "json" if options["as_json"] else options["format_"]
    if kind != "text":
        click.echo(FORMATS[kind](report), nl=False)
    elif options["out"] and not options["details"]:
        click.echo(f"Grade {report.grade.letter}. Written: {', '.join(map(str, options['out']))}")
    else:
        text = terminal.render(report, colour=sys.stdout.isatty(), details=options["details"])
        click.echo(text, nl=False)

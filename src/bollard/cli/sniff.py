"""`bollard sniff`: what a recording of a network tells about the MQTT in it."""

import contextlib
import ipaddress
import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from bollard.cli.output import visible
from bollard.cli.reporting import FORMATS, NOTHING_TESTED, conclude, refuse_unknown, report_options
from bollard.cli.values import Port

if TYPE_CHECKING:
    from bollard.assess.capture.sniff import Capture, Settings
    from bollard.assess.model import Report

#: Between two words on progress, on a terminal and elsewhere.
TERMINAL_S, LOG_S = 0.2, 10.0


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the canonical report (JSON), inventory included."
)
@click.option("--format", "format_", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option(
    "--known", multiple=True, metavar="SERVER", help="A server that belongs here: address, network or name."
)
@click.option(
    "--tls-port",
    type=Port(),
    multiple=True,
    help="A port whose TLS counts as MQTT, besides 8883.",
)
@click.option("--name", default="", help="What the recording shows, as reports name it; default: the file.")
@click.option(
    "--only", multiple=True, metavar="CHECK", help="Make only this check, such as PCP-02; repeatable."
)
@report_options
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
    Exit code: 1 if an open problem is as severe as --fail-on, 2 if a file could not be read, or nothing in it
    could be tested.
    """
    from bollard.assess.capture.sniff import Settings, assemble, checks

    only = frozenset(each.upper() for each in options["only"])
    refuse_unknown(only, [each.definition.id for each in checks()])
    if options["name"] and len(files) > 1:
        raise click.UsageError("--name names one file. Give that file alone, or leave --name out.")
    for each in options["known"]:
        _check_known(each)
    started = datetime.now(UTC)
    settings = Settings(known=options["known"], tls_ports=options["tls_port"], only=only)
    captures = _read_all(files, options["name"], settings, quiet=options["quiet"])
    report, code = conclude(assemble(captures, settings, started), options)
    untested = _say_untested(report)
    return NOTHING_TESTED if untested and not code else code


def _check_known(server: str) -> None:
    """Refuse what can be no server: it would never match, and silently."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_network(server, strict=False)
        return
    if not re.fullmatch(r"(?!-)[\w-]+(\.[\w-]+)*", server) or re.fullmatch(r"[\d.]+", server):
        raise click.UsageError(
            f"--known: {visible(server)!r} is no address, network or name. Such as 203.0.113.9, 203.0.113.0/24 or "
            "broker.example."
        )


def _say_untested(report: "Report") -> bool:
    """Tell of each recording in which nothing could be tested, for silence is no good news. Is there one?"""
    from bollard.assess.model import State

    tested = {each.target for each in report.results if each.state in (State.FAIL, State.PASS)}
    untested = [each for each in report.targets if each.name not in tested]
    for each in untested:
        click.echo(
            f"{visible(each.name)}: nothing could be tested ({visible(each.product)}). Record where the devices "
            "or the server can be heard, while they talk.",
            err=True,
        )
    return bool(untested)


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

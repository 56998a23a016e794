"""`bollard trap`: assess a device. Does it check who it talks to?"""

import asyncio
import ipaddress
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bollard.cli.output import visible
from bollard.cli.reporting import NOTHING_TESTED, conclude, refuse_unknown, report_options
from bollard.cli.values import Port

if TYPE_CHECKING:
    from bollard.assess.trap.endpoints import Endpoint
    from bollard.assess.trap.forge import Papers
    from bollard.assess.trap.run import Settings

FILE = click.Path(path_type=Path, dir_okay=False)
#: Seconds for the attempts at one endpoint, where nothing was said: a device in a hand, and a command.
BY_HAND_S, BY_COMMAND_S = 120.0, 20.0


@click.command()
@click.option("--device", default="device", show_default=True, help="What the report calls the device.")
@click.option("--host", "hosts", multiple=True, help="Name or address that the device is set to; repeatable.")
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address of this machine to listen on.")
@click.option("--port", type=Port(free=True), default=8883, show_default=True, help="TLS; 0: any.")
@click.option("--plain-port", type=Port(free=True), default=1883, show_default=True, help="No TLS.")
@click.option("--run", "run_command", metavar="CMD", help="Start the device with this, as below.")
@click.option(
    "--jobs", type=click.IntRange(1, 32), default=4, show_default=True, help="Commands at one time."
)
@click.option(
    "--attempts", type=click.IntRange(1, 20), default=2, show_default=True, help="At each endpoint."
)
@click.option(
    "--wait", "wait_s", type=click.FloatRange(0.5), help="For them, s. [default: 120; with --run 20]"
)
@click.option(
    "--linger", "linger_s", type=click.FloatRange(0.2), default=5.0, show_default=True, help="Talk, s."
)
@click.option(
    "--watch",
    "watch_s",
    type=click.FloatRange(1.0),
    default=60.0,
    show_default=True,
    help="Reconnections, s.",
)
@click.option(
    "--settle", "settle_s", type=click.FloatRange(0.0), default=3.0, show_default=True, help="Afterwards, s."
)
@click.option(
    "--only", multiple=True, metavar="CHECK", help="Only this endpoint, such as DEV-03; repeatable."
)
@click.option("--save-root", type=FILE, help="Also write the test root (PEM) to this file.")
@click.option("--qr", is_flag=True, help="Show where the test root is to be had as a QR code.")
@click.option("--allow-any-address", is_flag=True, help="Listen on addresses that strangers can reach.")
@click.option("--json", "as_json", is_flag=True, help="Print the canonical report (JSON).")
@report_options
def command(**options: Any) -> int:
    """Assess a device: be the server that it should refuse, in nineteen ways, and see what it does.

    Set the device to this machine and install the test root on it; the command says how, and goes through the
    endpoints at one address while the device connects again and again: DEV-01 to DEV-19. DEV-20 has none of its
    own; it is about what a device sends unbidden. --run starts a program as the device, at a port for each
    endpoint; {host} {port} {cafile} {crlfile} {plain_port} {endpoint} in it are replaced, and {{x}} stays {x}.

    \b
    Example:
      bollard trap --bind 192.0.2.5 --device plug -o plug.html
      bollard trap --run 'mosquitto_sub -h {host} -p {port} --cafile {cafile} -t x' --json

    Passwords that the device sends are not kept. Exit code: 1 if an open problem is as severe as --fail-on, 2 if
    the device never came, or no check gave an answer.
    """
    from bollard.assess.trap.run import trap

    report, code = conclude(asyncio.run(trap(_settings(options), _Voice(options))), options)
    if report.grade.ran or any(attempt.evidence.get("visits") for attempt in report.attempts):
        return code
    if options["as_json"] or options["out"]:
        for each in report.notes:
            click.echo(visible(each), err=True)
    return NOTHING_TESTED


def _settings(options: dict[str, Any]) -> "Settings":
    from bollard.assess.checks.device import CHECKS
    from bollard.assess.trap.run import Settings

    _check_bind(options["bind"], options["allow_any_address"])
    only = frozenset(each.upper() for each in options["only"])
    refuse_unknown(only, [each.definition.id for each in CHECKS])
    by_command = _check_command(options["run_command"])
    return Settings(
        device=options["device"],
        hosts=tuple(dict.fromkeys(options["hosts"])) or (options["bind"],),
        bind=options["bind"],
        port=options["port"],
        plain_port=options["plain_port"],
        command=options["run_command"] or "",
        jobs=options["jobs"],
        attempts=options["attempts"],
        wait_s=options["wait_s"] or (BY_COMMAND_S if by_command else BY_HAND_S),
        control_s=options["wait_s"] or (BY_COMMAND_S if by_command else 3 * BY_HAND_S),
        linger_s=options["linger_s"],
        watch_s=options["watch_s"],
        settle_s=options["settle_s"],
        only=only,
    )


def _check_command(command: str | None) -> bool:
    """Is there a command, and can it be one? Refused before anything is opened."""
    from bollard.assess.trap.device import PLACEHOLDERS, words

    if command is None:
        return False
    if not command.strip():
        raise click.UsageError(
            "--run needs the command that starts the device; without a command leave it out."
        )
    words(command, dict.fromkeys(PLACEHOLDERS, ""))
    return True


def _check_bind(bind: str, allow_any: bool) -> None:
    """A trap is no server for strangers."""
    from bollard.assess.scope import reach_of

    try:
        address = ipaddress.ip_address(bind)
    except ValueError:
        raise click.UsageError(f"--bind: {visible(bind)} is no address.") from None
    if not allow_any and (address.is_unspecified or reach_of(address) == "public"):
        raise click.UsageError(
            f"--bind: strangers may reach {bind}. Name the private address that the device is to use, or add "
            "--allow-any-address."
        )


class _Voice:
    """What a person is told, on standard error: what to set, what happens, how far it is."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._last: tuple[str, str] = ("", "")

    def ready(self, port: int, plain_port: int, papers: "Papers", root_url: str) -> None:
        options = self._options
        pem = papers.root_file.read_text("ascii")
        if options["save_root"] is not None:
            options["save_root"].write_text(pem, "ascii")
        if options["allow_any_address"]:
            click.echo("allow_any_address: strangers may reach this trap.", err=True)
        if options["run_command"]:
            return
        host = options["hosts"][0] if options["hosts"] else options["bind"]
        click.echo(
            f"Set the device so:\n"
            f"  server   {host}\n"
            f"  port     {port}, with TLS, and verification of the server switched on\n"
            f"  root     the test root, from {root_url}\n"
            f"           SHA-256 {papers.fingerprint}\n"
            f"  or paste it:\n\n{pem}\n"
            "Give it a user name and a password made for this test. Then let it connect. If it does not connect\n"
            "again by itself at each endpoint, switch it off and on.",
            err=True,
        )
        if options["qr"]:
            from bollard.cli.token import qr_terminal

            click.echo(qr_terminal(root_url), err=True)

    def begin(self, number: int, total: int, endpoint: "Endpoint") -> None:
        self._say(endpoint.id, f"[{number}/{total}] {endpoint.id}: {endpoint.defect}")

    def told(self, check: str, what: str) -> None:
        self._say(check, f"    {check}: {what}")

    def _say(self, check: str, line: str) -> None:
        if (check, line) != self._last and (not self._options["run_command"] or sys.stderr.isatty()):
            click.echo(visible(line), err=True)
        self._last = (check, line)

"""`bollard doctor`: the checks of all other assessments, on this installation. It looks and changes nothing."""

import asyncio
import contextlib
import re
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bollard.base.errors import LocalError
from bollard.cli.audit import to_write
from bollard.cli.reporting import conclude, report_options
from bollard.cli.target import find_config, target_options

if TYPE_CHECKING:
    from bollard.assess.model import Report
    from bollard.assess.plan import HostReport, Settings
    from bollard.assess.scope import Place
    from bollard.server.config import Config
    from bollard.server.requests import Status

#: Our own broker may be asked faster than a stranger's; it ends silent connections after ten seconds.
PACKETS_PER_S = 40.0
#: How long our probes are known as ours if nobody says that they have ended, and how long after that, in seconds:
#: the broker may see the end of the last one a moment later.
EXAMINATION_S = 900.0
AFTERWARDS_S = 1.0
_LISTENER = re.compile(r"(tls|wss|plaintext|ws) (\S+):(\d+)")
_TRANSPORTS = {"tls": "tls", "wss": "wss", "plaintext": "tcp", "ws": "ws"}


@click.command()
@target_options
@click.option("--json", "as_json", is_flag=True, help="Print the canonical report (JSON).")
@click.option(
    "--backup",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Your newest backup: judge its age and whether it is sound.",
)
@report_options
def command(directory: Path | None, config_file: Path | None, **options: Any) -> int:
    """Judge this installation: configuration, listeners, files, certificates, store, policy, record.

    Looks only, also while the broker runs: it connects to its own listeners over this machine, publishes nothing
    and repairs nothing. If no broker runs, its listeners are not tested, and the report says so.

    \b
    Example:
      bollard doctor
      bollard doctor --backup /backup/sessions.db -o health.html

    Exit code: 1 if an open problem is as severe as --fail-on, 2 if the installation or the backup could not be
    read, or no check gave an answer.
    """
    started = datetime.now(UTC)
    report = _examine(directory, config_file, options["backup"], started)
    return conclude(report, options, to_write)[1]


def _examine(
    directory: Path | None, config_file: Path | None, backup: Path | None, started: datetime
) -> "Report":
    from bollard.assess.doctor import combine, examine
    from bollard.server.installation import gather, running_status

    if backup is not None:
        _check_backup(backup)
    config = find_config(directory, config_file)
    status = running_status(config)
    evidence, missing = gather(config, backup, status)
    name = str(config.state_dir)
    installation = examine(name, evidence, missing)
    hosts, notes = _scan(status, config)
    return combine(config.file, name, installation, hosts, notes, started)


def _check_backup(path: Path) -> None:
    """Raise `LocalError` for a backup that cannot be read: a timer with a wrong path has to alarm."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise LocalError(
            f"the backup {path} could not be read: {error.strerror}",
            "Name your newest backup with --backup, as `bollard store backup` wrote it.",
        ) from None


def _scan(status: "Status | None", config: "Config") -> "tuple[list[HostReport], list[str]]":
    """The scan of the listeners that run, one after the other, and what could not be scanned."""
    from bollard.assess import plan

    if status is None:
        return [], ["The broker is not running, or may not be asked by this user: no listener was looked at."]
    places, notes = places_of(status.listeners)
    progress = _progress if sys.stderr.isatty() else _silent
    settings = _settings(config.state_dir)
    with _announced(config, places):
        found = asyncio.run(plan.scan(places, settings, progress))
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
    return found, [*notes, *beyond(places, settings.ca_file)]


@contextlib.contextmanager
def _announced(config: "Config", places: "list[Place]") -> Iterator[None]:
    """Let the broker know that what it refuses meanwhile is ours: `bollard why` is about devices.

    Who connects to an address of this machine comes from that address.
    """
    from bollard.server.control_socket import ask_socket
    from bollard.server.requests import Examine
    from bollard.server.state import StateDirectory

    path = StateDirectory(config.state_dir).control_socket
    addresses = tuple(dict.fromkeys(place.address for place in places))

    def announce(for_s: float) -> None:
        # A broker that has ended, or does not know this request, is looked at all the same.
        with contextlib.suppress(LocalError):
            ask_socket(path, Examine(addresses, for_s))

    announce(EXAMINATION_S)
    try:
        yield
    finally:
        announce(AFTERWARDS_S)


def beyond(places: "list[Place]", ca_file: Path | None) -> list[str]:
    """Where to look for what needs credentials or more than looking: the command for the first listener."""
    if not places:
        return []
    first = places[0]
    scheme = {"tcp": "mqtt", "tls": "mqtts"}.get(first.transport, first.transport)
    host = f"[{first.address}]" if ":" in first.address else first.address
    words = ["bollard", "scan", f"{scheme}://{host}:{first.port}"]
    words += ["--ca-file", str(ca_file)] if ca_file is not None and scheme in ("mqtts", "wss") else []
    words += ["--i-own-this-network"] if first.reach == "private" else []
    return [
        f"bollard doctor only looks. What needs more is tested by {shlex.join(words)} --active "
        "--username NAME --password-file FILE --second-username OTHER --second-password-file FILE: what a client, and "
        "one client with another, can do; its --help has the rest."
    ]


def _progress(target: str, what: str) -> None:
    click.echo(f"\r\x1b[K{target[:60]}: {what}", err=True, nl=False)


def _silent(target: str, what: str) -> None:
    """Nobody looks."""


def places_of(listeners: "tuple[str, ...] | list[str]") -> "tuple[list[Place], list[str]]":
    """Where the listeners of these names can be reached on this machine, and sentences about those that cannot."""
    from bollard.assess.scope import Place

    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- read, not bound
    places: list[Place] = []
    notes: list[str] = []
    for name in listeners:
        found = _LISTENER.fullmatch(name)
        if found is None:
            notes.append(f"The listener {name} is not one that a scan can reach.")
            continue
        host = found[2].strip("[]")
        address = anywhere.get(host, host)
        places.append(
            Place(host=address, address=address, port=int(found[3]), transport=_TRANSPORTS[found[1]])
        )
    return places, notes


def _settings(state_dir: Path) -> "Settings":
    from bollard.assess.plan import Settings
    from bollard.assess.probes.room import Bounds

    root = state_dir / "ca" / "server-root.crt"
    return Settings(
        ca_file=root if root.exists() else None,
        bounds=Bounds(packets_per_s=PACKETS_PER_S, listen_s=1.0, patience_s=31.0),
    )

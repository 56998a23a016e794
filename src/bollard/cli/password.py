"""`bollard devices password`: a password that a person chose, from a prompt, a file or standard input."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import to_builtins

from bollard.base.errors import LocalError
from bollard.cli.handover import stale
from bollard.cli.output import say_json

if TYPE_CHECKING:
    from bollard.server.config import Config

#: More than any password may have; the rest of a line that is longer is not read.
MAX_LINE_BYTES = 4096


def read_password(file: Path | None, from_stdin: bool) -> str:
    """The password: the first line of `file` or of standard input, else asked for twice on the terminal."""
    if file is not None and from_stdin:
        raise click.UsageError("--password-file and --password-stdin exclude each other.")
    if file is not None:
        try:
            with file.open("rb") as opened:
                line = opened.readline(MAX_LINE_BYTES)
        except OSError as error:
            raise LocalError(
                f"cannot read {file}: {error.strerror}", "Check the path and its permissions."
            ) from error
    elif from_stdin:
        line = sys.stdin.buffer.readline(MAX_LINE_BYTES)
    elif sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    else:
        raise click.UsageError("There is no terminal to ask on: use --password-stdin or --password-file.")
    try:
        return line.rstrip(b"\r\n").decode()
    except UnicodeDecodeError:
        raise LocalError("a password has to be text, as UTF-8") from None


def set_password(config: "Config", identity: str, password: str, *, purge: bool, as_json: bool) -> None:
    """Have the password set, and say what that ended."""
    from bollard.server.ask import ask
    from bollard.server.requests import Changed, SetPassword

    changed = ask(config, SetPassword(identity, password, purge))
    assert isinstance(changed, Changed)
    warning = {"warning": changed.warning} if changed.warning else {}
    if as_json:
        say_json({"id": changed.id, "state": changed.state, **to_builtins(changed.ended), **warning})
        return
    click.echo(f"{changed.id} has the new password; every older credential of it has ended.")
    click.echo(stale(changed.id))
    if changed.running:
        click.echo(f"Ended in {changed.ended.took_ms:.0f} ms: {changed.ended.connections} connections.")
    if changed.warning:
        click.echo(f"bollard: {changed.warning}", err=True)

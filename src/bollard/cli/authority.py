"""`bollard authority`: the certificate authorities, their replacement, the recovery sheet, the revocation list."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import to_builtins

from bollard.cli.output import day, say_json, say_table, visible
from bollard.cli.target import find_config, json_option, target_options

if TYPE_CHECKING:
    from bollard.server.config import Config
    from bollard.server.requests import AuthorityStatus


@click.group(invoke_without_command=True)
@target_options
@json_option
def command(directory: Path | None, config_file: Path | None, as_json: bool) -> None:
    """The certificate authorities: show, replace, export.

    \b
    Example:  bollard authority
              bollard authority export /media/usb/bollard-recovery.txt
              bollard authority rotate device-ca
    """
    from bollard.server.requests import AskAuthority

    ctx = click.get_current_context()
    ctx.obj = {"directory": directory, "config_file": config_file, "as_json": as_json}
    if ctx.invoked_subcommand is None:
        _show(_ask(find_config(directory, config_file), AskAuthority()), as_json=as_json)


@command.command()
@click.option("--out", type=click.Path(path_type=Path), help="Copy it here.")
@target_options
@json_option
def crl(out: Path | None, **options: Any) -> None:
    """Make the revocation list anew, for others who check device certificates.

    It is made anew each day and with each change by itself, and lies in the state directory as
    ca/device-ca.crl. The broker itself does not need it.
    """
    from bollard.server.requests import AskAuthority

    config, as_json = _target(options)
    status = _ask(config, AskAuthority(crl=True))
    if status.warning:
        raise click.ClickException(status.warning)
    path = Path(status.crl_file)
    if out is not None:
        _copy(path, out)
        path = out
    if as_json:
        say_json({"crl_file": str(path)})
    else:
        click.echo(f"The revocation list is in {path}")


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@target_options
def export(file: Path, **options: Any) -> None:
    """Move the recovery sheet to FILE, away from this machine.

    The sheet opens the keys of the server roots. It is needed only to replace the server authorities;
    until then nobody should be able to read it here.
    """
    from bollard.identity.files import read_private
    from bollard.server.requests import AskAuthority

    config, _ = _target({**options, "as_json": False})
    status = _ask(config, AskAuthority())
    if not status.recovery_file:
        raise click.ClickException("the recovery sheet is no longer on this machine: you moved it before")
    sheet = Path(status.recovery_file)
    _write_new(file, read_private(sheet))
    if file.read_bytes() != read_private(sheet):
        raise click.ClickException(f"{file} does not read back as it was written; the sheet stays in {sheet}")
    sheet.unlink()
    click.echo(f"The recovery sheet is in {file}, and no longer on this machine. Print it or put it away.")


@command.command()
@click.argument("authority", type=click.Choice(["server-ca", "device-ca"]))
@click.option("--recovery", type=click.Path(path_type=Path), help="server-ca: the recovery sheet.")
@click.option("--finish", is_flag=True, help="device-ca: stop trusting the one before.")
@click.option("--force", is_flag=True, help="device-ca --finish: although some are not ready.")
@target_options
@json_option
def rotate(authority: str, recovery: Path | None, finish: bool, force: bool, **options: Any) -> None:
    """Replace an authority while everything runs.

    server-ca is replaced at once: devices trust the roots above it and notice nothing. device-ca is
    replaced in two steps: from the first on, a new one issues, and both are trusted; as devices renew, they
    become ready; --finish ends it when all are.
    """
    from bollard.server.requests import RotateAuthority

    if authority == "server-ca" and (finish or force):
        raise click.UsageError("--finish and --force are for device-ca; server-ca is replaced at once.")
    if (authority == "server-ca") != (recovery is not None):
        raise click.UsageError("server-ca needs --recovery FILE, the recovery sheet; device-ca does not.")
    if force and not finish:
        raise click.UsageError("--force belongs to --finish.")
    config, as_json = _target(options)
    sheet = _read_sheet(recovery) if recovery is not None else ""
    request = RotateAuthority(authority, sheet, finish, force)  # type: ignore[arg-type]  # one of its literals
    _show(_ask(config, request), as_json=as_json)


def _show(status: "AuthorityStatus", *, as_json: bool) -> None:
    if as_json:
        say_json(to_builtins(status))
        return
    rows = [(one.role, one.subject, day(one.not_after)) for one in status.authorities]
    say_table(("authority", "name", "until"), rows)
    click.echo(f"\nroot   {status.root_file}\npin    {status.pin}\ncrl    {status.crl_file}")
    if status.ready is not None:
        click.echo(f"\nThe device CA is being replaced: {_progress(status)}")
    if status.recovery_file:
        click.echo(
            f"\nThe recovery sheet is still on this machine, in {status.recovery_file}\n"
            "Move it to a safe place: bollard authority export FILE"
        )
    if status.warning:
        click.echo(f"bollard: {status.warning}", err=True)


def _progress(status: "AuthorityStatus") -> str:
    ready, waiting = status.ready or 0, len(status.waiting)
    if not waiting:
        return f"{ready} of {ready} are ready. End it: bollard authority rotate device-ca --finish"
    names = ", ".join(status.waiting[:10]) + (", …" if waiting > 10 else "")
    return visible(f"{ready} of {ready + waiting} are ready; not yet: {names}")


def _read_sheet(path: Path) -> str:
    from bollard.base.errors import LocalError
    from bollard.identity.rotation import MAX_SHEET_BYTES

    try:
        with path.open("rb") as file:
            return file.read(MAX_SHEET_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}", "Name the recovery sheet.") from None


def _copy(source: Path, target: Path) -> None:
    from bollard.base.errors import LocalError

    try:
        target.write_bytes(source.read_bytes())
    except OSError as error:
        raise LocalError(f"cannot write {target}: {error.strerror}", "Name another file.") from None


def _write_new(path: Path, data: bytes) -> None:
    """Write a secret to a file that did not exist, on disk when this returns."""
    from bollard.base.errors import LocalError

    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise LocalError(
            f"cannot write {path}: {error.strerror}", "Name a new file in a directory that you may write."
        ) from None


def _target(options: dict[str, Any]) -> "tuple[Config, bool]":
    """Configuration and JSON flag: options after the sub-command count, then those before it."""
    before: dict[str, Any] = click.get_current_context().obj
    directory, config_file = options["directory"], options["config_file"]
    if directory is None and config_file is None:
        directory, config_file = before["directory"], before["config_file"]
    return find_config(directory, config_file), options["as_json"] or before["as_json"]


def _ask(config: "Config", request: Any) -> "AuthorityStatus":
    from bollard.server.ask import ask
    from bollard.server.requests import AuthorityStatus

    status = ask(config, request)
    assert isinstance(status, AuthorityStatus)
    return status

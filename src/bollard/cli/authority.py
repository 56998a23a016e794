"""`bollard authority`: the certificate authorities, their replacement, the recovery sheet, the revocation list."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import to_builtins

from bollard.cli.group import Group
from bollard.cli.output import day, say_json, say_table, visible
from bollard.cli.proposal import pointed
from bollard.cli.target import find_config, json_option, target_options
from bollard.cli.unlock import command as unlock

if TYPE_CHECKING:
    from bollard.server.config import Config
    from bollard.server.requests import AuthorityStatus, RootReplacement


@click.group(cls=Group, invoke_without_command=True)
@target_options
@json_option
def command(directory: Path | None, config_file: Path | None, as_json: bool) -> None:
    """The certificate authorities: show, replace, export.

    \b
    Example:  bollard authority
              bollard authority export /media/usb/bollard-recovery.txt
              bollard authority rotate device-ca
              bollard authority rotate server-root
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

    \b
    Example:  bollard authority crl --out /srv/www/device-ca.crl
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

    \b
    Example:  bollard authority export /media/usb/bollard-recovery.txt
    """
    from bollard.identity.files import read_private
    from bollard.server.requests import AskAuthority

    config, _ = _target({**options, "as_json": False})
    status = _ask(config, AskAuthority())
    if not status.recovery_file:
        raise click.ClickException("the recovery sheet is no longer on this machine: you moved it before")
    sheet = Path(status.recovery_file)
    text = read_private(sheet, of=config.state_dir)
    _write_new(file, text)
    if file.read_bytes() != text:
        raise click.ClickException(f"{file} does not read back as it was written; the sheet stays in {sheet}")
    sheet.unlink()
    click.echo(f"The recovery sheet is in {file}, and no longer on this machine. Print it or put it away.")


@command.command()
@click.argument("authority", type=click.Choice(["server-ca", "device-ca", "server-root"]))
@click.option("--recovery", type=click.Path(path_type=Path), help="The recovery sheet, where it is needed.")
@click.option("--finish", is_flag=True, help="Stop trusting the one before.")
@click.option("--force", is_flag=True, help="With --finish: although some are not ready.")
@click.option("--abandon", is_flag=True, help="server-root: give the new one up.")
@target_options
@json_option
def rotate(
    authority: str, recovery: Path | None, finish: bool, force: bool, abandon: bool, **options: Any
) -> None:
    """Replace an authority while everything runs.

    server-ca is replaced at once, with the recovery sheet: devices trust the roots above it and notice
    nothing. device-ca is replaced in two steps: from the first on, a new one issues, and both are trusted; as
    devices renew, they become ready; --finish ends it when all are.

    server-root, which devices verify this broker by, too: from the first step on, devices are told to trust
    both roots; --finish with the sheet of the new one, when all have it. Until then --abandon goes back.

    \b
    Example:  bollard authority rotate server-root
              bollard authority rotate server-root --finish --recovery /media/usb/new-sheet.txt
    """
    from bollard.server.requests import RotateAuthority

    _check_rotation(authority, recovery, finish=finish, force=force, abandon=abandon)
    config, as_json = _target(options)
    sheet = _read_sheet(recovery) if recovery is not None else ""
    request = RotateAuthority(authority, sheet, finish, force, abandon)  # type: ignore[arg-type]  # its literals
    status = _ask(config, request)
    if not as_json:
        click.echo(_done(authority, status, finish=finish, abandon=abandon) + "\n")
    _show(status, as_json=as_json)


def _done(authority: str, status: "AuthorityStatus", *, finish: bool, abandon: bool) -> str:
    """What a replacement, or a step of it, has done."""
    if authority == "server-ca":
        return "The server CAs are replaced; devices notice nothing."
    name = "device CA" if authority == "device-ca" else "server root"
    if abandon:
        return f"The new {name} is given up; the one there was stays."
    if finish:
        return f"The {name} is replaced; the one before is not trusted any more."
    return f"The new {name} is made, and both are trusted until --finish."


@command.command()
@click.argument("identities", metavar="ID...", nargs=-1, required=True)
@target_options
@json_option
def handed(identities: tuple[str, ...], **options: Any) -> None:
    """Note that you have put the new server root on these devices yourself.

    For devices that were configured by hand, while the server root is being replaced: they count as ready then.

    \b
    Example:  bollard authority handed camera thermostat
    """
    from bollard.server.requests import HandedRoots

    config, as_json = _target(options)
    _show(_ask(config, HandedRoots(identities)), as_json=as_json)


def _check_rotation(
    authority: str, recovery: Path | None, *, finish: bool, force: bool, abandon: bool
) -> None:
    """`UsageError` for options that do not belong together."""
    if authority == "server-ca" and (finish or force):
        raise click.UsageError(
            "--finish and --force are for the others; server-ca is replaced at once, because devices trust the "
            "roots above it: everybody is ready."
        )
    if abandon and (authority != "server-root" or finish or force):
        raise click.UsageError("--abandon is for server-root alone, and instead of --finish.")
    if force and not finish:
        raise click.UsageError("--force belongs to --finish.")
    if (authority == "server-ca" or (authority == "server-root" and finish)) != (recovery is not None):
        raise click.UsageError(
            "server-ca needs --recovery FILE, the recovery sheet, and so does server-root --finish, that of the new "
            "root; nothing else does."
        )


command.add_command(unlock, "unlock")


def _show(status: "AuthorityStatus", *, as_json: bool) -> None:
    if as_json:
        say_json(to_builtins(status))
        return
    rows = [(one.role, one.subject, day(one.not_after)) for one in status.authorities]
    say_table(("authority", "name", "until"), rows)
    click.echo(f"\nroot   {status.root_file}\npin    {status.pin}\ncrl    {status.crl_file}")
    if status.ready is not None:
        click.echo(pointed(f"\nThe device CA is being replaced: {_progress(status)}"))
    if status.next_root is not None:
        click.echo(pointed("\n" + _root_progress(status.next_root)))
    if status.recovery_file:
        click.echo(
            f"\nThe recovery sheet is still on this machine, in {status.recovery_file}\n"
            + pointed("Move it to a safe place: bollard authority export FILE")
        )
    if status.warning:
        click.echo(pointed(f"bollard: {status.warning}"), err=True)


def _progress(status: "AuthorityStatus") -> str:
    ready, waiting = status.ready or 0, len(status.waiting)
    if not waiting:
        return f"{ready} of {ready} are ready. End it: bollard authority rotate device-ca --finish"
    return f"{ready} of {ready + waiting} are ready; not yet: {_some(status.waiting)}"


def _root_progress(following: "RootReplacement") -> str:
    ready, waiting, unknown = len(following.ready), len(following.waiting), len(following.unknown)
    lines = [
        f"The server root is being replaced, since {day(following.begun_at)}; pin of the new one:",
        f"       {following.pin}",
        f"{ready} of {ready + waiting + unknown} identities have it.",
    ]
    if waiting:
        lines.append(
            f"not yet: {waiting} ({_some(following.waiting)})\n  They get it as they renew; `bollard join "
            "--renew` asks each time. Strings that are not spent yet are only good until --finish."
        )
    if unknown:
        lines.append(
            f"unknown: {unknown} ({_some(following.unknown)})\n  Configured by hand. Give them the file above, then "
            "say so: bollard authority handed ID; or issue\n  their recipe again: bollard devices rotate ID --for RECIPE"
        )
    if waiting or unknown:
        lines.append("All names: bollard authority --json")
    else:
        lines.append("End it: bollard authority rotate server-root --finish --recovery FILE, its sheet")
    lines.append("Give it up: bollard authority rotate server-root --abandon")
    return "\n".join(lines)


def _some(names: tuple[str, ...]) -> str:
    return visible(", ".join(names[:10]) + (", …" if len(names) > 10 else ""))


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

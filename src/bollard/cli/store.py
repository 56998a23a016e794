"""`bollard store`: look at the session store, copy it, put a copy back. Identities live elsewhere, so
nothing here can bring back one that was revoked."""

from pathlib import Path

import click

from bollard.cli.group import Group
from bollard.cli.output import say_json
from bollard.cli.target import find_config, json_option, target_options

DAMAGED = 1


@click.group(cls=Group)
def command() -> None:
    """Check, back up and restore kept sessions and retained messages.

    The store is sessions.db in the state directory. `check` and `backup` work while the broker runs.

    \b
    Example:  bollard store check
              bollard store backup sessions-monday.db
    """


@command.command()
@target_options
@json_option
def check(directory: Path | None, config_file: Path | None, as_json: bool) -> int:
    """Say what the store holds and whether it is sound.

    Ends with 0 if it is, with 1 if it is damaged; the next start of the broker then saves what can be
    read.

    \b
    Example:  bollard store check
              bollard store check --json
    """
    from bollard.store.salvage import check as check_store

    path = _store(directory, config_file)
    counts, problem = check_store(path)
    if as_json:
        say_json({"file": str(path), "sound": not problem, "problem": problem, "rows": counts})
    elif problem:
        click.echo(f"{path}: damaged: {problem}")
        click.echo("  Stop the broker and start it again: it saves what can be read and keeps this file.")
    else:
        click.echo(f"{path}: sound; " + ", ".join(f"{count} {table}" for table, count in counts.items()))
    return DAMAGED if problem else 0


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@target_options
def backup(file: Path, directory: Path | None, config_file: Path | None) -> None:
    """Copy the store to FILE, in one consistent state, readable by its owner only.

    \b
    Example:  bollard store backup sessions-monday.db
    """
    from bollard.store.salvage import backup as backup_store

    path = _store(directory, config_file)
    backup_store(path, file)
    click.echo(f"{file}: a copy of {path}")


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@target_options
def restore(file: Path, directory: Path | None, config_file: Path | None) -> None:
    """Put the backup FILE in place of the store; the broker must not be running.

    Sessions and retained messages become those of the backup: what was delivered since comes again. The
    store that was there is kept beside it.

    \b
    Example:  bollard store restore sessions-monday.db
    """
    from bollard.store.database import StateLock
    from bollard.store.salvage import restore_backup

    path = _store(directory, config_file)
    with StateLock(path.parent):
        aside = restore_backup(file, path)
    click.echo(f"{path}: now as in {file}")
    if aside is not None:
        click.echo(f"  What was there is kept as {aside}.")


def _store(directory: Path | None, config_file: Path | None) -> Path:
    from bollard.server.state import StateDirectory

    return StateDirectory(find_config(directory, config_file).state_dir).sessions

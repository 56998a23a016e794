"""Which installation a command means: `--dir` or `--config`, and how it is asked."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bollard.base.errors import LocalError

if TYPE_CHECKING:
    from bollard.server.config import Config

Command = Callable[..., Any]


def target_options(function: Command) -> Command:
    """Add `--dir` and `--config` to a command, as the arguments `directory` and `config_file`."""
    function = click.option(
        "--config", "config_file", type=click.Path(path_type=Path), help="The broker's configuration file."
    )(function)
    return click.option(
        "--dir", "directory", type=click.Path(path_type=Path), help="The broker's state directory."
    )(function)


def again(directory: Path | None, config_file: Path | None) -> str:
    """What a command that is proposed needs at its end to mean the same installation: " --dir X", or nothing."""
    words = [("--dir", directory), ("--config", config_file)]
    return "".join(f" {shlex.join([option, str(path)])}" for option, path in words if path is not None)


def json_option(function: Command) -> Command:
    """Add `--json` to a command, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(function)


def find_config(directory: Path | None, config_file: Path | None) -> "Config":
    """The configuration that the options mean. Raises LocalError if there is none."""
    from bollard.server.load import load_config
    from bollard.server.state import StateDirectory, default_directory

    if directory is not None and config_file is not None:
        raise click.UsageError("--dir and --config exclude each other: a configuration names its state_dir.")
    if config_file is not None:
        return load_config(config_file)
    state = StateDirectory((directory or default_directory()).absolute())
    if not state.config.exists():
        option = f" --dir {directory}" if directory else ""
        raise LocalError(
            f"there is no broker in {state.root}",
            f"Set one up: bollard up{option}. If yours lives elsewhere, name it with --dir or --config.",
        )
    return load_config(state.config)

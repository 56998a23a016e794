"""Which installation a command means: `--dir` or `--config`, and how it is asked."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bollard.base.errors import LocalError
from bollard.cli.proposal import remember

if TYPE_CHECKING:
    from bollard.server.config import Config

Command = Callable[..., Any]


def target_options(function: Command) -> Command:
    """Add `--dir` and `--config` to a command, as the arguments `directory` and `config_file`."""
    path = click.Path(path_type=Path)
    function = click.option(
        "--config", "config_file", type=path, callback=remember, help="The broker's configuration file."
    )(function)
    return click.option(
        "--dir", "directory", type=path, callback=remember, help="The broker's state directory."
    )(function)


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
        raise LocalError(
            f"there is no broker in {state.root}",
            "Set one up: bollard up\n  If yours lives elsewhere, name it with --dir or --config.",
        )
    return load_config(state.config)

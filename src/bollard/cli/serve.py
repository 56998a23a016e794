"""`bollard serve`: the broker from an explicit configuration, for services and containers."""

from pathlib import Path

import click

from bollard.cli.proposal import remember


@click.command()
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    required=True,
    callback=remember,
    help="Configuration file.",
)
def command(config_file: Path) -> None:
    """Run the broker from a configuration file.

    Makes authorities and server certificates in its state directory if there are none; never writes
    configuration or policy. Ends with SIGTERM; SIGHUP reads policy and certificates again.

    \b
    Example:  bollard serve --config /etc/bollard/bollard.toml
    """
    from bollard.cli.up import say_listening
    from bollard.identity.files import make_private_directory
    from bollard.server.compose import run
    from bollard.server.load import load_config
    from bollard.web.services import services_of

    config = load_config(config_file)
    make_private_directory(config.state_dir)
    run(config, say_listening, services_of(config))

"""`bollard check`: would it start, and would it be safe?"""

from pathlib import Path

import click

from bollard.cli.output import count, say_json
from bollard.cli.target import find_config, json_option, target_options


@click.command()
@target_options
@json_option
def command(directory: Path | None, config_file: Path | None, as_json: bool) -> None:
    """Check configuration and policy without starting.

    Ends with 0 if both are right, else with 2 and the first mistake: file, line and remedy. Names
    everything that weakens the broker.

    \b
    Example:  bollard check --config /etc/bollard/bollard.toml
    """
    from bollard.policy.rules import parse_policy
    from bollard.server.config import weaknesses

    config = find_config(directory, config_file)
    rules = parse_policy(config.policy)
    weak = weaknesses(config)
    if as_json:
        listeners = [listener.name for listener in config.listeners]
        files = {"config": str(config.file), "policy": str(config.policy)}
        say_json({**files, "listeners": listeners, "unlock": config.unlock.way, "weaknesses": weak})
        return
    click.echo(f"{config.file}: right; listens on {', '.join(one.name for one in config.listeners)}")
    counts = f"{count(len(rules.templates), 'template')}, {count(len(rules.groups), 'group')}"
    click.echo(
        f"{config.policy}: right; {counts}, {count(len(rules.grants), 'grant')}, {count(len(rules.denies), 'deny', 'denies')}"
    )
    click.echo(f"authorities: {config.unlock}")
    for sentence in weak:
        click.echo(f"weakened by {sentence}")

"""`bollard status`: how the running broker is, and who is connected."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import to_builtins

from bollard.cli.output import say_json, say_table, visible
from bollard.cli.proposal import pointed
from bollard.cli.target import find_config, json_option, target_options

if TYPE_CHECKING:
    from bollard.server.requests import Status

#: Identities that are told of, of those with the most denials.
MOST_DENIED = 5


@click.command()
@target_options
@json_option
def command(directory: Path | None, config_file: Path | None, as_json: bool) -> int:
    """How the running broker is, and who is connected.

    Ends with 1 if no broker runs.

    \b
    Example:  bollard status
    """
    from bollard.server.ask import ask
    from bollard.server.requests import AskStatus, Status

    config = find_config(directory, config_file)
    status = ask(config, AskStatus())
    assert isinstance(status, Status)
    if as_json:
        say_json(to_builtins(status) if status.running else {"running": False})
    elif status.running:
        _show(status)
    else:
        click.echo(f"No broker is running on {config.state_dir}.")
        click.echo(pointed("Start it: bollard up"))
    return 0 if status.running else 1


def _show(status: "Status") -> None:
    variant = "compiled" if status.compiled else "pure Python"
    click.echo(f"running      {status.uptime_s:.0f} s, process {status.pid}, {status.version} ({variant})")
    for listener in status.listeners:
        click.echo(f"listening    {listener}")
    for sentence in status.weaknesses:
        click.echo(f"weakened     {sentence}")
    if status.policy_fault:
        click.echo("POLICY       the file is wrong, and NOT in force; the one before is:")
        click.echo(visible(f"             {' '.join(status.policy_fault.split())}"))
        click.echo(pointed("             See: bollard policy check"))
    counters = status.counters
    own = counters["retained_messages"] - counters["retained_of_clients"]
    click.echo(
        f"messages     {counters['publish_received']} received, {counters['publish_sent']} sent, "
        f"{counters['publish_dropped']} dropped, {counters['retained_of_clients']} retained"
        + (f" (and {own} of the broker's own, such as $SYS)" if own else "")
    )
    denied = sum(count for name, count in counters.items() if name.startswith("denied_"))
    click.echo(f"denied       {denied}, refused connects {counters['connects_refused']}")
    for name, told in list(status.traffic.items())[:MOST_DENIED]:
        count = told.denied_publish + told.denied_subscribe + told.denied_receive + told.denied_will
        if count:
            click.echo(pointed(f"             {count} of {name}: bollard devices show {name}"))
    click.echo(f"connected    {status.connected}")
    if status.clients:
        click.echo()
        heads = ("identity", "client id", "address", "listener", "mqtt")
        rows = [(c.principal, c.client_id, c.address, c.listener, c.version) for c in status.clients]
        say_table(heads, rows)

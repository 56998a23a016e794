"""`bollard why ID`: why a device does not get in, in one answer, with the remedy."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from msgspec import to_builtins

from bollard.cli.output import say_json, visible
from bollard.cli.proposal import pointed

if TYPE_CHECKING:
    from bollard.server.config import Config
    from bollard.server.failures import Failure


def say_why(identity: str, config: "Config", *, as_json: bool) -> int:
    """Print the answer; 0 if nothing is wrong with the connection, else 1."""
    from bollard.server.ask import ask
    from bollard.server.requests import WhyConnection
    from bollard.server.why_connection import ConnectionWhy

    why = ask(config, WhyConnection(identity))
    assert isinstance(why, ConnectionWhy)
    remedy = pointed(why.remedy)
    if as_json:
        say_json({**to_builtins(why), "remedy": remedy})
        return 0 if why.gets_in else 1
    click.echo(visible(f"{why.id}: {why.text}"))
    if why.layer:
        click.echo(f"  layer   {why.layer}")
    if remedy:
        click.echo(visible(f"  remedy  {remedy}"))
    _list("Lately", why.failures)
    _list("Connections that named nobody", why.unnamed if why.layer else ())
    return 0 if why.gets_in else 1


def _list(head: str, failures: "tuple[Failure, ...]") -> None:
    if not failures:
        return
    click.echo(f"\n{head}:")
    for failure in failures:
        at = datetime.fromtimestamp(failure.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        place = f" {failure.address}" if failure.address else ""
        click.echo(visible(f"  {at}{place} {failure.layer}: {failure.text}"))

"""`bollard why ID`: why a device does not get in, in one answer, with the remedy."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from msgspec import to_builtins

from bollard.cli.output import count, say_json, visible
from bollard.cli.proposal import pointed

if TYPE_CHECKING:
    from bollard.server.config import Config
    from bollard.server.failures import Examination, Failure


def say_why(identity: str, config: "Config", *, as_json: bool) -> int:
    """Print the answer; 0 if nothing is wrong with the connection, else 1."""
    from bollard.server.ask import ask
    from bollard.server.requests import WhyConnection
    from bollard.server.why_connection import ConnectionWhy

    why = ask(config, WhyConnection(identity))
    assert isinstance(why, ConnectionWhy)
    remedy = pointed(why.remedy)
    if as_json:
        lately = {"failures": _as_json(why.failures), "unnamed": _as_json(why.unnamed)}
        say_json({**to_builtins(why), "remedy": remedy, **lately})
        return 0 if why.gets_in else 1
    click.echo(visible(f"{why.id}: {why.text}"))
    if why.layer:
        click.echo(f"  layer   {why.layer}")
    if remedy:
        click.echo(visible(f"  remedy  {remedy}"))
    _list("Lately", why.failures)
    _list("Connections that named nobody", why.unnamed if why.layer else ())
    if why.layer and why.examination is not None and why.examination.refused:
        click.echo(f"\n{_own_look(why.examination)}")
    return 0 if why.gets_in else 1


def _as_json(failures: "tuple[Failure, ...]") -> list[dict[str, Any]]:
    return [{**to_builtins(failure), "remedy": pointed(failure.remedy)} for failure in failures]


def _own_look(examination: "Examination") -> str:
    """That our own probes are left out, and where a device could be hidden among them."""
    began = datetime.fromtimestamp(examination.began, UTC).strftime("%Y-%m-%d %H:%M:%S")
    until = datetime.fromtimestamp(examination.until, UTC).strftime("%H:%M:%S")
    what = count(examination.refused, "refusal")
    return (
        f"Not listed: {what} from {', '.join(examination.addresses)} between {began} and {until} UTC, while "
        "`bollard doctor` looked at the listeners. If the device is on this machine, let it try again."
    )


def _list(head: str, failures: "tuple[Failure, ...]") -> None:
    if not failures:
        return
    click.echo(f"\n{head}:")
    for failure in failures:
        at = datetime.fromtimestamp(failure.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        place = f" {failure.address}" if failure.address else ""
        click.echo(visible(f"  {at}{place} {failure.layer}: {failure.text}"))

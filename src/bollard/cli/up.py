"""`bollard up`: everything from nothing to a running broker, in one command."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bollard.base.errors import LocalError
from bollard.cli.output import count, program
from bollard.cli.proposal import pointed, remember
from bollard.cli.unlock import WAYS, token_options, unlock_of
from bollard.cli.values import Port

if TYPE_CHECKING:
    from bollard.server.compose import Started
    from bollard.server.config import Address, Config

DEFAULT_HOST = "0.0.0.0"  # noqa: S104  # devices are on the network; the listener is TLS
DEFAULT_PORT = 8883

WELCOME = """
Bollard is running. Everything that it needs is in {state}

  what devices pin   {root_file}
  its SHA-256        {pin}
  move off this machine, to a safe place:
                     {recovery}

{devices}

Who may do what:     {policy}
Stop with Ctrl-C; the same command starts it again."""


FIRST = """Your first device, in another terminal:

  {bollard} enroll plug --password"""

FURTHER = """{enrolled}. To see who, or to add one, in another terminal:

  {bollard} devices
  {bollard} enroll NAME --password"""


@click.command()
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    callback=remember,
    help="State directory; made if missing.",
)
@click.option("--host", help="Listen on this address instead of the configured one.")
@click.option("--port", type=Port(free=True), help="Listen on this port; 0 takes a free one.")
@click.option(
    "--unlock", "way", type=click.Choice(WAYS), help="First run: what opens the keys of the authorities."
)
@token_options
def command(
    directory: Path | None, host: str | None, port: int | None, way: str | None, **token: Any
) -> None:
    """Set up on the first run, then run the broker.

    The first run makes authorities, server certificates, configuration and policy in the state
    directory; --host and --port of it are written there, as `bind` in bollard.toml. Later runs just start,
    and their --host and --port count for that run alone.

    \b
    Example:  bollard up
              bollard up --dir ./state --port 8884
              bollard up --unlock prompt
    """
    from bollard.server.compose import run
    from bollard.server.load import load_config
    from bollard.server.state import StateDirectory, default_directory, prepare
    from bollard.server.units import parse_host
    from bollard.web.services import services_of

    try:
        host = parse_host(host) if host is not None else None
    except ValueError as error:
        raise click.BadParameter(f"expected {error}", param_hint="--host") from None
    state = StateDirectory((directory or default_directory()).absolute())
    unlock = unlock_of(way or "file", **token)
    if not state.config.exists():
        if host is not None:
            _try_host(host)
        prepare(state.root, _bind(host, port), unlock)
    elif way is not None:
        raise click.UsageError(f"--unlock is for the first run; now: {program()} authority unlock {way}")
    config = override(load_config(state.config), host, port)
    # Told at each start until the owner has moved it: a first start may have ended at a busy port.
    recovery = state.recovery

    def announce(started: "Started") -> None:
        say_listening(started)
        if recovery.exists():
            click.echo(
                WELCOME.format(
                    state=state.root,
                    root_file=started.root_file,
                    pin=started.pin,
                    recovery=recovery,
                    devices=_devices(started.devices),
                    policy=state.policy,
                )
            )

    run(config, announce, services_of(config))


def _devices(number: int) -> str:
    """What to say of the identities that there are, and how to get one more."""
    text = FURTHER if number else FIRST
    enrolled = count(number, "identity is enrolled", "identities are enrolled")
    return pointed(text.format(enrolled=enrolled, bollard=program()))


def _bind(host: str | None, port: int | None) -> "Address":
    """What the new configuration says: the options, but a port that will be the same next time."""
    from bollard.server.config import Address

    return Address(host or DEFAULT_HOST, port or DEFAULT_PORT)


def _try_host(host: str) -> None:
    """Raise LocalError if `host` is no address of this machine: it must not get into the configuration."""
    import socket

    from bollard.net.listener import bind_tcp

    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for sock in bind_tcp(list(dict.fromkeys((each[0], str(each[4][0])) for each in found)), 0):
            sock.close()
    except OSError as error:
        unknown = isinstance(error, socket.gaierror)
        raise LocalError(
            f"cannot listen on {host}: "
            + ("the name is unknown" if unknown else error.strerror or "it cannot be bound"),
            "Nothing was written. See `ip address` for the addresses of this machine; without --host it listens on all.",
        ) from None


def override(config: "Config", host: str | None, port: int | None) -> "Config":
    """`config` with its first TCP listener on `host` and `port`, where these are given."""
    if host is None and port is None:
        return config
    listeners = list(config.listeners)
    for index, listener in enumerate(listeners):
        if not listener.unix:
            bind = replace(
                listener.bind,
                host=listener.bind.host if host is None else host,
                port=listener.bind.port if port is None else port,
            )
            listeners[index] = replace(listener, bind=bind)
            return replace(config, listeners=tuple(listeners))
    raise LocalError(f"{config.file} has no TCP listener that --host and --port could move", "Edit the file.")


def say_listening(started: "Started") -> None:
    """The lines that scripts wait for: one for each bound address."""
    for kind, address in started.listeners:
        click.echo(f"listening {address} {kind}")

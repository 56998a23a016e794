"""`bollard devices`: the registry, and what its changes end."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import to_builtins

from bollard.cli.credential import credential_options
from bollard.cli.group import Group
from bollard.cli.handover import hand_over, prepare_folder, stale
from bollard.cli.output import count, day, say_json, say_table
from bollard.cli.proposal import pointed
from bollard.cli.recipe import NAMES, check_recipe
from bollard.cli.target import find_config, json_option, target_options

if TYPE_CHECKING:
    from bollard.server.config import Config
    from bollard.server.requests import Device, Request


class _Registry(Group):
    """The sub-commands; the list itself is the command without one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in ("list", "ls"):
            raise click.UsageError("The list is the command without a sub-command: bollard devices", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Registry, invoke_without_command=True)
@target_options
@json_option
def command(directory: Path | None, config_file: Path | None, as_json: bool) -> None:
    """List, show, revoke, suspend, resume, rotate identities.

    \b
    Example:  bollard devices
              bollard devices revoke plug
    """
    from bollard.server.requests import Devices, ListDevices

    ctx = click.get_current_context()
    ctx.obj = {"directory": directory, "config_file": config_file, "as_json": as_json}
    if ctx.invoked_subcommand is not None:
        return
    found = _ask(find_config(directory, config_file), ListDevices())
    assert isinstance(found, Devices)
    if as_json:
        say_json(to_builtins(found.devices))
        return
    if not found.devices:
        click.echo(pointed("Nobody is enrolled yet. The first device: bollard enroll plug --password"))
        return
    heads = ("id", "state", "template", "credentials", "connected", "enrolled")
    say_table(heads, [_row(device) for device in found.devices])


def _row(device: "Device") -> tuple[str, ...]:
    active = sum(certificate.state == "active" for certificate in device.certificates)
    kinds = ["password"] * device.password + ["key"] * device.psk + ["certificate"] * bool(active)
    connected = "-" if device.connected is None else str(device.connected)
    waiting = device.enrollment is not None and device.enrollment.state == "waits for approval"
    return (
        device.id,
        "approve?" if waiting else device.state,
        device.template,
        ", ".join(kinds) or "none",
        connected,
        day(device.created_at),
    )


@command.command()
@click.argument("identity", metavar="ID")
@target_options
@json_option
def show(identity: str, **options: Any) -> None:
    """Everything that the registry knows of ID.

    \b
    Example:  bollard devices show plug
    """
    from bollard.server.requests import Device, ShowDevice

    config, as_json = _target(options)
    device = _ask(config, ShowDevice(identity))
    assert isinstance(device, Device)
    if as_json:
        say_json(to_builtins(device))
        return
    heads = ("id", "state", "template", "credentials", "connected", "enrolled")
    for head, cell in zip(heads, _row(device), strict=True):
        click.echo(f"{head:12} {cell}")
    if device.enrollment is not None:
        click.echo(f"{'enrollment':12} {device.enrollment.state} (until {day(device.enrollment.expires_at)})")
        if device.enrollment.key:
            click.echo(f"{'key':12} {device.enrollment.key}")
    if device.traffic is not None:
        told = device.traffic
        click.echo(f"{'messages':12} {told.received} received ({told.received_bytes} bytes), "
                   f"{told.sent} sent ({told.sent_bytes} bytes)")  # fmt: skip
        click.echo(f"{'denied':12} publish {told.denied_publish}, subscribe {told.denied_subscribe}, "
                   f"receive {told.denied_receive}, will {told.denied_will}")  # fmt: skip
    for certificate in device.certificates:
        click.echo(
            f"certificate  {certificate.serial} {certificate.state}, until {day(certificate.not_after)}"
        )


def _change(identity: str, to: str, options: dict[str, Any], *, purge: bool = False) -> None:
    from bollard.server.requests import Changed, ChangeDevice

    config, as_json = _target(options)
    changed = _ask(config, ChangeDevice(identity, to, purge))  # type: ignore[arg-type]  # one of its literals
    assert isinstance(changed, Changed)
    if as_json:
        warning = {"warning": changed.warning} if changed.warning else {}
        say_json({"id": changed.id, "state": changed.state, **to_builtins(changed.ended), **warning})
        return
    click.echo(f"{changed.id} is {changed.state}.")
    if changed.running and to != "active":
        ended = changed.ended
        click.echo(
            f"Ended in {ended.took_ms:.0f} ms: {count(ended.connections, 'connection')}, "
            f"{count(ended.sessions, 'session')}, {count(ended.wills, 'will')}, "
            f"{count(ended.retained, 'retained message')}."
        )
    if purge and not changed.running:
        click.echo("No broker runs: its kept sessions and retained messages are withheld, not removed.")
    if changed.warning:
        click.echo(f"bollard: {changed.warning}", err=True)


@command.command()
@click.argument("identity", metavar="ID")
@target_options
@json_option
def revoke(identity: str, **options: Any) -> None:
    """Shut ID out for good, and end what lives of it now.

    Its connections, sessions, wills and retained messages end at once. For a pause: suspend.

    \b
    Example:  bollard devices revoke plug
    """
    _change(identity, "revoked", options)


@command.command()
@click.argument("identity", metavar="ID")
@click.option("--purge", is_flag=True, help="Also end its sessions and remove what it retained.")
@target_options
@json_option
def suspend(identity: str, purge: bool, **options: Any) -> None:
    """Shut ID out until it is resumed.

    Its connections end at once, without their wills. Its sessions, and the messages that it queued for
    others or retained, are kept and withheld until it is resumed.

    \b
    Example:  bollard devices suspend plug
              bollard devices suspend plug --purge
    """
    _change(identity, "suspended", options, purge=purge)


@command.command()
@click.argument("identity", metavar="ID")
@target_options
@json_option
def approve(identity: str, **options: Any) -> None:
    """Let the device in that asked as ID with an enrollment string and waits.

    `bollard devices show ID` has the fingerprint of its key; it must be the one that the device shows.

    \b
    Example:  bollard devices show plug
              bollard devices approve plug
    """
    from bollard.server.requests import ApproveDevice, Device

    config, as_json = _target(options)
    device = _ask(config, ApproveDevice(identity))
    assert isinstance(device, Device)
    if as_json:
        say_json(to_builtins(device))
        return
    click.echo(f"{device.id} is approved; it gets its certificate when it asks again.")


@command.command()
@click.argument("identity", metavar="ID")
@target_options
@json_option
def resume(identity: str, **options: Any) -> None:
    """Let a suspended ID in again.

    \b
    Example:  bollard devices resume plug
    """
    _change(identity, "active", options)


@command.command()
@click.argument("identity", metavar="ID")
@credential_options(
    "A new password (the default).",
    "A new key and certificate.",
    "A one-time string; the old ends when spent.",
)
@click.option("--expires", default="1h", show_default=True, help="With --token: how long it may be spent.")
@click.option("--approve", "approval", is_flag=True, help="With --token: the device waits for your approval.")
@click.option("--for", "recipe", type=click.Choice(NAMES), help="Print only what this client needs.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the files here; certificates: devices/ID."
)
@click.option("--purge", is_flag=True, help="Also end its sessions and remove what it retained.")
@target_options
@json_option
def rotate(
    identity: str,
    credential: str | None,
    expires: str,
    approval: bool,
    recipe: str | None,
    out: Path | None,
    purge: bool,
    **options: Any,
) -> None:
    """Give ID a new credential; the old one ends at once, and with it the connections of ID.

    Files that `bollard enroll --out` wrote hold the old one: with the same --out they are written anew.
    If somebody else had the old one, --purge removes what they may have left behind.

    \b
    Example:  bollard devices rotate plug
              bollard devices rotate plug --out ./plug
              bollard devices rotate meter --for paho > meter.py
    """
    from bollard.cli.token import hand_over_token, parse_life
    from bollard.identity.names import check_identity
    from bollard.server.requests import Credential, Enrolled, Rotate
    from bollard.server.state import StateDirectory

    check_identity(identity)
    config, as_json = _target(options)
    kind: Credential = "certificate" if credential == "certificate" else "password"
    written = out is not None
    if kind == "certificate" and out is None:
        out = StateDirectory(config.state_dir).devices / identity
    if recipe is not None:
        if credential == "token":
            raise click.UsageError("--for needs a password or a certificate; with --token the device joins.")
        check_recipe(recipe, kind, config)
    folder = prepare_folder(out) if out is not None else None
    if credential == "token":
        opened = _ask(config, Rotate(identity, "token", life_s=parse_life(expires), approval=approval))
        assert isinstance(opened, Enrolled)
        hand_over_token(opened, folder, as_json=as_json)
        return
    enrolled = _ask(config, Rotate(identity, kind, purge))
    assert isinstance(enrolled, Enrolled)
    hand_over(enrolled, folder, recipe, config, as_json=as_json, again=True)
    if not (written or as_json or recipe):
        click.echo(
            f"\n{stale(identity)} Or rotate once more with the same --out FOLDER: it writes them anew."
        )


@command.command()
@click.argument("identity", metavar="ID")
@click.option(
    "--password-file", type=click.Path(path_type=Path), help="File whose first line is the password."
)
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of input.")
@click.option("--purge", is_flag=True, help="Also end its sessions and remove what it retained.")
@target_options
@json_option
def password(
    identity: str, password_file: Path | None, password_stdin: bool, purge: bool, **options: Any
) -> None:
    """Give ID a password that you choose; every older credential ends, and with it the connections of ID.

    For people who type it. Devices are better off with a generated one: bollard devices rotate ID.
    The configuration has to allow it: allow_human_passwords = true.

    \b
    Example:  bollard devices password anna
              pass show anna | bollard devices password anna --password-stdin
    """
    from bollard.cli.password import read_password, set_password
    from bollard.identity.names import check_identity

    check_identity(identity)
    config, as_json = _target(options)
    chosen = read_password(password_file, password_stdin)
    set_password(config, identity, chosen, purge=purge, as_json=as_json)


@command.command()
@click.argument("identity", metavar="ID")
@click.option("--as", "template", default="device", show_default=True, help="The template of a new ID.")
@click.option("--purge", is_flag=True, help="Also end its sessions and remove what it retained.")
@target_options
@json_option
def psk(identity: str, template: str, purge: bool, **options: Any) -> None:
    """Give ID a key for TLS with pre-shared keys; every older credential ends. ID may be new.

    For devices that are too small for certificates. Needs a listener with `psk = true`, and Python 3.13.

    \b
    Example:  bollard devices psk meter
    """
    from bollard.cli.psk import give_key

    config, as_json = _target(options)
    give_key(config, identity, template, purge=purge, as_json=as_json)


def _target(options: dict[str, Any]) -> "tuple[Config, bool]":
    """Configuration and JSON flag: options after the sub-command count, then those before it."""
    before: dict[str, Any] = click.get_current_context().obj
    directory, config_file = options["directory"], options["config_file"]
    if directory is None and config_file is None:
        directory, config_file = before["directory"], before["config_file"]
    return find_config(directory, config_file), options["as_json"] or before["as_json"]


def _ask(config: "Config", request: "Request") -> object:
    from bollard.server.ask import ask

    return ask(config, request)

"""`bollard enroll`: one identity, and exactly what to paste or flash."""

from pathlib import Path

import click

from bollard.cli.credential import credential_options
from bollard.cli.handover import hand_over, prepare_folder
from bollard.cli.recipe import NAMES, check_recipe
from bollard.cli.target import find_config, json_option, target_options


@click.command()
@click.argument("identity", metavar="ID")
@credential_options(
    "A generated password (the default).", "A key and a certificate.", "A one-time string for `bollard join`."
)
@click.option("--expires", help="With --token: how long it may be spent.  [default: 1h]")
@click.option("--approve", is_flag=True, help="With --token: the device waits until you approve it.")
@click.option("--as", "template", default="device", show_default=True, help="The policy template it gets.")
@click.option("--for", "recipe", type=click.Choice(NAMES), help="Print only what this client needs.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the files here; certificates: devices/ID."
)
@target_options
@json_option
def command(
    identity: str,
    credential: str | None,
    expires: str | None,
    approve: bool,
    template: str,
    recipe: str | None,
    out: Path | None,
    directory: Path | None,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Give a device or application its identity.

    ID is 1 to 64 of the characters A-Z a-z 0-9 _ . - and is shown once with its secret.

    \b
    Example:  bollard enroll plug --password
              bollard enroll camera --certificate --out ./camera
              bollard enroll sensor --token --expires 2h
              bollard enroll meter --for paho > meter.py
              bollard enroll dashboard --as app --password --json
    """
    from bollard.cli.token import hand_over_token, parse_life
    from bollard.identity.names import check_identity
    from bollard.server.ask import ask
    from bollard.server.requests import Credential, Enroll, Enrolled
    from bollard.server.state import StateDirectory

    check_identity(identity)
    config = find_config(directory, config_file)
    kind: Credential = "certificate" if credential == "certificate" else "password"
    if kind == "certificate" and out is None:
        out = StateDirectory(config.state_dir).devices / identity
    if recipe is not None:
        if credential == "token":
            raise click.UsageError("--for needs a password or a certificate; with --token the device joins.")
        check_recipe(recipe, kind, config)
    if expires is not None and credential != "token":
        raise click.UsageError("--expires is for --token: a password or certificate has its own end.")
    folder = prepare_folder(out) if out is not None else None
    if credential == "token":
        request = Enroll(identity, "token", template, parse_life(expires or "1h"), approve)
        opened = ask(config, request)
        assert isinstance(opened, Enrolled)
        hand_over_token(opened, folder, as_json=as_json)
        return
    enrolled = ask(config, Enroll(identity, kind, template))
    assert isinstance(enrolled, Enrolled)
    hand_over(enrolled, folder, recipe, config, as_json=as_json)

"""`bollard enroll`: one identity, and exactly what to paste or flash."""

from pathlib import Path

import click

from bollard.cli.handover import RECIPES, hand_over, prepare_folder
from bollard.cli.target import find_config, json_option, target_options


@click.command()
@click.argument("identity", metavar="ID")
@click.option("--password", "credential", flag_value="password", help="A generated password (the default).")
@click.option("--certificate", "credential", flag_value="certificate", help="A key and a certificate.")
@click.option("--as", "template", default="device", show_default=True, help="The policy template it gets.")
@click.option("--for", "recipe", type=click.Choice(RECIPES), help="Print only what this client needs.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the files here; certificates: devices/ID."
)
@target_options
@json_option
def command(
    identity: str,
    credential: str | None,
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
              bollard enroll dashboard --as app --password --json
    """
    from bollard.identity.names import check_identity
    from bollard.server.ask import ask
    from bollard.server.requests import Credential, Enroll, Enrolled
    from bollard.server.state import StateDirectory

    check_identity(identity)
    config = find_config(directory, config_file)
    kind: Credential = "certificate" if credential == "certificate" else "password"
    if kind == "certificate" and out is None:
        out = StateDirectory(config.state_dir).devices / identity
    folder = prepare_folder(out) if out is not None else None
    enrolled = ask(config, Enroll(identity, kind, template))
    assert isinstance(enrolled, Enrolled)
    hand_over(enrolled, folder, recipe, as_json=as_json)

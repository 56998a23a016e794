"""`bollard enroll --for CLIENT`: what that client needs, exactly as it is pasted, and nothing else on output.

What the owner should know besides goes to standard error, so that the output can go into a file or a shell.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bollard.identity.recipes.render import NAMES as NAMES
from bollard.identity.recipes.render import Fact, recipe

if TYPE_CHECKING:
    from bollard.server.config import Config
    from bollard.server.requests import Enrolled

Settings = dict[str, str | int]


def check_recipe(name: str, credential: str, config: "Config") -> None:
    """Refuse, before anything is enrolled, what this client cannot do. Raises LocalError."""
    from bollard.base.errors import LocalError
    from bollard.server.advertise import reachable_at

    chosen = recipe(name)
    chosen.check(credential, reachable_at(config)[0])
    if chosen.limits.verifies == "fingerprint" and not _server_chain(config).exists():
        raise LocalError(
            f"{chosen.title} needs the fingerprint of the server's key, and there is none yet",
            "Start the broker once, then enroll the device.",
        )


def say_recipe(
    name: str, enrolled: "Enrolled", settings: Settings, topics: tuple[str, str], config: "Config"
) -> None:
    """Print the recipe called `name` for a new credential. `topics` are a filter and a topic to try."""
    credential = "certificate" if enrolled.key_pem else "password"
    chosen = recipe(name)
    click.echo(chosen.text(credential, _facts(enrolled, settings, topics, config)), nl=False)
    click.echo(f"{chosen.title}: {'run' if chosen.tested else 'reviewed, not run'} by our tests.", err=True)
    for note in chosen.notes[credential]:
        click.echo(f"- {note}", err=True)
    if chosen.preset and enrolled.template == "device":
        click.echo(f"- {_preset_note(chosen.preset, enrolled.id)}", err=True)


def _preset_note(preset: str, identity: str) -> str:
    return (
        f"{identity} has the rights of the template device: topics below devices/{identity}/. For those of "
        f'{preset} add to policy.toml: [preset.{preset}] use = "{preset}" and '
        f'[group.{preset}] members = ["{identity}"] apply = ["{preset}"], each on lines of its own.'
    )


def _facts(
    enrolled: "Enrolled", settings: Settings, topics: tuple[str, str], config: "Config"
) -> dict[str, Fact]:
    from bollard.identity.recipes import facts

    chain = _server_chain(config)
    found = facts.connection_facts(enrolled.id, enrolled.client_id, enrolled.host, enrolled.port)
    found |= facts.server_facts(enrolled.root_pem, chain.read_bytes() if chain.exists() else b"")
    found |= {"filter": topics[0], "topic": topics[1]}
    found |= {key: value for key, value in settings.items() if key.endswith("_file")}
    if enrolled.key_pem:
        return found | facts.certificate_facts(enrolled.client_id, enrolled.chain_pem, enrolled.key_pem)
    return found | facts.password_facts(enrolled.client_id, enrolled.username, enrolled.password)


def _server_chain(config: "Config") -> Path:
    return config.state_dir / "tls" / "server-rsa.crt"

"""`bollard devices psk`: a key for TLS-PSK, and what to paste or flash."""

import shlex
from typing import TYPE_CHECKING

import click

from bollard.cli.output import say_json

if TYPE_CHECKING:
    from bollard.server.config import Config
    from bollard.server.requests import Enrolled


def give_key(config: "Config", identity: str, template: str, *, purge: bool, as_json: bool) -> None:
    """Have a key made, and print it: it cannot be read again."""
    from bollard.server.ask import ask
    from bollard.server.requests import Enrolled, GivePsk

    enrolled = ask(config, GivePsk(identity, template, purge))
    assert isinstance(enrolled, Enrolled)
    if as_json:
        say_json(
            {
                "id": enrolled.id,
                "client_id": enrolled.client_id,
                "host": enrolled.host,
                "port": enrolled.port,
                "psk_identity": enrolled.username,
                "psk": enrolled.psk,
            }
        )
        return
    click.echo(_text(enrolled))


def _text(enrolled: "Enrolled") -> str:
    topic = f"devices/{enrolled.id}/state"
    words = ["mosquitto_pub", "-h", enrolled.host, "-p", str(enrolled.port)]
    words += ["--psk-identity", enrolled.username, "--psk", enrolled.psk, "-t", topic, "-m", "hello"]
    return "\n".join(
        [
            f"{enrolled.id} has a key for TLS-PSK. It is shown only now; every older credential has ended.",
            "",
            f"  host          {enrolled.host}",
            f"  port          {enrolled.port}",
            f"  psk identity  {enrolled.username}",
            f"  psk           {enrolled.psk}  (32 bytes, in hex)",
            "",
            "No certificate and no user name. Who has this key is this device, and can also pass for the broker.",
            "",
            f"mosquitto:\n  {shlex.join(words)}",
        ]
    )

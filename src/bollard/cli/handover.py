"""Giving a new credential to its owner: files, settings for scripts, and text to paste.

The secret passes through here once. It goes to standard output or into files of mode 0600, and nowhere
else.
"""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bollard.cli.output import day, say_json
from bollard.cli.recipe import say_recipe

if TYPE_CHECKING:
    from bollard.server.config import Config
    from bollard.server.requests import Enrolled

Settings = dict[str, str | int]
#: An example of a filter to subscribe to and of a topic to publish to.
Topics = tuple[str, str]


def prepare_folder(folder: Path) -> Path:
    """Make `folder`, before anything is enrolled whose secret could then not be written."""
    from bollard.identity.files import make_private_directory

    folder = folder.absolute()
    make_private_directory(folder)
    return folder


def write_files(enrolled: "Enrolled", folder: Path | None) -> Settings:
    """Write what belongs into `folder`, all 0600, and return the settings that a client needs.

    With a certificate: key, certificate with its chain, server root. With a password: server root and
    the settings themselves. Without a folder nothing is written.
    """
    from bollard.identity.files import write_private

    settings: Settings = {
        "id": enrolled.id,
        "client_id": enrolled.client_id,
        "host": enrolled.host,
        "port": enrolled.port,
    }
    if enrolled.password:
        settings |= {"username": enrolled.username, "password": enrolled.password}
    settings["ca_file"] = enrolled.ca_file
    if folder is None:
        return settings
    files = {"ca_file": (folder / "server-root.crt", enrolled.root_pem)}
    if enrolled.key_pem:
        del settings["ca_file"]
        files = {
            "cert_file": (folder / f"{enrolled.id}.crt", enrolled.chain_pem),
            "key_file": (folder / f"{enrolled.id}.key", enrolled.key_pem),
            **files,
        }
    for name, (path, text) in files.items():
        write_private(path, text.encode())
        settings[name] = str(path)
    write_private(folder / f"{enrolled.id}.json", json.dumps(settings, indent=2).encode() + b"\n")
    return settings


def hand_over(
    enrolled: "Enrolled",
    folder: Path | None,
    recipe: str | None,
    config: "Config",
    *,
    as_json: bool,
    again: bool = False,
) -> None:
    """Write the files and tell the user what to paste: for one client, or for three that are common.

    `again`: it was enrolled before, and what it had until now has ended.
    """
    settings = write_files(enrolled, folder)
    if as_json:
        say_json(settings)
        return
    if recipe is not None:
        say_recipe(recipe, enrolled, settings, _topics(enrolled), config)
        return
    settings_file = folder / f"{enrolled.id}.json" if folder is not None else None
    click.echo(_facts(enrolled, settings, settings_file, again=again))
    for show in (_bollard, _mosquitto, _paho):
        click.echo(show(settings, settings_file, _topics(enrolled)))


def stale(identity: str) -> str:
    """That files which hold an earlier credential are of no use any more."""
    return f"Settings files of {identity} from before, as enroll --out writes them, are stale now: put the new one in."


def _topics(enrolled: "Enrolled") -> Topics:
    """What the templates of a new installation let this identity subscribe and publish to."""
    if enrolled.template == "app":
        return "devices/#", "devices/plug/cmd/on"
    return f"devices/{enrolled.id}/#", f"devices/{enrolled.id}/state"


def _facts(enrolled: "Enrolled", settings: Settings, settings_file: Path | None, *, again: bool) -> str:
    lines = [f"{enrolled.id} is enrolled, with template {enrolled.template}.", ""]
    if again:
        kind = "password" if enrolled.password else "certificate"
        lines[0] = f"{enrolled.id} has a new {kind}; what it had before has ended."
    if enrolled.password:
        lines.append("The password is shown only now; the broker keeps no copy of it.")
    else:
        lines.append(f"The certificate is valid until {day(enrolled.not_after)} UTC.")
    lines.append("")
    lines += [f"  {key.replace('_', ' '):10} {value}" for key, value in settings.items() if key != "id"]
    if settings_file is not None:
        lines += ["", f"All of this is in {settings_file}"]
    return "\n".join(lines)


def _bollard(settings: Settings, settings_file: Path | None, topics: Topics) -> str:
    if settings_file is not None:
        return f"\nbollard:\n  bollard sub --settings {shlex.quote(str(settings_file))} -t {shlex.quote(topics[0])}"
    words = [
        "bollard",
        "sub",
        "-h",
        settings["host"],
        "-p",
        settings["port"],
        "--ca-file",
        settings["ca_file"],
    ]
    words += ["--username", settings["username"], "-t", topics[0]]
    return f"\nbollard:\n  BOLLARD_PASSWORD={settings['password']} {_shell(words)}"


def _mosquitto(settings: Settings, settings_file: Path | None, topics: Topics) -> str:
    words = ["-h", settings["host"], "-p", settings["port"], "--cafile", settings["ca_file"]]
    if "password" in settings:
        words += ["-u", settings["username"], "-P", settings["password"]]
    else:
        words += ["--cert", settings["cert_file"], "--key", settings["key_file"]]
    publish = [*words, "-t", topics[1], "-m", "hello"]
    return f"\nmosquitto:\n  mosquitto_sub {_shell([*words, '-t', topics[0]])}\n  mosquitto_pub {_shell(publish)}"


def _paho(settings: Settings, settings_file: Path | None, topics: Topics) -> str:
    client_id, host = json.dumps(settings["client_id"]), json.dumps(settings["host"])
    ca_file = json.dumps(settings["ca_file"])
    if "password" in settings:
        credential = (
            f"client.username_pw_set({json.dumps(settings['username'])}, {json.dumps(settings['password'])})"
        )
        tls = f"client.tls_set({ca_file})"
    else:
        cert, key = json.dumps(settings["cert_file"]), json.dumps(settings["key_file"])
        credential, tls = "", f"client.tls_set({ca_file}, {cert}, {key})"
    lines = [
        "import paho.mqtt.client as mqtt",
        f"client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id={client_id})",
        tls,
        credential,
        f"client.connect({host}, {settings['port']})",
    ]
    return "\npaho (Python):\n" + "\n".join(f"  {line}" for line in lines if line)


def _shell(words: list[str | int]) -> str:
    return " ".join(shlex.quote(str(word)) for word in words)

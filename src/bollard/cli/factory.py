"""`bollard factory`: batches of identities for devices that are made before anybody knows whose they will be.

make      on the manufacturer's machine, with no broker: labels to print, and a signed manifest
import    at the buyer's broker: the manifest, after its key was recognized
"""

import os
import re
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bollard.base.errors import LocalError
from bollard.cli.group import Group
from bollard.cli.output import day, say_json, visible
from bollard.cli.target import find_config, json_option, target_options

if TYPE_CHECKING:
    from bollard.identity.factory import Manifest
    from bollard.server.requests import BatchImported

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
LABELS, MANIFEST = "labels.html", "manifest.json"


@click.group(cls=Group)
def command() -> None:
    """Labels and manifests of devices that are made before their owner is known.

    \b
    Example:  bollard factory make --count 500 --prefix METER --out batch-7
              bollard factory import manifest.json --key-fingerprint HEX
    """


@command.command()
@click.option("--count", type=int, required=True, help="How many devices, 4000 at most.")
@click.option("--prefix", required=True, help="Names are PREFIX-000001 and on. Capitals make small QR codes.")
@click.option("--start", type=int, default=1, show_default=True, help="The first number.")
@click.option("--as", "template", default="device", show_default=True, help="The policy template they get.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new folder for both files.")
@click.option("--key", "key_file", type=click.Path(path_type=Path), help="Your signing key; made if missing.")
@json_option
def make(
    count: int, prefix: str, start: int, template: str, out: Path, key_file: Path | None, as_json: bool
) -> None:
    """Make a batch: labels.html to print, and manifest.json for whoever buys the devices.

    Needs no broker and no network. labels.html holds every secret: delete it once it is printed. The
    manifest holds none. Tell your buyers the fingerprint of your key by another way than the manifest.

    \b
    Example:  bollard factory make --count 500 --prefix METER --out batch-7
              bollard factory make --count 500 --start 501 --prefix METER --out batch-8
    """
    from bollard.cli.factory_labels import render_labels
    from bollard.identity.factory import ensure_key, fingerprint, make_labels, write_manifest
    from bollard.identity.files import write_private_directory
    from bollard.identity.names import check_identity

    check_identity(template)
    out = out.absolute()
    _require_new(out)
    labels = make_labels(prefix, start=start, count=count)
    path = key_file or _default_key()
    key, made = ensure_key(path)
    manifest = write_manifest(labels, template, key, now=time.time())
    write_private_directory(out, {LABELS: render_labels(labels), MANIFEST: manifest})
    told = {
        "count": count,
        "first": labels[0].identity,
        "last": labels[-1].identity,
        "labels_file": str(out / LABELS),
        "manifest_file": str(out / MANIFEST),
        "key_file": str(path),
        "key_made": made,
        "key_fingerprint": fingerprint(key.public_key()),
    }
    if as_json:
        say_json(told)
        return
    click.echo(f"{count} devices, {told['first']} to {told['last']}.")
    click.echo(f"  {told['labels_file']}  every secret: print it, then delete it")
    click.echo(f"  {told['manifest_file']}  for whoever buys the devices; no secret")
    click.echo(f"{'New signing key' if made else 'Signed with'} {path}, fingerprint (SHA-256):")
    click.echo(f"  {told['key_fingerprint']}")


@command.command("import")
@click.argument("manifest_file", metavar="MANIFEST", type=click.Path(path_type=Path))
@click.option("--key-fingerprint", metavar="HEX", help="The manufacturer's, as he told you himself.")
@click.option("--life", "life_days", type=int, default=365, show_default=True, help="Days to spend a label.")
@target_options
@json_option
def import_manifest(
    manifest_file: Path,
    key_fingerprint: str | None,
    life_days: int,
    directory: Path | None,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Enroll the devices of a manufacturer's MANIFEST, all of them or none.

    Their labels may be spent from now on, each once. Importing again changes nothing of what is there.
    Without --key-fingerprint a terminal shows the key of the manifest, and asks.

    \b
    Example:  bollard factory import manifest.json --key-fingerprint 3b0c...
    """
    from bollard.identity.factory import DAY_S, load_manifest
    from bollard.server.ask import ask
    from bollard.server.requests import BatchImported, ImportBatch

    told = _fingerprint(key_fingerprint) if key_fingerprint is not None else None
    config = find_config(directory, config_file)
    manifest = load_manifest(manifest_file)
    _recognize(manifest, told)
    done = ask(config, ImportBatch(manifest.devices, life_days * DAY_S))
    assert isinstance(done, BatchImported)
    _say(done, as_json)


def _default_key() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return Path(base or Path.home() / ".config") / "bollard" / "factory.key"


def _require_new(out: Path) -> None:
    """Raise `LocalError` if there is anything at `out` already: no batch is written over another."""
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise LocalError(
            f"{visible(str(out))} exists already",
            "Name a folder that does not exist yet: bollard factory make --out FOLDER",
        )


def _fingerprint(text: str) -> str:
    """The fingerprint as manifests have it. Raises `click.BadParameter` for what can be none."""
    found = text.replace(":", "").strip().lower()
    if not _FINGERPRINT.fullmatch(found):
        raise click.BadParameter(
            "that is no fingerprint: expected are 64 hexadecimal digits, as `bollard factory make` printed them.",
            param_hint="--key-fingerprint",
        )
    return found


def _recognize(manifest: "Manifest", told: str | None) -> None:
    """Raise unless the manifest is by the key that was told, or that somebody at a terminal confirms."""
    if told is not None:
        if told != manifest.fingerprint:
            raise LocalError(
                f"the manifest is signed with another key: {manifest.fingerprint}",
                "Do not import it, unless the manufacturer confirms that key in another way.",
            )
        return
    if not sys.stdin.isatty():
        raise LocalError(
            "whose manifest this is has to be said",
            "Give --key-fingerprint, as the manufacturer told it; or run this on a terminal.",
        )
    click.echo(
        f"{len(manifest.devices)} devices, {manifest.devices[0].id} to {manifest.devices[-1].id}, "
        f"made {day(manifest.created_at)} UTC, signed with the key\n  {manifest.fingerprint}",
        err=True,
    )
    click.confirm("Is this the manufacturer's key, as he told you in another way?", abort=True, err=True)


def _say(done: "BatchImported", as_json: bool) -> None:
    join = f"bollard join 'BOLF1:...' --host {shlex.quote(done.host)} --port {done.port} --pin {done.pin}"
    if as_json:
        say_json(
            {
                "added": done.added,
                "there": done.there,
                "expires_at": done.expires_at if done.added else None,
                "host": done.host,
                "port": done.port,
                "pin": done.pin,
                "est_url": done.est_url,
                "join": join,
            }
        )
        return
    if done.added:
        click.echo(f"{done.added} devices may enroll with their labels until {day(done.expires_at)} UTC.")
    if done.there:
        click.echo(f"{done.there} were imported before and are left as they are.")
    click.echo(f"On each device, with the text of its label:\n\n  {join}")
    if done.est_url:
        click.echo(
            f"\nor by EST:  {done.est_url}\n  user name: the name on the label, password: its last 32 letters"
        )

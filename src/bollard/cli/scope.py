"""`bollard scope`: the owner's key, and signed permission to strain a broker."""

from datetime import UTC, datetime
from pathlib import Path

import click

from bollard.cli.group import Group
from bollard.cli.output import say_json
from bollard.cli.target import json_option

FILE = click.Path(path_type=Path, dir_okay=False)
READABLE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group(cls=Group)
def command() -> None:
    """Permission to assess: make a key, sign a scope file, verify it.

    A scope file is TOML: version = 1, authorized_by, valid_until (a date) and targets (hosts, addresses,
    networks), and what is allowed beyond looking: active, public, intrusive, each true or false. valid_from (a
    date) is for later. Whoever owns the targets signs it; whoever scans verifies it with the owner's public key.

    \b
    Example:
      bollard scope key owner.key
      bollard scope sign scope.toml --key owner.key
      bollard scan broker.local --scope scope.toml --owner-key owner.key.pub --i-am-authorized --intrusive
    """


@command.command()
@click.argument("file", type=FILE)
@json_option
def key(file: Path, as_json: bool) -> None:
    """Make the owner's key in FILE, and its public half in FILE.pub, for whoever scans.

    \b
    Example:  bollard scope key owner.key
    """
    from bollard.assess.consent import create_key, public_of

    shown = create_key(file)
    if as_json:
        say_json({"key_file": str(file), "public_key_file": str(public_of(file)), "fingerprint": shown})
        return
    click.echo(f"{file}: keep it to yourself. {public_of(file)}: give it to whoever scans.")
    click.echo(f"Fingerprint, to compare by telephone: {shown}")


@command.command()
@click.argument("scope_file", type=READABLE)
@click.option("--key", "key_file", type=READABLE, required=True, help="The owner's key (PEM, Ed25519).")
@json_option
def sign(scope_file: Path, key_file: Path, as_json: bool) -> None:
    """Sign SCOPE_FILE: writes SCOPE_FILE.sig beside it. What has expired is not signed.

    Without this program, OpenSSL 3 does the same: openssl pkeyutl -sign -rawin -inkey owner.key -in scope.toml
    -out scope.toml.sig

    \b
    Example:  bollard scope sign scope.toml --key owner.key
    """
    from bollard.assess.consent import sign as make
    from bollard.assess.consent import signature_of

    today = datetime.now(UTC).date()
    scope, shown = make(scope_file, key_file, today)
    if scope.valid_from is not None and scope.valid_from > today:
        click.echo(f"{scope_file}: allows nothing before {scope.valid_from}.", err=True)
    if as_json:
        say_json({"signature_file": str(signature_of(scope_file)), "fingerprint": shown})
        return
    click.echo(f"Signed: {signature_of(scope_file)}. Any change of {scope_file} makes it void.")


@command.command()
@click.argument("scope_file", type=READABLE)
@click.option("--owner-key", type=READABLE, required=True, help="The owner's public key (PEM, Ed25519).")
@json_option
def verify(scope_file: Path, owner_key: Path, as_json: bool) -> None:
    """Check signature and dates of SCOPE_FILE, and say what it allows. Exit code: 2 if it does not count today.

    \b
    Example:  bollard scope verify scope.toml --owner-key owner.key.pub
    """
    from bollard.assess.consent import verify as check
    from bollard.assess.report.words import clean
    from bollard.assess.scope import check_day

    scope, shown = check(scope_file, owner_key)
    check_day(scope, datetime.now(UTC).date())
    allowed = [name for name in ("active", "public", "intrusive") if getattr(scope, name)]
    if as_json:
        say_json(
            {
                "authorized_by": scope.authorized_by,
                "valid_until": str(scope.valid_until),
                "targets": list(scope.targets),
                "allows": allowed,
                "fingerprint": shown,
            }
        )
        return
    click.echo(f"{clean(scope.authorized_by)} allows until {scope.valid_until}: {', '.join(scope.targets)}")
    click.echo(f"Beyond looking: {', '.join(allowed) or 'nothing'}. Signed by {shown}")

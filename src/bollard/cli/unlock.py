"""`bollard authority unlock`: what opens the keys of the authorities. Its options are those of `bollard up`, too."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bollard.cli.output import say_json
from bollard.cli.target import find_config, json_option, target_options

if TYPE_CHECKING:
    from bollard.identity.unlock import Unlock

WAYS = ("file", "prompt", "pkcs11")


def token_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name a token, as `module`, `token`, `pin_from` and `pin_file`."""
    for option in (
        click.option("--pin-file", type=click.Path(path_type=Path), help="pkcs11: the file with its PIN."),
        click.option(
            "--pin-from",
            type=click.Choice(("prompt", "file", "credential")),
            help="pkcs11: where its PIN is; asked for unless you say.",
        ),
        click.option("--pkcs11-token", "token", help="pkcs11: the label of the token."),
        click.option(
            "--pkcs11-module", "module", type=click.Path(path_type=Path), help="pkcs11: its shared library."
        ),
    ):
        function = option(function)
    return function


def unlock_of(
    way: str, module: Path | None, token: str | None, pin_from: str | None, pin_file: Path | None
) -> "Unlock":
    """What the options mean. Raises UsageError if they do not belong together."""
    from bollard.identity.unlock import TokenSettings, Unlock

    if way != "pkcs11":
        if module or token or pin_from or pin_file:
            raise click.UsageError("The options of a token belong to pkcs11.")
        return Unlock(way)
    if module is None or not token:
        raise click.UsageError("pkcs11 needs --pkcs11-module FILE and --pkcs11-token LABEL.")
    source = pin_from or ("file" if pin_file else "prompt")
    if (source == "file") != (pin_file is not None):
        raise click.UsageError("--pin-from file and --pin-file FILE belong together.")
    return Unlock(
        way,
        token=TokenSettings(module.absolute(), token, source, pin_file.absolute() if pin_file else None),
    )


class _Way(click.Choice[str]):
    """The ways that the command can move to; the one that it cannot is explained."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "credential":
            self.fail(
                "a systemd credential is set up by hand: seal ca.pass with systemd-creds, then write "
                'unlock = "credential" under [authorities] in bollard.toml (docs/IDENTITY.md has the commands). '
                "From another way, move to file first.",
                param,
                ctx,
            )
        return super().convert(value, param, ctx)


@click.command()
@click.argument("way", type=_Way(WAYS))
@token_options
@target_options
@json_option
def command(
    way: str,
    module: Path | None,
    token: str | None,
    pin_from: str | None,
    pin_file: Path | None,
    directory: Path | None,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Choose what opens the keys of the authorities from now on; the broker must be stopped.

    file is a passphrase in ca.pass; prompt asks you at each start, and given again sets another passphrase; pkcs11
    puts the keys into a token, which they never leave again. The configuration is edited to say so, and what
    opened the keys before is wiped. A systemd credential is set up by hand (docs/IDENTITY.md).

    \b
    Example:  bollard authority unlock prompt
              bollard authority unlock pkcs11 --pkcs11-module /usr/lib/softhsm/libsofthsm2.so \\
                  --pkcs11-token bollard --pin-file /etc/bollard/pin
    """
    from bollard.server.identities import say_on_stderr
    from bollard.server.unlock_operations import move

    before: dict[str, Any] = click.get_current_context().obj or {}
    if directory is None and config_file is None:
        directory, config_file = before.get("directory"), before.get("config_file")
    config = find_config(directory, config_file)
    given = module or token or pin_from or pin_file
    # Without options, what the configuration says: to finish, or to set another passphrase.
    to = (
        config.unlock
        if config.unlock.way == way and not given
        else unlock_of(way, module, token, pin_from, pin_file)
    )
    moved = move(config, to, say_on_stderr)
    if as_json or before.get("as_json"):
        say_json({"unlock": moved.way, "moved": list(moved.keys), "config": str(config.file)})
        return
    click.echo(_SAID[moved.way])
    if moved.keys:
        click.echo(
            f"Now in the token: {', '.join(moved.keys)}. Keep the backup that the token's maker describes."
        )
    click.echo("Older backups of the state directory still hold what opened the keys before: destroy those.")
    if moved.keep_away is not None:
        click.echo(f"{moved.keep_away} opens older copies of the keys: destroy it too.")


_SAID = {
    "file": "ca.pass in the state directory opens the keys.",
    "prompt": "Your passphrase opens the keys: each start asks for it. Nobody can tell it to you again.",
    "pkcs11": "The token has the keys: each start needs its PIN.",
}

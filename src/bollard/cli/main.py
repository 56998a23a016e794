"""The command `bollard`: finds the sub-command, loads only that, and turns errors into exit codes.

0 fine, 1 found or failed, 2 usage or could not run, 130 interrupted. What a sub-command does is in the
file of its name, which exposes `command`.
"""

import errno
import importlib
import os
import sys

import click

from bollard.base.errors import BollardError, LocalError
from bollard.cli.group import Group
from bollard.cli.proposal import pointed

#: Name, module and the line of help: shown without loading the module, so that `bollard` starts fast.
COMMANDS = {
    "up": ("bollard.cli.up", "Set up on the first run, then run the broker."),
    "serve": ("bollard.cli.serve", "Run the broker from a configuration file."),
    "check": ("bollard.cli.check", "Check configuration and policy without starting."),
    "enroll": ("bollard.cli.enroll", "Give a device or application its identity."),
    "join": ("bollard.cli.join", "On a device: get a certificate with an enrollment string; renew it."),
    "factory": ("bollard.cli.factory", "Labels and manifests of devices made before their owner is known."),
    "devices": ("bollard.cli.devices", "List, show, revoke, suspend, resume, rotate identities."),
    "authority": ("bollard.cli.authority", "The certificate authorities: show, rotate, export."),
    "status": ("bollard.cli.status", "How the running broker is, and who is connected."),
    "log": ("bollard.cli.log", "What changed and what was denied; whether that record is whole."),
    "learn": ("bollard.cli.learn", "Rules from what devices really do."),
    "policy": ("bollard.cli.policy", "Check, test, diff and show access rules."),
    "why": ("bollard.cli.why", "Why an identity may, or may not, do something."),
    "grant": ("bollard.cli.grant", "Give rights for a while, or take them back."),
    "store": ("bollard.cli.store", "Check, back up and restore kept sessions."),
    "doctor": ("bollard.cli.doctor", "Judge this installation by the same checks."),
    "scan": ("bollard.cli.scan", "Assess a broker from outside."),
    "scope": ("bollard.cli.scope", "Signed permission to assess: make a key, sign, verify."),
    "audit": ("bollard.cli.audit", "Assess the configuration of a broker, also of other makes."),
    "sniff": ("bollard.cli.sniff", "Assess recorded traffic (pcap, pcapng)."),
    "import": ("bollard.cli.import_config", "Turn a Mosquitto configuration into Bollard's."),
    "trap": ("bollard.cli.trap", "Assess a device: does it check who it talks to?"),
    "report": ("bollard.cli.report", "Render assessments and compare them."),
    "pub": ("bollard.cli.pub", "Publish messages to a broker."),
    "sub": ("bollard.cli.sub", "Subscribe to a broker and print what comes."),
}

INTERRUPTED = 130


class LazyGroup(Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. What its errors propose means the installation that it was about."""
        try:
            return super().invoke(ctx)
        except LocalError as error:
            error.message, error.remedy = pointed(error.message), pointed(error.remedy)
            raise
        except click.ClickException as error:
            error.message = pointed(error.message)  # type: ignore[misc]  # click has no other way to complete it
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, help) in COMMANDS.items()])


def _show_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        from bollard.server.build import version_line

        click.echo(version_line())
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Version and variant.",
)
def command() -> None:
    """An MQTT broker that is safe on first run.

    \b
    Begin:    bollard up
    Then:     bollard enroll plug --password
    """


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code. `arguments` None means those of the process."""
    try:
        result = command.main(arguments, prog_name="bollard", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return 2
    except click.Abort:
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BollardError as error:
        click.echo(f"bollard: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain when it flushes at exit.
        _discard_output()
        return 1
    except PermissionError as error:
        click.echo(f"bollard: no right to use {error.filename or 'a file that is needed'}", err=True)
        click.echo("  Run it as the user that the broker runs as, or name another directory.", err=True)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"bollard: {where}{error.strerror or error}", err=True)
        if error.errno == errno.ENOSPC:
            _discard_output()
        return 1


def _discard_output() -> None:
    """Let what Python still holds go nowhere: it would fail again, and loudly, at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

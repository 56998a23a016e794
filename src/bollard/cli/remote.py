"""The options that `pub` and `sub` share: which server, whom to trust, who we are. Secrets come from files,
standard input or the environment, never from an argument, which every user of the machine can read.
"""

import contextlib
import os
import shlex
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bollard.base.documents import load_json
from bollard.base.errors import ConfigError, LocalError
from bollard.base.types import Secret
from bollard.cli.output import visible
from bollard.cli.values import Port

if TYPE_CHECKING:
    from bollard.client import Client, Scram
    from bollard.wire.connect import Will

Command = Callable[..., Any]

PASSWORD_VARIABLE = "BOLLARD_PASSWORD"  # noqa: S105  # the name of a variable, not a password
#: The reason codes of a refusal by policy: 5.0, and of a subscription in 3.1.1.
NOT_AUTHORIZED, FAILURE = 0x87, 0x80
WRONG_PASSWORD = 0x86
#: Refusals of which the broker knows more than it tells the client: client id, credential, rights, method, too often.
EXPLAINED = frozenset({FAILURE, 0x85, WRONG_PASSWORD, NOT_AUTHORIZED, 0x8C, 0x9F})
#: The same for a limit.
QUOTA_EXCEEDED = 0x97
_SAY_WHO = "Say who you are: --settings FILE; or --username with --password-file; or --cert and --key."
_PORTS = "--allow-plaintext is for a port without TLS, mostly 1883. If this is a port with TLS, mostly 8883, leave it out."
#: Keys of a settings file, as `bollard enroll --json` prints them.
SETTINGS_TYPES: dict[str, type] = {
    "id": str,
    "client_id": str,
    "host": str,
    "port": int,
    "username": str,
    "password": str,
    "ca_file": str,
    "cert_file": str,
    "key_file": str,
}
MAX_SETTINGS_CHARS = 64 * 1024
_FILE = click.Path(path_type=Path, dir_okay=False)

_OPTIONS = (
    click.option(
        "--settings",
        "settings_file",
        type=_FILE,
        help="The JSON that `bollard enroll` wrote with --out, or printed with --json.",
    ),
    click.option("-h", "--host", help="Host name or address of the server. [default: localhost]"),
    click.option("-p", "--port", type=Port(), help="TCP port. [default: 8883]"),
    click.option("--unix", "unix_socket", type=_FILE, help="Connect to this Unix socket instead."),
    click.option("--websocket", is_flag=True, help="Use MQTT over WebSocket. [port: 443]"),
    click.option("--websocket-path", default="/mqtt", show_default=True, help="Path of the WebSocket."),
    click.option("--ca-file", type=_FILE, help="Trust only servers under this root certificate (PEM)."),
    click.option("--pin", default="", help="SHA-256 of the server's root certificate, in hex."),
    click.option("--server-name", default="", help="The name that the server's certificate must have."),
    click.option("-u", "--username", help="User name."),
    click.option("--password-file", type=_FILE, help="File whose first line is the password."),
    click.option("--password-stdin", is_flag=True, help="Read the password from the first line of input."),
    click.option("--scram", is_flag=True, help="Prove the password by SCRAM instead of sending it (5)."),
    click.option("--cert", "cert_file", type=_FILE, help="Our certificate with its chain (PEM)."),
    click.option("--key", "key_file", type=_FILE, help="The key of our certificate (PEM)."),
    click.option("-i", "--client-id", help="Client id, by which the server knows a session."),
    click.option(
        "--version", type=click.Choice(["3.1.1", "5"]), default="5", show_default=True, help="MQTT version."
    ),
    click.option(
        "--keepalive", type=click.IntRange(0, 65_535), default=60, show_default=True, help="Seconds."
    ),
    click.option(
        "--connect-timeout", type=click.FloatRange(0.1), default=10.0, show_default=True, help="Seconds."
    ),
    click.option("--will-topic", help="Topic of the message that the server sends if we vanish."),
    click.option("--will-message", default="", help="Its payload."),
    click.option("--will-qos", type=click.IntRange(0, 2), default=0, show_default=True, help="Its QoS."),
    click.option("--will-retain", is_flag=True, help="The server keeps it for later subscribers."),
    click.option("--will-delay", type=click.IntRange(0), help="Seconds that the server waits with it (5)."),
    click.option(
        "--allow-plaintext", is_flag=True, help="No TLS: everyone on the way can read and change it."
    ),
    click.option(
        "--allow-plaintext-password", is_flag=True, help="Send the password even without protection."
    ),
    click.option("--allow-any-server", is_flag=True, help="Do not check who answers."),
)


def remote_options(function: Command) -> Command:
    """Add the shared options to a command; their values arrive as keywords for `client_arguments`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def client_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """The keywords of `bollard.client.Client` that the shared options mean.

    An option wins over the settings file; a password over one of lower rank: file or input, settings,
    environment.
    """
    settings = read_settings(options["settings_file"]) if options["settings_file"] else {}
    if options["unix_socket"] and (options["host"] or options["port"]):
        raise click.UsageError("--unix takes the place of --host and --port.")
    host = "" if options["unix_socket"] else options["host"] or settings.get("host") or "localhost"
    username = options["username"] or settings.get("username")
    password = _password(options, settings, username)
    scram = _scram(username, password) if options["scram"] else None
    own_certificate = options["cert_file"] is not None
    return {
        "host": host,
        "port": options["port"] or (0 if options["websocket"] else settings.get("port", 0)),
        "unix_socket": str(options["unix_socket"] or ""),
        "websocket": options["websocket"],
        "websocket_path": options["websocket_path"],
        "ca_file": options["ca_file"] or (None if options["allow_any_server"] else settings.get("ca_file")),
        "pin": options["pin"],
        "server_name": options["server_name"],
        "cert_file": options["cert_file"] or settings.get("cert_file"),
        "key_file": options["key_file"]
        if own_certificate
        else options["key_file"] or settings.get("key_file"),
        "username": None if scram else username,
        "password": None if scram else password,
        "authentication": scram,
        "client_id": options["client_id"] or settings.get("client_id", ""),
        "version": 4 if options["version"] == "3.1.1" else 5,
        "keepalive_s": options["keepalive"],
        "connect_timeout_s": options["connect_timeout"],
        "will": _will(options),
        "allow_plaintext": options["allow_plaintext"],
        "allow_plaintext_password": options["allow_plaintext_password"],
        "allow_any_server": options["allow_any_server"],
    }


def read_settings(path: Path) -> dict[str, Any]:
    """A settings file, checked. Raises `ConfigError`; no error repeats a value, which may be the password."""
    try:
        with path.open(encoding="utf-8") as file:
            document = load_json(file.read(MAX_SETTINGS_CHARS + 1), MAX_SETTINGS_CHARS)
    except OSError as error:
        raise LocalError(
            f"cannot read {path}: {error.strerror}", "Check the path and its permissions."
        ) from error
    except ValueError as error:
        line = getattr(error, "lineno", 0)
        raise ConfigError(
            "not JSON", path, line, "Expected is what `bollard enroll --json` printed."
        ) from None
    if not isinstance(document, dict):
        raise ConfigError("not one JSON object", path, 1, "Expected is what `bollard enroll --json` printed.")
    for key, value in document.items():
        expected = SETTINGS_TYPES.get(key)
        if expected is None:
            raise ConfigError(f"unknown key {key!r}", path, 0, f"Known are {', '.join(SETTINGS_TYPES)}.")
        if type(value) is not expected:
            kind = "a number" if expected is int else "a string"
            raise ConfigError(f"{key!r} must be {kind}", path)
    return document


@contextlib.contextmanager
def explain_refusals(options: dict[str, Any], action: str) -> Iterator[None]:
    """Let a refusal by policy, of `action` or of the connection, name the command that explains it."""
    from bollard.client import ConnectRefused, PublishRefused, SubscribeRefused

    try:
        yield
    except (ConnectRefused, PublishRefused, SubscribeRefused) as error:
        words = ["bollard", "why", _identity(options)]
        if isinstance(error, PublishRefused):
            words += [action, error.topic]
        elif isinstance(error, SubscribeRefused):
            words += [action, next(name for name, code in error.codes.items() if code >= FAILURE)]
        commands = [shlex.join(words)]
        if isinstance(error, PublishRefused) and options.get("response_topic"):
            # The server passes on only Response Topics on which we may receive ourselves.
            commands.append(shlex.join([*words[:3], "receive", options["response_topic"]]))
        if isinstance(error, ConnectRefused) and not _says_who(options):
            error.remedy = _SAY_WHO
        elif error.code in EXPLAINED:
            if error.code == WRONG_PASSWORD:
                commands += _new_settings(options)
            lines = [error.remedy, *(f"Where the broker runs: {visible(command)}" for command in commands)]
            error.remedy = "\n  ".join(filter(None, lines))
        elif error.code == QUOTA_EXCEEDED:
            error.remedy = _which_limit(_identity(options))
        raise


def _new_settings(options: dict[str, Any]) -> list[str]:
    """The command that gives a new password and writes the settings file in use anew, if `enroll` wrote it."""
    path, identity = options["settings_file"], _identity(options)
    if path is None or options["username"] or path.name != f"{identity}.json":
        return []
    return [shlex.join(["bollard", "devices", "rotate", identity, "--out", str(path.absolute().parent)])]


def _says_who(options: dict[str, Any]) -> bool:
    return any(options[name] for name in ("settings_file", "username", "cert_file"))


def _which_limit(identity: str) -> str:
    """What to do about a limit, of the server for all or of its policy for `identity`."""
    who = visible(shlex.quote(identity))
    lines = (
        "A limit of the server, or of its policy for this identity, was reached.",
        f"Where the broker runs: bollard why {who}; bollard policy show {who}",
        f"The identity itself is told at that moment: bollard sub -t '$diag/{visible(identity)}/denied'",
    )
    return "\n  ".join(lines)


@contextlib.asynccontextmanager
async def open_client(arguments: dict[str, Any], options: dict[str, Any]) -> "AsyncIterator[Client]":
    """The client of these arguments, connected. A server that ends a connection without TLS before it begins
    may have expected TLS: the error says so."""
    from bollard.client import Client, ConnectFailed, ConnectionLost

    async with contextlib.AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(Client(**arguments))
        except (ConnectFailed, ConnectionLost) as error:
            if options["allow_plaintext"]:
                error.remedy = f"{error.remedy}\n  {_PORTS}".strip()
            raise
        yield client


def _identity(options: dict[str, Any]) -> str:
    """Who we are to the broker, as far as the options tell."""
    settings = read_settings(options["settings_file"]) if options["settings_file"] else {}
    return str(options["username"] or settings.get("id") or settings.get("username") or "ID")


def notice_of_reconnect(cause: Exception, delay_s: float) -> None:
    """Tell the user, beside the output, that the client tries again."""
    text = visible(str(getattr(cause, "message", cause)))
    click.echo(f"{text}; trying again in {delay_s:.0f} s", err=True)


def _password(options: dict[str, Any], settings: dict[str, Any], username: str | None) -> Secret | None:
    if options["password_file"] is not None and options["password_stdin"]:
        raise click.UsageError("--password-file and --password-stdin exclude each other.")
    if options["password_file"] is not None:
        return Secret(_first_line(options["password_file"]))
    if options["password_stdin"]:
        return Secret(sys.stdin.buffer.readline().rstrip(b"\r\n"))
    if username is not None and username == settings.get("username") and "password" in settings:
        return Secret(settings["password"].encode())
    password = os.environ.get(PASSWORD_VARIABLE)
    return Secret(os.fsencode(password)) if password and username is not None else None


def _scram(username: str | None, password: Secret | None) -> "Scram":
    from bollard.client import Scram

    if username is None or password is None:
        raise click.UsageError("--scram needs a user name and a password.")
    return Scram(username, password)


def _first_line(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.readline(65_538).rstrip(b"\r\n")
    except OSError as error:
        raise LocalError(
            f"cannot read {path}: {error.strerror}", "Check the path and its permissions."
        ) from error


def _will(options: dict[str, Any]) -> "Will | None":
    from bollard.wire.connect import Will
    from bollard.wire.properties import Properties

    if options["will_topic"] is None:
        if options["will_message"] or options["will_retain"] or options["will_delay"] or options["will_qos"]:
            raise click.UsageError("The --will options need --will-topic.")
        return None
    return Will(
        options["will_topic"],
        os.fsencode(options["will_message"]),
        options["will_qos"],
        options["will_retain"],
        Properties(will_delay_interval=options["will_delay"]),
    )

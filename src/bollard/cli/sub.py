"""`bollard sub`: subscribe, and print messages as they come."""

import asyncio
import base64
import sys
from typing import TYPE_CHECKING, Any

import click

from bollard.cli.interruption import run_until_terminated
from bollard.cli.output import say_json, visible
from bollard.cli.remote import (
    client_arguments,
    explain_refusals,
    notice_of_reconnect,
    open_client,
    remote_options,
)

if TYPE_CHECKING:
    from bollard.client import Client, Message, Properties

KEPT_SESSION_S = 86_400


@click.command()
@remote_options
@click.option(
    "-t",
    "--topic",
    "filters",
    multiple=True,
    required=True,
    metavar="FILTER",
    help="Topic filter; repeatable.",
)
@click.option(
    "-q", "--qos", type=click.IntRange(0, 2), default=0, show_default=True, help="Highest QoS wanted."
)
@click.option("-C", "--count", type=click.IntRange(1), help="End after so many messages.")
@click.option("-W", "--timeout", type=click.FloatRange(0.0), help="End after so many seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each message.")
@click.option("--quiet", is_flag=True, help="Say nothing on standard error but errors.")
@click.option("--raw", is_flag=True, help="Print the payload only, unchanged, and a line end.")
@click.option("--no-local", is_flag=True, help="Not what this client itself publishes (5).")
@click.option("--retain-as-published", is_flag=True, help="Keep the retain flag as the publisher set it (5).")
@click.option(
    "--retain-handling",
    type=click.IntRange(0, 2),
    default=0,
    show_default=True,
    help="Retained messages: 0 send, 1 only if the subscription is new, 2 none (5).",
)
@click.option("--share", metavar="GROUP", help="Share the messages with the others of this group.")
@click.option(
    "--clean/--no-clean",
    default=True,
    show_default=True,
    help="Begin with a new session, or resume and keep one.",
)
@click.option(
    "--session-expiry",
    type=click.IntRange(0, 0xFFFF_FFFF),
    help="Seconds to keep the session after the end (5).  [default: 0; with --no-clean 86400, a day]",
)
@click.option(
    "--reconnect/--no-reconnect", default=True, show_default=True, help="Connect again after a loss."
)
@click.option(
    "--reconnect-max",
    type=click.FloatRange(1.0),
    default=60.0,
    show_default=True,
    help="Longest wait, seconds.",
)
def command(**options: Any) -> int:
    """Subscribe to topics of an MQTT broker and print what comes.

    The session is new and ends with the command, unless you say --no-clean: then one is resumed, if the server
    still has it, and what comes while nobody is connected waits in it. It belongs to the client id: that of
    --client-id, else of --settings, else one that the server makes up for this run.

    Ends with 0 when --count messages came or --timeout has passed without --count; with 1 when it passed before
    they came, or the connection ended for good. SIGTERM ends it like --timeout, Ctrl-C with 130; either way the
    server is told goodbye, so that no will is sent.

    \b
    Example:  bollard sub --settings plug.json -t 'devices/plug/#'
    Example:  bollard sub -h broker.local --ca-file server-root.crt -u app -t 'devices/#' --json
    """
    if options["as_json"] and options["raw"]:
        raise click.UsageError("--json and --raw exclude each other.")
    arguments = client_arguments(options)
    if not options["clean"] and not arguments["client_id"]:
        raise click.UsageError("--no-clean needs --client-id: the server finds the session by it.")
    arguments |= {
        "clean_start": options["clean"],
        "session_expiry_s": _session_expiry_s(options),
        "reconnect": options["reconnect"],
        "reconnect_max_s": options["reconnect_max"],
        "on_reconnect": notice_of_reconnect,
    }
    with explain_refusals(options, "subscribe"):
        return run_until_terminated(_run(arguments, options), lambda: 1 if options["count"] else 0)


def _session_expiry_s(options: dict[str, Any]) -> int | None:
    """What was asked; a day for a session that is to be kept, because 5.0 would end it with the connection."""
    kept = not options["clean"] and options["version"] == "5" and options["session_expiry"] is None
    return KEPT_SESSION_S if kept else options["session_expiry"]


async def _run(arguments: dict[str, Any], options: dict[str, Any]) -> int:
    async with open_client(arguments, options) as client:
        try:
            async with asyncio.timeout(options["timeout"]):
                await _subscribe(client, options, _place(arguments))
                await _print_messages(client, options)
        except TimeoutError:
            return 1 if options["count"] else 0
    return 0


async def _subscribe(client: "Client", options: dict[str, Any], place: str) -> None:
    share = options["share"]
    filters = [f"$share/{share}/{each}" if share else each for each in options["filters"]]
    granted = await client.subscribe(
        *filters,
        qos=options["qos"],
        no_local=options["no_local"],
        retain_as_published=options["retain_as_published"],
        retain_handling=options["retain_handling"],
    )
    if min(granted) < options["qos"]:
        click.echo(f"the server grants QoS {min(granted)} only", err=True)
    if not options["quiet"]:
        click.echo(f"connected to {place}, subscribed to {visible(', '.join(filters))}", err=True)


def _place(arguments: dict[str, Any]) -> str:
    """The server that the arguments mean, as the user named it."""
    if arguments["unix_socket"]:
        return visible(arguments["unix_socket"])
    port = f":{arguments['port']}" if arguments["port"] else ""
    return visible(f"{arguments['host']}{port}")


async def _print_messages(client: "Client", options: dict[str, Any]) -> None:
    seen = 0
    async for message in client.messages:
        show(message, as_json=options["as_json"], raw=options["raw"])
        seen += 1
        if seen == options["count"]:
            return


def show(message: "Message", *, as_json: bool = False, raw: bool = False) -> None:
    """Print one message. Control characters reach a terminal only as escapes; --raw to a file is unchanged."""
    if as_json:
        say_json(as_record(message))
    elif raw and not _is_terminal():
        click.echo(message.payload)
    elif raw:
        click.echo(visible(message.payload.decode("utf-8", "backslashreplace")))
    else:
        payload = message.payload.decode("utf-8", "backslashreplace")
        click.echo(f"{visible(message.topic)} {visible(payload)}")


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def as_record(message: "Message") -> dict[str, object]:
    """A message for scripts: `payload` as text, or, where it is none, `payload_base64`."""
    record: dict[str, object] = {"topic": message.topic}
    try:
        record["payload"] = message.payload.decode()
    except UnicodeDecodeError:
        record["payload_base64"] = base64.b64encode(message.payload).decode()
    record |= {"qos": message.qos, "retain": message.retain, "duplicate": message.duplicate}
    properties = _properties(message.properties)
    if properties:
        record["properties"] = properties
    return record


def _properties(properties: "Properties") -> dict[str, object]:
    """The properties of a message that are there, by their names; bytes as base64."""
    names = ("payload_format_indicator", "message_expiry_interval", "content_type", "response_topic")
    record: dict[str, object] = {
        name: value for name in names if (value := getattr(properties, name)) is not None
    }
    if properties.correlation_data is not None:
        record["correlation_data_base64"] = base64.b64encode(properties.correlation_data).decode()
    if properties.subscription_identifiers:
        record["subscription_identifiers"] = list(properties.subscription_identifiers)
    if properties.user_properties:
        record["user_properties"] = [list(pair) for pair in properties.user_properties]
    return record

"""`bollard pub`: publish one message, or one for each line of input."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bollard.base.errors import LocalError
from bollard.cli.interruption import run_until_terminated
from bollard.cli.output import say_json
from bollard.cli.remote import (
    client_arguments,
    explain_refusals,
    notice_of_reconnect,
    open_client,
    remote_options,
)

if TYPE_CHECKING:
    from bollard.client import Client, Properties

#: A line of input that becomes one message (attack, or accident: input without line ends).
MAX_LINE_BYTES = 16_777_216
STDIN = 0

_TEXT, _NUMBER, _BYTES = "text", "number", "bytes"
#: The properties that a message can be given, as the specification names them.
PROPERTIES = {
    "payload-format-indicator": _NUMBER,
    "message-expiry-interval": _NUMBER,
    "content-type": _TEXT,
    "response-topic": _TEXT,
    "correlation-data": _BYTES,
}


@click.command()
@remote_options
@click.option("-t", "--topic", required=True, help="Topic to publish to.")
@click.option("-m", "--message", help="The payload, as text.")
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), help="The payload is this file.")
@click.option("--stdin-lines", is_flag=True, help="Each line of input is one message.")
@click.option("--empty", is_flag=True, help="No payload: with --retain it removes the retained message.")
@click.option(
    "-q", "--qos", type=click.IntRange(0, 2), default=0, show_default=True, help="Quality of service."
)
@click.option("-r", "--retain", is_flag=True, help="The server keeps the message for later subscribers.")
@click.option(
    "--expiry", type=click.IntRange(0, 0xFFFF_FFFF), help="Seconds until it is no longer delivered (5)."
)
@click.option("--content-type", help="What the payload is, such as application/json (5).")
@click.option("--response-topic", help="Where an answer is expected (5).")
@click.option("--correlation-data", help="What an answer has to repeat (5).")
@click.option(
    "--property", "named", multiple=True, metavar="NAME=VALUE", help="Any of the above by its name."
)
@click.option(
    "--user-property", "user", multiple=True, metavar="KEY=VALUE", help="Repeatable, keeps order (5)."
)
@click.option("--reconnect", is_flag=True, help="Connect again when the connection is lost.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each message.")
def command(**options: Any) -> int:
    """Publish to an MQTT broker.

    The session is new and ends with the command. The server makes up a client id for it, unless you give
    --client-id; that of a settings file is not used here, so that `pub` does not push out a running `sub`.

    Ends with 0 when everything is published, from --qos 1 on when the server has it too. SIGTERM ends it with 0
    while --stdin-lines waits for a line, else with 1; Ctrl-C with 130. The server is told goodbye.

    \b
    Example:  bollard pub --settings plug.json -t devices/plug/state -m on --qos 1
    Example:  tail -f log | bollard pub --settings plug.json -t devices/plug/log --stdin-lines
    """
    sources = [
        options["message"] is not None,
        options["file"] is not None,
        options["stdin_lines"],
        options["empty"],
    ]
    if sum(sources) != 1:
        raise click.UsageError("Give the payload by one of --message, --file, --stdin-lines and --empty.")
    if options["stdin_lines"] and options["password_stdin"]:
        raise click.UsageError("--stdin-lines and --password-stdin cannot both read the input.")
    properties = message_properties(options)
    arguments = client_arguments(options)
    arguments["client_id"] = options["client_id"] or ""
    with explain_refusals(options, "retain" if options["retain"] else "publish"):
        outbox = _Outbox()
        return run_until_terminated(
            _publish(arguments, options, properties, outbox), lambda: 0 if outbox.idle else 1
        )


@dataclass(slots=True)
class _Outbox:
    """Whether anything is left to publish.

    `reading` while the thread that reads waits for more input, `given` the lines that came from it, `sent` those
    that are published. Each is written by one thread alone.
    """

    reading: bool = False
    given: int = 0
    sent: int = 0

    @property
    def idle(self) -> bool:
        """Everything that came is published, and the next line is waited for."""
        return self.reading and self.given == self.sent


def message_properties(options: dict[str, Any]) -> "Properties | None":
    """The properties that the options give a message, None if none. Raises `UsageError`."""
    from bollard.client import Properties

    values = dict(_split(text, "--property") for text in options["named"])
    short = {
        "message-expiry-interval": options["expiry"],
        "content-type": options["content_type"],
        "response-topic": options["response_topic"],
        "correlation-data": options["correlation_data"],
    }
    values |= {name: str(value) for name, value in short.items() if value is not None}
    user = tuple(_split(text, "--user-property") for text in options["user"])
    if not values and not user:
        return None
    properties = Properties(user_properties=user)
    for name, text in values.items():
        setattr(properties, name.replace("-", "_"), _value(name, text))
    return properties


def _split(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"{option} wants NAME=VALUE, not {text!r}.")
    return name, value


def _value(name: str, text: str) -> object:
    kind = PROPERTIES.get(name)
    if kind is None:
        raise click.UsageError(f"--property {name} is unknown. Known are {', '.join(PROPERTIES)}.")
    if kind == _BYTES:
        return text.encode()
    if kind == _TEXT:
        return text
    if not text.isascii() or not text.isdigit():
        raise click.UsageError(f"--property {name} wants a number, not {text!r}.")
    return int(text)


async def _publish(
    arguments: dict[str, Any], options: dict[str, Any], properties: "Properties | None", outbox: _Outbox
) -> int:
    payload = None if options["stdin_lines"] else _payload(options)
    arguments |= {"reconnect": options["reconnect"], "on_reconnect": notice_of_reconnect}
    async with open_client(arguments, options) as client:
        if payload is not None:
            await _one(client, payload, options, properties)
            return 0
        async for line in _lines(STDIN, outbox):
            await _one(client, line, options, properties)
            outbox.sent += 1
    return 0


async def _one(
    client: "Client", payload: bytes, options: dict[str, Any], properties: "Properties | None"
) -> None:
    topic, qos, retain = options["topic"], options["qos"], options["retain"]
    code = await client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
    if options["as_json"]:
        say_json({"topic": topic, "bytes": len(payload), "qos": qos, "retain": retain, "reason_code": code})


def _payload(options: dict[str, Any]) -> bytes:
    if options["file"] is None:
        # Bytes that are no UTF-8 come through the argument as they were typed.
        return os.fsencode(options["message"] or "")
    path: Path = options["file"]
    try:
        return path.read_bytes()
    except OSError as error:
        raise LocalError(
            f"cannot read {path}: {error.strerror}", "Check the path and its permissions."
        ) from error


async def _lines(descriptor: int, outbox: _Outbox) -> AsyncIterator[bytes]:
    """Lines from a file descriptor, without their ends, read no faster than they are taken.

    A thread of its own reads: regular files cannot be polled, and a daemon thread does not keep Ctrl-C waiting.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=64)

    def put(line: bytes | None) -> None:
        outbox.given += line is not None
        placing = queue.put(line)
        try:
            future = asyncio.run_coroutine_threadsafe(placing, loop)
        except RuntimeError:  # the event loop has ended before the input has
            placing.close()
            raise CancelledError from None
        future.result()

    def read() -> bytes:
        outbox.reading = True
        data = os.read(descriptor, 65_536)
        outbox.reading = False
        return data

    threading.Thread(target=_read_lines, args=(read, put), daemon=True).start()
    while (line := await queue.get()) is not None:
        if len(line) > MAX_LINE_BYTES:
            raise LocalError(f"a line of input is longer than {MAX_LINE_BYTES} bytes", "Use --file instead.")
        yield line


def _read_lines(read: Callable[[], bytes], put: Callable[[bytes | None], None]) -> None:
    # Not through sys.stdin: its lock, held by a waiting daemon thread, would crash the end of the process.
    rest = b""
    with suppress(CancelledError):  # nobody takes lines any more
        while len(rest) <= MAX_LINE_BYTES and (data := read()):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                put(line.removesuffix(b"\r"))
        if rest:
            put(rest)
        put(None)

"""The first commands of docs/IDENTITY.md, run as they stand there: at their end a message arrives over mutual TLS.

Only what must differ on a test machine is changed: where the broker listens and keeps its state, and the
enrollment string, which is another one each time.
"""

import asyncio
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

import bollard as package
from bollard.client import Client, Message
from cli.daemon import COMMAND, Daemon

DOCUMENT = Path(__file__).parents[2] / "docs" / "IDENTITY.md"
HEADING = "## From nothing to a device connected with mutual TLS in three commands\n"
FREE = ("--host", "127.0.0.1", "--port", "0")


def transcripts() -> list[list[list[str]]]:
    """The commands of the section, as words; each transcript begins with `bollard up`."""
    section = DOCUMENT.read_text("utf-8").split(HEADING)[1].split("\n## ")[0]
    found: list[list[list[str]]] = []
    for line in re.findall(r"^\$ (bollard .*)$", section, re.MULTILINE):
        words = shlex.split(line)[1:]
        if words[0] == "up":
            found.append([])
        found[-1].append(words)
    return found


class Terminal:
    """Runs commands in one folder, about the broker there."""

    def __init__(self, folder: Path, broker: Daemon) -> None:
        self._folder = folder
        source = str(Path(package.__file__).parents[1])
        self._environment = {**os.environ, "BOLLARD_DIR": str(broker.directory), "PYTHONPATH": source}
        self._string = ""

    def run(self, words: list[str]) -> None:
        words = [self._string if word.startswith("BOL1:") else word for word in words]
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr)
        shown = re.search(r"bollard join '(BOL1:\S+)'", done.stdout)
        self._string = shown[1] if shown else self._string


async def hears(application: dict[str, str], terminal: Terminal, words: list[str]) -> Message:
    """What an application receives when the command `words` runs."""
    client = Client(
        application["host"],
        int(application["port"]),
        ca_file=application["ca_file"],
        cert_file=application["cert_file"],
        key_file=application["key_file"],
    )
    async with client, asyncio.timeout(40):
        await client.subscribe("devices/#", qos=1)
        await asyncio.to_thread(terminal.run, words)
        return await anext(aiter(client.messages))


@pytest.mark.parametrize(
    "commands", transcripts(), ids=lambda commands: "+".join(each[0] for each in commands)
)
def test_a_transcript_of_the_document_ends_with_a_message_over_mutual_tls(
    commands: list[list[str]], tmp_path: Path
) -> None:
    up, *others, last = commands
    with Daemon(tmp_path / "state", arguments=(*up[1:], *FREE)) as broker:
        terminal = Terminal(tmp_path, broker)
        application = broker.json("enroll", "board", "--as", "app", "--certificate", "--out", tmp_path / "b")
        for words in others:
            terminal.run(words)
        message = asyncio.run(hears(application, terminal, last))
        assert (message.topic, message.payload) == ("devices/plug/state", b"on")
        device = broker.json("devices", "show", "plug")
        assert device["password"] is False
        assert [each["state"] for each in device["certificates"]] == ["active"]
        assert broker.json("status")["listeners"] == [f"tls 127.0.0.1:{broker.port}"]


def test_the_document_has_both_ways_in_as_few_commands_as_it_says() -> None:
    made_here, made_there = transcripts()
    assert [words[0] for words in made_here] == ["up", "enroll", "pub"]
    assert [words[0] for words in made_there] == ["up", "enroll", "join", "pub"]

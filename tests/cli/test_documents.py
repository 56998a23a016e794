"""The commands that the documents show exist, with the options that they show."""

import re
import shlex
from pathlib import Path

import click
import pytest

from bollard.cli.main import command

DOCS = Path(__file__).parents[2] / "docs"
SHOWN = [
    (document.name, line)
    for document in (DOCS / "REVOCATION.md",)
    for block in re.findall(r"```sh\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
    for line in block.splitlines()
    if line.startswith("bollard ")
]


@pytest.mark.parametrize(("document", "line"), SHOWN, ids=[line for _, line in SHOWN])
def test_a_command_that_a_document_shows_can_be_parsed(document: str, line: str) -> None:
    words = shlex.split(line)[1:]
    current: click.Command = command
    context = click.Context(command, info_name="bollard")
    while isinstance(current, click.Group) and words and not words[0].startswith("-"):
        found = current.get_command(context, words[0])
        assert found is not None, f"{document}: {line}"
        current = found
        context = click.Context(found, info_name=words.pop(0), parent=context)
    if not isinstance(current, click.Group):
        current.parse_args(context, words)

"""What docs/IDENTITY.md tells people to type exists."""

import re
from functools import cache
from pathlib import Path

import pytest

from cli.daemon import bollard

TEXT = (Path(__file__).parents[2] / "docs" / "IDENTITY.md").read_text()
COMMANDS = sorted(set(re.findall(r"^\$ (bollard .*)$", TEXT, re.MULTILINE)))


@cache
def help_of(*words: str) -> str:
    done = bollard(*words, "--help")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_document_has_the_options_that_it_uses(line: str) -> None:
    words = line.split()[1:]
    named = words[:2] if words[0] == "devices" and len(words) > 1 else words[:1]
    shown = help_of(*named)
    options = [word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)]
    assert [option for option in options if not re.search(rf"{option}\b", shown)] == []

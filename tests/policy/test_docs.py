"""docs/POLICY.md: every example in it is right, and it tells of everything there is."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bollard.base.toml import Document
from bollard.policy.cases import read_cases, run
from bollard.policy.compile import Policy
from bollard.policy.default import DEFAULT_POLICY
from bollard.policy.lint import CODES
from bollard.policy.model import RIGHTS
from bollard.policy.presets import PRESETS
from bollard.policy.rules import read_rules

FILE = Path(__file__).parents[2] / "docs" / "POLICY.md"
TEXT = FILE.read_text("utf-8")
BLOCK = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)


def examples() -> Iterator[tuple[str, str, str]]:
    """(where, policy, cases) for each block of cases, and for each policy alone."""
    policy = ""
    for found in BLOCK.finditer(TEXT):
        place = f"line {TEXT.count(chr(10), 0, found.start()) + 1}"
        kind, text = found[1], found[2]
        if kind == "toml":
            policy = f"version = 1\n{text}"
            yield place, policy, ""
        elif kind == "toml cases":
            yield place, policy, f"version = 1\n{text}"
        elif kind == "toml cases-file":
            yield place, DEFAULT_POLICY, text


EXAMPLES = list(examples())


@pytest.mark.parametrize(("place", "policy", "cases"), EXAMPLES, ids=[place for place, _, _ in EXAMPLES])
def test_every_example_is_right(place: str, policy: str, cases: str) -> None:
    rules = read_rules(Document(Path(f"example at {place}"), policy))
    if cases:
        wanted = read_cases(Document(Path(f"cases at {place}"), cases))
        policy_at = Policy(rules, wanted.enrolled, wanted.at)
        assert [str(outcome.case) for outcome in run(policy_at, wanted) if not outcome.passed] == []


def test_there_are_examples_with_cases() -> None:
    assert len([cases for _, _, cases in EXAMPLES if cases]) >= 9


def table(rows: list[tuple[str, str]], heads: tuple[str, str]) -> str:
    return "\n".join(f"| {one} | {other} |" for one, other in (heads, ("---", "---"), *rows)).replace(
        "| --- | --- |", "|---|---|"
    )


def test_every_preset_and_every_warning_stands_in_its_table() -> None:
    assert table([(f"`{name}`", preset_row(name)) for name in PRESETS], ("preset", "what it is for")) in TEXT
    assert table([(f"`{code}`", says) for code, says in CODES.items()], ("warning", "what it says")) in TEXT


def preset_row(name: str) -> str:
    preset = PRESETS[name]
    settings = [
        f"`{key}` " + ("must be set" if default is None else f'is `"{"/".join(default)}"`')
        for key, default in preset.parameters.items()
    ]
    return preset.about + (f" {'; '.join(settings)}." if settings else "")


def test_every_right_and_every_table_is_explained() -> None:
    for right in RIGHTS:
        assert f"| `{right}` |" in TEXT
    for section in ("template", "preset", "group", "grant", "deny"):
        assert f"## `[{section}.NAME]`" in TEXT

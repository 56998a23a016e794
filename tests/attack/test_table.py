"""docs/ATTACKS.md names tests that exist, every numbered attack, and how each test was seen to fail."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
SOURCE = TESTS.parent / "src" / "bollard"
TABLE = TESTS.parent / "docs" / "ATTACKS.md"
#: How many attacks of each kind there are; those of research have no letter.
NUMBERED = {"": 35, "A": 13, "B": 11, "C": 13, "D": 6, "F": 10}
NAMED_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


HEADS = (["attack", "what stops it", "test"], ["row", "attack", "result", "test", "without it"])


def rows() -> list[list[str]]:
    """The rows of the tables of attacks; the document has others."""
    found: list[list[str]] = []
    head: list[str] = []
    for line in TABLE.read_text().splitlines():
        if not line.startswith("|"):
            head = []
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not head:
            head = cells
        elif head in HEADS and not line.startswith("|---"):
            assert len(cells) == len(head), cells
            found.append(cells)
    return found


def numbered() -> dict[str, list[str]]:
    """The rows with a number: attack, result, tests, and what shows that they fail without the defence."""
    return {row[0]: row[1:] for row in rows() if len(row) == 5}


def mutants() -> dict[str, Any]:
    return tomllib.loads((TESTS / "attack" / "mutants.toml").read_text())


@cache
def functions_of(file: str) -> frozenset[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(
        node.name for node in ast.walk(ast.parse((TESTS / file).read_text())) if isinstance(node, kinds)
    )


def missing(text: str) -> list[str]:
    """The tests named in `text` that do not exist."""
    named = NAMED_TEST.findall(text)
    return [
        f"{file}::{function}"
        for file, function in named
        if not (TESTS / file).exists() or function not in functions_of(file)
    ]


def test_every_test_that_is_named_exists() -> None:
    assert not [absent for row in rows() for cell in row for absent in missing(cell)]


def test_every_numbered_attack_has_its_row_and_a_test() -> None:
    expected = {f"{kind}{number}" for kind, count in NUMBERED.items() for number in range(1, count + 1)}
    assert set(numbered()) == expected
    for number, (_, result, tests, without) in numbered().items():
        assert result, number
        assert "not defeated" not in result, number
        assert NAMED_TEST.search(tests), number
        assert without, number


def test_a_row_without_a_number_has_a_test_or_says_why_not() -> None:
    others = [row for row in rows() if len(row) == 3]
    assert len(others) > 50
    for row in others:
        explained = "**not defeated" in row[1] or "nothing here relies" in row[1]
        assert NAMED_TEST.search(row[2]) or explained, row[0]


def test_every_edit_that_is_named_exists_and_every_edit_is_named() -> None:
    named = {
        name
        for row in numbered().values()
        for name in re.findall(r"`([a-z0-9-]+)`", row[3].replace("::", " "))
    }
    assert named <= set(mutants())


def test_every_edit_still_fits_the_source_and_its_tests_exist() -> None:
    for name, mutant in mutants().items():
        text = (SOURCE / mutant["file"]).read_text()
        assert text.count(mutant["old"]) == 1, name
        assert mutant["new"] != mutant["old"], name
        assert mutant["tests"], name
        assert not missing(" ".join(f"`{test}`" for test in mutant["tests"])), name

"""docs/ATTACKS.md names tests that exist, and says plainly where there is none."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
TABLE = TESTS.parent / "docs" / "ATTACKS.md"


def rows() -> list[list[str]]:
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in cells if row[0] != "attack"]


def test_every_test_that_is_named_exists() -> None:
    missing = []
    for row in rows():
        for file, function in re.findall(r"`([\w/]+\.py)::(\w+)`", row[2]):
            tree = ast.parse((TESTS / file).read_text())
            functions = (ast.FunctionDef, ast.AsyncFunctionDef)
            names = {node.name for node in ast.walk(tree) if isinstance(node, functions)}
            if function not in names:
                missing.append(f"{file}::{function}")
    assert not missing


def test_a_row_without_a_test_says_why() -> None:
    assert len(rows()) > 50
    for row in rows():
        assert len(row) == 3, row
        explained = "**not defeated" in row[1] or "nothing here relies" in row[1]
        assert re.search(r"`[\w/]+\.py::\w+`", row[2]) or explained, row[0]

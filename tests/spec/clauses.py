"""The normative statements as data, and the decorator by which a test says which of them it shows."""

import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).parent
FILES = {"MQTT3": "clauses_v311.toml", "MQTT5": "clauses_v5.toml"}

Test = TypeVar("Test", bound=Callable[..., object])


@cache
def identifiers() -> frozenset[str]:
    """Every statement of both versions, such as "MQTT5-3.1.2-24"."""
    return frozenset(
        f"{version}-{number}"
        for version, name in FILES.items()
        for number in tomllib.loads((HERE / name).read_text(encoding="utf-8"))
    )


def clause(*tags: str) -> Callable[[Test], Test]:
    """Mark a test with the statements that it shows; `ValueError` for one that no specification has.

    The generator of docs/SPEC.md reads the tags from the source, so they are written as literals.
    """
    for tag in tags:
        if tag not in identifiers():
            raise ValueError(f"{tag} is not a normative statement of MQTT 3.1.1 or 5.0")

    def mark(test: Test) -> Test:
        return test

    return mark

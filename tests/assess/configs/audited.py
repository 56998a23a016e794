"""How tests audit a text: put into a file, read, judged; the states by the number of the check."""

from pathlib import Path

import pytest

from bollard.assess.configs.audit import audit
from bollard.assess.model import Result

#: A configuration and what the checks must say of it: {"01": "fail", ...}.
Case = tuple[str, str, dict[str, str]]


def results(
    folder: Path, product: str, text: str, *, version: str = "", name: str = "broker.conf", **others: str
) -> dict[str, Result]:
    """The results of an audit of `text`, by the number of the check; `others` are files beside it."""
    for other, content in others.items():
        (folder / other).write_text(content)
        (folder / other).chmod(0o600)
    path = folder / name
    path.write_text(text)
    report = audit([path], product, version)
    assert all(each.target == str(path) for each in report.results)
    return {each.check.removeprefix("CFG-"): each for each in report.results}


def states(found: dict[str, Result], wanted: dict[str, str]) -> dict[str, str]:
    """The states that `found` has of the checks in `wanted`."""
    return {number: found[number].state.value for number in wanted}


def cases(**products: list[Case]) -> pytest.MarkDecorator:
    """A test of every case of these products, with `product`, `text` and `wanted`."""
    every = [(product, *case) for product, listed in products.items() for case in listed]
    return pytest.mark.parametrize(
        ("product", "text", "wanted"),
        [(product, text, wanted) for product, _, text, wanted in every],
        ids=[f"{product} {name}" for product, name, _, _ in every],
    )


def expect(folder: Path, product: str, text: str, wanted: dict[str, str], files: dict[str, str]) -> None:
    """The checks in `wanted` say so, and none tells a secret: in the cases, each is called hunter2."""
    found = results(folder, product, text, **files)
    assert states(found, wanted) == wanted
    assert "hunter2" not in repr(found)


def never_raises(factory: pytest.TempPathFactory, product: str, text: str) -> None:
    """Whatever stands in the file, each check has a result."""
    path = factory.getbasetemp() / "fuzzed"
    path.write_text(text, encoding="utf-8", errors="replace")
    assert len(audit([path], product).results) == 29

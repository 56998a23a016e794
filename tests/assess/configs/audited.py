"""How tests audit a text: put into a file, read, judged; the states by the number of the check."""

from pathlib import Path

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

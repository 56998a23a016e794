"""The CFG checks: pure judgement over the traits of a configuration. Their texts are rows in config.toml."""

import tomllib
from collections.abc import Callable
from importlib import resources
from typing import Any

from bollard.assess.checks.rows import SEVERITIES
from bollard.assess.configs.setup import Setup, Trait
from bollard.assess.model import Check, Definition, Facts, Location, State, Verdict, untested

#: What one result tells of at most; the count tells of the rest.
MAX_PLACES = 50


def judge_traits(id: str) -> Callable[[Facts], Verdict]:
    """The judgement of the check `id`: a weak trait fails it, an open question settles nothing, silence tests nothing."""

    def judge(facts: Facts) -> Verdict:
        setup = facts.get(Setup)
        found = [trait for trait in setup.traits if trait.check == id]
        for weak, state in ((True, State.FAIL), (None, State.INCONCLUSIVE), (False, State.PASS)):
            those = [trait for trait in found if trait.weak is weak]
            if those:
                return _verdict(state, those)
        return untested(setup.absent.get(id, f"nothing in it says anything about this for {setup.product}"))

    return judge


def _verdict(state: State, traits: list[Trait]) -> Verdict:
    first = min(traits, key=lambda trait: -trait.severity.rank if trait.severity else -5)
    word = first.said.partition(" ")[0]
    said = word.capitalize() + first.said[len(word) :] if word.islower() and word.isalpha() else first.said
    more = f" And {len(traits) - 1} more." if len(traits) > 1 else ""
    evidence: dict[str, Any] = {
        "file": first.file,
        "line": first.line,
        "places": [_place(trait) for trait in traits[:MAX_PLACES]],
        "write": list(dict.fromkeys(line for trait in traits for line in trait.write.splitlines()))[
            :MAX_PLACES
        ],
    }
    severity = None if any(trait.severity is None for trait in traits) else first.severity
    return Verdict(
        state=state,
        observed=f"{said}.{more}",
        evidence=evidence,
        severity=severity,
        location=Location(file=first.file, line=first.line) if first.file else None,
    )


def _place(trait: Trait) -> str:
    """Where a trait stands and what it is; a default says that it is one."""
    place = f"{trait.file}:{trait.line}" if trait.line else trait.file
    setting = f"{trait.key} = {trait.value}{'' if trait.line else ' by default'}; " if trait.key else ""
    return f"{place}: {setting}{trait.said}"


def _definition(row: dict[str, Any]) -> Definition:
    return Definition(
        id=row["id"],
        title=row["title"],
        subject="file",
        owner_text=row["owner"],
        technical_text=row["technical"],
        severity=SEVERITIES[row["severity"]],
        modifiers=("internet",) if row.get("internet") else (),
        requires=(Setup.__name__,),
        evidence=row.get("evidence", "e5"),
        remedy=row["remedy"],
        remediation=row.get("remediation", {}),
        group=row["group"],
        cwe=row["cwe"],
    )


def _rows() -> list[dict[str, Any]]:
    text = resources.files("bollard.assess.checks").joinpath("config.toml").read_text("utf-8")
    rows: list[dict[str, Any]] = tomllib.loads(text)["check"]
    return rows


CHECKS = tuple(Check(_definition(row), judge_traits(row["id"])) for row in _rows())

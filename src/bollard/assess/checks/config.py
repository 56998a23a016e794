"""The CFG checks: pure judgement over the traits of a configuration. Their texts are rows in config.toml."""

from collections.abc import Callable
from typing import Any

from bollard.assess.checks.rows import definition, rows
from bollard.assess.configs.setup import Setup, Trait
from bollard.assess.model import Check, Facts, Location, State, Verdict, untested

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


CHECKS = tuple(
    Check(definition(row, "e5", subject="file", requires=(Setup.__name__,)), judge_traits(row["id"]))
    for row in rows("config.toml")
)

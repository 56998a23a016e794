"""How a check is written down: one decorated function, whose row holds everything else about it; or a row of a file."""

import tomllib
from collections.abc import Callable
from importlib import resources
from typing import Any

from bollard.assess.checks.remedies import REMEDIES
from bollard.assess.model import Caution, Check, Definition, Duty, Evidence, Facts, Severity, Verdict

SEVERITIES = {
    "C": Severity.CRITICAL,
    "H": Severity.HIGH,
    "M": Severity.MEDIUM,
    "L": Severity.LOW,
    "I": Severity.INFO,
}


def check(
    id: str,
    title: str,
    *,
    severity: str,
    group: str,
    cwe: int,
    owner: str,
    technical: str,
    remedy: str,
    evidence: str,
    needs: tuple[type[Evidence], ...],
    helped_by: tuple[type[Evidence], ...] = (),
    caution: Caution = Caution.SAFE,
    duty: Duty = Duty.OPERATOR,
    subject: str = "listener",
    internet: bool = False,
    references: tuple[str, ...] = (),
) -> Callable[[Callable[[Facts], Verdict]], Check]:
    """Make a `Check` of the function below. `severity` is C, H, M, L or I; `remedy` a key of `REMEDIES`.

    `needs` is the evidence without which nothing can be said, `helped_by` what may say more.
    `internet`: one step worse on a public address. `subject`: what is judged, a "listener" or a "host".
    """
    chosen = REMEDIES[remedy]
    definition = Definition(
        id=id,
        title=title,
        subject=subject,
        owner_text=owner,
        technical_text=technical,
        severity=SEVERITIES[severity],
        modifiers=("internet",) if internet else (),
        caution=caution,
        requires=tuple(each.__name__ for each in needs),
        helped_by=tuple(each.__name__ for each in helped_by),
        evidence=evidence,
        remedy=chosen.sentence,
        owner_remedy=chosen.owner,
        remediation=chosen.products,
        group=group,
        cwe=cwe,
        duty_holder=duty,
        references=references,
    )
    return lambda judge: Check(definition, judge)


def rows(file: str) -> list[dict[str, Any]]:
    """The rows [[check]] of a TOML file beside this one."""
    text = resources.files("bollard.assess.checks").joinpath(file).read_text("utf-8")
    found: list[dict[str, Any]] = tomllib.loads(text)["check"]
    return found


def definition(row: dict[str, Any], evidence: str, **fields: Any) -> Definition:
    """The definition that a row of a file makes, with `fields` that all rows of the file share.

    `evidence` is the kind that holds where the row names none.
    """
    return Definition(
        id=row["id"],
        title=row["title"],
        owner_text=row["owner"],
        technical_text=row["technical"],
        severity=SEVERITIES[row["severity"]],
        modifiers=("internet",) if row.get("internet") else (),
        evidence=row.get("evidence", evidence),
        remedy=row["remedy"],
        owner_remedy=row["owner_remedy"],
        remediation=row.get("remediation", {}),
        group=row["group"],
        cwe=row["cwe"],
        **fields,
    )

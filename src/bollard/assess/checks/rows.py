"""How a check is written down: one decorated function, whose row holds everything else about it."""

from collections.abc import Callable

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
    sentence, products = REMEDIES[remedy]
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
        remedy=sentence,
        remediation=products,
        group=group,
        cwe=cwe,
        duty_holder=duty,
        references=references,
    )
    return lambda judge: Check(definition, judge)

"""Reports to render: one of an attacker's making, and a quiet one."""

from typing import Any

import msgspec

from assess.evidence import canary, doors, ears, heard, leaf, tls
from bollard.assess import catalogue
from bollard.assess.model import Facts, Report, Target, grade, judge

#: Text that each format must disarm: markup, formulas, terminal controls, reordering, lone quotes.
HOSTILE = (
    '<script>alert(1)</script>"\'><img src=x onerror=y>\x1b]0;owned\x07\x1b[2J\r\n=HYPERLINK("http://evil")'
    "|a|b\u202etxt.exe\u0000 [x](javascript:y) `z` ${7*7} {{7*7}} @everyone ]]>"
)


def report(**changes: Any) -> Report:
    """A report of a broker that chose every word that it could."""
    loud = heard(code=0, messages=2, topics=(HOSTILE,))
    facts = Facts(
        [
            doors(anonymous=(doors().invented,) * 2),
            ears(identity=HOSTILE, everything=loud, control=heard("$CONTROL/#", 0)),
            canary(arrived=True, sent_code=0),
            tls(hybrid_groups=()),
            leaf(names=(HOSTILE,), name_matches=False, common_name=HOSTILE, issuer=HOSTILE, trusted=False),
        ]
    )
    target = f"mqtts://{HOSTILE}:8883"
    checks = [each for each in catalogue.checks() if each.definition.subject in ("listener", "host")]
    results = tuple(judge(check, target, facts) for check in checks)
    made = Report(
        kind="scan",
        tool="bollard",
        tool_version="0",
        started="2026-11-23T08:00:00Z",
        finished="2026-11-23T08:01:00Z",
        authorization={"authorized_by": HOSTILE},
        settings={"active": True},
        targets=(Target(name=target, kind="broker", product=f"mosquitto {HOSTILE}"),),
        grade=grade(results),
        results=results,
        checks={check.definition.id: check.definition for check in checks},
        notes=(HOSTILE,),
    )
    return msgspec.structs.replace(made, **changes)


def quiet() -> Report:
    """A report that found nothing wrong."""
    results = tuple(
        judge(check, "mqtts://broker:8883", Facts([doors()]))
        for check in catalogue.checks()
        if check.definition.id in ("SCN-04", "SCN-05", "SCN-14")
    )
    return report(
        results=results,
        grade=grade(results),
        targets=(Target(name="mqtts://broker:8883", kind="broker"),),
        authorization={},
        notes=(),
    )

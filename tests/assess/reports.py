"""Reports to render: one of an attacker's making, and a quiet one."""

from typing import Any

import msgspec

from assess.evidence import canary, doors, ears, heard, leaf, tls
from bollard.assess import catalogue
from bollard.assess.model import Asset, Facts, Report, Result, State, Target, grade, judge

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


def every_problem() -> Report:
    """A report in which every check of the catalogue failed, about one target of each kind."""
    definitions = [check.definition for check in catalogue.checks()]
    results = tuple(
        Result(
            check=each.id,
            target="t",
            state=State.FAIL,
            severity=each.severity,
            title=each.title,
            observed="O.",
        )
        for each in definitions
    )
    return report(
        results=results,
        grade=grade(results),
        targets=tuple(
            Target(name=f"mqtts://name-{kind}", kind=kind, product="acme 1.2.3")
            for kind in ("broker", "configuration", "installation", "capture", "device")
        ),
        checks={each.id: each for each in definitions},
        inventory=(
            Asset(name=HOSTILE, kind="device", addresses=("192.0.2.1",), facts={"topics": {HOSTILE: 3}}),
        ),
        notes=(),
    )


def trapped() -> Report:
    """The certificate of a device, with every result that there is."""
    every = [each for each in every_problem().results if each.check.startswith("DEV-")]
    states = dict(enumerate(State))
    results = tuple(
        msgspec.structs.replace(each, state=states[number % 4], observed=f"It did this: {HOSTILE}")
        for number, each in enumerate(every)
    )
    return report(
        kind="trap",
        results=results,
        grade=grade(results),
        targets=(Target(name=HOSTILE, kind="device"),),
        checks={check.definition.id: check.definition for check in catalogue.checks()},
    )

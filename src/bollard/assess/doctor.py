"""One report about an installation of our own: its configuration, its listeners and what lies on its disk."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from bollard import __version__
from bollard.assess import catalogue
from bollard.assess.checks.config import CHECKS as CONFIG_CHECKS
from bollard.assess.configs.audit import audit
from bollard.assess.envelope import enclose, timestamp
from bollard.assess.model import Evidence, Facts, Report, Result, Target, judge
from bollard.assess.plan import HostReport

SUBJECT = "installation"
#: What the installation's own checks look at more closely: DOC-01 sees every file of the state directory.
_INSTEAD = frozenset({"CFG-17"})


def examine(name: str, evidence: Sequence[Evidence], missing: Mapping[type[Evidence], str]) -> list[Result]:
    """What the checks of an installation say about the one called `name`."""
    facts = Facts(evidence, missing)
    return [judge(each, name, facts) for each in catalogue.checks() if each.definition.subject == SUBJECT]


def combine(
    config_file: Path,
    name: str,
    installation: Sequence[Result],
    hosts: Sequence[HostReport],
    notes: Sequence[str],
    started: datetime,
) -> Report:
    """The report: installation, audit of the configuration, scan of the listeners, under one grade."""
    wanted = frozenset(each.definition.id for each in CONFIG_CHECKS) - _INSTEAD
    audited = audit([config_file], "bollard", only=wanted)
    return enclose(
        "doctor",
        (*installation, *audited.results, *(result for host in hosts for result in host.results)),
        timestamp(started),
        authorization={"authorized_by": "not needed: this installation only"},
        targets=(
            Target(name=name, kind=SUBJECT, product=f"bollard {__version__}"),
            *audited.targets,
            *(target for host in hosts for target in host.targets),
        ),
        attempts=(*audited.attempts, *(attempt for host in hosts for attempt in host.attempts)),
        notes=(*notes, *audited.notes, *(note for host in hosts for note in host.notes)),
    )

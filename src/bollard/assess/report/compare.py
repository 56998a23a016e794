"""What changes a report after the fact: an earlier one to compare with, and risks that were accepted.

Nothing is taken out: what is accepted stays visible, and an acceptance ends by itself.
"""

import tomllib
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import msgspec

from bollard.assess import catalogue
from bollard.assess.model import Acceptance, Report, Result, Severity, State, grade
from bollard.assess.report import canonical
from bollard.base.errors import ConfigError

#: Targets that a sentence lists.
MAX_TARGETS = 5


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int
    accept: tuple[Acceptance, ...] = ()


def compare(report: Report, earlier: Report) -> Report:
    """`report`, with each problem marked new or open, and with the problems of `earlier` that are gone.

    A problem counts as fixed only if its check passed now: one that was not tested again is not fixed.
    """
    before = {_key(result): result for result in earlier.results if result.state is State.FAIL}
    results = tuple(
        msgspec.structs.replace(result, change="open" if _key(result) in before else "new")
        if result.state is State.FAIL
        else result
        for result in report.results
    )
    passed = {_key(result) for result in results if result.state is State.PASS}
    fixed = tuple(
        msgspec.structs.replace(result, change="fixed", accepted=None)
        for key, result in before.items()
        if key in passed
    )
    return msgspec.structs.replace(report, results=results, fixed=fixed)


def _key(result: Result) -> tuple[str, str]:
    return result.check, result.target


def read_acceptances(path: Path) -> tuple[Acceptance, ...]:
    """The accepted risks in a TOML file of `[[accept]]` tables. Raises `ConfigError`."""
    try:
        file = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _File)
    except OSError as error:
        raise ConfigError(f"cannot read the accepted risks: {error.strerror}", path) from None
    except (ValueError, RecursionError) as error:
        why = "they are no text in UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise ConfigError(
            f"these are no accepted risks: {why}",
            path,
            remedy='Each [[accept]] needs check, reason and expires = "YYYY-MM-DD"; target and by are optional.',
        ) from None
    if file.version != 1:
        raise ConfigError(f"files of version {file.version} are not known here", path)
    for each in file.accept:
        _check(each, path)
    return file.accept


def _check(acceptance: Acceptance, path: Path) -> None:
    try:
        date.fromisoformat(acceptance.expires)
    except ValueError:
        raise ConfigError(
            f"{acceptance.expires!a} is no date", path, remedy="Write it as YYYY-MM-DD."
        ) from None
    if not acceptance.reason.strip():
        raise ConfigError(f"the acceptance of {acceptance.check!a} has no reason", path)


def accept(report: Report, acceptances: Sequence[Acceptance], today: date) -> Report:
    """`report`, with every failure marked that is accepted as of `today`, and graded without those.

    Acceptances that cannot have an effect are named in `unused`; those of checks that another command makes are not.
    """
    valid = [each for each in acceptances if date.fromisoformat(each.expires) >= today]
    results = tuple(
        msgspec.structs.replace(result, accepted=_acceptance(result, valid))
        if result.state is State.FAIL
        else result
        for result in report.results
    )
    unused = tuple(sentence for each in acceptances if (sentence := _unused(each, report, today)))
    return msgspec.structs.replace(report, results=results, grade=grade(results), unused=unused)


def _unused(acceptance: Acceptance, report: Report, today: date) -> str:
    """Why this acceptance has no effect; "" if it has one, or concerns a check that was not asked for."""
    name = f"{acceptance.check} at {acceptance.target}" if acceptance.target else acceptance.check
    known = {each.definition.id for each in catalogue.checks()}
    targets = sorted({result.target for result in report.results if result.check == acceptance.check})
    if acceptance.check not in known and not targets:
        return f"{name}: there is no check of this name"
    if date.fromisoformat(acceptance.expires) < today:
        return f"{name}: expired on {acceptance.expires}"
    if targets and acceptance.target and acceptance.target not in targets:
        return f"{name}: there is no such target here, only {', '.join(targets[:MAX_TARGETS])}"
    return ""


def _acceptance(result: Result, acceptances: Sequence[Acceptance]) -> Acceptance | None:
    for each in acceptances:
        if each.check == result.check and each.target in ("", result.target):
            return each
    return None


def revise(report: Report, baseline: Path | None, accepted: Path | None, today: date) -> Report:
    """`report` beside the earlier one in the file `baseline`, with the acceptances in the file `accepted`.

    A note says so where the two reports are of different things.
    """
    if baseline is not None:
        earlier = canonical.read(baseline)
        strange = _incomparable(report, earlier)
        report = compare(report, earlier)
        if strange:
            report = msgspec.structs.replace(report, notes=(*report.notes, strange))
    if accepted is not None:
        report = accept(report, read_acceptances(accepted), today)
    return report


def _incomparable(report: Report, earlier: Report) -> str:
    """Why the comparison of these two says little; "" if they are of the same kind and have a target in common."""
    if earlier.kind != report.kind:
        return (
            f"The earlier report is one of `bollard {earlier.kind}`, this one of `bollard {report.kind}`: "
            "what is called new, open or fixed means little."
        )
    before, now = ({_key(each)[1] for each in one.results} for one in (earlier, report))
    if before and now and before.isdisjoint(now):
        return "The earlier report has no target in common with this one: nothing could be compared."
    return ""


def exceeds(report: Report, threshold: Severity | None) -> bool:
    """Is there an open problem of at least this severity? None: never."""
    return threshold is not None and any(
        result.open and result.severity.rank >= threshold.rank for result in report.results
    )

"""What changes a report after the fact: an earlier one to compare with, and risks that were accepted.

Nothing is taken out: what is accepted stays visible, and an acceptance ends by itself.
"""

import tomllib
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import msgspec

from bollard.assess.model import Acceptance, Report, Result, Severity, State, grade
from bollard.assess.report import canonical
from bollard.base.errors import ConfigError


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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(
            f"these are no accepted risks: {error}",
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
    """`report`, with every failure marked that is accepted as of `today`, and graded without those."""
    valid = [each for each in acceptances if date.fromisoformat(each.expires) >= today]
    results = tuple(
        msgspec.structs.replace(result, accepted=_acceptance(result, valid))
        if result.state is State.FAIL
        else result
        for result in report.results
    )
    return msgspec.structs.replace(report, results=results, grade=grade(results))


def _acceptance(result: Result, acceptances: Sequence[Acceptance]) -> Acceptance | None:
    for each in acceptances:
        if each.check == result.check and each.target in ("", result.target):
            return each
    return None


def revise(report: Report, baseline: Path | None, accepted: Path | None, today: date) -> Report:
    """`report` beside the earlier one in the file `baseline`, with the acceptances in the file `accepted`."""
    if baseline is not None:
        report = compare(report, canonical.read(baseline))
    if accepted is not None:
        report = accept(report, read_acceptances(accepted), today)
    return report


def exceeds(report: Report, threshold: Severity | None) -> bool:
    """Is there an open problem of at least this severity? None: never."""
    return threshold is not None and any(
        result.open and result.severity.rank >= threshold.rank for result in report.results
    )

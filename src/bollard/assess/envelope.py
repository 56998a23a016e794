"""What every report has around its results, whatever was assessed: who made it, when, the grade, the definitions."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from bollard import __version__
from bollard.assess import catalogue
from bollard.assess.model import Report, Result, grade


def enclose(kind: str, results: Iterable[Result], started: str, **fields: Any) -> Report:
    """The report of `bollard KIND` about these results, as of now.

    `started` is a `timestamp`; `fields` are further ones of `Report`.
    """
    results = tuple(results)
    concerned = {result.check for result in results}
    return Report(
        kind=kind,
        tool="bollard",
        tool_version=__version__,
        started=started,
        finished=timestamp(datetime.now(UTC)),
        grade=grade(results),
        results=results,
        checks={
            each.definition.id: each.definition
            for each in catalogue.checks()
            if each.definition.id in concerned
        },
        **fields,
    )


def timestamp(moment: datetime) -> str:
    """A moment in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""What a report has around its results."""

from datetime import UTC, datetime, timedelta, timezone

from bollard import __version__
from bollard.assess import catalogue
from bollard.assess.envelope import enclose, timestamp
from bollard.assess.model import Facts, judge


def test_a_moment_is_told_in_utc_whatever_its_zone() -> None:
    moment = datetime(2026, 11, 23, 1, 30, 5, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(moment) == "2026-11-22T23:30:05Z"


def test_a_report_holds_the_definitions_of_its_results_and_no_others() -> None:
    first, second, *_ = catalogue.checks()
    results = (judge(each, "t", Facts([])) for each in (second, first))
    before = timestamp(datetime.now(UTC))
    made = enclose("scan", results, "2026-11-23T08:00:00Z", notes=("seen",))
    assert [each.check for each in made.results] == [second.definition.id, first.definition.id]
    assert made.checks == {each.definition.id: each.definition for each in (first, second)}
    assert (made.kind, made.tool_version, made.notes) == ("scan", __version__, ("seen",))
    assert (made.grade.letter, made.grade.total) == ("?", 2)
    assert made.started == "2026-11-23T08:00:00Z"
    assert made.finished >= before

"""bench/leak.py: a day in the engine ends where it began, and what stays behind is found."""

import leak
import leak_daemon
import pytest
from day import Day

from bollard.base.types import Peer


def test_a_day_of_everything_leaves_nothing_behind() -> None:
    day = Day(seed=3)
    for _ in range(3):
        day.hour(250)
    first = leak.census()
    for _ in range(24):
        day.hour(80)
    assert leak.census().grown(first, leak.TOLERANCE_BLOCKS) == []
    core = day.broker.core
    assert [len(table) for table in (core.sessions, core.replays, core.holding, core.unfinished)] == [0] * 4
    assert [core.tree.count, len(list(core.retained)), len(core.admissions)] == [0, 0, 0]


def test_the_day_has_everything_in_it() -> None:
    day = Day(seed=1)
    day.hour(1500)
    assert set(day.done) == {operation.__name__ for operation, _ in day.operations}
    counters = day.broker.counters
    for name in ("publish_sent", "denied_publish", "expired_messages", "protocol_errors", "publish_dropped"):
        assert getattr(counters, name) > 0, name


def test_a_day_without_hours_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        leak.main(["--hours", "0"])
    assert ended.value.code == 2
    assert "show nothing" in capsys.readouterr().err


def test_what_stays_behind_is_named() -> None:
    day = Day(seed=1)
    day.hour(50)
    first = leak.census()
    kept = [day.broker.accept(Peer("192.0.2.1", 1, "leak"), day.now) for _ in range(3)]
    found = leak.census().grown(first, leak.TOLERANCE_BLOCKS)
    assert any("bollard.session.connection.Connection" in sentence for sentence in found)
    heap = [object() for _ in range(5 * leak.TOLERANCE_BLOCKS)]
    assert any("blocks of memory" in one for one in leak.census().grown(first, leak.TOLERANCE_BLOCKS))
    assert len(kept) == 3
    assert heap


@pytest.mark.parametrize(
    ("sizes", "wrong"),
    [
        ([100, 110, 120, 121, 119, 122], False),
        ([100, 110, 120, 125, 130, 135], True),
        ([100, 110, 120, 121, 119, 140, 120], False),
    ],
    ids=["level", "growing", "one peak"],
)
def test_a_daemon_whose_memory_grows_after_the_first_rounds_is_found(sizes: list[int], wrong: bool) -> None:
    assert bool(leak_daemon.verdict(sizes)) is wrong


def test_rounds_that_only_warm_up_are_refused_before_they_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        leak_daemon.main(["--rounds", "3"])
    assert ended.value.code == 2
    assert "more than 3 are needed" in capsys.readouterr().err

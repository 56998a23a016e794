"""The $SYS topics: names as clients know them, values that add up."""

import math

from bollard.server.sys_topics import LOADS, TOTALS, SysTopics


class Source:
    def __init__(self) -> None:
        self.values = dict.fromkeys({*TOTALS.values(), *LOADS.values()}, 0)

    def __call__(self) -> dict[str, int]:
        return dict(self.values)


def given(topics: SysTopics, now: float) -> dict[str, str]:
    return {topic.removeprefix("$SYS/broker/"): payload.decode() for topic, payload in topics.due(now)}


def test_the_first_time_every_total_is_given() -> None:
    first = given(SysTopics("1.2", Source(), 100.0), 100.0)
    assert set(TOTALS) <= set(first)
    assert first["version"] == "bollard version 1.2"
    assert first["uptime"] == "0 seconds"


def test_later_only_what_changed_is_given() -> None:
    source = Source()
    topics = SysTopics("1.2", source, 100.0)
    given(topics, 100.0)
    source.values["packets_received"] = 5
    later = given(topics, 110.0)
    assert later["messages/received"] == "5"
    assert later["uptime"] == "10 seconds"
    assert "messages/sent" not in later
    assert "version" not in later


def test_a_steady_rate_becomes_the_load() -> None:
    source = Source()
    topics = SysTopics("1.2", source, 0.0)
    told: dict[str, str] = {}
    for step in range(1, 1000):
        source.values["publish_received"] += 20
        told.update(given(topics, step * 10.0))
    for minutes in (1, 5, 15):
        assert abs(float(told[f"load/publish/received/{minutes}min"]) - 120.0) < 1.0


def test_a_load_decays_by_its_own_time() -> None:
    source = Source()
    topics = SysTopics("1.2", source, 0.0)
    source.values["bytes_sent"] = 6000
    peak = given(topics, 60.0)
    after = given(topics, 120.0)
    for minutes in (1, 5, 15):
        key = f"load/bytes/sent/{minutes}min"
        ratio = float(after[key]) / float(peak[key])
        assert math.isclose(ratio, math.exp(-1 / minutes), rel_tol=0.01)


def test_no_time_passed_is_no_division_by_zero() -> None:
    topics = SysTopics("1.2", Source(), 5.0)
    assert not any(name.startswith("load/") for name in given(topics, 5.0))

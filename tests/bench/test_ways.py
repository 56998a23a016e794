"""bench/ways.py: what is played again does what the recording did."""

import pytest
import run
from ways import BATCH, TOPIC, Way, fanout, joins, listens, sends, uncached_match, ways

COUNTS = (
    "packets_received",
    "packets_sent",
    "publish_received",
    "publish_sent",
    "publish_dropped",
    "denied_publish",
)


@pytest.mark.parametrize("way", ways(), ids=lambda way: way.name)
def test_a_way_played_again_gives_the_same_counts(way: Way) -> None:
    recording = way.record(2)
    counts = []
    for _ in range(2):
        stage = recording.fresh()
        for steps in recording.turns:
            stage.play(steps)
        counts.append({name: getattr(stage.broker.counters, name) for name in COUNTS})
    assert counts[0] == counts[1]
    assert counts[0]["packets_received"] >= 2 * BATCH // 10
    assert counts[0]["denied_publish"] == counts[0]["publish_dropped"] == 0


def test_every_name_is_given_once() -> None:
    names = [way.name for way in ways()]
    assert len(names) == len(set(names)) >= 10


def test_a_recording_in_which_a_message_goes_astray_is_refused() -> None:
    way = Way("astray", [joins(0), joins(1), listens(1, "other")], lambda _: sends([TOPIC]))
    with pytest.raises(AssertionError, match="astray: 0 deliveries"):
        way.record(1)


def test_clients_acknowledge_until_nothing_is_open() -> None:
    recording = fanout(1, receivers=3).record(1)
    stage = recording.fresh()
    for steps in recording.turns:
        stage.play(steps)
    assert [session.inflight.sent for session in stage.broker.sessions() if session.inflight] == [{}, {}, {}]


def test_the_work_of_a_match_does_not_grow_with_the_number_of_subscriptions() -> None:
    looks = []
    for others in (100, 5000):
        recording = uncached_match(others).record(1)
        stage = recording.fresh()
        stage.play(recording.turns[0])
        assert stage.broker.core.tree.count == others + 1
        looks.append(stage.broker.core.tree.looks)
    assert looks[0] == looks[1] > 0


def test_the_engine_alone_is_timed_on_a_way() -> None:
    assert run.measure(fanout(0, receivers=2), repetitions=1) > 0

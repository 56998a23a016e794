"""bench/asked.py: a run that goes on is the run that was asked for, and what is told of it gives it again."""

import argparse

import asked
import pytest
from brokers import CannotRun


def options(**given: object) -> argparse.Namespace:
    return argparse.Namespace(**{**dict.fromkeys(asked.NAMES), **given})


def kept(*runs: asked.Asked) -> dict[str, object]:
    return {"seconds": runs[-1].seconds, "runs": asked.as_kept(list(runs))}


FIRST = asked.Asked(reps=5, seconds=0.6, brokers="mosquitto,bollard")
SECOND = asked.Asked(reps=1, seconds=0.6, brokers="nats*", parts="matrix")


def test_without_anything_said_all_that_was_asked_for_goes_on() -> None:
    assert asked.asked_for(options(), kept(FIRST, SECOND)) == ([FIRST, SECOND], [FIRST, SECOND])
    assert asked.asked_for(options(), {}) == ([asked.Asked()], [asked.Asked()])


def test_what_is_added_is_as_the_run_before_in_all_that_is_not_said() -> None:
    runs, now = asked.asked_for(options(reps=1, brokers="nats*", parts="matrix"), kept(FIRST))
    assert (runs, now) == ([FIRST, SECOND], [SECOND])
    assert asked.asked_for(options(reps=1, seconds=0.6), kept(FIRST, SECOND)) == ([FIRST, SECOND], [SECOND])
    assert asked.asked_for(options(reps=7), {"seconds": 0.6})[1] == [asked.Asked(reps=7, seconds=0.6)]


def test_parts_and_scenarios_are_asked_for_together() -> None:
    pairs = asked.Asked(scenarios="pairs*")
    (now,) = asked.asked_for(options(parts="memory"), kept(pairs))[1]
    assert (now.parts, now.scenarios) == ("memory", None)
    (now,) = asked.asked_for(options(scenarios="idle"), kept(SECOND))[1]
    assert (now.parts, now.scenarios) == (None, "idle")


def test_other_seconds_than_those_of_the_results_are_refused() -> None:
    with pytest.raises(CannotRun, match=r"--seconds 2: .* measured with --seconds 0.6"):
        asked.asked_for(options(seconds=2.0), kept(FIRST))


def test_each_pattern_has_to_mean_something() -> None:
    names = ["pairs-q0", "pairs-q1", "idle"]
    assert asked.matched("scenarios", None, names) == names
    assert asked.matched("scenarios", "idle, pairs*", names) == names
    for pattern, told in (("pairs*,idel", "idel"), ("pairs*,", "''")):
        with pytest.raises(CannotRun, match=f"--scenarios {told}: there are pairs-q0, pairs-q1, idle"):
            asked.matched("scenarios", pattern, names)


def test_what_is_typed_gives_the_same_runs_again() -> None:
    third = asked.Asked(reps=1, seconds=0.6, brokers="nats*", scenarios="a*,b", also="/x/more.toml")
    typed = [
        'make bench ARGS="--seconds 0.6 --reps 5 --brokers mosquitto,bollard"',
        "make bench ARGS=\"--resume --reps 1 --brokers 'nats*' --parts matrix\"",
        "make bench ARGS=\"--resume --scenarios 'a*,b' --also more.toml\"",
    ]
    assert asked.commands([FIRST, SECOND, third]) == typed

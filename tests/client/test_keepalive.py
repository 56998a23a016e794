import math

from bollard.client.keepalive import RESPONSE_S, KeepAlive


def started(interval_s: int) -> KeepAlive:
    clock = KeepAlive()
    clock.start(interval_s, 0.0)
    return clock


def test_zero_means_never() -> None:
    assert started(0).deadline() == math.inf


def test_a_ping_is_due_before_the_time_is_over() -> None:
    clock = started(60)
    assert clock.due(44.9, reading=True) == ""
    assert clock.due(45.0, reading=True) == "ping"


def test_sending_alone_does_not_prove_that_the_server_lives() -> None:
    clock = started(60)
    clock.sent(40.0)
    assert clock.deadline() == 45.0
    clock.heard(41.0)
    assert clock.deadline() == 85.0


def test_an_answer_begins_a_new_round() -> None:
    clock = started(60)
    clock.pinged(45.0)
    clock.sent(45.0)
    clock.heard(46.0)
    clock.ponged()
    assert clock.deadline() == 90.0


def test_silence_after_a_ping_means_dead() -> None:
    clock = started(60)
    clock.pinged(45.0)
    assert clock.deadline() == 45.0 + RESPONSE_S
    assert clock.due(45.0 + RESPONSE_S, reading=True) == "dead"


def test_bytes_of_anything_extend_the_wait_for_the_answer() -> None:
    clock = started(60)
    clock.pinged(45.0)
    clock.heard(59.0)
    assert clock.due(60.0, reading=True) == ""


def test_a_short_keep_alive_waits_no_longer_than_itself() -> None:
    clock = started(4)
    clock.pinged(3.0)
    assert clock.deadline() == 7.0


def test_while_we_do_not_read_the_server_is_not_blamed() -> None:
    clock = started(4)
    clock.pinged(3.0)
    assert clock.due(100.0, reading=False) == ""
    assert clock.due(104.0, reading=True) == "dead"

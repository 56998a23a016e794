from bollard.client.backoff import Backoff


def test_delays_double_up_to_the_maximum() -> None:
    backoff = Backoff(1.0, 10.0, draw=lambda: 1.0)
    assert [backoff.next_s() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_jitter_takes_off_up_to_half() -> None:
    assert Backoff(4.0, 10.0, draw=lambda: 0.0).next_s() == 2.0


def test_a_reset_begins_again() -> None:
    backoff = Backoff(1.0, 10.0, draw=lambda: 1.0)
    backoff.next_s()
    backoff.next_s()
    backoff.reset()
    assert backoff.next_s() == 1.0


def test_a_thousand_failures_do_not_overflow() -> None:
    backoff = Backoff(1.0, 60.0)
    assert all(0.5 <= backoff.next_s() <= 60.0 for _ in range(2_000))

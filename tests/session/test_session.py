"""The durable half of a client: its queue."""

from hypothesis import given
from hypothesis import strategies as st

from bollard.session.message import ENTRY_BYTES, Delivery, Message
from bollard.session.session import Session


def delivery(size: int) -> Delivery:
    return Delivery(Message("a", b"a", b"x" * size, 1, 0, "", "", b"", 0.0), 1, 0, (), 1)


@given(st.lists(st.one_of(st.none(), st.integers(0, 100))))
def test_the_queue_is_first_in_first_out_and_knows_its_size(steps: list[int | None]) -> None:
    session = Session("p", "c")
    expected: list[Delivery] = []
    for step in steps:
        if step is not None:
            expected.append(delivery(step))
            session.enqueue(expected[-1])
        elif expected:
            assert session.dequeue() is expected.pop(0)
        assert session.waiting == len(expected)
        assert session.queue_bytes == sum(one.message.size + ENTRY_BYTES for one in expected)
        assert (session.queue is None) == (not expected)


def test_a_queue_that_ran_empty_reports_the_next_overflow_again() -> None:
    session = Session("p", "c")
    session.enqueue(delivery(1))
    session.full = True
    session.dequeue()
    assert not session.full


def test_a_session_without_messages_has_no_exchanges() -> None:
    session = Session("p", "c")
    assert session.inflight is None
    assert session.sending() is session.sending()

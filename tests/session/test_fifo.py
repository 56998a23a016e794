"""What waits comes out in the order in which it went in, however many come and go."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from bollard.session.fifo import Fifo
from bollard.session.message import Delivery, Message

#: Many times what may be free at the beginning.
MANY = 1000


def delivery(name: str) -> Delivery:
    return Delivery(Message(name, name.encode(), b"", 1, 0, "", "", b"", 0.0), 1, 0, (), 0)


@given(st.lists(st.one_of(st.integers(1, 200), st.integers(-200, -1)), max_size=20))
def test_it_does_what_a_deque_does(steps: list[int]) -> None:
    fifo, model = Fifo(), deque[Delivery]()
    for step in steps:
        for number in range(step):
            added = delivery(str(number))
            fifo.append(added)
            model.append(added)
        for _ in range(min(-step, len(model))):
            assert fifo.first() is model[0]
            assert fifo.take() is model.popleft()
        assert len(fifo) == len(model)
        assert all(one is other for one, other in zip(fifo, model, strict=True))


def test_what_was_taken_is_not_kept_for_ever() -> None:
    fifo = Fifo()
    for number in range(MANY):
        fifo.append(delivery(str(number)))
    kept = fifo.first()
    for _ in range(MANY - 10):
        fifo.take()
    assert len(fifo) == 10
    assert kept not in list(fifo)

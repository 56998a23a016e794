# cython: boundscheck=False, wraparound=False
"""Deliveries that wait for their turn: what a deque does, without a call of Python for each of them."""

from collections.abc import Iterator

from bollard.session.message import Delivery

#: Places that may be free at the beginning before the rest moves up.
MAX_FREE = 64


class Fifo:
    """First in, first out. The length is that of what waits."""

    __slots__ = ("_free", "_places")

    def __init__(self) -> None:
        self._places: list[Delivery | None] = []
        self._free = 0

    def __len__(self) -> int:
        return len(self._places) - self._free

    def __iter__(self) -> Iterator[Delivery]:
        """The oldest first."""
        return iter(self._places[self._free :])  # type: ignore[arg-type]

    def append(self, delivery: Delivery) -> None:
        self._places.append(delivery)

    def first(self) -> Delivery:
        """The oldest. There must be one."""
        delivery = self._places[self._free]
        assert delivery is not None
        return delivery

    def take(self) -> Delivery:
        """The oldest, which does not wait any more. There must be one."""
        delivery = self.first()
        self._places[self._free] = None
        self._free += 1
        # Each place moves once at the most for each that was taken.
        if self._free > MAX_FREE and 2 * self._free >= len(self._places):
            del self._places[: self._free]
            self._free = 0
        return delivery

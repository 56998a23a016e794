"""How long to wait before connecting again. No clock and no sleeping here."""

import random
from collections.abc import Callable


class Backoff:
    """Doubling delays with jitter: `first_s`, twice that, … up to `max_s`, each times 0.5 to 1.

    The jitter keeps a thousand clients from coming back in the same instant when a server restarts.
    `draw` gives numbers in [0, 1).
    """

    def __init__(self, first_s: float, max_s: float, draw: Callable[[], float] = random.random) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._draw = draw
        self._failures = 0

    def next_s(self) -> float:
        """The delay before the next attempt."""
        # The exponent is bounded: 2 ** 1100 would no longer be a float.
        delay_s = min(self._max_s, self._first_s * 2.0 ** min(self._failures, 64))
        self._failures += 1
        return delay_s * (0.5 + 0.5 * self._draw())

    def reset(self) -> None:
        """A connection proved to be good: begin with `first_s` again."""
        self._failures = 0

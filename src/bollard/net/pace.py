"""How often somebody does something, remembered in bounded memory: delays that grow, and rates.

Pure arithmetic on keys and monotonic seconds; what a key is and what follows from too much is decided by
who asks (`guard.py`, `gate.py`, `traffic.py`).
"""

import math
from collections import OrderedDict
from collections.abc import Hashable

#: Keys that are remembered; the one that was silent for longest is forgotten first (attack: endless names).
MAX_KEYS = 65_536
#: How far a delay grows beyond the first: 2**12 seconds, more than any ceiling that makes sense.
MAX_STEPS = 12


class _Record:
    """`count` as of `at`, which is when counting down begins; nothing more is taken before `until`."""

    __slots__ = ("at", "count", "until")

    def __init__(self) -> None:
        self.count = 0.0
        self.at = 0.0
        self.until = 0.0


class Delays:
    """After `free` occurrences of a key each further one begins a delay: 1 s, 2 s, 4 s, at most `max_s`.

    One occurrence is forgiven every `forgive_s`, counted from the end of the delay, so that whoever comes back
    at the first moment stays where it is. What is tried within a delay is the caller's to refuse; it does not
    make the delay longer, because a device that knows no better would never come out of it.
    """

    __slots__ = ("_forgive_s", "_free", "_max_s", "_records")

    def __init__(self, free: int, max_s: float, forgive_s: float) -> None:
        self._free = free
        self._max_s = max_s
        self._forgive_s = forgive_s
        self._records: OrderedDict[Hashable, _Record] = OrderedDict()

    def wait_s(self, key: Hashable, now: float) -> float:
        """Seconds until the delay of `key` is over; 0.0 for none."""
        record = self._records.get(key)
        return max(record.until - now, 0.0) if record is not None else 0.0

    def note(self, key: Hashable, now: float, longest_s: float = math.inf) -> float:
        """It has happened once more: the delay that begins with it, 0.0 for none, `longest_s` at most."""
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = _Record()
            if len(self._records) > MAX_KEYS:
                self._records.popitem(last=False)
        else:
            self._records.move_to_end(key)
            record.count = max(record.count - max(now - record.at, 0.0) / self._forgive_s, 0.0)
        record.count = min(record.count + 1, self._free + MAX_STEPS)
        # What was forgiven since the last one is a part of one: it does not make up for a whole one.
        steps = math.ceil(record.count - self._free)
        delay_s = min(2.0 ** (steps - 1), self._max_s, longest_s) if steps > 0 else 0.0
        record.at = record.until = now + delay_s
        return delay_s

    def is_free(self, key: Hashable) -> bool:
        """Whether `key` has not come to its first delay."""
        record = self._records.get(key)
        return record is None or record.count <= self._free

    def forget(self, key: Hashable) -> None:
        """Nothing of `key` counts any more."""
        self._records.pop(key, None)

    def __len__(self) -> int:
        return len(self._records)


class Bucket:
    """One bucket of tokens that refills with time, as the moment at which it will be full again."""

    __slots__ = ("full_at",)

    def __init__(self) -> None:
        self.full_at = 0.0

    def take(self, count: float, rate: float, burst_s: float, now: float) -> float:
        """Take `count` of what refills at `rate` a second and saves up for `burst_s`. More than there is may
        be taken once; what comes back is how many seconds the bucket needs until it has something again."""
        self.full_at = max(self.full_at, now) + count / rate
        return max(self.full_at - now - burst_s, 0.0)


class Rate:
    """So many a second for each key, and `burst` at once."""

    __slots__ = ("_burst_s", "_full_at", "_interval_s")

    def __init__(self, per_s: float, burst: int) -> None:
        self._interval_s = 1 / per_s
        self._burst_s = burst / per_s
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def take(self, key: Hashable, now: float) -> bool:
        """Whether `key` may have one more now; if not, nothing is taken."""
        full_at = max(self._full_at.get(key, 0.0), now) + self._interval_s
        if full_at - now > self._burst_s:
            return False
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > MAX_KEYS:
            self._full_at.popitem(last=False)
        return True

    def __len__(self) -> int:
        return len(self._full_at)

"""How often somebody does something, remembered in bounded memory: delays that grow, and rates.

Pure arithmetic on keys and monotonic seconds; what a key is and what follows from too much is decided by
who asks (`guard.py`, `gate.py`, `traffic.py`).
"""

import math
from collections.abc import Hashable, Iterator
from typing import Any

#: Keys that are remembered; the one that was silent for longest is forgotten first (attack: endless names).
MAX_KEYS = 65_536
#: How far a delay grows beyond the first: 2**12 seconds, more than any ceiling that makes sense.
MAX_STEPS = 12


class Link:
    """A place in one ring, between its neighbours; in none, without."""

    __slots__ = ("after", "before")

    def __init__(self) -> None:
        self._alone()

    def _alone(self) -> None:
        self.before: Link | None = None
        self.after: Link | None = None


class Ring:
    """Links in the order in which they were put; each leaves from where it stands, at once.

    What closes the ring, `_ends`, stands behind the last and before the first.
    """

    __slots__ = ("_ends", "count")

    def __init__(self) -> None:
        ends = Link()
        ends.before = ends.after = ends
        self._ends = ends
        self.count = 0

    def put(self, link: Link) -> None:
        """Last of all. It must be in no ring."""
        ends = self._ends
        last = ends.before
        assert last is not None
        link.before = last
        link.after = ends
        last.after = link
        ends.before = link
        self.count += 1

    def take(self, link: Link) -> None:
        """Out of the ring, if it is in it."""
        before, after = link.before, link.after
        if before is not None and after is not None:
            before.after = after
            after.before = before
            # A link that pointed to itself would be kept until somebody looks for cycles.
            link.before = link.after = None
            self.count -= 1

    def last(self, link: Link) -> None:
        """From where it stands to the end."""
        if self._ends.before is not link:
            self.take(link)
            self.put(link)

    def first(self) -> Any:
        """The link that was put before all others; None if there is none."""
        return self._ends.after if self.count else None

    def __iter__(self) -> Iterator[Any]:
        """From the first to the last. Nothing may be put or taken meanwhile."""
        link = self._ends.after
        while link is not None and link is not self._ends:
            yield link
            link = link.after


class Remembered(Link):
    """Something about `key`."""

    __slots__ = ("key",)

    def __init__(self, key: Hashable) -> None:
        self._open(key)

    def _open(self, key: Hashable) -> None:
        self._alone()
        self.key = key


class Memory:
    """What is remembered by key, `bound` of them at most: the one that was silent for longest is forgotten first."""

    __slots__ = ("_bound", "_by_key", "_order")

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._by_key: dict[Hashable, Remembered] = {}
        self._order = Ring()

    def get(self, key: Hashable) -> Any:
        """What is remembered of `key`, None for nothing; it stays where it is in the order."""
        return self._by_key.get(key)

    def recall(self, key: Hashable) -> Any:
        """As `get`, for a key that is not silent."""
        one = self._by_key.get(key)
        if one is not None:
            self._order.last(one)
        return one

    def touch(self, one: Remembered) -> None:
        """It was not silent."""
        self._order.last(one)

    def put(self, one: Remembered) -> None:
        """Remember `one`, whose key is not known yet."""
        self._by_key[one.key] = one
        self._order.put(one)
        if len(self._by_key) > self._bound:
            silent: Remembered = self._order.first()
            self.forget(silent.key)

    def forget(self, key: Hashable) -> None:
        """Nothing is remembered of `key` any more."""
        one = self._by_key.pop(key, None)
        if one is not None:
            self._order.take(one)

    def __len__(self) -> int:
        return len(self._by_key)


class _Record(Remembered):
    """`count` as of `at`, which is when counting down begins; nothing more is taken before `until`."""

    __slots__ = ("at", "count", "until")

    at: float
    count: float
    until: float


def _new_record(key: Hashable) -> _Record:
    made = _Record.__new__(_Record)
    made._open(key)
    made.count = made.at = made.until = 0.0
    return made


class Delays:
    """After `free` occurrences of a key each further one begins a delay: 1 s, 2 s, 4 s, at most `max_s`.

    One occurrence is forgiven every `forgive_s`, counted from the end of the delay, so that whoever comes back
    at the first moment stays where it is. What is tried within a delay is the caller's to refuse; it does not
    make the delay longer, because a device that knows no better would never come out of it.
    """

    __slots__ = ("_forgive_s", "_free", "_max_s", "_most", "_records")

    def __init__(self, free: int, max_s: float, forgive_s: float) -> None:
        self._free = free
        self._most = free + MAX_STEPS
        self._max_s = max_s
        self._forgive_s = forgive_s
        self._records = Memory(MAX_KEYS)

    def wait_s(self, key: Hashable, now: float) -> float:
        """Seconds until the delay of `key` is over; 0.0 for none."""
        record: _Record | None = self._records.get(key)
        return max(record.until - now, 0.0) if record is not None else 0.0

    def note(self, key: Hashable, now: float, longest_s: float = math.inf) -> float:
        """It has happened once more: the delay that begins with it, 0.0 for none, `longest_s` at most."""
        record: _Record | None = self._records.recall(key)
        if record is None:
            record = _new_record(key)
            self._records.put(record)
        else:
            record.count = max(record.count - max(now - record.at, 0.0) / self._forgive_s, 0.0)
        record.count = min(record.count + 1, self._most)
        delay_s = 0.0
        if record.count > self._free:
            # What was forgiven since the last one is a part of one: it does not make up for a whole one.
            steps = math.ceil(record.count - self._free)
            delay_s = min(2.0 ** (steps - 1), self._max_s, longest_s)
        record.at = record.until = now + delay_s
        return delay_s

    def is_free(self, key: Hashable) -> bool:
        """Whether `key` has not come to its first delay."""
        record: _Record | None = self._records.get(key)
        return record is None or record.count <= self._free

    def forget(self, key: Hashable) -> None:
        """Nothing of `key` counts any more."""
        self._records.forget(key)

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


class _Full(Remembered):
    """When the bucket of a key will be full again."""

    __slots__ = ("at",)

    at: float


def _new_full(key: Hashable) -> _Full:
    made = _Full.__new__(_Full)
    made._open(key)
    made.at = 0.0
    return made


class Rate:
    """So many a second for each key, and `burst` at once."""

    __slots__ = ("_burst_s", "_full", "_interval_s")

    def __init__(self, per_s: float, burst: int) -> None:
        self._interval_s = 1 / per_s
        self._burst_s = burst / per_s
        self._full = Memory(MAX_KEYS)

    def take(self, key: Hashable, now: float) -> bool:
        """Whether `key` may have one more now; if not, nothing is taken."""
        full: _Full | None = self._full.get(key)
        full_at = max(full.at if full is not None else 0.0, now) + self._interval_s
        if full_at - now > self._burst_s:
            return False
        if full is None:
            full = _new_full(key)
            self._full.put(full)
        else:
            self._full.touch(full)
        full.at = full_at
        return True

    def __len__(self) -> int:
        return len(self._full)

"""Checks of passwords that people chose, off the loop: a bounded pool, and a memory of what was right.

One check costs 16 ms of processor and 19 MiB, so

    threads     one fewer than there are cores, so that one is left for the broker's loop (attack: a flood of
                wrong passwords that keeps every core busy)
    waiting     no more checks than these threads are through with before a client runs out of patience;
                whoever comes then is told that the server is busy
    memory      a password that was right is known again by HMAC(boot key, name, password), so that ten
                thousand clients who come back at once cost microseconds each

The memory holds for one state of an identity: every change of it, such as a new credential, a suspension
or a revocation, makes it worthless. Nothing in it is a password, and the boot key never leaves the process.
"""

import hmac
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from bollard.base.types import Secret
from bollard.identity import passwords
from bollard.identity.records import Identity

#: Checks that may wait for each thread: about four seconds of work.
WAITING_PER_THREAD = 256
#: For how long a password that was right is known again, and how many are.
REMEMBERED_S = 24 * 3600.0
MAX_REMEMBERED = 65_536


class SlowChecks:
    """The pool and the memory. For one thread, which its own threads never call; `close` ends it."""

    def __init__(
        self,
        pepper: bytes,
        clock: Callable[[], float],
        *,
        threads: int = 0,
        waiting_per_thread: int = WAITING_PER_THREAD,
    ) -> None:
        """`pepper` is that of `passwords.py`, `clock` monotonic; `threads` 0 means one for each core but one."""
        self._pepper = pepper
        self._clock = clock
        self._key = os.urandom(32)
        count = threads or max(len(os.sched_getaffinity(0)) - 1, 1)
        self._free = count * (1 + waiting_per_thread)
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(count, "passwords")
        self._known: OrderedDict[bytes, tuple[Identity, float]] = OrderedDict()

    def remembers(self, identity: Identity, password: Secret) -> bool:
        """Whether `password` was found right for `identity` as it is now, not long ago."""
        found = self._known.get(self._name(identity.id, password))
        return found is not None and found[0] is identity and self._clock() < found[1]

    def begin(self, identity: Identity | None, password: Secret) -> "Future[bool] | None":
        """Check `password` in the pool; the future tells whether it is right. None: too many wait.

        A name without such a password, None among them, costs the same work and is never right; so does a
        wrong password whose hash, from another broker, is cheap.
        """
        with self._lock:
            if not self._free:
                return None
            self._free -= 1
        try:
            check = self._pool.submit(self._check, identity, password)
        except RuntimeError:  # closed: the server stops
            return None
        check.add_done_callback(self._checked)
        return check

    def remember(self, identity: Identity, password: Secret) -> None:
        """`password` was found right for `identity` as it is."""
        self._known[self._name(identity.id, password)] = (identity, self._clock() + REMEMBERED_S)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)

    def close(self) -> None:
        """Begin nothing more. Returns when no thread is at work; checks that still waited are not made."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _check(self, identity: Identity | None, password: Secret) -> bool:
        stored = identity.password_hash if identity is not None else ""
        right = bool(stored) and passwords.matches(self._pepper, password, stored)
        if not right and (not stored or passwords.is_carried_over(stored)):
            passwords.waste(self._pepper, password)
        return right

    def _checked(self, _check: "Future[bool]") -> None:
        with self._lock:
            self._free += 1

    def _name(self, identity: str, password: Secret) -> bytes:
        # A name never holds a zero byte, so no pair of name and password is written like another one.
        return hmac.digest(self._key, identity.encode() + b"\0" + password.reveal(), "sha256")

"""The clock of all deadlines here: monotonic seconds. Compiled code takes it from `clock.pxd`, without a call of
Python; this file says the same in Python and is never compiled."""

import time


def monotonic() -> float:
    return time.monotonic()

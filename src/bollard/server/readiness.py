"""Tells systemd how the service is, if systemd started it. Does nothing otherwise."""

import contextlib
import os
import socket
import time


def notify(*fields: str) -> None:
    """Send `fields`, such as "READY=1", to the socket that $NOTIFY_SOCKET names.

    A broker must not fail because its supervisor does not listen, so errors are ignored.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or address[0] not in "/@":
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(1.0)
        channel.sendto("\n".join(fields).encode(), address)


def reloading() -> tuple[str, str]:
    """The fields that announce a reload; systemd wants the monotonic time with them."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def watchdog_interval_s() -> float:
    """How often systemd wants to hear "WATCHDOG=1": half of what it allows; 0 if it does not."""
    allowed = os.environ.get("WATCHDOG_USEC", "")
    mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(allowed) / 2_000_000 if allowed.isdigit() and mine else 0.0

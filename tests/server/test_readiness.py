"""What systemd is told."""

import os
import socket
from pathlib import Path

import pytest

from bollard.server.readiness import notify, reloading, watchdog_interval_s


def test_fields_arrive_at_the_socket_that_systemd_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        notify("READY=1", "STATUS=listening")
        assert supervisor.recv(1000) == b"READY=1\nSTATUS=listening"


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"bollard-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind("\0" + name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        notify(*reloading())
        told = supervisor.recv(1000).decode().splitlines()
    assert told[0] == "RELOADING=1"
    assert told[1].startswith("MONOTONIC_USEC=")


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all"])
def test_a_supervisor_that_is_not_there_is_no_error(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")


def test_the_watchdog_hears_twice_in_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert watchdog_interval_s() == 15.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_interval_s() == 0.0
    monkeypatch.delenv("WATCHDOG_USEC")
    assert watchdog_interval_s() == 0.0

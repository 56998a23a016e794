"""bench/bounds.py: what is called a bound was measured on what it is said to be."""

import ssl
from pathlib import Path

import bounds
import brokers
import pytest


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with certificates, as the benchmark has it."""
    folder = tmp_path_factory.mktemp("room")
    brokers.our_broker(folder)
    return folder


@pytest.mark.parametrize("mutual", [False, True], ids=["full", "mutual"])
def test_a_handshake_is_finished_on_both_sides_and_checks_who_is_there(room: Path, mutual: bool) -> None:
    server, client = bounds.contexts(room, mutual)
    one = bounds.Handshake(server, client, None)
    assert one.client.version() == "TLSv1.3"
    assert one.client.getpeercert()
    assert one.server_s > 0
    assert client.verify_mode == ssl.CERT_REQUIRED


def test_a_resumed_handshake_is_one(room: Path) -> None:
    server, client = bounds.contexts(room, mutual=False)
    session = bounds.Handshake(server, client, None).client.session
    assert bounds.Handshake(server, client, session).client.session_reused


def test_each_bound_that_needs_no_other_program_is_a_rate(
    room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "SECONDS", 0.05)
    assert all(bounds.syncs(room, longer=longer) > 0 for longer in (False, True))
    assert bounds.commits(room) > 0


def test_the_table_comes_about_row_by_row_and_says_what_is_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bounds, "rates", lambda room: {"handshakes": lambda: 1234.5})
    monkeypatch.setattr(bounds, "latencies", lambda room: {"p50": lambda: 7.25})
    lines = bounds.measured(tmp_path)
    assert lines[2:] == ["| | at best |", "|---|---|", "| handshakes | 1,234 a second |", "| p50 | 7.2 µs |"]
    printed = capsys.readouterr()
    assert printed.out.splitlines() == lines
    assert printed.err.splitlines() == ["[1/2] handshakes ...", "[2/2] p50 ..."]

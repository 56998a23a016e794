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

"""The words that every floor uses."""

import pytest

from bollard.base.events import ClientConnected
from bollard.base.types import Peer


def test_where_a_connection_came_from_is_shown_without_certificates_and_keys() -> None:
    peer = Peer("192.0.2.7", 4711, "tls", "tls", b"DER", False, (b"hash",), ("plug", b"salt"))
    assert repr(peer) == "Peer('192.0.2.7', 4711, 'tls', 'tls')"


def test_events_and_peers_cannot_be_changed() -> None:
    event = ClientConnected("plug", "a", "192.0.2.7", "tls", 5, False, 60)
    for record, name in ((event, "principal"), (Peer(), "address")):
        with pytest.raises(AttributeError):
            setattr(record, name, "another")

"""Real clients of others over TLS with the shipped root: what each of them offers, in both versions."""

import uuid

import pytest

from cli.daemon import eventually
from interop.peer import Peer


@pytest.fixture
def topic() -> str:
    """A topic that no other test uses."""
    return f"interop/{uuid.uuid4().hex}"


def name() -> str:
    """A client id that no other test uses; 3.1.1 servers need take only 23 letters and digits."""
    return f"c{uuid.uuid4().hex[:20]}"


def test_each_quality_of_service_arrives_once_and_whole(peers: list[Peer], version: int, topic: str) -> None:
    receiver, sender = peers
    receiver.connect(version, name())
    receiver.subscribe(f"{topic}/#", 2)
    sender.connect(version, name())
    for qos in (0, 1, 2):
        sender.publish(f"{topic}/q{qos}", f"payload {qos}", qos)
    assert receiver.receives(*((f"{topic}/q{qos}", f"payload {qos}", qos, 0) for qos in (0, 1, 2)))


def test_wildcards_match_what_they_should(peers: list[Peer], version: int, topic: str) -> None:
    receiver, sender = peers
    receiver.connect(version, name())
    receiver.subscribe(f"{topic}/+/temperature", 1)
    sender.connect(version, name())
    for room in ("hall/temperature", "hall/humidity", "a/b/temperature", "attic/temperature"):
        sender.publish(f"{topic}/{room}", "20")
    assert receiver.receives(
        (f"{topic}/hall/temperature", "20", 1, 0), (f"{topic}/attic/temperature", "20", 1, 0)
    )


def test_a_retained_message_waits_for_who_comes_later(peers: list[Peer], version: int, topic: str) -> None:
    receiver, sender = peers
    sender.connect(version, name())
    sender.publish(topic, "first", 1, retain=True)
    sender.publish(topic, "last", 1, retain=True)
    receiver.connect(version, name())
    receiver.subscribe(topic, 1)
    assert receiver.receives((topic, "last", 1, 1))


def test_a_client_that_vanishes_leaves_its_will(peers: list[Peer], version: int, topic: str) -> None:
    receiver, mortal = peers
    receiver.connect(version, name())
    receiver.subscribe(topic, 1)
    mortal.connect(version, name(), will=topic)
    mortal.vanish()
    assert receiver.receives((topic, "gone", 1, 0))


def test_a_persistent_session_gets_what_came_while_it_was_away(
    peers: list[Peer], version: int, topic: str
) -> None:
    sleeper, sender = peers
    client_id = name()
    assert sleeper.connect(version, client_id, clean=False) in ("0", "?")
    sleeper.subscribe(topic, 1)
    sleeper.disconnect()
    sender.connect(version, name())
    for number in range(3):
        sender.publish(topic, str(number), 1)
    present = sleeper.connect(version, client_id, clean=False)
    assert present in ("1", "?")
    if present == "?":
        # mosquitto_sub connects only to subscribe; for the others it changes nothing.
        sleeper.subscribe(topic, 1)
    assert sleeper.receives(*((topic, str(number), 1, 0) for number in range(3)))


def test_a_shared_subscription_gives_each_message_to_one_member(
    peers: list[Peer], version: int, topic: str
) -> None:
    first, second = peers
    for peer in peers:
        peer.connect(version, name())
        peer.subscribe(f"$share/group/{topic}", 1)
    for number in range(10):
        first.publish(topic, str(number), 1)
    assert eventually(lambda: len(first.messages) + len(second.messages) == 10)
    assert sorted(int(message[1]) for peer in peers for message in peer.messages) == list(range(10))
    assert first.messages
    assert second.messages

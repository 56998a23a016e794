from typing import Any

import pytest

from bollard.client.errors import (
    DeliveryUnknown,
    NotSupported,
    PublishRefused,
    QueueFull,
    ServerBrokeProtocol,
)
from bollard.client.outgoing import MAX_INFLIGHT, MAX_WAITING, PacketIds
from bollard.wire.publish import Ack, Publish
from bollard.wire.spec import PacketType
from client.peer import Talk

PUBACK, PUBREC, PUBREL, PUBCOMP = PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP


def published(talk: Talk) -> list[tuple[bytes, int, int]]:
    """(payload, packet id, DUP) of what was sent."""
    return [(p.payload, p.packet_id, p.dup) for p in talk.sent() if isinstance(p, Publish)]


def test_qos_1_is_done_at_puback(version: int) -> None:
    talk = Talk(version=version)
    talk.connect()
    token = talk.publish(qos=1)
    assert published(talk) == [(b"p", 1, 0)]
    assert talk.outcomes() == {}
    talk.ack(PUBACK, 1)
    assert talk.outcomes() == {token: 0}


def test_qos_2_is_released_at_pubrec_and_done_at_pubcomp(version: int) -> None:
    talk = Talk(version=version)
    talk.connect()
    token = talk.publish(qos=2)
    talk.sent()
    talk.ack(PUBREC, 1)
    assert talk.sent() == [Ack(PUBREL, 1)]
    assert talk.outcomes() == {}
    talk.ack(PUBCOMP, 1)
    assert talk.outcomes() == {token: 0}


def test_no_matching_subscribers_is_success() -> None:
    talk = Talk()
    talk.connect()
    token = talk.publish(qos=1)
    talk.ack(PUBACK, 1, 0x10)
    assert talk.outcomes() == {token: 0x10}


@pytest.mark.parametrize(("qos", "answer"), [(1, PUBACK), (2, PUBREC)])
def test_a_refused_message_says_its_code(qos: int, answer: PacketType) -> None:
    talk = Talk()
    talk.connect()
    token = talk.publish("a", qos=qos)
    talk.ack(answer, 1, 0x87)
    error = talk.outcomes()[token]
    assert isinstance(error, PublishRefused)
    assert (error.code, error.topic) == (0x87, "a")
    assert not talk.core.closing


@pytest.mark.parametrize(("qos", "answer"), [(1, PUBREC), (1, PUBCOMP), (2, PUBACK), (2, PUBCOMP)])
def test_the_acknowledgement_of_another_qos_is_a_protocol_error(
    version: int, qos: int, answer: PacketType
) -> None:
    talk = Talk(version=version)
    talk.connect()
    talk.publish(qos=qos)
    talk.ack(answer, 1)
    assert isinstance(talk.core.failure, ServerBrokeProtocol)


def test_the_servers_receive_maximum_is_kept() -> None:
    talk = Talk()
    talk.connect(receive_maximum=2)
    for number in range(4):
        talk.publish(payload=b"%d" % number, qos=1 + number % 2)
    assert [payload for payload, _, _ in published(talk)] == [b"0", b"1"]
    talk.ack(PUBACK, 1)
    assert published(talk) == [(b"2", 3, 0)]
    talk.ack(PUBREC, 2)
    assert published(talk) == []
    talk.ack(PUBCOMP, 2)
    assert [payload for payload, _, _ in published(talk)] == [b"3"]


def test_3_1_1_has_a_window_of_our_own() -> None:
    talk = Talk(version=4)
    talk.connect()
    for _ in range(MAX_INFLIGHT[4] + 5):
        talk.publish(qos=1)
    assert len(published(talk)) == MAX_INFLIGHT[4]


def test_order_is_kept_across_qos() -> None:
    talk = Talk()
    talk.connect(receive_maximum=1)
    talk.publish(payload=b"1", qos=1)
    talk.publish(payload=b"2", qos=1)
    talk.publish(payload=b"3")
    assert [payload for payload, _, _ in published(talk)] == [b"1"]
    talk.ack(PUBACK, 1)
    assert [payload for payload, _, _ in published(talk)] == [b"2", b"3"]


def test_after_a_resume_old_messages_come_first_with_dup_and_their_identifiers() -> None:
    talk = Talk(reconnects=True)
    talk.connect()
    tokens = [talk.publish(payload=b"%d" % number, qos=1) for number in range(3)]
    talk.core.lost()
    tokens.append(talk.publish(payload=b"new", qos=1))
    again = talk.connect(session_present=True)
    shown = [(p.payload, p.packet_id, p.dup) for p in again if isinstance(p, Publish)]
    assert shown == [(b"0", 1, 1), (b"1", 2, 1), (b"2", 3, 1), (b"new", 4, 0)]
    for packet_id in (1, 2, 3, 4):
        talk.ack(PUBACK, packet_id)
    assert talk.outcomes().keys() >= set(tokens)


def test_after_a_resume_releases_are_sent_again() -> None:
    talk = Talk(reconnects=True)
    talk.connect()
    token = talk.publish(qos=2)
    talk.ack(PUBREC, 1)
    talk.core.lost()
    assert talk.connect(session_present=True) == [Ack(PUBREL, 1)]
    talk.ack(PUBCOMP, 1)
    assert talk.outcomes()[token] == 0


def test_a_smaller_receive_maximum_after_a_resume_is_kept() -> None:
    talk = Talk(reconnects=True)
    talk.connect()
    for _ in range(3):
        talk.publish(qos=1)
    talk.core.lost()
    assert len(talk.connect(session_present=True, receive_maximum=1)) == 1


def test_when_the_session_is_lost_qos_1_is_sent_as_new_and_qos_2_is_unknown(version: int) -> None:
    talk = Talk(version=version, reconnects=True)
    talk.connect()
    once, sure, released = talk.publish(payload=b"1", qos=1), talk.publish(qos=2), talk.publish(qos=2)
    talk.ack(PUBREC, 3)
    talk.core.lost()
    again = talk.connect(session_present=False)
    assert [(p.payload, p.dup) for p in again if isinstance(p, Publish)] == [(b"1", 0)]
    outcomes = talk.outcomes()
    assert isinstance(outcomes[sure], DeliveryUnknown)
    assert outcomes[released] == 0
    assert once not in outcomes


@pytest.mark.parametrize(
    ("said", "qos", "retain", "size"),
    [
        ({"maximum_qos": 0}, 1, False, 1),
        ({"retain_available": 0}, 0, True, 1),
        ({"maximum_packet_size": 20}, 0, False, 30),
    ],
    ids=["qos", "retain", "size"],
)
def test_what_the_server_said_it_does_not_take_is_not_sent(
    said: dict[str, Any], qos: int, retain: bool, size: int
) -> None:
    talk = Talk()
    talk.connect(**said)
    token = talk.publish(payload=b"x" * size, qos=qos, retain=retain)
    assert talk.sent() == []
    assert isinstance(talk.outcomes()[token], NotSupported)


def test_messages_cannot_wait_without_bound() -> None:
    talk = Talk()
    for _ in range(MAX_WAITING):
        talk.publish()
    with pytest.raises(QueueFull):
        talk.publish()


def test_packet_identifiers_are_not_used_twice_and_come_round() -> None:
    ids = PacketIds()
    assert [ids.take() for _ in range(65_535)] == list(range(1, 65_536))
    with pytest.raises(QueueFull):
        ids.take()
    ids.free(40_000)
    assert ids.take() == 40_000

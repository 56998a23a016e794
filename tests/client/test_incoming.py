import pytest

from bollard.client.errors import QueueFull, ServerBrokeProtocol
from bollard.wire.publish import Ack, encode_publish, property_bytes, publish_head
from bollard.wire.spec import PacketType
from client.peer import Talk


def aliased(topic: bytes, alias: int) -> bytes:
    tail = property_bytes(b"", -1, alias, ())
    return publish_head(topic, 0, 0, 0, len(tail)) + tail


def test_qos_1_is_acknowledged_when_it_is_taken(version: int) -> None:
    talk = Talk(version=version)
    talk.connect()
    talk.deliver("a", qos=1, packet_id=7)
    assert talk.sent() == []
    assert talk.take() == "a"
    assert talk.sent() == [Ack(PacketType.PUBACK, 7)]


def test_qos_2_is_received_when_it_is_taken_and_complete_after_the_release(version: int) -> None:
    talk = Talk(version=version)
    talk.connect()
    talk.deliver("a", qos=2, packet_id=7)
    assert talk.sent() == []
    talk.take()
    assert talk.sent() == [Ack(PacketType.PUBREC, 7)]
    talk.ack(PacketType.PUBREL, 7)
    assert talk.sent() == [Ack(PacketType.PUBCOMP, 7)]


@pytest.mark.parametrize("taken", [False, True])
def test_qos_2_is_delivered_once_over_a_reconnection(version: int, taken: bool) -> None:
    talk = Talk(version=version, reconnects=True, clean_start=False, client_id="c")
    talk.connect()
    talk.deliver("a", qos=2, packet_id=7)
    if taken:
        talk.take()
    talk.core.lost()
    talk.connect(session_present=True)
    talk.deliver("a", qos=2, packet_id=7, dup=1)
    if not taken:
        assert talk.take() == "a"
    assert talk.sent() == [Ack(PacketType.PUBREC, 7)]
    assert len(talk.core.inbox) == 0


def test_qos_1_that_was_not_taken_is_not_queued_twice() -> None:
    talk = Talk(reconnects=True)
    talk.connect()
    talk.deliver("a", qos=1, packet_id=7)
    talk.core.lost()
    talk.connect(session_present=True)
    talk.deliver("a", qos=1, packet_id=7, dup=1)
    assert len(talk.core.inbox) == 1
    talk.take()
    assert talk.sent() == [Ack(PacketType.PUBACK, 7)]


def test_another_qos_1_message_with_the_same_identifier_is_not_taken_for_the_old_one() -> None:
    talk = Talk(reconnects=True)
    talk.connect()
    talk.deliver("old", qos=1, packet_id=7)
    talk.core.lost()
    talk.connect(session_present=True)
    talk.deliver("new", qos=1, packet_id=7)
    assert [talk.take(), talk.take()] == ["old", "new"]


def test_a_message_of_a_lost_session_is_delivered_but_not_acknowledged() -> None:
    talk = Talk(reconnects=True)
    talk.connect()
    talk.deliver("a", qos=1, packet_id=7)
    talk.core.lost()
    talk.connect(session_present=False)
    assert talk.take() == "a"
    assert talk.sent() == []


def test_more_than_our_receive_maximum_ends_the_connection() -> None:
    talk = Talk(receive_maximum=2)
    talk.connect()
    for packet_id in (1, 2, 3):
        talk.deliver("a", qos=1, packet_id=packet_id)
    assert isinstance(talk.core.failure, ServerBrokeProtocol)
    assert talk.core.failure.code == 0x93


def test_a_qos_2_message_counts_until_its_release() -> None:
    talk = Talk(receive_maximum=1)
    talk.connect()
    talk.deliver("a", qos=2, packet_id=1)
    talk.take()
    talk.deliver("b", qos=2, packet_id=2)
    assert talk.core.closing


def test_an_identifier_of_another_qos_in_use_is_a_protocol_error(version: int) -> None:
    talk = Talk(version=version)
    talk.connect()
    talk.deliver("a", qos=2, packet_id=1)
    talk.deliver("a", qos=1, packet_id=1)
    assert isinstance(talk.core.failure, ServerBrokeProtocol)


def test_a_release_before_it_was_received_is_a_protocol_error(version: int) -> None:
    talk = Talk(version=version)
    talk.connect()
    talk.deliver("a", qos=2, packet_id=1)
    talk.ack(PacketType.PUBREL, 1)
    assert isinstance(talk.core.failure, ServerBrokeProtocol)


def test_an_alias_stands_for_its_topic_until_it_is_set_anew() -> None:
    talk = Talk(topic_alias_maximum=2)
    talk.connect()
    talk.say(aliased(b"a", 1), aliased(b"", 1), aliased(b"b", 1), aliased(b"", 1))
    assert [talk.take() for _ in range(4)] == ["a", "a", "b", "b"]


def test_an_alias_does_not_outlive_its_connection() -> None:
    talk = Talk(reconnects=True)
    talk.connect()
    talk.say(aliased(b"a", 1))
    talk.core.lost()
    talk.connect(session_present=True)
    talk.say(aliased(b"", 1))
    assert isinstance(talk.core.failure, ServerBrokeProtocol)


@pytest.mark.parametrize(("maximum", "code"), [(0, 0x94), (1, 0x94), (2, 0x82)])
def test_an_alias_that_was_never_allowed_or_set_ends_the_connection(maximum: int, code: int) -> None:
    talk = Talk(topic_alias_maximum=maximum)
    talk.connect()
    talk.say(aliased(b"", 2))
    assert isinstance(talk.core.failure, ServerBrokeProtocol)
    assert talk.core.failure.code == code


@pytest.mark.parametrize("topic", [b"a/+", b"a/#", b"\xff", b"a\0"])
def test_a_topic_that_is_no_topic_name_ends_the_connection(version: int, topic: bytes) -> None:
    talk = Talk(version=version)
    talk.connect()
    talk.say(encode_publish(topic, b"", version=version))
    assert isinstance(talk.core.failure, ServerBrokeProtocol)


def test_the_inbox_is_bounded_in_bytes_too() -> None:
    talk = Talk(max_queue_bytes=2_000)
    talk.connect()
    for _ in range(3):
        talk.deliver("a", b"x" * 1_000)
    assert talk.core.holding
    assert len(talk.core.inbox) == 2


def test_a_server_that_floods_while_an_answer_is_awaited_is_cut_off() -> None:
    talk = Talk(version=4, max_queue_bytes=2_000)
    talk.connect()
    talk.publish(qos=1)
    for packet_id in range(1, 10):
        talk.deliver("a", b"x" * 1_000, qos=1, packet_id=packet_id)
    assert isinstance(talk.core.failure, QueueFull)
    assert len(talk.core.inbox) == 3


def test_flags_and_properties_reach_the_application() -> None:
    talk = Talk()
    talk.connect()
    tail = property_bytes(b"\x03\x00\x01j\x26\x00\x01k\x00\x01v", 30, 0, (5, 6))
    talk.say(publish_head(b"a", 0, 1, 0, len(tail)) + tail)
    message = talk.core.take_message(talk.now)
    assert message.retain
    told = message.properties
    assert (told.content_type, told.message_expiry_interval) == ("j", 30)
    assert (told.subscription_identifiers, told.user_properties) == ((5, 6), (("k", "v"),))

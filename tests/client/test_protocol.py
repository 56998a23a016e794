import math

import pytest

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.client.errors import ConnectRefused, ServerBrokeProtocol, ServerDisconnected, SubscribeRefused
from bollard.client.protocol import CONNECT_TOKEN, RESUME_S
from bollard.wire.codec import encode
from bollard.wire.connect import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    Will,
)
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack, Publish, encode_publish
from bollard.wire.spec import PacketType
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter
from client.peer import Talk


def first_packet(talk: Talk) -> Connect:
    talk.core.connect(talk.now)
    (packet,) = talk.sent()
    assert isinstance(packet, Connect)
    return packet


def test_connect_carries_all_settings(version: int) -> None:
    talk = Talk(
        version=version,
        client_id="me",
        username="u",
        password=Secret(b"p"),
        keepalive_s=7,
        will=Will("w", b"gone", 1, True),
    )
    packet = first_packet(talk)
    assert (packet.version, packet.client_id, packet.username, packet.password) == (version, "me", "u", b"p")
    assert (packet.keepalive_s, packet.clean_start) == (7, True)
    assert packet.will == Will("w", b"gone", 1, True)


def test_version_5_announces_its_bounds() -> None:
    talk = Talk(receive_maximum=7, max_packet_bytes=1000, topic_alias_maximum=3, session_expiry_s=60)
    told = first_packet(talk).properties
    assert (told.receive_maximum, told.maximum_packet_size, told.topic_alias_maximum) == (7, 1000, 3)
    assert told.session_expiry_interval == 60


def test_a_good_connack_connects(version: int) -> None:
    talk = Talk(version=version)
    talk.connect()
    assert isinstance(dict(talk.core.take_outcomes())[CONNECT_TOKEN], Connack)
    assert not talk.core.closing


def test_a_refusal_ends_with_its_code(version: int) -> None:
    talk = Talk(version=version)
    talk.core.connect(talk.now)
    talk.sent()
    talk.say(Connack(False, 0x87))
    assert isinstance(talk.core.failure, ConnectRefused)
    assert talk.core.failure.code == 0x87
    assert not talk.core.failure.heals
    assert talk.core.closing
    assert talk.sent() == []


def test_an_assigned_client_id_is_kept_for_the_next_connection() -> None:
    talk = Talk(reconnects=True)
    talk.connect(assigned_client_identifier="s-1")
    talk.core.lost()
    packet = first_packet(talk)
    assert packet.client_id == "s-1"
    assert not packet.clean_start


def test_a_reconnecting_client_asks_for_a_session_and_ends_it_when_it_closes() -> None:
    talk = Talk(reconnects=True)
    assert first_packet(talk).properties.session_expiry_interval == RESUME_S
    talk.say(Connack())
    talk.core.disconnect(talk.now)
    assert talk.sent() == [Disconnect(0, Properties(session_expiry_interval=0))]


def test_a_session_that_was_asked_for_is_left_when_the_client_closes() -> None:
    talk = Talk(reconnects=True, session_expiry_s=900, clean_start=False)
    talk.connect()
    talk.core.disconnect(talk.now)
    assert talk.sent() == [Disconnect()]


def test_an_old_session_after_a_clean_start_is_a_protocol_error(version: int) -> None:
    talk = Talk(version=version)
    talk.connect(session_present=True)
    assert isinstance(talk.core.failure, ServerBrokeProtocol)


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x03\x00\x01t",
        b"\x90\x03\x00\x01\x00",
        b"\xd0\x00",
        b"\x40\x02\x00\x01",
    ],
    ids=["PUBLISH", "SUBACK", "PINGRESP", "PUBACK"],
)
def test_anything_before_connack_is_a_protocol_error(data: bytes) -> None:
    talk = Talk(version=4)
    talk.core.connect(talk.now)
    talk.say(data)
    assert isinstance(talk.core.failure, ServerBrokeProtocol)


@pytest.mark.parametrize(
    "packet", [Connack(), Connect(version=5), Pingreq(), Pingresp()], ids=lambda p: type(p).__name__
)
def test_what_a_server_must_not_send_ends_the_connection(
    packet: Connack | Connect | Pingreq | Pingresp,
) -> None:
    talk = Talk()
    talk.connect()
    talk.say(packet)
    assert isinstance(talk.core.failure, ServerBrokeProtocol)
    assert talk.sent() == [Disconnect(0x82)]


@pytest.mark.parametrize("packet_type", [4, 5, 7], ids=["PUBACK", "PUBREC", "PUBCOMP"])
def test_an_acknowledgement_that_nothing_waits_for_is_a_protocol_error(
    version: int, packet_type: int
) -> None:
    talk = Talk(version=version)
    talk.connect()
    talk.ack(packet_type, 9)
    assert isinstance(talk.core.failure, ServerBrokeProtocol)


def test_a_disconnect_from_a_3_1_1_server_is_a_protocol_error() -> None:
    talk = Talk(version=4)
    talk.connect()
    talk.say(b"\xe0\x00")
    assert isinstance(talk.core.failure, ServerBrokeProtocol)


def test_the_servers_disconnect_says_why() -> None:
    talk = Talk()
    talk.connect()
    talk.say(Disconnect(0x9C, Properties(reason_string="full\x1b[2J", server_reference="other:8883")))
    failure = talk.core.failure
    assert isinstance(failure, ServerDisconnected)
    assert (failure.code, failure.reference, failure.heals) == (0x9C, "other:8883", False)
    assert "\x1b" not in str(failure)
    assert talk.sent() == []


def test_a_packet_above_our_maximum_is_refused_before_its_body_comes() -> None:
    talk = Talk(max_packet_bytes=64)
    talk.connect()
    talk.say(b"\x30\xff\xff\x03")
    assert isinstance(talk.core.failure, ServerBrokeProtocol)
    assert talk.sent() == [Disconnect(0x95)]


def test_every_cut_of_a_conversation_gives_the_same(version: int) -> None:
    said = b"".join(
        (
            encode(Connack(), version),
            encode_publish(b"a", b"1", version=version),
            encode_publish(b"b", b"2", qos=1, packet_id=1, version=version),
            encode_publish(b"c", b"3", qos=2, packet_id=2, version=version),
        )
    )
    for cut in range(len(said) + 1):
        talk = Talk(version=version)
        talk.core.connect(talk.now)
        talk.say(said[:cut])
        talk.say(said[cut:])
        assert [talk.take() for _ in range(3)] == ["a", "b", "c"]


def test_garbage_never_raises(version: int) -> None:
    for first in range(256):
        for rest in (b"", b"\x00", b"\x02\x00\x00", b"\x03\xff\xff\xff", b"\xff\xff\xff\xff\xff"):
            talk = Talk(version=version)
            talk.connect()
            talk.say(bytes((first,)) + rest)
            assert talk.core.closing == (talk.core.failure is not None)


def test_publishing_at_qos_0_is_done_when_it_is_sent(version: int) -> None:
    talk = Talk(version=version)
    talk.connect()
    token = talk.publish("a", b"1", retain=True)
    (packet,) = talk.sent()
    assert isinstance(packet, Publish)
    assert (packet.topic, packet.payload, packet.retain) == (b"a", b"1", 1)
    assert talk.outcomes()[token] == 0


def test_publishing_before_a_connection_waits_for_it(version: int) -> None:
    talk = Talk(version=version)
    token = talk.publish()
    assert talk.outcomes() == {}
    (packet,) = talk.connect()
    assert isinstance(packet, Publish)
    assert talk.outcomes()[token] == 0


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0b"])
def test_a_topic_that_cannot_be_published_to_is_our_own_mistake(topic: str) -> None:
    talk = Talk()
    talk.connect()
    with pytest.raises(LocalError):
        talk.publish(topic)
    assert talk.sent() == []


def test_a_lost_session_gets_its_subscriptions_again(version: int) -> None:
    talk = Talk(version=version, reconnects=True)
    talk.connect()
    token = talk.core.subscribe((SubscribeFilter("a/#", 1), SubscribeFilter("b", 2)), 0, talk.now)
    (asked,) = talk.sent()
    assert isinstance(asked, Subscribe)
    talk.say(Suback(asked.packet_id, (1, 2)))
    assert talk.outcomes()[token] == (1, 2)
    talk.core.lost()
    (again,) = talk.connect(session_present=False)
    assert isinstance(again, Subscribe)
    assert again.filters == asked.filters


def test_a_resumed_session_keeps_its_subscriptions() -> None:
    talk = Talk(reconnects=True)
    talk.connect()
    talk.core.subscribe((SubscribeFilter("a/#", 1),), 0, talk.now)
    talk.sent()
    talk.say(Suback(1, (1,)))
    talk.core.lost()
    assert talk.connect(session_present=True) == []


def test_a_subscription_refused_after_a_loss_ends_the_client_with_that() -> None:
    talk = Talk(reconnects=True)
    talk.connect()
    talk.core.subscribe((SubscribeFilter("a/#", 1),), 0, talk.now)
    talk.sent()
    talk.say(Suback(1, (1,)))
    talk.core.lost()
    (again,) = talk.connect()
    assert isinstance(again, Subscribe)
    talk.say(Suback(again.packet_id, (0x87,)))
    assert isinstance(talk.core.failure, SubscribeRefused)
    assert not talk.core.failure.heals


def test_an_idle_connection_is_kept_alive_by_pings(version: int) -> None:
    talk = Talk(version=version, keepalive_s=100)
    talk.connect()
    assert talk.core.next_deadline() == talk.now + 75
    talk.now += 75
    talk.core.tick(talk.now)
    assert talk.sent() == [Pingreq()]
    talk.say(Pingresp())
    assert not talk.core.closing


def test_a_server_that_does_not_answer_a_ping_is_given_up() -> None:
    talk = Talk(keepalive_s=100)
    talk.connect()
    talk.now += 75
    talk.core.tick(talk.now)
    talk.now = talk.core.next_deadline()
    talk.core.tick(talk.now)
    assert talk.core.closing
    assert talk.core.failure is not None
    assert talk.core.failure.heals


def test_the_servers_keep_alive_replaces_ours() -> None:
    talk = Talk(keepalive_s=100)
    talk.connect(server_keep_alive=0)
    assert talk.core.next_deadline() == math.inf


def test_a_full_inbox_stops_reading_until_messages_are_taken() -> None:
    talk = Talk(max_queue_messages=2)
    talk.connect()
    talk.say(*(encode_publish(name, b"", version=5) for name in (b"a", b"b", b"c")))
    assert talk.core.holding
    assert len(talk.core.inbox) == 2
    assert [talk.take() for _ in range(3)] == ["a", "b", "c"]
    assert talk.core.inbox.dropped == 0
    assert not talk.core.holding


def test_an_awaited_answer_is_found_behind_a_full_inbox() -> None:
    talk = Talk(max_queue_messages=1)
    talk.connect()
    talk.deliver("a")
    assert talk.core.holding
    token = talk.publish(qos=1)
    talk.deliver("b")
    talk.ack(PacketType.PUBACK, 1)
    assert talk.outcomes()[token] == 0
    assert talk.core.inbox.dropped == 1
    assert talk.core.holding


def test_while_reading_stops_a_missing_ping_answer_is_no_loss() -> None:
    talk = Talk(max_queue_messages=1, keepalive_s=10)
    talk.connect()
    talk.deliver("a")
    for _ in range(5):
        talk.now = talk.core.next_deadline()
        talk.core.tick(talk.now)
    assert not talk.core.closing


def test_a_ping_proves_that_qos_0_arrived(version: int) -> None:
    talk = Talk(version=version, max_queue_messages=1)
    talk.connect()
    assert talk.core.prove(talk.now) == 0
    talk.publish()
    talk.sent()
    token = talk.core.prove(talk.now)
    assert talk.sent() == [Pingreq()]
    talk.deliver("a")
    talk.say(Pingresp())
    assert talk.outcomes()[token] == 0


def test_the_answer_to_an_earlier_ping_proves_nothing() -> None:
    talk = Talk(keepalive_s=100)
    talk.connect()
    talk.now += 75
    talk.core.tick(talk.now)
    talk.publish()
    token = talk.core.prove(talk.now)
    talk.say(Pingresp())
    assert token not in talk.outcomes()
    talk.say(Pingresp())
    assert talk.outcomes() == {token: 0}
    assert not talk.core.closing


def test_a_loss_ends_the_wait_for_the_proof() -> None:
    talk = Talk()
    talk.connect()
    talk.publish()
    token = talk.core.prove(talk.now)
    talk.core.lost()
    assert talk.outcomes()[token] is talk.core.failure


def test_auth_without_a_mechanism_is_a_protocol_error() -> None:
    talk = Talk()
    talk.connect()
    talk.say(Auth(0x18, Properties(authentication_method="X", authentication_data=b"?")))
    assert isinstance(talk.core.failure, ServerBrokeProtocol)


def test_abandoning_ends_everything_that_waits() -> None:
    talk = Talk()
    talk.connect()
    tokens = {talk.publish(qos=1), talk.publish(qos=2)}
    tokens.add(talk.core.subscribe((SubscribeFilter("a"),), 0, talk.now))
    talk.core.lost()
    assert talk.core.failure is not None
    talk.outcomes()
    talk.core.abandon(talk.core.failure)
    assert set(talk.outcomes()) == tokens


def test_a_will_can_be_asked_for_at_the_end() -> None:
    talk = Talk(will=Will("w", b"gone"))
    talk.connect()
    talk.core.disconnect(talk.now, send_will=True)
    assert talk.sent() == [Disconnect(0x04)]


def test_in_3_1_1_a_will_is_asked_for_by_silence() -> None:
    talk = Talk(version=4, will=Will("w", b"gone"))
    talk.connect()
    talk.core.disconnect(talk.now, send_will=True)
    assert talk.sent() == []


def test_the_answer_to_a_release_of_something_unknown_says_so() -> None:
    talk = Talk(clean_start=False, client_id="c")
    talk.connect(session_present=True)
    talk.ack(PacketType.PUBREL, 5)
    assert talk.sent() == [Ack(PacketType.PUBCOMP, 5, 0x92)]

"""How a message looks on the wire, once for all that get it alike."""

from hypothesis import given
from hypothesis import strategies as st

from bollard.session.message import Delivery, Message
from bollard.wire.codec import decode_all
from bollard.wire.properties import Properties
from bollard.wire.publish import Publish, encode_publish

PROPERTIES = Properties(
    payload_format_indicator=1,
    content_type="text",
    response_topic="answer",
    correlation_data=b"\0\1",
    user_properties=(("b", "2"), ("a", "1"), ("b", "2")),
)


def received() -> Publish:
    """A PUBLISH with every property that is passed on."""
    data = encode_publish(b"a/b", b"payload", qos=1, packet_id=9, version=5, properties=PROPERTIES)
    [packet] = decode_all(data, 5)
    assert isinstance(packet, Publish)
    return packet


def message(payload: bytes = b"payload", forward: bytes = b"", expires_at: float = 0.0) -> Message:
    return Message("a/b", b"a/b", payload, 1, 0, "", "", forward, expires_at)


@given(st.sampled_from([4, 5]), st.integers(0, 1), st.binary(max_size=300))
def test_the_packet_is_the_message(version: int, retain: int, payload: bytes) -> None:
    delivery = Delivery(message(payload), 0, retain, (3, 1) if version == 5 else (), 1)
    [packet] = decode_all(delivery.packet(version, 0.0), version)
    assert isinstance(packet, Publish)
    assert (packet.topic, packet.payload, packet.qos, packet.retain) == (b"a/b", payload, 0, retain)
    assert packet.identifiers == ((3, 1) if version == 5 else ())


def test_properties_are_passed_on_unaltered_and_in_their_order() -> None:
    delivery = Delivery(message(forward=received().forward), 0, 0, (), 1)
    [packet] = decode_all(delivery.packet(5, 0.0), 5)
    assert isinstance(packet, Publish)
    assert packet.properties() == PROPERTIES


def test_a_3_1_1_client_gets_no_properties() -> None:
    delivery = Delivery(message(forward=received().forward, expires_at=99.0), 0, 0, (1,), 1)
    assert delivery.packet(4, 0.0) == encode_publish(b"a/b", b"payload", version=4)


def test_the_bytes_are_made_once_for_all_receivers() -> None:
    delivery = Delivery(message(), 0, 0, (), 1)
    assert delivery.packet(5, 0.0) is delivery.packet(5, 1.0)
    assert delivery.packet(4, 0.0) is delivery.packet(4, 1.0)


def test_the_expiry_interval_is_counted_down_for_each_second() -> None:
    delivery = Delivery(message(expires_at=1010.0), 0, 0, (), 1)
    intervals = []
    for now in (1000.0, 1003.5, 1009.9):
        [packet] = decode_all(delivery.packet(5, now), 5)
        assert isinstance(packet, Publish)
        intervals.append(packet.expiry)
    assert intervals == [10, 7, 1]


def test_a_message_expires_at_its_second_and_not_before() -> None:
    assert not message(expires_at=1000.0).expired(999.9)
    assert message(expires_at=1000.0).expired(1000.0)
    assert not message().expired(1e9)

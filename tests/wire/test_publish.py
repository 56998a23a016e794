import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.base.errors import LocalError, MalformedPacket, PeerError, ProtocolError
from bollard.wire.codec import decode_all, encode
from bollard.wire.framer import Framer
from bollard.wire.properties import Properties
from bollard.wire.publish import (
    Ack,
    Publish,
    decode_ack,
    encode_ack,
    encode_publish,
    packet_id_bytes,
    property_bytes,
    publish_head,
    short_ack,
)
from bollard.wire.spec import MAX_SUBSCRIPTION_IDENTIFIERS, MAX_USER_PROPERTIES, PacketType
from wire.packets import DATA, TOPIC, U16, properties


def decode(data: bytes, version: int) -> Publish:
    framer = Framer(10_000_000)
    framer.feed(data)
    assert framer.next()
    packet = Publish()
    packet.decode(framer.buffer, framer.header, framer.body, framer.end, version)
    assert framer.end == len(data)
    return packet


def with_properties(block: bytes, topic: bytes = b"t") -> Publish:
    """The QoS 0 PUBLISH of 5.0 with these property bytes."""
    body = bytes((0, len(topic))) + topic + bytes((len(block) & 127 | 128, len(block) >> 7)) + block
    if len(block) < 128:
        body = bytes((0, len(topic))) + topic + bytes((len(block),)) + block
    packet = Publish()
    packet.decode(b"??" + body + b"payload", 0x30, 2, len(body) + 9, 5)
    return packet


def code_of(block: bytes, topic: bytes = b"t") -> int:
    try:
        with_properties(block, topic)
    except PeerError as fault:
        return fault.code
    return 0


@given(
    topic=TOPIC,
    payload=DATA,
    qos=st.integers(0, 2),
    retain=st.integers(0, 1),
    packet_id=st.integers(1, 65_535),
    version=st.sampled_from([4, 5]),
    wanted=properties(PacketType.PUBLISH),
)
def test_a_publish_comes_back(
    topic: str, payload: bytes, qos: int, retain: int, packet_id: int, version: int, wanted: Properties
) -> None:
    data = encode_publish(
        topic.encode(),
        payload,
        qos=qos,
        retain=retain,
        dup=int(qos > 0),
        packet_id=packet_id,
        version=version,
        properties=wanted,
    )
    packet = decode(data, version)
    assert (packet.topic, packet.payload) == (topic.encode(), payload)
    assert (packet.qos, packet.retain, packet.dup) == (qos, retain, int(qos > 0))
    assert packet.packet_id == (packet_id if qos else 0)
    assert packet.properties() == (wanted if version == 5 else Properties())


def test_a_publish_of_3_1_1_as_the_specification_shows_it() -> None:
    """[MQTT3-3.3.2.3]"""
    packet = decode(b"\x3b\x0a\0\x03a/b\0\x0axyz", 4)
    assert repr(packet) == "Publish(topic=b'a/b', qos=1, retain=1, dup=1, packet_id=10, payload of 3 bytes)"
    assert packet.payload == b"xyz"


def test_the_object_keeps_nothing_of_the_packet_before() -> None:
    first = encode_publish(
        b"a",
        b"1",
        qos=2,
        retain=1,
        dup=1,
        packet_id=9,
        version=5,
        properties=Properties(
            topic_alias=1, message_expiry_interval=5, content_type="x", subscription_identifiers=(7,)
        ),
    )
    packet = decode(first, 5)
    assert (packet.alias, packet.expiry, packet.identifiers) == (1, 5, (7,))
    packet.decode(b"\x30\x04\0\x01b\0", 0x30, 2, 6, 5)
    fresh = Publish()
    fresh.topic = b"b"
    assert packet == fresh
    assert packet != first


def test_what_is_passed_on_keeps_its_bytes_and_its_order() -> None:
    """[MQTT5-3.3.2-17] [MQTT5-3.3.2-18] and their neighbours"""
    user = b"\x26\0\1b\0\1x"
    other = b"\x26\0\1a\0\1y"
    block = (
        user
        + b"\x23\0\5"
        + b"\x09\0\2\0\xff"
        + b"\x02\0\0\1\0"
        + other
        + b"\x0b\x80\x01"
        + b"\x01\1\x03\0\1c\x08\0\1r"
    )
    packet = with_properties(block)
    assert packet.forward == user + b"\x09\0\2\0\xff" + other + b"\x01\1\x03\0\1c\x08\0\1r"
    assert (packet.alias, packet.expiry, packet.identifiers) == (5, 256, (128,))
    assert packet.payload == b"payload"


@pytest.mark.parametrize(
    ("header", "body", "clause"),
    [
        (0x36, b"\0\1a\0\1", "MQTT5-3.3.1-4"),
        (0x38, b"\0\1a", "MQTT5-3.3.1-2"),
        (0x30, b"", "MQTT5-3.3.2-1"),
        (0x30, b"\0", "MQTT5-3.3.2-1"),
        (0x30, b"\0\2a", "MQTT5-3.3.2-1"),
        (0x32, b"\0\1a", "MQTT5-2.2.1-2"),
        (0x32, b"\0\1a\0", "MQTT5-2.2.1-2"),
    ],
)
@pytest.mark.parametrize("version", [4, 5])
def test_a_publish_is_malformed(header: int, body: bytes, clause: str, version: int) -> None:
    with pytest.raises(MalformedPacket) as caught:
        Publish().decode(body, header, 0, len(body), version)
    assert caught.value.clause == clause


@pytest.mark.parametrize("version", [4, 5])
def test_packet_identifier_0_is_a_protocol_error(version: int) -> None:
    """[MQTT5-2.2.1-3] [MQTT3-2.3.1-1]"""
    for header in (0x32, 0x34):
        with pytest.raises(ProtocolError):
            Publish().decode(b"\0\1a\0\0\0", header, 0, 6, version)


def test_an_empty_topic_needs_an_alias() -> None:
    """[MQTT5-3.3.2.1] [MQTT3-4.7.3-1]"""
    assert with_properties(b"\x23\0\1", b"").alias == 1
    assert code_of(b"", b"") == 0x82
    with pytest.raises(MalformedPacket):
        Publish().decode(b"\0\0", 0x30, 0, 2, 4)


def test_a_publish_of_5_0_without_a_property_length_is_malformed() -> None:
    with pytest.raises(MalformedPacket):
        Publish().decode(b"\0\1a", 0x30, 0, 3, 5)


@pytest.mark.parametrize(
    ("block", "code"),
    [
        (b"\x23\0\0", 0x94),
        (b"\x23\0", 0x81),
        (b"\x23\0\1\x23\0\1", 0x82),
        (b"\x01\2", 0x82),
        (b"\x01", 0x81),
        (b"\x01\1\x01\1", 0x82),
        (b"\x02\0\0\0", 0x81),
        (b"\x02\0\0\0\1\x02\0\0\0\1", 0x82),
        (b"\x03\0\1", 0x81),
        (b"\x03\0", 0x81),
        (b"\x03\0\1\xff", 0x81),
        (b"\x03\0\1\0", 0x81),
        (b"\x03\0\0\x03\0\0", 0x82),
        (b"\x08\0\0", 0x82),
        (b"\x08\0\1+", 0x82),
        (b"\x08\0\1a\x08\0\1a", 0x82),
        (b"\x09\0\2a", 0x81),
        (b"\x09\0\0\x09\0\0", 0x82),
        (b"\x0b\0", 0x82),
        (b"\x0b\x80", 0x81),
        (b"\x0b\1\x0b\2", 0),
        (b"\x26\0\1a", 0x81),
        (b"\x26\0\1\0\0\1a", 0x81),
        (b"\x26\0\1a\0\3\xed\xa0\x80", 0x81),
        (b"\x11\0\0\0\1", 0x81),
        (b"\x1f\0\0", 0x81),
        (b"\x00", 0x81),
        (b"\x7f\1", 0x81),
        (b"\x80\1", 0x81),
        (b"\x02\xff\xff\xff\xff", 0),
    ],
)
def test_the_properties_of_a_publish_are_judged_as_they_are_skipped(block: bytes, code: int) -> None:
    assert code_of(block) == code


@given(st.binary(max_size=30))
def test_both_ways_of_reading_properties_agree(block: bytes) -> None:
    """The decoder for the way through and the one for whoever reads the message follow one specification."""
    body = b"\0\1t" + bytes((len(block),)) + block
    try:
        found = decode_all(b"\x30" + bytes((len(body),)) + body, 5)[0]
    except PeerError:
        return
    assert isinstance(found, Publish)
    data = encode_publish(b"t", b"", version=5, properties=found.properties())
    assert decode(data, 5).properties() == found.properties()


def test_a_flood_of_properties_is_refused() -> None:
    user, identifier = b"\x26\0\0\0\0", b"\x0b\1"
    assert code_of(user * MAX_USER_PROPERTIES) == 0
    assert code_of(user * (MAX_USER_PROPERTIES + 1)) == 0x97
    assert code_of(identifier * MAX_SUBSCRIPTION_IDENTIFIERS) == 0
    assert code_of(identifier * (MAX_SUBSCRIPTION_IDENTIFIERS + 1)) == 0x97


def test_a_property_block_longer_than_the_packet_is_malformed() -> None:
    with pytest.raises(MalformedPacket):
        Publish().decode(b"\0\1t\x04\x26\0\0\0\0", 0x30, 0, 7, 5)


def test_the_head_and_what_follows_make_a_publish() -> None:
    for size in (0, 100, 122, 123, 124, 125, 126, 20_000, 3_000_000):
        data = publish_head(b"topic", 1, 1, 0, 2 + size) + packet_id_bytes(513) + bytes(size)
        packet = decode(data, 4)
        assert (packet.topic, packet.qos, packet.retain, packet.packet_id) == (b"topic", 1, 1, 513)
        assert len(packet.payload) == size


def test_qos_1_is_not_sent_without_a_packet_identifier() -> None:
    with pytest.raises(ValueError, match="identifier"):
        encode_publish(b"t", b"", qos=1)


def test_a_head_that_cannot_be_is_refused() -> None:
    with pytest.raises(LocalError):
        publish_head(bytes(65_536), 0, 0, 0, 0)
    with pytest.raises(LocalError):
        publish_head(b"t", 0, 0, 0, 268_435_455)
    for qos, retain, dup, rest in ((3, 0, 0, 0), (-1, 0, 0, 0), (0, 2, 0, 0), (0, 0, 2, 0), (0, 0, 0, -1)):
        with pytest.raises(ValueError, match="range"):
            publish_head(b"t", qos, retain, dup, rest)


@given(
    st.sampled_from([-1, 0, 1, 65_536, 0xFFFFFFFF]),
    st.sampled_from([0, 1, 65_535]),
    st.lists(st.integers(1, 268_435_455), max_size=3).map(tuple),
    st.sampled_from([b"", b"\x26\0\1a\0\1b", b"\x09\0\xc8" + bytes(200)]),
)
def test_property_bytes_say_what_they_are_given(
    expiry: int, alias: int, identifiers: tuple[int, ...], forward: bytes
) -> None:
    body = b"\0\1t" + property_bytes(forward, expiry, alias, identifiers)
    packet = Publish()
    packet.decode(body, 0x30, 0, len(body), 5)
    assert (packet.expiry, packet.alias, packet.identifiers) == (expiry, alias, identifiers)
    assert packet.forward == forward
    assert packet.payload == b""


@pytest.mark.parametrize("packet_type", [4, 5, 6, 7])
@given(packet_id=U16)
def test_a_short_acknowledgement_is_four_bytes(packet_type: int, packet_id: int) -> None:
    first = {4: 0x40, 5: 0x50, 6: 0x62, 7: 0x70}[packet_type]
    assert short_ack(packet_type, packet_id) == bytes((first, 2, packet_id >> 8, packet_id & 255))


def test_a_short_acknowledgement_of_anything_else_is_our_own_mistake() -> None:
    for packet_type, packet_id in ((3, 1), (8, 1), (4, -1), (4, 65_536)):
        with pytest.raises(ValueError, match="acknowledgement"):
            short_ack(packet_type, packet_id)


@pytest.mark.parametrize("version", [4, 5])
def test_an_acknowledgement_is_two_bytes_when_it_says_success(version: int) -> None:
    """[MQTT5-3.4.2.1]"""
    assert encode_ack(4, 0x1234, 0, version) == b"\x40\2\x12\x34"
    assert encode_ack(6, 0x1234, 0, version) == b"\x62\2\x12\x34"


def test_an_acknowledgement_of_5_0_says_no_more_than_it_must() -> None:
    assert encode_ack(4, 1, 0x10, 5) == b"\x40\3\0\1\x10"
    assert encode_ack(6, 1, 0x92, 5) == b"\x62\3\0\1\x92"
    assert encode_ack(4, 1, 0x87, 5, Properties(reason_string="no")) == b"\x40\x09\0\1\x87\5\x1f\0\2no"


def test_a_refusal_in_3_1_1_is_an_acknowledgement_like_any_other() -> None:
    assert encode_ack(4, 1, 0x87, 4, Properties(reason_string="no")) == b"\x40\2\0\1"


@pytest.mark.parametrize("header", [0x40, 0x50, 0x62, 0x70])
def test_each_form_of_an_acknowledgement_is_read(header: int) -> None:
    def read(body: bytes) -> Ack:
        return decode_ack(body, header, 0, len(body), 5)

    assert read(b"\0\1") == Ack(header >> 4, 1)
    assert read(b"\0\1\0") == Ack(header >> 4, 1)
    assert read(b"\0\1\0\0") == Ack(header >> 4, 1, 0, Properties())
    assert read(b"\0\1\0\5\x1f\0\2no") == Ack(header >> 4, 1, 0, Properties(reason_string="no"))


@pytest.mark.parametrize(
    ("header", "code", "expected"),
    [
        (0x40, 0x10, 0),
        (0x40, 0x92, 0x82),
        (0x50, 0x91, 0),
        (0x62, 0x92, 0),
        (0x62, 0x10, 0x82),
        (0x70, 0x92, 0),
        (0x70, 0x87, 0x82),
    ],
)
def test_each_acknowledgement_has_its_own_reason_codes(header: int, code: int, expected: int) -> None:
    """[MQTT5-3.4.2-1] [MQTT5-3.5.2-1] [MQTT5-3.6.2-1] [MQTT5-3.7.2-1]"""
    body = bytes((0, 1, code))
    if not expected:
        assert decode_ack(body, header, 0, 3, 5).reason_code == code
        return
    with pytest.raises(PeerError) as caught:
        decode_ack(body, header, 0, 3, 5)
    assert caught.value.code == expected


@pytest.mark.parametrize("header", [0x40, 0x50, 0x62, 0x70])
@pytest.mark.parametrize("body", [b"", b"\0", b"\0\1\0", b"\0\1\0\0"])
def test_an_acknowledgement_of_3_1_1_has_two_bytes(header: int, body: bytes) -> None:
    with pytest.raises(MalformedPacket):
        decode_ack(body, header, 0, len(body), 4)


@pytest.mark.parametrize("header", [0x42, 0x60, 0x6A, 0x71])
def test_an_acknowledgement_with_other_flags_is_malformed(header: int) -> None:
    """[MQTT5-2.1.3-1] [MQTT5-3.6.1-1] [MQTT3-3.6.1-1]"""
    for version in (4, 5):
        with pytest.raises(MalformedPacket):
            decode_ack(b"\0\1", header, 0, 2, version)


def test_acknowledgements_are_equal_by_what_they_say() -> None:
    assert Ack(4, 1) == Ack(4, 1)
    assert Ack(4, 1) != Ack(5, 1)
    assert Ack(4, 1) != object()
    assert repr(Ack(6, 7, 0x92)) == "Ack(PUBREL, 7, 0x92)"


def test_a_decoded_publish_is_encoded_as_it_came_but_for_the_order_of_properties() -> None:
    data = encode_publish(b"t", b"p", qos=1, packet_id=3, version=5, properties=Properties(content_type="c"))
    assert encode(decode(data, 5), 5) == data

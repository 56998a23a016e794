import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.base.errors import LocalError, MalformedPacket, PeerError
from bollard.wire.properties import PROPERTY_TABLE, Properties, decode_properties, encode_properties
from bollard.wire.reader import Reader, encode_varint
from bollard.wire.spec import (
    MAX_SUBSCRIPTION_IDENTIFIERS,
    MAX_USER_PROPERTIES,
    WILL_PROPERTIES,
    PacketType,
    PropertyId,
)
from wire.packets import properties

PACKETS = [packet for packet in PacketType if packet not in (PacketType.PINGREQ, PacketType.PINGRESP)]
PACKETS_AND_WILL = [*PACKETS, WILL_PROPERTIES]

# A legal value of each property as bytes.
LEGAL = {
    0x01: b"\1",
    0x02: b"\0\0\0\1",
    0x03: b"\0\1a",
    0x08: b"\0\1a",
    0x09: b"\0\1a",
    0x0B: b"\1",
    0x11: b"\0\0\0\1",
    0x12: b"\0\1a",
    0x13: b"\0\1",
    0x15: b"\0\1a",
    0x16: b"\0\1a",
    0x17: b"\1",
    0x18: b"\0\0\0\1",
    0x19: b"\1",
    0x1A: b"\0\1a",
    0x1C: b"\0\1a",
    0x1F: b"\0\1a",
    0x21: b"\0\1",
    0x22: b"\0\1",
    0x23: b"\0\1",
    0x24: b"\1",
    0x25: b"\1",
    0x26: b"\0\1a\0\1b",
    0x27: b"\0\0\0\1",
    0x28: b"\1",
    0x29: b"\1",
    0x2A: b"\1",
}


def decode(block: bytes, packet: int) -> Properties:
    data = encode_varint(len(block)) + block
    reader = Reader(data, 0, len(data))
    found = decode_properties(reader, packet)
    reader.done()
    return found


def code_of(block: bytes, packet: int) -> int:
    try:
        decode(block, packet)
    except PeerError as fault:
        return fault.code
    return 0


@given(
    st.sampled_from(PACKETS_AND_WILL).flatmap(lambda packet: st.tuples(st.just(packet), properties(packet)))
)
def test_properties_come_back(case: tuple[int, Properties]) -> None:
    packet, wanted = case
    data = encode_properties(wanted, packet)
    assert decode_properties(Reader(data, 0, len(data)), packet) == wanted


def test_the_table_has_every_property_of_the_specification() -> None:
    assert set(PROPERTY_TABLE) == set(PropertyId) == set(LEGAL)


@pytest.mark.parametrize("identifier", sorted(LEGAL))
@pytest.mark.parametrize("packet", PACKETS_AND_WILL)
def test_a_property_is_taken_where_it_belongs_and_malformed_elsewhere(identifier: int, packet: int) -> None:
    """[MQTT5-2.2.2.2]"""
    belongs = packet in PROPERTY_TABLE[identifier][3]
    assert code_of(bytes((identifier,)) + LEGAL[identifier], packet) == (0 if belongs else 0x81)


@pytest.mark.parametrize("identifier", sorted(LEGAL))
def test_a_property_that_stands_twice_is_a_protocol_error(identifier: int) -> None:
    block = (bytes((identifier,)) + LEGAL[identifier]) * 2
    for packet in PROPERTY_TABLE[identifier][3]:
        many = identifier == 0x26 or (identifier == 0x0B and packet == PacketType.PUBLISH)
        assert code_of(block, packet) == (0 if many else 0x82)


@pytest.mark.parametrize("identifier", sorted(LEGAL))
def test_a_property_that_is_cut_short_is_malformed(identifier: int) -> None:
    block = bytes((identifier,)) + LEGAL[identifier]
    for packet in PROPERTY_TABLE[identifier][3]:
        for size in range(1, len(block)):
            assert code_of(block[:size], packet) == 0x81


@pytest.mark.parametrize("identifier", [0x00, 0x04, 0x0A, 0x10, 0x14, 0x1B, 0x20, 0x2B, 0x7F])
def test_an_identifier_that_does_not_exist_is_malformed(identifier: int) -> None:
    for packet in PACKETS_AND_WILL:
        assert code_of(bytes((identifier, 1)), packet) == 0x81


@pytest.mark.parametrize("block", [b"\x81\x00\1", b"\x80\x01\1", b"\xff\xff\xff\x7f\1"])
def test_a_long_identifier_is_malformed(block: bytes) -> None:
    assert code_of(block, PacketType.CONNECT) == 0x81


@pytest.mark.parametrize("identifier", [0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A])
def test_what_is_0_or_1_cannot_be_2(identifier: int) -> None:
    for packet in PROPERTY_TABLE[identifier][3]:
        assert code_of(bytes((identifier, 0)), packet) == 0
        assert code_of(bytes((identifier, 2)), packet) == 0x82


@pytest.mark.parametrize(
    ("block", "packet", "code"),
    [
        (b"\x21\0\0", PacketType.CONNECT, 0x82),
        (b"\x27\0\0\0\0", PacketType.CONNACK, 0x82),
        (b"\x0b\0", PacketType.SUBSCRIBE, 0x82),
        (b"\x23\0\0", PacketType.PUBLISH, 0x94),
        (b"\x22\0\0", PacketType.CONNECT, 0),
        (b"\x13\0\0", PacketType.CONNACK, 0),
    ],
)
def test_zero_is_refused_where_the_specification_says_so(block: bytes, packet: int, code: int) -> None:
    """[MQTT5-3.1.2.11.3] [MQTT5-3.1.2.11.4] [MQTT5-3.3.2-8]"""
    assert code_of(block, packet) == code


@pytest.mark.parametrize("topic", [b"", b"a/+", b"#"])
def test_a_response_topic_must_be_a_topic_name(topic: bytes) -> None:
    """[MQTT5-3.3.2-14]"""
    assert code_of(b"\x08\0" + bytes((len(topic),)) + topic, WILL_PROPERTIES) == 0x82


def test_user_properties_keep_their_order_and_may_repeat() -> None:
    """[MQTT5-3.1.2.11.8]"""
    block = b"\x26\0\1b\0\1x\x26\0\1a\0\0\x26\0\1b\0\1x"
    assert decode(block, PacketType.CONNECT).user_properties == (("b", "x"), ("a", ""), ("b", "x"))


def test_a_flood_of_user_properties_is_refused() -> None:
    one = b"\x26\0\0\0\0"
    for packet in PACKETS_AND_WILL:
        assert code_of(one * MAX_USER_PROPERTIES, packet) == 0
        assert code_of(one * (MAX_USER_PROPERTIES + 1), packet) == 0x97


def test_a_flood_of_subscription_identifiers_is_refused() -> None:
    assert code_of(b"\x0b\1" * MAX_SUBSCRIPTION_IDENTIFIERS, PacketType.PUBLISH) == 0
    assert code_of(b"\x0b\1" * (MAX_SUBSCRIPTION_IDENTIFIERS + 1), PacketType.PUBLISH) == 0x97


def test_a_block_longer_than_the_packet_is_malformed() -> None:
    with pytest.raises(MalformedPacket):
        decode_properties(Reader(b"\x05\x17\1", 0, 3), PacketType.CONNECT)


def test_a_property_must_not_reach_out_of_its_block() -> None:
    with pytest.raises(MalformedPacket):
        decode_properties(Reader(b"\x02\x21\0\1\1\1", 0, 6), PacketType.CONNECT)


def test_none_and_nothing_are_an_empty_block() -> None:
    assert encode_properties(None, PacketType.CONNECT) == b"\0"
    assert encode_properties(Properties(), PacketType.CONNECT) == b"\0"
    assert decode(b"", PacketType.CONNECT) == Properties()


@pytest.mark.parametrize(
    "wrong",
    [
        Properties(topic_alias=1),
        Properties(receive_maximum=0),
        Properties(receive_maximum=65_536),
        Properties(session_expiry_interval=-1),
        Properties(request_problem_information=2),
        Properties(authentication_method="a\0"),
        Properties(authentication_data=bytes(65_536)),
    ],
)
def test_what_no_server_would_take_in_connect_is_refused_before_it_is_sent(wrong: Properties) -> None:
    with pytest.raises(LocalError):
        encode_properties(wrong, PacketType.CONNECT)


def test_authentication_data_does_not_show() -> None:
    shown = repr(Properties(authentication_method="SCRAM", authentication_data=b"s3cret"))
    assert shown == "Properties(authentication_method='SCRAM', authentication_data=...)"


def test_properties_are_equal_by_what_they_hold() -> None:
    assert Properties(topic_alias=1) == Properties(topic_alias=1)
    assert Properties(topic_alias=1) != Properties(topic_alias=2)
    assert Properties() != object()

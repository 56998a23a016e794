import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.base.errors import LocalError, MalformedPacket, PeerError
from bollard.wire.codec import Packet, decode, decode_all, encode
from bollard.wire.connect import Auth, Connect, Disconnect, Pingreq, Pingresp
from bollard.wire.framer import Framer
from bollard.wire.spec import FIXED_FLAGS, PacketType
from bollard.wire.subscribe import Unsubscribe
from wire.packets import packets

VERSIONED = st.sampled_from([4, 5]).flatmap(lambda version: st.tuples(st.just(version), packets(version)))


@given(VERSIONED)
def test_what_is_encoded_decodes_to_the_same(case: tuple[int, Packet]) -> None:
    version, packet = case
    assert decode_all(encode(packet, version), version) == [packet]


@given(VERSIONED)
def test_a_packet_that_is_cut_off_at_any_byte_is_awaited(case: tuple[int, Packet]) -> None:
    version, packet = case
    data = encode(packet, version)
    for size in range(len(data)):
        framer = Framer(1000)
        framer.feed(data[:size])
        assert not framer.next()
        assert framer.pending == size


@given(VERSIONED)
def test_a_body_that_is_cut_off_at_any_byte_raises_nothing_but_a_peer_error(case: tuple[int, Packet]) -> None:
    version, packet = case
    data = encode(packet, version)
    framer = Framer(1000)
    framer.feed(data)
    assert framer.next()
    for end in range(framer.body, framer.end):
        with contextlib.suppress(PeerError):
            decode(data, framer.header, framer.body, end, version)


@given(VERSIONED, st.data())
def test_a_packet_with_one_wrong_byte_raises_nothing_but_a_peer_error(
    case: tuple[int, Packet], data: st.DataObject
) -> None:
    version, packet = case
    wire = bytearray(encode(packet, version))
    wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    try:
        again = decode_all(bytes(wire), version)
    except PeerError:
        return
    for one in again:
        assert decode_all(encode(one, version), version) == [one]


@given(st.binary(max_size=60), st.sampled_from([4, 5]))
def test_random_bytes_raise_nothing_but_a_peer_error(data: bytes, version: int) -> None:
    try:
        packets = decode_all(data, version)
    except PeerError:
        return
    for packet in packets:
        assert decode_all(encode(packet, version), version) == [packet]


@given(st.integers(0, 255), st.binary(max_size=40), st.sampled_from([4, 5]))
def test_a_random_body_raises_nothing_but_a_peer_error(header: int, body: bytes, version: int) -> None:
    try:
        packet = decode(body, header, 0, len(body), version)
    except PeerError:
        return
    assert decode_all(encode(packet, version), version) == [packet]


@pytest.mark.parametrize("packet_type", sorted(FIXED_FLAGS))
@pytest.mark.parametrize("version", [4, 5])
def test_reserved_flags_of_the_first_byte_are_malformed(packet_type: int, version: int) -> None:
    for flags in range(16):
        if flags != FIXED_FLAGS[packet_type]:
            with pytest.raises(MalformedPacket) as caught:
                decode(b"\0\1", packet_type << 4 | flags, 0, 2, version)
            assert caught.value.clause in ("MQTT5-2.1.3-1", "MQTT3-2.2.1")


def test_packet_type_0_is_malformed() -> None:
    with pytest.raises(MalformedPacket):
        decode(b"", 0, 0, 0, 5)


def test_several_packets_come_out_in_order() -> None:
    data = encode(Connect(version=5), 5) + encode(Pingreq(), 5) + encode(Disconnect(), 5)
    assert decode_all(data, 5) == [Connect(version=5), Pingreq(), Disconnect()]


def test_half_a_packet_at_the_end_is_malformed_for_a_tool() -> None:
    with pytest.raises(MalformedPacket):
        decode_all(b"\xc0\0\xc0", 4)


def test_a_ping_with_a_body_is_malformed() -> None:
    assert decode_all(b"\xc0\0\xd0\0", 4) == [Pingreq(), Pingresp()]
    for header in (0xC0, 0xD0):
        with pytest.raises(MalformedPacket):
            decode_all(bytes((header, 1, 0)), 4)


def test_auth_does_not_exist_in_3_1_1() -> None:
    with pytest.raises(MalformedPacket):
        decode_all(b"\xf0\0", 4)
    with pytest.raises(LocalError):
        encode(Auth(), 4)


def test_a_range_outside_of_the_buffer_is_refused_as_our_own_mistake() -> None:
    for packet_type in PacketType:
        header = packet_type << 4 | FIXED_FLAGS.get(packet_type, 0)
        for body, end in ((0, 5), (3, 2), (-1, 2)):
            with pytest.raises(ValueError, match="range"):
                decode(b"\0\1\2\3", header, body, end, 5)


def test_a_packet_of_two_megabytes_has_a_four_byte_length() -> None:
    data = encode(Unsubscribe(1, ("x" * 65_535,) * 33), 5)
    assert data[:5] == b"\xa2\xa4\x80\x84\x01"
    assert len(data) == 5 + 3 + 33 * 65_537
    assert len(decode_all(data, 5)) == 1

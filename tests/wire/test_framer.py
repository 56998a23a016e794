import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.base.errors import MalformedPacket, PeerError
from bollard.wire.framer import Framer

LIMIT = 300


def frames(pieces: list[bytes]) -> tuple[list[tuple[int, bytes, bytes]], int]:
    """What comes out of the pieces: packets as (header, whole, body), and the code of the error or 0."""
    framer = Framer(LIMIT)
    found = []
    for piece in pieces:
        framer.feed(piece)
        try:
            while framer.next():
                whole = framer.buffer[framer.start : framer.end]
                found.append((framer.header, whole, framer.buffer[framer.body : framer.end]))
        except PeerError as fault:
            return found, fault.code
    return found, 0


def packet(header: int, body: bytes) -> bytes:
    size = len(body)
    length = bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))
    return bytes((header,)) + length + body


PACKETS = st.lists(st.builds(packet, st.integers(16, 255), st.binary(max_size=290)), max_size=4)


@given(PACKETS, st.binary(max_size=8))
def test_whole_and_byte_at_a_time_give_the_same(packets: list[bytes], tail: bytes) -> None:
    data = b"".join(packets) + tail
    assert frames([data]) == frames([data[at : at + 1] for at in range(len(data))])


@given(st.binary(max_size=400), st.lists(st.integers(1, 50), min_size=1))
def test_random_bytes_give_the_same_however_they_are_cut(data: bytes, sizes: list[int]) -> None:
    pieces, at = [], 0
    while at < len(data):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[at : at + size])
        at += size
    assert frames([data]) == frames(pieces)


@given(PACKETS)
def test_each_packet_comes_out_whole(packets: list[bytes]) -> None:
    found, code = frames([b"".join(packets)])
    assert [whole for _, whole, _ in found] == packets
    assert code == 0


def test_a_length_above_the_limit_is_refused_before_its_body_arrives() -> None:
    framer = Framer(100)
    framer.feed(b"\x30\x63")
    with pytest.raises(PeerError) as caught:
        framer.next()
    assert caught.value.code == 0x95


def test_the_limit_counts_the_fixed_header() -> None:
    framer = Framer(100)
    framer.feed(packet(0x30, bytes(98)))
    assert framer.next()
    framer.feed(packet(0x30, bytes(99)))
    with pytest.raises(PeerError):
        framer.next()


def test_the_limit_may_be_raised_between_packets() -> None:
    framer = Framer(10)
    framer.feed(b"\x10\x00" + packet(0x30, bytes(50)))
    assert framer.next()
    framer.max_packet_bytes = 52
    assert framer.next()
    assert framer.end - framer.start == 52


@pytest.mark.parametrize(
    "data", [b"\x30\xff\xff\xff\xff", b"\x30\x80\x80\x80\x80\x01", b"\x30\x80\x00", b"\x30\x82\x80\x00"]
)
def test_a_length_of_too_many_bytes_is_malformed(data: bytes) -> None:
    """[MQTT5-1.5.5-1]"""
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        assert frames(pieces) == ([], 0x81)


def test_packet_type_0_is_malformed_at_its_first_byte() -> None:
    for header in range(16):
        framer = Framer(100)
        framer.feed(bytes((header,)))
        with pytest.raises(MalformedPacket):
            framer.next()


def test_the_longest_length_is_four_bytes() -> None:
    whole = 268_435_455 + 5
    framer = Framer(whole)
    framer.feed(b"\x30\xff\xff\xff\x7f")
    assert not framer.next()
    framer = Framer(whole - 1)
    framer.feed(b"\x30\xff\xff\xff\x7f")
    with pytest.raises(PeerError) as caught:
        framer.next()
    assert caught.value.code == 0x95


def test_an_idle_connection_holds_nothing() -> None:
    framer = Framer(1000)
    framer.feed(packet(0x30, bytes(200)))
    assert framer.next()
    assert not framer.next()
    assert framer.buffer == b""
    assert framer.pending == 0


def test_pending_counts_what_is_held() -> None:
    framer = Framer(1000)
    framer.feed(b"\xc0\x00\x30\x05ab")
    assert framer.pending == 6
    assert framer.next()
    assert framer.pending == 4
    assert not framer.next()
    assert framer.pending == 4
    framer.feed(b"c")
    assert framer.pending == 5
    assert not framer.next()
    framer.feed(b"de\xd0")
    assert framer.next()
    assert framer.buffer[framer.body : framer.end] == b"abcde"
    assert framer.pending == 1


def test_feeding_before_everything_was_taken_loses_nothing() -> None:
    framer = Framer(1000)
    framer.feed(b"\xc0\x00\xd0\x00")
    assert framer.next()
    framer.feed(b"\xe0\x00")
    assert framer.next()
    assert framer.header == 0xD0
    assert framer.next()
    assert framer.header == 0xE0
    assert not framer.next()


def test_a_whole_buffer_is_not_copied() -> None:
    data = packet(0x30, bytes(100))
    framer = Framer(1000)
    framer.feed(data)
    assert framer.next()
    assert framer.buffer is data


def test_a_large_packet_in_tiny_pieces_is_stored_once() -> None:
    """A framer that joins at every piece would copy a gigabyte here."""
    framer = Framer(100_000)
    data = b"\x30\xb8\x85\x06" + bytes(99_000)
    for at in range(0, len(data), 3):
        assert not framer.end
        framer.feed(data[at : at + 3])
        framer.next()
    assert framer.end - framer.start == len(data)


def test_what_comes_behind_an_unfinished_packet_is_not_copied_with_it() -> None:
    framer = Framer(1000)
    framer.feed(b"\xc0\x00\x30\x05ab")
    assert framer.next()
    assert not framer.next()
    read = b"cde\xd0\x00\x30\x02xy"
    framer.feed(read)
    assert framer.pending == len(b"\x30\x05ab") + len(read)
    assert framer.next()
    assert framer.buffer == b"\x30\x05abcde"
    assert framer.next()
    assert framer.buffer is read
    assert framer.header == 0xD0
    assert framer.next()
    assert framer.buffer[framer.body : framer.end] == b"xy"
    assert not framer.next()
    assert framer.pending == 0


def test_feeding_behind_a_packet_that_was_just_completed_loses_nothing() -> None:
    framer = Framer(1000)
    framer.feed(b"\x30\x02x")
    assert not framer.next()
    framer.feed(b"y\xd0\x00")
    framer.feed(b"\xe0\x00")
    assert framer.pending == 8
    headers = [framer.header for _ in iter(framer.next, False)]
    assert headers == [0x30, 0xD0, 0xE0]
    assert framer.pending == 0

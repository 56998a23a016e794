"""What is put comes out once, in its order, whether it was copied or referred to."""

from hypothesis import given
from hypothesis import strategies as st

from bollard.session.outbox import Outbox, reuse
from bollard.wire.publish import (
    packet_id_bytes,
    property_bytes,
    publish_head,
    publish_size,
    short_ack,
    short_ack_start,
)

U16 = st.integers(1, 65_535)
#: Across the size above which an outbox refers to what it is given.
SIZES = st.sampled_from([0, 1, 2, 100, 511, 512, 513, 1023, 1024, 1025, 5000])
#: Half of what a buffer grows to.
HALF = 32_768


def some(size: int, seed: int) -> bytes:
    return bytes((seed + index) & 0xFF for index in range(size))


@given(st.lists(st.tuples(st.sampled_from(["put", "range", "ack", "take"]), SIZES, U16), max_size=30))
def test_everything_comes_out_once_and_in_order(steps: list[tuple[str, int, int]]) -> None:
    outbox, expected = Outbox(), b""
    for what, size, number in steps:
        data = some(size, number)
        if what == "put":
            outbox.put(data)
            expected += data
        elif what == "range":
            outbox.put_range(b"<<" + data + b">>", 2, 2 + size)
            expected += data
        elif what == "ack":
            outbox.put_ack(short_ack_start(4 + number % 4), number)
            expected += short_ack(4 + number % 4, number)
        else:
            assert outbox.take() == expected
            expected = b""
    assert outbox.take() == expected
    assert outbox.take() == b""


@given(SIZES, U16, U16)
def test_a_packet_goes_on_under_another_identifier(size: int, old: int, new: int) -> None:
    head = publish_head(b"a/b", 1, 0, 0, 2 + size)
    source = b"before" + head + packet_id_bytes(old) + some(size, old) + b"behind"
    outbox = Outbox()
    outbox.put_identified(source, 6, 6 + len(head), new, len(source) - 6)
    assert outbox.take() == head + packet_id_bytes(new) + some(size, old)


@given(
    st.binary(min_size=1, max_size=300),
    st.integers(0, 2),
    st.integers(0, 1),
    U16,
    st.none() | SIZES.map(lambda size: some(size, 3)),
    SIZES | st.just(20_000),
)
def test_a_publish_made_of_its_parts_is_what_the_encoder_makes(
    topic: bytes, qos: int, retain: int, number: int, properties: bytes | None, size: int
) -> None:
    packet_id = number if qos else 0
    middle = packet_id_bytes(packet_id) if qos else b""
    if properties is not None:
        middle += property_bytes(properties, -1, 0, ())
    payload = some(size, number)
    packet = publish_head(topic, qos, retain, 0, len(middle) + size) + middle + payload
    outbox = Outbox()
    outbox.put(b"before")
    outbox.put_publish(
        0x30 | qos << 1 | retain, topic, packet_id, properties, b"<" + payload + b">", 1, 1 + size
    )
    outbox.put_publish(0x30 | qos << 1 | retain, topic, packet_id, properties, payload, 0, size)
    assert outbox.take() == b"before" + packet + packet
    assert publish_size(topic, qos, properties, size) == len(packet)


def test_what_is_cleared_never_comes_out() -> None:
    outbox = Outbox()
    outbox.put(b"small")
    outbox.put(bytes(5000))
    outbox.put(b"small")
    outbox.clear()
    outbox.put(b"after")
    assert outbox.take() == b"after"


@given(st.lists(st.integers(0, 200_000), max_size=12))
def test_pieces_are_what_was_put_in_order_and_small_unless_put_so(sizes: list[int]) -> None:
    outbox = Outbox()
    expected = b""
    for number, size in enumerate(sizes):
        data = bytes([number]) * size
        expected += data
        if number % 2:
            outbox.put(data)
        else:
            outbox.put_range(data, 0, size)
    pieces = list(iter(outbox.take_piece, b""))
    assert b"".join(pieces) == expected
    assert all(len(piece) <= 65_536 or len(piece) in sizes for piece in pieces)
    assert outbox.take() == b""


def test_what_fills_most_of_a_buffer_is_handed_over_and_its_memory_used_again() -> None:
    outbox, other = Outbox(), Outbox()
    outbox.put_range(b"a" * HALF, 0, HALF)
    piece = outbox.take_piece()
    assert isinstance(piece, bytearray)
    outbox.put(b"behind")
    assert piece == b"a" * HALF
    reuse(piece)
    other.put_range(b"b" * HALF, 0, HALF)
    assert other.take_piece() is piece
    assert outbox.take_piece() == b"behind"


def test_what_is_little_is_copied() -> None:
    outbox = Outbox()
    outbox.put_range(b"a" * HALF, 0, HALF - 1)
    assert type(outbox.take_piece()) is bytes


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([7, 600, 33_000, 65_000]), st.booleans()), max_size=20
    )
)
def test_memory_that_is_used_again_holds_nothing_that_still_waits(steps: list[tuple[int, int, bool]]) -> None:
    outboxes, expected = (Outbox(), Outbox()), [b"", b""]
    for number, (which, size, taken) in enumerate(steps):
        data = bytes([number]) * size
        outboxes[which].put_range(data, 0, size)
        expected[which] += data
        if taken:
            piece = outboxes[which].take_piece()
            assert expected[which].startswith(piece)
            expected[which] = expected[which][len(piece) :]
            reuse(piece)
    for outbox, rest in zip(outboxes, expected, strict=True):
        assert outbox.take() == rest

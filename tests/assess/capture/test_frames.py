"""pcap and pcapng in all their kinds, and files that lie or break off."""

import gzip
import io
import struct

import pytest

from bollard.assess.capture.frames import MAX_FRAME_BYTES, Frames
from bollard.base.errors import LocalError
from support.captures import ETHERNET, START_NS, Tape, block, interface, pcap, pcapng, section

FIRST, SECOND = b"first frame", b"the second frame"


def tape() -> Tape:
    made = Tape()
    made.now_ns = START_NS + 123_456_789
    made.add(FIRST)
    made.add(SECOND)
    return made


def frames_of(data: bytes) -> Frames:
    return Frames(io.BytesIO(data))  # type: ignore[arg-type]


def listed(frames: Frames) -> list[tuple[int, int, int, bytes, int]]:
    return [
        (number, time_ns, link, buffer[start:end], length)
        for number, time_ns, link, buffer, start, end, length in frames
    ]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("nano", "rest"), [(True, 123_456_789), (False, 123_456_000)])
def test_pcap_is_read_in_both_byte_orders_and_resolutions(order: str, nano: bool, rest: int) -> None:
    found = listed(frames_of(pcap(tape(), order=order, nano=nano)))
    assert found[0] == (1, START_NS + rest, ETHERNET, FIRST, len(FIRST))
    assert [each[3] for each in found] == [FIRST, SECOND]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("resolution", "rest"),
    [(None, 123_456_000), (9, 123_456_789), (3, 123_000_000), (0x80 | 10, 123_046_875)],
)
def test_pcapng_is_read_in_both_byte_orders_and_any_resolution(
    order: str, resolution: int | None, rest: int
) -> None:
    found = listed(frames_of(pcapng(tape(), order=order, resolution=resolution)))
    assert found[0] == (1, START_NS + rest, ETHERNET, FIRST, len(FIRST))
    assert found[1][3] == SECOND


def test_a_frame_that_was_cut_tells_its_length_on_the_wire() -> None:
    for data in (pcap(tape(), snap=5), pcapng(tape(), snap=5)):
        assert listed(frames_of(data))[0][3:] == (b"first", len(FIRST))


def test_a_compressed_capture_is_read_too() -> None:
    frames = frames_of(gzip.compress(pcap(tape())))
    assert [each[3] for each in listed(frames)] == [FIRST, SECOND]
    assert not frames.fault


def test_sections_interfaces_and_unknown_blocks_may_come_in_any_number() -> None:
    packet = struct.pack("<IIIII", 1, 0, 0, 3, 3) + b"abc"
    other = struct.pack(">IIIII", 0, 0, 0, 3, 3) + b"xyz"
    data = (
        section()
        + interface(1)
        + interface(113)
        + block(0x0BAD, b"n" * 3_000_000)
        + block(6, packet)
        + section(">")
        + interface(101, ">")
        + block(6, other, ">")
    )
    found = listed(frames_of(data))
    assert [(number, link, frame) for number, _, link, frame, _ in found] == [
        (1, 113, b"abc"),
        (2, 101, b"xyz"),
    ]


def test_simple_and_obsolete_packet_blocks_are_read() -> None:
    old = struct.pack("<HHIIII", 0, 0, 0, 5, 3, 3) + b"old"
    data = section() + interface(1, snap=4) + block(3, struct.pack("<I", 9) + b"simp") + block(2, old)
    assert [each[3:] for each in listed(frames_of(data))] == [(b"simp", 9), (b"old", 3)]


def test_a_block_of_an_unknown_interface_is_counted_and_not_read() -> None:
    data = section() + block(6, struct.pack("<IIIII", 7, 0, 0, 3, 3) + b"abc")
    frames = frames_of(data)
    assert listed(frames) == []
    assert frames.frames == 1


@pytest.mark.parametrize("make", [pcap, pcapng])
def test_a_file_that_breaks_off_says_so_and_keeps_what_was_read(make: object) -> None:
    data = make(tape())  # type: ignore[operator]
    frames = frames_of(data[:-5])
    assert [each[3] for each in listed(frames)] == [FIRST]
    assert "breaks off after frame 1" in frames.fault


def test_a_compressed_file_that_breaks_off_says_so() -> None:
    frames = frames_of(gzip.compress(pcap(tape()) * 50)[:-9])
    listed(frames)
    assert "breaks off" in frames.fault or "broken" in frames.fault


def test_a_compressed_file_that_is_damaged_says_so() -> None:
    whole = gzip.compress(pcap(tape()) * 50, compresslevel=0)
    for at in (10, 14):
        damaged = bytearray(whole)
        damaged[at] = 0xFF
        with pytest.raises(LocalError, match="cannot be read"):
            frames_of(bytes(damaged))


def test_a_length_that_lies_ends_the_reading_before_anything_is_allocated() -> None:
    lie = struct.pack("<IIII", 0, 0, MAX_FRAME_BYTES + 1, 10)
    frames = frames_of(pcap(tape()) + lie + b"x" * 100)
    assert len(listed(frames)) == 2
    assert "the file is broken" in frames.fault


@pytest.mark.parametrize("size", [0, 8, 13, 0xFFFFFFF0])
def test_a_block_whose_length_lies_ends_the_reading(size: int) -> None:
    frames = frames_of(section() + interface(1) + struct.pack("<II", 6, size) + b"x" * 40)
    assert listed(frames) == []
    assert frames.fault


@pytest.mark.parametrize("data", [b"", b"abc", b"GIF89a and more", b"\x1f\x8bnot really gzip"])
def test_what_is_no_capture_is_refused_with_what_to_do(data: bytes) -> None:
    with pytest.raises(LocalError) as caught:
        frames_of(data)
    assert caught.value.remedy


def test_progress_is_told_for_each_part_that_was_read() -> None:
    told: list[int] = []
    made = tape()
    for _ in range(3_000):
        made.add(b"x" * 1_000)
    data = pcap(made)
    for _ in Frames(io.BytesIO(data), lambda done, frames: told.append(done)):  # type: ignore[arg-type]
        pass
    assert len(told) > 1
    assert told[-1] == len(data)

"""From frames of every link to their segments."""

import struct

import pytest

from bollard.assess.capture.layers import (
    BROKEN,
    FRAGMENT,
    NOT_IP,
    NOT_TCP,
    SHORT,
    UNKNOWN_LINK,
    endpoints,
    hardware,
    read_segment,
    reverse,
)
from support.captures import (
    ACK,
    ETHERNET,
    LOOP,
    NULL,
    RAW,
    SLL,
    SLL2,
    ip4,
    ip6,
    linked,
    tcp,
)

A, B, A6, B6 = "10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"
DATA = b"some data"
SEGMENT = tcp(5_000, 1_883, 77, 5, ACK, DATA, options=b"\1" * 12)


def check_read(link: int, frame: bytes, ends: tuple[str, int, str, int] = (A, 5_000, B, 1_883)) -> None:
    found = read_segment(link, b"before" + frame + b"after", 6, 6 + len(frame))
    assert not isinstance(found, str), found
    key, seq, flags, start, end, length = found
    assert (endpoints(key), seq, flags, length) == (ends, 77, ACK, len(DATA))
    assert (b"before" + frame)[start:end] == DATA
    assert endpoints(reverse(key)) == (*ends[2:], *ends[:2])


@pytest.mark.parametrize("link", [ETHERNET, NULL, LOOP, RAW, SLL, SLL2, 12, 228])
def test_ipv4_is_found_behind_every_link(link: int) -> None:
    check_read(link, linked(ip4(A, B, SEGMENT), A, B, link))


@pytest.mark.parametrize("link", [ETHERNET, NULL, LOOP, RAW, SLL, SLL2, 229])
def test_ipv6_is_found_behind_every_link(link: int) -> None:
    check_read(link, linked(ip6(A6, B6, SEGMENT), A6, B6, link), (A6, 5_000, B6, 1_883))


@pytest.mark.parametrize("tags", [(5,), (5, 6)])
def test_vlan_tags_are_passed_over(tags: tuple[int, ...]) -> None:
    check_read(ETHERNET, linked(ip4(A, B, SEGMENT), A, B, tags=tags))


def test_ethernets_padding_is_no_data() -> None:
    check_read(ETHERNET, linked(ip4(A, B, SEGMENT), A, B) + b"\0" * 9)


def test_extension_headers_are_passed_over() -> None:
    headers = ((0, b"\0" + b"\0" * 6), (60, b"\1" + b"\0" * 14), (44, b"\0" * 7), (51, b"\1" + b"\0" * 10))
    check_read(ETHERNET, linked(ip6(A6, B6, SEGMENT, headers=headers), A6, B6), (A6, 5_000, B6, 1_883))


def test_a_packet_without_its_length_ends_with_the_frame() -> None:
    packet = bytearray(ip4(A, B, SEGMENT))
    packet[2:4] = b"\0\0"
    check_read(ETHERNET, linked(bytes(packet), A, B))


def test_a_frame_that_was_cut_tells_how_much_is_missing() -> None:
    frame = linked(ip4(A, B, SEGMENT), A, B)[:-4]
    found = read_segment(ETHERNET, frame, 0, len(frame))
    assert not isinstance(found, str)
    assert (found[4] - found[3], found[5]) == (len(DATA) - 4, len(DATA))


@pytest.mark.parametrize(
    ("link", "frame", "reason"),
    [
        (ETHERNET, b"short", SHORT),
        (ETHERNET, linked(ip4(A, B, SEGMENT), A, B)[:30], SHORT),
        (ETHERNET, linked(ip4(A, B, SEGMENT), A, B)[:44], SHORT),
        (ETHERNET, linked(ip4(A, B, SEGMENT, protocol=17), A, B), NOT_TCP),
        (ETHERNET, linked(ip4(A, B, SEGMENT, fragment=0x2000), A, B), FRAGMENT),
        (ETHERNET, linked(ip4(A, B, SEGMENT, fragment=9), A, B), FRAGMENT),
        (ETHERNET, linked(ip6(A6, B6, SEGMENT, headers=((44, b"\0\0\1" + b"\0" * 4),)), A6, B6), FRAGMENT),
        (ETHERNET, linked(ip6(A6, B6, SEGMENT, headers=((0, b"\0" * 7),) * 9), A6, B6), BROKEN),
        (ETHERNET, b"\0" * 12 + b"\x08\x06" + b"\0" * 40, NOT_IP),
        (ETHERNET, b"\0" * 12 + b"\x08\x00" + b"\x15" * 40, BROKEN),
        (RAW, b"", SHORT),
        (147, b"\0" * 60, UNKNOWN_LINK),
        (NULL, struct.pack("<I", 7) + b"\0" * 60, NOT_IP),
    ],
)
def test_what_is_not_read_comes_back_as_a_reason(link: int, frame: bytes, reason: str) -> None:
    assert read_segment(link, frame, 0, len(frame)) == reason


def test_a_header_length_that_lies_is_broken() -> None:
    segment = bytearray(tcp(1, 2, 3, 4, ACK, b""))
    segment[12] = 0xF0
    frame = linked(ip4(A, B, bytes(segment)), A, B)
    assert read_segment(ETHERNET, frame, 0, len(frame)) == BROKEN


def test_hardware_addresses_are_those_of_the_link() -> None:
    frame = linked(ip4(A, B, SEGMENT), A, B)
    assert hardware(ETHERNET, frame, 0, len(frame)) == ("24:0a:c4:00:00:01", "24:0a:c4:00:00:02")
    for link in (SLL, SLL2):
        frame = linked(ip4(A, B, SEGMENT), A, B, link)
        assert hardware(link, frame, 0, len(frame)) == ("24:0a:c4:00:00:01", "")
    assert hardware(RAW, b"\0" * 40, 0, 40) == ("", "")

"""TCP put together: order, repetition, overlap, loss, and the bounds on what waits."""

import random

import pytest

from bollard.assess.capture.layers import ACK, FIN, RST, SYN, Segment, reverse
from bollard.assess.capture.streams import (
    MAX_WAITING_SEGMENTS,
    Budget,
    Sink,
    Streams,
)

KEY = b"\x0a\0\0\1\x0a\0\0\2\x13\x88\x07\x5b"
START = 0xFFFFFFFA  # so that the numbers wrap soon


class Recorder:
    """Keeps what each direction was given; a gap is a star."""

    def __init__(self) -> None:
        self.got = [b"", b""]
        self.ended = ""
        self.sinks: list[Sink | None] = [_Side(self, 0), _Side(self, 1)]

    def end(self, how: str, frame: int, time_ns: int) -> None:
        self.ended = how


class _Side:
    def __init__(self, recorder: Recorder, index: int) -> None:
        self._recorder, self._index = recorder, index

    def data(self, data: bytes, frame: int, time_ns: int) -> None:
        self._recorder.got[self._index] += data

    def gap(self) -> None:
        self._recorder.got[self._index] += b"*"


class World:
    """Streams whose readers record."""

    def __init__(self, budget: int = 1 << 20, connections: int = 100) -> None:
        self.readers: list[Recorder] = []
        self.budget = Budget(budget)
        self.streams = Streams(self._open, self.budget, connections)
        self._frame = 0

    def _open(self, key: bytes, began: bool, frame: int, time_ns: int) -> Recorder:
        self.readers.append(Recorder())
        return self.readers[-1]

    def segment(
        self, seq: int, data: bytes = b"", flags: int = ACK, *, key: bytes = KEY, length: int | None = None
    ) -> None:
        self._frame += 1
        size = len(data) if length is None else length
        segment: Segment = (key, seq & 0xFFFFFFFF, flags, 0, len(data), size)
        self.streams.segment(segment, data, self._frame, self._frame)

    def opened(self) -> "World":
        self.segment(START - 1, flags=SYN)
        self.segment(9, flags=SYN | ACK, key=reverse(KEY))
        return self

    @property
    def got(self) -> bytes:
        return self.readers[0].got[0]


def test_what_comes_in_order_is_handed_on_at_once() -> None:
    world = World().opened()
    world.segment(START, b"abcd")
    world.segment(START + 4, b"efgh")
    world.segment(10, b"answer", key=reverse(KEY))
    assert world.readers[0].got == [b"abcdefgh", b"answer"]


def test_any_order_of_segments_gives_the_same_stream() -> None:
    data = bytes(range(200))
    for seed in range(50):
        world = World().opened()
        parts = [(start, data[start : start + 7]) for start in range(0, 200, 7)]
        random.Random(seed).shuffle(parts)
        for start, part in parts:
            world.segment(START + start, part)
        assert world.got == data
        assert world.budget.left == 1 << 20


def test_what_comes_twice_is_read_once() -> None:
    world = World().opened()
    for _ in range(2):
        world.segment(START, b"abcd")
    world.segment(START + 4, b"ef")
    world.segment(START, b"ABCDEF")
    assert world.got == b"abcdef"
    assert world.streams.counts.repeated == 2


def test_of_an_overlap_what_came_first_counts() -> None:
    world = World().opened()
    world.segment(START, b"abcd")
    world.segment(START + 2, b"XXef")
    assert world.got == b"abcdef"
    assert world.streams.counts.overlapping == 1


def test_a_keep_alive_probe_is_no_data() -> None:
    world = World().opened()
    world.segment(START, b"abcd")
    world.segment(START + 3, b"\0")
    world.segment(START + 4, b"ef")
    assert world.got == b"abcdef"


def test_what_is_missing_for_long_is_a_gap_and_nothing_is_invented() -> None:
    world = World().opened()
    world.segment(START, b"a")
    for number in range(MAX_WAITING_SEGMENTS + 1):
        world.segment(START + 5 + number, b"b")
    assert world.got == b"a*" + b"b" * (MAX_WAITING_SEGMENTS + 1)
    assert world.streams.counts.gaps == 1


def test_what_waits_at_the_end_is_read_after_its_gap() -> None:
    world = World().opened()
    world.segment(START, b"ab")
    world.segment(START + 9, b"yz")
    world.streams.finish(99)
    assert world.got == b"ab*yz"
    assert world.readers[0].ended == "open"


def test_a_frame_that_was_cut_is_a_gap_after_its_beginning() -> None:
    world = World().opened()
    world.segment(START, b"abc", length=10)
    world.segment(START + 10, b"next")
    assert world.got == b"abc*next"
    assert world.streams.counts.cut == 1


def test_a_connection_whose_beginning_was_missed_is_read_from_its_first_data() -> None:
    world = World()
    world.segment(500)
    assert not world.readers
    world.segment(500, b"data")
    assert world.got == b"data"
    assert world.streams.counts.middle == 1


def test_both_ends_closing_ends_the_connection() -> None:
    world = World().opened()
    world.segment(START, b"abc")
    world.segment(START + 3, flags=FIN | ACK)
    assert not world.readers[0].ended
    world.segment(10, flags=FIN | ACK, key=reverse(KEY))
    assert world.readers[0].ended == "closed"


@pytest.mark.parametrize(("answered", "how"), [(True, "reset"), (False, "refused")])
def test_a_reset_tells_a_refusal_from_an_end(answered: bool, how: str) -> None:
    world = World()
    world.segment(START - 1, flags=SYN)
    if answered:
        world.segment(9, flags=SYN | ACK, key=reverse(KEY))
    world.segment(10, flags=RST | ACK, key=reverse(KEY))
    assert world.readers[0].ended == how


def test_ports_that_are_used_again_are_a_new_connection() -> None:
    world = World().opened()
    world.segment(START, b"one")
    world.segment(70_000, flags=SYN)
    world.segment(70_001, b"two")
    assert [each.got[0] for each in world.readers] == [b"one", b"two"]


def test_a_syn_that_is_sent_again_changes_nothing() -> None:
    world = World().opened()
    world.segment(START - 1, flags=SYN)
    world.segment(START, b"abc")
    assert (world.got, len(world.readers)) == (b"abc", 1)


def test_too_many_connections_let_the_most_silent_go() -> None:
    world = World(connections=8)
    for number in range(50):
        key = KEY[:8] + number.to_bytes(2, "big") + KEY[10:]
        world.segment(1, b"hello", key=key)
    assert world.streams.counts.given_up > 0
    assert sum(not each.ended for each in world.readers) <= 8


def test_no_room_for_what_waits_is_a_gap_and_the_room_comes_back() -> None:
    world = World(budget=10).opened()
    world.segment(START + 5, b"12345678")
    world.segment(START + 50, b"12345678")
    assert b"*" in world.got
    world.streams.finish(9)
    assert world.budget.left == 10

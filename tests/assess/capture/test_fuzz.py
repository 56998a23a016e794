"""Captures that somebody has tampered with: never a traceback, always a report, and memory stays bounded."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assess.capture.reading import read_bytes, report
from assess.capture.scene import mixed
from bollard.assess.report.formats import FORMATS
from bollard.base.errors import LocalError
from support.captures import Talk, Tape, pcap, pcapng

TAPE = mixed()
FILES = (pcap(TAPE), pcapng(TAPE), pcap(TAPE, order=">", nano=True), pcapng(TAPE, order=">"))
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def judged(data: bytes) -> None:
    """Read and render; what is no capture at all is said so."""
    try:
        capture = read_bytes(data)
    except LocalError:
        return
    made = report(capture)
    assert len(made.results) == 13
    FORMATS["text"](made)


@QUICK
@given(st.sampled_from(FILES), st.integers(0, 2**32), st.integers(1, 40))
def test_files_with_changed_bytes_give_a_report(data: bytes, seed: int, changes: int) -> None:
    chance = random.Random(seed)
    changed = bytearray(data)
    for _ in range(changes):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    judged(bytes(changed))


@QUICK
@given(st.sampled_from(FILES), st.integers(0, 2**32))
def test_files_with_parts_missing_or_doubled_give_a_report(data: bytes, seed: int) -> None:
    chance = random.Random(seed)
    first, last = sorted(chance.randrange(24, len(data)) for _ in range(2))
    judged(data[:first] + data[last:])
    judged(data[:last] + data[first:])


@QUICK
@given(st.integers(0, 2**32))
def test_frames_in_any_order_lost_doubled_and_changed_give_a_report(seed: int) -> None:
    chance = random.Random(seed)
    frames = [each for each in TAPE.frames if chance.random() < 0.9]
    for _ in range(10):
        place, other = chance.randrange(len(frames)), chance.randrange(len(frames))
        frames[place], frames[other] = frames[other], frames[place]
        time_ns, frame = frames[place]
        frame = bytearray(frame)
        if len(frame) > 54:
            # Behind the headers, so that it reaches the readers of MQTT, TLS and WebSocket.
            frame[chance.randrange(54, len(frame))] ^= 1 << chance.randrange(8)
        frames[place] = (time_ns, bytes(frame))
    judged(pcap(frames))


@QUICK
@given(
    st.binary(max_size=600),
    st.booleans(),
    st.booleans(),
    st.sampled_from([b"", b"\x10", b"\x16\x03\x01", b"GET "]),
)
def test_any_bytes_as_a_conversation_give_a_report(
    data: bytes, opened: bool, answered: bool, start: bytes
) -> None:
    tape = Tape()
    talk = Talk(tape, ("10.1.2.3", 40_000), ("10.9.9.9", 1_883), opened=opened)
    talk.send(0, start + data, 100)
    if answered:
        talk.send(1, data, 100)
    judged(pcap(tape))


@QUICK
@given(st.binary(max_size=2_000))
def test_any_bytes_as_a_file_give_a_report_or_are_refused(data: bytes) -> None:
    judged(data)
    judged(FILES[0][:24] + data)
    judged(FILES[1][:60] + data)

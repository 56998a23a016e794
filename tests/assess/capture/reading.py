"""What the tests of captures share: a tape read from memory, and the checks by their ids."""

import io
from datetime import UTC, datetime
from typing import Any

from bollard.assess.capture.sniff import Capture, Settings, assemble, read
from bollard.assess.model import Asset, Report, Result
from support.captures import Tape, pcap


def read_bytes(data: bytes, **settings: Any) -> Capture:
    """The capture in these bytes."""
    return read(
        io.BytesIO(data), "tape", Settings(**settings), lambda done, frames: None, "/captures/tape.pcap"
    )  # type: ignore[arg-type]


def read_tape(tape: Tape, **settings: Any) -> Capture:
    """The capture on this tape, as a pcap file."""
    return read_bytes(pcap(tape), **settings)


def report(capture: Capture, **settings: Any) -> Report:
    return assemble([capture], Settings(**settings), datetime(2026, 11, 23, tzinfo=UTC))


def results(capture: Capture) -> dict[str, Result]:
    """Check -> its result."""
    return {each.check: each for each in report(capture).results}


def states(capture: Capture) -> dict[str, str]:
    return {check: str(each.state) for check, each in results(capture).items()}


def assets(capture: Capture, kind: str = "device") -> dict[str, Asset]:
    """Name -> asset."""
    return {each.name: each for each in capture.inventory if each.kind == kind}

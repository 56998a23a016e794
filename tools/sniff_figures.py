"""How fast `bollard sniff` reads, and in how much memory: a capture of any size is made as a stream and read.

Three kinds of traffic, in equal parts of bytes: large messages over few connections, small messages over many
connections, and bulk that is no MQTT. `--file` writes the capture first and reads it from the disk; without it,
it comes through a pipe and is never whole anywhere. The last line is JSON.
"""

import argparse
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from bollard.assess.capture.sniff import Settings, read
from bollard.wire.codec import encode
from bollard.wire.connect import Connect
from bollard.wire.publish import encode_publish

MSS = 1_448
CONNECTIONS = 200


def segment(connection: int, port: int, seq: int, flags: int, data: bytes) -> bytes:
    """One Ethernet frame from a client, as a pcap record."""
    tcp = struct.pack(">HHIIBBHHH", 20_000 + connection, port, seq & 0xFFFFFFFF, 1, 0x50, flags, 65_535, 0, 0)
    source = bytes((10, 0, connection >> 8, connection & 255))
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(data), 1, 0, 64, 6, 0) + source + b"\x0a\x01\x00\x01"
    frame = b"\x02\0\0\0\0\1\x02\0\0\0\0\2\x08\0" + ip + tcp + data
    return struct.pack("<IIII", 1_790_000_000, 0, len(frame), len(frame)) + frame


class Sender:
    """One connection that sends the same bytes again and again."""

    def __init__(self, number: int, port: int, opening: bytes, body: bytes) -> None:
        self.number, self.port, self.seq = number, port, 1_000
        self.body = body
        self.first = segment(number, port, self.seq, 2, b"")
        self.seq += 1
        if opening:
            self.first += segment(number, port, self.seq, 16, opening)
            self.seq += len(opening)

    def next(self) -> bytes:
        """The body once, in segments."""
        parts = []
        for start in range(0, len(self.body), MSS):
            part = self.body[start : start + MSS]
            parts.append(segment(self.number, self.port, self.seq, 24, part))
            self.seq += len(part)
        return b"".join(parts)


def kinds(names: list[str]) -> list[list[Sender]]:
    """The senders of each kind of traffic."""
    large = encode_publish(b"camera/front/frame", os.urandom(60_000))
    small = [
        encode_publish(b"site/%d/temperature" % number, b'{"value": 21.5, "unit": "C"}')
        for number in range(50)
    ]
    made = {
        "large": [
            Sender(number, 1883, encode(Connect(client_id=f"camera-{number}"), 4), large)
            for number in range(4)
        ],
        "small": [
            Sender(10 + number, 1883, encode(Connect(client_id=f"sensor-{number}"), 4), small[number % 50])
            for number in range(CONNECTIONS)
        ],
        "other": [Sender(1_000 + number, 445, b"", os.urandom(60_000)) for number in range(4)],
    }
    return [made[name] for name in names]


def capture(size: int, names: list[str]) -> Iterator[bytes]:
    """A pcap file of about `size` bytes, piece by piece."""
    yield struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)
    groups = kinds(names)
    for group in groups:
        for sender in group:
            yield sender.first
    made = [0] * len(groups)
    turns = [0] * len(groups)
    while sum(made) < size:
        index = made.index(min(made))
        group = groups[index]
        # Small messages come one to a segment, as devices send them.
        piece = b"".join(
            group[(turns[index] + step) % len(group)].next() for step in range(50 if len(group) > 50 else 1)
        )
        turns[index] += 50 if len(group) > 50 else 1
        made[index] += len(piece)
        yield piece


def measure(file: BinaryIO, name: str) -> dict[str, float]:
    """Read it, and say how it went. The rate is of bytes over the processor time of the reader."""
    told = time.monotonic()

    def progress(read_bytes: int, frames: int) -> None:
        nonlocal told
        if time.monotonic() - told > 2:
            told = time.monotonic()
            print(f"{name}: {read_bytes // 1_000_000} MB, {frames} frames", file=sys.stderr)  # noqa: T201

    wall, cpu = time.monotonic(), time.thread_time()
    found = read(file, name, Settings(), progress)
    wall, cpu = time.monotonic() - wall, time.thread_time() - cpu
    return {
        "frames": found.traffic.frames,
        "messages": found.traffic.publishes,
        "wall_s": round(wall, 1),
        "cpu_s": round(cpu, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> int:
    """Make, read, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1_024)
    parser.add_argument("--kinds", default="large,small,other")
    parser.add_argument("--file", action="store_true", help="through a file in a temporary directory")
    parser.add_argument("--make", action="store_true", help="only make the capture, on standard output")
    options = parser.parse_args()
    size, names = options.mib << 20, options.kinds.split(",")
    if options.make:
        sys.stdout.buffer.writelines(capture(size, names))
        return 0
    if options.file:
        with tempfile.TemporaryDirectory(prefix="sniff-") as folder:
            path = Path(folder) / "made.pcap"
            with path.open("wb") as out:
                out.writelines(capture(size, names))
            size = path.stat().st_size
            with path.open("rb") as file:
                result = measure(file, "made.pcap")
    else:
        result = _through_pipe(options)
    result |= {"mb": round(size / 1e6), "mb_per_cpu_s": round(size / 1e6 / max(result["cpu_s"], 0.01), 1)}
    result["mb_per_wall_s"] = round(size / 1e6 / max(result["wall_s"], 0.01), 1)
    print(json.dumps({"kinds": names, **result}))  # noqa: T201
    return 0


def _through_pipe(options: argparse.Namespace) -> dict[str, float]:
    made = [sys.executable, __file__, "--make", "--mib", str(options.mib), "--kinds", options.kinds]
    with subprocess.Popen(made, stdout=subprocess.PIPE) as writer:  # noqa: S603 -- itself, nothing from outside
        assert writer.stdout is not None
        return measure(cast(BinaryIO, writer.stdout), "a pipe")


if __name__ == "__main__":
    sys.exit(main())

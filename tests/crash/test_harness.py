"""The judge of `make crash` finds what it must find, and a short run of the real thing."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from server.tools import TOOLS, load_tool

clients = load_tool("crash_clients")
sys.modules["crash_clients"] = clients
harness = load_tool("crash")
SECTOR_BYTES: int = harness.SECTOR_BYTES
Stream = clients.Stream


def stream(*numbers: int) -> object:
    made = Stream()
    for number in numbers:
        made.saw(number)
    return made


def verdict(acknowledged: list[int], seen: object, qos: int = 2) -> tuple[int, int, int]:
    publisher, subscriber = clients.Publisher("p", 5, 0, qos, 1), clients.Subscriber("s", 5, 0, qos)
    publisher.acknowledged = acknowledged
    subscriber.streams[publisher.topic] = seen
    found = clients.judge([publisher], [subscriber])
    return found.lost, found.twice_qos2, found.out_of_order


@pytest.mark.parametrize(
    ("acknowledged", "seen", "expected"),
    [
        ([1, 2, 3], stream(1, 2, 3), (0, 0, 0)),
        ([1, 2, 3], stream(1, 2), (1, 0, 0)),
        ([1, 2, 3], stream(1, 3), (1, 0, 0)),
        ([1, 3], stream(1, 3), (0, 0, 0)),
        ([1, 2, 3], stream(1, 2, 2, 3), (0, 1, 0)),
        ([1, 2, 3], stream(1, 3, 2), (0, 0, 1)),
        ([1], Stream(), (1, 0, 0)),
    ],
)
def test_the_judge_counts_what_is_wrong(
    acknowledged: list[int], seen: object, expected: tuple[int, int, int]
) -> None:
    assert verdict(acknowledged, seen) == expected


def test_a_second_delivery_at_qos_1_is_no_fault() -> None:
    assert verdict([1], stream(1, 1), qos=1) == (0, 0, 0)


def test_a_power_loss_leaves_each_sector_old_or_new() -> None:
    before, after = b"a" * SECTOR_BYTES * 50, b"b" * SECTOR_BYTES * 60
    found = harness.mixed(before, after, random.Random(1))
    assert 50 <= len(found) / SECTOR_BYTES <= 60
    sectors = {found[at : at + SECTOR_BYTES][:1] for at in range(0, len(found), SECTOR_BYTES)}
    assert {b"a", b"b"} <= sectors <= {b"a", b"b", b"\0"}


def test_a_power_loss_goes_back_to_the_last_commit(tmp_path: Path) -> None:
    store = tmp_path / "s.db"
    wal = tmp_path / "s.db-wal"
    snapshots = harness.Snapshots(store, tmp_path / "snapshots")
    store.write_bytes(b"d" * 5000)
    wal.write_bytes(b"1" * SECTOR_BYTES * 4)
    snapshots.take()
    wal.write_bytes(b"1" * SECTOR_BYTES * 4 + b"2" * SECTOR_BYTES * 100)
    snapshots.lose_power(random.Random(2))
    assert store.read_bytes() == b"d" * 5000
    assert wal.read_bytes()[: SECTOR_BYTES * 4] == b"1" * SECTOR_BYTES * 4


@pytest.mark.slow
def test_the_broker_keeps_its_promises_through_kills_and_power_losses(tmp_path: Path) -> None:
    room, result = tmp_path / "room", tmp_path / "result"
    run = subprocess.run(
        [
            *(sys.executable, TOOLS / "crash.py", "--kills", "2", "--power-losses", "2", "--seed", "7"),
            *("--seconds", "0.3", "--room", room, "--json", result),
        ],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(result.read_text())
    assert found["kills"] == found["power_losses"] == 2
    assert found["acknowledged"] > 100

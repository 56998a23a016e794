"""When a batch goes to the disk, as the loop's side decides it. The engine is real, the disk is a list."""

import asyncio
import time

import pytest

from bollard.engine.journal import Batch
from bollard.net import commits
from bollard.net.commits import BUSY_S, LAZY_S, MAX_HOPE, RETRY_S, Commits
from bollard.wire.publish import Ack
from bollard.wire.spec import PacketType
from support.memory import Device, House


class Disk:
    """Takes batches and does nothing."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, Batch]] = []

    def submit(self, sequence: int, batch: Batch) -> None:
        self.batches.append((sequence, batch))


class Shell:
    """A house whose journal is handed over by `Commits`, with a clock that stands still."""

    def __init__(self) -> None:
        self.now = 5_000.0
        self.house = House(durable=True)
        self.subscriber = self.house.connect("k", clean=False, expiry=1000)
        self.subscriber.subscribe("kept/#", qos=1)
        self.publisher = self.house.connect("p")
        self.house.commits = False
        self.house.settle()
        assert not self.house.batches
        self.house._journal = lambda: None  # type: ignore[method-assign]
        self.disk = Disk()
        self.woken = 0
        self.commits = Commits(self.house.broker, self.disk, self._wake)
        self.arrivals = 0

    def _wake(self) -> None:
        self.woken += 1

    def turn(self, *, arrived: bool = False) -> bool:
        self.arrivals += arrived
        let_go = self.commits.turn(self.arrivals)
        self.house.settle()
        return let_go

    def publish(self, topic: str = "kept/a") -> None:
        self.publisher.publish(topic, qos=1)

    def acks(self) -> int:
        return len(self.publisher.acks())

    def receiver_acknowledges(self) -> None:
        for message in self.subscriber.messages():
            self.subscriber.ack(PacketType.PUBACK, message.packet_id)

    def no_hope(self) -> None:
        self.commits._hope = 0


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    made = Shell()
    monkeypatch.setattr(commits.time, "monotonic", lambda: made.now)
    return made


def test_an_idle_loop_hands_over_at_once(shell: Shell) -> None:
    shell.no_hope()
    shell.publish()
    assert not shell.turn()
    [(sequence, batch)] = shell.disk.batches
    assert len(batch) == 2
    assert shell.acks() == 0
    shell.commits.done(sequence, batch, "")
    shell.house.settle()
    assert shell.acks() == 1


def test_while_receivers_are_quick_a_busy_loop_takes_in_what_arrives_but_not_for_long(shell: Shell) -> None:
    shell.publish()
    shell.turn(arrived=True)
    assert (shell.disk.batches, shell.woken) == ([], 1)
    shell.now += BUSY_S
    shell.turn(arrived=True)
    assert len(shell.disk.batches) == 1


def test_while_the_disk_is_busy_the_next_batch_gathers(shell: Shell) -> None:
    shell.no_hope()
    shell.publish()
    shell.turn()
    for _ in range(3):
        shell.publish()
        shell.turn()
    assert len(shell.disk.batches) == 1
    shell.commits.done(*shell.disk.batches[0], "")
    shell.turn()
    assert len(shell.disk.batches[1][1].messages) == 3


def test_a_message_that_quick_receivers_have_is_never_written(shell: Shell) -> None:
    shell.publish()
    assert not shell.turn()
    assert shell.commits.due == pytest.approx(shell.now + BUSY_S)
    shell.receiver_acknowledges()
    assert shell.turn(arrived=True), "nothing is left to be written"
    assert shell.acks() == 1
    assert shell.disk.batches == []


def test_receivers_that_are_away_are_soon_not_waited_for(shell: Shell) -> None:
    shell.subscriber.drop()
    shell.no_hope()
    shell.turn()
    shell.now += LAZY_S
    shell.turn()
    for sequence, batch in shell.disk.batches:
        shell.commits.done(sequence, batch, "")
    shell.disk.batches.clear()
    shell.commits._hope = MAX_HOPE
    waits = 0
    for _ in range(MAX_HOPE + 2):
        shell.publish()
        shell.turn()
        if not shell.disk.batches:
            waits += 1
            shell.now += BUSY_S
            shell.turn()
        shell.commits.done(*shell.disk.batches.pop(), "")
    assert waits == MAX_HOPE


def slow_commit(shell: Shell, *, seconds: float = 0.004) -> None:
    """One message goes to the disk, another gathers meanwhile, and the disk takes its time."""
    shell.publish()
    shell.turn()
    shell.publish()
    shell.turn()
    shell.now += seconds
    shell.commits.done(*shell.disk.batches.pop(), "")


def test_after_a_slow_commit_the_next_batch_waits_for_those_who_were_let_go(shell: Shell) -> None:
    shell.no_hope()
    slow_commit(shell)
    shell.turn()
    assert shell.disk.batches == []
    assert shell.commits.due == pytest.approx(shell.now + 0.001)
    shell.publish()
    shell.turn(arrived=True)
    shell.turn()
    [(_, batch)] = shell.disk.batches
    assert len(batch.messages) == 2


def quick_commit(shell: Shell, *, seconds: float = 0.001) -> None:
    """One message goes to the disk and nothing gathers meanwhile."""
    shell.publish()
    shell.turn()
    shell.now += seconds
    shell.commits.done(*shell.disk.batches.pop(), "")


def test_what_arrives_without_a_moment_in_between_goes_together(shell: Shell) -> None:
    shell.no_hope()
    quick_commit(shell)
    for _ in range(3):
        shell.publish()
        shell.turn(arrived=True)
        shell.now += 0.0001
    assert (shell.disk.batches, shell.woken) == ([], 3)
    shell.turn()
    [(_, batch)] = shell.disk.batches
    assert len(batch.messages) == 3


def test_what_never_ceases_to_arrive_waits_for_no_longer_than_a_commit_takes(shell: Shell) -> None:
    shell.no_hope()
    quick_commit(shell, seconds=0.001)
    taken = 0
    while not shell.disk.batches:
        taken += 1
        shell.publish()
        shell.turn(arrived=True)
        shell.now += 0.00025
    assert taken == 5


def test_a_very_slow_disk_does_not_let_arrivals_wait_longer_for_company(shell: Shell) -> None:
    shell.no_hope()
    quick_commit(shell, seconds=5.0)
    shell.publish()
    shell.turn(arrived=True)
    assert shell.disk.batches == []
    shell.now += BUSY_S
    shell.turn(arrived=True)
    assert len(shell.disk.batches) == 1


@pytest.mark.parametrize(
    ("seconds", "patience_s"), [(0.004, 0.001), (1.0, BUSY_S)], ids=["a share", "bounded"]
)
def test_it_waits_for_a_share_of_the_commit_and_never_long(
    shell: Shell, seconds: float, patience_s: float
) -> None:
    shell.no_hope()
    slow_commit(shell, seconds=seconds)
    shell.now += patience_s * 0.9
    shell.turn(arrived=True)
    assert (shell.disk.batches, shell.woken) == ([], 1)
    shell.now += patience_s * 0.2
    shell.turn()
    assert len(shell.disk.batches) == 1


def test_those_who_do_not_come_back_are_soon_not_waited_for(shell: Shell) -> None:
    shell.no_hope()
    waits = 0
    for _ in range(MAX_HOPE + 2):
        slow_commit(shell)
        shell.turn()
        if not shell.disk.batches:
            waits += 1
            shell.now += BUSY_S
            shell.turn()
        shell.commits.done(*shell.disk.batches.pop(), "")
    assert waits == MAX_HOPE


def test_what_nobody_waits_for_goes_later(shell: Shell) -> None:
    shell.subscriber.leave()
    shell.turn()
    assert shell.disk.batches == []
    assert shell.commits.due == pytest.approx(shell.now + LAZY_S)
    shell.now += LAZY_S
    shell.turn()
    assert len(shell.disk.batches) == 1


def test_a_disk_that_fails_is_tried_again_with_everything(shell: Shell) -> None:
    shell.no_hope()
    shell.publish()
    shell.turn()
    shell.commits.done(*shell.disk.batches.pop(), "disk full")
    assert shell.house.broker.core.journal.failing
    shell.turn()
    assert shell.disk.batches == []
    assert shell.commits.due == pytest.approx(shell.now + RETRY_S)
    shell.now += RETRY_S
    shell.turn()
    [(sequence, batch)] = shell.disk.batches
    assert len(batch.messages) == 1
    shell.commits.done(sequence, batch, "")
    shell.house.settle()
    assert shell.acks() == 1


class Prompt(Disk):
    """Answers in the next turn of the loop, as often with a problem as it is told."""

    def __init__(self, problems: int = 0) -> None:
        super().__init__()
        self.problems = problems
        self.commits: Commits | None = None

    def submit(self, sequence: int, batch: Batch) -> None:
        super().submit(sequence, batch)
        assert self.commits is not None
        self.problems -= 1
        problem = "disk full" if self.problems >= 0 else ""
        asyncio.get_running_loop().call_soon(self.commits.done, sequence, batch, problem)


@pytest.mark.parametrize(("problems", "well"), [(0, True), (1, True), (100, False)])
def test_the_stop_writes_what_is_left_if_the_disk_lets_it(
    problems: int, well: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "RETRY_S", 0.01)

    async def stop() -> bool:
        house = House(durable=True)
        house.connect("k", clean=False, expiry=1000).drop()
        house.broker.publish("r", b"x", retain=True, now=house.now)
        disk = Prompt(problems)
        disk.commits = Commits(house.broker, disk, lambda: None)
        return await disk.commits.finish(0.2)

    assert asyncio.run(stop()) is well


def test_the_wall_clock_of_each_batch_is_that_of_its_moment(shell: Shell) -> None:
    shell.no_hope()
    shell.publish()
    shell.turn()
    [(_, batch)] = shell.disk.batches
    assert batch.wall_offset == pytest.approx(time.time() - shell.now, abs=5)


def test_acknowledgements_are_packets_of_the_publisher(shell: Shell) -> None:
    shell.no_hope()
    shell.publish()
    shell.turn()
    shell.commits.done(*shell.disk.batches[0], "")
    shell.house.settle()
    device: Device = shell.publisher
    assert [type(packet) for packet in device.take()] == [Ack]

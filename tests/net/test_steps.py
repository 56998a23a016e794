"""The queue of expensive steps: order, and a budget per turn."""

import asyncio
import time

from bollard.net.poller import Poller
from bollard.net.steps import TURN_BUDGET_S, Steps

from .fake_broker import until


class Work:
    def __init__(self, log: list[str], name: str, cost_s: float = 0.0, address: str = "192.0.2.1") -> None:
        self.log, self.name, self.cost_s, self.address = log, name, cost_s, address

    def step(self) -> None:
        time.sleep(self.cost_s)
        self.log.append(self.name)


def steps(budget_s: float = TURN_BUDGET_S) -> Steps:
    loop = asyncio.get_running_loop()
    return Steps(loop, Poller(loop, lambda: None), budget_s)


async def test_steps_run_in_the_order_in_which_they_came() -> None:
    log: list[str] = []
    queue = steps(budget_s=1.0)
    for name in "abc":
        queue.submit(Work(log, name))
    assert log == []
    await until(lambda: len(log) == 3)
    assert log == ["a", "b", "c"]


async def test_others_get_their_turn_between_expensive_steps() -> None:
    log: list[str] = []
    queue = steps(budget_s=0.001)
    for _ in range(3):
        queue.submit(Work(log, "step", cost_s=0.002))
    while log.count("step") < 3:
        await asyncio.sleep(0)
        log.append("message")
    assert "message" in log[: log.index("step") + 2]
    assert [word for word in log if word == "step"] == ["step"] * 3


async def test_a_queue_that_ran_dry_starts_again() -> None:
    log: list[str] = []
    queue = steps()
    queue.submit(Work(log, "first"))
    await until(lambda: log)
    queue.submit(Work(log, "second"))
    await until(lambda: len(log) == 2)


async def test_what_was_begun_has_two_turns_for_each_of_what_begins() -> None:
    log: list[str] = []
    queue = steps(budget_s=1.0)
    for name in ("new 1", "new 2", "new 3"):
        queue.submit(Work(log, name))
    for name in ("begun 1", "begun 2", "begun 3"):
        queue.resume(Work(log, name))
    await until(lambda: len(log) == 6)
    assert log == ["begun 1", "begun 2", "new 1", "begun 3", "new 2", "new 3"]


async def test_what_many_have_begun_at_once_is_soon_little() -> None:
    queue = steps(budget_s=1.0)
    half_done = [100]

    class Peer(Work):
        def step(self) -> None:
            """Begins and answers at once, or ends."""
            half_done.append(half_done[-1] + (1 if self.name == "new" else -1))
            if self.name == "new":
                queue.resume(Peer([], "begun"))

    for _ in range(100):
        queue.resume(Peer([], "begun"))
    for _ in range(400):
        queue.submit(Peer([], "new"))
    await until(lambda: half_done[-1] == 0)
    assert max(half_done[301:]) <= 2


async def test_a_storm_of_one_address_gets_no_more_turns_than_another_address() -> None:
    log: list[str] = []
    queue = steps(budget_s=1.0)
    for number in range(1000):
        queue.submit(Work(log, "storm", address=f"2001:db8::{number:x}"))
    for address in ("192.0.2.1", "192.0.2.2"):
        queue.submit(Work(log, address, address=address))
        queue.submit(Work(log, address, address=address))
    await until(lambda: len(log) == 1004)
    assert log[:6] == ["storm", "192.0.2.1", "192.0.2.2"] * 2
    assert log[6:] == ["storm"] * 998

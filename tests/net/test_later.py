"""Answers that take their time: worked on in another thread, given on the loop, and nothing waits for them."""

import asyncio
import threading
from collections.abc import Callable

from bollard.base.authentication import Accepted, Answer, Later, Question, Refused
from bollard.base.events import Event, ServerWarning
from bollard.base.types import Peer
from bollard.net.pump import Pump

from .fake_broker import FakeBroker, until


class Slow:
    """An authenticator whose answers come when a test says so, from a thread of their own."""

    def __init__(self, conclude: Callable[[], Answer]) -> None:
        self._conclude = conclude
        self.done: Callable[[], None] | None = None

    def answer(self, question: Question) -> Answer | Later:
        if question.client_id == "quick":
            return Accepted("quick")
        return Later(self._note, self._conclude)

    def _note(self, done: Callable[[], None]) -> None:
        self.done = done

    def finish(self) -> None:
        assert self.done is not None
        thread = threading.Thread(target=self.done)
        thread.start()
        thread.join()


def question(client_id: str) -> Question:
    return Question(object(), "connect", Peer(), client_id, "anna", None)


async def test_who_comes_later_is_not_kept_waiting_by_a_slow_answer() -> None:
    broker, slow = FakeBroker(), Slow(lambda: Accepted("anna"))
    pump = Pump(broker, slow, lambda event: None)
    broker.questions = [question("slow"), question("quick")]
    pump.wake()
    await until(lambda: broker.answers)
    assert [asked.client_id for asked, _ in broker.answers] == ["quick"]
    slow.finish()
    await until(lambda: len(broker.answers) == 2)
    assert broker.answers[1][1] == Accepted("anna")


async def test_the_answer_is_concluded_on_the_loop_when_it_is_used() -> None:
    threads: list[threading.Thread] = []

    def conclude() -> Answer:
        threads.append(threading.current_thread())
        return Refused(0x87, "revoked meanwhile")

    broker, slow = FakeBroker(), Slow(conclude)
    pump = Pump(broker, slow, lambda event: None)
    broker.questions = [question("slow")]
    pump.wake()
    await until(lambda: slow.done)
    assert threads == []
    slow.finish()
    await until(lambda: broker.answers)
    assert threads == [threading.main_thread()]
    assert isinstance(broker.answers[0][1], Refused)


async def test_an_answer_that_fails_is_a_refusal_and_is_told() -> None:
    def conclude() -> Answer:
        raise RuntimeError("no")

    events: list[Event] = []
    broker, slow = FakeBroker(), Slow(conclude)
    pump = Pump(broker, slow, events.append)
    broker.questions = [question("slow")]
    pump.wake()
    await until(lambda: slow.done)
    slow.finish()
    await until(lambda: broker.answers)
    answer = broker.answers[0][1]
    assert isinstance(answer, Refused)
    assert answer.code == 0x83
    assert any(isinstance(event, ServerWarning) for event in events)


async def test_an_answer_that_is_there_at_once_is_given_as_well() -> None:
    class Ready(Slow):
        def _note(self, done: Callable[[], None]) -> None:
            done()

    broker = FakeBroker()
    pump = Pump(broker, Ready(lambda: Accepted("anna")), lambda event: None)
    broker.questions = [question("slow")]
    pump.wake()
    await until(lambda: broker.answers)
    await asyncio.sleep(0)
    assert broker.answers[0][1] == Accepted("anna")

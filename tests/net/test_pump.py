"""The pump: turns, deadlines, answers, limits, errors that stay where they are, and stopping."""

import asyncio
import os
import time

import pytest

from bollard.base.authentication import Accepted, Answer, Question, Refused
from bollard.base.events import Event, LimitReached, ServerWarning, TransportRefused
from bollard.base.types import Peer
from bollard.net.listener import ListenerSettings
from bollard.net.pump import LARGE_AT_ONCE_BYTES, Pump
from bollard.net.reports import Throttle
from bollard.session.connection import Connection

from .fake_broker import AcceptAll, FakeBroker, FakeConnection, serving, until

PLAIN = ListenerSettings(host="127.0.0.1", allow_plaintext=True)


def question(connection: object = None) -> Question:
    return Question(connection, "connect", Peer(), "c", None, None)


def admit(connection: FakeConnection, data: bytes) -> None:
    """As if whatever came were a CONNECT."""
    connection.connected = True
    connection.put(data)


async def test_many_wakes_make_one_turn() -> None:
    broker = FakeBroker()
    pump = Pump(broker, AcceptAll(), lambda event: None)
    for _ in range(10):
        pump.wake()
    await asyncio.sleep(0.01)
    assert broker.turns == 1


async def test_a_turn_that_somebody_asks_for_comes_behind_what_has_arrived_by_then() -> None:
    async with serving(PLAIN) as server:
        _, writer = await server.connect()
        writer.write(b"x")
        await until(lambda: server.broker.accepted)
        await until(lambda: not server.broker.dirty)
        turns = server.broker.turns
        os.write(writer.get_extra_info("socket").fileno(), b"more")
        server.pump.wake()
        while server.broker.turns == turns:  # noqa: ASYNC110 - each step of the loop counts
            await asyncio.sleep(0)
        assert server.broker.accepted[0].received == b"xmore"


async def test_deadlines_of_the_broker_are_kept_without_spinning() -> None:
    broker = FakeBroker()
    pump = Pump(broker, AcceptAll(), lambda event: None)
    for milliseconds in (5.3, 6.4, 7.45, 8.49, 9.6, 10.7):
        ticks = broker.ticks
        broker.deadline = time.monotonic() + milliseconds / 1000
        pump.wake()
        await until(lambda ticks=ticks: broker.ticks > ticks)
    assert broker.turns <= 24, "a timer that fires early must not spin"


async def test_an_earlier_deadline_replaces_a_later_one() -> None:
    broker = FakeBroker()
    pump = Pump(broker, AcceptAll(), lambda event: None)
    broker.deadline = time.monotonic() + 60
    pump.wake()
    await asyncio.sleep(0.01)
    broker.deadline = time.monotonic() + 0.05
    pump.wake()
    await until(lambda: broker.ticks)


async def test_a_deadline_that_moves_away_is_asked_about_again() -> None:
    broker = FakeBroker()
    pump = Pump(broker, AcceptAll(), lambda event: None)
    broker.deadline = time.monotonic() + 0.03
    pump.wake()
    await asyncio.sleep(0.01)
    broker.deadline = time.monotonic() + 0.1
    pump.wake()
    await asyncio.sleep(0.05)
    assert broker.ticks == 0
    await until(lambda: broker.ticks)


async def test_pressing_output_is_written_before_the_turn_ends() -> None:
    def receive(connection: FakeConnection, data: bytes) -> None:
        connection.put(b"answer")
        connection.broker.presses = data == b"much"

    broker = FakeBroker(on_receive=receive)
    async with serving(PLAIN, broker=broker) as server:
        reader, writer = await server.connect()
        writer.write(b"much")
        assert await reader.readexactly(6) == b"answer"
        stream = broker.accepted[0].owner
        await asyncio.sleep(0.01)
        turns = broker.turns
        server.pump.receive(stream, b"much")
        assert broker.turns == turns + 1
        server.pump.receive(stream, b"little")
        assert broker.turns == turns + 1


async def test_questions_are_answered_in_the_turn() -> None:
    broker = FakeBroker()
    pump = Pump(broker, AcceptAll(), lambda event: None)
    asked = question()
    broker.questions.append(asked)
    pump.wake()
    await until(lambda: broker.answers)
    assert broker.answers == [(asked, Accepted("somebody"))]


async def test_an_authenticator_that_fails_refuses() -> None:
    class Broken:
        def answer(self, question: Question) -> Answer:
            raise RuntimeError("registry is gone")

    broker, events = FakeBroker(), list[Event]()
    pump = Pump(broker, Broken(), events.append)
    broker.questions.append(question())
    pump.wake()
    await until(lambda: broker.answers)
    ((_, answer),) = broker.answers
    assert isinstance(answer, Refused)
    assert answer.code == 0x83
    assert any(isinstance(event, ServerWarning) for event in events)


async def test_an_observer_that_fails_stops_nothing() -> None:
    seen: list[Event] = []

    def observe(event: Event) -> None:
        seen.append(event)
        raise RuntimeError

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    broker = FakeBroker()
    pump = Pump(broker, AcceptAll(), observe)
    broker.events += [ServerWarning("first"), ServerWarning("second")]
    pump.wake()
    await until(lambda: len(seen) == 2)


async def test_an_error_for_one_connection_ends_that_one_alone() -> None:
    def explode(connection: FakeConnection, data: bytes) -> None:
        if data == b"poison":
            raise RuntimeError("a defect")
        connection.put(data)

    async with serving(PLAIN, broker=FakeBroker(on_receive=explode), expect_warnings=True) as server:
        victim, healthy = await server.connect(), await server.connect()
        victim[1].write(b"poison")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await victim[0].readexactly(1)
        healthy[1].write(b"fine")
        assert await healthy[0].readexactly(4) == b"fine"
        (warning,) = server.of(ServerWarning)
        assert "a defect" in warning.detail
        assert server.broker.gone == [server.broker.accepted[0]]


async def test_an_error_while_writing_ends_that_connection_alone() -> None:
    async with serving(PLAIN, expect_warnings=True) as server:
        victim, healthy = await server.connect(), await server.connect()
        for _, writer in (victim, healthy):
            writer.write(b"x")
        await until(lambda: len(server.broker.accepted) == 2)
        await victim[0].readexactly(1)
        await healthy[0].readexactly(1)
        ports = {c.peer.port: c for c in server.broker.accepted}
        broken = ports[victim[1].get_extra_info("sockname")[1]]
        broken.put(b"never written")
        broken.owner.websocket = object()  # wraps nothing
        ports[healthy[1].get_extra_info("sockname")[1]].put(b"fine")
        server.pump.wake()
        assert await healthy[0].readexactly(4) == b"fine"
        await until(lambda: server.broker.gone == [broken])


async def test_a_broker_that_fails_in_a_turn_gets_another_one() -> None:
    broker, events = FakeBroker(), list[Event]()
    pump = Pump(broker, AcceptAll(), events.append)
    broker.drain = lambda: 1 // 0  # type: ignore[method-assign]
    pump.wake()
    await until(lambda: events)
    del broker.drain
    pump.wake()
    await until(lambda: broker.turns)


async def test_an_address_with_too_many_connections_is_refused_until_one_leaves() -> None:
    async with serving(PLAIN, max_connections_per_address=2) as server:
        first = await server.connect()
        await server.connect()
        await until(lambda: server.pump.gate.total == 2)
        third = await server.connect()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await third[0].readexactly(1)
        (limit,) = server.of(LimitReached)
        assert (limit.limit, limit.address) == ("max_connections_per_address", "127.0.0.1")
        first[1].close()
        await until(lambda: server.pump.gate.total == 1)
        reader, writer = await server.connect()
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"


async def test_a_stranger_too_many_costs_the_oldest_stranger_its_place() -> None:
    async with serving(PLAIN, broker=FakeBroker(on_receive=admit), max_handshakes=2) as server:
        member = await server.connect()
        member[1].write(b"m")
        assert await member[0].readexactly(1) == b"m"
        oldest = await server.connect()
        await until(lambda: server.pump.gate.total == 2)
        await server.connect()
        await server.connect()
        async with asyncio.timeout(2):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await oldest[0].readexactly(1)
        member[1].write(b"m")
        assert await member[0].readexactly(1) == b"m"
        (limit,) = server.of(LimitReached)
        assert limit.limit == "max_handshakes"


async def test_a_flood_of_refusals_is_not_a_flood_of_events() -> None:
    async with serving(PLAIN, max_connections=1) as server:
        await server.connect()
        await until(lambda: server.pump.gate.total == 1)
        for _ in range(60):
            _, writer = await server.connect()
            writer.close()
        assert len(server.of(LimitReached)) <= 40


def test_what_was_held_back_is_counted_with_the_next_report() -> None:
    throttle = Throttle(per_second=2)
    assert [throttle.admit(10.0) for _ in range(5)] == [0, 0, -1, -1, -1]
    assert throttle.admit(11.0) == 3
    assert throttle.admit(11.5) == 0


async def test_stopping_tells_every_client_and_waits_for_them() -> None:
    async with serving(PLAIN, broker=FakeBroker(on_receive=admit)) as server:
        clients = [await server.connect() for _ in range(3)]
        for reader, writer in clients:
            writer.write(b"x")
            await reader.readexactly(1)

        async def part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
            words = await reader.read()
            writer.close()
            return words

        partings = [asyncio.create_task(part(*client)) for client in clients]
        await server.listener.stop()
        started = time.monotonic()
        await server.pump.stop(grace_s=2.0)
        assert time.monotonic() - started < 1.5
        assert await asyncio.gather(*partings) == [b"bye"] * 3
        assert len(server.broker.gone) == 3


async def test_stopping_does_not_wait_for_those_who_will_not_go() -> None:
    def flood(connection: FakeConnection, data: bytes) -> None:
        connection.put(bytes(20_000_000))

    async with serving(PLAIN, broker=FakeBroker(on_receive=flood)) as server:
        _, slow = await server.connect()
        slow.write(b"x")
        await server.connect()  # says nothing
        await until(lambda: server.pump.gate.total == 2)
        await until(lambda: server.broker.accepted and not server.broker.accepted[0].writable)
        started = time.monotonic()
        await server.pump.stop(grace_s=0.2)
        assert time.monotonic() - started < 1.5
        assert server.pump.gate.total == 0
        assert server.of(TransportRefused) == []


async def test_much_output_is_written_after_that_of_the_others_and_in_portions() -> None:
    async with serving(PLAIN) as server:
        clients = [await server.connect() for _ in range(10)]
        for _, writer in clients:
            writer.write(b"x")
        await until(lambda: len(server.broker.accepted) == 10)
        for reader, _ in clients:
            await reader.readexactly(1)
        large = LARGE_AT_ONCE_BYTES // 2
        before: list[list[int]] = []
        drain = server.broker.drain

        def noted() -> list[Connection]:
            before.append([connection.size for connection in server.broker.accepted])
            return drain()

        server.broker.drain = noted  # type: ignore[method-assign]
        for connection in server.broker.accepted[:9]:
            connection.put(bytes(large))
        server.broker.accepted[9].put(b"small")
        server.pump.wake()
        for reader, _ in clients[:9]:
            await reader.readexactly(large)
        assert await clients[9][0].readexactly(5) == b"small"
        untouched = [sizes[:9].count(large) for sizes in before]
        assert untouched[:5] == [9, 7, 5, 3, 1], "nine halves of what is written at once"
        assert [sizes[9] for sizes in before[:2]] == [5, 0], "what is small does not wait for them"

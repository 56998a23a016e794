"""The loop that waits where the broker's sockets are: asyncio must not notice, and the broker on other loops neither."""

import asyncio
import os
import signal
import socket
import threading
import time

import pytest
import uvloop

from bollard.net.listener import ListenerSettings
from bollard.net.loop import Loop
from bollard.net.poller import Poller

from .fake_broker import close, serving, until

PLAIN = ListenerSettings(host="127.0.0.1", allow_plaintext=True)


async def echoed() -> None:
    """A connection is served while asyncio's own timers, tasks and transports work in the same loop."""
    async with serving(PLAIN) as server:
        reader, writer = await server.connect()
        for number in range(3):
            writer.write(b"%d" % number)
            assert await reader.readexactly(1) == b"%d" % number
            await asyncio.sleep(0.001)
        server.broker.deadline = time.monotonic() + 0.01
        server.pump.wake()
        await until(lambda: server.broker.ticks)


@pytest.mark.parametrize("factory", [Loop, asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_broker_runs_on_any_loop(factory: "type[asyncio.AbstractEventLoop]") -> None:
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(echoed())


def in_loop(coroutine: object) -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(coroutine)  # type: ignore[arg-type]


def test_what_other_threads_ask_for_is_done_while_the_loop_waits_in_a_poller() -> None:
    async def main() -> None:
        async with serving(PLAIN):
            loop, done = asyncio.get_running_loop(), asyncio.Event()
            later = threading.Timer(0.05, lambda: loop.call_soon_threadsafe(done.set))
            later.start()
            await asyncio.wait_for(done.wait(), 5)
            later.join()
            assert await asyncio.to_thread(lambda: 7) == 7

    in_loop(main())


def test_a_timer_is_kept_while_the_loop_waits_in_a_poller() -> None:
    async def main() -> None:
        async with serving(PLAIN):
            begin = time.monotonic()
            await asyncio.sleep(0.05)
            assert time.monotonic() - begin >= 0.05

    in_loop(main())


def test_a_timer_is_kept_although_the_sockets_never_rest() -> None:
    async def main() -> None:
        async with serving(PLAIN) as server:
            reader, writer = await server.connect()
            ended = False

            def again(connection: object, data: bytes) -> None:
                # The peer that never stops: each byte of ours is answered at once, by a thread.
                connection.put(data)  # type: ignore[attr-defined]

            server.broker.on_receive = again
            writer.close()
            sock = socket.create_connection(("127.0.0.1", server.port))

            def talk() -> None:
                while not ended:
                    sock.sendall(b"x")
                    sock.recv(1)

            talker = threading.Thread(target=talk)
            talker.start()
            await asyncio.sleep(0.1)
            ended = True
            await asyncio.to_thread(talker.join)
            sock.close()
            assert len(server.broker.accepted[-1].received) > 10
            del reader

    in_loop(main())


def test_a_signal_ends_a_wait_that_would_have_no_end() -> None:
    async def main() -> None:
        async with serving(PLAIN):
            loop, told = asyncio.get_running_loop(), asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, told.set)
            later = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
            later.start()
            await told.wait()
            later.join()
            loop.remove_signal_handler(signal.SIGUSR1)

    in_loop(main())


def test_an_interrupt_from_the_keyboard_ends_the_loop() -> None:
    async def main() -> None:
        async with serving(PLAIN):
            later = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
            later.start()
            try:
                await asyncio.Event().wait()
            finally:
                later.join()

    with pytest.raises(KeyboardInterrupt):
        in_loop(main())


def test_two_brokers_share_one_loop_and_the_second_is_served_as_on_any_other() -> None:
    async def main() -> None:
        async with serving(PLAIN) as first:
            await echoed()
            reader, writer = await first.connect()
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await close(writer)
        await echoed()

    in_loop(main())


def test_a_loop_waits_by_itself_again_when_the_last_socket_has_gone() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        await echoed()
        await asyncio.sleep(0.001)
        assert loop.serve(Poller(loop, lambda: None)) >= 0, "nobody is served any more"
        loop.dismiss()
        await asyncio.sleep(0.001)

    in_loop(main())


def test_the_loop_can_be_stopped_from_a_turn() -> None:
    loop = Loop()
    try:
        listening = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(listening.getsockname())
        stopped = []

        def turn() -> None:
            stopped.append(True)
            loop.stop()

        poller = Poller(loop, turn)

        class Waits:
            def readable(self) -> None:
                listening.accept()[0].close()

        poller.watch(Waits(), listening.fileno())  # type: ignore[arg-type]
        loop.run_forever()
        assert stopped
        poller.forget(listening.fileno())
        listening.close()
        client.close()
    finally:
        loop.close()

import asyncio
from typing import Any

import pytest

from bollard.base.errors import BollardError
from bollard.client import (
    Client,
    ClientClosed,
    ConnectFailed,
    ConnectionLost,
    ConnectRefused,
    ServerBrokeProtocol,
    ServerDisconnected,
)
from bollard.wire.connect import Connack, Disconnect
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack, Publish
from bollard.wire.spec import PacketType
from bollard.wire.subscribe import Suback, Subscribe
from client.conftest import Run
from client.server import Guest, echoing, polite, serving


def test_a_server_that_says_nothing_is_given_up_in_time(run: Run) -> None:
    async def silent(guest: Guest) -> None:
        await guest.until_goodbye()

    async def scenario() -> None:
        async with serving(silent) as port:
            with pytest.raises(ConnectFailed, match="in time"):
                async with Client("127.0.0.1", port, allow_plaintext=True, connect_timeout_s=0.1):
                    pass

    run(scenario())


def test_without_reconnecting_a_loss_ends_iteration_and_operations(run: Run) -> None:
    async def dying(guest: Guest) -> None:
        await guest.welcome()
        await guest.hear()
        guest.cut()

    async def scenario() -> None:
        async with serving(dying) as port, Client("127.0.0.1", port, allow_plaintext=True) as client:
            with pytest.raises(ConnectionLost):
                await client.publish("a", b"", qos=1)
            with pytest.raises(ConnectionLost):
                async for _ in client.messages:
                    pass
            with pytest.raises(ConnectionLost):
                await client.subscribe("a")

    run(scenario())


def test_a_message_under_way_survives_a_reconnection(run: Run, quick: None) -> None:
    seen: list[tuple[int, int, bytes]] = []
    causes: list[BollardError] = []

    async def dying(guest: Guest) -> None:
        await guest.welcome(Connack(False, 0, Properties(assigned_client_identifier="s-1")))
        packet = await guest.hear()
        assert isinstance(packet, Publish)
        seen.append((packet.packet_id, packet.dup, packet.payload))
        guest.cut()

    async def resuming(guest: Guest) -> None:
        connect = await guest.welcome(Connack(True))
        assert (connect.client_id, connect.clean_start) == ("s-1", False)
        packet = await guest.hear()
        assert isinstance(packet, Publish)
        seen.append((packet.packet_id, packet.dup, packet.payload))
        guest.say(Ack(PacketType.PUBACK, packet.packet_id))
        await guest.until_goodbye()

    async def scenario() -> None:
        async with (
            serving(dying, resuming) as port,
            Client(
                "127.0.0.1",
                port,
                allow_plaintext=True,
                reconnect=True,
                on_reconnect=lambda cause, _: causes.append(cause),
            ) as client,
        ):
            assert await client.publish("a", b"kept", qos=1) == 0
            assert client.session_present

    run(scenario())
    assert seen == [(1, 0, b"kept"), (1, 1, b"kept")]
    assert [type(cause) for cause in causes] == [ConnectionLost]


def test_a_lost_session_is_subscribed_again(run: Run, quick: None) -> None:
    async def dying(guest: Guest) -> None:
        await guest.welcome()
        packet = await guest.hear()
        assert isinstance(packet, Subscribe)
        guest.say(Suback(packet.packet_id, (1,)))
        guest.say(Disconnect(0x8B))

    async def fresh(guest: Guest) -> None:
        await guest.welcome()
        packet = await guest.hear()
        assert isinstance(packet, Subscribe)
        assert [each.filter for each in packet.filters] == ["a/#"]
        guest.say(Suback(packet.packet_id, (1,)))
        message = Publish()
        message.topic = b"a/1"
        guest.say(message)
        await guest.until_goodbye()

    async def scenario() -> None:
        async with (
            serving(dying, fresh) as port,
            Client("127.0.0.1", port, allow_plaintext=True, reconnect=True) as client,
        ):
            await client.subscribe("a/#", qos=1)
            async for message in client.messages:
                assert message.topic == "a/1"
                break

    run(scenario())


def test_reconnecting_stops_at_a_refusal_that_cannot_heal(run: Run, quick: None) -> None:
    async def dying(guest: Guest) -> None:
        await guest.welcome()
        guest.cut()

    async def refusing(guest: Guest) -> None:
        await guest.welcome(Connack(False, 0x87))

    async def scenario() -> None:
        async with (
            serving(dying, refusing) as port,
            Client("127.0.0.1", port, allow_plaintext=True, reconnect=True) as client,
        ):
            with pytest.raises(ConnectRefused):
                async for _ in client.messages:
                    pass

    run(scenario())


@pytest.mark.parametrize("code", [0x8E, 0x87])
def test_a_final_disconnect_of_the_server_is_not_answered_by_reconnecting(
    run: Run, quick: None, code: int
) -> None:
    connections = []

    async def throwing(guest: Guest) -> None:
        connections.append(await guest.welcome())
        guest.say(Disconnect(code))

    async def scenario() -> None:
        async with (
            serving(throwing) as port,
            Client("127.0.0.1", port, allow_plaintext=True, reconnect=True) as client,
        ):
            with pytest.raises(ServerDisconnected) as caught:
                async for _ in client.messages:
                    pass
            assert caught.value.code == code

    run(scenario())
    assert len(connections) == 1


def test_a_hostile_server_is_left_with_the_reason(run: Run) -> None:
    last = []

    async def hostile(guest: Guest) -> None:
        await guest.welcome()
        guest.say(Ack(PacketType.PUBACK, 77))
        last.append(await guest.hear())

    async def scenario() -> None:
        async with serving(hostile) as port, Client("127.0.0.1", port, allow_plaintext=True) as client:
            with pytest.raises(ServerBrokeProtocol):
                async for _ in client.messages:
                    pass

    run(scenario())
    assert last == [Disconnect(0x82)]


def test_a_slow_application_makes_the_server_wait_and_loses_nothing(run: Run) -> None:
    number = 2_000

    async def flooding(guest: Guest) -> None:
        await guest.welcome()
        message = Publish()
        message.topic = b"a"
        for count in range(number):
            message.payload = count.to_bytes(2, "big") * 500
            guest.say(message)
        await guest.until_goodbye()

    async def scenario() -> None:
        async with (
            serving(flooding) as port,
            Client("127.0.0.1", port, allow_plaintext=True, max_queue_messages=10) as client,
        ):
            await asyncio.sleep(0.05)
            seen = []
            async for message in client.messages:
                seen.append(int.from_bytes(message.payload[:2], "big"))
                if len(seen) == number:
                    break
            assert seen == list(range(number))
            assert client.dropped == 0

    run(scenario())


def test_closing_ends_iteration_and_fails_what_waits(run: Run) -> None:
    async def scenario() -> None:
        async with serving(polite) as port, Client("127.0.0.1", port, allow_plaintext=True) as client:
            waiting = asyncio.ensure_future(client.publish("a", b"", qos=1))

            async def listen() -> list[Any]:
                return [message async for message in client.messages]

            listening = asyncio.ensure_future(listen())
            await asyncio.sleep(0.01)
            await client.close()
            assert await listening == []
            with pytest.raises(ClientClosed):
                await waiting
            with pytest.raises(ClientClosed):
                await client.publish("a", b"")

    run(scenario())


def test_a_cancelled_wait_leaves_the_client_usable(run: Run) -> None:
    async def scenario() -> None:
        async with serving(echoing) as port, Client("127.0.0.1", port, allow_plaintext=True) as client:
            task = asyncio.ensure_future(client.publish("a", b"", qos=2))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await client.publish("b", b"", qos=2) == 0

    run(scenario())


def test_closing_while_reconnecting_ends_at_once(run: Run) -> None:
    async def dying(guest: Guest) -> None:
        await guest.welcome()
        guest.cut()

    async def scenario() -> None:
        told = asyncio.Event()
        async with (
            serving(dying) as port,
            Client(
                "127.0.0.1", port, allow_plaintext=True, reconnect=True, on_reconnect=lambda *_: told.set()
            ) as client,
        ):
            await told.wait()
            assert not client.connected

    run(scenario())


def test_closing_does_not_cut_off_what_a_slow_server_has_not_read_yet(run: Run) -> None:
    sizes = []

    async def slow(guest: Guest) -> None:
        await guest.welcome()
        await asyncio.sleep(0.1)
        packet = await guest.hear()
        assert isinstance(packet, Publish)
        sizes.append(len(packet.payload))
        await guest.until_goodbye()

    async def scenario() -> None:
        async with serving(slow) as port, Client("127.0.0.1", port, allow_plaintext=True) as client:
            await client.publish("a", b"x" * 1_000_000)

    run(scenario())
    assert sizes == [1_000_000]

"""aiomqtt behind the line protocol."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import aiomqtt
from lines import HOST, KEPT_S, PASSWORD, PORT, USERNAME, context, hear_later, say, say_message
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def new_client(version: int, client_id: str, clean: bool, will_topic: str) -> aiomqtt.Client:
    options: dict[str, Any] = {"clean_session": clean}
    if version == 5:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 0 if clean else KEPT_S
        options = {"clean_start": clean, "properties": properties}
    return aiomqtt.Client(
        HOST,
        PORT,
        username=USERNAME,
        password=PASSWORD,
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion(version),
        tls_context=context(),
        will=None if will_topic == "-" else aiomqtt.Will(will_topic, "gone", 1),
        **options,
    )


async def listen(client: aiomqtt.Client) -> None:
    async for message in client.messages:
        say_message(str(message.topic), bytes(message.payload), message.qos, message.retain)


async def serve(stack: AsyncExitStack) -> None:
    client, listening = None, None
    while fields := await hear_later():
        match fields:
            case ["connect", version, client_id, clean, will_topic]:
                client = new_client(int(version), client_id, clean == "1", will_topic)
                await stack.enter_async_context(client)
                listening = asyncio.create_task(listen(client))
                say("connected", "?")
            case ["subscribe", topic, qos] if client:
                await client.subscribe(topic, int(qos))
                say("subscribed")
            case ["publish", topic, payload, qos, retain] if client:
                await client.publish(topic, payload, int(qos), retain == "1")
                say("published")
            case ["disconnect"] if listening:
                listening.cancel()
                await stack.aclose()
                say("disconnected")


async def main() -> None:
    async with AsyncExitStack() as stack:
        await serve(stack)


asyncio.run(main())

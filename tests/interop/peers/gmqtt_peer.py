"""gmqtt behind the line protocol. Only its inner store tells when a message is acknowledged."""

import asyncio
from typing import Any

import gmqtt
from gmqtt.mqtt.constants import MQTTv50, MQTTv311
from lines import HOST, KEPT_S, PASSWORD, PORT, USERNAME, context, hear_later, say, say_message


def on_message(_client: object, topic: str, payload: bytes, qos: int, properties: dict[str, Any]) -> int:
    say_message(topic, payload, qos, properties.get("retain", 0))
    return 0


async def connect(version: int, client_id: str, clean: bool, will_topic: str) -> gmqtt.Client:
    options: dict[str, Any] = {}
    if will_topic != "-":
        options["will_message"] = gmqtt.Message(will_topic, "gone", qos=1)
    if version == 5:
        options["session_expiry_interval"] = 0 if clean else KEPT_S
    client = gmqtt.Client(client_id, clean_session=clean, **options)
    client.set_auth_credentials(USERNAME, PASSWORD)
    connected: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    client.on_connect = lambda _client, flags, _code, _properties: connected.set_result(flags & 1)
    client.on_message = on_message
    client.on_subscribe = lambda *_: say("subscribed")
    await client.connect(HOST, PORT, ssl=context(), version=MQTTv50 if version == 5 else MQTTv311)
    say("connected", await connected)
    return client


async def main() -> None:
    client = None
    while fields := await hear_later():
        match fields:
            case ["connect", version, client_id, clean, will_topic]:
                client = await connect(int(version), client_id, clean == "1", will_topic)
            case ["subscribe", topic, qos] if client:
                client.subscribe(topic, int(qos))
            case ["publish", topic, payload, qos, retain] if client:
                client.publish(topic, payload, qos=int(qos), retain=retain == "1")
                await client._persistent_storage.wait_empty()
                say("published")
            case ["disconnect"] if client:
                await client.disconnect()
                say("disconnected")


asyncio.run(main())

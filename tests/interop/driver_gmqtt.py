"""gmqtt."""

import asyncio
import ssl
from typing import Any

import gmqtt
from gmqtt.mqtt.constants import MQTTv50, MQTTv311
from loop import Loop
from speak import serve, tell

loop = Loop()


class Gmqtt:
    client: gmqtt.Client

    def connect(self, **o: Any) -> None:
        tell("connected", present=loop.run(self._connect(o)))

    async def _connect(self, o: dict[str, Any]) -> bool:
        will = o["will"]
        options: dict[str, Any] = {"session_expiry_interval": o["expiry"]} if o["version"] == 5 else {}
        message = gmqtt.Message(will["topic"], will["payload"], will["qos"], will["retain"]) if will else None
        self.client = gmqtt.Client(o["id"], clean_session=o["clean"], will_message=message, **options)
        self.client.set_auth_credentials(o["user"], o["password"])
        self.subscribed = asyncio.Event()
        connected = asyncio.get_running_loop().create_future()
        self.client.on_connect = lambda client, flags, code, properties: connected.set_result(bool(flags & 1))
        self.client.on_subscribe = lambda *_: self.subscribed.set()

        def on_message(client: Any, topic: str, payload: bytes, qos: int, properties: Any) -> int:
            tell("message", topic=topic, payload=payload.decode(), qos=qos, retain=bool(properties["retain"]))
            return 0

        self.client.on_message = on_message
        version = MQTTv50 if o["version"] == 5 else MQTTv311
        tls = ssl.create_default_context(cafile=o["ca"])
        await self.client.connect(o["host"], o["port"], ssl=tls, version=version)
        return bool(await connected)

    def subscribe(self, filter: str, qos: int) -> None:
        loop.run(self._subscribe(filter, qos))
        tell("subscribed")

    async def _subscribe(self, filter: str, qos: int) -> None:
        self.subscribed.clear()
        self.client.subscribe(filter, qos=qos)
        await self.subscribed.wait()

    def publish(self, topic: str, payload: str, qos: int, retain: bool) -> None:
        loop.run(self._publish(topic, payload, qos, retain))
        tell("published")

    async def _publish(self, topic: str, payload: str, qos: int, retain: bool) -> None:
        self.client.publish(topic, payload, qos=qos, retain=retain)
        await asyncio.sleep(0.05)

    def disconnect(self) -> None:
        loop.run(self.client.disconnect())
        tell("disconnected")


client = Gmqtt()
serve(
    {
        "connect": client.connect,
        "subscribe": client.subscribe,
        "publish": client.publish,
        "disconnect": client.disconnect,
    }
)

"""aiomqtt."""

import ssl
from typing import Any

import aiomqtt
from loop import Loop
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from speak import serve, tell

loop = Loop()


class Aiomqtt:
    client: aiomqtt.Client

    def connect(self, **o: Any) -> None:
        loop.run(self._connect(o))
        loop.start(self._listen())
        tell("connected", present=None)

    async def _connect(self, o: dict[str, Any]) -> None:
        will = o["will"]
        options: dict[str, Any] = {}
        if o["version"] == 5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = o["expiry"]
            options = {
                "protocol": aiomqtt.ProtocolVersion.V5,
                "clean_start": o["clean"],
                "properties": properties,
            }
        else:
            options = {"protocol": aiomqtt.ProtocolVersion.V311, "clean_session": o["clean"]}
        self.client = aiomqtt.Client(
            o["host"],
            o["port"],
            username=o["user"],
            password=o["password"],
            identifier=o["id"],
            will=aiomqtt.Will(will["topic"], will["payload"], will["qos"], will["retain"]) if will else None,
            tls_context=ssl.create_default_context(cafile=o["ca"]),
            **options,
        )
        await self.client.__aenter__()

    async def _listen(self) -> None:
        async for m in self.client.messages:
            payload = bytes(m.payload).decode() if not isinstance(m.payload, str) else m.payload
            tell("message", topic=str(m.topic), payload=payload, qos=m.qos, retain=bool(m.retain))

    def subscribe(self, filter: str, qos: int) -> None:
        loop.run(self.client.subscribe(filter, qos))
        tell("subscribed")

    def publish(self, topic: str, payload: str, qos: int, retain: bool) -> None:
        loop.run(self.client.publish(topic, payload, qos, retain))
        tell("published")

    def disconnect(self) -> None:
        loop.run(self.client.__aexit__(None, None, None))
        tell("disconnected")


client = Aiomqtt()
serve(
    {
        "connect": client.connect,
        "subscribe": client.subscribe,
        "publish": client.publish,
        "disconnect": client.disconnect,
    }
)

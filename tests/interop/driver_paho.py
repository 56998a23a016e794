"""paho-mqtt."""

import threading
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from speak import serve, tell

WAIT_S = 10.0


class Paho:
    def __init__(self) -> None:
        self.client: mqtt.Client
        self.subscribed = threading.Event()

    def connect(self, **o: Any) -> None:
        version = mqtt.MQTTv5 if o["version"] == 5 else mqtt.MQTTv311
        clean = {} if o["version"] == 5 else {"clean_session": o["clean"]}
        transport = "websockets" if o["transport"] == "wss" else "tcp"
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, o["id"], protocol=version, transport=transport, **clean
        )
        self.client.tls_set(o["ca"])
        self.client.username_pw_set(o["user"], o["password"])
        if o["will"]:
            will = o["will"]
            self.client.will_set(will["topic"], will["payload"], will["qos"], will["retain"])
        answer = threading.Event()
        seen: dict[str, Any] = {}

        def on_connect(client: Any, data: Any, flags: Any, code: Any, properties: Any) -> None:
            seen.update(code=str(code), failure=code.is_failure, present=flags.session_present)
            answer.set()

        self.client.on_connect = on_connect
        self.client.on_message = lambda client, data, m: tell(
            "message", topic=m.topic, payload=m.payload.decode(), qos=m.qos, retain=bool(m.retain)
        )
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        options: dict[str, Any] = {}
        if version == mqtt.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = o["expiry"]
            options = {"clean_start": o["clean"], "properties": properties}
        self.client.connect(o["host"], o["port"], **options)
        self.client.loop_start()
        if not answer.wait(WAIT_S) or seen["failure"]:
            raise RuntimeError(f"not connected: {seen}")
        tell("connected", present=seen["present"])

    def subscribe(self, filter: str, qos: int) -> None:
        self.subscribed.clear()
        self.client.subscribe(filter, qos)
        if not self.subscribed.wait(WAIT_S):
            raise RuntimeError("no SUBACK")
        tell("subscribed")

    def publish(self, topic: str, payload: str, qos: int, retain: bool) -> None:
        self.client.publish(topic, payload, qos, retain).wait_for_publish(WAIT_S)
        tell("published")

    def disconnect(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        tell("disconnected")


paho = Paho()
serve(
    {
        "connect": paho.connect,
        "subscribe": paho.subscribe,
        "publish": paho.publish,
        "disconnect": paho.disconnect,
    }
)

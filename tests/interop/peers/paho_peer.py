"""paho-mqtt behind the line protocol."""

import queue
from typing import Any

import paho.mqtt.client as mqtt
from lines import CA_FILE, HOST, KEPT_S, PASSWORD, PORT, USERNAME, hear, say, say_message
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def connect(version: int, client_id: str, clean: bool, will_topic: str) -> mqtt.Client:
    options: dict[str, Any] = {} if version == 5 else {"clean_session": clean}
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion(version), **options
    )
    client.tls_set(CA_FILE)
    client.username_pw_set(USERNAME, PASSWORD)
    if will_topic != "-":
        client.will_set(will_topic, "gone", 1)
    connected: queue.Queue[tuple[str, bool]] = queue.Queue()
    client.on_connect = lambda _c, _d, flags, reason, _p: connected.put((str(reason), flags.session_present))
    client.on_message = lambda _c, _d, m: say_message(m.topic, m.payload, m.qos, m.retain)
    client.on_subscribe = lambda *_: say("subscribed")
    if version == 5:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 0 if clean else KEPT_S
        client.connect(HOST, PORT, clean_start=clean, properties=properties)
    else:
        client.connect(HOST, PORT)
    client.loop_start()
    reason, present = connected.get(timeout=20)
    assert reason == "Success", reason
    say("connected", int(present))
    return client


def main() -> None:
    client = None
    while fields := hear():
        match fields:
            case ["connect", version, client_id, clean, will_topic]:
                client = connect(int(version), client_id, clean == "1", will_topic)
            case ["subscribe", topic, qos] if client:
                client.subscribe(topic, int(qos))
            case ["publish", topic, payload, qos, retain] if client:
                client.publish(topic, payload, int(qos), retain == "1").wait_for_publish(20)
                say("published")
            case ["disconnect"] if client:
                client.disconnect()
                client.loop_stop()
                say("disconnected")


main()

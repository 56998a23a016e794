"""Floor 4: an asyncio MQTT client that verifies its server.

    from bollard.client import Client

    async with Client("broker.local", ca_file="server-root.crt", username="plug", password=secret) as client:
        await client.subscribe("devices/plug/cmd/#", qos=1)
        await client.publish("devices/plug/state", "on", qos=1, retain=True)
        async for message in client.messages:
            print(message.topic, message.payload)

Public names are those of `__all__`; the modules below may change.
"""

from bollard.client.client import Client
from bollard.client.errors import (
    AuthenticationFailed,
    ClientClosed,
    ClientError,
    ConnectFailed,
    ConnectionLost,
    ConnectRefused,
    DeliveryUnknown,
    NotSupported,
    PublishRefused,
    QueueFull,
    Refused,
    ServerBrokeProtocol,
    ServerDisconnected,
    ServerNotTrusted,
    SubscribeRefused,
    UnsubscribeRefused,
)
from bollard.client.messages import Authentication, Message
from bollard.client.scram import Scram
from bollard.wire.connect import Will
from bollard.wire.properties import Properties
from bollard.wire.subscribe import SubscribeFilter

__all__ = [
    "Authentication",
    "AuthenticationFailed",
    "Client",
    "ClientClosed",
    "ClientError",
    "ConnectFailed",
    "ConnectRefused",
    "ConnectionLost",
    "DeliveryUnknown",
    "Message",
    "NotSupported",
    "Properties",
    "PublishRefused",
    "QueueFull",
    "Refused",
    "Scram",
    "ServerBrokeProtocol",
    "ServerDisconnected",
    "ServerNotTrusted",
    "SubscribeFilter",
    "SubscribeRefused",
    "UnsubscribeRefused",
    "Will",
]

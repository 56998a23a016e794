"""The other side, in memory: a server that says what a test wants and shows what the client sent."""

from typing import Any

from bollard.client.messages import Settings
from bollard.client.protocol import CONNECT_TOKEN, ClientProtocol
from bollard.wire.codec import Packet, decode_all, encode
from bollard.wire.connect import Connack
from bollard.wire.properties import Properties
from bollard.wire.publish import encode_ack, encode_publish


class Talk:
    """A `ClientProtocol` and its clock, which stands still unless a test moves it."""

    def __init__(self, *, version: int = 5, reconnects: bool = False, **settings: Any) -> None:
        self.version = version
        self.now = 100.0
        self.core = ClientProtocol(Settings(version=version, **settings), reconnects=reconnects)

    def connect(self, *, session_present: bool = False, **properties: Any) -> list[Packet]:
        """CONNECT and a CONNACK that accepts; what the client said after that."""
        self.core.connect(self.now)
        self.sent()
        self.say(Connack(session_present, 0, Properties(**properties)))
        return self.sent()

    def say(self, *packets: Packet | bytes) -> None:
        """The server sends, all in one piece."""
        data = b"".join(each if isinstance(each, bytes) else encode(each, self.version) for each in packets)
        self.core.receive(data, self.now)

    def deliver(self, topic: str, payload: bytes = b"x", **fields: Any) -> None:
        self.say(encode_publish(topic.encode(), payload, version=self.version, **fields))

    def ack(self, packet_type: int, packet_id: int, code: int = 0) -> None:
        self.say(encode_ack(packet_type, packet_id, code, self.version))

    def sent(self) -> list[Packet]:
        """What the client sent since the last look."""
        return decode_all(self.core.take_output(), self.version)

    def publish(self, topic: str = "t", payload: bytes = b"p", *, qos: int = 0, retain: bool = False) -> int:
        return self.core.publish(topic, payload, qos=qos, retain=retain, properties=None, now=self.now)

    def outcomes(self) -> dict[int, Any]:
        """What has ended since the last look, by token; without how CONNECT went."""
        return {token: result for token, result in self.core.take_outcomes() if token != CONNECT_TOKEN}

    def take(self) -> str:
        """The topic of the next message, which is thereby taken."""
        return self.core.take_message(self.now).topic

"""Topic aliases, one object a direction and connection. They never outlive it. [MQTT5-3.3.2-7]"""

from bollard.base.errors import PeerError
from bollard.wire.spec import ReasonCode


class InboundAliases:
    """What the client's aliases stand for.

    Bounded by `maximum`, which CONNACK told the client, so that aliases times topic length cannot be
    used to fill memory.
    """

    __slots__ = ("_topics", "maximum")

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self._topics: dict[int, bytes] = {}

    def resolve(self, alias: int, topic: bytes) -> bytes:
        """The topic that a PUBLISH means; remembers it when both are given. [MQTT5-3.3.2-12]"""
        if alias > self.maximum:
            raise PeerError(
                ReasonCode.TOPIC_ALIAS_INVALID,
                f"topic alias {alias} is above the maximum of {self.maximum}",
                "MQTT5-3.3.2-9",
            )
        if topic:
            self._topics[alias] = topic
            return topic
        known = self._topics.get(alias)
        if known is None:
            raise PeerError(
                ReasonCode.PROTOCOL_ERROR, f"topic alias {alias} was never given a topic", "MQTT5-3.3.2.3.4"
            )
        return known


class OutboundAliases:
    """Aliases that we give: the first `maximum` topics sent on the connection get one each."""

    __slots__ = ("_aliases", "maximum")

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self._aliases: dict[bytes, int] = {}

    def known(self, topic: bytes) -> int:
        """The alias that already stands for `topic`, else 0."""
        return self._aliases.get(topic, 0)

    def free(self) -> int:
        """The alias that `assign` would give next; 0 when all that the client accepts are in use.
        [MQTT5-3.1.2-26]"""
        count = len(self._aliases)
        return count + 1 if count < self.maximum else 0

    def assign(self, topic: bytes) -> None:
        """Let the next free alias stand for `topic`: the packet that says so is about to be sent."""
        self._aliases[topic] = len(self._aliases) + 1

"""The Will Message of a connection, from CONNECT until it is published or dropped."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Will:
    """What to publish when the network connection ends without a DISCONNECT.

    `delay_s` is the Will Delay Interval: the will is published when it has passed or the session ends,
    whichever comes first [MQTT5-3.1.3-9]; `expiry_s` its Message Expiry Interval or -1; `forward` the
    properties that travel with it, as bytes.
    """

    name: str
    topic: bytes
    payload: bytes
    qos: int
    retain: bool
    delay_s: int = 0
    expiry_s: int = -1
    forward: bytes = b""

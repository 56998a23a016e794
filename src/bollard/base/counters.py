"""What the engine counts. Plain integers that only grow, except those said to be gauges."""


class Counters:
    """Totals since the start; whoever shows them reads the attributes.

    Gauges: `clients_connected`, and `clients_maximum`, the most that it has been. Other gauges (sessions, subscriptions, retained messages) are properties
    of the stores that hold them and are read from the broker.
    """

    __slots__ = (
        "bytes_received",
        "bytes_sent",
        "clients_connected",
        "clients_maximum",
        "connections_accepted",
        "connects_accepted",
        "connects_refused",
        "denied_publish",
        "denied_receive",
        "denied_subscribe",
        "denied_will",
        "expired_messages",
        "packets_received",
        "packets_sent",
        "protocol_errors",
        "publish_bytes_received",
        "publish_bytes_sent",
        "publish_dropped",
        "publish_received",
        "publish_sent",
    )

    def __init__(self) -> None:
        self.bytes_received = 0
        self.bytes_sent = 0
        self.packets_received = 0
        self.packets_sent = 0
        self.publish_received = 0
        self.publish_bytes_received = 0
        self.publish_sent = 0
        self.publish_bytes_sent = 0
        self.publish_dropped = 0
        self.expired_messages = 0
        self.connections_accepted = 0
        self.clients_connected = 0
        self.clients_maximum = 0
        self.connects_accepted = 0
        self.connects_refused = 0
        self.protocol_errors = 0
        self.denied_publish = 0
        self.denied_subscribe = 0
        self.denied_receive = 0
        self.denied_will = 0

    def as_dict(self) -> dict[str, int]:
        """All of them by name."""
        return {name: getattr(self, name) for name in self.__slots__}

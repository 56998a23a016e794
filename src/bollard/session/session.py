"""The durable half of a client: what survives its connection, within the Session Expiry Interval.

A session belongs to (principal, client id). Its state is what the specification lists: subscriptions,
QoS 1 and 2 messages not finished in both directions, and what waits to be sent. [MQTT5-4.1.0-1]
"""

from typing import TYPE_CHECKING, Any

from bollard.session.fifo import Fifo
from bollard.session.inflight import Inflight
from bollard.session.message import ENTRY_BYTES, Delivery
from bollard.session.will import Will

if TYPE_CHECKING:
    from bollard.session.connection import Connection

#: The Session Expiry Interval that means "never ends by itself". [MQTT5 3.1.2.11.2]
NEVER_EXPIRES = 0xFFFF_FFFF


class Session:
    """State of one client of one principal.

    `connection` is None while the client is away; `expiry_s` the Session Expiry Interval in force, 0 when the session
    ends with its connection; `ends_at` and `will_at` monotonic deadlines, 0.0 when none runs; `received` the Packet
    Identifiers of QoS 2 messages from the client whose PUBREL has not come. `queue_bytes` and `waiting` are what the
    queue holds; `full` is True from the first message that the queue's bounds refused until the queue is empty.
    `number` belongs to the journal: 0 while nothing of this session is kept on disk.
    """

    __slots__ = (
        "client_id",
        "connection",
        "ends_at",
        "expiry_s",
        "full",
        "inflight",
        "number",
        "principal",
        "queue",
        "queue_bytes",
        "received",
        "subscriptions",
        "waiting",
        "will",
        "will_at",
    )

    def __init__(self, principal: str, client_id: str) -> None:
        self._open(principal, client_id)

    def _open(self, principal: str, client_id: str) -> None:
        self.principal = principal
        self.client_id = client_id
        self.connection: Connection | None = None
        self.expiry_s = 0
        self.ends_at = 0.0
        self.subscriptions: dict[str, Any] = {}
        self.inflight: Inflight | None = None
        self.queue: Fifo | None = None
        self.queue_bytes = 0
        self.waiting = 0
        self.full = False
        self.received: set[int] | None = None
        self.will: Will | None = None
        self.will_at = 0.0
        self.number = 0

    def sending(self) -> Inflight:
        """The exchanges towards the client, made when first needed: most idle clients have none."""
        inflight = self.inflight
        if inflight is None:
            inflight = self.inflight = Inflight()
        return inflight

    def enqueue(self, delivery: Delivery) -> None:
        """Append to what waits to be sent; the caller keeps the bounds."""
        if self.queue is None:
            self.queue = Fifo()
        self.queue.append(delivery)
        self.queue_bytes += delivery.message.size + ENTRY_BYTES
        self.waiting += 1

    def dequeue(self) -> Delivery:
        """The oldest waiting delivery. There must be one."""
        assert self.queue is not None
        delivery = self.queue.take()
        self.queue_bytes -= delivery.message.size + ENTRY_BYTES
        self.waiting -= 1
        if len(self.queue) == 0:
            self.queue = None
            self.full = False
        return delivery


def new_session(principal: str, client_id: str) -> Session:
    """`Session(...)` without the cost of its call."""
    made = Session.__new__(Session)
    made._open(principal, client_id)
    return made

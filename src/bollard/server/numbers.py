"""The broker's numbers by name: the engine's counters and what can be counted of its stores.

Read by `$SYS`, metrics and status, so that all three say the same.
"""

from bollard.engine.broker import Broker
from bollard.engine.tallies import Tally


class Numbers:
    """Reads from `broker`. `read` may be called from any thread."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def of_principals(self) -> dict[str, Tally]:
        """What each principal has done and was refused since the start."""
        core = self._broker.core
        live = [session.connection for of in list(core.sessions.values()) for session in list(of.values())]
        return core.tallies.of_all([connection for connection in live if connection is not None])

    def read(self) -> dict[str, int]:
        """Every number under the name that metrics and `$SYS` know it by."""
        core = self._broker.core
        numbers = core.counters.as_dict()
        connected = numbers["clients_connected"]
        # `list` takes its copy in one step, so a change on the loop cannot disturb the sum.
        total = sum(map(len, list(core.sessions.values())))
        numbers.update(
            clients_total=total,
            clients_disconnected=max(total - connected, 0),
            subscriptions=core.tree.count,
            shared_subscriptions=core.tree.shared_count,
            retained_messages=core.retained.count,
            retained_bytes=core.retained.bytes,
            retained_of_clients=core.retained.of_authors,
        )
        return numbers

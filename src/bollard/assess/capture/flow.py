"""Who talks to whom: the two ends of one connection, and where in the capture something of it was seen."""

from dataclasses import dataclass

from bollard.assess.capture.evidence import Place
from bollard.assess.capture.masking import utc


@dataclass(slots=True)
class Flow:
    """A connection by its ends. `client` is who opened it, as far as that can be told."""

    client: str
    client_port: int
    server: str
    server_port: int
    client_mac: str = ""
    server_mac: str = ""

    @property
    def text(self) -> str:
        return f"{_at(self.client, self.client_port)} > {_at(self.server, self.server_port)}"

    @property
    def target(self) -> str:
        return _at(self.server, self.server_port)

    def turned(self) -> "Flow":
        """The same connection, opened by the other end."""
        return Flow(
            *(self.server, self.server_port, self.client, self.client_port),
            *(self.server_mac, self.client_mac),
        )

    def place(self, frame: int, time_ns: int) -> Place:
        return Place(frame=frame, time=utc(time_ns), flow=self.text)


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

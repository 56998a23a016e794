"""Rooms for probes: one place on loopback, in a hurry."""

from pathlib import Path
from typing import Any

from bollard.assess.probes.room import Bounds, Pace, Room
from bollard.assess.scope import Place

FAST = Bounds(packets_per_s=1000, timeout_s=2.0, listen_s=0.3, patience_s=0.5, echo_s=0.1)


def room(port: int, transport: str = "tcp", **changes: Any) -> Room:
    """A room at a port of this machine, called localhost."""
    place = Place(host="localhost", address="127.0.0.1", port=port)
    made: dict[str, Any] = {"bounds": FAST, "pace": Pace(1000), "transport": transport, **changes}
    if isinstance(made.get("ca_file"), str):
        made["ca_file"] = Path(made["ca_file"])
    return Room(place=place, **made)

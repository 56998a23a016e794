"""Packets with the verdict that other projects give them, as data for the tests of several floors.

README.md says where they come from and what the fields mean.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent

#: What only a server sends: a client that sends it breaks the protocol, whatever the bytes say.
FROM_SERVER = frozenset(("CONNACK", "SUBACK", "UNSUBACK", "PINGRESP"))

#: Well-formed packets whose verdict depends on what was agreed before or on what the server allows.
_DEPENDS_ON_STATE = {
    "empty client ID clean false [MQTT-3.1.3-7]": "MQTT3-3.1.3-8",
    "tiny max packet": "MQTT5-3.1.2-24",
    "unsupported authentication method": "MQTT5-4.12.0-1",
    "topic alias > max topic alias": "MQTT5-3.3.2-9",
    "topic-alias (two byte integer) no topic": "MQTT5-3.3.2.3.4",
    "2*subscription-identifier=1 (variable byte integer)": "MQTT5-3.3.4-6",
}


@dataclass(frozen=True, slots=True)
class Vector:
    """One packet and its verdict: "valid", "malformed", "protocol-error", "refused" or "invalid"."""

    id: str
    name: str
    version: int
    direction: str
    state: str
    packet: str
    hex: str
    complete: bool
    verdict: str
    reason_code: int | None = None
    answer: tuple[str, ...] = ()
    effect: str = ""
    blackbox: bool = False
    freedom: str = ""
    disputed: str = ""

    @property
    def data(self) -> bytes:
        return bytes.fromhex(self.hex)


@dataclass(frozen=True, slots=True)
class Overruled:
    """Vectors whose verdict the specification contradicts: `code` is what it says, 0 for a legal packet."""

    clause: str
    code: int
    why: str
    ids: tuple[str, ...]


@functools.cache
def load() -> tuple[Vector, ...]:
    """All vectors of MQTT 3.1.1 and 5.0."""
    rows = json.loads((_HERE / "packets.json").read_text())
    return tuple(Vector(**{**row, "answer": tuple(row.get("answer", ()))}) for row in rows)


@functools.cache
def overruled() -> tuple[Overruled, ...]:
    """The table of vectors that the specification overrules."""
    rows = json.loads((_HERE / "overruled.json").read_text())
    return tuple(Overruled(**{**row, "ids": tuple(row["ids"])}) for row in rows)


def needs_engine(vector: Vector) -> bool:
    """Can only the state of a connection decide about this packet?

    So it is with what a server alone sends, with AUTH in 5.0, with anything but CONNECT as the first packet, with
    a second CONNECT, and with the few that depend on limits or agreements.
    """
    if vector.direction == "c2s":
        if vector.packet in FROM_SERVER or (vector.packet == "AUTH" and vector.version == 5):
            return True
        if (vector.state == "first") != (vector.packet == "CONNECT"):
            return True
    return vector.name.rsplit(" / ", 1)[-1].removeprefix("10 ") in _DEPENDS_ON_STATE

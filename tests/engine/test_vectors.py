"""Each packet that a client may send gets its verdict from the broker, or a clause overrules it.

The wire floor's test judges the bytes alone; here they arrive at a broker, in the state that the vector
names, so that every verdict is one on the whole: what is answered, and whether the connection goes on.
"""

from dataclasses import dataclass

import pytest

from bollard.base.authentication import Accepted, Answer, Question, Refused
from bollard.engine.limits import Limits
from bollard.wire.spec import ReasonCode
from support.memory import House, connect
from vectors import FROM_SERVER, Overruled, Vector, load, needs_engine, overruled

WIRE: dict[str, Overruled] = {name: row for row in overruled() for name in row.ids}

#: What the projects answer otherwise than the specification says, where the state decides. `code` as in 5.0.
ENGINE = (
    Overruled(
        "MQTT5-2.1.3-1",
        ReasonCode.MALFORMED_PACKET,
        "Reserved flags with another value make a malformed packet, whatever else is wrong.",
        (
            *(f"mosquitto-auth-0{number}" for number in range(11, 15)),
            *(f"mosquitto-connack-0{number}" for number in range(29, 34)),
        ),
    ),
    Overruled(
        "MQTT5-3.15.2.1",
        ReasonCode.MALFORMED_PACKET,
        "A reason code without a property length cannot be parsed: only both together may be left out.",
        ("mosquitto-auth-010",),
    ),
    Overruled(
        "MQTT5-3.3.4-6",
        ReasonCode.PROTOCOL_ERROR,
        "Subscription identifiers come from a server; the vector is a server's packet.",
        (
            "mqtt-packet-publish-004",
            "mqtt-packet-publish-005",
            "mochi-mqtt-publish-003",
            "mochi-mqtt-publish-012",
        ),
    ),
    Overruled(
        "MQTT5-3.3.2-9",
        ReasonCode.TOPIC_ALIAS_INVALID,
        "The alias is above the Topic Alias Maximum that was agreed.",
        ("mqtt-packet-publish-002", "mqtt-packet-publish-003"),
    ),
    Overruled(
        "MQTT5-3.3.2.3.4",
        ReasonCode.PROTOCOL_ERROR,
        "The alias was not given a topic before.",
        ("mochi-mqtt-publish-004",),
    ),
    Overruled(
        "MQTT5-4.12.0-7",
        ReasonCode.PROTOCOL_ERROR,
        "There is no AUTH where CONNECT had no Authentication Method.",
        ("mqtt-packet-auth-001", "mochi-mqtt-auth-001"),
    ),
)
HERE: dict[str, Overruled] = {name: row for row in ENGINE for name in row.ids}

ARRIVING = [vector for vector in load() if vector.direction != "s2c"]
#: What the other projects' brokers were set to when they gave their verdicts.
LIMITS = Limits(topic_alias_maximum=10)


@dataclass(frozen=True)
class Verdict:
    """Whether the connection was ended, and the code that a 5.0 client was told."""

    closed: bool
    code: int


def answer(question: Question) -> Answer:
    if question.method == "unsupported":
        return Refused(ReasonCode.BAD_AUTHENTICATION_METHOD, "no such mechanism is plugged in")
    return Accepted("tester")


def judge(vector: Vector) -> Verdict:
    house = House(LIMITS, answerer=answer)
    device = house.open(vector.version)
    if vector.state == "connected":
        device.send(connect("tester", vector.version))
    # Not through the device: some vectors make the broker answer in another version.
    house.broker.receive(device.connection, vector.data, house.now)
    for question in house.broker.take_questions():
        house.broker.answer(question, answer(question), house.now)
    out = device.connection.take_output()
    code = 0
    if out[:1] == b"\x20":
        code = out[3]
    elif out[:1] == b"\xe0":
        code = out[2]
    return Verdict(device.connection.closing, code)


def agrees(vector: Vector, verdict: Verdict) -> bool:
    """Is that what the vector says? An ended 3.1.1 connection has no code, and neither has a first packet
    that is not even a CONNECT."""
    ends = vector.effect == "close" if vector.effect else vector.verdict != "valid"
    if verdict.closed != ends:
        return False
    if not ends or vector.verdict == "valid" or vector.version == 4 or vector.reason_code is None:
        return True
    if vector.state == "first" and verdict.code == 0:
        return True
    return verdict.code == vector.reason_code or (verdict.code == 0x8F and "SUBACK" in vector.freedom)


def follows(row: Overruled, vector: Vector, verdict: Verdict) -> bool:
    """Is that what the clause of an overruling row says?"""
    if row.code == 0:
        return verdict.closed == (vector.packet == "DISCONNECT")
    if vector.version == 4 or (vector.state == "first" and verdict.code == 0):
        return verdict.closed
    return verdict == Verdict(True, row.code)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("packet", sorted({vector.packet for vector in ARRIVING}))
def test_every_packet_gets_its_verdict_or_a_clause_overrules_it(packet: str, version: int) -> None:
    wrong = []
    for vector in ARRIVING:
        if (vector.packet, vector.version) != (packet, version):
            continue
        verdict = judge(vector)
        row = HERE.get(vector.id) or WIRE.get(vector.id)
        if not (follows(row, vector, verdict) if row else agrees(vector, verdict)):
            wrong.append((vector.id, vector.name, vector.verdict, verdict))
    assert wrong == []


@pytest.mark.parametrize("name", sorted(HERE))
def test_no_row_of_the_table_is_needless(name: str) -> None:
    [vector] = [vector for vector in ARRIVING if vector.id == name]
    verdict = judge(vector)
    assert follows(HERE[name], vector, verdict)
    effect = vector.effect or ("open" if vector.verdict == "valid" else "close")
    assert not agrees(vector, verdict), f"{name} needs no row: {effect}"


def test_what_the_wire_cannot_decide_is_decided_here() -> None:
    undecided = [vector for vector in load() if needs_engine(vector)]
    assert len(undecided) > 400
    assert {vector.id for vector in undecided} <= {vector.id for vector in ARRIVING}
    assert {vector.packet for vector in undecided} >= FROM_SERVER

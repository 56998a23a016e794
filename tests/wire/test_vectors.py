"""Each packet of others gets its verdict, where the bytes alone can decide."""

import pytest

from bollard.base.errors import PeerError
from bollard.wire.codec import decode_all, encode
from bollard.wire.connect import Connect
from bollard.wire.publish import Publish
from bollard.wire.reader import decode_utf8
from bollard.wire.subscribe import Subscribe, Unsubscribe
from bollard.wire.topics import check_filter, check_topic_name
from vectors import Overruled, Vector, load, needs_engine, overruled

OVERRULED: dict[str, Overruled] = {name: row for row in overruled() for name in row.ids}
DECIDED = [vector for vector in load() if not needs_engine(vector)]


def judge(vector: Vector) -> int:
    """The reason code that the wire floor gives, 0 for a packet that it accepts."""
    try:
        for packet in decode_all(vector.data, vector.version):
            match packet:
                case Publish() if packet.topic:
                    check_topic_name(decode_utf8(packet.topic, 0, len(packet.topic)))
                case Connect() if packet.will:
                    check_topic_name(packet.will.topic)
                case Subscribe():
                    for one in packet.filters:
                        check_filter(one.filter)
                case Unsubscribe():
                    for text in packet.filters:
                        check_filter(text)
    except PeerError as fault:
        return fault.code
    return 0


def agrees(vector: Vector, code: int) -> bool:
    """Is that the verdict of the vector? 3.1.1 has no codes, and not every project names one."""
    if vector.verdict == "valid":
        return code == 0
    if vector.version == 4 or vector.reason_code is None:
        return code != 0
    return code == vector.reason_code or (code == 0x8F and "SUBACK" in vector.freedom)


@pytest.mark.parametrize("packet_type", sorted({vector.packet for vector in DECIDED}))
def test_every_packet_gets_its_verdict_or_a_clause_overrules_it(packet_type: str) -> None:
    wrong = []
    for vector in DECIDED:
        if vector.packet == packet_type and vector.id not in OVERRULED:
            code = judge(vector)
            if not agrees(vector, code):
                wrong.append((vector.id, vector.name, vector.verdict, hex(code)))
    assert wrong == []


@pytest.mark.parametrize("row", overruled(), ids=lambda row: row.clause)
def test_an_overruled_packet_gets_what_the_clause_says(row: Overruled) -> None:
    by_id = {vector.id: vector for vector in DECIDED}
    for name in row.ids:
        code = judge(by_id[name])
        assert code == row.code, name
        assert not agrees(by_id[name], code), f"{name} needs no entry"


def test_a_legal_packet_survives_being_encoded_again() -> None:
    count = 0
    for vector in DECIDED:
        if judge(vector) == 0:
            packets = decode_all(vector.data, vector.version)
            again = b"".join(encode(packet, vector.version) for packet in packets)
            assert decode_all(again, vector.version) == packets, vector.id
            count += 1
    assert count > 300


def test_the_state_decides_about_less_than_a_third() -> None:
    assert len(load()) == 1_955
    assert sum(map(needs_engine, load())) < len(load()) / 3

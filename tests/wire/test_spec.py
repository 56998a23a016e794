from bollard.wire.spec import (
    CONNACK_RETURN_CODE,
    FIXED_FLAGS,
    REASON_CODES,
    REASON_OF_RETURN_CODE,
    PacketType,
    ReasonCode,
)


def test_only_three_packets_have_a_flag_that_is_set() -> None:
    """Table 2-2 of both specifications. [MQTT5-2.1.3-1] [MQTT3-2.2.2-1]"""
    assert {packet for packet, flags in FIXED_FLAGS.items() if flags} == {
        PacketType.PUBREL,
        PacketType.SUBSCRIBE,
        PacketType.UNSUBSCRIBE,
    }
    assert PacketType.PUBLISH not in FIXED_FLAGS


def test_every_reason_code_belongs_to_a_packet_and_every_listed_one_has_a_name() -> None:
    listed = frozenset().union(*REASON_CODES.values())
    assert listed == {int(code) for code in ReasonCode}


def test_the_number_of_reason_codes_is_that_of_the_tables() -> None:
    """Tables 3-1, 3-4 to 3-9, 3-13 and 3.15.2.1 of MQTT 5.0."""
    counts = {PacketType(packet).name: len(codes) for packet, codes in REASON_CODES.items()}
    assert counts == {
        "CONNACK": 22,
        "PUBACK": 9,
        "PUBREC": 9,
        "PUBREL": 2,
        "PUBCOMP": 2,
        "SUBACK": 12,
        "UNSUBACK": 7,
        "DISCONNECT": 29,
        "AUTH": 3,
    }


def test_return_codes_of_3_1_1_go_both_ways() -> None:
    for number, reason in REASON_OF_RETURN_CODE.items():
        assert CONNACK_RETURN_CODE[reason] == number

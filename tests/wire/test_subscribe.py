import pytest

from bollard.base.errors import LocalError, PeerError
from bollard.wire.codec import decode_all, encode
from bollard.wire.properties import Properties
from bollard.wire.spec import MAX_FILTERS
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter, Unsuback, Unsubscribe


def error_of(data: bytes, version: int) -> PeerError:
    with pytest.raises(PeerError) as caught:
        decode_all(data, version)
    return caught.value


def subscribe(options: int, version: int, text: bytes = b"a") -> bytes:
    tail = b"\0\1" + (b"\0" if version == 5 else b"") + bytes((0, len(text))) + text + bytes((options,))
    return bytes((0x82, len(tail))) + tail


def test_each_option_of_5_0_is_read() -> None:
    (found,) = decode_all(subscribe(0x2E, 5), 5)
    assert found == Subscribe(1, (SubscribeFilter("a", 2, True, True, 2),))


def test_several_filters_keep_their_order() -> None:
    wanted = Subscribe(7, (SubscribeFilter("b", 1), SubscribeFilter("a", 0), SubscribeFilter("b", 2)))
    for version in (4, 5):
        assert decode_all(encode(wanted, version), version) == [wanted]


@pytest.mark.parametrize(
    ("options", "version", "code", "clause"),
    [
        (0x03, 4, 0x81, "MQTT3-3.8.3-4"),
        (0x04, 4, 0x81, "MQTT3-3.8.3-4"),
        (0x80, 4, 0x81, "MQTT3-3.8.3-4"),
        (0x40, 5, 0x81, "MQTT5-3.8.3-5"),
        (0x80, 5, 0x81, "MQTT5-3.8.3-5"),
        (0x03, 5, 0x82, "MQTT5-3.8.3.1"),
        (0x30, 5, 0x82, "MQTT5-3.8.3.1"),
    ],
)
def test_options_are_refused(options: int, version: int, code: int, clause: str) -> None:
    fault = error_of(subscribe(options, version), version)
    assert (fault.code, fault.clause) == (code, clause)


def test_no_local_on_a_shared_subscription_is_a_protocol_error() -> None:
    """[MQTT5-3.8.3-4]"""
    assert error_of(subscribe(0x04, 5, b"$share/g/a"), 5).code == 0x82
    assert decode_all(subscribe(0x00, 5, b"$share/g/a"), 5)


@pytest.mark.parametrize(("data", "version"), [(b"\x82\2\0\1", 4), (b"\x82\3\0\1\0", 5)])
def test_a_subscribe_without_filter_is_a_protocol_error(data: bytes, version: int) -> None:
    """[MQTT5-3.8.3-2] [MQTT3-3.8.3-3]"""
    assert error_of(data, version).code == 0x82


@pytest.mark.parametrize(("data", "version"), [(b"\xa2\2\0\1", 4), (b"\xa2\3\0\1\0", 5)])
def test_an_unsubscribe_without_filter_is_a_protocol_error(data: bytes, version: int) -> None:
    """[MQTT5-3.10.3-2] [MQTT3-3.10.3-2]"""
    assert error_of(data, version).code == 0x82


@pytest.mark.parametrize("header", [0x82, 0xA2, 0x90, 0xB0])
def test_packet_identifier_0_is_malformed(header: int) -> None:
    """[MQTT5-2.2.1-3] [MQTT3-2.3.1-1]"""
    for version in (4, 5):
        assert error_of(bytes((header, 6)) + b"\0\0\0\0\1a", version).code == 0x81


@pytest.mark.parametrize("header", [0x80, 0x81, 0x83, 0xA0, 0x91, 0xB2])
def test_other_flags_are_malformed(header: int) -> None:
    """[MQTT5-3.8.1-1] [MQTT5-3.10.1-1] [MQTT3-3.8.1-1] [MQTT3-3.10.1-1]"""
    for version in (4, 5):
        assert error_of(bytes((header, 4)) + b"\0\1\0\0", version).clause == "MQTT5-2.1.3-1"


def test_an_empty_filter_is_left_to_whoever_answers() -> None:
    (found,) = decode_all(subscribe(0, 5, b""), 5)
    assert isinstance(found, Subscribe)
    assert found.filters[0].filter == ""


def test_a_flood_of_filters_is_refused() -> None:
    for version in (4, 5):
        for count, code in ((MAX_FILTERS, 0), (MAX_FILTERS + 1, 0x97)):
            for packet in (
                Subscribe(1, (SubscribeFilter("a"),) * count),
                Unsubscribe(1, ("a",) * count),
            ):
                data = encode(packet, version)
                if code:
                    assert error_of(data, version).code == code
                else:
                    assert decode_all(data, version) == [packet]


def test_3_1_1_has_one_failure_code() -> None:
    """[MQTT3-3.9.3-2]"""
    assert encode(Suback(1, (0, 2, 0x87, 0x8F)), 4) == b"\x90\6\0\1\0\2\x80\x80"
    assert error_of(b"\x90\3\0\1\3", 4).code == 0x81
    assert error_of(b"\x90\2\0\1", 4).code == 0x81


def test_a_suback_has_its_own_reason_codes() -> None:
    """[MQTT5-3.9.3-2]"""
    assert decode_all(b"\x90\5\0\1\0\2\xa2", 5) == [Suback(1, (2, 0xA2))]
    assert error_of(b"\x90\4\0\1\0\x11", 5).code == 0x82
    assert error_of(b"\x90\3\0\1\0", 5).code == 0x81


def test_an_unsuback_has_codes_only_in_5_0() -> None:
    """[MQTT5-3.11.3-2]"""
    assert encode(Unsuback(1, (0, 0x11)), 4) == b"\xb0\2\0\1"
    assert decode_all(b"\xb0\5\0\1\0\0\x11", 5) == [Unsuback(1, (0, 0x11))]
    assert error_of(b"\xb0\4\0\1\0\1", 5).code == 0x82
    assert error_of(b"\xb0\3\0\1\0", 4).code == 0x81


def test_options_that_the_version_does_not_have_are_not_sent() -> None:
    for one in (SubscribeFilter("a", 3), SubscribeFilter("a", no_local=True), SubscribeFilter("a", -1)):
        with pytest.raises(LocalError):
            encode(Subscribe(1, (one,)), 4)


def test_a_subscription_identifier_is_read() -> None:
    wanted = Subscribe(1, (SubscribeFilter("a"),), Properties(subscription_identifiers=(300,)))
    assert decode_all(encode(wanted, 5), 5) == [wanted]

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.base.errors import LocalError, MalformedPacket, PeerError, ProtocolError
from bollard.wire.codec import decode_all, encode
from bollard.wire.connect import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Will,
    decode_connect,
    encode_auth,
    encode_connack,
    encode_connect,
    encode_disconnect,
    refusal_version,
)
from bollard.wire.properties import Properties
from bollard.wire.spec import CONNACK_RETURN_CODE, ReasonCode


def body(
    flags: int, rest: bytes, version: int = 4, name: bytes = b"\0\4MQTT", properties: bytes = b"\0"
) -> bytes:
    keepalive = b"\0\x3c"
    return name + bytes((version, flags)) + keepalive + (properties if version == 5 else b"") + rest


def decode(data: bytes) -> Connect:
    return decode_connect(data, 0x10, 0, len(data))


def error_of(data: bytes) -> PeerError:
    with pytest.raises(PeerError) as caught:
        decode(data)
    return caught.value


def test_a_connect_of_each_version_is_read() -> None:
    assert decode(body(2, b"\0\1p")) == Connect(4, True, 60, "p")
    assert decode(body(0, b"\0\0", 5)) == Connect(5, False, 60, "")


def test_a_connect_with_everything_is_read() -> None:
    rest = b"\0\1p" + b"\5\x18\0\0\0\7" + b"\0\1w" + b"\0\2by" + b"\0\1u" + b"\0\2pw"
    found = decode(body(0xF6, rest, 5, properties=b"\3\x21\0\x0a"))
    assert found.will == Will("w", b"by", 2, True, Properties(will_delay_interval=7))
    assert (found.username, found.password) == ("u", b"pw")
    assert found.properties == Properties(receive_maximum=10)


def test_the_password_does_not_show() -> None:
    assert "s3cret" not in repr(Connect(username="u", password=b"s3cret"))


@pytest.mark.parametrize(
    ("flags", "version", "clause"),
    [
        (0x01, 4, "MQTT5-3.1.2-3"),
        (0x01, 5, "MQTT5-3.1.2-3"),
        (0x0A, 4, "MQTT5-3.1.2-11"),
        (0x22, 5, "MQTT5-3.1.2-11"),
        (0x1E, 5, "MQTT5-3.1.2-12"),
        (0x42, 4, "MQTT3-3.1.2-22"),
    ],
)
def test_flags_that_contradict_each_other_are_malformed(flags: int, version: int, clause: str) -> None:
    """[MQTT3-3.1.2-3] [MQTT3-3.1.2-13] [MQTT3-3.1.2-14] [MQTT3-3.1.2-15] [MQTT3-3.1.2-22]"""
    fault = error_of(body(flags, b"\0\1p", version))
    assert (fault.code, fault.clause) == (0x81, clause)


def test_a_password_without_user_name_is_legal_in_5_0() -> None:
    """[MQTT5-3.1.2.9]"""
    assert decode(body(0x42, b"\0\1p\0\1x", 5)).password == b"x"


@pytest.mark.parametrize("flags", [0x06, 0x82, 0xC2])
@pytest.mark.parametrize("version", [4, 5])
def test_a_field_that_is_announced_and_missing_is_malformed(flags: int, version: int) -> None:
    """[MQTT3-3.1.2-9] [MQTT3-3.1.2-19] [MQTT3-3.1.2-21] [MQTT5-3.1.2-9] [MQTT5-3.1.2-17, -19]"""
    assert error_of(body(flags, b"\0\1p", version)).code == 0x81


@pytest.mark.parametrize("version", [4, 5])
def test_a_field_that_is_not_announced_is_malformed(version: int) -> None:
    """[MQTT3-3.1.2-18] [MQTT3-3.1.2-20] [MQTT5-3.1.2-16] [MQTT5-3.1.2-18]"""
    assert error_of(body(2, b"\0\1p\0\1u", version)).code == 0x81


@pytest.mark.parametrize("version", [0, 2, 3, 6, 0x83, 0x84, 255])
def test_another_level_is_an_unsupported_version(version: int) -> None:
    """[MQTT5-3.1.2-2] [MQTT3-3.1.2-2]"""
    assert error_of(body(2, b"\0\1p", version)).code == 0x84


def test_mqtt_3_1_is_an_unsupported_version() -> None:
    assert error_of(body(2, b"\0\1p", 3, b"\0\6MQIsdp")).code == 0x84


@pytest.mark.parametrize("name", [b"\0\4mqtt", b"\0\0", b"\0\5MQTTT", b"\0\4MQTP", b"\0\3MQT", b"\xff\xffM"])
def test_another_protocol_is_malformed(name: bytes) -> None:
    """[MQTT5-3.1.2-1] [MQTT3-3.1.2-1]"""
    assert error_of(body(2, b"\0\1p", 4, name)).code == 0x81


@pytest.mark.parametrize(
    ("data", "version"),
    [
        (b"\0\4MQTT\4", 4),
        (b"\0\4MQTT\5", 5),
        (b"\0\4MQTT\3", 4),
        (b"\0\4MQTT\6", 5),
        (b"\0\6MQIsdp\3", 4),
        (b"\0\4MQTT", 0),
        (b"\0\4HTTP\4", 0),
        (b"", 0),
    ],
)
def test_a_refusal_speaks_the_version_that_was_asked_for(data: bytes, version: int) -> None:
    assert refusal_version(b"\x10\0" + data, 2, 2 + len(data)) == version


def test_authentication_data_needs_a_method() -> None:
    """[MQTT5-3.1.2.11.10]"""
    fault = error_of(body(2, b"\0\1p", 5, properties=b"\4\x16\0\1a"))
    assert fault.code == 0x82
    assert decode(body(2, b"\0\1p", 5, properties=b"\x08\x16\0\1a\x15\0\1m")).client_id == "p"


def test_what_cannot_be_a_connect_is_not_sent() -> None:
    for wrong in (
        Connect(4, password=b"x"),
        Connect(keepalive_s=65_536),
        Connect(keepalive_s=-1),
        Connect(client_id="a\0"),
        Connect(will=Will("t", bytes(65_536))),
        Connect(will=Will("t", b"", 3)),
    ):
        with pytest.raises(LocalError):
            encode_connect(wrong)


@pytest.mark.parametrize("code", [0, *sorted(set(CONNACK_RETURN_CODE) - {0})])
def test_a_refusal_has_its_return_code_in_3_1_1(code: int) -> None:
    """[MQTT3-3.2.2-4]"""
    assert encode_connack(Connack(False, code), 4) == bytes((0x20, 2, 0, CONNACK_RETURN_CODE[code]))


def test_a_refusal_that_3_1_1_has_no_word_for_is_server_unavailable() -> None:
    assert encode_connack(Connack(False, ReasonCode.QUOTA_EXCEEDED), 4) == b"\x20\2\0\3"


@pytest.mark.parametrize("version", [4, 5])
def test_a_refusal_never_says_that_a_session_is_present(version: int) -> None:
    """[MQTT5-3.2.2-6] [MQTT3-3.2.2-4]"""
    (found,) = decode_all(encode_connack(Connack(True, 0x87), version), version)
    assert found == Connack(False, 0x87)
    (found,) = decode_all(encode_connack(Connack(True, 0), version), version)
    assert found == Connack(True, 0)


@pytest.mark.parametrize(
    ("data", "version", "code"),
    [
        (b"\x20\2\2\0", 4, 0x81),
        (b"\x20\2\0\6", 4, 0x81),
        (b"\x20\3\0\0\0", 4, 0x81),
        (b"\x20\1\0", 4, 0x81),
        (b"\x20\3\2\0\0", 5, 0x81),
        (b"\x20\3\0\1\0", 5, 0x82),
        (b"\x20\3\1\x87\0", 5, 0x82),
        (b"\x20\2\1\5", 4, 0x82),
        (b"\x20\2\0\0", 5, 0x81),
        (b"\x20\4\0\0\0\0", 5, 0x81),
    ],
)
def test_a_connack_is_refused(data: bytes, version: int, code: int) -> None:
    """[MQTT5-3.2.2-1] [MQTT5-3.2.2-6] [MQTT5-3.2.2-8] [MQTT3-3.2.2-4]"""
    with pytest.raises(PeerError) as caught:
        decode_all(data, version)
    assert caught.value.code == code


def test_a_disconnect_is_as_short_as_it_can_be() -> None:
    """[MQTT5-3.14.2.1]"""
    assert encode_disconnect(Disconnect(0x8B), 4) == b"\xe0\0"
    assert encode_disconnect(Disconnect(), 5) == b"\xe0\0"
    assert encode_disconnect(Disconnect(0x8B), 5) == b"\xe0\1\x8b"
    assert encode_disconnect(Disconnect(0, Properties(reason_string="x")), 5) == b"\xe0\6\0\4\x1f\0\1x"


def test_each_form_of_a_disconnect_is_read() -> None:
    for data, expected in ((b"\xe0\0", 0), (b"\xe0\1\4", 4), (b"\xe0\2\x8e\0", 0x8E)):
        assert decode_all(data, 5) == [Disconnect(expected)]


@pytest.mark.parametrize(
    ("data", "version", "code"),
    [
        (b"\xe0\1\0", 4, 0x81),
        (b"\xe0\1\1", 5, 0x82),
        (b"\xe0\1\x92", 5, 0x82),
        (b"\xe0\2\0\1", 5, 0x81),
        (b"\xe0\3\0\0\0", 5, 0x81),
    ],
)
def test_a_disconnect_is_refused(data: bytes, version: int, code: int) -> None:
    """[MQTT5-3.14.2-1] [MQTT3-3.14.1-1]"""
    with pytest.raises(PeerError) as caught:
        decode_all(data, version)
    assert caught.value.code == code


def test_an_auth_of_plain_success_is_empty() -> None:
    """[MQTT5-3.15.2.1]"""
    assert encode_auth(Auth(), 5) == b"\xf0\0"
    assert decode_all(b"\xf0\0", 5) == [Auth()]


def test_an_auth_has_a_method() -> None:
    """[MQTT5-3.15.2.2.2]"""
    step = Auth(0x18, Properties(authentication_method="M", authentication_data=b"d"))
    assert decode_all(encode(step, 5), 5) == [step]
    with pytest.raises(ProtocolError):
        decode_all(b"\xf0\2\x18\0", 5)


@pytest.mark.parametrize(("data", "code"), [(b"\xf0\1\0", 0x81), (b"\xf0\2\x17\0", 0x82), (b"\xf1\0", 0x81)])
def test_an_auth_is_refused(data: bytes, code: int) -> None:
    """[MQTT5-3.15.1-1] [MQTT5-3.15.2-1]"""
    with pytest.raises(PeerError) as caught:
        decode_all(data, 5)
    assert caught.value.code == code


@given(st.binary(max_size=40), st.sampled_from([4, 5]))
def test_any_rest_of_a_connect_is_accepted_or_refused(rest: bytes, version: int) -> None:
    for flags in (0x02, 0x06, 0xC2, 0xF6):
        try:
            found = decode(body(flags, rest, version))
        except PeerError:
            continue
        assert decode_all(encode_connect(found), version) == [found]


def test_a_connect_with_flags_in_its_first_byte_is_malformed() -> None:
    data = body(2, b"\0\1p")
    with pytest.raises(MalformedPacket):
        decode_connect(data, 0x11, 0, len(data))

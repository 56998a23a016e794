import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.base.errors import LocalError, MalformedPacket
from bollard.wire.reader import (
    Reader,
    decode_utf8,
    encode_binary,
    encode_utf8,
    encode_varint,
    open_body,
    two_bytes,
)


def reader(data: bytes) -> Reader:
    """A reader with bytes on both sides that it must never show."""
    return Reader(b"\xaa\xbb" + data + b"\xcc" * 70_000, 2, 2 + len(data))


def test_integers_are_big_endian() -> None:
    cursor = reader(b"\x01\x02\x03\xff\xfe\xfd\xfc")
    assert (cursor.u8(), cursor.u16(), cursor.u32()) == (1, 0x0203, 0xFFFEFDFC)
    cursor.done()


@pytest.mark.parametrize("name", ["u8", "u16", "u32", "varint", "binary", "utf8"])
@pytest.mark.parametrize("data", [b"", b"\x80"[:0]])
def test_nothing_can_be_read_at_the_end(name: str, data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        getattr(reader(data), name)()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("u16", b"\1"),
        ("u32", b"\1\2\3"),
        ("varint", b"\x80"),
        ("varint", b"\xff\xff\xff"),
        ("binary", b"\0"),
        ("binary", b"\0\2a"),
        ("utf8", b"\0\2a"),
        ("utf8", b"\xff\xffa"),
    ],
)
def test_a_value_that_is_cut_short_is_malformed(name: str, data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        getattr(reader(data), name)()


@given(st.integers(0, 268_435_455))
def test_a_variable_byte_integer_comes_back_in_as_few_bytes_as_it_needs(value: int) -> None:
    """[MQTT5-1.5.5-1]"""
    data = encode_varint(value)
    assert reader(data).varint() == value
    assert len(data) == max(1, (value.bit_length() + 6) // 7)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (127, "7f"),
        (128, "8001"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2_097_151, "ffff7f"),
        (2_097_152, "80808001"),
        (268_435_455, "ffffff7f"),
    ],
)
def test_variable_byte_integers_at_the_borders(value: int, data: str) -> None:
    assert encode_varint(value).hex() == data


@pytest.mark.parametrize("data", [b"\x80\x00", b"\xff\x80\x00", b"\x80\x80\x80\x00", b"\x80\x80\x80\x80\x01"])
def test_a_variable_byte_integer_with_needless_or_too_many_bytes_is_malformed(data: bytes) -> None:
    """[MQTT5-1.5.5-1]"""
    with pytest.raises(MalformedPacket):
        reader(data).varint()


@pytest.mark.parametrize("value", [-1, 268_435_456])
def test_what_is_no_variable_byte_integer_cannot_be_sent(value: int) -> None:
    with pytest.raises(LocalError):
        encode_varint(value)


@pytest.mark.parametrize(
    "data",
    [
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xff",
        b"\xc3",
    ],
)
def test_ill_formed_utf8_is_malformed(data: bytes) -> None:
    """[MQTT5-1.5.4-1] [MQTT3-1.5.3-1]"""
    with pytest.raises(MalformedPacket) as caught:
        reader(b"\0" + bytes((len(data),)) + data).utf8()
    assert caught.value.clause == "MQTT5-1.5.4-1"


def test_a_string_with_nul_is_malformed() -> None:
    """[MQTT5-1.5.4-2] [MQTT3-1.5.3-2]"""
    with pytest.raises(MalformedPacket) as caught:
        reader(b"\0\3a\0b").utf8()
    assert caught.value.clause == "MQTT5-1.5.4-2"


def test_a_byte_order_mark_is_a_character_like_any_other() -> None:
    """[MQTT5-1.5.4-3] [MQTT3-1.5.3-3]"""
    assert reader(b"\0\5\xef\xbb\xbfab").utf8() == "\ufeffab"


def test_control_characters_and_non_characters_are_taken() -> None:
    assert reader(b"\0\6\x01\x7f\xef\xbf\xbfa").utf8() == "\x01\x7f\uffffa"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_string_comes_back(text: str) -> None:
    assert reader(encode_utf8(text)).utf8() == text


@given(st.binary())
def test_binary_data_comes_back(data: bytes) -> None:
    assert reader(encode_binary(data)).binary() == data


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 65_536, "é" * 32_768])
def test_a_string_that_no_receiver_may_accept_cannot_be_sent(text: str) -> None:
    with pytest.raises(LocalError):
        encode_utf8(text)


def test_binary_data_has_at_most_65535_bytes() -> None:
    assert len(encode_binary(bytes(65_535))) == 65_537
    with pytest.raises(LocalError):
        encode_binary(bytes(65_536))


def test_the_rest_is_what_was_not_read() -> None:
    cursor = reader(b"\1abc")
    cursor.u8()
    assert cursor.left == 3
    assert cursor.rest() == b"abc"
    assert cursor.rest() == b""


def test_a_slice_ends_where_it_says() -> None:
    cursor = reader(b"\1\2\3")
    part = cursor.slice(2)
    assert part.u16() == 0x0102
    with pytest.raises(MalformedPacket):
        part.u8()
    assert cursor.u8() == 3
    with pytest.raises(MalformedPacket):
        cursor.slice(1)


def test_bytes_that_are_left_are_malformed() -> None:
    with pytest.raises(MalformedPacket):
        reader(b"\1").done()


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (2, 1), (0, 4)])
def test_a_range_outside_of_the_buffer_is_our_own_mistake(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="range"):
        Reader(b"abc", start, end)
    with pytest.raises(ValueError, match="range"):
        decode_utf8(b"abc", start, end)


def test_the_flags_of_the_first_byte_are_checked_when_a_body_is_opened() -> None:
    assert open_body(b"\x82\0", 0x82, 2, 2).left == 0
    with pytest.raises(MalformedPacket):
        open_body(b"\x80\0", 0x80, 2, 2)


def test_two_bytes_are_always_the_same_object() -> None:
    assert two_bytes(0x1234) == b"\x12\x34"
    assert two_bytes(0x1234) is two_bytes(0x1234)
    for value in (-1, 65_536):
        with pytest.raises(ValueError, match="two-byte"):
            two_bytes(value)

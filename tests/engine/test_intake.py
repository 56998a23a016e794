"""From bytes to verbs: the cuts of the stream do not matter, and nothing is read after the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.base.events import ClientDisconnected, ConnectRefused
from bollard.wire.codec import encode
from bollard.wire.connect import Connack, Disconnect, Pingreq, Pingresp
from bollard.wire.publish import Ack
from bollard.wire.spec import PacketType, ReasonCode
from bollard.wire.subscribe import Suback
from support.memory import House, connect, publish, subscribe


def conversation(version: int) -> bytes:
    """A whole life of a client, as one piece."""
    packets = [
        connect("a", version),
        subscribe("t/#", qos=2),
        Pingreq(),
    ]
    data = b"".join(encode(packet, version) for packet in packets)
    data += publish(version, "t/0", b"zero")
    data += publish(version, "t/1", b"one", qos=1, packet_id=1)
    data += publish(version, "t/2", b"two" * 100, qos=2, packet_id=2)
    data += encode(Ack(PacketType.PUBREL, 2), version)
    data += encode(Ack(PacketType.PUBACK, 1), version)
    data += encode(Ack(PacketType.PUBREC, 2), version)
    data += encode(Ack(PacketType.PUBCOMP, 2), version)
    return data + encode(Disconnect(), version)


def answers(version: int, *pieces: bytes) -> list[bytes]:
    house = House()
    device = house.open(version)
    for piece in pieces:
        device.send(piece)
    assert device.closed
    return device.raw


@pytest.mark.parametrize("version", [4, 5])
def test_one_byte_at_a_time_gets_the_answers_of_the_whole(version: int) -> None:
    data = conversation(version)
    whole = answers(version, data)
    assert len(whole) == 10
    assert answers(version, *(data[n : n + 1] for n in range(len(data)))) == whole


@given(st.sampled_from([4, 5]), st.lists(st.integers(0, 500), max_size=6).map(sorted))
def test_any_cuts_get_the_answers_of_the_whole(version: int, cuts: list[int]) -> None:
    data = conversation(version)
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert answers(version, *pieces) == answers(version, data)


def test_nothing_is_read_after_disconnect(house: House, version: int) -> None:
    listener = house.connect(version=version)
    listener.subscribe("#")
    device = house.connect(version=version)
    device.send(Disconnect(), publish(version, "a"))
    assert device.closed
    assert listener.messages() == []


def test_nothing_is_read_after_a_fault(house: House, version: int) -> None:
    listener = house.connect(version=version)
    listener.subscribe("#")
    device = house.connect(version=version)
    device.send(b"\x00\x00", publish(version, "a"))
    assert device.closed
    assert listener.messages() == []


def test_packets_behind_connect_wait_for_its_answer(house: House, version: int) -> None:
    house.answers = False
    device = house.open(version)
    device.send(connect("a", version), subscribe("#"), Pingreq())
    assert device.take() == []
    house.answers = True
    house.settle()
    assert [type(packet) for packet in device.take()] == [Connack, Suback, Pingresp]


@pytest.mark.parametrize(
    "kind", [PacketType.CONNACK, PacketType.SUBACK, PacketType.UNSUBACK, PacketType.PINGRESP]
)
def test_what_only_servers_send_ends_the_connection(house: House, version: int, kind: PacketType) -> None:
    device = house.connect(version=version)
    device.send(bytes([kind << 4, 0]))
    assert device.closed
    if version == 5:
        assert device.one(Disconnect).code == ReasonCode.PROTOCOL_ERROR


def test_a_second_connect_ends_the_connection(house: House, version: int) -> None:
    device = house.connect(version=version)
    device.send(connect("again", version))
    assert device.closed
    assert house.session("again") is None


def test_who_does_not_begin_with_connect_gets_no_word(house: House, version: int) -> None:
    device = house.open(version)
    device.send(Pingreq())
    assert device.closed
    assert device.take() == []
    assert house.told(ConnectRefused)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("cut", range(1, 20))
def test_a_truncated_connect_waits_and_then_times_out(version: int, cut: int) -> None:
    house = House()
    device = house.open(version)
    device.send(encode(connect("abcdef", version), version)[:cut])
    assert not device.closed
    house.advance(11)
    assert device.closed
    assert device.take() == []


def test_a_fault_of_one_client_is_nobody_elses(house: House, version: int) -> None:
    other = house.connect(version=version)
    other.subscribe("a")
    house.connect(version=version).send(b"\xff" * 50)
    house.connect(version=version).publish("a", b"still here")
    assert other.payloads() == [b"still here"]


def test_a_5_0_client_is_told_what_was_wrong_and_the_log_knows_the_clause(house: House) -> None:
    device = house.connect()
    device.send(b"\x36\x03\x00\x01a")
    assert device.one(Disconnect).code == ReasonCode.MALFORMED_PACKET
    [event] = house.told(ClientDisconnected)
    assert (event.by, event.code) == ("server", ReasonCode.MALFORMED_PACKET)
    assert "MQTT5-3.3.1-4" in event.reason


@pytest.mark.parametrize(
    "data", [b"\x40\x02\x00\x00", b"\x40\x01\x00", b"\x41\x02\x00\x01", b"\x60\x02\x00\x01"]
)
def test_a_bad_acknowledgement_ends_the_connection(house: House, version: int, data: bytes) -> None:
    device = house.connect(version=version)
    device.send(data)
    assert device.closed


@pytest.mark.parametrize(
    "kind", [PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP]
)
def test_an_acknowledgement_of_nothing_is_survived(house: House, version: int, kind: PacketType) -> None:
    device = house.connect(version=version)
    device.ack(kind, 7)
    device.ping()
    assert isinstance(device.take()[-1], Pingresp)


@given(st.binary(max_size=200))
def test_random_bytes_end_at_most_their_own_connection(data: bytes) -> None:
    house = House()
    first, second = house.open(), house.connect()
    # Bytes that happen to be a CONNECT are answered in their own version, which the device does not know.
    first._take = lambda answer: None  # type: ignore[method-assign, assignment]
    first.send(data)
    second.send(data)
    house.advance(20)
    assert first.closed
    other = house.connect()
    other.ping()
    assert isinstance(other.one(Pingresp), Pingresp)

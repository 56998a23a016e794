"""The network half of a client: its output, what fits into it, and what waits for the disk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.base.counters import Counters
from bollard.base.types import Peer
from bollard.session.aliases import OutboundAliases
from bollard.session.connection import Connection
from bollard.session.message import Delivery, Message
from bollard.session.states import CLOSED, CONNECTED
from bollard.wire.codec import decode_all
from bollard.wire.publish import Publish

PUBACK = b"\x40\x02\x00\x01"
PUBREC = b"\x50\x02\x00\x01"


def connection(version: int = 5, outbox: int = 1000) -> Connection:
    made = Connection(Peer(), 1000, outbox, [], Counters())
    made.version = version
    made.state = CONNECTED
    return made


def delivery(
    payload: bytes = b"x", *, qos: int = 0, expires_at: float = 0.0, topic: str = "topic"
) -> Delivery:
    message = Message(topic, topic.encode(), payload, qos, 0, "", "", b"", expires_at)
    return Delivery(message, qos, 0, (), 1)


def sent(source: Connection) -> list[Publish]:
    packets = decode_all(source.take_output(), source.version)
    return [packet for packet in packets if isinstance(packet, Publish)]


def test_output_comes_in_the_order_in_which_it_was_put() -> None:
    to = connection()
    to.put(b"one")
    to.put(b"two")
    assert to.take_output() == b"onetwo"
    assert to.take_output() == b""
    assert to.size == 0


def test_a_connection_is_listed_once_until_it_was_drained() -> None:
    dirty: list[Connection] = []
    to = Connection(Peer(), 1000, 1000, dirty, Counters())
    to.put(b"a")
    to.put(b"b")
    assert dirty == [to]


def test_nothing_is_put_on_a_closed_connection() -> None:
    to = connection()
    to.state = CLOSED
    to.put(b"a")
    to.hold(1, b"b")
    to.put_delivery(delivery(), 0, 0, 0.0)
    to.put_delivery(delivery(qos=1), 1, 0, 0.0)
    assert to.take_output() == b""
    assert to.held is None


def test_more_than_the_bound_is_an_overflow() -> None:
    to = connection(outbox=10)
    to.put(b"0123456789")
    assert not to.overflowed
    to.put(b"0")
    assert to.overflowed


def test_a_qos_0_message_finds_the_output_full_and_is_not_sent() -> None:
    to = connection(outbox=150)
    assert to.put_delivery(delivery(b"x" * 50), 0, 0, 0.0)
    assert not to.put_delivery(delivery(b"x" * 50), 0, 0, 0.0)
    assert not to.overflowed
    assert len(sent(to)) == 1


def test_one_message_has_room_however_large_and_a_second_only_within_the_bound() -> None:
    to = connection(outbox=100)
    assert to.room_for(5000)
    to.put(b"x" * 40)
    assert to.room_for(60)
    assert not to.room_for(61)


def test_what_waits_for_the_disk_takes_room_as_well() -> None:
    to = connection(outbox=100)
    to.hold(1, b"x" * 40)
    assert not to.room_for(61)
    to.release(1)
    to.take_output()
    assert to.room_for(5000)


def test_too_much_that_waits_for_the_disk_is_an_overflow() -> None:
    to = connection(outbox=10)
    to.hold(1, b"0123456789")
    assert not to.overflowed
    to.hold(1, b"0")
    assert to.overflowed


@pytest.mark.parametrize("qos", [0, 1])
def test_a_packet_that_the_client_finds_too_large_is_not_sent(version: int, qos: int) -> None:
    to = connection(version)
    assert to.put_delivery(delivery(b"x" * 20, qos=qos), qos, 0, 0.0)
    size = len(to.take_output())
    to.max_packet_out = size - 1
    assert not to.put_delivery(delivery(b"x" * 20, qos=qos), qos, 0, 0.0)
    to.max_packet_out = size
    assert to.put_delivery(delivery(b"x" * 20, qos=qos), qos, 0, 0.0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.booleans()), max_size=30))
def test_every_message_arrives_on_its_topic_with_and_without_aliases(
    messages: list[tuple[str, int, bool]],
) -> None:
    to = connection(outbox=100_000)
    to.aliases_out = OutboundAliases(2)
    for number, (topic, qos, dup) in enumerate(messages, 1):
        packet_id = number if qos else 0
        to.put_delivery(delivery(topic.encode(), qos=qos, topic=topic), packet_id, int(dup and qos > 0), 0.0)
    known: dict[int, bytes] = {}
    arrived = []
    for packet in sent(to):
        if packet.alias and packet.topic:
            known[packet.alias] = packet.topic
        arrived.append((packet.topic or known[packet.alias]).decode())
        assert packet.payload.decode() == arrived[-1]
    assert arrived == [topic for topic, _, _ in messages]
    assert len(known) <= 2


def test_a_packet_that_was_too_large_spends_no_alias() -> None:
    to = connection()
    to.aliases_out = OutboundAliases(1)
    to.max_packet_out = 30
    assert not to.put_delivery(delivery(b"x" * 30), 0, 0, 0.0)
    assert to.put_delivery(delivery(b"x"), 0, 0, 0.0)
    assert sent(to)[0].topic == b"topic"


def test_what_is_encoded_without_alias_neither_gives_nor_uses_one() -> None:
    to = connection()
    to.aliases_out = OutboundAliases(1)
    to.encode(delivery(qos=2), 1, 0, 0.0, False)
    assert to.aliases_out.known(b"topic") == 0
    to.aliases_out.assign(b"topic")
    data = to.encode(delivery(qos=2), 1, 0, 0.0, False)
    assert data is not None
    [packet] = decode_all(data, 5)
    assert isinstance(packet, Publish)
    assert (packet.topic, packet.alias) == (b"topic", 0)


@given(st.floats(0, 99.9), st.booleans())
def test_the_time_spent_waiting_is_taken_from_the_expiry_interval(waited: float, aliased: bool) -> None:
    to = connection()
    to.aliases_out = OutboundAliases(1) if aliased else None
    to.put_delivery(delivery(expires_at=1100.0), 0, 0, 1000.0 + waited)
    [packet] = sent(to)
    assert abs(packet.expiry - (100 - waited)) < 1.01
    assert packet.expiry > 0


def test_a_message_whose_time_is_over_is_sent_again_with_nothing_left() -> None:
    to = connection()
    to.put_delivery(delivery(qos=1, expires_at=1100.0), 1, 1, 1200.0)
    assert sent(to)[0].expiry == 0


@given(
    st.lists(st.integers(1, 5), max_size=20).map(sorted), st.lists(st.integers(0, 6), max_size=6).map(sorted)
)
def test_what_waits_for_the_disk_comes_in_its_order_and_not_too_early(
    sequences: list[int], commits: list[int]
) -> None:
    to = connection()
    for number, sequence in enumerate(sequences):
        to.hold(sequence, bytes([number]))
    out = b""
    for committed in commits:
        finished = to.release(committed)
        out += to.take_output()
        assert list(out) == [n for n, sequence in enumerate(sequences) if sequence <= committed]
        assert finished == (len(out) == len(sequences))
    assert to.held_bytes == len(sequences) - len(out)
    assert (to.held is None) == (len(out) == len(sequences))


def test_only_held_pubacks_are_counted_as_such() -> None:
    to = connection()
    for data in (PUBACK, PUBREC, PUBACK):
        to.hold(1, data)
    assert to.held_pubacks == 2
    to.release(1)
    assert to.held_pubacks == 0

"""Packet identifiers towards one client: unique while in use, in the order of sending."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from bollard.session.inflight import Inflight
from bollard.session.message import Delivery, Message, unkept

#: The last Packet Identifier there is. [MQTT5-2.2.1]
MAX_PACKET_ID = 65_535


def delivery() -> Delivery:
    return Delivery(Message("a", b"a", b"", 1, 0, "", "", b"", 0.0), 1, 0, (), 1)


@given(st.lists(st.one_of(st.none(), st.integers(0, 50)), max_size=200))
def test_an_identifier_is_never_given_twice_while_it_is_in_use(steps: list[int | None]) -> None:
    inflight = Inflight()
    in_use: list[int] = []
    for step in steps:
        if step is None:
            packet_id = inflight.take(delivery())
            assert 1 <= packet_id <= MAX_PACKET_ID
            assert packet_id not in in_use
            in_use.append(packet_id)
        elif step < len(in_use):
            del inflight.sent[in_use.pop(step)]
    assert list(inflight.sent) == in_use
    assert inflight.count() == len(in_use)


def test_identifiers_begin_again_after_the_last_one() -> None:
    inflight = Inflight()
    inflight.last_id = MAX_PACKET_ID - 1
    assert [inflight.take(delivery()) for _ in range(3)] == [MAX_PACKET_ID, 1, 2]


def test_an_identifier_whose_pubcomp_is_missing_is_not_given() -> None:
    inflight = Inflight()
    inflight.last_id = MAX_PACKET_ID
    inflight.released[1] = delivery()
    inflight.sent[2] = delivery()
    assert inflight.take(delivery()) == 3


def test_the_last_free_identifier_is_found() -> None:
    inflight = Inflight()
    taken = {packet_id: delivery() for packet_id in range(1, MAX_PACKET_ID + 1) if packet_id != 40_000}
    inflight.released.update(taken)
    inflight.last_id = 40_000
    assert inflight.take(delivery()) == 40_000


def test_what_has_yet_to_be_sent_again_is_not_counted_as_in_flight() -> None:
    inflight = Inflight()
    for _ in range(5):
        inflight.take(delivery())
    inflight.again = deque(inflight.sent)
    assert inflight.count() == 0
    inflight.skip(1)
    assert inflight.count() == 1


def test_the_last_one_sent_again_leaves_nothing_behind() -> None:
    inflight = Inflight()
    inflight.take(delivery())
    inflight.again = deque(inflight.sent)
    inflight.skip(7)
    assert inflight.again is not None
    inflight.skip(1)
    assert inflight.again is None


@given(
    st.integers(MAX_PACKET_ID - 20, MAX_PACKET_ID) | st.just(0),
    st.lists(
        st.one_of(st.sampled_from(["kept", "unkept", "unkept", "first"]), st.integers(0, 9)), max_size=120
    ),
)
def test_messages_of_which_nothing_is_kept_have_identifiers_like_all_others(
    last_id: int, steps: list[str | int]
) -> None:
    inflight = Inflight()
    inflight.last_id = last_id
    in_use: dict[int, Delivery] = {}
    for step in steps:
        if step in ("kept", "unkept"):
            given_out = delivery() if step == "kept" else unkept(1)
            packet_id = inflight.take(given_out)
            assert 1 <= packet_id <= MAX_PACKET_ID
            assert packet_id not in in_use
            in_use[packet_id] = given_out
        elif in_use:
            place = 0 if step == "first" else int(step) % len(in_use)
            packet_id = list(in_use)[place]
            assert inflight.acknowledge(packet_id) is in_use.pop(packet_id)
            assert inflight.acknowledge(packet_id) is None
        assert inflight.count() == len(in_use)
        assert inflight.bytes == sum(each.message.size for each in in_use.values())
    assert all(inflight.waiting(packet_id) is each for packet_id, each in in_use.items())
    assert list(inflight.sent.items()) == list(in_use.items())

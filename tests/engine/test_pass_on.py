"""What a receiver gets straight from the publisher's input is what another gets encoded for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.engine.limits import Limits
from bollard.wire.publish import Publish
from bollard.wire.spec import PacketType
from bollard.wire.subscribe import SubscribeFilter
from support.memory import Device, House

PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "user_properties": st.lists(
            st.tuples(st.text("ab", max_size=3), st.text("cd", max_size=3)), max_size=3
        ).map(tuple),
        "content_type": st.text("xy", max_size=5),
        "message_expiry_interval": st.integers(1, 1000),
    },
)


def pair(house: House, version: int, name: str, asked: SubscribeFilter) -> tuple[Device, Device]:
    """Two receivers alike, but that the session of the second outlives its connection."""
    passing = house.connect(f"{name}-passing", version)
    keeping = house.connect(f"{name}-keeping", version, clean=False, expiry=1000)
    for device in (passing, keeping):
        device.subscribe(asked)
        device.take()
    return passing, keeping


def seen(device: Device) -> list[tuple[object, ...]]:
    """The messages that came, without what differs from receiver to receiver."""
    return [
        (m.topic, m.payload, m.qos, m.retain, m.dup, m.forward, m.expiry, m.identifiers, m.packet_id > 0)
        for m in device.messages()
    ]


@given(
    st.sampled_from([4, 5]),
    st.sampled_from([4, 5]),
    st.integers(0, 2),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 1, 100, 1025, 20_000]),
    PROPERTIES,
)
def test_it_is_the_same_message(
    from_version: int,
    to_version: int,
    qos: int,
    granted: int,
    retain: bool,
    as_published: bool,
    aliased: bool,
    size: int,
    properties: dict[str, object],
) -> None:
    house = House(Limits(topic_alias_maximum=5))
    asked = SubscribeFilter("a/+", granted, retain_as_published=as_published and to_version == 5)
    passing, keeping = pair(house, to_version, "r", asked)
    sender = house.connect("sender", from_version)
    options = dict(properties) if from_version == 5 else {}
    if aliased and from_version == 5:
        sender.publish("a/b", b"first", qos=qos, topic_alias=1, **options)
        sender.publish("", bytes(size), qos=qos, retain=retain, topic_alias=1, **options)
    else:
        sender.publish("a/b", bytes(size), qos=qos, retain=retain, **options)
    messages = seen(passing)
    assert messages == seen(keeping)
    assert messages[-1][:3] == (b"a/b", bytes(size), min(qos, granted))


@pytest.mark.parametrize("qos", [1, 2])
def test_nothing_of_it_is_kept_for_a_session_that_ends_with_its_connection(qos: int) -> None:
    house = House()
    reader = house.connect("reader")
    reader.subscribe("a", qos=qos)
    sender = house.connect("sender")
    for _ in range(3):
        sender.publish("a", bytes(5000), qos=qos)
    session = house.session("reader")
    assert session is not None
    assert session.inflight is not None
    assert session.inflight.count() == 3
    assert session.inflight.bytes == 0
    first, *_ = reader.messages()
    if qos == 1:
        reader.ack(PacketType.PUBACK, first.packet_id)
    else:
        reader.ack(PacketType.PUBREC, first.packet_id)
        reader.ack(PacketType.PUBCOMP, first.packet_id)
    assert session.inflight.count() == 2


def test_a_second_connection_of_the_client_gets_none_of_it_again(version: int) -> None:
    house = House()
    house.connect("reader", version).subscribe("a", qos=1)
    house.connect("sender").publish("a", qos=1)
    again = house.connect("reader", version, clean=False)
    assert again.messages() == []


def test_a_client_that_takes_few_at_once_gets_the_rest_in_order(version: int) -> None:
    house = House(Limits(max_inflight=2))
    reader = house.connect("reader", version)
    reader.subscribe("a", qos=1)
    sender = house.connect("sender")
    for number in range(7):
        sender.publish("a", str(number).encode(), qos=1)
    got: list[Publish] = []
    while messages := reader.messages():
        assert len(messages) <= 2
        got += messages
        for message in messages:
            reader.feed(b"\x40\x02" + message.packet_id.to_bytes(2, "big"))
        house.settle()
    assert [message.payload for message in got] == [str(number).encode() for number in range(7)]

"""The gate: what was promised is on disk before the promise goes out."""

import pytest

from bollard.engine.limits import Limits
from bollard.wire.connect import Connack, Will
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack, Publish
from bollard.wire.spec import PacketType
from bollard.wire.subscribe import Suback, Unsuback, Unsubscribe
from support.memory import Device, House, connect, publish, subscribe

PUBACK, PUBREC, PUBREL, PUBCOMP = (
    PacketType.PUBACK,
    PacketType.PUBREC,
    PacketType.PUBREL,
    PacketType.PUBCOMP,
)


@pytest.fixture
def house() -> House:
    """A durable broker; `house.commits = False` stops its disk."""
    return House(durable=True)


def kept(house: House, version: int = 5, name: str = "k", **options: object) -> Device:
    """A client whose session is on disk, subscribed to everything."""
    device = house.connect(name, version, clean=False, expiry=1000, **options)
    device.subscribe("#", qos=2)
    device.take()
    return device


def stop_disk(house: House) -> None:
    house.settle()
    house.commits = False


def start_disk(house: House) -> None:
    house.commits = True
    house.settle()


@pytest.mark.parametrize("qos", [1, 2])
def test_an_acknowledgement_waits_for_the_message_to_be_on_disk(house: House, version: int, qos: int) -> None:
    kept(house, version).drop()
    device = house.connect(version=version)
    stop_disk(house)
    device.publish("a", qos=qos, packet_id=1)
    assert device.acks() == []
    start_disk(house)
    assert device.acks() == [(PUBACK if qos == 1 else PUBREC, 1, 0)]


def test_a_message_that_nobody_keeps_is_acknowledged_at_once(house: House, version: int) -> None:
    listener = house.connect(version=version)
    listener.subscribe("a", qos=1)
    device = house.connect(version=version)
    stop_disk(house)
    device.publish("a", qos=1, packet_id=1)
    assert device.acks() == [(PUBACK, 1, 0)]


def test_a_retained_message_is_acknowledged_after_the_disk_has_it(house: House, version: int) -> None:
    device = house.connect(version=version)
    stop_disk(house)
    device.publish("a", qos=1, packet_id=1, retain=True)
    assert device.acks() == []
    start_disk(house)
    assert len(device.acks()) == 1


def test_suback_and_unsuback_wait_for_a_kept_session(house: House, version: int) -> None:
    device = house.connect("k", version, clean=False, expiry=1000)
    stop_disk(house)
    device.send(subscribe("a"))
    assert device.take() == []
    start_disk(house)
    device.one(Suback)
    stop_disk(house)
    device.send(Unsubscribe(2, ("a",)))
    assert device.take() == []
    start_disk(house)
    device.one(Unsuback)


def test_connack_waits_for_a_kept_session(house: House, version: int) -> None:
    stop_disk(house)
    device = house.open(version)
    device.send(connect("k", version, clean=False, expiry=1000))
    other = house.connect(version=version)
    assert device.take() == []
    other.ping()
    start_disk(house)
    assert device.one(Connack).code == 0


def test_packets_behind_a_connect_that_waits_are_read_afterwards(house: House, version: int) -> None:
    stop_disk(house)
    device = house.open(version)
    device.send(connect("k", version, clean=False, expiry=1000), subscribe("a"))
    start_disk(house)
    device.one(Connack)
    device.one(Suback)


def test_qos_2_leaves_only_after_its_identifier_is_on_disk(house: House, version: int) -> None:
    device = kept(house, version)
    stop_disk(house)
    house.broker.publish("a", b"one", qos=1, now=house.now)
    house.broker.publish("a", b"two", qos=2, now=house.now)
    house.settle()
    assert device.payloads() == [b"one"]
    start_disk(house)
    assert device.payloads() == [b"two"]


def test_pubrel_waits_for_pubrec_to_be_on_disk(house: House, version: int) -> None:
    device = kept(house, version)
    house.broker.publish("a", b"two", qos=2, now=house.now)
    house.settle()
    [message] = device.messages()
    stop_disk(house)
    device.ack(PUBREC, message.packet_id)
    assert device.acks() == []
    start_disk(house)
    assert device.acks() == [(PUBREL, message.packet_id, 0)]


def test_a_kept_publisher_gets_pubrec_and_pubcomp_after_the_disk(house: House, version: int) -> None:
    device = house.connect("p", version, clean=False, expiry=1000)
    stop_disk(house)
    device.publish("a", qos=2, packet_id=1)
    assert device.acks() == []
    start_disk(house)
    assert [ack[0] for ack in device.acks()] == [PUBREC]
    stop_disk(house)
    device.ack(PUBREL, 1)
    assert device.acks() == []
    start_disk(house)
    assert device.acks() == [(PUBCOMP, 1, 0)]


def test_acknowledgements_keep_the_order_of_what_they_acknowledge(house: House, version: int) -> None:
    keeper = kept(house, version, "keeper")
    device = house.connect(version=version)
    stop_disk(house)
    device.publish("a", qos=1, packet_id=1)
    keeper.send(Unsubscribe(9, ("#",)))
    device.publish("nobody", qos=1, packet_id=2)
    assert device.acks() == []
    start_disk(house)
    assert [ack[1] for ack in device.acks()] == [1, 2]


def test_a_later_batch_is_not_released_by_an_earlier_commit(house: House, version: int) -> None:
    kept(house, version).drop()
    device = house.connect(version=version)
    stop_disk(house)
    device.publish("a", qos=1, packet_id=1)
    first = house.batches[-1][0]
    device.publish("a", qos=1, packet_id=2)
    house.broker.committed(first, house.now)
    house.settle()
    assert [ack[1] for ack in device.acks()] == [1]
    start_disk(house)
    assert [ack[1] for ack in device.acks()] == [2]


def test_what_waits_for_the_disk_is_not_more_unfinished_messages(version: int) -> None:
    house = House(Limits(receive_maximum=3, max_inflight=50), durable=True)
    device = kept(house, version)
    stop_disk(house)
    for number in range(20):
        house.broker.publish("a", str(number).encode(), qos=2, now=house.now)
    device.send(*[subscribe("x", packet_id=number) for number in range(1, 10)])
    device.publish("b", qos=1, packet_id=1)
    device.publish("b", qos=2, packet_id=2)
    start_disk(house)
    assert not device.closed


def test_unacknowledged_qos_1_messages_count_while_the_disk_is_slow() -> None:
    house = House(Limits(receive_maximum=3), durable=True)
    kept(house).drop()
    device = house.connect()
    stop_disk(house)
    for packet_id in range(1, 5):
        device.publish("a", qos=1, packet_id=packet_id)
    assert device.closed


def test_a_client_cannot_fill_memory_with_answers_while_the_disk_is_slow(version: int) -> None:
    house = House(Limits(max_outbox_bytes=2000), durable=True)
    device = kept(house, version)
    stop_disk(house)
    for number in range(1, 1000):
        device.send(subscribe(f"t/{number}", packet_id=number))
    assert device.closed


def test_a_kept_session_that_goes_on_without_being_kept_survives_its_commit(
    house: House, version: int
) -> None:
    kept(house, version).drop()
    house.connect(version=version).publish("a", qos=1)
    stop_disk(house)
    device = house.open(version)
    device.send(connect("k", version, clean=version == 4, expiry=0))
    house.advance(1)
    start_disk(house)
    assert device.one(Connack).code == 0
    assert not device.closed
    device.drop()
    assert house.session("k") is None


def test_a_5_0_client_can_resume_and_stop_being_kept_without_losing_messages(house: House) -> None:
    kept(house).drop()
    house.connect().publish("a", qos=1)
    stop_disk(house)
    device = house.open()
    device.send(connect("k", clean=False, expiry=0))
    house.advance(1)
    start_disk(house)
    assert device.one(Connack).session_present
    assert len(device.messages()) == 1


@pytest.mark.parametrize("expiry", [0, 50])
def test_a_client_that_is_lost_before_the_commit_leaves_a_session_that_ends(
    house: House, expiry: int
) -> None:
    kept(house).drop()
    stop_disk(house)
    device = house.open()
    device.send(connect("k", clean=False, expiry=expiry))
    device.drop()
    start_disk(house)
    house.advance(49)
    assert (house.session("k") is not None) == bool(expiry)
    house.advance(1)
    assert house.session("k") is None


def test_a_delayed_will_is_cancelled_by_a_client_that_waits_for_the_disk(house: House) -> None:
    heir = house.connect(keepalive_s=3000)
    heir.subscribe("will")
    will = Will("will", b"gone", properties=Properties(will_delay_interval=10))
    house.connect("c", will=will, expiry=1000).drop()
    house.advance(9)
    stop_disk(house)
    device = house.open()
    device.send(connect("c", clean=False, expiry=1000, keepalive_s=1000))
    house.advance(5)
    start_disk(house)
    assert device.one(Connack).session_present
    house.advance(50)
    assert heir.messages() == []


def test_two_clients_that_wait_for_one_session_end_with_the_later_one(house: House, version: int) -> None:
    stop_disk(house)
    first, second = house.open(version), house.open(version)
    for device in (first, second):
        device.send(connect("k", version, clean=False, expiry=1000))
    start_disk(house)
    assert first.closed
    assert not second.closed
    assert second.one(Connack).code == 0
    assert house.broker.counters.clients_connected == 1


def test_an_alias_is_not_used_before_the_packet_that_names_its_topic(house: House) -> None:
    device = kept(house, topic_alias_maximum=10)
    stop_disk(house)
    house.broker.publish("a", b"waits", qos=2, now=house.now)
    house.broker.publish("a", b"goes", qos=1, now=house.now)
    house.settle()
    start_disk(house)
    known: dict[int, bytes] = {}
    for message in device.messages():
        if message.topic and message.alias:
            known[message.alias] = message.topic
        assert (message.topic or known[message.alias]) == b"a"


def test_a_message_that_everyone_has_acknowledged_costs_the_disk_nothing(house: House, version: int) -> None:
    device = kept(house, version)
    stop_disk(house)
    house.batches.clear()
    device.acknowledges = True
    house.broker.publish("a", b"x" * 1000, qos=1, now=house.now)
    for connection in house.broker.drain():
        connection.owner._flush()
    _, batch = house.broker.take_journal()
    assert len(batch) == 0


def test_nothing_is_recorded_for_clients_that_keep_nothing(house: House, version: int) -> None:
    stop_disk(house)
    listener = house.connect(version=version)
    listener.subscribe("a", qos=2)
    device = house.connect(version=version)
    for qos in (0, 1, 2):
        device.publish("a", qos=qos)
    listener.take()
    device.leave()
    assert house.batches == []


def test_a_broker_that_keeps_nothing_on_disk_waits_for_nothing(version: int) -> None:
    house = House()
    house.commits = False
    kept(house, version).drop()
    device = house.connect("p", version, clean=False, expiry=1000)
    device.send(publish(version, "a", qos=2, packet_id=1, retain=True))
    assert isinstance(device.take()[0], Ack)
    assert house.batches == []


def test_a_stopped_disk_stops_only_what_needs_it(house: House, version: int) -> None:
    listener = house.connect(version=version)
    listener.subscribe("#", qos=1)
    device = house.connect("p", version, clean=False, expiry=1000)
    stop_disk(house)
    device.publish("a", b"zero")
    device.publish("a", b"one", qos=1)
    device.ping()
    assert [message.payload for message in listener.messages()] == [b"zero", b"one"]
    assert not [packet for packet in device.take() if isinstance(packet, Publish)]

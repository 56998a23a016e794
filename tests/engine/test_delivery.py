"""From a routed message to one client: window, queue, resending, and the client that does not read."""

import pytest

from bollard.base.events import LimitReached
from bollard.base.types import Action
from bollard.engine.limits import Limits
from bollard.session.session import Session
from bollard.wire.connect import Disconnect
from bollard.wire.publish import Ack, Publish
from bollard.wire.spec import PacketType, ReasonCode
from support.memory import Device, House
from support.rights import Rights

PUBACK, PUBREC, PUBREL, PUBCOMP = (
    PacketType.PUBACK,
    PacketType.PUBREC,
    PacketType.PUBREL,
    PacketType.PUBCOMP,
)


def kept(house: House, version: int = 5, **options: object) -> Device:
    """The client "k", whose session outlives its connection."""
    device = house.connect("k", version, clean=False, expiry=1000, **options)
    device.subscribe("a", qos=2)
    device.take()
    return device


def session_of(house: House) -> Session:
    session = house.session("k")
    assert session is not None
    return session


def publish(house: House, *payloads: bytes, qos: int = 1, **options: object) -> None:
    device = house.connect()
    for payload in payloads:
        device.publish("a", payload, qos=qos, **options)
        if qos == 2:
            device.ack(PUBREL, device._packet_id)
    device.leave()


def numbered(count: int) -> list[bytes]:
    return [str(number).encode() for number in range(count)]


@pytest.mark.parametrize("qos", [1, 2])
def test_no_more_is_in_flight_than_the_client_takes(house: House, qos: int) -> None:
    device = kept(house, receive_maximum=3)
    publish(house, *numbered(10), qos=qos)
    assert [m.payload for m in device.messages()] == numbered(3)


@pytest.mark.parametrize("qos", [1, 2])
def test_each_acknowledgement_lets_the_next_message_go(house: House, version: int, qos: int) -> None:
    house = House(Limits(max_inflight=2))
    device = kept(house, version)
    publish(house, *numbered(5), qos=qos)
    found: list[bytes] = []
    while messages := device.messages():
        assert len(messages) <= 2
        found += [message.payload for message in messages]
        for message in messages:
            if qos == 1:
                device.ack(PUBACK, message.packet_id)
            else:
                device.ack(PUBREC, message.packet_id)
                device.ack(PUBCOMP, message.packet_id)
    assert found == numbered(5)
    assert session_of(house).queue is None


def test_pubrec_answers_pubrel_and_frees_nothing_yet() -> None:
    house = House(Limits(max_inflight=1))
    device = kept(house)
    publish(house, b"one", b"two", qos=2)
    [message] = device.messages()
    device.ack(PUBREC, message.packet_id)
    assert device.acks() == [(PUBREL, message.packet_id, 0)]
    device.ack(PUBCOMP, message.packet_id)
    assert device.payloads() == [b"two"]


def test_a_pubrec_that_refuses_ends_the_exchange() -> None:
    house = House(Limits(max_inflight=1))
    device = kept(house)
    publish(house, b"one", b"two", qos=2)
    [message] = device.messages()
    device.ack(PUBREC, message.packet_id, ReasonCode.UNSPECIFIED_ERROR)
    assert [m.payload for m in device.take() if isinstance(m, Publish)] == [b"two"]


def test_a_repeated_pubrec_gets_its_pubrel_again(house: House, version: int) -> None:
    device = kept(house, version)
    publish(house, b"one", qos=2)
    [message] = device.messages()
    for _ in range(2):
        device.ack(PUBREC, message.packet_id)
    assert device.acks() == [(PUBREL, message.packet_id, 0)] * 2


@pytest.mark.parametrize(("qos", "kind"), [(2, PUBACK), (1, PUBREC)])
def test_the_wrong_acknowledgement_is_a_protocol_error_and_loses_nothing(
    house: House, qos: int, kind: PacketType
) -> None:
    device = kept(house)
    publish(house, b"one", qos=qos)
    [message] = device.messages()
    device.ack(kind, message.packet_id)
    assert device.one(Disconnect).code == ReasonCode.PROTOCOL_ERROR
    again = house.connect("k", clean=False, expiry=1000).messages()
    assert [(m.payload, m.packet_id, m.dup) for m in again] == [(b"one", message.packet_id, 1)]


def test_what_comes_while_the_client_is_away_waits_in_its_order(house: House, version: int) -> None:
    kept(house, version).drop()
    publish(house, *numbered(5), qos=1)
    publish(house, b"lost", qos=0)
    publish(house, *numbered(5), qos=2)
    found = house.connect("k", version, clean=False, expiry=1000).messages()
    assert [m.payload for m in found if m.qos == 1] == numbered(5)
    assert [m.payload for m in found if m.qos == 2] == numbered(5)
    assert all(m.dup == 0 for m in found)


@pytest.mark.parametrize("qos", [1, 2])
def test_a_resumed_session_sends_again_in_order_and_under_the_same_identifiers(
    house: House, version: int, qos: int
) -> None:
    device = kept(house, version)
    publish(house, *numbered(4), qos=qos)
    before = device.messages()
    device.ack(PUBACK if qos == 1 else PUBREC, before[1].packet_id)
    device.drop()
    publish(house, b"later", qos=qos)
    again = house.connect("k", version, clean=False, expiry=1000)
    found = again.messages()
    expected = [(m.packet_id, m.payload, 1) for m in before if m is not before[1]]
    assert [(m.packet_id, m.payload, m.dup) for m in found[:3]] == expected
    assert (found[3].payload, found[3].dup) == (b"later", 0)


def test_pubrel_is_sent_again_before_any_message(house: House, version: int) -> None:
    device = kept(house, version)
    publish(house, *numbered(3), qos=2)
    first, second, _ = device.messages()
    device.ack(PUBREC, second.packet_id)
    device.ack(PUBREC, first.packet_id)
    device.drop()
    again = house.connect("k", version, clean=False, expiry=1000)
    found = again.take()
    assert [p.packet_id for p in found if isinstance(p, Ack)] == [second.packet_id, first.packet_id]
    assert isinstance(found[-1], Publish)
    assert found[-1].payload == b"2"


def test_a_client_that_comes_back_with_a_smaller_window_gets_no_more_than_that(house: House) -> None:
    device = kept(house, receive_maximum=5)
    publish(house, *numbered(8))
    assert len(device.messages()) == 5
    device.drop()
    device = house.connect("k", clean=False, expiry=1000, receive_maximum=2)
    found: list[Publish] = []
    while messages := device.messages():
        assert len(messages) <= 2
        found += messages
        device.ack(PUBACK, messages[0].packet_id)
        if len(messages) > 1:
            device.ack(PUBACK, messages[1].packet_id)
    assert [m.payload for m in found] == numbered(8)
    assert [m.dup for m in found] == [1] * 5 + [0] * 3


def test_an_early_acknowledgement_of_what_was_not_sent_again_yet_is_taken(house: House) -> None:
    device = kept(house, receive_maximum=4)
    publish(house, *numbered(4))
    ids = [message.packet_id for message in device.messages()]
    device.drop()
    device = house.connect("k", clean=False, expiry=1000, receive_maximum=1)
    assert len(device.messages()) == 1
    device.ack(PUBACK, ids[2])
    assert device.messages() == []
    device.ack(PUBACK, ids[0])
    assert device.payloads() == [b"1"]


def test_a_message_that_expired_in_the_queue_is_not_delivered(house: House, version: int) -> None:
    kept(house, version).drop()
    publish(house, b"short", message_expiry_interval=10)
    publish(house, b"long", message_expiry_interval=100)
    house.advance(11)
    [message] = house.connect("k", version, clean=False, expiry=1000).messages()
    assert message.payload == b"long"
    if version == 5:
        assert message.expiry == 89
    assert house.broker.counters.expired_messages == 1


@pytest.mark.parametrize("who", [("author", Action.PUBLISH), ("anonymous", Action.RECEIVE)])
@pytest.mark.parametrize("sent", [False, True])
def test_rights_are_asked_again_when_a_waiting_message_goes_out(
    house: House, version: int, who: tuple[str, Action], sent: bool
) -> None:
    device = kept(house, version)
    if not sent:
        device.drop()
    house.connect(principal="author").publish("a", b"x", qos=1)
    if sent:
        device.drop()
    house.broker.set_authorizer(Rights((*who, "a")), house.now)
    assert house.connect("k", version, clean=False, expiry=1000).messages() == []
    session = session_of(house)
    assert session.queue is None
    assert session.inflight is None or session.inflight.count() == 0


def test_a_message_that_the_client_finds_too_large_is_dropped_as_if_sent(house: House) -> None:
    device = kept(house, maximum_packet_size=100)
    publish(house, b"x" * 200, b"small")
    assert device.payloads() == [b"small"]
    assert house.broker.counters.publish_dropped == 1
    assert [event.limit for event in house.told(LimitReached)] == ["maximum_packet_size"]


@pytest.mark.parametrize("version", [4, 5])
def test_a_slow_reader_gets_qos_1_in_portions_and_loses_nothing(version: int) -> None:
    house = House(Limits(max_outbox_bytes=10_000))
    device = kept(house, version)
    device.reading = False
    payloads = [str(n).encode() * 2000 for n in range(10, 30)]
    publish(house, *payloads)
    assert device.connection.size <= 10_000
    assert session_of(house).waiting > 0
    device.acknowledges = True
    device.read_again()
    assert device.payloads() == payloads
    assert not device.closed


def test_a_resumed_session_fills_the_output_only_to_its_bound_and_goes_on_by_itself(version: int) -> None:
    house = House(Limits(max_outbox_bytes=10_000))
    kept(house, version).drop()
    payloads = [str(n).encode() * 2000 for n in range(10, 30)]
    publish(house, *payloads)
    device = house.connect("k", version, clean=False, expiry=1000)
    assert device.payloads() == payloads
    assert house.broker.next_deadline() > house.now


def test_the_broker_does_not_spin_for_a_client_that_does_not_read(version: int) -> None:
    house = House(Limits(max_outbox_bytes=10_000))
    device = kept(house, version)
    device.reading = False
    publish(house, *[b"x" * 4000] * 10)
    assert house.broker.next_deadline() > house.now
    assert house.broker.drain() == []


def test_a_slow_reader_loses_qos_0_and_only_its_own(version: int) -> None:
    house = House(Limits(max_outbox_bytes=10_000))
    slow, quick = kept(house, version), house.connect(version=version)
    quick.subscribe("a")
    slow.reading = False
    publish(house, *[b"x" * 1000] * 50, qos=0)
    assert len(quick.messages()) == 50
    assert slow.connection.size <= 10_000
    assert house.broker.counters.publish_dropped >= 40
    assert not slow.closed


@pytest.mark.parametrize("version", [4, 5])
def test_a_client_that_never_reads_its_answers_is_disconnected(version: int) -> None:
    house = House(Limits(max_outbox_bytes=1000))
    device = kept(house, version)
    device.reading = False
    for _ in range(600):
        device.ping()
    assert device.connection.closing
    assert [event.limit for event in house.told(LimitReached)] == ["max_outbox_bytes"]
    device.reading = True
    house.broker.writable(device.connection, house.now)
    house.settle()
    assert device.closed
    if version == 5:
        assert device.one(Disconnect).code == ReasonCode.QUOTA_EXCEEDED
    assert session_of(house).connection is None


def test_identifiers_wrap_around_and_skip_what_is_in_use(house: House) -> None:
    device = kept(house)
    publish(house, b"held")
    [held] = device.messages()
    inflight = session_of(house).inflight
    assert inflight is not None
    inflight.last_id = 65_534
    publish(house, *numbered(3))
    assert held.packet_id == 1
    assert [m.packet_id for m in device.messages()] == [65_535, 2, 3]


@pytest.mark.parametrize("because", ["right", "size"])
def test_a_qos_2_message_that_cannot_be_sent_again_is_brought_to_its_end(house: House, because: str) -> None:
    device = kept(house)
    publish(house, b"x" * 200, qos=2)
    [message] = device.messages()
    device.drop()
    if because == "right":
        house.broker.set_authorizer(Rights((None, Action.RECEIVE, "a")), house.now)
    device = house.connect("k", clean=False, expiry=1000, maximum_packet_size=100)
    # The client has its identifier in store and would take a new message under it for the old one.
    assert device.acks() == [(PUBREL, message.packet_id, 0)]
    device.ack(PUBCOMP, message.packet_id)
    inflight = session_of(house).inflight
    assert inflight is not None
    assert inflight.count() == 0

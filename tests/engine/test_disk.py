"""A disk that takes nothing: who needs it is told 0x97, who does not goes on, and nothing is lost."""

import pytest

from bollard.base.events import ServerEvent, ServerWarning
from bollard.engine.disk import PATIENCE_S
from bollard.engine.journal import Batch, Journal
from bollard.session.message import Delivery, Message
from bollard.session.session import Session
from bollard.wire.connect import Connack, Disconnect
from bollard.wire.publish import Ack
from bollard.wire.spec import PacketType, ReasonCode
from bollard.wire.subscribe import Suback
from support.memory import Device, House, connect, publish, subscribe

PUBACK, PUBREC = PacketType.PUBACK, PacketType.PUBREC
FULL = ReasonCode.QUOTA_EXCEEDED


@pytest.fixture
def house() -> House:
    """A durable broker."""
    return House(durable=True)


def kept(house: House, name: str = "k", version: int = 5) -> Device:
    device = house.connect(name, version, clean=False, expiry=1000)
    device.subscribe("kept/#", qos=2)
    device.take()
    return device


def fail(house: House) -> None:
    """From now on the disk refuses every batch; the first one now."""
    house.settle()
    house.commits = False
    house.broker.publish("probe", b"x", retain=True, now=house.now)
    refuse(house)


def refuse(house: House) -> None:
    house._journal()
    batches, house.batches = house.batches, []
    for _, batch in reversed(batches):
        house.broker.refused(batch, "database or disk is full", house.now)
    house.settle()


def recover(house: House) -> None:
    house.commits = True
    house.settle()


def test_a_publisher_that_needs_the_disk_is_refused(house: House) -> None:
    listener = kept(house)
    publisher = house.connect("p", receive_maximum=10)
    fail(house)
    for qos, kind in ((1, PUBACK), (2, PUBREC)):
        packet_id = publisher.publish("kept/a", qos=qos)
        assert publisher.acks() == [(kind, packet_id, FULL)]
    packet_id = publisher.publish("other", qos=1, retain=True)
    assert publisher.acks() == [(PUBACK, packet_id, FULL)]
    recover(house)
    assert listener.messages() == [], "what was refused was not routed"
    assert house.broker.core.retained.get("other") is None


def test_a_3_1_1_publisher_gets_no_acknowledgement_and_is_disconnected(house: House) -> None:
    kept(house, version=4)
    publisher = house.connect("p", 4)
    fail(house)
    publisher.publish("kept/a", qos=1)
    assert publisher.closed
    assert publisher.take() == []


def test_who_does_not_need_the_disk_goes_on(house: House, version: int) -> None:
    listener = kept(house, version=version)
    other = house.connect("o", version)
    fail(house)
    assert other.subscribe("free/#", qos=2) == (2,)
    publisher = house.connect("p", version)
    for qos in (0, 1, 2):
        publisher.publish("free/a", b"%d" % qos, qos=qos)
    assert other.payloads() == [b"0", b"1", b"2"]
    assert len(publisher.acks()) == 2
    publisher.publish("kept/a", b"now", qos=0)
    assert listener.payloads() == [b"now"]


def test_a_new_session_that_would_be_kept_is_refused(house: House, version: int) -> None:
    house.connect("t", version)
    fail(house)
    device = house.open(version)
    device.send(connect("k", version, clean=False, expiry=1000))
    assert device.one(Connack).code == FULL if version == 5 else device.closed
    assert house.session("k") is None


def test_a_kept_session_is_not_wiped_while_that_cannot_be_kept(house: House, version: int) -> None:
    kept(house, version=version).drop()
    fail(house)
    device = house.open(version)
    device.send(connect("k", version, clean=True))
    assert device.one(Connack).code == FULL if version == 5 else device.closed
    assert house.session("k") is not None


def test_a_kept_session_is_resumed_and_its_client_makes_room(house: House, version: int) -> None:
    kept(house, version=version).drop()
    for qos in (1, 2):
        house.broker.publish("kept/a", b"%d" % qos, qos=qos, now=house.now)
    fail(house)
    device = house.connect("k", version, clean=False, expiry=1000)
    assert device.connack is not None
    assert device.connack.session_present
    [message] = device.messages()
    assert message.payload == b"1"
    device.ack(PUBACK, message.packet_id)
    recover(house)
    assert device.payloads() == [b"2"], "QoS 2 waits for its identifier to be on disk"


def test_a_subscription_that_would_be_kept_is_refused(house: House, version: int) -> None:
    device = kept(house, version=version)
    fail(house)
    device.send(subscribe("new", qos=1, packet_id=5))
    assert device.one(Suback).codes == (FULL if version == 5 else 0x80,)


def test_what_was_accepted_before_is_acknowledged_after_the_recovery(house: House, version: int) -> None:
    listener = kept(house, version=version)
    publisher = house.connect("p", version)
    house.commits = False
    packet_id = publisher.publish("kept/a", b"x", qos=1)
    refuse(house)
    assert publisher.acks() == []
    recover(house)
    assert publisher.acks() == [(PUBACK, packet_id, 0)]
    assert listener.payloads() == [b"x"]


def test_refusals_stay_behind_acknowledgements_that_wait(house: House) -> None:
    kept(house).drop()
    house.settle()
    publisher = house.connect("p")
    house.commits = False
    first = publisher.publish("kept/a", qos=1)
    refuse(house)
    second = publisher.publish("kept/a", qos=1)
    assert publisher.acks() == []
    recover(house)
    assert publisher.acks() == [(PUBACK, first, 0), (PUBACK, second, FULL)]


def test_nobody_waits_for_a_failing_disk_for_ever(house: House, version: int) -> None:
    kept(house, "l", version).drop()
    house.settle()
    publisher, idle = house.connect("p", version), kept(house, "i", version)
    house.commits = False
    publisher.publish("kept/a", qos=1)
    arriving = house.open(version)
    arriving.send(connect("new", version, clean=False, expiry=1000))
    refuse(house)
    house.advance(PATIENCE_S + 1)
    assert (publisher.closed, arriving.closed, idle.closed) == (True, True, False)
    if version == 5:
        assert publisher.one(Disconnect).code == FULL
        assert arriving.one(Connack).code == FULL


def test_failure_and_recovery_are_told_once(house: House) -> None:
    device = kept(house)
    fail(house)
    device.send(publish(5, "kept/a", qos=1, packet_id=1))
    refuse(house)
    refuse(house)
    assert [e.what for e in house.told(ServerWarning)] == ["store failing"]
    recover(house)
    house.broker.core.journal.session(house.broker.core.find("anonymous", "k"), True)
    house.settle()
    assert [e.what for e in house.told(ServerEvent)] == ["store recovered"]
    assert not house.broker.core.journal.failing


def test_a_retained_message_without_acknowledgement_is_dropped_and_counted(house: House) -> None:
    publisher = house.connect("p")
    fail(house)
    before = house.broker.counters.publish_dropped
    publisher.publish("r", b"x", qos=0, retain=True)
    assert house.broker.counters.publish_dropped == before + 1
    assert house.broker.core.retained.get("r") is None


# A batch that is given back ------------------------------------------------------------------------------


def journal_with(session: Session) -> tuple[Journal, list[Delivery]]:
    journal = Journal(True)
    journal.session(session, True)
    deliveries = [Delivery(Message("a", b"a", b"x", 1, 0, "", "", b"", 0.0), 1, 0, (), 1) for _ in range(3)]
    for delivery in deliveries:
        journal.queue(session, delivery, 0)
    return journal, deliveries


def rows(batch: Batch) -> tuple[int, int, int, int, int]:
    counted = (batch.messages, batch.deliveries, batch.moved, batch.ended_deliveries, batch.ended_messages)
    return tuple(map(len, counted))  # type: ignore[return-value]


def test_what_is_done_while_its_batch_was_refused_costs_nothing() -> None:
    session = Session("p", "c")
    journal, deliveries = journal_with(session)
    _, batch = journal.take()
    journal.done(session, deliveries[0])
    journal.give_back(batch)
    assert rows(journal.batch) == (2, 2, 0, 0, 0)


def test_what_moved_while_its_batch_was_refused_is_new_as_it_stands() -> None:
    session = Session("p", "c")
    journal, deliveries = journal_with(session)
    _, batch = journal.take()
    journal.advance(session, deliveries[1], 7)
    journal.give_back(batch)
    assert rows(journal.batch) == (3, 3, 0, 0, 0)
    owed = journal.batch.deliveries[(session.number, deliveries[1].number)]
    assert owed[2] == 7


def test_what_ended_or_moved_after_it_was_on_disk_stays_so() -> None:
    session = Session("p", "c")
    journal, deliveries = journal_with(session)
    journal.take()
    journal.advance(session, deliveries[0], 1)
    journal.advance(session, deliveries[1], 2)
    journal.done(session, deliveries[2])
    _, batch = journal.take()
    journal.done(session, deliveries[0])
    journal.release(session, deliveries[1], 2)
    journal.give_back(batch)
    assert rows(journal.batch) == (0, 0, 1, 2, 2)
    assert journal.batch.moved[(session.number, deliveries[1].number)][3] == 1


def test_the_last_word_about_a_key_wins() -> None:
    session = Session("p", "c")
    journal = Journal(True)
    journal.session(session, True)
    number = session.number
    journal.received(session, 1)
    journal.received(session, 2)
    _, batch = journal.take()
    journal.completed(session, 1)
    journal.end_session(session)
    journal.give_back(batch)
    assert journal.batch.received == {(number, 1): False, (number, 2): True}
    assert number in journal.batch.ended_sessions
    assert number not in journal.batch.sessions


def test_acknowledgements_of_both_batches_go_with_the_one_that_is_written(house: House) -> None:
    kept(house).drop()
    house.settle()
    publisher = house.connect("p")
    house.commits = False
    publisher.publish("kept/a", qos=1)
    refuse(house)
    recover(house)
    assert [type(packet) for packet in publisher.take()] == [Ack]

"""How clients go: wills, their delay, kept sessions, and shared work that others take over."""

import pytest

from bollard.base.events import AccessDenied, SessionEnded
from bollard.base.types import Action
from bollard.engine.limits import Limits
from bollard.session.message import ENTRY_BYTES
from bollard.wire.connect import Disconnect, Will
from bollard.wire.properties import Properties
from bollard.wire.spec import PacketType, ReasonCode
from bollard.wire.subscribe import SubscribeFilter
from support.memory import Device, House
from support.rights import Rights

PUBACK, PUBREC, PUBCOMP = PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBCOMP


def listener(house: House, version: int = 5, filter: str = "will") -> Device:
    device = house.connect("listener", version, keepalive_s=3000)
    device.subscribe(filter, qos=2)
    return device


def will(delay: int | None = None, **options: object) -> Will:
    return Will("will", b"gone", properties=Properties(will_delay_interval=delay), **options)  # type: ignore[arg-type]


# Wills -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["drop", "fault", "silence", "disconnected", "takeover"])
def test_a_will_is_published_when_the_client_goes_without_a_word(
    house: House, version: int, how: str
) -> None:
    heir = listener(house, version)
    device = house.connect("c", version, will=will(qos=1), keepalive_s=10)
    if how == "drop":
        device.drop()
    elif how == "fault":
        device.send(b"\xff\x00")
    elif how == "silence":
        house.advance(16)
    elif how == "disconnected":
        house.broker.disconnect(device.connection, ReasonCode.SERVER_SHUTTING_DOWN, "bye", house.now)
        house.settle()
    else:
        house.connect("c", version)
    [message] = heir.messages()
    assert (message.payload, message.qos, message.retain) == (b"gone", 1, 0)


def test_a_good_bye_drops_the_will(house: House, version: int) -> None:
    heir = listener(house, version)
    house.connect("c", version, will=will()).leave()
    assert heir.messages() == []


def test_a_good_bye_with_0x04_publishes_the_will(house: House) -> None:
    heir = listener(house)
    house.connect("c", will=will()).leave(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE)
    assert heir.payloads() == [b"gone"]


def test_a_will_is_published_once(house: House, version: int) -> None:
    heir = listener(house, version)
    device = house.connect("c", version, will=will(), clean=False, expiry=10)
    device.drop()
    device.drop()
    house.advance(20)
    assert heir.payloads() == [b"gone"]


def test_a_delayed_will_waits_for_its_time(house: House) -> None:
    heir = listener(house)
    house.connect("c", will=will(10), expiry=100).drop()
    house.advance(9)
    assert heir.messages() == []
    house.advance(1)
    assert heir.payloads() == [b"gone"]


def test_a_client_that_comes_back_cancels_its_delayed_will(house: House) -> None:
    heir = listener(house)
    house.connect("c", will=will(10), expiry=100).drop()
    house.advance(5)
    house.connect("c", clean=False, expiry=100, keepalive_s=1000)
    house.advance(20)
    assert heir.messages() == []


def test_the_end_of_the_session_publishes_a_delayed_will(house: House) -> None:
    heir = listener(house)
    house.connect("c", will=will(100), expiry=10).drop()
    house.advance(10)
    assert heir.payloads() == [b"gone"]
    house.connect("d", will=will(100), expiry=50).drop()
    house.connect("d", clean=True)
    assert heir.payloads() == [b"gone"]


def test_a_delay_without_a_session_to_come_back_to_is_none(house: House) -> None:
    heir = listener(house)
    house.connect("c", will=will(100)).drop()
    assert heir.payloads() == [b"gone"]


def test_a_takeover_does_not_publish_a_delayed_will(house: House) -> None:
    heir = listener(house)
    house.connect("c", will=will(10), expiry=100)
    house.connect("c", clean=False, expiry=100, keepalive_s=1000)
    house.advance(20)
    assert heir.messages() == []


def test_a_new_will_replaces_the_old_one(house: House) -> None:
    heir = listener(house)
    house.connect("c", will=will(10), expiry=100).drop()
    second = house.connect("c", clean=False, will=Will("will", b"second"))
    second.drop()
    house.advance(20)
    assert heir.payloads() == [b"second"]


def test_a_will_keeps_its_properties_and_their_order(house: House) -> None:
    heir = listener(house)
    properties = Properties(
        message_expiry_interval=30,
        content_type="text",
        response_topic="answer",
        correlation_data=b"\0",
        payload_format_indicator=1,
        user_properties=(("b", "1"), ("a", "2")),
    )
    house.connect("c", will=Will("will", b"gone", properties=properties)).drop()
    assert heir.messages()[0].properties() == properties


def test_a_retained_will_is_retained(house: House, version: int) -> None:
    house.connect("c", version, will=will(retain=True)).drop()
    heir = listener(house, version)
    [message] = heir.messages()
    assert (message.payload, message.retain) == (b"gone", 1)


@pytest.mark.parametrize("right", [Action.WILL, Action.RETAIN])
def test_the_right_to_a_will_is_asked_again_when_it_is_due(house: House, version: int, right: Action) -> None:
    heir = listener(house, version)
    device = house.connect("c", version, will=will(retain=True))
    house.broker.set_authorizer(Rights((None, right, "will")), house.now)
    device.drop()
    assert heir.messages() == []
    assert house.broker.core.retained.count == 0
    assert house.broker.counters.denied_will == 1
    assert [(event.action, event.topic) for event in house.told(AccessDenied)] == [("will", "will")]


def test_who_may_not_receive_a_will_does_not(version: int) -> None:
    house = House(authorizer=Rights(("spy", Action.RECEIVE, "will")))
    spy = house.connect("s", version, principal="spy")
    spy.subscribe("#")
    house.connect("c", version, will=will()).drop()
    assert spy.messages() == []


# Sessions ----------------------------------------------------------------------------------------------


def test_the_end_of_a_session_takes_everything_of_it_along(house: House) -> None:
    device = house.connect("c", expiry=10)
    device.subscribe("a", "$share/g/b", qos=2)
    for qos in (1, 2):
        house.connect().publish("a", qos=qos)
    device.publish("x", qos=2, packet_id=1)
    device.drop()
    house.advance(10)
    core = house.broker.core
    assert (core.tree.count, core.tree.shared_count) == (0, 0)
    assert house.session("c") is None
    assert [event.reason for event in house.told(SessionEnded)] == ["the session expired"]


def test_many_clients_leave_nothing_behind(house: House, version: int) -> None:
    for number in range(100):
        device = house.connect(f"c{number}", version)
        device.subscribe(f"t/{number}", "common")
        device.publish("common", qos=1)
        device.drop() if number % 2 else device.leave()
    core = house.broker.core
    assert core.sessions == {}
    assert core.tree.count == 0
    assert core.counters.clients_connected == 0
    assert len(core.deadlines) == 0


# Shared subscriptions ----------------------------------------------------------------------------------


def worker(house: House, name: str, version: int = 5, **options: object) -> Device:
    device = house.connect(name, version, clean=False, expiry=1000, **options)
    device.subscribe("$share/g/job", qos=2)
    device.take()
    return device


def jobs(house: House, count: int, qos: int = 1) -> list[bytes]:
    device = house.connect()
    payloads = [str(number).encode() for number in range(count)]
    for payload in payloads:
        device.publish("job", payload, qos=qos)
    return payloads


def test_each_job_goes_to_one_worker_and_all_get_their_share(house: House, version: int) -> None:
    workers = [worker(house, name, version) for name in "abc"]
    for one in workers:
        one.acknowledges = True
    payloads = jobs(house, 30)
    found = [one.payloads() for one in workers]
    assert [len(part) for part in found] == [10, 10, 10]
    assert sorted(payload for part in found for payload in part) == sorted(payloads)


def test_unacknowledged_jobs_of_a_worker_that_leaves_go_to_the_others(house: House, version: int) -> None:
    a, b = worker(house, "a", version), worker(house, "b", version)
    payloads = jobs(house, 10)
    mine = a.messages()
    assert len(mine) == 5
    a.ack(PUBACK, mine[0].packet_id)
    a.drop()
    assert sorted([*b.payloads(), mine[0].payload]) == sorted(payloads)
    back = worker(house, "a", version)
    assert back.messages() == []


def test_a_qos_2_job_that_was_begun_stays_with_its_worker(house: House, version: int) -> None:
    a, b = worker(house, "a", version), worker(house, "b", version)
    jobs(house, 2, qos=2)
    [mine] = a.messages()
    b.take()
    a.drop()
    assert b.messages() == []
    back = house.connect("a", version, clean=False, expiry=1000)
    assert [(m.payload, m.dup) for m in back.messages()] == [(mine.payload, 1)]


def test_jobs_wait_for_an_absent_worker_only_when_nobody_else_is_there(house: House, version: int) -> None:
    worker(house, "a", version).drop()
    payloads = jobs(house, 3)
    b = worker(house, "b", version)
    assert b.messages() == []
    back = house.connect("a", version, clean=False, expiry=1000)
    assert back.payloads() == payloads


def test_jobs_of_a_session_that_ends_are_not_lost(house: House) -> None:
    worker(house, "a").drop()
    payloads = jobs(house, 3)
    b = worker(house, "b")
    house.advance(1)
    house.connect("a", clean=True).leave()
    assert b.payloads() == payloads


def test_a_busy_worker_is_passed_over(house: House) -> None:
    a, b = worker(house, "a", receive_maximum=1), worker(house, "b")
    payloads = jobs(house, 10)
    assert len(a.messages()) == 1
    assert len(b.messages()) == len(payloads) - 1


def test_a_worker_without_the_right_gets_no_job(version: int) -> None:
    house = House(authorizer=Rights(("spy", Action.RECEIVE, "job")))
    spy, honest = worker(house, "s", version, principal="spy"), worker(house, "h", version)
    payloads = jobs(house, 4)
    assert spy.messages() == []
    assert honest.payloads() == payloads


def test_a_worker_that_lost_the_right_to_the_group_gets_no_further_job(house: House, version: int) -> None:
    spy, honest = worker(house, "s", version, principal="spy"), worker(house, "h", version)
    jobs(house, 4)
    spy.take(), honest.take()
    house.broker.set_authorizer(Rights(("spy", Action.SHARE, "g")), house.now)
    payloads = jobs(house, 4)
    assert spy.messages() == []
    assert honest.payloads() == payloads


def test_a_job_whose_author_lost_the_right_is_not_handed_over(house: House) -> None:
    a, b = worker(house, "a"), worker(house, "b")
    author = house.connect(principal="author")
    author.publish("job", b"1", qos=1)
    author.publish("job", b"2", qos=1)
    a.take(), b.take()
    house.broker.set_authorizer(Rights(("author", Action.PUBLISH, "job")), house.now)
    a.drop()
    assert b.messages() == []


def test_an_expired_job_is_not_handed_over(house: House) -> None:
    a, b = worker(house, "a", keepalive_s=3000), worker(house, "b", keepalive_s=3000)
    publisher = house.connect()
    for _ in range(2):
        publisher.publish("job", qos=1, message_expiry_interval=10)
    a.take(), b.take()
    house.advance(11)
    a.drop()
    assert b.messages() == []


def test_the_queue_of_an_absent_worker_counts_right_after_a_hand_over() -> None:
    house = House(Limits(max_inflight=1))
    a = worker(house, "a")
    a.subscribe("own", qos=1)
    house.connect().publish("own", b"first", qos=1)
    house.connect().publish("own", b"second", qos=1)
    jobs(house, 3)
    b = worker(house, "b")
    b.acknowledges = True
    a.drop()
    session = house.session("a")
    assert session is not None
    assert session.queue is not None
    assert session.waiting == len(session.queue) == 1
    assert session.queue_bytes == sum(delivery.message.size + ENTRY_BYTES for delivery in session.queue)
    assert len(b.messages()) == 3


def test_a_good_bye_of_a_5_0_client_says_nothing_back(house: House) -> None:
    device = house.connect()
    device.send(Disconnect())
    assert device.closed
    assert device.take() == []


def test_a_will_is_local_to_the_client_that_left_it(house: House) -> None:
    device = house.connect("c", will=will(qos=1), expiry=100)
    device.subscribe(SubscribeFilter("will", 1, no_local=True))
    device.drop()
    assert house.connect("c", clean=False).messages() == []

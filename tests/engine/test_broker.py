"""The verbs that belong to no other file: kick, shutdown, drain, events, the clock."""

import math

import pytest

from bollard.base.events import ClientDisconnected
from bollard.engine.broker import KickReport
from bollard.engine.limits import Limits
from bollard.wire.connect import Disconnect, Will
from bollard.wire.spec import ReasonCode
from support.memory import House, connect

REVOKED = ReasonCode.NOT_AUTHORIZED


def test_a_kick_ends_every_connection_of_a_principal_and_no_other(house: House, version: int) -> None:
    bad = [house.connect(name, version, principal="bad") for name in "ab"]
    good = house.connect("a", version, principal="good")
    report = house.broker.kick("bad", REVOKED, "revoked", house.now)
    house.settle()
    assert report == KickReport(connections=2, sessions=2, wills=0, retained=0)
    assert [device.closed for device in [*bad, good]] == [True, True, False]
    if version == 5:
        assert bad[0].one(Disconnect).code == REVOKED


def test_a_kick_leaves_nothing_to_send_of_what_waited(house: House, version: int) -> None:
    bad = house.connect("a", version, principal="bad")
    bad.subscribe("t")
    bad.reading = False
    house.connect("b", principal="good").publish("t", b"kept for it")
    assert bad.connection.size > 0
    house.broker.kick("bad", REVOKED, "revoked", house.now)
    assert b"kept for it" not in bad.connection.take_output()
    assert bad.connection.cut


def test_a_kick_publishes_no_will_neither_now_nor_later(house: House) -> None:
    heir = house.connect("heir", keepalive_s=3000)
    heir.subscribe("will")
    will = Will("will", b"")
    will.properties.will_delay_interval = 10
    house.connect("a", principal="bad", will=Will("will", b""))
    house.connect("b", principal="bad", will=will, expiry=100).drop()
    report = house.broker.kick("bad", REVOKED, "revoked", house.now)
    house.advance(200)
    assert report.wills == 2
    assert heir.messages() == []


def test_a_kick_keeps_no_deadline_for_the_will_of_who_is_away(house: House) -> None:
    will = Will("will", b"")
    will.properties.will_delay_interval = 10
    before = len(house.broker.core.deadlines)
    house.connect("b", principal="bad", will=will, expiry=100).drop()
    assert len(house.broker.core.deadlines) == before + 2
    house.broker.kick("bad", REVOKED, "revoked", house.now)
    assert len(house.broker.core.deadlines) == before + 1, "its session is kept, its will is not"
    house.broker.kick("bad", REVOKED, "revoked", house.now, purge=True)
    assert len(house.broker.core.deadlines) == before


def test_a_kick_keeps_sessions_unless_it_is_told_to_purge(house: House) -> None:
    device = house.connect("a", principal="bad", expiry=100)
    device.publish("kept", retain=True)
    assert house.broker.kick("bad", REVOKED, "suspended", house.now).sessions == 0
    assert house.session("a", "bad") is not None
    report = house.broker.kick("bad", REVOKED, "revoked", house.now, purge=True)
    assert (report.sessions, report.retained) == (1, 1)
    assert house.session("a", "bad") is None
    assert house.broker.core.retained.count == 0


def test_a_purge_takes_only_the_retained_messages_of_that_principal(house: House) -> None:
    house.connect(principal="bad").publish("bad", retain=True)
    house.connect(principal="good").publish("good", retain=True)
    house.broker.kick("bad", REVOKED, "revoked", house.now, purge=True)
    assert [message.name for message in house.broker.core.retained] == ["good"]


def test_a_kick_of_nobody_reports_nothing(house: House) -> None:
    assert house.broker.kick("nobody", REVOKED, "revoked", house.now) == KickReport()


@pytest.mark.parametrize("purge", [False, True])
def test_a_kick_reaches_a_client_that_waits_for_the_disk(purge: bool) -> None:
    house = House(durable=True)
    house.commits = False
    device = house.open()
    device.send(connect("a", principal="bad", expiry=100))
    house.broker.kick("bad", REVOKED, "revoked", house.now, purge=purge)
    house.commits = True
    house.settle()
    assert device.closed
    assert house.broker.counters.clients_connected == 0


def test_shutdown_says_good_bye_and_keeps_what_is_kept(house: House, version: int) -> None:
    device = house.connect("c", version, clean=False, expiry=100)
    house.broker.shutdown(house.now)
    house.settle()
    assert device.closed
    if version == 5:
        assert device.one(Disconnect).code == ReasonCode.SERVER_SHUTTING_DOWN
    assert house.session("c") is not None


def test_drain_lists_each_connection_once() -> None:
    house = House(Limits(max_outbox_bytes=100))
    device = house.connect()
    device.reading = False
    for _ in range(100):
        device.connection.put(b"\xd0\x00")
    assert house.broker.drain() == [device.connection]
    assert house.broker.drain() == []


def test_a_client_that_overflows_leaves_its_will_to_others_in_the_same_turn() -> None:
    house = House(Limits(max_outbox_bytes=100))
    heir = house.connect()
    heir.subscribe("will")
    device = house.connect(will=Will("will", b"gone"))
    for _ in range(100):
        device.connection.put(b"\xd0\x00")
    house.settle()
    assert heir.payloads() == [b"gone"]


def test_losing_a_connection_twice_is_losing_it_once(house: House, version: int) -> None:
    device = house.connect(version=version)
    for _ in range(3):
        house.broker.lost(device.connection, house.now)
    assert len(house.told(ClientDisconnected)) == 1
    assert house.broker.counters.clients_connected == 0


def test_bytes_for_a_closed_connection_are_ignored(house: House, version: int) -> None:
    device = house.connect(version=version)
    device.drop()
    house.broker.receive(device.connection, b"\xc0\x00", house.now)
    assert device.connection.take_output() == b""


def test_an_idle_broker_wants_no_call(house: House, version: int) -> None:
    assert house.broker.next_deadline() == math.inf
    house.connect(version=version).leave()
    assert house.broker.next_deadline() == math.inf


def test_counters_add_up(house: House, version: int) -> None:
    listener = house.connect(version=version)
    listener.subscribe("#")
    device = house.connect(version=version)
    for _ in range(5):
        device.publish("a", b"12345")
    counters = house.broker.counters
    assert (counters.publish_received, counters.publish_bytes_received) == (5, 25)
    assert (counters.publish_sent, counters.clients_connected, counters.connections_accepted) == (5, 2, 2)
    assert counters.bytes_received > 50
    assert counters.bytes_sent > 50
    assert counters.packets_received == 2 + 1 + 5


def test_a_server_that_redirects_tells_connected_clients_where_to_go() -> None:
    house = House()
    device = house.connect()
    house.broker.core.server_reference = "other.example"
    house.broker.disconnect(device.connection, ReasonCode.SERVER_MOVED, "moved", house.now)
    house.settle()
    assert device.one(Disconnect).properties.server_reference == "other.example"

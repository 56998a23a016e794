"""What a crash leaves on the disk makes the same broker again, with its clients away."""

import pytest

from bollard.engine.limits import Limits
from bollard.wire.connect import Connack, Will
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack, Publish
from bollard.wire.spec import PacketType
from bollard.wire.subscribe import SubscribeFilter
from crash.world import WALL, World
from support.memory import Device, House, connect, publish, subscribe

PUBACK, PUBREC, PUBREL, PUBCOMP = (
    PacketType.PUBACK,
    PacketType.PUBREC,
    PacketType.PUBREL,
    PacketType.PUBCOMP,
)


class Disk:
    """A house whose journal is kept, and moved into the next one."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.world = World(limits)
        self.house = self._house(limits or Limits())

    def _house(self, limits: Limits) -> House:
        house = House(limits, durable=True)
        house.now = self.world.now
        store = self.world.store
        self.restored = house.broker.restore(store, house.now, WALL + house.now)
        committed = house.broker.committed

        def commit() -> bool:
            house._journal()
            batches, house.batches = house.batches, []
            for sequence, batch in batches:
                store.apply(batch)
                committed(sequence, house.now)
            return bool(batches)

        house.commit = commit  # type: ignore[method-assign]
        house.settle()
        return house

    def crash(self, downtime_s: float = 0.0) -> House:
        """The next broker on the same disk, `downtime_s` later."""
        self.world.now = self.house.now + downtime_s
        self.house = self._house(self.house.broker.core.limits)
        self.house.broker.tick(self.house.now)
        self.house.settle()
        return self.house


@pytest.fixture
def disk() -> Disk:
    return Disk()


def kept(house: House, name: str = "k", version: int = 5, expiry: int = 1000, **options: object) -> Device:
    return house.connect(name, version, clean=False, expiry=expiry, **options)


def test_a_session_comes_back_with_its_subscriptions(disk: Disk, version: int) -> None:
    device = kept(disk.house, version=version)
    device.subscribe("a/+", qos=2)
    house = disk.crash()
    device = kept(house, version=version)
    assert device.connack is not None
    assert device.connack.session_present
    house.connect("p", version).publish("a/b", b"x", qos=2)
    assert device.payloads() == [b"x"]


def test_subscription_options_come_back(disk: Disk) -> None:
    device = kept(disk.house)
    device.subscribe(SubscribeFilter("a", 1, no_local=True, retain_as_published=True), identifier=9)
    house = disk.crash()
    device = kept(house)
    device.publish("a", qos=0)
    house.connect("p").publish("a", b"x", qos=1, retain=True)
    [message] = device.messages()
    assert (message.retain, message.qos, message.identifiers) == (1, 1, (9,))


def test_an_unsubscribe_stays_one(disk: Disk) -> None:
    device = kept(disk.house)
    device.subscribe("a", "b")
    device.unsubscribe("a")
    house = disk.crash()
    session = house.session("k")
    assert session is not None
    assert list(session.subscriptions) == ["b"]


def test_what_waits_goes_out_in_its_order(disk: Disk, version: int) -> None:
    device = kept(disk.house, version=version)
    device.subscribe("#", qos=2)
    device.drop()
    publisher = disk.house.connect("p", version)
    for number in range(20):
        publisher.publish("a", b"%d" % number, qos=1 + number % 2)
    house = disk.crash()
    device = house.open(version)
    device.acknowledges = True
    device.send(connect("k", version, clean=False, expiry=1000))
    device.one(Connack)
    house.settle()
    # QoS 2 waits for the disk; the order that is promised is within a topic and QoS. [MQTT5-4.6.0-6]
    payloads = device.payloads()
    for qos in (1, 2):
        numbers = [int(data) for data in payloads if int(data) % 2 == qos - 1]
        assert numbers == list(range(qos - 1, 20, 2))


def test_unfinished_messages_keep_their_identifiers(disk: Disk, version: int) -> None:
    device = kept(disk.house, version=version)
    device.subscribe("#", qos=2)
    publisher = disk.house.connect("p", version)
    for number in range(4):
        publisher.publish("a", b"%d" % number, qos=1 + number % 2)
    sent = [(m.packet_id, m.payload) for m in device.messages()]
    device.ack(PUBACK, sent[0][0])
    house = disk.crash()
    again = kept(house, version=version).messages()
    # 1 and 3 are QoS 2 and wait for the disk before they leave; all keep the order of their queue.
    assert [(m.packet_id, m.payload, m.dup) for m in again] == [(p, data, 1) for p, data in sorted(sent)[1:]]


def test_a_released_message_gets_only_pubrel(disk: Disk, version: int) -> None:
    device = kept(disk.house, version=version)
    device.subscribe("#", qos=2)
    publisher = disk.house.connect("p", version)
    for number in range(3):
        publisher.publish("a", b"%d" % number, qos=2)
    ids = [message.packet_id for message in device.messages()]
    for packet_id in (ids[2], ids[0]):
        device.ack(PUBREC, packet_id)
    house = disk.crash()
    device = kept(house, version=version)
    assert [p.packet_id for p in device.packets if isinstance(p, Ack)] == [ids[2], ids[0]]
    assert [p.packet_id for p in device.packets if isinstance(p, Publish)] == [ids[1]]


def test_a_qos_2_message_that_was_accepted_is_not_taken_again(disk: Disk, version: int) -> None:
    listener = kept(disk.house, "l", version)
    listener.subscribe("#", qos=2)
    listener.drop()
    device = kept(disk.house, "p", version)
    device.publish("a", qos=2, packet_id=7)
    house = disk.crash()
    device = kept(house, "p", version)
    device.send(publish(version, "a", qos=2, packet_id=7, dup=True))
    assert device.acks() == [(PUBREC, 7, 0)]
    device.ack(PUBREL, 7)
    assert device.acks() == [(PUBCOMP, 7, 0)]
    assert len(kept(house, "l", version).messages()) == 1


def test_retained_messages_come_back_and_replaced_ones_do_not(disk: Disk, version: int) -> None:
    publisher = disk.house.connect("p", version)
    publisher.publish("a", b"old", qos=1, retain=True)
    publisher.publish("a", b"new", qos=1, retain=True)
    publisher.publish("b", b"gone", qos=1, retain=True)
    publisher.publish("b", b"", qos=1, retain=True)
    house = disk.crash()
    device = house.connect("r", version)
    device.subscribe("#")
    assert device.payloads() == [b"new"]
    assert disk.world.store.count("messages") == disk.world.store.count("retained") == 1


def test_what_the_server_says_about_itself_is_not_kept(disk: Disk) -> None:
    disk.house.broker.publish("$SYS/broker/uptime", b"1", retain=True, now=disk.house.now)
    disk.house.settle()
    disk.house.broker.publish("$SYS/broker/uptime", b"2", retain=True, now=disk.house.now)
    disk.house.settle()
    assert disk.world.store.count("retained") == 0


def test_a_session_that_expires_during_the_downtime_is_gone(disk: Disk) -> None:
    kept(disk.house, expiry=100).drop()
    assert disk.crash(downtime_s=60).session("k") is not None
    assert disk.crash(downtime_s=60).session("k") is None
    assert disk.world.store.count("sessions") == 0


def test_a_session_that_never_expires_waits_for_ever(disk: Disk) -> None:
    disk = Disk(Limits(session_expiry_max_s=0xFFFF_FFFF))
    kept(disk.house, expiry=0xFFFF_FFFF).drop()
    assert disk.crash(downtime_s=10**8).session("k") is not None


def test_a_clock_that_was_set_back_does_not_prolong_a_session(disk: Disk) -> None:
    kept(disk.house, expiry=100).drop()
    house = House(durable=True)
    house.broker.restore(disk.world.store, house.now, WALL - 10**6)
    session = house.session("k")
    assert session is not None
    assert session.ends_at <= house.now + 100


def test_a_message_expires_during_the_downtime(disk: Disk) -> None:
    device = kept(disk.house)
    device.subscribe("#", qos=1)
    device.drop()
    publisher = disk.house.connect("p")
    publisher.publish("a", b"short", qos=1, message_expiry_interval=10)
    publisher.publish("a", b"long", qos=1, message_expiry_interval=1000)
    publisher.publish("r", b"short", qos=1, retain=True, message_expiry_interval=10)
    house = disk.crash(downtime_s=60)
    [message] = kept(house).messages()
    assert (message.payload, message.expiry) == (b"long", 940)
    assert house.broker.core.retained.get("r") is None


def will(delay_s: int | None = None, *, retain: bool = False) -> Will:
    properties = Properties(will_delay_interval=delay_s, content_type="text/plain")
    return Will("w", b"gone", 1, retain, properties)


def test_the_will_of_a_client_that_was_connected_is_published_at_the_restart(disk: Disk) -> None:
    listener = kept(disk.house, "l")
    listener.subscribe("w", qos=1)
    kept(disk.house, will=will())
    house = disk.crash()
    [message] = kept(house, "l").messages()
    assert message.payload == b"gone"
    assert message.properties().content_type == "text/plain"
    assert kept(disk.crash(), "l").messages()[0].dup == 1, "the will is published once"


def test_a_will_delay_is_counted_through_the_downtime(disk: Disk) -> None:
    listener = kept(disk.house, "l")
    listener.subscribe("w", qos=1)
    kept(disk.house, will=will(100)).drop()
    house = disk.crash(downtime_s=60)
    listener = kept(house, "l")
    assert listener.messages() == []
    house.advance(41)
    assert listener.payloads() == [b"gone"]


def test_a_delayed_will_is_not_published_if_its_client_returns(disk: Disk) -> None:
    listener = kept(disk.house, "l")
    listener.subscribe("w", qos=1)
    kept(disk.house, will=will(100)).drop()
    house = disk.crash(downtime_s=60)
    kept(house)
    listener = kept(house, "l")
    house.advance(100)
    assert listener.messages() == []


def test_a_will_that_a_disconnect_took_away_stays_away(disk: Disk) -> None:
    listener = kept(disk.house, "l")
    listener.subscribe("w", qos=1)
    kept(disk.house, will=will()).leave()
    assert kept(disk.crash(), "l").messages() == []


def test_a_session_that_was_to_end_with_its_connection_is_gone_after_a_crash(disk: Disk) -> None:
    kept(disk.house).drop()
    device = kept(disk.house, expiry=0)
    assert device.connack is not None
    assert device.connack.session_present
    assert disk.crash().session("k") is None
    assert disk.world.store.count("sessions") == 0


def test_a_session_that_a_disconnect_ended_stays_ended(disk: Disk) -> None:
    kept(disk.house).leave(session_expiry_interval=0)
    assert disk.crash().session("k") is None


def test_shared_subscriptions_keep_their_members(disk: Disk) -> None:
    for name in ("one", "two"):
        kept(disk.house, name).subscribe("$share/g/a", qos=1)
    house = disk.crash()
    members = [kept(house, name) for name in ("one", "two")]
    publisher = house.connect("p")
    for _ in range(6):
        publisher.publish("a", qos=1)
    assert [len(member.messages()) for member in members] == [3, 3]


def test_work_of_a_shared_subscription_still_moves_when_its_session_ends(disk: Disk) -> None:
    first = kept(disk.house, "one")
    first.subscribe("$share/g/a", qos=1)
    first.drop()
    disk.house.connect("p").publish("a", b"job", qos=1)
    second = kept(disk.house, "two")
    second.subscribe("$share/g/a", qos=1)
    house = disk.crash()
    second = kept(house, "two")
    house.connect("one", clean=True).drop()
    assert second.payloads() == [b"job"]


def test_rights_are_asked_again_for_what_waited(disk: Disk) -> None:
    from bollard.base.types import Action
    from support.rights import Rights

    device = kept(disk.house)
    device.subscribe("#", qos=1)
    device.drop()
    disk.house.connect("p").publish("secret", qos=1)
    house = disk.crash()
    house.broker.set_authorizer(Rights((None, Action.RECEIVE, "secret")), house.now)
    assert kept(house).messages() == []


def test_numbers_go_on_above_those_on_the_disk(disk: Disk) -> None:
    for round_ in range(3):
        house = disk.crash()
        device = kept(house, f"k{round_}")
        device.subscribe("#", qos=1)
        device.drop()
        publisher = house.connect("p")
        publisher.publish("a", b"%d" % round_, qos=1)
    house = disk.crash()
    assert kept(house, "k0").payloads() == [b"0", b"1", b"2"]
    assert kept(house, "k2").payloads() == [b"2"]


def test_rows_that_contradict_each_other_are_left_out_and_taken_off_the_disk(disk: Disk) -> None:
    device = kept(disk.house)
    device.subscribe("#", qos=1)
    device.drop()
    publisher = disk.house.connect("p")
    for number in range(3):
        publisher.publish("a", b"%d" % number, qos=1)
    database = disk.world.database
    database.execute("DELETE FROM messages WHERE number = 2")
    database.execute("INSERT INTO subscriptions VALUES (99, 'x', 0, 0, 0, 0)")
    database.execute("INSERT INTO received VALUES (99, 1)")
    database.execute("INSERT INTO retained VALUES (77)")
    database.execute("INSERT INTO messages VALUES (50, 'n', x'', 0, '', '', x'', 0.0)")
    house = disk.crash()
    assert disk.restored.left_out == 5
    assert kept(house).payloads() == [b"0", b"2"]
    disk.crash()
    assert disk.restored.left_out == 0


def test_a_kick_with_purge_leaves_nothing_on_the_disk(disk: Disk) -> None:
    device = kept(disk.house)
    device.subscribe("#", qos=1)
    device.publish("a", qos=1, retain=True)
    disk.house.broker.kick("anonymous", 0x98, "revoked", disk.house.now, purge=True)
    disk.house.settle()
    store = disk.world.store
    assert not any(
        store.count(t) for t in ("sessions", "subscriptions", "messages", "deliveries", "retained")
    )


def test_a_clean_start_wipes_the_disk_before_it_is_told(disk: Disk) -> None:
    device = kept(disk.house)
    device.subscribe("#", qos=1)
    device.drop()
    disk.house.connect("p").publish("a", qos=1)
    disk.house.connect("k", clean=True)
    disk.crash()
    assert disk.restored.sessions == 0
    assert disk.world.store.count("messages") == 0


def test_nothing_but_connect_is_sent_to_who_subscribes_after_a_restart(disk: Disk) -> None:
    device = kept(disk.house)
    device.send(subscribe("a", qos=1))
    house = disk.crash()
    device = kept(house)
    assert device.take() == []

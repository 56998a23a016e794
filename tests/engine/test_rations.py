"""Limits of policy in the engine: on every way that a message, a subscription or a connection can take."""

import pytest

from bollard.base.allowance import Allowance, Rate
from bollard.base.events import LimitReached
from bollard.base.types import Action, Decision
from bollard.engine.rations import MAX_REFUSED
from bollard.wire.connect import Connack, Disconnect, Will
from bollard.wire.properties import Properties
from bollard.wire.spec import PacketType, ReasonCode
from bollard.wire.subscribe import SubscribeFilter
from support.memory import Device, House, connect, subscribe
from support.rights import Rights


class Rationed(Rights):
    """Allows everything, and limits one principal, "plug"."""

    def __init__(self, **bounds: object) -> None:
        super().__init__()
        self.limits = Allowance(**bounds)  # type: ignore[arg-type]

    def allowance(self, principal: str) -> Allowance | None:
        return self.limits if principal == "plug" else None


def plug(house: House, version: int = 5, client_id: str = "p", **options: object) -> Device:
    return house.connect(client_id, version, principal="plug", **options)


def reader(house: House) -> Device:
    device = house.connect("reader")
    device.subscribe("#", qos=2)
    return device


def reached(house: House) -> list[tuple[str, str]]:
    return [(event.limit, event.principal) for event in house.told(LimitReached)]


@pytest.mark.parametrize("filter", ["a/#", "$share/group/a/#"])
def test_a_limit_of_qos_holds_for_subscriptions_that_stand_and_goes_as_it_came(filter: str) -> None:
    house = House(authorizer=Rights())
    device, other = plug(house), house.connect("other")
    device.subscribe(filter, qos=2)
    other.publish("a/b", b"0", qos=2)
    bounds: dict[str, object]
    for bounds in ({"max_qos": 0}, {"max_qos": 1}, {"max_payload": 9}, {"max_qos": 0}):
        house.broker.set_authorizer(Rationed(**bounds), house.now)
        other.publish("a/b", b"1", qos=2)
    house.broker.set_authorizer(Rights(), house.now)
    other.publish("a/b", b"2", qos=2)
    assert [message.qos for message in device.messages()] == [2, 0, 1, 2, 0, 2]


def test_a_subscription_made_under_a_limit_keeps_what_it_was_told() -> None:
    house = House(authorizer=Rationed(max_qos=1))
    device, other = plug(house), house.connect("other")
    device.subscribe("a", qos=2)
    house.broker.set_authorizer(Rights(), house.now)
    other.publish("a", b"1", qos=2)
    assert [message.qos for message in device.messages()] == [1]


def test_retained_messages_that_are_owed_come_at_the_qos_that_is_allowed_now() -> None:
    house = House(authorizer=Rights())
    other = house.connect("other")
    for n in range(3):
        other.publish(f"a/{n}", b"x" * 60_000, qos=1, retain=True)
    device = plug(house)
    device.reading = False
    device.feed(subscribe("a/#", qos=1, packet_id=1))
    house.settle()
    house.broker.set_authorizer(Rationed(max_qos=0), house.now)
    device.read_again()
    assert [message.qos for message in device.messages()] == [1, 1, 0]  # two were sent before


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_payload_above_the_limit_goes_nowhere(version: int, qos: int) -> None:
    house = House(authorizer=Rationed(max_payload=4))
    device, other = plug(house, version), reader(house)
    device.publish("a", b"12345", qos=qos, retain=True)
    kind = PacketType.PUBACK if qos == 1 else PacketType.PUBREC
    code = ReasonCode.QUOTA_EXCEEDED if version == 5 else 0
    assert device.acks() == ([(kind, 1, code)] if qos else [])
    assert other.messages() == []
    assert house.broker.core.retained.get("a") is None
    device.publish("a", b"1234", qos=qos)
    assert other.payloads() == [b"1234"]
    assert reached(house) == [("policy.max_payload", "plug")]
    assert house.broker.counters.denied_publish == 1


def test_properties_that_are_passed_on_count_as_payload() -> None:
    house = House(authorizer=Rationed(max_payload=40))
    device, other = plug(house), reader(house)
    device.publish("a", b"1234", user_properties=(("k", "v" * 40),))
    assert other.messages() == []
    device.publish("a", b"1234", user_properties=(("k", "v"),))
    assert other.payloads() == [b"1234"]


def test_a_will_is_judged_with_its_properties() -> None:
    house = House(authorizer=Rationed(max_payload=40))
    will = Will("w", b"1234", 0, False, Properties(user_properties=(("k", "v" * 40),)))
    device = house.open()
    device.send(connect("p", 5, principal="plug", will=will))
    assert device.one(Connack).code == ReasonCode.PACKET_TOO_LARGE


def test_whoever_leaves_and_comes_back_has_no_new_burst() -> None:
    house = House(authorizer=Rationed(rate=Rate(2, 3600)))
    other = reader(house)
    for _ in range(2):
        device = plug(house)
        device.publish("a")
        device.publish("a")
        device.send(Disconnect())
        house.broker.set_authorizer(Rationed(rate=Rate(2, 3600)), house.now)
    assert len(other.messages()) == 2


def test_a_payload_is_judged_behind_an_alias_too() -> None:
    house = House(authorizer=Rationed(max_payload=4))
    device, other = plug(house), reader(house)
    device.publish("a", b"1", topic_alias=1)
    device.publish("", b"12345", topic_alias=1)
    assert other.payloads() == [b"1"]


def test_a_qos_above_the_limit_is_told_at_connect_and_ends_a_connection_of_5() -> None:
    house = House(authorizer=Rationed(max_qos=1))
    device, other = plug(house), reader(house)
    assert device.connack is not None
    assert device.connack.properties.maximum_qos == 1
    device.publish("a", qos=2)
    assert device.one(Disconnect).code == ReasonCode.QOS_NOT_SUPPORTED
    assert other.messages() == []
    assert house.connect("free").connack.properties.maximum_qos is None  # type: ignore[union-attr]


def test_a_qos_above_the_limit_is_acknowledged_and_dropped_in_3_1_1() -> None:
    house = House(authorizer=Rationed(max_qos=0))
    device, other = plug(house, 4), reader(house)
    device.publish("a", qos=1)
    assert device.acks() == [(PacketType.PUBACK, 1, 0)]
    assert other.messages() == []
    assert reached(house) == [("policy.max_qos", "plug")]


def test_a_subscription_gets_no_more_than_the_qos_of_its_principal(version: int) -> None:
    house = House(authorizer=Rationed(max_qos=1))
    assert plug(house, version).subscribe("a", qos=2) == (1,)


def test_a_rate_lets_so_many_through_at_once_and_so_many_each_second(version: int) -> None:
    house = House(authorizer=Rationed(rate=Rate(2, 1)))
    device, other = plug(house, version), reader(house)
    for _ in range(5):
        device.publish("a", qos=1)
    assert len(other.messages()) == 2
    code = ReasonCode.QUOTA_EXCEEDED if version == 5 else 0
    assert [ack[2] for ack in device.acks()] == [0, 0, code, code, code]
    house.advance(0.5)
    device.publish("a"), device.publish("a")
    assert len(other.messages()) == 1
    house.advance(60)
    for _ in range(5):
        device.publish("a")
    assert len(other.messages()) == 2


def test_connections_of_one_principal_share_its_rate_and_coming_back_does_not_renew_it() -> None:
    house = House(authorizer=Rationed(rate=Rate(2, 3600)))
    first, second, other = plug(house, client_id="1"), plug(house, client_id="2"), reader(house)
    first.publish("a"), second.publish("a"), first.publish("a")
    first.leave()
    plug(house, client_id="1").publish("a")
    assert len(other.messages()) == 2


def test_a_repeated_message_of_qos_2_is_no_second_one() -> None:
    house = House(authorizer=Rationed(rate=Rate(1, 3600)))
    device = plug(house)
    device.publish("a", qos=2, packet_id=7)
    device.publish("a", qos=2, packet_id=7, dup=True)
    assert [ack[2] for ack in device.acks()] == [ReasonCode.NO_MATCHING_SUBSCRIBERS, 0]


def test_a_flood_far_above_the_rate_costs_the_connection(version: int) -> None:
    house = House(authorizer=Rationed(rate=Rate(1, 1)))
    device = plug(house, version)
    for _ in range(MAX_REFUSED + 12):
        device.publish("a")
    assert device.closed
    if version == 5:
        assert device.one(Disconnect).code == ReasonCode.MESSAGE_RATE_TOO_HIGH
    assert len(reached(house)) < 30  # the log is not flooded


def test_subscriptions_are_counted_over_all_sessions(version: int) -> None:
    house = House(authorizer=Rationed(max_subscriptions=2))
    first, second = plug(house, version, "1"), plug(house, version, "2")
    refused = ReasonCode.QUOTA_EXCEEDED if version == 5 else 0x80
    assert first.subscribe("a") == (0,)
    assert second.subscribe("a", "b", "c") == (0, refused, refused)
    assert second.subscribe(SubscribeFilter("a", 1)) == (1,)
    assert first.unsubscribe("a") == ((0,) if version == 5 else ())
    assert second.subscribe("b") == (0,)
    assert set(reached(house)) == {("policy.max_subscriptions", "plug")}


def test_a_connection_too_many_is_refused_and_a_takeover_is_not(version: int) -> None:
    house = House(authorizer=Rationed(max_connections=1))
    first = plug(house, version, "1")
    late = house.open(version)
    late.send(connect("2", version, principal="plug"))
    assert late.one(Connack).code == (
        ReasonCode.QUOTA_EXCEEDED if version == 5 else ReasonCode.SERVER_UNAVAILABLE
    )
    assert late.closed
    plug(house, version, "1")
    assert first.closed
    assert reached(house) == [("policy.max_connections", "plug")]


def test_fewer_connections_end_the_latest_at_once() -> None:
    house = House(authorizer=Rights())
    first = plug(house, client_id="1")
    house.advance(1)
    second = plug(house, client_id="2")
    house.broker.set_authorizer(Rationed(max_connections=1), house.now)
    house.settle()
    assert (first.closed, second.closed) == (False, True)
    assert second.one(Disconnect).code == ReasonCode.QUOTA_EXCEEDED


def test_a_change_of_limits_reaches_connections_that_there_are(version: int) -> None:
    house = House(authorizer=Rights())
    device, other = plug(house, version), reader(house)
    device.publish("a", b"12345")
    house.broker.set_authorizer(Rationed(max_payload=4), house.now)
    device.publish("a", b"12345")
    assert other.payloads() == [b"12345"]
    house.broker.set_authorizer(Rights(), house.now)
    device.publish("a", b"12345")
    assert other.payloads() == [b"12345"]


def test_a_change_of_rights_does_not_renew_a_rate() -> None:
    house = House(authorizer=Rationed(rate=Rate(1, 3600)))
    device, other = plug(house), reader(house)
    device.publish("a")
    house.broker.set_authorizer(Rationed(rate=Rate(1, 3600), max_payload=9), house.now)
    device.publish("a")
    assert len(other.messages()) == 1


@pytest.mark.parametrize(
    ("bounds", "code"),
    [({"max_qos": 0}, ReasonCode.QOS_NOT_SUPPORTED), ({"max_payload": 3}, ReasonCode.PACKET_TOO_LARGE)],
)
def test_a_will_above_a_limit_refuses_its_client(
    version: int, bounds: dict[str, object], code: ReasonCode
) -> None:
    house = House(authorizer=Rationed(**bounds))
    device = house.open(version)
    will = Will("gone", b"1234", 1, False, Properties())
    device.send(connect("p", version, principal="plug", will=will))
    assert device.one(Connack).code == (code if version == 5 else ReasonCode.NOT_AUTHORIZED)
    assert reached(house) == [("policy.will", "plug")]


def test_a_will_is_judged_again_when_it_is_due() -> None:
    house = House(authorizer=Rights())
    device, other = plug(house, will=Will("gone", b"1234", 1, False, Properties())), reader(house)
    house.broker.set_authorizer(Rationed(max_payload=3), house.now)
    device.drop()
    assert other.messages() == []
    assert house.broker.counters.denied_will == 1


def test_a_will_goes_out_although_the_rate_is_used_up_but_not_one_after_the_other() -> None:
    house = House(authorizer=Rationed(rate=Rate(1, 3600)))
    other = reader(house)
    for _ in range(4):
        device = plug(house, will=Will("gone", b"1", 0, False, Properties()))
        device.publish("a")
        device.drop()
    assert [message.topic for message in other.messages()] == [b"a", b"gone"]


class Failing(Rights):
    def allowance(self, principal: str) -> Allowance | None:
        raise RuntimeError


def test_an_authorizer_that_fails_to_tell_limits_allows_next_to_nothing() -> None:
    house = House(authorizer=Failing())
    device, other = plug(house), reader(house)
    assert other.closed is False
    device.publish("a", b"1")
    assert device.subscribe("b") == (ReasonCode.QUOTA_EXCEEDED,)


def test_rations_are_kept_for_those_who_have_sessions() -> None:
    house = House(authorizer=Rationed(rate=Rate(1, 1)))
    plug(house).leave()
    assert list(house.broker.core.rations) == ["plug"]
    house.broker.set_authorizer(Rationed(rate=Rate(1, 1)), house.now)
    assert house.broker.core.rations == {}


def test_a_refusal_that_goes_on_is_told_of_every_now_and_then() -> None:
    house = House(authorizer=Rationed(max_payload=0))
    device = plug(house, keepalive_s=600)
    for _ in range(40):
        device.publish("a", b"1")
    told = len(reached(house))
    assert told == 17  # the first sixteen, and the thirty-second
    house.advance(10)
    device.publish("a", b"1")
    assert len(reached(house)) == told + 1
    assert sum(1 + (event.more or 0) for event in house.told(LimitReached)) == 41


def test_a_limit_of_the_policy_widens_none_of_the_server() -> None:
    from bollard.engine.limits import Limits

    house = House(Limits(maximum_qos=0), Rationed(max_qos=2))
    assert plug(house).subscribe("a", qos=2) == (0,)


def test_the_decision_is_asked_first() -> None:
    class Denied(Rationed):
        def decide(self, principal: str, action: Action, topic: str) -> Decision:
            return Decision()

    house = House(authorizer=Denied(max_payload=0))
    device = plug(house)
    device.publish("a", b"1", qos=1)
    assert device.acks() == [(PacketType.PUBACK, 1, ReasonCode.NOT_AUTHORIZED)]
    assert reached(house) == []

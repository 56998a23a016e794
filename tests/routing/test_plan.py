"""Plans: who receives a topic, worked out again whenever rights or subscriptions change."""

from bollard.base.types import Action
from bollard.engine.publish import plan_for
from bollard.routing.plan import EVERYONE, OTHERS, PUBLISHER
from bollard.wire.subscribe import SubscribeFilter
from support.memory import House
from support.rights import Rights


def test_receivers_of_a_kind_share_a_branch(house: House) -> None:
    for qos in (0, 1, 1, 2, 2, 2):
        house.connect().subscribe("a", qos=qos)
    plan = plan_for(house.broker.core, "a")
    assert sorted((branch.qos, len(branch.sessions)) for branch in plan.branches) == [(0, 1), (1, 2), (2, 3)]


def test_a_plan_is_kept_until_a_subscription_that_concerns_it_changes(house: House) -> None:
    device = house.connect()
    device.subscribe("a")
    plan = plan_for(house.broker.core, "a")
    assert plan_for(house.broker.core, "a") is plan
    device.subscribe("b")
    assert plan_for(house.broker.core, "a") is plan
    device.subscribe("a", qos=1)
    assert plan_for(house.broker.core, "a") is not plan


def test_a_plan_is_worked_out_again_when_the_policy_changes(house: House) -> None:
    house.connect().subscribe("a")
    assert plan_for(house.broker.core, "a").branches
    house.broker.set_authorizer(Rights((None, Action.RECEIVE, "a")), house.now)
    assert not plan_for(house.broker.core, "a").branches


def test_no_local_divides_a_session_by_who_publishes(house: House) -> None:
    device = house.connect()
    device.subscribe(SubscribeFilter("a", no_local=True), identifier=1)
    device.subscribe(SubscribeFilter("+", 1), identifier=2)
    branches = {b.audience: (b.qos, b.identifiers) for b in plan_for(house.broker.core, "a").branches}
    assert branches == {OTHERS: (1, (1, 2)), PUBLISHER: (1, (2,))}
    assert EVERYONE not in branches


def test_plans_are_bounded_in_number(house: House) -> None:
    core = house.broker.core
    for number in range(60_000):
        plan_for(core, f"t/{number}")
    assert 0 < len(core.plans) <= 50_000

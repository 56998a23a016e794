"""What is counted for each principal."""

import pytest

from bollard.base.types import Action
from bollard.engine import tallies
from bollard.engine.tallies import Tallies, Tally, busiest
from support.memory import House
from support.rights import Rights


def tally(house: House, principal: str) -> dict[str, int]:
    core = house.broker.core
    totals = core.tallies.of_all(house.broker.connections())
    return {name: count for name, count in totals.get(principal, Tally()).as_dict().items() if count}


def test_messages_are_counted_both_ways_while_connected_and_after(version: int) -> None:
    house = House()
    plug, reader = house.connect("p", version, principal="plug"), house.connect("r", principal="app")
    reader.subscribe("#", qos=1)
    plug.publish("a", b"123", qos=1)
    plug.publish("a", b"12")
    for _ in range(2):
        assert tally(house, "plug") == {"received": 2, "received_bytes": 5}
        assert tally(house, "app")["sent"] == 2
        plug.drop()
        reader.drop()
    house.connect("p", version, principal="plug").publish("a", b"1")
    assert tally(house, "plug") == {"received": 3, "received_bytes": 6}


def test_denials_are_counted_by_kind(version: int) -> None:
    denials = (
        (Action.PUBLISH, "p"),
        (Action.RETAIN, "r"),
        (Action.SUBSCRIBE, "s"),
        (Action.RECEIVE, "hidden"),
    )
    house = House(authorizer=Rights(*[("plug", action, topic) for action, topic in denials]))
    plug = house.connect("p", version, principal="plug")
    plug.publish("p"), plug.publish("p", qos=1), plug.publish("r", retain=True)
    plug.subscribe("s", "hidden")
    house.connect("o", principal="other").publish("hidden")
    found = tally(house, "plug")
    assert (found["denied_publish"], found["denied_subscribe"], found["denied_receive"]) == (3, 1, 1)
    assert tally(house, "other") == {"received": 1, "received_bytes": 1}


def test_there_is_an_end_to_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "MAX_TALLIES", 2)
    known = Tallies()
    for name in ("a", "b", "c", "a"):
        known.refuse(name, Action.WILL)
    assert {name: tally.denied for name, tally in known.of_all([]).items()} == {"a": 2, "b": 1}


def test_those_with_the_most_denials_come_first() -> None:
    quiet, busy, refused = Tally(), Tally(), Tally()
    busy.received = 5
    refused.denied_will = 1
    totals = {"quiet": quiet, "busy": busy, "refused": refused}
    assert list(busiest(totals, 2)) == ["refused", "busy"]

"""What an authorizer's tap hears: everything that clients do with their rights, allowed or not."""

from typing import Any

import pytest

from bollard.base.types import Action
from bollard.wire.connect import Will
from support.memory import House
from support.rights import Rights


class Listening(Rights):
    """An authorizer with a tap that writes down what it hears."""

    def __init__(self, *denials: Any) -> None:
        super().__init__(*denials)
        self.heard: list[tuple[object, ...]] = []
        self.tap = self

    def published(self, *facts: object) -> None:
        self.heard.append(("published", *facts))

    def subscribed(self, *facts: object) -> None:
        self.heard.append(("subscribed", *facts))

    def left_will(self, *facts: object) -> None:
        self.heard.append(("will", *facts))


@pytest.mark.parametrize("version", [4, 5])
def test_each_message_is_heard_with_its_size_and_flags(version: int) -> None:
    rights = Listening(("plug", Action.PUBLISH, "b"))
    device = House(authorizer=rights).connect("c", version, principal="plug")
    device.publish("a", b"12345")
    device.publish("a", b"", qos=1, retain=True)
    device.publish("b", b"1", qos=2)
    assert rights.heard == [
        ("published", "plug", "a", 0, False, 5, True),
        ("published", "plug", "a", 1, True, 0, True),
        ("published", "plug", "b", 2, False, 1, False),
    ]


def test_subscriptions_are_heard_without_their_group_in_the_filter() -> None:
    rights = Listening(("plug", Action.SUBSCRIBE, "no"))
    device = House(authorizer=rights).connect("c", principal="plug")
    device.subscribe("a/#", "$share/workers/b", "no", qos=1)
    assert rights.heard == [
        ("subscribed", "plug", "a/#", "", 1, True),
        ("subscribed", "plug", "b", "workers", 1, True),
        ("subscribed", "plug", "no", "", 1, False),
    ]


def test_wills_are_heard_when_they_are_left() -> None:
    rights = Listening()
    House(authorizer=rights).connect("c", principal="plug", will=Will("gone", b"123", qos=1, retain=True))
    assert rights.heard == [("will", "plug", "gone", 1, True, 3, True)]


def test_an_authorizer_without_a_tap_ends_it() -> None:
    rights = Listening()
    house = House(authorizer=rights)
    device = house.connect("c", principal="plug")
    house.broker.set_authorizer(Rights(), house.now)
    device.publish("a")
    assert rights.heard == []
    house.broker.set_authorizer(rights, house.now)
    device.publish("a")
    assert len(rights.heard) == 1

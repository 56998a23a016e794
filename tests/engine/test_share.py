"""Which member of a shared subscription gets a message: each in turn, the fittest first, nobody without the right."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.base.types import Action
from bollard.engine.limits import Limits
from bollard.wire.publish import encode_publish
from support.memory import Device, House
from support.rights import Rights

#: What it costs for each member to work a group out anew, in the measure of `intake`.
SORT_COST = 10

#: What keeps a member from taking a message at once, worst first; and how each ranks for QoS 1.
STATES = ["denied", "away", "stuffed", "ready"]


def worker(house: House, name: str, receive_maximum: int | None = None) -> Device:
    device = house.connect(name, principal=name, clean=False, expiry=1000, receive_maximum=receive_maximum)
    device.subscribe("$share/g/a", qos=1)
    return device


def taken(workers: list[Device]) -> list[int]:
    return [len(each.payloads()) for each in workers]


@given(st.integers(1, 8), st.integers(1, 5), st.integers(0, 1))
def test_members_that_are_equally_fit_get_equal_shares(members: int, rounds: int, qos: int) -> None:
    house = House()
    workers = [worker(house, f"w{number}") for number in range(members)]
    author = house.connect("author")
    for _ in range(members * rounds):
        author.publish("a", b"x", qos=qos)
    assert taken(workers) == [rounds] * members


def make(house: House, name: str, state: str) -> Device:
    """A member in `state`; one that is stuffed has an open exchange and room for no second."""
    device = worker(house, name, receive_maximum=1 if state == "stuffed" else None)
    if state == "stuffed":
        device.subscribe(f"own/{name}", qos=1)
        house.connect("stuffer").publish(f"own/{name}", b"stuffing", qos=1)
        device.payloads()
    elif state == "away":
        device.drop()
    return device


@given(st.lists(st.sampled_from(STATES), max_size=6), st.integers(0, 5))
def test_nobody_gets_a_message_before_a_fitter_member(states: list[str], turn: int) -> None:
    house = House()
    workers = [make(house, f"{state}{number}", state) for number, state in enumerate(states)]
    denied = [(f"{state}{n}", Action.RECEIVE, "a") for n, state in enumerate(states) if state == "denied"]
    house.broker.set_authorizer(Rights(*denied), house.now)
    group = house.broker.core.tree.group("g", "a")
    if group is not None:
        group.turn = turn
    house.connect("author").publish("a", b"x", qos=1)
    sessions = [house.broker.core.find(f"{state}{n}", f"{state}{n}") for n, state in enumerate(states)]
    got = [
        state
        for state, device, session in zip(states, workers, sessions, strict=True)
        if device.payloads() or (session is not None and session.waiting)
    ]
    fittest = max(states, key=STATES.index, default="denied")
    assert got == ([] if fittest == "denied" else [fittest])


def test_members_without_the_right_between_others_do_not_spoil_the_turn() -> None:
    house = House(authorizer=Rights(("w1", Action.RECEIVE, "a")))
    workers = [worker(house, f"w{number}") for number in range(3)]
    author = house.connect("author")
    for _ in range(4):
        author.publish("a", b"x", qos=1)
    assert taken(workers) == [2, 0, 2]


def test_a_right_that_ends_ends_the_members_share_at_once() -> None:
    house = House()
    workers = [worker(house, f"w{number}") for number in range(2)]
    author = house.connect("author")
    author.publish("a", b"x", qos=1)
    author.publish("a", b"x", qos=1)
    assert taken(workers) == [1, 1]
    house.broker.set_authorizer(Rights(("w0", Action.SHARE, "g")), house.now)
    author.publish("a", b"x", qos=1)
    author.publish("a", b"x", qos=1)
    assert taken(workers) == [0, 2]


def test_more_principals_than_are_remembered_still_have_their_rights_each() -> None:
    names = [f"w{number}" for number in range(130)]
    house = House(
        Limits(max_sessions=1000), authorizer=Rights(*[(n, Action.RECEIVE, "a") for n in names[::2]])
    )
    workers = [worker(house, name) for name in names]
    author = house.connect("author")
    for _ in range(130):
        author.publish("a", b"x", qos=0)
    assert taken(workers) == [0, 2] * 65


def test_a_group_whose_members_are_away_keeps_nothing_of_qos_0() -> None:
    house = House()
    worker(house, "w").drop()
    author = house.connect("author")
    author.publish("a", b"0", qos=0)
    author.publish("a", b"1", qos=1)
    assert house.connect("w", principal="w", clean=False, expiry=1000).payloads() == [b"1"]


def test_those_who_are_away_keep_messages_in_turn() -> None:
    house = House()
    for number in range(3):
        worker(house, f"w{number}").drop()
    author = house.connect("author")
    for _ in range(6):
        author.publish("a", b"x", qos=1)
    assert Counter(
        session.waiting for session in house.broker.sessions() if session.principal != "anonymous"
    ) == {2: 3}


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1])
def test_a_packet_goes_to_its_member_as_it_came(version: int, qos: int) -> None:
    house = House()
    member = house.connect("w", version=version)
    member.subscribe("$share/g/a", qos=qos)
    author = house.connect("author", version=version)
    packet = encode_publish(b"a", b"payload", qos=qos, packet_id=7 if qos else 0, version=version)
    author.send(packet)
    (received,) = member.messages()
    assert (received.topic, received.payload, received.qos) == (b"a", b"payload", qos)


def test_identifier_and_retain_as_published_of_the_member_count() -> None:
    house = House()
    member = house.connect("w")
    member.subscribe("$share/g/a", qos=0, identifier=9)
    house.connect("author").publish("a", b"x", qos=1)
    (received,) = member.messages()
    assert (received.qos, received.identifiers) == (0, (9,))


def test_members_that_are_sorted_out_anew_are_charged_and_others_are_not() -> None:
    """Attack: a SUBSCRIBE to a large group before each message: its sorting was free, and a turn took a
    hundred times what it may."""
    house = House()
    workers = [worker(house, f"w{number}") for number in range(100)]
    author = house.connect("author")

    def spent() -> int:
        author.publish("a", b"x", qos=0)
        return house.broker.core.spent

    spent()
    usual = spent()
    workers[0].subscribe("$share/g/a", qos=1)
    assert spent() >= usual + 100 * SORT_COST
    assert spent() == usual

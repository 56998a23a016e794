"""Counting: totals, addresses, strangers, deadlines."""

import gc
import math
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from bollard.net import gate as gate_module
from bollard.net.gate import Gate, TransportLimits, address_key


def stream(address: str = "192.0.2.1") -> Any:
    return SimpleNamespaceWithIdentity(address=address)


class SimpleNamespaceWithIdentity(SimpleNamespace):
    __hash__ = object.__hash__
    __eq__ = object.__eq__


def client(gate: Gate, address: str = "192.0.2.1", now: float = 0) -> Any:
    """One whose CONNECT was accepted."""
    made = stream(address)
    assert gate.enter(made, now) == ""
    gate.established(made)
    gate.authenticated(made)
    return made


def test_the_total_is_bounded() -> None:
    gate = Gate(TransportLimits(max_connections=2))
    for number in range(2):
        client(gate, f"192.0.2.{number}")
    assert gate.enter(stream(), 0) == "max_connections"


def test_strangers_together_may_send_so_much_and_then_whoever_sent_most_goes() -> None:
    gate = Gate(TransportLimits(max_handshake_bytes=1000))
    crowd = [stream(f"192.0.2.{number}") for number in range(10)]
    for each in crowd:
        assert gate.enter(each, 0) == ""
    assert all(gate.bears(each, 200) for each in crowd[:5])
    assert not gate.bears(crowd[5], 200)
    assert gate.bears(crowd[6], 50)
    for each in crowd[:6]:
        gate.leave(each)
    assert gate.bears(crowd[7], 900)


def test_whoever_was_let_in_is_not_counted_among_strangers() -> None:
    gate = Gate(TransportLimits(max_handshake_bytes=1000))
    known, new = client(gate), stream()
    assert gate.enter(new, 0) == ""
    assert gate.bears(known, 10**9)
    assert gate.bears(new, 1000)
    gate.authenticated(new)
    assert gate.bears(stream(), 10**9)


def test_when_every_place_is_taken_the_oldest_stranger_gives_way() -> None:
    gate = Gate(TransportLimits(max_connections=3))
    client(gate)
    first, second, third = stream(), stream(), stream()
    for newcomer in (first, second):
        assert gate.enter(newcomer, 0) == ""
        assert gate.surplus() is None
    assert gate.enter(third, 0) == ""
    assert gate.surplus() is first
    gate.leave(first)
    assert gate.surplus() is None


def test_those_that_give_way_are_few_at_a_time() -> None:
    gate = Gate(TransportLimits(max_connections=1))
    came = [gate.enter(stream(), 0) for _ in range(gate_module.SPARE + 2)]
    assert came == [""] * (gate_module.SPARE + 1) + ["max_connections"]
    assert gate_module.SPARE < gate_module.RESERVED_FILES


def test_the_total_leaves_files_for_the_rest_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module.resource, "getrlimit", lambda _: (gate_module.RESERVED_FILES + 1, 0))
    gate = Gate(TransportLimits())
    client(gate)
    assert gate.enter(stream(), 0) == "max_connections"


def test_each_address_is_bounded_for_itself_and_gets_its_place_back() -> None:
    gate = Gate(TransportLimits(max_connections_per_address=1))
    first = stream()
    assert gate.enter(first, 0) == ""
    assert gate.enter(stream(), 0) == "max_connections_per_address"
    assert gate.enter(stream("192.0.2.2"), 0) == ""
    gate.leave(first)
    assert gate.enter(stream(), 0) == ""
    assert gate.total == 2


def test_an_ipv6_network_counts_as_one_address() -> None:
    gate = Gate(TransportLimits(max_connections_per_address=1))
    assert gate.enter(stream("2001:db8::1"), 0) == ""
    assert gate.enter(stream("2001:db8::ffff:2"), 0) == "max_connections_per_address"
    assert gate.enter(stream("2001:db8:0:1::1"), 0) == ""


def test_a_unix_socket_has_no_addresses_to_count() -> None:
    gate = Gate(TransportLimits(max_connections_per_address=1))
    assert gate.enter(stream("unix"), 0) == ""
    assert gate.enter(stream("unix"), 0) == ""


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unix", "unix"),
        ("fe80::1%eth0", "fe80::"),
        ("fe80::1%eth0.100", "fe80::"),
        ("::1", "::"),
        ("::ffff:c000:201", "::"),
    ],
)
def test_what_counts_as_one_address(address: str, key: str) -> None:
    assert address_key(address) == key


def test_too_many_strangers_name_the_oldest() -> None:
    gate = Gate(TransportLimits(max_handshakes=2))
    first, second, third = stream(), stream(), stream()
    for newcomer in (first, second):
        gate.enter(newcomer, 0)
        assert gate.surplus() is None
    gate.enter(third, 0)
    assert gate.surplus() is first
    gate.authenticated(first)
    assert gate.surplus() is None


def test_a_handshake_has_a_deadline_until_it_is_done() -> None:
    gate = Gate(TransportLimits(handshake_timeout_s=10))
    assert gate.next_deadline() == math.inf
    first, second = stream(), stream()
    gate.enter(first, 100)
    gate.enter(second, 105)
    assert gate.next_deadline() == 110
    assert gate.overdue(110) == [first]
    assert gate.overdue(109.9) == []
    gate.established(first)
    assert gate.next_deadline() == 115
    assert gate.strangers() == [first, second]


def test_who_comes_in_a_crowd_has_more_patience_but_not_for_ever() -> None:
    gate = Gate(TransportLimits(handshake_timeout_s=10))
    crowd = [stream(f"192.0.2.{number % 100}") for number in range(gate_module.CROWD)]
    for one in crowd:
        assert gate.enter(one, 0) == ""
    for one in crowd[1:]:
        gate.authenticated(one)
        gate.established(one)
    assert gate.overdue(10) == []
    assert gate.next_deadline() == 20
    late = stream()
    gate.enter(late, 11)  # the crowd has gone by now
    assert gate.overdue(21) == [late]
    gate.leave(late)
    for now in range(31, 120, 10):
        assert gate.overdue(now) == []
    assert gate.overdue(10 * gate_module.PATIENCE_IN_A_CROWD + 10) == [crowd[0]]


def test_nothing_is_left_of_who_has_left() -> None:
    gate = Gate(TransportLimits())
    one = stream()
    gate.enter(one, 0)
    gate.leave(one)
    assert gate.total == 0
    assert gate.next_deadline() == math.inf
    assert gate.surplus() is None
    assert gate._by_address == {}


def test_who_waits_for_us_is_not_blamed_for_a_storm() -> None:
    gate = Gate(TransportLimits(max_handshakes=1, handshake_timeout_s=10))
    working, idle = stream(), stream()
    gate.enter(working, 0)
    gate.working(working)
    gate.enter(idle, 0)
    assert gate.surplus() is None
    assert gate.overdue(10) == [idle]
    gate.waiting(working)
    assert gate.surplus() is idle
    assert gate.overdue(19.9) == [idle]
    assert gate.overdue(20) == [idle, working]


def test_who_has_left_does_not_come_back_by_waiting() -> None:
    gate = Gate(TransportLimits())
    one = stream()
    gate.enter(one, 0)
    gate.working(one)
    gate.leave(one)
    gate.waiting(one)
    assert gate._awaited.count == 0


def test_connections_of_an_address_have_a_rate_and_a_burst() -> None:
    gate = Gate(TransportLimits(connection_rate_per_address=2, connection_burst_per_address=3))
    came = [gate.enter(stream(), 0) for _ in range(4)]
    assert came == ["", "", "", "connection_rate_per_address"]
    assert gate.total == 3, "who was refused is not counted"
    assert gate.enter(stream("192.0.2.2"), 0) == ""
    assert [gate.enter(stream("unix"), 0) for _ in range(9)] == [""] * 9
    assert [gate.enter(stream(), 0.5), gate.enter(stream(), 0.5)] == ["", "connection_rate_per_address"]


def test_with_the_defaults_ten_thousand_may_come_back_at_once_from_one_address_three_times() -> None:
    gate = Gate(TransportLimits(max_connections_per_address=10_000))
    for _ in range(3):
        for _ in range(10_000):
            device = stream()
            assert gate.enter(device, 0) == ""
            gate.leave(device)


def test_who_has_left_is_forgotten_without_a_search_for_cycles() -> None:
    gate = Gate(TransportLimits())
    one = stream()
    gone = weakref.ref(one)
    gc.disable()
    try:
        gate.enter(one, 0)
        gate.working(one)
        gate.waiting(one)
        gate.leave(one)
        del one
        assert gone() is None
    finally:
        gc.enable()

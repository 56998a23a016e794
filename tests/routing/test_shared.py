"""Shared subscription groups: one member each time, in turn, the fittest first."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from bollard.routing.shared import FITTEST, SharedGroup


@dataclass(frozen=True, eq=False)
class Entry:
    session: object
    fitness: int = FITTEST


def group(*fitness: int) -> tuple[SharedGroup, list[Entry]]:
    made = SharedGroup("g", "a")
    entries = [Entry(object(), grade) for grade in fitness]
    for one in entries:
        made.add(one)
    return made, entries


def fitness_of(member: Entry) -> int:
    return member.fitness


@given(st.integers(1, 20), st.integers(1, 10))
def test_equally_fit_members_get_equal_shares(members: int, rounds: int) -> None:
    shared, entries = group(*[FITTEST] * members)
    chosen = Counter(shared.choose(fitness_of) for _ in range(members * rounds))
    assert [chosen[one] for one in entries] == [rounds] * members


@given(st.lists(st.integers(0, FITTEST), max_size=8))
def test_nobody_is_chosen_before_a_fitter_one(fitness: list[int]) -> None:
    shared, _ = group(*fitness)
    chosen = shared.choose(fitness_of)
    if chosen is None:
        assert max(fitness, default=0) == 0
    else:
        assert chosen.fitness == max(fitness) > 0


def test_unfit_members_between_fit_ones_do_not_spoil_the_turn() -> None:
    shared, (first, _, third) = group(FITTEST, 0, FITTEST)
    assert [shared.choose(fitness_of) for _ in range(4)] == [first, third, first, third]


def test_an_empty_group_chooses_nobody() -> None:
    assert SharedGroup("g", "a").choose(fitness_of) is None


def test_a_member_that_left_is_not_chosen() -> None:
    shared, (first, second) = group(FITTEST, FITTEST)
    assert shared.remove(first)
    assert [shared.choose(fitness_of) for _ in range(2)] == [second, second]
    assert not shared.remove(first)


def test_a_member_that_subscribes_again_is_replaced_and_keeps_its_one_share() -> None:
    shared, (first, second) = group(FITTEST, FITTEST)
    again = Entry(first.session)
    assert not shared.add(again)
    assert Counter(shared.choose(fitness_of) for _ in range(4)) == {again: 2, second: 2}

"""Shared subscription groups: who is in, and who of them is there."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from bollard.routing.shared import SharedGroup


@dataclass(frozen=True, eq=False)
class Entry:
    session: object


def group(count: int) -> tuple[SharedGroup, list[Entry]]:
    made = SharedGroup("g", "a")
    entries = [Entry(object()) for _ in range(count)]
    for one in entries:
        assert made.add(one)
    return made, entries


@given(
    st.integers(0, 4),
    st.lists(st.tuples(st.sampled_from(["add", "remove", "away", "back"]), st.integers(0, 3))),
)
def test_members_are_either_there_or_away(count: int, steps: list[tuple[str, int]]) -> None:
    shared, _ = group(0)
    entries = [Entry(object()) for _ in range(4)]
    there: dict[int, bool] = {}
    for step, who in steps:
        member = entries[who]
        if step == "add":
            assert shared.add(member) == (who not in there)
            there.setdefault(who, True)
        elif step == "remove":
            assert shared.remove(member) == (there.pop(who, None) is not None)
        else:
            shared.mark(member.session, step == "away")
            if who in there:
                there[who] = step == "back"
    assert shared.present() == [entries[who] for who, is_there in there.items() if is_there]
    assert set(shared.absent()) == {entries[who] for who, is_there in there.items() if not is_there}
    assert list(shared.members.values()) == [entries[who] for who in there]


def test_a_member_that_subscribes_again_is_replaced_and_keeps_its_place() -> None:
    shared, (first, second) = group(2)
    again = Entry(first.session)
    assert not shared.add(again)
    assert shared.present() == [again, second]


def test_who_joins_does_not_let_all_others_be_sorted_anew() -> None:
    """Attack: one that joins before each message, in a group of ten thousand."""
    shared, members = group(50)
    assert shared.unsorted() == 50
    assert shared.present() == members
    late = Entry(object())
    shared.add(late)
    assert shared.unsorted() == 0
    assert shared.present() == [*members, late]
    shared.mark(late.session, True)
    assert shared.unsorted() == 51
    assert shared.present() == members

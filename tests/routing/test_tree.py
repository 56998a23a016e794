"""The subscription tree against matching each filter by itself."""

import tracemalloc
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from bollard.routing.plan import Plan
from bollard.routing.tree import Subscription, Tree
from support.topics import filters, naive_match, names

GROUPS = ["", "g", "h"]


class Somebody:
    """A session, as far as the tree knows one."""

    def __init__(self, principal: str = "p") -> None:
        self.principal = principal


def entry(session: object, filter: str, group: str = "") -> Subscription:
    return Subscription(session, filter, group, 0, False, False, 0)


@given(st.lists(st.tuples(st.integers(0, 3), filters, st.sampled_from(GROUPS))), names)
def test_the_tree_finds_what_matching_each_filter_finds(
    wanted: list[tuple[int, str, str]], topic: str
) -> None:
    tree = Tree()
    sessions = [Somebody() for _ in range(4)]
    expected: dict[tuple[int, str, str], None] = {}
    for who, filter, group in wanted:
        tree.add(entry(sessions[who], filter, group))
        expected[who, filter, group] = None
    found, groups = tree.match(topic)
    single = {(sessions.index(s.session), s.filter, "") for s in found}
    shared = {
        (sessions.index(member), group.filter, group.name) for group in groups for member in group.members
    }
    assert len(found) == len(single)
    assert single | shared == {key for key in expected if naive_match(key[1], topic)}
    assert tree.count == sum(not group for _, _, group in expected)
    assert tree.shared_count == sum(bool(group) for _, _, group in expected)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 2), filters, st.sampled_from(GROUPS)), max_size=40),
    names,
)
def test_additions_and_removals_in_any_order_leave_what_was_not_removed(
    steps: list[tuple[bool, int, str, str]], topic: str
) -> None:
    tree = Tree()
    sessions = [Somebody() for _ in range(3)]
    standing: set[tuple[int, str, str]] = set()
    for add, who, filter, group in steps:
        if add:
            tree.add(entry(sessions[who], filter, group))
            standing.add((who, filter, group))
        else:
            tree.remove(entry(sessions[who], filter, group))
            standing.discard((who, filter, group))
    found, groups = tree.match(topic)
    present = {(sessions.index(s.session), s.filter, s.group) for s in found}
    present |= {(sessions.index(m), g.filter, g.name) for g in groups for m in g.members}
    assert present == {key for key in standing if naive_match(key[1], topic)}
    assert tree.count + tree.shared_count == len(standing)


def test_a_subscription_replaces_the_earlier_one_of_its_session() -> None:
    tree, session = Tree(), Somebody()
    tree.add(entry(session, "a"))
    better = Subscription(session, "a", "", 2, False, True, 7)
    tree.add(better)
    assert tree.match("a")[0] == [better]
    assert tree.count == 1


def test_replacing_a_subscription_counts_as_a_change() -> None:
    tree, session = Tree(), Somebody()
    tree.add(entry(session, "a"))
    plan = Plan(tree.generation)
    tree.watch("a", plan)
    tree.add(entry(session, "a"))
    assert plan.generation != tree.generation


def test_removal_takes_every_level_that_only_it_needed() -> None:
    tree, session = Tree(), Somebody()
    deep = [entry(session, "/".join("abcdefgh"[:depth]), group) for depth in range(1, 9) for group in GROUPS]
    for one in deep:
        tree.add(one)
    for one in deep:
        tree.remove(one)
    # A node that was left behind would be found again by a filter that ends in it.
    assert (tree.count, tree.shared_count) == (0, 0)
    assert tree.match("a/b/c/d/e/f/g/h") == ([], [])
    if hasattr(tree, "_root"):  # a compiled tree keeps it to itself
        assert tree._root.empty()


def test_removing_what_is_not_there_changes_nothing() -> None:
    tree, session = Tree(), Somebody()
    tree.add(entry(session, "a/b"))
    for filter, group in [("a", ""), ("a/b", "g"), ("a/b/c", ""), ("x", "")]:
        tree.remove(entry(session, filter, group))
    tree.remove(entry(Somebody(), "a/b"))
    assert len(tree.match("a/b")[0]) == 1


def test_the_same_filter_alone_and_shared_are_two_subscriptions() -> None:
    tree, session = Tree(), Somebody()
    tree.add(entry(session, "a"))
    tree.add(entry(session, "a", "g"))
    found, groups = tree.match("a")
    assert (len(found), [group.name for group in groups]) == (1, ["g"])
    tree.remove(entry(session, "a"))
    assert [len(part) for part in tree.match("a")] == [0, 1]


def test_groups_of_one_name_on_two_filters_are_two_groups() -> None:
    tree = Tree()
    tree.add(entry(Somebody(), "a/+", "g"))
    tree.add(entry(Somebody(), "a/#", "g"))
    assert sorted(group.filter for group in tree.match("a/b")[1]) == ["a/#", "a/+"]


@given(st.lists(st.tuples(filters, st.sampled_from(GROUPS)), min_size=1), st.lists(names, min_size=1))
def test_a_plan_is_stale_when_a_filter_that_matches_its_topic_comes_or_goes(
    wanted: list[tuple[str, str]], topics: list[str]
) -> None:
    tree, session = Tree(), Somebody()

    def changed(filter: str, change: Callable[[], None]) -> None:
        plans = {topic: Plan(tree.generation) for topic in topics}
        for topic, plan in plans.items():
            tree.watch(topic, plan)
        change()
        for topic, plan in plans.items():
            if naive_match(filter, topic):
                assert plan.generation != tree.generation, (filter, topic)

    for filter, group in wanted:
        changed(filter, lambda f=filter, g=group: tree.add(entry(session, f, g)))  # type: ignore[misc]
    for filter, group in dict.fromkeys(wanted):
        changed(filter, lambda f=filter, g=group: tree.remove(entry(session, f, g)))  # type: ignore[misc]


def test_filters_of_one_branch_leave_the_plans_of_others_alone() -> None:
    tree, session = Tree(), Somebody()
    plans = {name: Plan(tree.generation) for name in ("d/own", "d/own/x", "d/other/x", "d", "e/own/x")}
    for name, plan in plans.items():
        tree.watch(name, plan)
    tree.add(entry(session, "d/own/+/x"))
    tree.remove(entry(session, "d/own/+/x"))
    good = [name for name, plan in plans.items() if plan.generation == tree.generation]
    assert good == ["d/other/x", "d", "e/own/x"]
    tree.add(entry(session, "d/+/x"))
    assert not [name for name, plan in plans.items() if plan.generation == tree.generation]


def test_the_levels_of_each_principal_are_counted_and_given_back() -> None:
    tree, session = Tree(), Somebody("plug")
    entries = [
        entry(session, "a/b/c"),
        entry(session, "a/b/c"),
        entry(session, "a/#", "g"),
        entry(session, "a"),
    ]
    for each in entries:
        tree.add(each)
    tree.add(entry(Somebody("other"), "a/b"))
    assert (tree.levels_of("plug"), tree.levels_of("other"), tree.levels_of("nobody")) == (6, 2, 0)
    for each in entries:
        tree.remove(each)
    assert (tree.levels_of("plug"), tree.levels_of("other")) == (0, 2)


def test_a_match_looks_at_as_many_levels_however_many_subscriptions_there_are() -> None:
    looks = []
    for count in (10, 1_000, 10_000):
        tree = Tree()
        session = Somebody()
        for number in range(count):
            tree.add(entry(session, f"devices/{number}/state"))
            tree.add(entry(session, f"devices/{number}/#"))
        found, _ = tree.match("devices/5/state")
        assert len(found) == 2
        looks.append(tree.looks)
    assert looks[0] == looks[1] == looks[2]


def test_a_subscription_weighs_little() -> None:
    tree, session = Tree(), Somebody()
    filters = [f"devices/{number}/state" for number in range(2_000)]
    tracemalloc.start()
    try:
        for filter in filters:
            tree.add(entry(session, filter))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / len(filters) < 450, "with a dict in each level it would be 900 bytes"

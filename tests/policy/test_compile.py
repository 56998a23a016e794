"""Which rules apply to whom: templates, groups, grants with an end, denies with exceptions, anonymous."""

import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.base.types import ANONYMOUS, Action
from bollard.policy import compile as compile_module
from bollard.policy.compile import Policy
from bollard.wire.topics import contains, matches

from .texts import policy_of

TEN = datetime(2030, 1, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)

DEVICE = '[template.device]\npublish = ["d/${id}/#"]\n'


def may(policy: Policy, principal: str, action: Action, topic: str) -> bool:
    return policy.decide(principal, action, topic).allowed


def may_publish(policy: Policy, principal: str, topic: str) -> bool:
    return may(policy, principal, Action.PUBLISH, topic)


def test_without_rules_everything_is_denied() -> None:
    policy = policy_of("")
    for action in Action:
        decision = policy.decide("plug", action, "a")
        assert not decision.allowed
        assert decision.rule == ""
        assert decision.reason.startswith("no rule grants ")


def test_the_template_of_the_enrolment_applies() -> None:
    policy = policy_of(DEVICE, {"plug": "device"})
    decision = policy.decide("plug", Action.PUBLISH, "d/plug/x")
    assert decision.allowed
    assert decision.rule == "template.device"
    assert decision.reason == 'template "device" grants publish on d/${id}/#'
    assert not may_publish(policy, "plug", "d/other/x")
    assert not may_publish(policy, "other", "d/other/x")


def test_a_template_that_is_not_in_the_policy_denies_and_says_so() -> None:
    policy = policy_of(DEVICE, {"plug": "devcie"})
    decision = policy.decide("plug", Action.PUBLISH, "d/plug/x")
    assert not decision.allowed
    assert 'enrolled with template "devcie", which the policy does not have' in decision.reason


def test_a_later_change_of_the_mapping_changes_nothing() -> None:
    templates = {"plug": "device"}
    policy = policy_of(DEVICE, templates)
    templates["other"] = "device"
    assert not may_publish(policy, "other", "d/other/x")


@pytest.mark.parametrize("identity", ["", "+", "#", "a/b", "$SYS", "a b", "ü", "x" * 65, "a\n", "\ud800"])
def test_what_cannot_be_an_identity_may_do_nothing(identity: str) -> None:
    text = (
        '[template.all]\npublish = ["#", "${id}/#", "$SYS/#"]\n[group.g]\nmembers = ["*"]\napply = ["all"]\n'
        '[grant.x]\nwho = "*"\npublish = ["#"]'
    )
    policy = policy_of(text, {identity: "all"})
    for topic in ("x", f"{identity}/x", "$SYS/x"):
        assert not may_publish(policy, identity, topic)
    assert policy.applied(identity) == ()
    assert policy.groups(identity) == ()


def test_each_right_stands_for_itself() -> None:
    rights = {
        "publish": [Action.PUBLISH],
        "subscribe": [Action.SUBSCRIBE, Action.RECEIVE],
        "retain": [Action.RETAIN],
        "will": [Action.WILL],
        "share": [Action.SHARE],
    }
    for right, actions in rights.items():
        text = f'[template.t]\n{right} = ["a"]\n[template.other]\nshare = ["a"]'
        policy = policy_of(text, {"plug": "t"})
        assert [action for action in Action if may(policy, "plug", action, "a")] == actions


@pytest.mark.parametrize(
    ("pattern", "members", "others"),
    [
        ("plug", ["plug"], ["plug1", "Plug", "plu"]),
        ("esp-*", ["esp-", "esp-1", "esp-a.b"], ["esp", "xesp-1", "ESP-1"]),
        ("*", ["plug", "esp-1"], []),
        ("p?ug", ["plug"], ["pug", "pllug"]),
        ("a.b", ["a.b"], ["axb"]),
        ("*-*-1", ["a-b-1"], ["a-1", "a-b-12"]),
    ],
)
def test_members_are_identities_and_patterns(pattern: str, members: list[str], others: list[str]) -> None:
    policy = policy_of(DEVICE + f'[group.g]\nmembers = ["{pattern}"]\napply = ["device"]')
    assert [name for name in members if not may_publish(policy, name, f"d/{name}/x")] == []
    assert [name for name in others if may_publish(policy, name, f"d/{name}/x")] == []


def test_a_group_without_templates_still_names_its_members() -> None:
    policy = policy_of('[group.g]\nmembers = ["esp-*"]\n[grant.x]\nwho = "group:g"\npublish = ["a"]')
    assert may_publish(policy, "esp-1", "a")
    assert not may_publish(policy, "plug", "a")
    assert policy.groups("esp-1") == ("g",)


def test_the_group_variable_is_the_group_that_applies_the_template() -> None:
    text = (
        '[template.t]\npublish = ["s/${group}/${id}", "own"]\n[group.red]\nmembers = ["a", "b"]\napply = ["t"]\n'
        '[group.blue]\nmembers = ["b"]\napply = ["t"]'
    )
    policy = policy_of(text, {"c": "t"})
    granted = {
        (name, topic)
        for name in "abc"
        for topic in ("own", *(f"s/{group}/{who}" for group in ("red", "blue") for who in "abc"))
        if may_publish(policy, name, topic)
    }
    assert granted == {
        ("a", "own"),
        ("b", "own"),
        ("c", "own"),
        ("a", "s/red/a"),
        ("b", "s/red/b"),
        ("b", "s/blue/b"),
    }
    assert not may_publish(policy, "c", "s/${group}/c")
    assert not may_publish(policy, "c", "s//c")


class TestAnonymous:
    """Attack: whoever reaches a listener that admits anonymous clients."""

    OPEN = '[template.open]\npublish = ["#"]\n'

    @pytest.mark.parametrize(
        "text",
        [
            '[group.g]\nmembers = ["*"]\napply = ["open"]',
            '[group.g]\nmembers = ["anon*", "?nonymous"]\napply = ["open"]',
            '[grant.g]\nwho = "*"\npublish = ["#"]',
            '[group.g]\nmembers = ["*"]\n[grant.g]\nwho = "group:g"\npublish = ["#"]',
        ],
    )
    def test_no_wildcard_gives_anonymous_anything(self, text: str) -> None:
        policy = policy_of(self.OPEN + text, {ANONYMOUS: "open"})
        assert may_publish(policy, "anon", "a") == ("*" in text)
        decision = policy.decide(ANONYMOUS, Action.PUBLISH, "a")
        assert not decision.allowed
        assert "only rules that name anonymous itself" in decision.reason

    @pytest.mark.parametrize(
        "text",
        [
            '[group.g]\nmembers = ["anonymous"]\napply = ["open"]',
            '[grant.g]\nwho = "anonymous"\npublish = ["#"]',
            '[group.g]\nmembers = ["anonymous"]\n[grant.g]\nwho = "group:g"\npublish = ["#"]',
        ],
    )
    def test_its_own_name_does(self, text: str) -> None:
        assert may_publish(policy_of(self.OPEN + text), ANONYMOUS, "a")

    @pytest.mark.parametrize(
        "who", ['who = "*"', 'who = "group:g"', 'who = "anonymous"', 'who = "*"\nexcept = "group:g"']
    )
    def test_wildcards_of_a_deny_include_anonymous_and_those_of_an_exception_do_not(self, who: str) -> None:
        text = (
            '[grant.g]\nwho = "anonymous"\npublish = ["#"]\n[group.g]\nmembers = ["*"]\n'
            f'[deny.d]\npublish = ["a"]\n{who}'
        )
        policy = policy_of(text)
        assert not may_publish(policy, ANONYMOUS, "a")
        assert may_publish(policy, ANONYMOUS, "b")

    def test_an_exception_that_names_it_spares_it(self) -> None:
        text = '[grant.g]\nwho = "anonymous"\npublish = ["#"]\n'
        text += '[deny.d]\nwho = "*"\nexcept = "anonymous"\npublish = ["a"]'
        assert may_publish(policy_of(text), ANONYMOUS, "a")


class TestDeny:
    def test_a_deny_beats_every_grant(self) -> None:
        policy = policy_of(DEVICE + '[deny.ota]\nwho = "plug"\npublish = ["+/+/ota/#"]', {"plug": "device"})
        decision = policy.decide("plug", Action.PUBLISH, "d/plug/ota/1")
        assert not decision.allowed
        assert decision.rule == "deny.ota"
        assert decision.reason == 'deny "ota" forbids publish on +/+/ota/#'
        assert may_publish(policy, "plug", "d/plug/x")

    def test_an_exception_spares_but_grants_nothing(self) -> None:
        text = (
            '[template.t]\npublish = ["a/#"]\n[group.ops]\nmembers = ["anna"]\n'
            '[deny.d]\nwho = "*"\nexcept = ["group:ops", "bob"]\npublish = ["#"]'
        )
        policy = policy_of(text, {"anna": "t", "bob": "t", "eve": "t"})
        assert [name for name in ("anna", "bob", "eve") if may_publish(policy, name, "a/x")] == [
            "anna",
            "bob",
        ]
        assert not may_publish(policy, "anna", "b")

    def test_another_deny_is_not_spared(self) -> None:
        text = (
            '[grant.g]\nwho = "*"\npublish = ["#"]\n[deny.one]\nwho = "*"\nexcept = "anna"\npublish = ["x"]\n'
            '[deny.two]\nwho = "anna"\npublish = ["x"]'
        )
        assert policy_of(text).decide("anna", Action.PUBLISH, "x").rule == "deny.two"

    def test_whoever_may_not_publish_may_not_do_so_by_a_will(self) -> None:
        text = '[grant.g]\nwho = "*"\nwill = ["#"]\nretain = ["#"]\n[deny.d]\nwho = "*"\npublish = ["a"]'
        policy = policy_of(text)
        decision = policy.decide("plug", Action.WILL, "a")
        assert not decision.allowed
        assert decision.reason == 'deny "d" forbids publish, and so a will, on a'
        assert may(policy, "plug", Action.WILL, "b")
        assert may(policy, "plug", Action.RETAIN, "a")

    def test_to_deny_subscribing_stops_what_a_wider_subscription_would_receive(self) -> None:
        policy = policy_of(
            '[grant.g]\nwho = "*"\nsubscribe = ["#"]\n[deny.d]\nwho = "*"\nsubscribe = ["s/#"]'
        )
        assert may(policy, "plug", Action.SUBSCRIBE, "#")
        assert not may(policy, "plug", Action.SUBSCRIBE, "s/+")
        assert not may(policy, "plug", Action.RECEIVE, "s/x")
        assert may(policy, "plug", Action.RECEIVE, "a")

    def test_a_deny_of_all_topics_does_not_reach_those_with_a_dollar(self) -> None:
        text = '[grant.g]\nwho = "*"\nsubscribe = ["$SYS/#"]\n[deny.d]\nwho = "*"\nsubscribe = ["#"]'
        assert may(policy_of(text), "plug", Action.RECEIVE, "$SYS/uptime")


def test_topics_with_a_dollar_are_granted_by_name_only() -> None:
    policy = policy_of(
        '[template.t]\nsubscribe = ["#", "+/#"]\n[template.s]\nsubscribe = ["$SYS/#"]', {"a": "t", "b": "s"}
    )
    for action, topic in (
        (Action.RECEIVE, "$SYS/x"),
        (Action.SUBSCRIBE, "$SYS/#"),
        (Action.SUBSCRIBE, "$SYS/+"),
    ):
        assert not may(policy, "a", action, topic)
        assert may(policy, "b", action, topic)


class TestTime:
    TEXT = (
        '[grant.g]\nwho = "anna"\npublish = ["a"]\nfrom = 2030-01-01T10:00:00Z\nuntil = 2030-01-01T11:00:00Z\n'
        '[grant.later]\nwho = "anna"\npublish = ["b"]\nfrom = 2030-01-01T13:00:00+01:00\n'
        '[grant.always]\nwho = "anna"\npublish = ["c"]\n'
    )

    @pytest.mark.parametrize(
        ("at", "topics", "change"),
        [
            (TEN - HOUR, "c", TEN),
            (TEN, "ac", TEN + HOUR),
            (TEN + HOUR - timedelta(microseconds=1), "ac", TEN + HOUR),
            (TEN + HOUR, "c", TEN + 2 * HOUR),
            (TEN + 2 * HOUR, "bc", None),
            (None, "c", None),
        ],
        ids=["before", "at its start", "just before its end", "at its end", "the next has begun", "no time"],
    )
    def test_a_grant_is_in_force_from_its_start_until_just_before_its_end(
        self, at: datetime | None, topics: str, change: datetime | None
    ) -> None:
        policy = policy_of(self.TEXT, at=at)
        assert [topic for topic in "abc" if may_publish(policy, "anna", topic)] == list(topics)
        assert policy.changes_at == change
        assert {grant.name for grant in policy.asleep("anna")} == {
            name for name, topic in (("g", "a"), ("later", "b")) if topic not in topics
        }
        assert policy.asleep("bob") == []


def test_the_order_of_the_file_never_matters() -> None:
    tables = [
        '[template.t]\npublish = ["a/#", "${id}/#"]\n',
        '[template.u]\npublish = ["a/#"]\n',
        '[group.g]\nmembers = ["p*"]\napply = ["u", "t"]\n',
        '[grant.x]\nwho = "*"\npublish = ["a/#", "b"]\n',
        '[deny.d]\nwho = "*"\npublish = ["a/x"]\n',
        '[deny.c]\nwho = "group:g"\npublish = ["a/x"]\n',
    ]
    topics = ["a/x", "a/y", "b", "plug/z", "c"]
    expected = [policy_of("".join(tables)).decide("plug", Action.PUBLISH, topic) for topic in topics]
    assert [decision.rule for decision in expected] == ["deny.c", "grant.x", "grant.x", "template.t", ""]
    chance = random.Random(1)
    for _ in range(20):
        chance.shuffle(tables)
        policy = policy_of("".join(tables))
        assert [policy.decide("plug", Action.PUBLISH, topic) for topic in topics] == expected


class TestSize:
    """Attack: a client for each of very many identities."""

    def test_identities_with_the_same_rules_share_one_profile(self) -> None:
        policy = policy_of(DEVICE, {f"p{n}": "device" for n in range(100)})
        assert all(may_publish(policy, f"p{n}", f"d/p{n}/x") for n in range(100))
        assert len(policy._profiles) == 1

    def test_what_is_remembered_is_bounded_and_forgetting_changes_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(compile_module, "MAX_REMEMBERED", 10)
        grants = "".join(f'[grant.g{n}]\nwho = "p{n}"\npublish = ["{n}"]\n' for n in range(100))
        policy = policy_of(grants)
        for _ in range(2):
            for n in range(100):
                assert may_publish(policy, f"p{n}", str(n))
                assert not may_publish(policy, f"p{n}", str(n + 1))
                assert len(policy._recent) <= 10
                assert len(policy._older) <= 10
                assert len(policy._profiles) <= 10

    def test_rules_for_others_are_no_part_of_a_profile(self) -> None:
        grants = "".join(f'[grant.g{n}]\nwho = "p{n}"\npublish = ["x/{n}"]\n' for n in range(1000))
        policy = policy_of(grants)
        assert [applied.rule for applied in policy.applied("p7")] == ["grant.g7"]
        assert may_publish(policy, "p7", "x/7")
        root = policy._recent["p7"].allowed[Action.PUBLISH]
        assert root is not None
        assert list(root.names["x"].names) == ["7"]

    def test_threads_may_ask_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compile_module, "MAX_REMEMBERED", 5)
        policy = policy_of(DEVICE, {f"p{n}": "device" for n in range(50)})
        wrong: list[str] = []

        def ask(seed: int) -> None:
            chance = random.Random(seed)
            for _ in range(500):
                name = f"p{chance.randrange(50)}"
                if not may_publish(policy, name, f"d/{name}/x") or may_publish(policy, name, "d/else/x"):
                    wrong.append(name)

        threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


@dataclass
class Model:
    """A policy as plain lists, decided by going through all of them."""

    templates: dict[str, dict[str, list[str]]]
    groups: dict[str, tuple[list[str], list[str]]]
    grants: list[tuple[list[str], dict[str, list[str]]]]
    denies: list[tuple[list[str], list[str], dict[str, list[str]]]]
    enrolled: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        def rights(table: dict[str, list[str]]) -> str:
            return "".join(f"{right} = {filters}\n" for right, filters in table.items())

        parts = [f"[template.{name}]\n{rights(table)}" for name, table in self.templates.items()]
        parts += [
            f"[group.{name}]\nmembers = {members}\napply = {apply}\n"
            for name, (members, apply) in self.groups.items()
        ]
        parts += [f"[grant.g{n}]\nwho = {who}\n{rights(t)}" for n, (who, t) in enumerate(self.grants)]
        parts += [
            f"[deny.d{n}]\nwho = {who}\n{f'except = {exempt}' if exempt else ''}\n{rights(table)}"
            for n, (who, exempt, table) in enumerate(self.denies)
        ]
        return "".join(parts)

    def member(self, identity: str, group: str, wide: bool) -> bool:
        return any(
            member == identity or (fnmatchcase(identity, member) and (wide or identity != ANONYMOUS))
            for member in self.groups[group][0]
        )

    def meant(self, identity: str, who: Iterable[str], wide: bool) -> bool:
        return any(
            (name == "*" and (wide or identity != ANONYMOUS))
            or name == identity
            or (name.startswith("group:") and self.member(identity, name[6:], wide))
            for name in who
        )

    def allows(self, identity: str, action: Action, topic: str) -> bool:
        right = {Action.RECEIVE: "subscribe"}.get(action, action.name.lower())
        covers = contains if action == Action.SUBSCRIBE else matches

        def covered(table: dict[str, list[str]], right: str) -> bool:
            return any(covers(text.replace("${id}", identity), topic) for text in table.get(right, ()))

        for who, exempt, table in self.denies:
            forbidden = covered(table, right) or (right == "will" and covered(table, "publish"))
            meant = self.meant(identity, who, wide=True) and not self.meant(identity, exempt, wide=False)
            if forbidden and meant:
                return False
        tables = [table for who, table in self.grants if self.meant(identity, who, wide=False)]
        for group, (_, apply) in self.groups.items():
            if self.member(identity, group, wide=False):
                tables += [self.templates[name] for name in apply]
        if identity != ANONYMOUS and self.enrolled.get(identity) in self.templates:
            tables.append(self.templates[self.enrolled[identity]])
        given = [*self.templates.values(), *(table for _, table in self.grants)]
        if right == "share" and not any("share" in table for table in given):
            return "$" not in topic and "/" not in topic and any("subscribe" in table for table in tables)
        return any(covered(table, right) for table in tables)


IDENTITIES = ["a", "b", "ab", ANONYMOUS]
LEVEL = st.sampled_from(["a", "b", "${id}", "+", "$s"])
FILTER = st.one_of(
    st.just("#"),
    st.builds(
        lambda levels, tail: "/".join([*levels, *tail]),
        st.lists(LEVEL, min_size=1, max_size=3),
        st.sampled_from([[], ["#"]]),
    ),
)
TOPIC_RIGHTS = st.dictionaries(
    st.sampled_from(["publish", "subscribe", "retain", "will"]),
    st.lists(FILTER, min_size=1, max_size=3),
    min_size=1,
    max_size=4,
)
SHARE = st.dictionaries(st.just("share"), st.lists(LEVEL, min_size=1, max_size=2), max_size=1)
RIGHTS = st.builds(lambda topics, share: {**topics, **share}, TOPIC_RIGHTS, SHARE)
WHO = st.lists(st.sampled_from([*IDENTITIES, "*", "group:g0", "group:g1"]), min_size=1, max_size=2)
EXEMPT = st.lists(st.sampled_from([*IDENTITIES, "group:g0", "group:g1"]), max_size=2)
GROUP = st.tuples(
    st.lists(st.sampled_from([*IDENTITIES, "*", "a*", "?", "an*s"]), max_size=2),
    st.lists(st.sampled_from(["t0", "t1"]), max_size=2, unique=True),
)
MODEL = st.builds(
    Model,
    templates=st.fixed_dictionaries({"t0": RIGHTS, "t1": RIGHTS}),
    groups=st.fixed_dictionaries({"g0": GROUP, "g1": GROUP}),
    grants=st.lists(st.tuples(WHO, RIGHTS), max_size=3),
    denies=st.lists(
        st.tuples(WHO, EXEMPT, RIGHTS).filter(lambda deny: not set(deny[0]) <= set(deny[1])), max_size=3
    ),
    enrolled=st.dictionaries(st.sampled_from(IDENTITIES), st.sampled_from(["t0", "t1", "gone"])),
)
NAME = st.lists(st.sampled_from(["a", "b", "ab", "anonymous", "$s"]), min_size=1, max_size=4).map("/".join)


@given(MODEL, st.lists(NAME, min_size=1, max_size=4), st.lists(FILTER, min_size=1, max_size=4))
def test_every_decision_is_that_of_going_through_all_rules(
    model: Model, names: list[str], filters: list[str]
) -> None:
    policy = policy_of(model.text(), model.enrolled)
    for identity in IDENTITIES:
        for action in Action:
            for topic in filters if action == Action.SUBSCRIBE else names:
                topic = topic.replace("${id}", "a")
                decision = policy.decide(identity, action, topic)
                assert decision.allowed == model.allows(identity, action, topic), (identity, action, topic)

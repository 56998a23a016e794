"""Who gains and who loses, in sentences; each of them true, and none missing."""

import random
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path

import pytest

from bollard.base.toml import Document
from bollard.base.types import ANONYMOUS, Action
from bollard.policy import diff as diff_module
from bollard.policy.compile import Policy
from bollard.policy.diff import Change, diff
from bollard.policy.model import Rules
from bollard.policy.rules import read_rules
from bollard.wire.topics import matches

from .texts import rules_of
from .tools import policy_cases

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
DEVICE = '[template.device]\npublish = ["d/${id}/#"]\n'


def sentences(old: str, new: str, enrolled: dict[str, str] | None = None) -> list[str]:
    return [str(change) for change in diff(rules_of(old), rules_of(new), NOW, enrolled)]


def test_the_same_rights_written_otherwise_are_no_change() -> None:
    old = DEVICE + '[group.g]\nmembers = ["esp-*"]\napply = ["device"]\n[template.t]\npublish = ["a/#"]'
    new = (
        '[template.t]\npublish = ["a", "a/+/#", "a/b"]\n[group.h]\nmembers = ["esp-*"]\napply = ["device"]\n'
    )
    assert sentences(old, new + DEVICE) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (DEVICE, DEVICE + 'will = ["d/${id}"]', ['whoever has template "device" gains will on d/${id}']),
        (DEVICE + 'will = ["d/${id}"]', DEVICE, ['whoever has template "device" loses will on d/${id}']),
        (DEVICE, DEVICE.replace("#", "x"), ['whoever has template "device" loses publish on d/${id}/#, in part: for example d/${id}']),
        (DEVICE.replace("#", "x"), DEVICE, ['whoever has template "device" gains publish on d/${id}/#']),
        ("", '[preset.p]\nuse = "tasmota-app"', [
            'whoever has preset "p" gains publish on cmnd/#',
            'whoever has preset "p" gains subscribe on stat/#',
            'whoever has preset "p" gains subscribe on tasmota/discovery/#',
            'whoever has preset "p" gains subscribe on tele/#',
        ]),
        ("", '[grant.g]\nwho = "*"\nsubscribe = ["x"]', ["everybody gains subscribe on x"]),
        (DEVICE, DEVICE + '[deny.d]\nwho = "*"\npublish = ["+/+/ota"]', [
            'whoever has template "device" loses publish on d/${id}/ota',
        ]),
        ('[grant.g]\nwho = "anna"\npublish = ["x"]', "", ["anna loses publish on x"]),
        ("", '[grant.g]\nwho = ["anna", "bob"]\npublish = ["x/${id}"]', ["anna, bob gain publish on x/${id}"]),
        ("", '[grant.g]\nwho = "anonymous"\npublish = ["x"]', ["anonymous gains publish on x"]),
        (DEVICE, DEVICE + '[group.g]\nmembers = ["esp-*"]\napply = ["device"]', [
            "whoever is named esp-* gains publish on d/${id}/#",
        ]),
        ('[grant.g]\nwho = "anna"\nsubscribe = ["a", "a/+/#"]', '[grant.g]\nwho = "anna"\nsubscribe = ["a/#"]', [
            "anna gains the subscription a/# as a whole; the topics stay the same",
        ]),
        (DEVICE + '[deny.d]\nwho = "*"\npublish = ["+/+/ota"]', DEVICE, [
            'whoever has template "device" gains publish on d/${id}/ota',
        ]),
        (DEVICE, DEVICE + 'subscribe = ["a/#"]\n[deny.d]\nwho = "*"\nsubscribe = ["a/b"]', [
            'whoever has template "device" gains subscribe on a/#, in part: for example a',
        ]),
    ],
)  # fmt: skip
def test_what_changes_is_a_sentence(old: str, new: str, told: list[str]) -> None:
    assert sentences(old, new) == told


def test_whom_a_general_sentence_does_not_hold_for_is_told_with_it() -> None:
    new = DEVICE.replace("d/", "e/") + '[deny.d]\nwho = "lamp"\npublish = ["e/#"]'
    told = sentences(DEVICE, new, {"plug": "device", "lamp": "device", "anna": ""})
    assert told == [
        'whoever has template "device" (but not lamp) gains publish on e/${id}/#',
        'whoever has template "device" loses publish on d/${id}/#',
    ]


def test_what_many_share_is_told_once_and_long_lists_are_cut() -> None:
    names = ", ".join(f'"p{n}"' for n in range(8))
    told = sentences("", f'[grant.g]\nwho = [{names}]\npublish = ["x"]')
    assert told == ["p0, p1, p2, p3, p4 and 3 more gain publish on x"]


class TestTime:
    def test_what_begins_or_ends_later_says_when(self) -> None:
        new = '[grant.g]\nwho = "anna"\npublish = ["x"]\nfrom = 2030-01-02T00:00:00Z\nuntil = 2030-01-03T00:00:00Z\n'
        new += '[grant.h]\nwho = "anna"\npublish = ["y"]\nuntil = 2030-01-04T00:00:00Z'
        assert sentences("", new) == [
            "until 2030-01-04T00:00:00+00:00, anna gains publish on y",
            "from 2030-01-02T00:00:00+00:00, until 2030-01-03T00:00:00+00:00, anna gains publish on x",
        ]

    def test_a_grant_that_is_over_or_the_same_in_both_is_no_change(self) -> None:
        over = '[grant.g]\nwho = "anna"\npublish = ["x"]\nuntil = 2029-01-02T00:00:00Z\n'
        later = '[grant.h]\nwho = "anna"\npublish = ["x"]\nuntil = 2031-01-02T00:00:00Z\n'
        assert sentences(later, later + over) == []

    def test_very_many_moments_are_not_all_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(diff_module, "MAX_MOMENTS", 5)
        grants = "".join(
            f'[grant.g{n}]\nwho = "anna"\npublish = ["{n}"]\nfrom = 2030-02-01T{n // 60:02}:{n % 60:02}:00Z\n'
            for n in range(9)
        )
        assert len(sentences("", grants)) == 5


NAMES = [
    "/".join(levels) for count in (1, 2, 3) for levels in product(["a", "b", "ab", "$s", "x"], repeat=count)
]
FILTERS = [
    "#",
    *("/".join(f) for n in (1, 2, 3) for f in product(["a", "b", "+", "$s"], repeat=n)),
    "a/#",
    "+/#",
    "$s/#",
]
KNOWN = ["a", "b", "ab", "x-1", ANONYMOUS]
RIGHT = {"publish": Action.PUBLISH, "subscribe": Action.RECEIVE, "retain": Action.RETAIN, "will": Action.WILL}


def holds_for(change: Change, who: str, enrolled: dict[str, str]) -> bool:
    """Does the sentence speak of `who`?"""
    if change.since is not None or who in change.besides:
        return False
    if change.who == "everybody":
        return who != ANONYMOUS
    if change.who.startswith("whoever has"):
        return who != ANONYMOUS and change.who.endswith(f' "{enrolled.get(who)}"')
    if change.who.startswith("whoever is named "):
        return who != ANONYMOUS and fnmatchcase(who, change.who.removeprefix("whoever is named "))
    return who in change.who.split(", ")


@pytest.mark.parametrize(("seed", "policies"), [(11, 4), pytest.param(12, 60, marks=pytest.mark.slow)])
def test_every_difference_of_random_policies_is_told_and_what_is_told_is_so(seed: int, policies: int) -> None:
    tool = policy_cases()
    chance = random.Random(seed)
    pairs = 0
    for _ in range(policies):
        models = tool.random_model(chance), tool.random_model(chance)
        enrolled = {who: models[0].enrolled.get(who, "") for who in KNOWN}
        rules: list[Rules] = [
            read_rules(Document(Path("policy.toml"), model.text(chance))) for model in models
        ]
        old, new = (Policy(one, enrolled, NOW) for one in rules)
        changes = diff(*rules, NOW, enrolled)
        for who in KNOWN:
            own = [change for change in changes if holds_for(change, who, enrolled)]
            accepted = [
                [one.decide(who, Action.SUBSCRIBE, filter).allowed for filter in FILTERS]
                for one in (old, new)
            ]
            assert accepted[0] == accepted[1] or {"subscribe", "filter"} & {change.right for change in own}
            for right, action in RIGHT.items():
                for name in NAMES:
                    before, after = (one.decide(who, action, name).allowed for one in (old, new))
                    told = [
                        change
                        for change in own
                        if change.right == right and matches(change.filter.replace("${id}", who), name)
                    ]
                    if before != after:
                        pairs += 1
                        assert any(change.gains is after for change in told), (who, right, name)
                    for change in told:
                        assert not change.whole or change.gains is after, (who, right, name, change)
    assert pairs > 20 * policies

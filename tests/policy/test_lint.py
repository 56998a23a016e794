"""Warnings about rules that are right and still cannot be meant."""

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from bollard.base.toml import Document
from bollard.base.types import ANONYMOUS, Action
from bollard.policy.compile import Policy
from bollard.policy.default import DEFAULT_POLICY
from bollard.policy.lint import CODES, Remark, lint
from bollard.policy.model import Grant, Rights, Rules, Template
from bollard.policy.rules import read_rules

from .texts import FILE, rules_of
from .tools import policy_cases

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
DEVICE = '[template.device]\npublish = ["d/${id}/data/#"]\nsubscribe = ["d/${id}/cmd/#"]\n'


def found(text: str, enrolled: dict[str, str] | None = None) -> list[tuple[int, str, str]]:
    return [(remark.line, remark.rule, remark.code) for remark in lint(rules_of(text), NOW, enrolled)]


def test_the_policy_of_a_new_installation_has_nothing_doubtful() -> None:
    assert found(DEFAULT_POLICY.replace("version = 1", "")) == []


@pytest.mark.parametrize(
    ("text", "line", "rule"),
    [
        ('[grant.g]\nwho = "a"\npublish = ["x"]\nuntil = 2030-01-01T12:00:00Z', 2, "grant.g"),
        ('[group.g]\nmembers = []\n[grant.x]\nwho = "a"\npublish = ["x"]', 2, "group.g"),
        ('[group.g]\nmembers = ["a"]', 2, "group.g"),
        ('[deny.d]\nwho = "a"\nexcept = "b"\npublish = ["x"]', 2, "deny.d"),
        ('[template.t]\npublish = ["x/${id}"]\nretain = ["x/${id}",\n"y"]', 5, "template.t"),
        ('[grant.g]\nwho = "*"\npublish = ["x/${id}"]\n[deny.d]\nwho = "*"\npublish = ["x/+"]', 4, "grant.g"),
        ('[template.t]\nwill = ["x"]\n[deny.d]\nwho = "*"\npublish = ["x"]', 3, "template.t"),
        ('[grant.g]\nwho = "a"\nsubscribe = ["x"]\n[deny.d]\nwho = ["a", "b"]\nexcept = "b"\nsubscribe = ["#"]',
         4, "grant.g"),
        ('[grant.g]\nwho = "a-1"\nsubscribe = ["x"]\n[group.h]\nmembers = ["a-*"]\n'
         '[deny.d]\nwho = "group:h"\nsubscribe = ["x"]', 4, "grant.g"),
    ],
)  # fmt: skip
def test_what_can_never_match_is_told_with_its_rule(text: str, line: int, rule: str) -> None:
    assert (line, rule, "never-matches") in found(text)


@pytest.mark.parametrize(
    "text",
    [
        '[grant.g]\nwho = "a"\npublish = ["x"]\nuntil = 2030-01-01T12:00:01Z',
        '[group.g]\nmembers = ["a"]\n[deny.d]\nwho = "*"\nexcept = "group:g"\npublish = ["x"]',
        '[template.t]\nretain = ["x/${id}"]\n[template.u]\npublish = ["x/y"]',
        '[template.t]\nretain = ["x"]\n[grant.u]\nwho = "a"\nwill = ["x"]',
        '[template.t]\npublish = ["x"]\n[deny.d]\nwho = "*"\nexcept = "a"\npublish = ["x"]',
        '[template.t]\npublish = ["x"]\n[deny.d]\nwho = "a"\npublish = ["x"]',
        '[template.t]\npublish = ["x/#"]\n[deny.d]\nwho = "*"\npublish = ["x/+", "x/+/#"]',
        '[grant.g]\nwho = "anonymous"\npublish = ["x"]\n[group.h]\nmembers = ["*"]\napply = []\n'
        '[deny.d]\nwho = "group:h"\nsubscribe = ["x"]',
    ],
)
def test_what_can_match_somebody_somewhere_is_left_alone(text: str) -> None:
    assert [remark for remark in found(text) if remark[2] == "never-matches"] == []


def test_several_denies_together_can_forbid_all_of_a_grant() -> None:
    text = '[template.t]\npublish = ["x/#"]\n[deny.d]\nwho = "*"\npublish = ["x"]\n[deny.e]\nwho = "*"\npublish = ["x/+/#"]'
    remarks = lint(rules_of(text), NOW)
    assert [remark.text for remark in remarks] == [
        "publish on x/# never matches: deny.d, deny.e forbids all of it"
    ]


@pytest.mark.parametrize(
    ("grant", "enrolled", "warned"),
    [
        ('who = "*"\npublish = ["d/${id}/#"]', {}, True),
        ('who = "*"\npublish = ["d/${id}/data/#"]', {}, False),
        ('who = "*"\npublish = ["d/${id}/data/x"]', {}, False),
        ('who = "*"\nsubscribe = ["d/${id}/data/#"]', {}, False),
        ('who = "plug"\npublish = ["d/plug/#"]', {"plug": "device"}, True),
        ('who = "plug"\npublish = ["d/lamp/#"]', {"plug": "device"}, False),
        ('who = "plug"\npublish = ["d/+/#"]', {"plug": "gone"}, False),
        ('who = "esp-1"\nsubscribe = ["d/#"]', {}, True),
        ('who = "group:g"\nsubscribe = ["d/#"]', {}, True),
    ],
)
def test_a_grant_that_exceeds_the_template_of_whom_it_means_is_told(
    grant: str, enrolled: dict[str, str], warned: bool
) -> None:
    text = f'{DEVICE}[group.g]\nmembers = ["esp-*"]\napply = ["device"]\n[grant.x]\n{grant}'
    codes = [(rule, code) for _, rule, code in found(text, enrolled)]
    assert (("grant.x", "broader-than-template") in codes) == warned


@pytest.mark.parametrize(
    ("denies", "shadowed"),
    [
        ('[deny.a]\nwho = "*"\npublish = ["x/#"]\n[deny.b]\nwho = "plug"\npublish = ["x/y"]', ["deny.b"]),
        ('[deny.a]\nwho = "*"\npublish = ["x"]\n[deny.b]\nwho = "*"\npublish = ["x"]', ["deny.b"]),
        ('[deny.a]\nwho = "*"\npublish = ["x"]\n[deny.b]\nwho = "*"\nwill = ["x"]', ["deny.b"]),
        ('[deny.a]\nwho = "*"\nwill = ["x"]\n[deny.b]\nwho = "*"\npublish = ["x"]', ["deny.a"]),
        ('[deny.a]\nwho = "*"\nexcept = "plug"\npublish = ["x/#"]\n[deny.b]\nwho = "plug"\npublish = ["x"]', []),
        ('[deny.a]\nwho = "plug"\npublish = ["x/#"]\n[deny.b]\nwho = "*"\npublish = ["x/y"]', []),
        ('[deny.a]\nwho = "*"\npublish = ["x/#"]\n[deny.b]\nwho = "*"\npublish = ["x"]\nsubscribe = ["x"]', []),
        ('[deny.a]\nwho = "*"\nexcept = "plug"\npublish = ["x/#"]\n[deny.b]\nwho = "*"\n'
         'except = ["plug", "lamp"]\npublish = ["x"]', ["deny.b"]),
    ],
)  # fmt: skip
def test_a_deny_that_another_one_makes_needless_is_told(denies: str, shadowed: list[str]) -> None:
    assert [rule for _, rule, code in found(denies) if code == "shadowed-deny"] == shadowed


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ('[template.t]\nsubscribe = ["#"]', ["template.t"]),
        ('[template.t]\npublish = ["+/x"]', ["template.t"]),
        ('[preset.p]\nuse = "shelly-app"', ["preset.p"]),
        ('[grant.g]\nwho = "*"\npublish = ["x/y"]', ["grant.g"]),
        ('[grant.g]\nwho = "*"\npublish = ["x/${id}"]\nsubscribe = ["x/#"]', []),
        ('[grant.g]\nwho = "anonymous"\nsubscribe = ["x/+"]', ["grant.g"]),
        ('[grant.g]\nwho = "anonymous"\nsubscribe = ["x/y"]', []),
        ('[template.t]\npublish = ["x/#"]\n[group.g]\nmembers = ["anonymous"]\napply = ["t"]', ["group.g"]),
        ('[group.g]\nmembers = ["anonymous"]\n[grant.x]\nwho = "group:g"\npublish = ["x/#"]', ["grant.x"]),
    ],
)
def test_rights_that_reach_far_are_told(text: str, rules: list[str]) -> None:
    assert sorted({rule for _, rule, code in found(text) if code == "broad"}) == rules


def test_an_enrolment_with_a_template_that_is_not_there_is_told() -> None:
    assert found(DEVICE, {"plug": "devcie", "lamp": "device"}) == [(0, "template.devcie", "no-such-template")]


def test_every_code_is_explained_and_every_warning_has_one() -> None:
    text = '[template.t]\nsubscribe = ["#"]\nretain = ["x"]'
    remarks = lint(rules_of(text), NOW)
    assert {remark.code for remark in remarks} <= CODES.keys()
    assert str(remarks[0]) == (
        "template.t: subscribe on # reaches into every topic tree but those with $ [broad]"
    )


NAMES = ["/".join(levels) for count in (1, 2, 3) for levels in product(["a", "b", "ab", "$s"], repeat=count)]
ACTIONS = {
    "publish": Action.PUBLISH,
    "subscribe": Action.RECEIVE,
    "retain": Action.RETAIN,
    "will": Action.WILL,
}


def test_what_is_said_to_do_nothing_does_nothing_in_random_policies() -> None:
    """Each warning is put to the proof: without the rule, or the filter, nobody's rights are other ones."""
    tool = policy_cases()
    chance = random.Random(9)
    proved: dict[str, int] = {}
    for _ in range(50):
        model = tool.random_model(chance)
        for deny in model.denies[:1]:
            part = {right: filters[:1] for right, filters in deny.rights.items()}
            model.denies.append(tool.Deny(deny.who, deny.exempt, part))
        text = model.text(chance)
        rules = read_rules(Document(FILE, text))
        for remark in lint(rules, tool.NOON, model.enrolled):
            less = without(rules, remark)
            if less is not None:
                proved[remark.code] = proved.get(remark.code, 0) + 1
                policies = [Policy(one, model.enrolled, tool.NOON) for one in (rules, less)]
                assert everything(policies[0]) == everything(policies[1]), (remark, text)
    assert proved["never-matches"] > 10
    assert proved["shadowed-deny"] > 5


def without(rules: Rules, remark: Remark) -> Rules | None:
    """The rules without what `remark` calls idle, or None if it does not speak of that."""
    kind, _, name = remark.rule.partition(".")
    if remark.code == "shadowed-deny" or (remark.code == "never-matches" and kind == "deny"):
        if "whom it does not mean" in remark.text:
            deny = rules.denies[name]
            idle = re.findall(r'"(.*)"', remark.text)
            exempt = replace(deny.exempt, identities=deny.exempt.identities - set(idle))
            return replace(rules, denies={**rules.denies, name: replace(deny, exempt=exempt)})
        return replace(rules, denies={other: deny for other, deny in rules.denies.items() if other != name})
    if remark.code != "never-matches" or kind == "preset":
        return None
    if kind == "group":
        return replace(rules, groups={**rules.groups, name: replace(rules.groups[name], apply=())})
    table: Mapping[str, Template | Grant] = rules.grants if kind == "grant" else rules.templates
    rule = table[name]
    found = re.match(r"(\w+) on (\S*) never matches", remark.text)
    rights = Rights()
    if found:
        left = tuple(pattern for pattern in rule.rights.of(found[1]) if pattern.text != found[2])
        rights = replace(rule.rights, **{found[1]: left})
    changed = {**table, name: replace(rule, rights=rights)}
    return replace(rules, **{"grants" if kind == "grant" else "templates": changed})


def everything(policy: Policy) -> list[bool]:
    """Each decision of a small world. What cannot be sent counts as not retained."""
    answers = []
    for who in ("a", "b", "ab", "x-1", ANONYMOUS):
        for name in NAMES:
            may = {right: policy.decide(who, action, name).allowed for right, action in ACTIONS.items()}
            may["retain"] = may["retain"] and (may["publish"] or may["will"])
            answers += may.values()
    return answers

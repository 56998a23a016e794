"""The right to a shared group: who may join it, and how that is told."""

from datetime import UTC, datetime
from itertools import product

import pytest

from bollard.base.errors import ConfigError
from bollard.base.toml import Document
from bollard.base.types import ANONYMOUS, Action
from bollard.policy.cases import read_cases, run
from bollard.policy.compile import Policy
from bollard.policy.diff import diff
from bollard.policy.explain import describe, effective, missing_rights, why
from bollard.policy.lint import lint

from .texts import FILE, policy_of, rules_of

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
READER = '[template.reader]\nsubscribe = ["jobs/#"]\n'
WORKER = '[template.worker]\nsubscribe = ["jobs/#"]\nshare = ["workers", "${id}"]\n'
APP = '[preset.app]\nuse = "application"\n'


def may_join(policy: Policy, who: str, group: str) -> bool:
    return policy.decide(who, Action.SHARE, group).allowed


def test_without_share_anywhere_the_right_to_a_filter_is_enough() -> None:
    policy = policy_of(READER + APP, {"ada": "reader", "eve": "app"})
    for who, group in product(("ada", "eve"), ("workers", "ada", "x y")):
        assert may_join(policy, who, group)
    assert not may_join(policy, "nobody", "workers")
    assert effective(policy, "ada").any_group
    assert not effective(policy, "nobody").any_group


def test_the_first_share_closes_all_groups_to_everybody_else() -> None:
    enrolled = {"ada": "worker", "eve": "reader", "app": "app"}
    policy = policy_of(WORKER + READER + APP, enrolled)
    allowed = {
        pair for pair in product(enrolled, ("workers", "ada", "eve", "app", "$x")) if may_join(policy, *pair)
    }
    assert allowed == {("ada", "workers"), ("ada", "ada"), ("app", "app")}
    assert not effective(policy, "ada").any_group


def test_a_grant_that_is_over_keeps_the_groups_closed() -> None:
    text = READER + '[grant.g]\nwho = "ada"\nshare = ["workers"]\nuntil = 2030-01-01T00:00:00Z'
    assert not may_join(policy_of(text, {"eve": "reader"}, NOW), "eve", "workers")


def test_a_deny_takes_a_group_away_and_closes_no_other() -> None:
    policy = policy_of(READER + '[deny.d]\nwho = "*"\nexcept = "ada"\nshare = ["payroll"]', {"eve": "reader"})
    assert not may_join(policy, "eve", "payroll")
    assert may_join(policy, "eve", "workers")


def test_a_plus_is_every_group_but_those_with_a_dollar() -> None:
    policy = policy_of('[template.t]\nshare = ["+", "$odd"]', {"ada": "t"})
    assert [group for group in ("a", "$odd", "$even") if may_join(policy, "ada", group)] == ["a", "$odd"]


def test_no_pattern_gives_anonymous_a_group() -> None:
    text = WORKER + '[group.all]\nmembers = ["*"]\napply = ["worker"]\n'
    assert may_join(policy_of(text), "ada", "workers")
    assert not may_join(policy_of(text), ANONYMOUS, "workers")


@pytest.mark.parametrize("text", ["workers/jobs", "#", "a/#", "${id}s", "${group}x", ""])
def test_what_can_be_no_name_of_a_group_is_an_error_with_its_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rules_of(f'[template.t]\nshare = [\n"{text}"]')
    assert caught.value.line == 4


def test_a_shared_subscription_is_explained_by_what_is_refused_of_it() -> None:
    policy = policy_of(WORKER + READER, {"ada": "worker", "eve": "reader"})
    told = why(policy, "eve", Action.SUBSCRIBE, "$share/workers/jobs/#")
    assert describe(told)[0] == "DENIED: no rule grants share"
    assert missing_rights(policy, told) == {"share": "workers"}
    told = why(policy, "eve", Action.SUBSCRIBE, "$share/workers/other")
    assert describe(told)[0] == "DENIED: no rule grants subscribe"
    assert missing_rights(policy, told) == {"subscribe": "other", "share": "workers"}
    told = why(policy, "ada", Action.SUBSCRIBE, "$share/workers/jobs/#")
    assert told.decision.allowed
    assert (told.topic, told.decision.rule) == ("$share/workers/jobs/#", "template.worker")


def test_the_nearest_group_is_told() -> None:
    told = why(policy_of(WORKER, {"ada": "worker"}), "ada", Action.SHARE, "others")
    assert told.nearest is not None
    assert (told.nearest.wanted, told.nearest.found) in [("workers", "others"), ("ada", "others")]


def test_cases_ask_for_the_filter_and_for_the_group() -> None:
    text = """version = 1
[[deny]]
who = "eve"
subscribe = ["$share/workers/jobs/#", "$share/workers/x"]
share = "workers"
[[allow]]
who = "ada"
subscribe = ["$share/workers/jobs/#", "jobs/+"]
share = "workers"
"""
    policy = policy_of(WORKER + READER, {"ada": "worker", "eve": "reader"})
    assert all(outcome.passed for outcome in run(policy, read_cases(Document(FILE, text))))
    with pytest.raises(ConfigError, match="one level"):
        read_cases(Document(FILE, 'version = 1\n[[deny]]\nwho = "a"\nshare = "workers/jobs"'))


def sentences(old: str, new: str, enrolled: dict[str, str]) -> list[str]:
    return [str(change) for change in diff(rules_of(old), rules_of(new), NOW, enrolled)]


def test_a_diff_says_who_loses_groups_when_they_become_a_right() -> None:
    enrolled = {"ada": "worker", "eve": "reader"}
    before = WORKER.partition("share")[0] + READER
    assert sentences(before, before + READER.replace("reader", "other"), {}) == [
        'whoever has template "other" gains subscribe on jobs/#'
    ]
    assert sentences(before, WORKER + READER, enrolled) == [
        'whoever has template "reader" loses share on +',
        'whoever has template "worker" loses share on +, in part: for example x',
    ]


def test_a_diff_tells_of_a_deny_although_nobody_is_granted_groups() -> None:
    denied = READER + '[deny.d]\nwho = "*"\nshare = ["payroll"]'
    assert 'whoever has template "reader" loses share on payroll' in sentences(READER, denied, {})


def test_a_group_that_nobody_can_use_is_a_warning() -> None:
    remarks = lint(rules_of('[template.t]\nshare = ["workers"]'), NOW)
    assert [(remark.line, remark.code) for remark in remarks] == [(3, "never-matches")]
    assert lint(rules_of(WORKER.replace('"workers"', '"+"')), NOW) == []

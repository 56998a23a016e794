"""The random cases of tools/policy_cases.py, and that they find what they are for."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from bollard.base.types import Action, Decision
from bollard.policy.compile import Policy

from .tools import policy_cases


def test_the_policy_agrees_with_a_naive_reading_in_random_cases() -> None:
    assert policy_cases().run(10_000, seed=20_300_101) == ""


def test_the_questions_are_answered_both_ways_for_every_action() -> None:
    tool = policy_cases()
    chance = random.Random(3)
    answers = set()
    for _ in range(300):
        model = tool.random_model(chance)
        for _ in range(20):
            identity, action, topic = tool.random_question(chance)
            answers.add((action, model.allows(identity, action, topic)))
    assert answers == {(action, allowed) for action in Action for allowed in (True, False)}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda policy, who, action, topic: policy(who, Action.PUBLISH if action == Action.WILL else action, topic),
        lambda policy, who, action, topic: policy(who, action, topic.removeprefix("$s/") or "a"),
        lambda policy, who, action, topic: policy("a" if who == "anonymous" else who, action, topic),
        lambda policy, who, action, topic: policy(
            who, Action.RECEIVE if action == Action.SUBSCRIBE else action, topic.replace("+", "a").replace("#", "a")
        ),
    ],
    ids=["wills as publishes", "$ forgotten", "anonymous as anybody", "filters as names"],
)  # fmt: skip
def test_a_policy_with_a_mistake_is_found_out(wrong: object, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Policy.decide
    assert callable(wrong)

    def decide(self: Policy, who: str, action: Action, topic: str) -> Decision:
        decision: Decision = wrong(lambda *question: right(self, *question), who, action, topic)
        return decision

    monkeypatch.setattr(Policy, "decide", decide)
    assert "the reference the opposite" in policy_cases().run(20_000, seed=1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda limits: limits.__class__(**{**dict(limits.items()), "max_qos": None}) if limits else None,
        lambda limits: None,
    ],
    ids=["one limit forgotten", "all limits forgotten"],
)
def test_a_policy_with_a_mistake_in_its_limits_is_found_out(
    wrong: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Policy.allowance
    monkeypatch.setattr(Policy, "allowance", lambda self, who: wrong(right(self, who)))
    assert "the reference the opposite" in policy_cases().run(5_000, seed=1)


@pytest.mark.parametrize(
    ("granted", "requested", "held"),
    [("#", "+/#", True), ("+/#", "#", True), ("a/#", "a", True), ("a/+/#", "a/#", False), ("a/+", "a/#", False),
     ("#", "$s/#", False), ("$s/#", "$s/+", True), ("+/x", "a/x", True), ("a/x", "+/x", False)],
)  # fmt: skip
def test_the_reference_knows_what_holds_what(granted: str, requested: str, held: bool) -> None:
    assert policy_cases()._holds(granted, requested) == held


def test_the_command_says_how_many_cases_agree(capsys: pytest.CaptureFixture[str]) -> None:
    assert policy_cases().main(["--cases", "200", "--seed", "5"]) == 0
    assert capsys.readouterr().out.startswith("200 cases agree (seed 5, ")

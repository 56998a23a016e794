"""The policy of a new installation: it parses, and gives exactly what it says."""

import re

import pytest

from bollard.base.toml import Document
from bollard.base.types import ANONYMOUS, Action
from bollard.policy.compile import Policy
from bollard.policy.default import DEFAULT_POLICY
from bollard.policy.explain import effective
from bollard.policy.rules import read_rules

from .texts import FILE


def policy(text: str = DEFAULT_POLICY) -> Policy:
    return Policy(read_rules(Document(FILE, text)), {"plug": "device", "ha": "app"})


def rights_of(identity: str) -> set[tuple[str, str]]:
    return {(right.right, right.filter) for right in effective(policy(), identity).rights}


def test_a_device_has_all_rights_to_its_own_topics_and_no_other() -> None:
    assert rights_of("plug") == {
        ("publish", "devices/plug/#"),
        ("subscribe", "devices/plug/#"),
        ("retain", "devices/plug/#"),
        ("will", "devices/plug/#"),
    }


def test_an_application_reads_all_devices_and_commands_them_and_no_more() -> None:
    assert rights_of("ha") == {("subscribe", "devices/#"), ("publish", "devices/+/cmd/#")}


@pytest.mark.parametrize("identity", ["stranger", ANONYMOUS])
def test_nobody_else_has_any_right(identity: str) -> None:
    assert rights_of(identity) == set()


def test_there_is_nothing_in_it_but_two_templates() -> None:
    rules = read_rules(Document(FILE, DEFAULT_POLICY))
    assert set(rules.templates) == {"device", "app"}
    assert (rules.groups, rules.grants, rules.denies) == ({}, {}, {})


@pytest.mark.parametrize(
    ("identity", "action", "topic", "allowed"),
    [
        ("plug", Action.PUBLISH, "devices/plug/data/temperature", True),
        ("plug", Action.PUBLISH, "devices/plug", True),
        ("plug", Action.PUBLISH, "devices/plug2/data", False),
        ("plug", Action.SUBSCRIBE, "devices/plug/cmd/+", True),
        ("plug", Action.SUBSCRIBE, "devices/+/cmd/#", False),
        ("plug", Action.SUBSCRIBE, "#", False),
        ("plug", Action.RECEIVE, "devices/plug/cmd/on", True),
        ("plug", Action.RECEIVE, "$SYS/broker/uptime", False),
        ("plug", Action.WILL, "devices/plug/status", True),
        ("plug", Action.WILL, "devices/other/status", False),
        ("plug", Action.RETAIN, "devices/plug/status", True),
        ("ha", Action.SUBSCRIBE, "devices/#", True),
        ("ha", Action.SUBSCRIBE, "devices/+/data/+", True),
        ("ha", Action.SUBSCRIBE, "$SYS/#", False),
        ("ha", Action.PUBLISH, "devices/plug/cmd/on", True),
        ("ha", Action.PUBLISH, "devices/plug/data/x", False),
        ("ha", Action.RETAIN, "devices/plug/cmd/on", False),
        ("ha", Action.WILL, "devices/plug/cmd/on", False),
    ],
)
def test_it_decides_as_its_owner_would_expect(
    identity: str, action: Action, topic: str, allowed: bool
) -> None:
    assert policy().decide(identity, action, topic).allowed == allowed


def test_its_examples_work_when_the_hash_signs_are_taken_away() -> None:
    before, examples = DEFAULT_POLICY.split("From here on", 1)
    rules = read_rules(Document(FILE, before + "\n" + re.sub(r"(?m)^# (?=\[|\w+ = )", "", "#" + examples)))
    assert set(rules.templates) == {"device", "app", "monitor", "worker", "tasmota"}
    assert set(rules.groups) == {"operators"}
    assert set(rules.grants) == {"boiler-service"}
    assert set(rules.denies) == {"firmware"}


def test_its_lines_fit_a_terminal() -> None:
    assert max(len(line) for line in DEFAULT_POLICY.splitlines()) <= 110

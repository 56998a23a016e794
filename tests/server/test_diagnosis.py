"""What a device is told of its own denials."""

import json
from pathlib import Path
from typing import Any

import pytest

from bollard.base.events import AccessDenied, Event, LimitReached
from bollard.base.toml import Document
from bollard.policy.compile import Policy
from bollard.policy.rules import read_rules
from bollard.server.diagnosis import BURST, MAX_IDENTITIES, MAX_PER_S, MAX_TEXT_CHARS, Diagnosis

TEXT = 'version = 1\n[template.sensor]\npublish = ["devices/${id}/data/#"]\n'
POLICY = Policy(read_rules(Document(Path("policy.toml"), TEXT)), {"plug": "sensor"})


class Scene:
    def __init__(self) -> None:
        self.now = 1_000_000_000.0
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.diagnosis = Diagnosis(self._publish, lambda: POLICY, lambda: self.now)

    def _publish(self, topic: str, payload: bytes) -> None:
        self.told.append((topic, json.loads(payload)))

    def see(self, *events: Event) -> list[tuple[str, dict[str, Any]]]:
        for event in events:
            self.diagnosis.observe(event)
        found, self.told = self.told, []
        return found


def denied(principal: str = "plug", topic: str = "hall/cmd", rule: str = "") -> AccessDenied:
    return AccessDenied(principal, "c", "publish", topic, rule, "no rule grants publish")


def test_a_denial_is_told_with_the_nearest_rule() -> None:
    assert Scene().see(denied(topic="devices/plug/cmd")) == [
        (
            "$diag/plug/denied",
            {
                "time": "2001-09-09T01:46:40.000+00:00",
                "action": "publish",
                "topic": "devices/plug/cmd",
                "reason": "no rule grants publish",
                "nearest": {"rule": "template.sensor", "filter": "devices/plug/data/#", "level": 3},
            },
        )
    ]


def test_a_denial_by_a_rule_names_it_and_nothing_near_it() -> None:
    ((_, told),) = Scene().see(denied(rule="deny.d"))
    assert told["rule"] == "deny.d"
    assert "nearest" not in told


def test_a_limit_of_policy_is_told_and_one_of_the_server_is_not() -> None:
    limit = LimitReached("policy.max_payload", "plug", "c", "192.0.2.1", "publish: 9 bytes on a")
    ((topic, told),) = Scene().see(limit, LimitReached("max_topic_levels", "plug", "c", "", "deep"))
    assert topic == "$diag/plug/denied"
    assert (told["action"], told["limit"], told["reason"]) == ("publish", "max_payload", "9 bytes on a")
    assert "192.0.2.1" not in json.dumps(told)


@pytest.mark.parametrize("principal", ["anonymous", "enroll:plug", "a/b", "+", ""])
def test_nobody_is_told_who_is_not_one_identity(principal: str) -> None:
    assert Scene().see(denied(principal)) == []


def test_so_many_at_once_and_then_one_in_a_second() -> None:
    scene = Scene()
    assert len(scene.see(*[denied()] * 100)) == BURST
    assert len(scene.see(denied("lamp"))) == 1
    scene.now += 1
    ((_, told),) = scene.see(denied(), denied())
    assert told["left_out"] == 100 - BURST
    scene.now += 1
    assert scene.see(denied())[0][1]["left_out"] == 1


def test_a_whole_fleet_is_told_no_more_than_so_many_in_a_second() -> None:
    scene = Scene()
    assert len(scene.see(*[denied(f"d{n}") for n in range(MAX_PER_S * 3)])) == MAX_PER_S


def test_long_topics_are_cut() -> None:
    ((_, told),) = Scene().see(denied(topic="x" * 5000))
    assert len(told["topic"]) == MAX_TEXT_CHARS


def test_so_many_identities_are_remembered_and_no_more() -> None:
    scene = Scene()
    for number in range(MAX_IDENTITIES + 10):
        scene.diagnosis.observe(denied(f"d{number}", rule="deny.d"))
    assert len(scene.diagnosis._rates) == MAX_IDENTITIES

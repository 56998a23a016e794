"""tools/policy_cost.py: both configurations can be served, and what it measures is what it says."""

from pathlib import Path
from types import ModuleType

import pytest

from bollard.policy.rules import parse_policy
from bollard.server.load import load_config
from server.tools import load_tool


@pytest.fixture
def tool() -> ModuleType:
    return load_tool("policy_cost")


def test_both_configurations_are_right_and_one_has_so_many_rules(tool: ModuleType, tmp_path: Path) -> None:
    assert tool.main(["write", str(tmp_path), "--rules", "200"]) == 0
    ports = []
    for name in ("open", "rules"):
        config = load_config(tmp_path / name / "bollard.toml")
        ports.append(config.listeners[0].bind.port)
        assert config.listeners[0].allow_anonymous
        rules = parse_policy(config.policy)
        assert len(rules.templates) + len(rules.grants) + len(rules.denies) == (1 if name == "open" else 200)
    assert ports == [18_870, 18_871]


def test_every_message_that_is_counted_was_delivered(tool: ModuleType) -> None:
    scene = tool.Scene(tool.policy_of(50))
    for topics in tool.CASES.values():
        before = scene.broker.counters.publish_sent
        scene.send(next(tool.batches(topics)))
        assert scene.broker.counters.publish_sent - before == tool.BATCH
    assert scene.broker.counters.denied_publish == 0


def test_the_figures_are_printed_side_by_side(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["measure", "--rules", "50", "--seconds", "0.01"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(tool.CASES)
    assert all("open" in line and "50 rules" in line and line.endswith("%") for line in lines)

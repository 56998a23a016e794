"""tools/policy_cost.py: both configurations can be served, and what it measures is what it says."""

import itertools
import json
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


@pytest.mark.parametrize("case", ["one topic", "500 topics", "never the same topic"])
def test_every_message_that_is_counted_was_delivered(tool: ModuleType, case: str) -> None:
    scene = tool.Scene(tool.policy_of(50))
    source = tool.CASES[case].batches()
    for _ in range(6):
        before = scene.broker.counters.publish_sent
        scene.send(next(source))
        assert scene.broker.counters.publish_sent - before == tool.BATCH
    assert scene.broker.counters.denied_publish == 0


def test_topics_come_again_where_the_case_says_so(tool: ModuleType) -> None:
    assert [tool.CASES["500 topics"].topic(n) for n in (0, 499, 500)] == [
        "bench/0/state",
        "bench/499/state",
        "bench/0/state",
    ]
    reads = list(itertools.islice(tool.CASES["500 topics"].batches(), 6))
    assert reads[5] == reads[0]
    assert len(set(reads[:5])) == 5
    assert len(set(itertools.islice(tool.CASES["never the same topic"].batches(), 50))) == 50


def test_every_figure_has_a_process_of_its_own_and_both_policies_their_turns(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    turns: list[str] = []
    rates = iter([100.0, 80.0, 90.0, 100.0] * 100)

    def measured(case: str, turn: str, rules: int, messages: int | None) -> float:
        turns.append(turn)
        return next(rates)

    monkeypatch.setattr(tool, "_in_a_process", measured)
    assert tool.main(["measure", "--rounds", "2", "--json"]) == 0
    assert turns == ["open", "rules", "rules", "open"] * 2 * len(tool.CASES)
    told = json.loads(capsys.readouterr().out)
    assert told["cases"]["one topic"]["cost_percent"] == pytest.approx([15.0, 15.0])


def test_the_table_has_a_line_for_each_case(tool: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["measure", "--rules", "50", "--rounds", "1", "--messages", "200"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert "50 rules" in lines[0]
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {name}" for name in tool.CASES]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["measure", "--rules", "3"], "3 is not a whole number from 10 to 100000"),
        (["measure", "--rounds", "0"], "0 is not a whole number from 1 to 100"),
        (["write", "there", "--port", "65535"], "65535 is not a whole number from 1 to 65534"),
    ],
)
def test_a_number_out_of_bounds_is_refused_with_the_bounds(
    tool: ModuleType, capsys: pytest.CaptureFixture[str], wrong: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        tool.main(wrong)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err

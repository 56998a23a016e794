"""bench/against_peers.py: what it asks for can be run, and what it says is what was measured."""

import importlib.util
import json
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import pytest

from bollard.policy.rules import parse_policy
from bollard.server.load import load_config

PATH = Path(__file__).parents[2] / "bench" / "against_peers.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("against_peers", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["against_peers"] = module
    spec.loader.exec_module(module)
    return module


def rows(tmp_path: Path, *found: dict[str, object]) -> Path:
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps({"metrics": ["per_cpu_s"], **row}) + "\n" for row in found))
    return path


def test_the_configuration_that_it_measures_is_one_of_ours(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(tool.POLICY)
    config = tmp_path / "bollard.toml"
    config.write_text(tool.CONFIG.format(plain=1, tls=2))
    assert len(load_config(config).listeners) == 2
    assert parse_policy(tmp_path / "policy.toml").templates


def test_each_scenario_is_named_once_and_runs_encrypted_where_both_are_asked(tool: ModuleType) -> None:
    for memory in (False, True):
        chosen = tool.scenarios(memory, 2)
        names = [each["name"] for each in chosen]
        assert len(names) == len(set(names))
        assert all(each["transport"] == "tls" for each in chosen if each["name"].startswith("tls-"))
    assert {"pairs-q1", "tls-pairs-q1"} <= {each["name"] for each in tool.scenarios(False, 2)}


def test_a_plan_is_toml_that_says_the_same(tool: ModuleType, tmp_path: Path) -> None:
    brokers = [{"name": 'a "b"', "cmd": ["x", "-c", "y z"], "port": 1}]
    chosen = tool.scenarios(False, 2)
    plan = tomllib.loads(tool.write_plan(tmp_path, brokers, chosen).read_text())
    assert (plan["broker"], plan["scenario"]) == (brokers, chosen)


def test_the_table_holds_medians_and_ratios(tool: ModuleType, tmp_path: Path) -> None:
    values = [("mosquitto", 100), ("mosquitto", 300), ("mosquitto", 200), ("bollard", 1000)]
    found, faults = tool.medians(
        rows(tmp_path, *({"case": "pairs-q0", "broker": name, "per_cpu_s": value} for name, value in values))
    )
    assert not faults
    assert "| pairs-q0 | per_cpu_s | 200 | 1 k (5.00) |" in tool.table(found)


def test_what_was_lost_or_could_not_run_is_said(tool: ModuleType, tmp_path: Path) -> None:
    lost = {"case": "pairs-q1", "broker": "bollard", "per_cpu_s": 5, "lost": 3}
    failed = {"case": "pairs-q1", "broker": "mosquitto", "error": "refused"}
    found, faults = tool.medians(rows(tmp_path, lost, failed))
    assert found == {("pairs-q1", "per_cpu_s", "bollard"): 5}
    assert faults == ["pairs-q1, bollard: {'lost': 3}", "pairs-q1, mosquitto: refused"]


def test_the_chart_is_svg_with_a_bar_for_each_ratio(tool: ModuleType) -> None:
    found = {
        ("pairs-q0", "per_cpu_s", "mosquitto"): 10.0,
        ("pairs-q0", "per_cpu_s", "bollard"): 150.0,
        ("connect", "per_cpu_s", "mosquitto"): 100.0,
        ("connect", "per_cpu_s", "bollard"): 50.0,
    }
    image = ElementTree.fromstring(tool.chart(found, "a < b"))
    texts = [each.text for each in image.iter() if each.tag.endswith("text")]
    assert {"15x", "0.5x", "a < b"} <= set(texts)


def test_without_a_second_core_it_says_so(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool.os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(sys, "argv", ["against_peers.py", "--room", str(tmp_path)])
    assert tool.main() == 2
    assert "two cores" in capsys.readouterr().err

"""bench/against_peers.py: what it asks for can be run, and what it says is what was measured."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import against_peers as tool
import brokers
import pytest
from asked import Asked
from results import insert

from bollard.policy.rules import parse_policy
from bollard.server.load import load_config

BENCH = Path(__file__).parents[2] / "bench"
ABOUT = {
    "date": "2026-11-01",
    "machine": {"processor": "p", "cores": "2", "system": "s", "python": "3", "openssl": "o"},
    "versions": {"mosquitto": "mosquitto 2", "bollard": "bollard 1"},
    "seconds": 2.0,
    "runs": [{"reps": 3}],
}


def rows(path: Path, *found: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps({"metrics": ["per_cpu_s"], **row}) + "\n" for row in found))
    return path


def measured(case: str, broker: str, value: float, rep: int = 0, **more: object) -> dict[str, object]:
    return {"case": case, "broker": broker, "rep": rep, "per_cpu_s": value, **more}


def test_the_configuration_that_it_measures_is_one_of_ours(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(brokers.POLICY)
    config = tmp_path / "bollard.toml"
    config.write_text(brokers.CONFIG.format(plain=1, tls=2))
    loaded = load_config(config)
    assert len(loaded.listeners) == 2
    assert not any("relaxed" in line for line in config.read_text().splitlines())
    assert parse_policy(tmp_path / "policy.toml").templates


def test_each_scenario_is_named_once_and_runs_encrypted_where_both_are_asked() -> None:
    found = {part: tool.scenarios(part, 2) for part in tool.PARTS}
    names = [each["name"] for part in found.values() for each in part]
    assert len(names) == len(set(names))
    assert all(each["transport"] == "tls" for each in found["matrix"] if each["name"].startswith("tls-"))
    assert {"pairs-q1", "tls-pairs-q1"} <= {each["name"] for each in found["matrix"]}
    assert {each["kind"] for each in found["durable"]} == {"offline"}
    assert all(each["fresh"] for each in found["memory"])


def test_a_plan_is_toml_that_says_the_same(tmp_path: Path) -> None:
    broker = {"name": 'a "b"', "cmd": ["x"], "port": 1, "env": {"A_B": "c d"}}
    chosen = tool.scenarios("matrix", 2)
    given = [{**broker, "version": "1", "durable_cmd": ["y"]}]
    plan = tomllib.loads(tool.write_plan(tmp_path, "matrix", given, chosen).read_text())
    assert (plan["broker"], plan["scenario"]) == ([broker], chosen)
    plan = tomllib.loads(tool.write_plan(tmp_path, "durable", given, chosen).read_text())
    assert plan["broker"][0]["cmd"] == ["y"]


def test_the_table_holds_medians_ratios_and_whether_the_aim_is_reached(tmp_path: Path) -> None:
    values = [("mosquitto", 100), ("mosquitto", 300), ("mosquitto", 200), ("bollard", 3100), ("other", 50)]
    path = tmp_path / "matrix.jsonl"
    rows(path, *(measured("pairs-q0", name, value, rep) for rep, (name, value) in enumerate(values)))
    results = tool.read(path)
    assert not results.faults
    lines = tool.lines_of(tool.matrix())
    written = tool.section(results, ABOUT, lines, "x.svg")
    assert "| `pairs-q0` | 200 ±50 % | 3.1 k | 15.5 | ≥ 15 yes | 50 (0.25) |" in written
    assert "Aims reached: 1 of 1." in written
    assert 'interleaved runs of 2 s each (`make bench ARGS="--seconds 2 --reps 3"`)' in written
    entries = json.loads(tool.as_json(results, ABOUT, lines))["results"]
    assert entries[0]["brokers"]["mosquitto"] == {"median": 200, "runs": [100, 300, 200], "ratio": 1.0}
    assert entries[0]["met"] is True


def test_encrypted_is_compared_with_encrypted_and_where_asked_with_the_clear(tmp_path: Path) -> None:
    found = [
        ("pairs-q0", "mosquitto", 10),
        ("tls-pairs-q0", "mosquitto", 20),
        ("tls-pairs-q0", "bollard", 90),
    ]
    results = tool.read(rows(tmp_path / "m", *(measured(*one) for one in found)))
    lines = [line for line in tool.lines_of(tool.matrix()) if line.case == "tls-pairs-q0"]
    ratios = [(results.ratio(line.case, line.metric, base=line.base), line.met(results)) for line in lines]
    assert ratios == [(4.5, False), (9.0, False)]
    shown = tool.section(results, ABOUT, lines, "x.svg")
    assert "`tls-pairs-q0 / pairs-q0`" in shown
    assert "Mosquitto is faster over TLS than in the clear" in shown


def test_what_was_not_measured_has_no_row_and_nothing_is_claimed_of_it(tmp_path: Path) -> None:
    found = [("tls-pairs-q0", "mosquitto", 20), ("tls-pairs-q0", "other", 90)]
    results = tool.read(rows(tmp_path / "m", *(measured(*one) for one in found)))
    shown = tool.section(results, ABOUT, tool.lines_of(tool.matrix()), "x.svg")
    assert "One run of 2 s each" in shown
    assert "| `tls-pairs-q0` | 20 | - |" in shown
    assert not any(text in shown for text in ("/ pairs-q0`", "Aims reached", "±", "faster over TLS"))


def test_bounds_are_of_the_figure_and_latencies_are_not_to_exceed(tmp_path: Path) -> None:
    memory = {"metrics": ["rss_per_conn"], "rss_per_conn": 7000.0}
    latency = {"metrics": ["lat_p50_us", "lat_p99_us"], "lat_p50_us": 40.0, "lat_p99_us": 90.0}
    slower = {**latency, "lat_p50_us": 30.0, "lat_p99_us": 99.0}
    results = tool.read(
        rows(
            tmp_path / "m",
            {"case": "idle", "broker": "bollard", **memory},
            {"case": "latency-5k-q0", "broker": "bollard", **latency},
            {"case": "latency-5k-q0", "broker": "mosquitto", **slower},
        )
    )
    met = {(line.case, line.metric): line.met(results) for line in tool.lines_of(tool.matrix())}
    assert met["idle", "rss_per_conn"] is False
    assert met["latency-5k-q0", "lat_p50_us"] is False
    assert met["latency-5k-q0", "lat_p99_us"] is True
    assert met["pairs-q0", "per_cpu_s"] is None


def test_what_was_lost_or_could_not_run_is_said_unless_it_was_made_good(tmp_path: Path) -> None:
    lost = measured("pairs-q1", "bollard", 5, lost=3)
    failed = {"case": "pairs-q1", "broker": "mosquitto", "rep": 0, "error": "refused"}
    again = [
        {"case": "pairs-q2", "broker": "mosquitto", "rep": 0, "error": "x"},
        measured("pairs-q2", "mosquitto", 4),
    ]
    results = tool.read(rows(tmp_path / "m", lost, failed, *again))
    assert results.median("pairs-q1", "per_cpu_s", "bollard") == 5
    assert results.median("pairs-q2", "per_cpu_s", "mosquitto") == 4
    assert results.faults == ["pairs-q1, bollard: {'lost': 3}", "pairs-q1, mosquitto: refused"]
    assert "- pairs-q1, mosquitto: refused" in tool.section(results, ABOUT, [], "x.svg")


def test_the_chart_has_a_bar_for_each_ratio_and_a_mark_for_each_other_broker(tmp_path: Path) -> None:
    values = {"mosquitto": (10, 100), "bollard": (150, 50), "other": (5, 5)}
    found = [
        measured(case, broker, value[index])
        for broker, value in values.items()
        for index, case in enumerate(("pairs-q0", "connect"))
    ]
    lines = tool.lines_of(tool.matrix())
    image = ElementTree.fromstring(tool.chart(tool.read(rows(tmp_path / "m", *found)), lines, "a < b"))
    texts = [each.text for each in image.iter() if each.tag.endswith("text")]
    assert {"15 x", "0.5 x", "a < b", "other"} <= set(texts)
    kinds = [each.get("class") for each in image.iter() if each.tag.endswith("rect")]
    assert (kinds.count("plain"), kinds.count("behind")) == (2, 2)  # each once in the legend
    marks = [each for each in image.iter() if each.get("class") == "peer"]
    assert len(marks) == 3


def test_the_figures_take_the_place_of_those_before(tmp_path: Path) -> None:
    document = tmp_path / "docs" / "PERFORMANCE.md"
    document.parent.mkdir()
    document.write_text("above\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nbelow\n")
    rows(tmp_path / "matrix.jsonl", measured("pairs-q0", "bollard", 5))
    (tmp_path / "about.json").write_text(json.dumps(ABOUT))
    assert tool.main(["--room", str(tmp_path), "--render", "--into", str(document.parent)]) == 0
    text = document.read_text()
    assert text.startswith("above\n")
    assert text.endswith("\nbelow\n")
    assert "old" not in text
    assert "`pairs-q0`" in text
    assert (document.parent / "performance.svg").exists()
    with pytest.raises(ValueError, match="has no lines"):
        insert("nothing", "figures", "new")


def test_further_brokers_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "also.toml"
    file.write_text('[[broker]]\nname = "x"\ncmd = ["x", "{chain}"]\nport = 1\n')
    assert brokers.described(file, {"chain": Path("/c")}) == [
        {"name": "x", "version": "x", "cmd": ["x", "/c"], "port": 1}
    ]
    file.write_text('[[broker]]\nname = "x"\n')
    with pytest.raises(brokers.CannotRun, match="name, cmd and port"):
        brokers.described(file, {})
    file.unlink()
    with pytest.raises(brokers.CannotRun) as told:
        brokers.described(file, {})
    assert str(told.value) == f"--also {file}: No such file or directory"


def test_only_brokers_that_are_asked_for_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []
    monkeypatch.setattr(brokers, "ROOT", tmp_path)
    monkeypatch.setattr(brokers, "run_to_end", lambda command, stdout: made.append(command[-1]) or 2)
    brokers.set_up("mosquitto,bollard")
    assert made == []
    brokers.set_up("mosquitto,aed*")
    assert made == ["build/node/.aedes-ready"]
    assert "aedes cannot be fetched; going on without it" in capsys.readouterr().err
    brokers.set_up(None)
    assert made[1:] == list(brokers.FETCHED.values())


def test_without_a_second_core_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool.os, "sched_getaffinity", lambda _: {0})
    assert tool.main(["--room", str(tmp_path)]) == 2
    assert "two cores" in capsys.readouterr().err


def plan(folder: Path, command: list[str], port: int) -> Path:
    path = folder / "plan.toml"
    path.write_text(
        f'[run]\nmqttload = "/bin/true"\nbroker_core = {min(os.sched_getaffinity(0))}\nbaseline = "b"\n'
        f'[[broker]]\nname = "b"\ncmd = {json.dumps(command)}\nport = {port}\nready_timeout = 10\n'
        f'clean = ["{folder}/store*"]\n'
        '[[scenario]]\nname = "s"\nargs = []\n'
    )
    return path


def compared(folder: Path, path: Path, *more: str) -> list[dict[str, object]]:
    out = folder / "out.jsonl"
    command = [sys.executable, str(BENCH / "load" / "compare.py"), "run", str(path), "--out", str(out), *more]
    subprocess.run(command, capture_output=True, timeout=30, check=True)
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_a_broker_that_does_not_start_is_left_out_after_three_times_with_its_own_words(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", "print('no licence'); raise SystemExit(3)"]
    found = compared(tmp_path, plan(tmp_path, command, 1), "--reps", "5")
    assert len(found) == 3
    assert "exited with 3: no licence" in str(found[0]["error"])
    assert "left out from here on" in str(found[2]["error"])


def test_runs_that_are_there_are_not_repeated_and_state_is_removed_before_each(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("of an earlier run")
    (tmp_path / "store.d").mkdir()
    done = [measured("s", "b", 1, rep) for rep in range(2)]
    rows(tmp_path / "out.jsonl", *done)
    path = plan(tmp_path, [sys.executable, "-c", "raise SystemExit(3)"], 1)
    assert len(compared(tmp_path, path, "--reps", "2", "--resume")) == 2
    assert (tmp_path / "store.db").exists()
    assert len(compared(tmp_path, path, "--reps", "3", "--resume")) == 3
    assert not list(tmp_path.glob("store*"))


def ended(written: Path) -> bool:
    """Whether the process whose number is in the file ends: one that was killed needs its core once more for that."""
    stat = Path("/proc", written.read_text().strip(), "stat")
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_what_a_broker_that_ended_leaves_running_ends_with_it(tmp_path: Path) -> None:
    left = tmp_path / "left"
    script = f"sleep 300 & echo $! > {left}; exit 3"
    compared(tmp_path, plan(tmp_path, ["sh", "-c", script], 1), "--reps", "1")
    assert ended(left)


def test_a_part_without_a_scenario_that_is_asked_for_is_left_out() -> None:
    assert list(tool.chosen_parts(Asked())) == list(tool.PARTS)
    assert list(tool.chosen_parts(Asked(scenarios="pairs*,tls-pairs*"))) == ["matrix"]
    chosen = tool.chosen_parts(Asked(scenarios="pairs-q0,idle"))
    assert [[one["name"] for one in part] for part in chosen.values()] == [["pairs-q0"], ["idle"]]


def test_a_name_that_means_nothing_costs_no_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows(tmp_path / "matrix.jsonl", measured("pairs-q0", "bollard", 1))
    pretend(monkeypatch)
    for arguments, told in (
        (["--scenarios", "nosuch"], "--scenarios nosuch: there are pairs-q0"),
        (["--scenarios", "pairs-q0,tls-pair-q1"], "--scenarios tls-pair-q1: there are pairs-q0"),
        (["--brokers", "bollard,mosquito"], "--brokers mosquito: there are mosquitto, bollard"),
        (["--parts", "matrix,all"], "--parts all: there are matrix"),
    ):
        assert tool.main(["--room", str(tmp_path), *arguments]) == 2
        assert told in capsys.readouterr().err
        assert before.exists()


def pretend(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], list[str], int]]:
    """Brokers, generator and comparison that do nothing; brokers, scenarios and repetitions of what would be run."""
    done: list[tuple[list[str], list[str], int]] = []

    def run(
        room: Path, there: list[dict[str, Any]], parts: dict[str, list[dict[str, Any]]], reps: int
    ) -> None:
        names = [one["name"] for part in parts.values() for one in part]
        done.append(([one["name"] for one in there], names, reps))
        rows(room / "matrix.jsonl", measured("pairs-q0", "bollard", 1))

    found = [{"name": name, "version": f"{name} 1"} for name in ("mosquitto", "bollard")]
    monkeypatch.setattr(tool, "build_generator", lambda room: room)
    monkeypatch.setattr(tool, "set_up", lambda wanted: None)
    monkeypatch.setattr(tool, "found_brokers", lambda room, also: found)
    monkeypatch.setattr(tool, "run", run)
    return done


def test_a_run_that_was_broken_off_goes_on_with_what_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = pretend(monkeypatch)
    first = ["--reps", "2", "--seconds", "0.3", "--brokers", "bollard", "--scenarios", "pairs-q0,pairs-q1"]
    assert tool.main(["--room", str(tmp_path), *first]) == 0
    assert tool.main(["--room", str(tmp_path), "--resume"]) == 0
    assert done == [(["bollard"], ["pairs-q0", "pairs-q1"], 2)] * 2
    kept = (tmp_path / "about.json").read_text()
    capsys.readouterr()
    assert tool.main(["--room", str(tmp_path), "--resume", "--seconds", "0.6"]) == 2
    assert "were measured with --seconds 0.3" in capsys.readouterr().err
    assert (tmp_path / "about.json").read_text() == kept
    assert tool.main(["--room", str(tmp_path), "--resume", "--brokers", "mosquitto", "--reps", "1"]) == 0
    assert done[2:] == [(["mosquitto"], ["pairs-q0", "pairs-q1"], 1)]
    written = (tmp_path / "results.md").read_text()
    assert '--seconds 0.3 --reps 2 --brokers bollard --scenarios pairs-q0,pairs-q1"`, then `make' in written
    assert tool.main(["--room", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "about.json").read_text())["seconds"] == 2


def test_nothing_is_rendered_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["--room", str(tmp_path), "--render"]) == 2
    assert "measure first" in capsys.readouterr().err
    rows(tmp_path / "matrix.jsonl", {"case": "pairs-q0", "broker": "bollard", "error": "refused"})
    assert tool.main(["--room", str(tmp_path), "--render"]) == 2
    assert "pairs-q0, bollard: refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--reps", "0"], "more than nothing"),
        (["--seconds", "0"], "more than nothing"),
        (["--into", "nowhere"], "there is no PERFORMANCE.md"),
        (["--nosuch"], "unrecognized arguments: --nosuch"),
    ],
)
def test_what_would_measure_nothing_is_a_usage_error(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        tool.parse(arguments)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.usefixtures("heard")
def test_ctrl_c_ends_everything_that_was_started_without_a_traceback(tmp_path: Path) -> None:
    running = tmp_path / "running"
    script = f"echo $$ > {running}; exec sleep 300"
    path = plan(tmp_path, ["sh", "-c", script], 1)
    for number in (signal.SIGTERM, signal.SIGINT):
        running.unlink(missing_ok=True)
        command = [sys.executable, str(BENCH / "load" / "compare.py"), "run", str(path)]
        with subprocess.Popen(
            [*command, "--out", str(tmp_path / "out.jsonl")], stderr=subprocess.PIPE, text=True
        ) as process:
            while not running.exists() or not running.read_text().strip():
                time.sleep(0.01)
            process.send_signal(number)
            told = process.communicate(timeout=20)[1]
        assert (process.returncode, told) == (128 + number, "broken off: ending what was started\n")
        assert ended(running)

"""`bollard policy` on files alone: check, test, diff, show, presets, and what they end with."""

import json
from pathlib import Path
from typing import Any

import pytest

from bollard.cli.main import main
from bollard.policy.presets import PRESETS
from bollard.server.config import Address
from bollard.server.state import prepare

DEVICE = 'version = 1\n[template.device]\npublish = ["d/${id}/#"]\n'
BROAD = DEVICE + '[grant.all]\nwho = "*"\nsubscribe = ["#"]\n'


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write_file(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write_file


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


class TestCheck:
    def test_a_policy_without_doubts_ends_with_0(
        self, write: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = write("policy.toml", DEVICE)
        assert main(["policy", "check", path]) == 0
        assert said(capsys) == [f"{path}: right; 1 template, 0 groups, 0 grants, 0 denies; no warnings"]

    def test_warnings_name_file_line_and_rule_and_end_with_1(
        self, write: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = write("policy.toml", BROAD)
        assert main(["policy", "check", path]) == 1
        first, second = said(capsys)
        assert (
            first
            == f"{path}:6: grant.all: subscribe on # reaches into every topic tree but those with $ [broad]"
        )
        assert second.endswith("1 warning")

    def test_an_option_that_weakens_is_named(self, write: Any, capsys: pytest.CaptureFixture[str]) -> None:
        path = write("policy.toml", DEVICE + "\n[options]\nallow_foreign_response_topics = true\n")
        assert main(["policy", "check", path]) == 0
        assert said(capsys)[0] == f"{path}: weakened by allow_foreign_response_topics"

    def test_limits_and_groups_are_shown(self, write: Any, capsys: pytest.CaptureFixture[str]) -> None:
        path = write("policy.toml", BROAD + '\n[group.all]\nmembers = ["*"]\nrate = "5/s"\n')
        assert main(["policy", "show", "plug", "--policy", path]) == 0
        told = said(capsys)
        assert [line.split() for line in told if line.startswith("rate")] == [["rate", "5/s", "group.all"]]
        assert "Shared groups: any, because no rule of the policy grants share." in told

    def test_rules_for_nobody_are_notes_that_change_no_exit_code(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        prepare(tmp_path / "state", Address("127.0.0.1", 0))
        main(["enroll", "anna", "--dir", str(tmp_path / "state")])
        path = tmp_path / "state" / "policy.toml"
        line = path.read_text().count("\n") + 1
        with path.open("a") as file:
            file.write('[grant.service]\nwho = ["anna", "ana", "anonymous"]\nsubscribe = ["a"]\n')
        capsys.readouterr()
        assert main(["policy", "check", "--dir", str(tmp_path / "state")]) == 0
        place = f"{path}:{line}: note: grant.service:"
        assert said(capsys)[:2] == [
            f"{place} no listener admits anonymous [nobody]",
            f'{place} nobody is enrolled as "ana", or it is revoked [nobody]',
        ]
        assert main(["policy", "check", "--dir", str(tmp_path / "state"), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["warnings"], len(found["notes"])) == ([], 2)

    def test_mistakes_end_with_2(self, write: Any, capsys: pytest.CaptureFixture[str]) -> None:
        path = write("policy.toml", "version = 1\n[template.device]\npublsh = []\n")
        assert main(["policy", "check", path]) == 2
        assert f'{path}:3: unknown key "publsh"' in capsys.readouterr().err

    def test_json_has_every_warning(self, write: Any, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["policy", "check", write("policy.toml", BROAD), "--json"]) == 1
        warnings = json.loads(capsys.readouterr().out)["warnings"]
        assert [(one["line"], one["rule"], one["code"]) for one in warnings] == [(6, "grant.all", "broad")]


class TestCases:
    CASES = 'version = 1\npolicy = "policy.toml"\n[enrolled]\nplug = "device"\n'

    def test_cases_that_pass_end_with_0(self, write: Any, capsys: pytest.CaptureFixture[str]) -> None:
        write("policy.toml", DEVICE)
        cases = write(
            "cases.toml", self.CASES + '[[allow]]\nwho = "plug"\npublish = ["d/plug/x", "d/plug"]\n'
        )
        assert main(["policy", "test", cases]) == 0
        assert said(capsys) == ["2 passed, 0 failed"]

    def test_a_case_that_fails_is_told_with_its_line_and_why(
        self, write: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write("policy.toml", DEVICE)
        cases = write(
            "cases.toml",
            self.CASES + '[[allow]]\nwho = "plug"\npublish = "d/lamp"\n[[deny]]\nwho = "plug"\npublish = "x"\nrule = "deny.d"\n',
        )  # fmt: skip
        assert main(["policy", "test", cases]) == 1
        assert said(capsys) == [
            f"{cases}:7: plug may publish d/lamp, but it is denied: no rule grants publish",
            f"{cases}:10: plug may not publish x, but deny.d was to decide, and no rule did",
            "0 passed, 2 failed",
        ]

    def test_another_policy_can_be_named(self, write: Any, capsys: pytest.CaptureFixture[str]) -> None:
        write("policy.toml", "version = 1")
        cases = write("cases.toml", self.CASES + '[[allow]]\nwho = "plug"\npublish = "d/plug"\n')
        assert main(["policy", "test", cases, "--policy", write("other.toml", DEVICE), "--json"]) == 0
        outcome = json.loads(capsys.readouterr().out)
        assert (outcome["passed"], outcome["failed"]) == (1, 0)
        assert outcome["cases"][0]["rule"] == "template.device"


class TestDiff:
    def test_the_same_policy_ends_with_0(self, write: Any, capsys: pytest.CaptureFixture[str]) -> None:
        path = write("policy.toml", DEVICE)
        assert main(["policy", "diff", path, path]) == 0
        assert said(capsys) == ["Nobody's rights change."]

    def test_a_change_is_a_sentence_and_ends_with_1(
        self, write: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        old, new = write("old.toml", DEVICE), write("new.toml", BROAD)
        assert main(["policy", "diff", old, new]) == 1
        assert said(capsys) == ["everybody gains subscribe on #"]
        assert main(["policy", "diff", new, old, "--json"]) == 1
        changes = json.loads(capsys.readouterr().out)
        assert [(one["who"], one["gains"], one["sentence"]) for one in changes] == [
            ("everybody", False, "everybody loses subscribe on #")
        ]


class TestShow:
    def test_every_right_is_told_with_its_rule(self, write: Any, capsys: pytest.CaptureFixture[str]) -> None:
        later = '[grant.later]\nwho = "plug"\npublish = ["x"]\nfrom = 2999-01-01T00:00:00Z\n'
        path = write("policy.toml", DEVICE + later)
        assert main(["policy", "show", "plug", "--as", "device", "--policy", path]) == 0
        assert said(capsys) == [
            'plug has template "device"; groups: none',
            "RIGHT    RULE   TOPICS    BY               BECAUSE",
            "publish  allow  d/plug/#  template.device  enrolled with it",
            "Not in force now: grant.later",
        ]

    def test_nothing_is_said_to_be_nothing(self, write: Any, capsys: pytest.CaptureFixture[str]) -> None:
        path = write("policy.toml", DEVICE)
        assert main(["policy", "show", "plug", "--as", "devcie", "--policy", path]) == 0
        assert said(capsys) == [
            'plug has template "devcie", which the policy does not have; groups: none',
            "It may do nothing: no rule grants it anything.",
        ]

    def test_json_has_the_rights(self, write: Any, capsys: pytest.CaptureFixture[str]) -> None:
        path = write("policy.toml", BROAD)
        assert main(["policy", "show", "plug", "--policy", path, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["rights"] == [
            {"right": "subscribe", "allows": True, "filter": "#", "rule": "grant.all", "via": ""}
        ]

    def test_what_cannot_be_an_identity_is_a_usage_error(
        self, write: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["policy", "show", "a/b", "--policy", write("policy.toml", DEVICE)]) == 2
        assert "cannot be an identity" in capsys.readouterr().err


class TestPresets:
    def test_all_are_listed(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["policy", "presets"]) == 0
        assert [line.split()[0] for line in said(capsys)[: len(PRESETS)]] == list(PRESETS)

    def test_one_is_shown_with_its_parameters_and_topics(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["policy", "presets", "sparkplug-node"]) == 0
        lines = said(capsys)
        assert lines[1].split() == ["group", "must", "be", "set"]
        assert "will       spBv1.0/{group}/NDEATH/${id}" in lines

    def test_a_name_that_is_none_is_a_usage_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["policy", "presets", "tasmotta"]) == 2
        assert 'Did you mean "tasmota"?' in capsys.readouterr().err

    def test_json_has_every_topic(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["policy", "presets", "--json"]) == 0
        assert {one["name"]: tuple(one["publish"]) for one in json.loads(capsys.readouterr().out)} == {
            name: preset.publish for name, preset in PRESETS.items()
        }

"""`bollard why`: the verdict, the rule, what would change it, and its exit code."""

import json
import shlex
from pathlib import Path

import pytest

from bollard.cli.main import main

POLICY = """\
version = 1
[template.sensor]
publish = ["devices/${id}/data/#"]
subscribe = ["devices/${id}/cmd/#"]
[deny.firmware]
who = "*"
publish = ["devices/+/ota/#"]
"""


@pytest.fixture
def policy(tmp_path: Path) -> list[str]:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    return ["--policy", str(path), "--as", "sensor"]


def test_what_is_allowed_names_its_rule_and_ends_with_0(
    policy: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", "plug", "publish", "devices/plug/data/t", *policy]) == 0
    assert capsys.readouterr().out.splitlines() == [
        'ALLOWED: template "sensor" grants publish on devices/${id}/data/#',
        "'plug' has template \"sensor\"; groups: none",
    ]


def test_what_is_denied_names_what_is_nearest_and_how_to_grant_it(
    policy: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", "plug", "publish", "devices/hall/cmd/it's on", *policy]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "DENIED: no rule grants publish"
    assert lines[1].startswith("nearest: template.sensor, devices/plug/data/# (differs at level 2")
    command = next(line for line in lines if line.startswith("  bollard grant"))
    assert shlex.split(command) == [
        "bollard", "grant", "plug", "--publish", "devices/hall/cmd/it's on", "--for", "1h",
    ]  # fmt: skip
    assert lines[-4:-1] == [
        "  [grant.plug-1]",
        '  who = "plug"',
        '  publish = ["devices/hall/cmd/it\'s on"]',
    ]


def test_what_a_deny_forbids_is_not_offered_as_a_grant(
    policy: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", "plug", "will", "devices/plug/ota/x", *policy]) == 1
    out = capsys.readouterr().out
    assert 'DENIED: deny "firmware" forbids publish, and so a will, on devices/+/ota/#' in out
    assert "\n\nNo grant can overrule deny.firmware" in out
    assert "bollard grant" not in out


def test_json_has_all_of_it(policy: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "plug", "retain", "devices/plug/data/t", *policy, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["allowed"] is False
    assert told["template"] == "sensor"
    assert told["notes"] == ["template.sensor grants publish here; retain is a right of its own"]
    assert told["fix"]["command"] == "bollard grant plug --retain devices/plug/data/t --for 1h"


def test_a_shared_subscription_is_asked_as_its_inner_filter(
    policy: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", "plug", "subscribe", "$share/g/devices/plug/cmd/#", *policy]) == 0
    assert main(["why", "plug", "subscribe", "$share/g/devices/#", *policy]) == 1
    assert "--subscribe 'devices/#'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a/b", "publish", "x"], "cannot be an identity"),
        (["plug", "publish", "x/#"], "must not hold a wildcard"),
        (["plug", "subscribe", "x/#/y"], "# must be the whole last level"),
        (["plug", "read", "x"], "'read' is not one of"),
    ],
)
def test_a_question_that_makes_no_sense_ends_with_2(
    arguments: list[str], message: str, policy: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", *arguments, *policy]) == 2
    assert message in capsys.readouterr().err


def test_a_policy_that_is_wrong_is_told_and_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("version = 2\n")
    assert main(["why", "plug", "publish", "x", "--policy", str(path)]) == 2
    assert f"{path}:1: this version is not known" in capsys.readouterr().err

"""`bollard check`: right or wrong, before anything starts."""

import json
from pathlib import Path

import pytest

from bollard.cli.main import main
from bollard.policy.default import DEFAULT_POLICY

LISTENER = '[[listener]]\nbind = "127.0.0.1:1883"\nallow_plaintext = true\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "policy.toml").write_text(DEFAULT_POLICY)
    file = tmp_path / "bollard.toml"
    file.write_text(LISTENER)
    return file


def test_a_right_configuration_is_told_with_what_weakens_it(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--config", str(config)]) == 0
    told = capsys.readouterr().out
    assert "plaintext 127.0.0.1:1883" in told
    assert "2 templates" in told
    assert "weakened by allow_plaintext" in told


def test_it_is_told_what_opens_the_keys_of_the_authorities(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--config", str(config)]) == 0
    assert "ca.pass in the state directory opens the authorities' keys" in capsys.readouterr().out
    token = 'unlock = "pkcs11"\npkcs11_module = "/usr/lib/hsm.so"\npkcs11_token = "plant"\n'
    config.write_text(f"{LISTENER}[authorities]\n{token}")
    assert main(["check", "--config", str(config)]) == 0
    assert "in the token plant; each start asks for its PIN" in capsys.readouterr().out
    assert main(["check", "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unlock"] == "pkcs11"


def test_json_has_listeners_and_weaknesses(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(config), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["listeners"] == ["plaintext 127.0.0.1:1883"]
    assert len(told["weaknesses"]) == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [("bollard.toml", LISTENER.count("\n") + 1), ("policy.toml", DEFAULT_POLICY.count("\n") + 1)],
)
def test_a_mistake_is_told_with_file_and_line(
    config: Path, capsys: pytest.CaptureFixture[str], name: str, line: int
) -> None:
    file = config.parent / name
    file.write_text(file.read_text() + "[colours]\nred = 1\n")
    assert main(["check", "--config", str(config)]) == 2
    told = capsys.readouterr()
    assert f"{file}:{line}:" in told.err
    assert told.out == ""


def test_checking_makes_nothing(config: Path) -> None:
    main(["check", "--config", str(config)])
    assert sorted(path.name for path in config.parent.iterdir()) == ["bollard.toml", "policy.toml"]

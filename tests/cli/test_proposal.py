"""What messages propose means the installation that the command was about."""

import json
from pathlib import Path

import click
import pytest

from bollard.cli.main import command, main
from bollard.cli.proposal import pointed, remember
from cli.daemon import Daemon, bollard


def pointed_from(option: str, value: str, text: str) -> str:
    """`text` as it comes out of a command that was given `option`."""
    with click.Context(command, info_name="bollard") as ctx:
        remember(ctx, click.Option([option]), Path(value))
        return pointed(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Start it: bollard up", "Start it: bollard up --dir /x"),
        ("bollard devices rotate plug --token", "bollard devices rotate --dir /x plug --token"),
        ("`bollard authority` shows it", "`bollard authority --dir /x` shows it"),
        ("`bollard devices lists`", "`bollard devices --dir /x lists`"),
        (
            "see bollard why ID; bollard log verify",
            "see bollard why --dir /x ID; bollard log verify --dir /x",
        ),
        ("/opt/bin/bollard status", "/opt/bin/bollard status --dir /x"),
        ("no option: bollard sub -t x", "no option: bollard sub -t x"),
        ("it has one: bollard up --dir DIR", "it has one: bollard up --dir DIR"),
        ("Use the bollard of the same version.", "Use the bollard of the same version."),
    ],
)
def test_the_directory_follows_the_name_of_each_command_that_takes_it(text: str, told: str) -> None:
    assert pointed_from("--dir", "/x", text) == told


def test_a_configuration_is_repeated_and_started_by_serve() -> None:
    assert pointed_from("--config", "b.toml", "bollard status, bollard up") == (
        "bollard status --config b.toml, bollard serve --config b.toml"
    )


def test_a_path_is_quoted_for_the_shell_and_moves_no_terminal() -> None:
    assert pointed_from("--dir", "/my state", "bollard up") == "bollard up --dir '/my state'"
    assert pointed_from("--dir", "/a\x1b[2J", "bollard up") == "bollard up --dir '/a\\x1b[2J'"


def test_the_default_directory_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOLLARD_DIR", "/the/usual")
    assert pointed_from("--dir", "/the/usual", "bollard up") == "bollard up"
    assert pointed_from("--dir", "/another", "bollard up") == "bollard up --dir /another"


def test_what_was_given_last_counts() -> None:
    with click.Context(command, info_name="bollard") as ctx:
        remember(ctx, click.Option(["--dir"]), Path("/before"))
        remember(ctx, click.Option(["--config"]), Path("c.toml"))
        remember(ctx, click.Option(["--dir"]), None)
        assert pointed("bollard status") == "bollard status --config c.toml"


def test_an_error_proposes_what_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--dir", str(tmp_path)]) == 2
    assert f"Set one up: bollard up --dir {tmp_path}\n" in capsys.readouterr().err
    assert main(["why", "plug", "publish", "--dir", str(tmp_path)]) == 2
    assert f"bollard why --dir {tmp_path} plug publish TOPIC" in capsys.readouterr().err


def test_what_the_running_broker_proposes_is_completed_too(broker: Daemon) -> None:
    place = f"--dir {broker.directory}"
    refused = broker.run("devices", "show", "nobody-there")
    assert f"`bollard devices {place}` lists" in refused.stderr
    why = broker.run("why", "nobody-there", "--json")
    assert json.loads(why.stdout)["remedy"] == f"bollard enroll {place} nobody-there"
    assert f"bollard enroll {place} nobody-there" in broker.run("why", "nobody-there").stdout
    before = bollard("devices", "--dir", broker.directory, "show", "nobody-there")
    assert f"`bollard devices {place}` lists" in before.stderr

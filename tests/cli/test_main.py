"""The command line itself: names, help, version, exit codes, and a fast start."""

import os
import subprocess
import sys

import click
import pytest

from bollard.cli.group import paths
from bollard.cli.main import COMMANDS, command, main
from cli.daemon import COMMAND, bollard


def every_command() -> list[tuple[str, ...]]:
    return list(paths(command, click.Context(command)))


def test_every_command_and_sub_command_is_walked() -> None:
    found = every_command()
    assert {path[0] for path in found} == set(COMMANDS)
    assert {("devices", "approve"), ("authority", "crl"), ("store", "restore")} <= set(found)


@pytest.mark.parametrize("path", every_command(), ids=" ".join)
def test_every_command_loads_and_has_help_with_an_example_of_its_own(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*path, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: bollard {' '.join(path)} ")
    example = text.partition("Example:")[2]
    assert f"bollard {' '.join(path)}" in example


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    text = capsys.readouterr().out
    assert all(f"  {name}" in text for name in COMMANDS)


def test_the_version_tells_the_variant(capsys: pytest.CaptureFixture[str]) -> None:
    from bollard.wire import framer

    assert main(["--version"]) == 0
    variant = "pure Python" if str(framer.__file__).endswith(".py") else "compiled"
    assert capsys.readouterr().out == f"bollard 0.1.0 ({variant})\n"


def test_a_wrong_word_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enrol"]) == 2
    assert main(["up", "--port", "70000"]) == 2
    assert main(["up", "--host", "no good"]) == 2
    assert main(["check", "--dir", "a", "--config", "b"]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_a_misspelt_command_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enrol", "plug"]) == 2
    assert "no command 'enrol'. Did you mean \"enroll\"?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["revoke", "plug"], "`bollard devices revoke`"),
        (["rotate"], "`bollard devices rotate` or `bollard authority rotate`"),
        (["start"], "`bollard up` or `bollard learn start`"),
        (["list"], "`bollard devices`"),
        (["devices", "enroll", "plug"], "`bollard enroll`"),
        (["policy", "why"], "`bollard why`"),
    ],
)
def test_a_command_that_is_elsewhere_is_named_in_full(
    words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert f"Did you mean {meant}?\n" in capsys.readouterr().err


def test_a_misspelt_sub_command_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "revok", "plug"]) == 2
    assert "no command 'revok' in bollard devices. Did you mean \"revoke\"?" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["abc", "70000", "-1", "127.0.0.1:8884"])
@pytest.mark.parametrize("command", ["up", "trap"])
def test_what_is_no_port_is_told_what_to_write(
    command: str, port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, f"--port={port}"]) == 2
    told = f"'{port}' is no port: write a number from 1 to 65535, such as 8883; 0 takes a free one.\n"
    assert told in capsys.readouterr().err


def test_a_client_cannot_connect_to_port_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sub", "-p", "0", "-t", "a"]) == 2
    assert "'0' is no port: write a number from 1 to 65535, such as 8883.\n" in capsys.readouterr().err


def test_a_word_like_no_command_is_told_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["xyzzy\x1b[2J"]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in COMMANDS)
    assert "\x1b" not in said


def test_help_and_version_load_neither_broker_nor_cryptography() -> None:
    script = (
        "import sys; from bollard.cli.main import main; main(['--help']); main(['--version']);"
        "sys.exit(any(name in sys.modules for name in ('bollard.server.compose', 'cryptography', 'asyncio')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_leaves_is_no_error_message() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as nowhere:
        done = subprocess.run(
            [*COMMAND, "--help"], stdout=nowhere, stderr=subprocess.PIPE, text=True, check=False, timeout=30
        )
    assert done.stderr == ""
    assert done.returncode == 1


def test_an_interrupt_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(click.Group, "main", interrupted)
    assert main(["--help"]) == 130
    assert isinstance(command, click.Group)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PermissionError(13, "Permission denied", "/var/lib/x"), 2, "no right to use /var/lib/x"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
    ],
)
def test_what_the_system_refuses_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: OSError, code: int, said: str
) -> None:
    def refused(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(click.Group, "main", refused)
    monkeypatch.setattr("bollard.cli.main._discard_output", lambda: None)
    assert main(["status"]) == code
    assert said in capsys.readouterr().err


def test_commands_on_nothing_say_how_to_begin(tmp_path: os.PathLike[str]) -> None:
    for words in (["devices"], ["status"], ["enroll", "plug"], ["check"], ["devices", "revoke", "plug"]):
        done = bollard(*words, "--dir", tmp_path)
        assert done.returncode == 2
        assert "bollard up" in done.stderr

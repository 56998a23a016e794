"""What commands print cannot move a terminal."""

import json

import pytest

from bollard.cli.output import count, day, say_json, say_table, visible


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert visible("a\x1b[2J\n\u202eb") == r"a\x1b[2J\n\u202eb"
    assert visible("Küche ✓") == "Küche ✓"


def test_a_table_is_as_wide_as_its_longest_cells(capsys: pytest.CaptureFixture[str]) -> None:
    say_table(("id", "state"), [("plug", "active"), ("a-longer-name", "x\x07")])
    assert capsys.readouterr().out.splitlines() == [
        "ID             STATE",
        "plug           active",
        r"a-longer-name  x\x07",
    ]


def test_json_is_one_ascii_line(capsys: pytest.CaptureFixture[str]) -> None:
    say_json({"name": "K\u00fcche\u202e\x1b"})
    line = capsys.readouterr().out
    assert line.isascii()
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert json.loads(line)["name"] == "K\u00fcche\u202e\x1b"


def test_times_are_utc() -> None:
    assert day(0) == "1970-01-01 00:00"


def test_one_of_something_is_not_many() -> None:
    assert count(1, "message") == "1 message"
    assert count(0, "entry is", "entries are") == "0 entries are"
    assert count(2000, "message") == "2,000 messages"

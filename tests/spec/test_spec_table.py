"""The data of docs/SPEC.md, and the tool that builds it."""

from itertools import groupby
from pathlib import Path

import pytest

from server.tools import load_tool

from .clauses import clause, identifiers

ROOT = Path(__file__).resolve().parents[2]
#: The specification itself skips this number.
SKIPPED = {"MQTT5-2.2.1": 1}


tool = load_tool("spec_table")


def test_both_specifications_are_complete() -> None:
    """Counts as in appendix B of each; within a section no number is missing."""
    numbers = sorted((tag.rpartition("-")[0], int(tag.rpartition("-")[2])) for tag in identifiers())
    assert sum(section.startswith("MQTT3") for section, _ in numbers) == 141
    assert sum(section.startswith("MQTT5") for section, _ in numbers) == 251
    for section, group in groupby(numbers, key=lambda item: item[0]):
        found = [number for _, number in group]
        first = 1 + SKIPPED.get(section, 0)
        assert found == list(range(first, first + len(found))), section


def test_every_statement_has_evidence_or_a_waiver_and_every_tag_a_statement() -> None:
    _, errors = tool.gather(ROOT)
    assert not errors, "\n".join(errors)


def test_the_decorator_refuses_what_no_specification_has() -> None:
    with pytest.raises(ValueError, match=r"MQTT5-2\.2\.1-1"):
        clause("MQTT5-2.2.1-1")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("# [MQTT5-3.1.2-24] and [MQTT3-3.1.2-24]", ["MQTT5-3.1.2-24", "MQTT3-3.1.2-24"]),
        ('raise PeerError(1, "x", "MQTT5-4.2.0-1")', ["MQTT5-4.2.0-1"]),
        ("[MQTT5-1.5.4-1/-2]", ["MQTT5-1.5.4-1", "MQTT5-1.5.4-2"]),
        ("[MQTT5-3.1.3-5, -6, -8]", ["MQTT5-3.1.3-5", "MQTT5-3.1.3-6", "MQTT5-3.1.3-8"]),
        ("[MQTT3-3.8.4-1 … -3]", ["MQTT3-3.8.4-1", "MQTT3-3.8.4-2", "MQTT3-3.8.4-3"]),
        ("chapter MQTT5-3.3.2.3.4, MQTT5 4.7.2", []),
    ],
)
def test_tags_are_found_in_all_their_forms(line: str, found: list[str]) -> None:
    assert list(tool.tags_of(line)) == found


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A repository with three statements: one shown, one waived, one forgotten."""
    spec = tmp_path / "tests/spec"
    spec.mkdir(parents=True)
    (spec / "waivers.toml").write_text('client = "A duty of the client."\n')
    (spec / "clauses_v311.toml").write_text("")
    (spec / "clauses_v5.toml").write_text(
        '["1.5.4-1"]\nbinds = "both"\nsays = "Text is UTF-8."\n'
        '["1.5.4-2"]\nbinds = "client"\nsays = "Pings."\nwaived = "client"\n'
        '["1.5.4-3"]\nbinds = "server"\nsays = "Forgotten."\n'
    )
    (spec / "test_text.py").write_text('@clause("MQTT5-1.5.4-1")\ndef test_text():\n    pass\n')
    wire = tmp_path / "src/bollard/wire"
    wire.mkdir(parents=True)
    (wire / "reader.py").write_text("class Reader:\n    def utf8(self):\n        pass  # [MQTT5-1.5.4-1]\n")
    return tmp_path


def test_a_statement_without_evidence_and_waiver_fails(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main([], small) == 1
    assert "MQTT5-1.5.4-3: no place and no test, and no waiver" in capsys.readouterr().err
    text = (small / "docs/SPEC.md").read_text()
    assert (
        "| 1.5.4-1 | both | Text is UTF-8. | `wire/reader.py:Reader.utf8` | `spec/test_text.py::test_text` |"
        in text
    )
    assert "| 1.5.4-2 | client | Pings. | *waived* | A duty of the client. |" in text
    assert "| 1.5.4-3 | server | Forgotten. | **missing** | **missing** |" in text


def complete(small: Path) -> None:
    """Give the forgotten statement a place by name and a test."""
    path = small / "tests/spec/clauses_v5.toml"
    path.write_text(path.read_text() + 'at = ["wire/reader.py:Reader"]\n')
    (small / "tests/spec/test_more.py").write_text('def test_more():\n    """[MQTT5-1.5.4-3]"""\n')


def test_a_complete_table_passes_and_a_changed_one_is_noticed(small: Path) -> None:
    complete(small)
    assert tool.main([], small) == 0
    assert tool.main(["--check"], small) == 0
    (small / "docs/SPEC.md").write_text("edited")
    assert tool.main(["--check"], small) == 1


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        ("src/bollard/wire/framer.py", "# [MQTT5-9.9.9-9]\n", "MQTT5-9.9.9-9 is no normative statement"),
        ("tests/spec/test_else.py", 'TABLE = ["MQTT3-1.1.1-1"]\n', "MQTT3-1.1.1-1 is no normative statement"),
        (
            "src/bollard/wire/reader.py",
            "# [MQTT5-1.5.4-1]\n",
            "names wire/reader.py:Reader, which does not exist",
        ),
        ("tests/spec/test_more.py", "", "MQTT5-1.5.4-3: no test, and no waiver"),
        ("tests/spec/waivers.toml", "", "waived for the unknown reason 'client'"),
    ],
)
def test_what_is_wrong_is_named(
    small: Path, capsys: pytest.CaptureFixture[str], path: str, text: str, complaint: str
) -> None:
    complete(small)
    (small / path).write_text(text)
    assert tool.main([], small) == 1
    assert complaint in capsys.readouterr().err


def test_what_the_client_room_does_is_no_evidence_for_the_server(small: Path) -> None:
    complete(small)
    (small / "src/bollard/wire/reader.py").write_text("class Reader:\n    pass\n")
    (small / "src/bollard/client").mkdir()
    (small / "src/bollard/client/core.py").write_text("# [MQTT5-1.5.4-1]\n")
    assert tool.main([], small) == 1


def test_an_unknown_option_is_a_usage_error(small: Path) -> None:
    assert tool.main(["--help"], small) == 2

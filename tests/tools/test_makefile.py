"""Makefile: what it can do is told by itself, and what the documents say exists."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = ROOT / "Makefile"
#: Parts of other targets.
INNER = re.compile(r"check-|test-|FORCE")

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make: apt install make")


def make(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = ["make", "-C", str(ROOT), "--no-print-directory", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def targets() -> set[str]:
    text = MAKEFILE.read_text().replace("\\\n", " ")
    found = re.search(r"^\.PHONY:(.*)$", text, re.MULTILINE)
    assert found is not None
    return set(found[1].split())


def test_help_names_every_target_in_a_line_of_its_own() -> None:
    told = make("help")
    assert told.returncode == 0, told.stderr
    listed = re.findall(r"^  make (\S+) .*\S$", told.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(name for name in targets() if not INNER.match(name))
    assert "SHELL" not in told.stdout


def test_make_alone_tells_the_same_and_starts_nothing() -> None:
    assert make().stdout == make("help").stdout


def test_the_documents_name_only_targets_that_exist() -> None:
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    named = {
        name
        for document in documents
        for code in re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", document.read_text(), re.MULTILINE)
        for name in code
        if name
    }
    assert "bench" in named
    assert named <= targets()


@pytest.mark.parametrize("arguments", ["--help", "--hours 2"])
def test_arguments_for_both_halves_of_leak_are_refused_before_anything_runs(arguments: str) -> None:
    done = make("leak", f"ARGS={arguments}")
    assert done.returncode == 2
    assert "make leak-engine ARGS=" in done.stdout


def test_each_half_of_leak_gets_its_arguments() -> None:
    engine, broker = (
        make("--dry-run", target, "ARGS=--help").stdout for target in ("leak-engine", "leak-broker")
    )
    assert "bench/leak.py --help" in engine
    assert "leak_daemon" not in engine
    assert "bench/leak_daemon.py --help" in broker

"""The scripts that `make` sets up with: what they find missing, and what they clear away."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from server.tools import TOOLS, load_tool


def test_an_old_interpreter_is_told_which_one_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0, "final", 0))
    (first, *_) = load_tool("preflight").missing("pure")
    assert "Python 3.10 is too old" in first
    assert "PYTHON=" in first


def test_missing_headers_and_compiler_are_told_with_their_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    told = " ".join(load_tool("preflight").missing("compiled"))
    assert "apt install python3-dev" in told
    assert "apt install gcc" in told


def test_the_uncompiled_variant_needs_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert load_tool("preflight").missing("pure") == []


def test_what_has_no_source_any_more_leaves_the_build(tmp_path: Path) -> None:
    source, built = tmp_path / "src" / "bollard", tmp_path / "build" / "lib.linux" / "bollard"
    source.mkdir(parents=True)
    built.mkdir(parents=True)
    for name in ("cold.py", "hot.py", "hot.pxd", "cooled.py", "binding.pyx"):
        (source / name).touch()
    for name in (
        "cold.py",
        "hot.py",
        "hot.pxd",
        "hot.cpython-311.so",
        "binding.cpython-311.so",
        "gone.py",
        "cooled.py",
        "cooled.cpython-311.so",
    ):
        (built / name).touch()
    subprocess.run([sys.executable, TOOLS / "prune_build.py"], cwd=tmp_path, check=True)
    assert sorted(path.name for path in built.iterdir()) == [
        "binding.cpython-311.so",
        "cold.py",
        "cooled.py",
        "hot.cpython-311.so",
        "hot.pxd",
        "hot.py",
    ]


def test_a_tree_that_was_never_built_is_no_error(tmp_path: Path) -> None:
    subprocess.run([sys.executable, TOOLS / "prune_build.py"], cwd=tmp_path, check=True)


def test_the_configuration_reference_is_up_to_date() -> None:
    subprocess.run([sys.executable, TOOLS / "config_reference.py", "--check"], check=True)

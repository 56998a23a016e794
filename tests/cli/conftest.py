"""A broker as users run it: `bollard up` in a process of its own, stopped when the module is done."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.daemon import Daemon


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A running broker in a fresh state directory, shared by the tests of a module."""
    with Daemon(tmp_path_factory.mktemp("broker") / "state") as daemon:
        yield daemon


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder for what `enroll` writes; made by the command."""
    return tmp_path / "out"

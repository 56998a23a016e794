"""The policy in force: follows its file and the registry, and never a file that is wrong."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bollard.base.errors import ConfigError
from bollard.base.types import Action
from bollard.server.access import Access

OPEN = 'version = 1\n[template.device]\npublish = ["devices/${id}/#"]\n'


def write(path: Path, text: str, *, at: int) -> None:
    path.write_text(text)
    os.utime(path, ns=(at, at))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    write(path, OPEN, at=1)
    return path


def allows(access: Access, principal: str, topic: str) -> bool:
    return access.policy().decide(principal, Action.PUBLISH, topic).allowed


def test_rights_follow_the_registry(file: Path) -> None:
    templates = {"plug": "device"}
    access = Access(file, lambda: templates)
    assert allows(access, "plug", "devices/plug/state")
    assert not allows(access, "lamp", "devices/lamp/state")
    templates["lamp"] = "device"
    assert allows(access, "lamp", "devices/lamp/state")


def test_an_edit_is_noticed_and_taken_over(file: Path) -> None:
    access = Access(file, lambda: {"plug": "device"})
    assert not access.changed()
    write(file, OPEN.replace("devices/", "things/"), at=2)
    assert access.changed()
    access.reload()
    assert not access.changed()
    assert allows(access, "plug", "things/plug/state")
    assert not allows(access, "plug", "devices/plug/state")


@pytest.mark.parametrize(
    "text", ["version = 2", "", "nonsense", 'version = 1\n[template.device]\npublis = ["#"]']
)
def test_a_wrong_file_changes_nothing_and_is_tried_once(file: Path, text: str) -> None:
    access = Access(file, lambda: {"plug": "device"})
    write(file, text, at=2)
    with pytest.raises(ConfigError, match="stays in force"):
        access.reload()
    assert not access.changed()
    assert allows(access, "plug", "devices/plug/state")


def test_a_file_that_vanishes_closes_and_opens_nothing(file: Path) -> None:
    access = Access(file, lambda: {"plug": "device"})
    file.unlink()
    assert access.changed()
    with pytest.raises(ConfigError):
        access.reload()
    assert allows(access, "plug", "devices/plug/state")
    write(file, OPEN, at=3)
    assert access.changed()


def test_a_start_with_a_wrong_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Access(tmp_path / "absent.toml", dict)


def test_a_grant_that_ends_makes_a_new_policy_due(file: Path) -> None:
    soon = (datetime.now(UTC) + timedelta(milliseconds=150)).isoformat()
    write(file, f'{OPEN}[grant.visit]\nwho = "anna"\npublish = ["gate"]\nuntil = {soon}\n', at=2)
    access = Access(file, dict)
    assert allows(access, "anna", "gate")
    assert not access.expired()
    while not access.expired():
        assert datetime.now(UTC) < datetime.fromisoformat(soon) + timedelta(seconds=5)
    assert not allows(access, "anna", "gate")

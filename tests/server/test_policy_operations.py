"""Edits of the policy file: at once or not at all, one at a time, and still readable by whom it was."""

import fcntl
import os
import stat
from pathlib import Path

import pytest

from bollard.base.errors import ConfigError, LocalError
from bollard.base.toml import MAX_FILE_BYTES
from bollard.identity.registry import Registry
from bollard.server import policy_operations
from bollard.server.identities import open_identities
from bollard.server.policy_operations import Known, edit_policy, known_identities, tell_broker
from bollard.server.state import StateDirectory

from .state_room import new_state


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text("version = 1\n")
    path.chmod(0o640)
    return path


def add_comment(_path: Path, text: str) -> str:
    return text + "# more\n"


def names(folder: Path) -> set[str]:
    return set(os.listdir(folder))


def test_an_edit_takes_the_place_of_the_file_and_keeps_its_mode(policy: Path) -> None:
    before = policy.stat().st_ino
    edit_policy(policy, add_comment)
    assert policy.read_text() == "version = 1\n# more\n"
    assert stat.S_IMODE(policy.stat().st_mode) == 0o640
    assert policy.stat().st_ino != before
    assert names(policy.parent) == {"policy.toml"}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only the super-user may give files away")
def test_an_edit_keeps_the_owner(policy: Path) -> None:
    os.chown(policy, 12_345, 23_456)
    edit_policy(policy, add_comment)
    assert (policy.stat().st_uid, policy.stat().st_gid) == (12_345, 23_456)


def test_a_link_stays_a_link(policy: Path) -> None:
    link = policy.with_name("link.toml")
    link.symlink_to(policy)
    edit_policy(link, add_comment)
    assert link.is_symlink()
    assert policy.read_text().endswith("# more\n")


def test_a_refused_change_leaves_everything_as_it_was(policy: Path) -> None:
    def refuse(_path: Path, _text: str) -> str:
        raise LocalError("no")

    with pytest.raises(LocalError, match="no"):
        edit_policy(policy, refuse)
    assert policy.read_text() == "version = 1\n"
    assert names(policy.parent) == {"policy.toml"}


def test_what_somebody_else_saved_meanwhile_is_not_lost(policy: Path) -> None:
    def slow(path: Path, text: str) -> str:
        path.write_text("version = 1\n# by hand\n")
        return text + "# more\n"

    with pytest.raises(LocalError, match="saved by somebody else"):
        edit_policy(policy, slow)
    assert policy.read_text() == "version = 1\n# by hand\n"
    assert names(policy.parent) == {"policy.toml"}


def test_an_attempt_that_was_killed_is_cleared_away(policy: Path) -> None:
    policy.with_name(".policy.toml.new").write_text("half of it")
    edit_policy(policy, add_comment)
    assert names(policy.parent) == {"policy.toml"}


def test_a_file_that_is_no_toml_or_not_there_is_told(policy: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        edit_policy(policy.with_name("other.toml"), add_comment)
    policy.write_text("version = \n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        edit_policy(policy, add_comment)


def test_a_policy_does_not_grow_beyond_what_is_read(policy: Path) -> None:
    with pytest.raises(LocalError, match="would be longer than"):
        edit_policy(policy, lambda _path, text: text + "#" * MAX_FILE_BYTES)
    assert policy.read_text() == "version = 1\n"


def test_edits_wait_for_each_other_but_not_for_ever(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_operations, "PATIENCE_S", 0.1)
    handle = os.open(policy.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(LocalError, match="another command edits the policy"):
            edit_policy(policy, add_comment)
    finally:
        os.close(handle)
    edit_policy(policy, add_comment)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to the super-user")
def test_a_directory_that_may_not_be_written_is_told(policy: Path) -> None:
    policy.parent.chmod(0o500)
    try:
        with pytest.raises(LocalError, match="cannot write"):
            edit_policy(policy, add_comment)
    finally:
        policy.parent.chmod(0o700)


def test_identities_are_known_by_template_and_state_and_no_broker_is_no_error(tmp_path: Path) -> None:
    config = new_state(tmp_path / "state")
    with open_identities(StateDirectory(config.state_dir)) as identities:
        registry: Registry = identities.registry
        registry.add_with_password("plug", "device", now=1)
        registry.add_with_password("ha", "app", now=1)
        registry.suspend("ha", now=2)
    assert known_identities(config) == {"plug": Known("device", "active"), "ha": Known("app", "suspended")}
    assert tell_broker(config) is None

"""The first run: everything or what the next run finishes, private, and nobody else's directory."""

import os
import stat
from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.policy.rules import parse_policy
from bollard.server import state
from bollard.server.config import Address
from bollard.server.load import load_config
from bollard.server.state import StateDirectory, default_directory, prepare
from bollard.store.database import StateLock

BIND = Address("127.0.0.1", 18_883)


def test_the_first_run_makes_everything_and_keeps_it_private(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "state"
    recovery = prepare(root, BIND)
    assert recovery is not None
    assert recovery.is_file()
    config = load_config(root / "bollard.toml")
    assert str(config.listeners[0].bind) == "127.0.0.1:18883"
    assert set(parse_policy(config.policy).templates) == {"device", "app"}
    for path in [root, *root.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        if path != root / "ca" / "server-root.crt":
            assert mode & 0o077 == 0, path


def test_a_second_preparation_changes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "state"
    prepare(root, BIND)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != "lock"}
    assert prepare(root, Address("0.0.0.0", 1)) is None
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("step", ["make_authorities", "write_private", "config_text"])
def test_a_first_run_that_was_interrupted_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    root = tmp_path / "state"

    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(state, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(root, BIND)
    assert not (root / "bollard.toml").exists()
    prepare(root, BIND)
    assert load_config(root / "bollard.toml").policy.exists()
    assert (root / "ca" / "server-root.crt").exists()


def test_an_empty_directory_is_taken_and_closed_to_others(tmp_path: Path) -> None:
    root = tmp_path / "state"
    root.mkdir(mode=0o755)
    prepare(root, BIND)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    mode = tmp_path.stat().st_mode
    with pytest.raises(LocalError, match=r"thesis\.txt") as caught:
        prepare(tmp_path, BIND)
    assert "--dir" in caught.value.remedy
    assert os.listdir(tmp_path) == ["thesis.txt"]
    assert tmp_path.stat().st_mode == mode


def test_a_file_in_place_of_the_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(LocalError, match=r"file exists and is not a directory\n.*new directory"):
            prepare(place, BIND)


def test_lost_authorities_are_not_replaced_while_devices_trust_them(tmp_path: Path) -> None:
    root = tmp_path / "state"
    prepare(root, BIND)
    (root / "registry.db").touch()
    (root / "ca").rename(tmp_path / "ca")
    with pytest.raises(LocalError, match="trust what was in it") as caught:
        state.make_authorities(root)
    assert "backup" in caught.value.remedy
    assert not (root / "ca").exists()
    (tmp_path / "ca").rename(root / "ca")
    assert state.make_authorities(root) is None


def test_two_first_runs_at_once_do_not_mix(tmp_path: Path) -> None:
    root = tmp_path / "state"
    prepare(root, BIND)
    (root / "bollard.toml").unlink()
    with StateLock(root), pytest.raises(LocalError, match="in use"):
        prepare(root, BIND)


def test_the_default_directory_belongs_to_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOLLARD_DIR", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "bollard"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert default_directory() == Path.home() / ".local" / "state" / "bollard"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_directory() == Path("/var/lib/bollard")
    monkeypatch.setenv("BOLLARD_DIR", "/srv/mqtt")
    assert default_directory() == Path("/srv/mqtt")


def test_the_places_in_a_state_directory_are_below_it() -> None:
    here = StateDirectory(Path("/s"))
    for path in (here.config, here.policy, here.registry, here.pepper, here.control_socket, here.devices):
        assert path.parent == here.root

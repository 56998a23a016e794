import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.identity.files import (
    make_private_directory,
    read_private,
    read_public,
    write_private,
    write_private_directory,
)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture(autouse=True)
def _generous_umask() -> Iterator[None]:
    """Rights must come from us, not from a careful umask."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_written_file_is_ours_alone(tmp_path: Path) -> None:
    write_private(tmp_path / "key", b"secret")
    assert mode(tmp_path / "key") == 0o600
    assert read_private(tmp_path / "key") == b"secret"
    assert os.listdir(tmp_path) == ["key"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_private(tmp_path / "key", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LocalError, match="No space left on device"):
        write_private(tmp_path / "key", b"new")
    assert (tmp_path / "key").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["key"]


def test_a_file_is_whole_on_disk_before_it_gets_its_name_and_then_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[object] = []
    sync, replace = os.fsync, Path.replace

    def watched_sync(handle: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        steps.append((path.name, path.stat().st_size if path.is_file() else "directory"))
        sync(handle)

    def watched_replace(self: Path, target: Path) -> Path:
        steps.append("named")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", watched_sync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    write_private(tmp_path / "key", b"hunter2")
    assert steps == [(".key.new", 7), "named", (tmp_path.name, "directory")]
    steps.clear()
    write_private_directory(tmp_path / "ca", {})
    assert steps == [(tmp_path.name, "directory")]


def test_what_a_killed_write_left_behind_is_cleared_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".key.new").write_bytes(b"half a k")
    write_private(tmp_path / "key", b"whole")
    assert os.listdir(tmp_path) == ["key"]


def test_a_planted_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    (tmp_path / ".key.new").symlink_to(victim)
    write_private(tmp_path / "key", b"secret")
    assert victim.read_bytes() == b"untouched"
    assert not (tmp_path / "key").is_symlink()


def test_a_directory_appears_with_all_its_files(tmp_path: Path) -> None:
    write_private_directory(tmp_path / "ca", {"a": b"1", "b": b"2"})
    assert mode(tmp_path / "ca") == 0o700
    assert {p.name: p.read_bytes() for p in (tmp_path / "ca").iterdir()} == {"a": b"1", "b": b"2"}


def test_an_interrupted_directory_does_not_appear_and_the_next_attempt_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_private_directory(tmp_path / "ca", {"a": b"1"})
    assert os.listdir(tmp_path) == []
    (tmp_path / ".ca.new").mkdir()
    (tmp_path / ".ca.new" / "half").write_bytes(b"of a killed attempt")
    write_private_directory(tmp_path / "ca", {"a": b"1"})
    assert os.listdir(tmp_path) == ["ca"]
    assert os.listdir(tmp_path / "ca") == ["a"]


def test_a_directory_with_contents_is_never_replaced(tmp_path: Path) -> None:
    write_private_directory(tmp_path / "ca", {"a": b"1"})
    with pytest.raises(LocalError, match="cannot write"):
        write_private_directory(tmp_path / "ca", {"a": b"2"})
    assert read_private(tmp_path / "ca" / "a") == b"1"


@pytest.mark.parametrize("rights", [0o640, 0o604, 0o620, 0o601])
def test_a_secret_that_others_may_touch_is_refused(tmp_path: Path, rights: int) -> None:
    write_private(tmp_path / "key", b"hunter2")
    (tmp_path / "key").chmod(rights)
    with pytest.raises(LocalError, match="open to other users") as caught:
        read_private(tmp_path / "key")
    assert "chmod 600" in caught.value.remedy
    assert "hunter2" not in str(caught.value)


def test_a_public_file_may_be_read_by_others_but_not_written(tmp_path: Path) -> None:
    write_private(tmp_path / "crt", b"public")
    (tmp_path / "crt").chmod(0o644)
    assert read_public(tmp_path / "crt") == b"public"
    for rights in (0o664, 0o646):
        (tmp_path / "crt").chmod(rights)
        with pytest.raises(LocalError, match="open to other users"):
            read_public(tmp_path / "crt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for read in (read_private, read_public):
        with pytest.raises(LocalError, match=r"cannot read .*/absent: No such file"):
            read(tmp_path / "absent")


def test_a_new_directory_is_ours_alone(tmp_path: Path) -> None:
    make_private_directory(tmp_path / "new" / "state")
    assert mode(tmp_path / "new" / "state") == 0o700


@pytest.mark.parametrize(
    ("before", "after"), [(0o775, 0o700), (0o777, 0o700), (0o755, 0o755), (0o700, 0o700)]
)
def test_a_directory_that_the_user_made_is_taken(tmp_path: Path, before: int, after: int) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(before)
    make_private_directory(tmp_path / "state")
    assert mode(tmp_path / "state") == after


@pytest.mark.parametrize("rights", [0o770, 0o702, 0o1777])
def test_a_directory_where_others_may_have_put_files_is_refused(tmp_path: Path, rights: int) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "policy.toml").write_bytes(b"planted")
    (tmp_path / "state").chmod(rights)
    with pytest.raises(LocalError, match="other users may write") as caught:
        make_private_directory(tmp_path / "state")
    assert "chmod go-w" in caught.value.remedy
    assert mode(tmp_path / "state") == rights & 0o777


def test_a_file_in_place_of_the_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(LocalError, match="cannot write"):
        make_private_directory(tmp_path / "state")


def give_away(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    """Let `paths` belong to another user than the one that we run as: root gives them away, others cannot,
    and so become another one themselves."""
    if os.geteuid() != 0:
        other = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: other)
        return
    for path in paths:
        os.chown(path, 65534, 65534, follow_symlinks=False)


def test_a_file_of_another_user_is_refused_although_nobody_else_may_touch_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_private(tmp_path / "key", b"hunter2")
    give_away(monkeypatch, tmp_path / "key")
    for read in (read_private, read_public):
        with pytest.raises(LocalError, match=r"key belongs to another user \(uid \d+\)") as caught:
            read(tmp_path / "key")
        assert f"chown -hR {os.geteuid()} {tmp_path}/key" in caught.value.remedy
        assert "hunter2" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root's files are refused to nobody")
def test_a_file_of_root_is_taken(tmp_path: Path) -> None:
    assert read_public(Path("/etc/passwd"))


def test_a_secret_of_ours_is_no_link_and_a_path_that_a_person_chose_may_be_one(tmp_path: Path) -> None:
    write_private(tmp_path / "real", b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(LocalError, match=r"link is a symbolic link"):
        read_private(tmp_path / "link")
    assert read_private(tmp_path / "link", follow=True) == read_public(tmp_path / "link") == b"secret"


def test_a_link_to_a_file_of_another_user_and_a_link_of_another_user_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("theirs", "ours"):
        write_private(tmp_path / name, b"secret")
        (tmp_path / f"to-{name}").symlink_to(tmp_path / name)
    give_away(monkeypatch, tmp_path / "theirs", tmp_path / "to-ours")
    for link in ("to-theirs", "to-ours"):
        with pytest.raises(LocalError, match="belongs to another user"):
            read_private(tmp_path / link, follow=True)
        with pytest.raises(LocalError, match="belongs to another user"):
            read_public(tmp_path / link)


def test_the_file_that_was_judged_is_the_one_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_private(tmp_path / "key", b"judged")
    write_private(tmp_path / "other", b"exchanged")
    real = os.fstat

    def exchanged(handle: int) -> os.stat_result:
        (tmp_path / "other").replace(tmp_path / "key")
        monkeypatch.setattr(os, "fstat", real)
        return real(handle)

    monkeypatch.setattr(os, "fstat", exchanged)
    assert read_private(tmp_path / "key") == b"judged"


@pytest.mark.parametrize("files", [(), ("policy.toml",)])
def test_a_directory_of_another_user_is_refused_and_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, ...]
) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    for name in files:
        (folder / name).write_bytes(b"planted")
    give_away(monkeypatch, folder)
    with pytest.raises(LocalError, match=r"state belongs to another user") as caught:
        make_private_directory(folder)
    assert f"chown -hR {os.geteuid()} {folder}" in caught.value.remedy
    assert mode(folder) == 0o755


def test_a_link_to_a_state_directory_is_taken_if_it_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to(tmp_path / "private")
    make_private_directory(tmp_path / "state")
    give_away(monkeypatch, tmp_path / "state")
    with pytest.raises(LocalError, match="belongs to another user"):
        make_private_directory(tmp_path / "state")


def test_root_may_read_what_belongs_to_the_user_of_the_broker_and_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    write_private(folder / "sheet", b"secret")
    with monkeypatch.context() as change:
        give_away(change, folder / "sheet")
        if os.geteuid() == 0:
            with pytest.raises(LocalError, match="belongs to another user"):
                read_private(folder / "sheet", of=folder)
        give_away(change, folder)
        assert read_private(folder / "sheet", of=folder) == b"secret"

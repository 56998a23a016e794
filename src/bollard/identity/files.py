"""Files with secrets and files that must be whole: how they are written and read. Knows no contents.

Everything is 0600 in directories of 0700. A file appears under its name complete and on disk, or not
at all: a power cut or a kill leaves the old file or the new one.
"""

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from bollard.base.errors import LocalError

_PRIVATE = 0o600
_PRIVATE_DIRECTORY = 0o700
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def make_private_directory(path: Path) -> None:
    """Make `path` with 0700, and so its missing parents; or take one that exists.

    In one that exists others may read the names of our files, which are 0600 themselves, but not write:
    they could put files of theirs in place of ours. One of ours that is still empty is closed to 0700.
    `LocalError` if others may write in it, or if it cannot be made.
    """
    try:
        for missing in reversed([parent for parent in path.parents if not parent.exists()]):
            # `parents=True` would make them with what the umask leaves, which may be rights for everybody.
            missing.mkdir(mode=_PRIVATE_DIRECTORY, exist_ok=True)
        path.mkdir(mode=_PRIVATE_DIRECTORY, exist_ok=True)
        status = path.stat()
        if status.st_mode & 0o022 and status.st_uid == os.geteuid() and not os.listdir(path):
            path.chmod(_PRIVATE_DIRECTORY)
            status = path.stat()
    except OSError as error:
        raise _unwritable(path, error) from None
    if status.st_mode & 0o022:
        raise LocalError(
            f"other users may write in {path} (mode {stat.S_IMODE(status.st_mode):04o})",
            f"Choose a directory of its own, or `chmod go-w {path}`.",
        )


def write_private(path: Path, data: bytes) -> None:
    """Put `data` at `path`, replacing what was there, in one step that survives a power cut.

    One writer at a time: the caller holds the state directory's lock.
    """
    stage = _stage(path)
    try:
        stage.unlink(missing_ok=True)  # of an attempt that was killed; it may hold a key
        try:
            with open(os.open(stage, _CREATE, _PRIVATE), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            stage.replace(path)
        except BaseException:
            stage.unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from None


def write_private_directory(path: Path, files: Mapping[str, bytes]) -> None:
    """Make the directory `path` with exactly `files`, all or nothing. `LocalError` if it is not empty.

    One writer at a time: the caller holds the state directory's lock.
    """
    stage = _stage(path)
    try:
        if stage.exists():
            shutil.rmtree(stage)  # of an attempt that was killed
        try:
            stage.mkdir(mode=_PRIVATE_DIRECTORY)
            for name, data in files.items():
                write_private(stage / name, data)
            stage.rename(path)
        except BaseException:
            shutil.rmtree(stage, ignore_errors=True)
            raise
        _sync_directory(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from None


def wipe_private(path: Path) -> None:
    """Take a secret file away, overwritten first; nothing happens if there is none. `LocalError` if it stays.

    One that has a second name is only taken away: what it holds is in use under that. Flash memory and file systems that copy may keep what was overwritten: who had the disk may find it.
    """
    try:
        with open(os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "wb") as file:
            status = os.fstat(file.fileno())
            if status.st_nlink == 1:
                file.write(bytes(status.st_size))
                file.flush()
                os.fsync(file.fileno())
        path.unlink()
        _sync_directory(path.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unwritable(path, error) from None


def read_private(path: Path) -> bytes:
    """The bytes of a secret file. `LocalError` if it is missing, or if others may read or change it."""
    try:
        _require_private(path)
        return path.read_bytes()
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}") from None


def read_public(path: Path) -> bytes:
    """The bytes of a file that is no secret. `LocalError` if it is missing or others may change it."""
    try:
        _require_private(path, others=0o022)
        return path.read_bytes()
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}") from None


def _require_private(path: Path, others: int = 0o077) -> None:
    """`LocalError` if group or world have any of the rights `others` on `path`."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & others:
        raise LocalError(
            f"{path} is open to other users (mode {mode:04o})",
            f"`chmod {_PRIVATE:o} {path}` closes it; if others had access, treat its contents as known to them.",
        )


def _stage(path: Path) -> Path:
    """Where `path` is prepared: beside it, under a name that the next attempt finds and clears away."""
    return path.with_name(f".{path.name}.new")


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(path: Path, error: OSError) -> LocalError:
    return LocalError(
        f"cannot write {path}: {error.strerror}",
        "Check that the directory belongs to this user and that the disk has room.",
    )

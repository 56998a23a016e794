"""Files with secrets and files that must be whole: how they are written and read. Knows no contents.

Everything is 0600 in directories of 0700. A file appears under its name complete and on disk, or not
at all: a power cut or a kill leaves the old file or the new one.

What is taken belongs to root or to the user that we run as. Attack: whoever owns a file or a directory may
change it, or its mode, whenever they like; root, above all, would trust what any user has prepared for it.
"""

import errno
import os
import shlex
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
    A symbolic link to one is taken too. `LocalError` if others may write in it, if it or the link belongs to
    another user, or if it cannot be made.
    """
    try:
        for missing in reversed([parent for parent in path.parents if not parent.exists()]):
            # `parents=True` would make them with what the umask leaves, which may be rights for everybody.
            missing.mkdir(mode=_PRIVATE_DIRECTORY, exist_ok=True)
        path.mkdir(mode=_PRIVATE_DIRECTORY, exist_ok=True)
        status = path.stat()
        _require_owner(path, path.lstat())
        _require_owner(path, status)
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

    One that has a second name is only taken away: what it holds is in use under that. Flash memory and file systems
    that copy may keep what was overwritten: who had the disk may find it.
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


def read_private(path: Path, *, follow: bool = False, of: Path | None = None) -> bytes:
    """The bytes of a secret file. `LocalError` if it is missing, if others may read or change it, or if it is
    another user's.

    A symbolic link is followed only with `follow`: where the path is a person's choice. `of` is the state
    directory of a broker that may run as another user; then a file of that user is taken as well, by root,
    who looks after the broker and believes nothing of what the file says.
    """
    return _read(path, 0o077, follow, of)


def read_public(path: Path) -> bytes:
    """The bytes of a file that is no secret, also through a symbolic link. `LocalError` if it is missing,
    others may change it, or it is another user's."""
    return _read(path, 0o022, follow=True)


def _read(path: Path, others: int, follow: bool, of: Path | None = None) -> bytes:
    """The bytes of `path` if group and world have none of the rights `others` on it. What is judged is what
    is read: one handle, so that no other file takes the name in between."""
    flags = os.O_RDONLY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        also = None if of is None else of.stat().st_uid
        if follow:
            _require_owner(path, path.lstat())
        with open(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            _require_owner(path, status, also)
            _require_closed(path, status, others)
            return file.read()
    except OSError as error:
        if error.errno == errno.ELOOP and not follow:
            raise LocalError(
                f"{path} is a symbolic link, and not the file itself", "Put the file there that it leads to."
            ) from None
        raise LocalError(f"cannot read {path}: {error.strerror}") from None


def _require_closed(path: Path, status: os.stat_result, others: int) -> None:
    """`LocalError` if group or world have any of the rights `others`."""
    mode = stat.S_IMODE(status.st_mode)
    if mode & others:
        raise LocalError(
            f"{path} is open to other users (mode {mode:04o})",
            f"`chmod {_PRIVATE:o} {path}` closes it; if others had access, treat its contents as known to them.",
        )


def _require_owner(path: Path, status: os.stat_result, also: int | None = None) -> None:
    """`LocalError` if it belongs to somebody else than root, the user that we run as, and `also`."""
    if status.st_uid not in (0, os.geteuid(), also):
        raise LocalError(
            f"{path} belongs to another user (uid {status.st_uid}), and we run as uid {os.geteuid()}",
            "Run this as that user; or, if you know what is in there, take it over: "
            f"chown -hR {os.geteuid()} {shlex.quote(str(path))}",
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

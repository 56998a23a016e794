"""The operations on a policy file, for the command line and whoever else edits policy for people.

The file belongs to its owner and is edited with the owner's rights, whether a broker runs or not; a running
broker is told, and reads it itself. What goes into the text is in `policy/edit.py`.
"""

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bollard.base.errors import LocalError
from bollard.base.toml import MAX_FILE_BYTES, load_toml
from bollard.base.types import ANONYMOUS
from bollard.server.ask import ask
from bollard.server.config import Config
from bollard.server.control_socket import ask_socket
from bollard.server.requests import Devices, ListDevices, Reload, Reloaded
from bollard.server.state import StateDirectory

#: How long another edit of the same file is waited for.
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Known:
    """An identity of the registry: the template it was enrolled with, and its state."""

    template: str
    state: str


def known_identities(config: Config) -> dict[str, Known]:
    """Every identity of the registry by name. Raises LocalError if it cannot be read."""
    devices = ask(config, ListDevices())
    assert isinstance(devices, Devices)
    return {device.id: Known(device.template, device.state) for device in devices.devices}


def not_enrolled(config: Config, names: Iterable[str]) -> list[str]:
    """Those of `names`, as a grant or learning has them, that are identities nobody has been enrolled as. None
    if the registry cannot be read: whoever may write the policy need not be allowed to."""
    try:
        known = known_identities(config)
    except LocalError:
        return []
    return [name for name in names if name not in ("*", ANONYMOUS) and ":" not in name and name not in known]


def edit_policy(path: Path, change: Callable[[Path, str], str]) -> None:
    """Put `change(path, text)` in place of the text of the policy file at `path`, at once or not at all.

    Mode and owner stay. One edit at a time; raises LocalError, and what `change` raises, with nothing
    written, also if somebody else has saved the file meanwhile.
    """
    path = path.resolve()  # a link stays a link
    with _one_at_a_time(path.parent):
        load_toml(path)  # tells what is wrong with it: missing, unreadable, too long, no TOML
        before = path.read_bytes()
        after = change(path, before.decode("utf-8-sig")).encode()
        if len(after) > MAX_FILE_BYTES:
            raise LocalError(
                f"{path} would be longer than {MAX_FILE_BYTES:,} bytes", "Remove old rules first."
            )
        _replace(path, before, after)


def tell_broker(config: Config) -> str | None:
    """Have a running broker read the policy now. What it said of it; None if no broker runs.

    Raises LocalError if one runs and cannot be asked: it notices by itself within about a second.
    """
    answer = ask_socket(StateDirectory(config.state_dir).control_socket, Reload())
    if answer is None:
        return None
    assert isinstance(answer, Reloaded)
    return next((sentence for sentence in answer.done if "policy" in sentence), "")


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold the lock on `folder` that edits of policy files in it take. It is the kernel's and leaves no file."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise LocalError(f"cannot open {folder}: {error.strerror}") from None
    try:
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise LocalError(
                        f"another command edits the policy in {folder}", "Try again when it has ended."
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def _replace(path: Path, before: bytes, after: bytes) -> None:
    """Put `after` at `path` in one step that survives a power cut, unless it no longer holds `before`."""
    stage = path.with_name(f".{path.name}.new")
    try:
        status = path.stat()
        stage.unlink(missing_ok=True)  # of an attempt that was killed
        try:
            with open(
                os.open(stage, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
            ) as file:
                file.write(after)
                _take_after(file.fileno(), status)
                file.flush()
                os.fsync(file.fileno())
            if path.read_bytes() != before:
                raise LocalError(f"{path} was saved by somebody else meanwhile", "Look at it, and try again.")
            stage.replace(path)
        except BaseException:
            stage.unlink(missing_ok=True)
            raise
        handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise LocalError(
            f"cannot write {path}: {error.strerror}",
            "Run this as the owner of the file and its directory.",
        ) from None


def _take_after(handle: int, status: os.stat_result) -> None:
    """Give the new file owner and mode of the old: a broker that could read that must be able to read this."""
    now = os.fstat(handle)
    if (now.st_uid, now.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(handle, status.st_uid, status.st_gid)
    os.fchmod(handle, stat.S_IMODE(status.st_mode))

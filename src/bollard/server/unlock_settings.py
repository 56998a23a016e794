"""The table [authorities] replaced in a configuration file that people wrote, with all that is around it."""

import contextlib
import os
import stat
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError

from bollard.base.errors import LocalError
from bollard.identity.unlock import Unlock
from bollard.server.defaults import as_settings, as_text
from bollard.server.load import load_config
from bollard.server.settings import AUTHORITIES


def require_writable(path: Path, unlock: Unlock) -> None:
    """`LocalError` with what to write by hand, if `write_settings` could not replace the file at `path`."""
    real = path.resolve()
    if not os.access(real, os.W_OK) or not os.access(real.parent, os.W_OK):
        raise LocalError(
            f"{path} cannot be written, and has to say what opens the keys from now on; nothing was changed",
            f"Write this into it, and run the command again:\n\n{as_text(unlock)}",
        )


def write_settings(path: Path, unlock: Unlock) -> None:
    """Have the configuration at `path` say `unlock`, all else as it was: in one step, or `LocalError`.

    What replaces the file has been read by the rules of the configuration before, and keeps owner and mode.
    """
    real = path.resolve()
    stage = real.with_name(f".{real.name}.new")
    try:
        text = _edited(real.read_text(encoding="utf-8"), unlock)
        status = real.stat()
        stage.unlink(missing_ok=True)
        handle = os.open(stage, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(handle, status.st_uid, status.st_gid)
            os.fchmod(handle, stat.S_IMODE(status.st_mode))
            os.fsync(handle)
        if load_config(stage).unlock != unlock:
            raise LocalError(
                f"{path} could not be edited", f"Write this into it by hand:\n\n{as_text(unlock)}"
            )
        stage.replace(real)
    except (OSError, TOMLKitError) as error:
        raise LocalError(
            f"{path} could not be edited: {error}", f"Write this into it by hand:\n\n{as_text(unlock)}"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            stage.unlink(missing_ok=True)


def _edited(text: str, unlock: Unlock) -> str:
    document = tomlkit.parse(text)
    if "authorities" not in document:
        end = "\r\n" if "\r\n" in text else "\n"
        block = as_text(unlock).replace("\n", end)
        return text + ("" if text.endswith("\n") or not text else end) + end + block
    table = document["authorities"]
    wanted = as_settings(unlock)
    for row in AUTHORITIES:
        if row.key in wanted:
            table[row.key] = wanted[row.key]
        elif row.key in table:
            del table[row.key]
    return tomlkit.dumps(document)

"""A state directory with identities from another broker, who keep the passwords that they have there."""

import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.files import write_private_directory
from bollard.server.audit import AuditTrail
from bollard.server.config import AuditConfig
from bollard.server.identities import open_identities, say_on_stderr
from bollard.server.state import StateDirectory, make_authorities
from bollard.store.database import StateLock

#: The template of identities that are enrolled without another.
TEMPLATE = "device"


def carry_over(path: Path, files: Mapping[str, bytes], users: Iterable[tuple[str, Secret]]) -> None:
    """Make the state directory `path` with `files`, authorities, and an identity for each of `users`: a name
    and the hash of its password. It appears whole or not at all. Raises LocalError.
    """
    stage = path.with_name(f".{path.name}.import")
    try:
        shutil.rmtree(stage, ignore_errors=True)  # of an attempt that was killed
        try:
            write_private_directory(stage, files)
            _enroll(StateDirectory(stage), users)
            stage.rename(path)
        except BaseException:
            shutil.rmtree(stage, ignore_errors=True)
            raise
    except OSError as error:
        raise LocalError(
            f"cannot make {path}: {error.strerror}", "Name another folder with --out; nothing was written."
        ) from None


def _enroll(state: StateDirectory, users: Iterable[tuple[str, Secret]]) -> None:
    size = AuditConfig().max_log_bytes
    with StateLock(state.root):
        make_authorities(state.root)
        with (
            AuditTrail(state.audit, size, say_on_stderr, long_lived=False) as trail,
            open_identities(state, changed=trail.identity_changed) as identities,
        ):
            for name, stored in users:
                identities.registry.add_with_hash(name, TEMPLATE, stored.reveal().decode(), now=time.time())

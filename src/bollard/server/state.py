"""The state directory: what lies where, and how the first run makes it.

    bollard.toml policy.toml      written by the first run, edited by people
    registry.db  pepper  lock     identities and what their secrets are checked against
    revocations.log               what has ended, for good, whatever registry.db says after a restore
    sessions.db                   kept sessions, what they are owed, retained messages
    learning.json                 what was seen while learning, until it is applied
    audit/                        what changed and what was denied, signed line by line
    control.sock                  commands to the running broker
    ca/ tls/ devices/             authorities, server certificates, what `enroll` writes by default
    ca.pass, or ca.sealed         what opens the keys in ca/, unless the configuration says otherwise

The directory is 0700. The first run is a row of steps, each whole or not at all, and `bollard.toml`
comes last: a run that was interrupted is finished by the next one.
"""

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from bollard.base.errors import LocalError
from bollard.identity.files import make_private_directory, write_private
from bollard.identity.unlock import BY_FILE, Unlock
from bollard.policy.default import DEFAULT_POLICY
from bollard.server.config import Address
from bollard.server.defaults import config_text
from bollard.store.database import StateLock

CONFIG_NAME = "bollard.toml"
POLICY_NAME = "policy.toml"

#: Names that only we make. A directory that holds others, and no configuration, is somebody else's.
_OURS = {
    "ca",
    "ca.pass",
    "ca.sealed",
    "pin.refused",
    "tls",
    "devices",
    POLICY_NAME,
    "registry.db",
    "revocations.log",
    "sessions.db",
    "audit",
    "learning.json",
    "pepper",
    "lock",
    "control.sock",
}


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """Paths inside one state directory."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / CONFIG_NAME

    @property
    def policy(self) -> Path:
        return self.root / POLICY_NAME

    @property
    def registry(self) -> Path:
        return self.root / "registry.db"

    @property
    def sessions(self) -> Path:
        return self.root / "sessions.db"

    @property
    def pepper(self) -> Path:
        return self.root / "pepper"

    @property
    def revocations(self) -> Path:
        return self.root / "revocations.log"

    @property
    def audit(self) -> Path:
        return self.root / "audit"

    @property
    def learning(self) -> Path:
        return self.root / "learning.json"

    @property
    def control_socket(self) -> Path:
        return self.root / "control.sock"

    @property
    def recovery(self) -> Path:
        """The sheet that opens the server roots' keys, until its owner has moved it to a safe place."""
        return self.root / "ca" / "server-root-recovery.txt"

    @property
    def next_recovery(self) -> Path:
        """The same of the roots that are to follow."""
        return self.root / "ca" / "next-root" / "server-root-recovery.txt"

    @property
    def devices(self) -> Path:
        return self.root / "devices"


def default_directory() -> Path:
    """$BOLLARD_DIR; else /var/lib/bollard for the super-user, ~/.local/state/bollard for others."""
    named = os.environ.get("BOLLARD_DIR")
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/bollard")
    base = os.environ.get("XDG_STATE_HOME")
    return Path(base or Path.home() / ".local" / "state") / "bollard"


def prepare(directory: Path, bind: Address, unlock: Unlock = BY_FILE) -> Path | None:
    """Make what is missing in `directory` for its first run, with a listener on `bind`.

    Returns the path of the recovery file if authorities were made now, else None: those that a person or a
    token is to open are made by the start itself, which so asks once. Raises LocalError if
    the directory is not ours, not writable, or in use.
    """
    state = StateDirectory(directory)
    _enter(state)
    with StateLock(directory):
        recovery = make_authorities(directory) if unlock == BY_FILE else None
        if not state.policy.exists():
            write_private(state.policy, DEFAULT_POLICY.encode())
        if not state.config.exists():
            write_private(state.config, config_text(bind, unlock).encode())
    return recovery


def make_authorities(directory: Path, unlock: Unlock = BY_FILE) -> Path | None:
    """Create the authorities if there are none. Returns the recovery file's path if it did.

    Hold the directory's `StateLock`. Raises LocalError if there were some once: new ones would be trusted
    by none of the devices that are enrolled.
    """
    # Most commands never make any, and start faster without the library for it.
    from bollard.identity.authority import authorities_exist, create_authorities

    if authorities_exist(directory):
        return None
    state = StateDirectory(directory)
    if state.registry.exists():
        raise LocalError(
            f"{directory / 'ca'} is missing, and the devices in {state.registry.name} trust what was in it",
            "Restore it from your backup, or move the registry away to begin anew with every device.",
        )
    return create_authorities(directory, now=time.time(), unlock=unlock)


def keep_memory_off_disk() -> None:
    """No core dump of this process: it would hold the keys of the authorities, opened."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _require_way(root: Path) -> None:
    """`LocalError` if something that is no directory stands where `root`, or one above it, has to be."""
    there = next(each for each in (root, *root.parents) if os.path.lexists(each))
    if not there.is_dir():
        raise LocalError(
            f"{there} exists and is not a directory", "Name an empty or a new directory: bollard up --dir DIR"
        )


def _enter(state: StateDirectory) -> None:
    """Make the directory, or take one that is empty or was made by us."""
    try:
        if state.root.is_dir():
            names = set(os.listdir(state.root))
            strangers = {name for name in names - _OURS if not name.startswith(".new-")}
            if strangers and not state.config.exists():
                raise LocalError(
                    f"{state.root} is not empty and no state directory of Bollard ({min(strangers)} is in it)",
                    "Name an empty or a new directory: bollard up --dir DIR",
                )
            if not names and state.root.stat().st_uid == os.geteuid():
                state.root.chmod(0o700)
        else:
            _require_way(state.root)
        make_private_directory(state.root)
    except OSError as error:
        raise LocalError(
            f"cannot use {state.root}: {error.strerror}",
            "Name a directory that this user may write: bollard up --dir DIR",
        ) from None

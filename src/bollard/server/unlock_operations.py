"""Moving the keys of the authorities from one way of opening them to another, while no broker runs.

Each move goes: what the new way needs is put on disk and read back, beside what the old way needs; then the
configuration says the new way, in one step; then what only the old way needed is wiped. Cut off anywhere, the
next start opens the keys by what the configuration says, and the same command finishes.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.authority import load_authorities
from bollard.identity.files import read_private, wipe_private, write_private
from bollard.identity.keys import ByPassphrase, is_reference
from bollard.identity.unlock import PASS_FILE, SEALED_FILE, Unlock, is_needed, write_sealed
from bollard.server.actor import ACTOR
from bollard.server.audit import AuditTrail
from bollard.server.config import Config
from bollard.server.state import StateDirectory, keep_memory_off_disk
from bollard.server.unlock_settings import require_writable, write_settings
from bollard.store.database import StateLock

#: What is to be overwritten, under a second name until its first holds what comes after it.
_WIPE = ".wipe"


@dataclass(frozen=True, slots=True)
class Moved:
    """`way` opens the keys now. `keys` names the files whose keys went into the token; `keep_away` is a file that
    opens older copies of the keys, and that is not ours to wipe."""

    way: str
    keys: tuple[str, ...] = ()
    keep_away: Path | None = None


def move(config: Config, to: Unlock, report: Callable[[str], None]) -> Moved:
    """Have the keys opened by `to` from now on. Raises LocalError; then the way before still opens them.

    A move to "prompt" from "prompt" sets a new passphrase. `report` hears of what goes wrong in the audit log.
    """
    state = StateDirectory(config.state_dir)
    keep_memory_off_disk()
    with (
        StateLock(state.root),
        AuditTrail(state.audit, config.audit.max_log_bytes, report, long_lived=False) as trail,
    ):
        actor = ACTOR.set(f"uid {os.getuid()}")
        try:
            moved = _move(config, state.root, to)
            trail.record("authority.unlock", way=moved.way, keys=", ".join(moved.keys))
            return moved
        finally:
            ACTOR.reset(actor)


def _move(config: Config, directory: Path, to: Unlock) -> Moved:
    if config.unlock != to:
        require_writable(config.file, to)
    source = _source(config, directory, to)
    if to.way == "pkcs11":
        moved = _to_token(config, directory, source, to)
    else:
        moved = _to_passphrase(config, directory, source, to)
    _wipe_what_is_left(directory, to)
    return moved


def _source(config: Config, directory: Path, to: Unlock) -> Unlock:
    """What opens the keys now: what the configuration says, unless it was edited before the keys were moved."""
    if config.unlock.way == "pkcs11" and to.way != "pkcs11":
        raise LocalError(
            "the keys are in a token, which does not give them away",
            "Keys leave a token only by being replaced: bollard authority rotate, with the recovery sheet.",
        )
    if config.unlock != to:
        return config.unlock
    if (directory / SEALED_FILE).exists():
        return Unlock("prompt")
    return Unlock()


def _to_passphrase(config: Config, directory: Path, source: Unlock, to: Unlock) -> Moved:
    opened = source.keys(directory)
    assert isinstance(opened, ByPassphrase)
    load_authorities(directory, source)  # that it opens every key, before it is taken along
    if to.way == "prompt":
        write_sealed(directory, opened.passphrase)
    else:
        _write_passphrase(to.file(directory), opened.passphrase)
    if config.unlock != to:
        write_settings(config.file, to)
    return Moved(to.way, keep_away=_not_ours(directory, source, to))


def _to_token(config: Config, directory: Path, source: Unlock, to: Unlock) -> Moved:
    """Copy each key into the token, then say so in the configuration, then put a reference in each file's place."""
    keys_left = _unmoved(directory)
    references: dict[Path, bytes] = {}
    if keys_left:
        if source.way == "pkcs11":  # cut off: the passphrase is in the file that the move put there
            source = Unlock()
        opened = source.keys(directory)
        assert isinstance(opened, ByPassphrase)
        if config.unlock != to:
            load_authorities(directory, source)  # that all is well before anything is moved
        _write_passphrase(directory / PASS_FILE, opened.passphrase)
        token = to.keys(directory)
        from bollard.identity.pkcs11 import TokenKeys

        assert isinstance(token, TokenKeys)
        references = {path: token.stored(token.put(path.stem, opened.read(path))) for path in keys_left}
    else:
        load_authorities(directory, to)  # another PIN, or the same keys in another token: does it open them?
    if config.unlock != to:
        write_settings(config.file, to)
    for path, text in references.items():
        _wipe_then_write(path, text)
    load_authorities(directory, to)
    return Moved(to.way, tuple(path.name for path in keys_left), _not_ours(directory, source, to))


def _wipe_then_write(path: Path, text: bytes) -> None:
    """Replace a key file; the blocks of the old one are overwritten behind it."""
    behind = path.with_name(f".{path.name}{_WIPE}")
    behind.unlink(missing_ok=True)  # of a move that was cut off
    os.link(path, behind)
    write_private(path, text)
    wipe_private(behind)


def _unmoved(directory: Path) -> list[Path]:
    """The key files of the authorities that hold the keys themselves."""
    return [path for path in sorted((directory / "ca").glob("*.key")) if not is_reference(read_private(path))]


def _write_passphrase(path: Path, secret: Secret) -> None:
    if path.exists() and read_private(path, follow=True).rstrip(b"\r\n") == secret.reveal():
        return
    if path.exists():
        raise LocalError(
            f"{path} is there already and holds another passphrase",
            "Move it away, and run the command again.",
        )
    write_private(path, secret.reveal() + b"\n")


def _wipe_what_is_left(directory: Path, to: Unlock) -> None:
    """What opened the keys before; a passphrase that is still needed stays."""
    if to.way == "pkcs11" and is_needed(directory / "ca"):
        return
    for path in sorted((directory / "ca").glob(f".*{_WIPE}")):
        wipe_private(path)
    if to.way != "file" or to.file(directory) != directory / PASS_FILE:
        wipe_private(directory / PASS_FILE)
    if to.way != "prompt":
        wipe_private(directory / SEALED_FILE)


def _not_ours(directory: Path, source: Unlock, to: Unlock) -> Path | None:
    """A file elsewhere that still holds the passphrase."""
    if source.way != "file" or source.pass_file is None or source.pass_file == to.pass_file:
        return None
    return None if source.pass_file == directory / PASS_FILE else source.pass_file

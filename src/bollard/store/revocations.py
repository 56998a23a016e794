"""The revocation log: a file of its own, only ever appended to, beside the registry's database.

One JSON object a line, each on disk before its caller goes on. Whoever restores an older `registry.db`
leaves this file as it is, and everything that it names stays ended. What a line means is in
`identity/revoke.py`; here are the file, and the storage that keeps registry and log in step.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bollard.base.errors import LocalError
from bollard.identity.ports import RegistryStorage
from bollard.identity.records import Identity
from bollard.identity.revoke import (
    Ending,
    endings_of_credentials,
    endings_of_identity,
    unnoted,
    without_ended,
)
from bollard.store.appending import write_whole

#: A line has five short fields; more is damage.
MAX_LINE_BYTES = 1024

_LINES = msgspec.json.Decoder(Ending)


class RevocationLog:
    """The file at `path`, made when the first line is written. One writer: the holder of the `StateLock`."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[Ending]:
        """Every line. The torn end of a write that was cut off is removed: nobody was told that it was done.

        `LocalError` for any other damage: guessing might let somebody in.
        """
        try:
            data = self._path.read_bytes() if self._path.exists() else b""
            whole, _, torn = data.rpartition(b"\n")
            if torn:
                os.truncate(self._path, len(data) - len(torn))
        except OSError as error:
            raise self._unusable(error) from None
        return [self._line(number, line) for number, line in enumerate(whole.split(b"\n"), 1) if line]

    def append(self, endings: Sequence[Ending]) -> None:
        """Add lines; they are on disk when this returns. `LocalError` if not: then none of them counts."""
        if not endings:
            return
        data = b"".join(msgspec.json.encode(ending) + b"\n" for ending in endings)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            handle = os.open(self._path, flags, 0o600)
            try:
                write_whole(handle, data)
            finally:
                os.close(handle)
        except OSError as error:
            raise self._unusable(error) from None

    def _line(self, number: int, line: bytes) -> Ending:
        try:
            if len(line) > MAX_LINE_BYTES:
                raise ValueError("too long")
            return _LINES.decode(line)
        except ValueError:  # msgspec's errors are ValueErrors too
            raise LocalError(
                f"{self._path}, line {number}: not a line of the revocation log",
                "Restore the file from your latest backup. Without it, revoked devices could come back.",
            ) from None

    def _unusable(self, error: OSError) -> LocalError:
        return LocalError(
            f"cannot use the revocation log {self._path}: {error.strerror}",
            "Check that it belongs to this user and that the disk has room.",
        )


class LoggedStorage:
    """`identity.ports.RegistryStorage` that notes every end in the log, and lets the log win.

    A revocation or suspension is in the log before it is in the database: a crash between the two is made
    up for at the next start. A credential that was replaced is noted after, see `endings_of_credentials`;
    if that fails, `report` is told and it is tried again with the next change.
    """

    __slots__ = ("_known", "_log", "_owed", "_report", "_storage", "restored")

    def __init__(
        self, storage: RegistryStorage, log: RevocationLog, report: Callable[[str], None], *, now: float
    ) -> None:
        """Bring both in step. `restored` then names the identities that the log has ended again."""
        self._storage = storage
        self._log = log
        self._report = report
        self._owed: list[Ending] = []
        endings = log.load()
        known = {identity.id: identity for identity in storage.load()}
        corrected = without_ended(known.values(), endings, now=int(now))
        for identity in corrected:
            storage.save(identity)
            known[identity.id] = identity
        self.restored = tuple(identity.id for identity in corrected)
        log.append(unnoted(known.values(), endings))
        self._known = known

    def load(self) -> list[Identity]:
        """Every identity, in order of name."""
        return [self._known[name] for name in sorted(self._known)]

    def save(self, identity: Identity) -> None:
        """As `RegistryStorage.save`, with the log in step."""
        self._in_step([identity], lambda: self._storage.save(identity))

    def save_all(self, identities: Sequence[Identity]) -> None:
        """As `save` for each of them, in one transaction."""
        self._in_step(identities, lambda: self._storage.save_all(identities))

    def _in_step(self, identities: Sequence[Identity], store: Callable[[], None]) -> None:
        changes = [(self._known.get(identity.id), identity) for identity in identities]
        ending = [one for change in changes for one in endings_of_identity(*change)]
        self._log.append(ending)
        try:
            store()
        except LocalError as error:
            if ending:
                error.remedy = (
                    f"{error.remedy} It is noted in the revocation log and takes effect with the next start, "
                    "if not before: try again."
                )
            raise
        for before, identity in changes:
            self._known[identity.id] = identity
            self._owed += endings_of_credentials(before, identity)
        try:
            self._log.append(self._owed)
            self._owed = []
        except LocalError as error:
            self._report(f"a replaced credential is not in the revocation log yet: {error}")

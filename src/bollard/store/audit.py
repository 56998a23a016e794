"""The audit log on disk: files that are only ever appended to, and the key that signs their lines.

    audit/audit-0000000001.log    entries from number 1 on; one file after another, each of a bounded size
    audit/key                     the private key of the next entry (and for a moment the one after that)

What a line is, and what a check can prove, is in `audit_chain.py`. The oldest files are removed to make room,
after an entry has said so. A key is on disk before the entry that announces it, and the one before is
destroyed after, so that a crash between any two steps leaves a log that goes on.

A line whose end is missing was never confirmed to anybody: it is cut off at the next start, and told.

Whoever cuts, lengthens or removes the newest file while it is in use is noticed at the next entry: that one goes
into a file of its own, so that it is not lost behind half a line, and the log is begun anew with the reason.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bollard.base.errors import LocalError
from bollard.identity.files import make_private_directory, read_private, write_private
from bollard.store.appending import write_whole
from bollard.store.audit_chain import (
    BEGAN,
    DROPPED,
    KEY,
    MAX_LINE_BYTES,
    Entry,
    Fact,
    Head,
    Line,
    announced_key,
    decode_line,
    encode_line,
)

#: A file is closed when it has this part of all that may be kept, so that little is lost when one is removed.
PARTS = 8
MIN_LOG_BYTES = 64 * 1024

_KEY_NAME = "key"
#: Two keys of 32 bytes in hex, each with its newline.
_MAX_KEY_FILE_BYTES = 130


def log_files(folder: Path) -> list[Path]:
    """The files of the log in `folder`, oldest first; none if there is no log. Raises OSError."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.glob("audit-*.log") if path.stem.removeprefix("audit-").isdecimal()]
    return sorted(found, key=lambda path: int(path.stem.removeprefix("audit-")))


def read_lines(files: Iterable[Path]) -> Iterator[Line]:
    """The lines of `files`, without their newlines. A line longer than any of ours ends as one that is torn.

    A file that is removed meanwhile counts as empty.
    """
    held: Line | None = None
    for path in files:
        try:
            with path.open("rb") as file:
                number = 0
                while data := file.readline(MAX_LINE_BYTES + 1):
                    number += 1
                    if held is not None:
                        yield held
                    held = Line(path.name, number, data.removesuffix(b"\n"), data.endswith(b"\n"))
        except FileNotFoundError:
            continue
    if held is not None:
        yield Line(held.file, held.number, held.data, held.whole, last=True)


def known_keys(folder: Path) -> list[str]:
    """The public keys (hex) of the private ones in `folder`; none if there is no key. Raises LocalError."""
    path = folder / _KEY_NAME
    return [_public(key) for key in _read_keys(path)] if path.exists() else []


class AuditLog:
    """The log in a folder. One writer: the holder of the `StateLock`. Not thread-safe."""

    def __init__(self, folder: Path, max_bytes: int, *, now: float) -> None:
        """Open the log, or begin one. `notes` then has sentences about what was found.

        `LocalError` if the folder cannot be used. A log that cannot be continued, because its key or its end
        is not what it was, is begun anew behind what there is, which every check will find.
        """
        self._folder = folder
        self._max_bytes = max(max_bytes, MIN_LOG_BYTES)
        self.notes: list[str] = []
        self.head = Head()
        #: How long the newest file has to be.
        self._written = 0
        self._key: Ed25519PrivateKey
        try:
            make_private_directory(folder)
            files = log_files(folder)
            torn = _cut_torn(files[-1]) if files else 0
            tail = next((path for path in reversed(files) if path.stat().st_size), None)
            if tail is not None and tail != files[-1]:
                # It was made and got no whole line: the next one has to begin with its key again.
                files.pop().unlink()
            self._path = files[-1] if files else self._name(1)
            if tail is None and not files:
                self._begin("", now)
            else:
                self._continue(files, tail, now)
        except OSError as error:
            raise LocalError(
                f"cannot use the audit log in {folder}: {error.strerror}",
                "Check that it belongs to this user and that the disk has room.",
            ) from None
        if torn:
            self.notes.append(f"{torn} bytes at the end were torn off by a kill or a power cut")
            self.append([Entry("audit.torn", now, {"bytes": torn})])

    def append(self, entries: Sequence[Entry]) -> None:
        """Write `entries`; they are on disk when this returns. OSError or LocalError if not: then none of them is."""
        if not entries:
            return
        self._look(entries[0].at)
        if self._size() >= self._max_bytes // PARTS:
            self._next_file(entries[0].at)
        self._write(entries)

    def change_key(self, at: float) -> None:
        """Announce a new key and destroy the one that has signed so far. Errors as for `append`."""
        self._look(at)
        fresh = Ed25519PrivateKey.generate()
        self._save(self._key, fresh)
        self._write([Entry(KEY, at, {"key": _public(fresh)})])
        self._save(fresh)
        self._key = fresh

    # --- inside --------------------------------------------------------------------------------------

    def _continue(self, files: list[Path], tail: Path | None, now: float) -> None:
        reason, last = "", b""
        if tail is None:
            reason = "its last entries are gone"
        else:
            last = _last_line(tail)
            try:
                self.head = Head(int(decode_line(last)["n"]), _digest(last))
            except ValueError:
                reason = "its last line is no entry"
                self.head = Head(int(tail.stem.removeprefix("audit-")), _digest(last))
        if not reason:
            announced = _last_announced(files)
            keys = {_public(key): key for key in self._keys()}
            if announced in keys:
                self._key = keys[announced]
                self._written = self._size()
                return
            reason = "its signing key is missing" if not keys else "its signing key is another one"
        self._begin_behind(reason, now)

    def _look(self, at: float) -> None:
        """Begin anew, behind what there is, if somebody else has changed the newest file meanwhile."""
        if self._size() != self._written:
            make_private_directory(self._folder)
            self._begin_behind("its newest file was cut, lengthened or removed while it was in use", at)

    def _begin_behind(self, reason: str, now: float) -> None:
        self.notes.append(
            f"the log could not be continued: {reason}; it was begun anew after {self.head.number}"
        )
        self._path, self._written = self._name(self.head.number + 1), 0
        self._begin(reason, now)

    def _keys(self) -> list[Ed25519PrivateKey]:
        path = self._folder / _KEY_NAME
        return _read_keys(path) if path.exists() else []

    def _begin(self, reason: str, now: float) -> None:
        self._key = Ed25519PrivateKey.generate()
        self._save(self._key)
        facts: dict[str, Fact] = {"key": _public(self._key)}
        if reason:
            facts["reason"] = reason
        self._write([Entry(BEGAN, now, facts)])

    def _write(self, entries: Sequence[Entry]) -> None:
        head, lines = self.head, []
        for entry in entries:
            line, head = encode_line(entry, head, self._key.sign)
            lines.append(line)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(self._path, flags, 0o600)
        try:
            fresh = os.fstat(handle).st_size == 0
            write_whole(handle, b"".join(lines))
            self._written = os.fstat(handle).st_size
        finally:
            os.close(handle)
        self.head = head
        if fresh:
            _sync(self._folder)

    def _next_file(self, at: float) -> None:
        """Go on in a new file, which begins with a key of its own, and remove the oldest if there is too much."""
        self._path, self._written = self._name(self.head.number + 1), 0
        self.change_key(at)
        files = log_files(self._folder)
        sizes = {path: path.stat().st_size for path in files}
        room = self._max_bytes - self._max_bytes // PARTS
        while len(files) > 2 and sum(sizes.values()) > room:
            oldest = files.pop(0)
            last = _last_line(oldest)
            facts: dict[str, Fact] = {
                "file": oldest.name,
                "last": int(decode_line(last)["n"]),
                "head": _digest(last),
            }
            self._write([Entry(DROPPED, at, facts)])
            del sizes[oldest]
            oldest.unlink()

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def _name(self, number: int) -> Path:
        return self._folder / f"audit-{number:010}.log"

    def _save(self, *keys: Ed25519PrivateKey) -> None:
        text = "".join(key.private_bytes_raw().hex() + "\n" for key in keys)
        write_private(self._folder / _KEY_NAME, text.encode())


def _read_keys(path: Path) -> list[Ed25519PrivateKey]:
    data = read_private(path)
    try:
        if len(data) > _MAX_KEY_FILE_BYTES:
            raise ValueError
        return [Ed25519PrivateKey.from_private_bytes(bytes.fromhex(line)) for line in data.decode().split()]
    except ValueError:
        return []


def _public(key: Ed25519PrivateKey) -> str:
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    return key.public_key().public_bytes(*raw).hex()


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _last_announced(files: Sequence[Path]) -> str:
    """The public key that the newest entry with one announces."""
    for path in reversed(files):
        found = ""
        for key in announced_key(line.data for line in read_lines([path])):
            found = key
        if found:
            return found
    return ""


def _last_line(path: Path) -> bytes:
    """The last line of `path`, without its newline."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 2 * MAX_LINE_BYTES, 0))
        return file.read().rstrip(b"\n").rpartition(b"\n")[2]


def _cut_torn(path: Path) -> int:
    """Cut off what stands behind the last newline of `path`, and return how many bytes that was."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        position = size
        while position:
            begin = max(position - MAX_LINE_BYTES, 0)
            file.seek(begin)
            _, newline, _ = (chunk := file.read(position - begin)).rpartition(b"\n")
            if newline:
                position = begin + chunk.rfind(b"\n") + 1
                break
            position = begin
    if position < size:
        os.truncate(path, position)
    return size - position


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

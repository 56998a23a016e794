"""The server roots of a state directory: those in force, those that are to follow, and who has these.

    ca/server-root.crt    what devices trust: the roots in force (P-256, then RSA), and behind them, while a
                          replacement is under way, those that are to follow
    ca/next-root/         while one is under way: the roots that are to follow (`server-root.crt`), their keys
                          under the passphrase of their recovery sheet, that sheet until it is moved away,
                          and the names of those who have them (`holders-` and the pin's first 16 digits)
    ca/takeover/          for a moment: all that comes into force together with the roots that follow
    ca/left-behind.json   who did not have the present roots when they came into force

`next-root` and `takeover` appear whole or not at all. What is cut off behind that is done by `settle`, which
every loading begins with: so a crash leaves the old roots, both, or the new ones, and never some of each.
How a replacement goes on is in `rotation.py`.
"""

import hashlib
import json
import math
import os
import shutil
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bollard.base.documents import load_json
from bollard.base.errors import LocalError
from bollard.identity.files import read_private, read_public, write_private
from bollard.identity.keys import damaged
from bollard.identity.names import is_identity

ROOT_FILE = "server-root.crt"
RECOVERY_FILE = "server-root-recovery.txt"
NEXT, TAKEOVER = "next-root", "takeover"
HOLDERS_FILE = "holders"
LEFT_BEHIND_FILE = "left-behind.json"
#: Roots in force: one of each algorithm.
IN_FORCE = 2


@dataclass(frozen=True, slots=True)
class NextRoots:
    """The roots that are to follow, P-256 first, and who has them already."""

    certificates: tuple[x509.Certificate, ...]
    holders: "Holders" = field(repr=False)

    @property
    def pins(self) -> frozenset[str]:
        """The SHA-256 of each, in hex."""
        return frozenset(map(pin_of, self.certificates))


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """Who did not have the present roots when they came into force at `at`; 0 and nobody if unknown."""

    at: float = 0.0
    identities: frozenset[str] = frozenset()


class Holders:
    """The identities that have the roots which are to follow, in a file of one name a line.

    Only grows, and by enrolled names alone, so it is as long as the registry at most. For any thread.
    """

    def __init__(self, path: Path) -> None:
        """`LocalError` if others may read or change the file."""
        self._path = path
        self._lock = threading.Lock()
        text = read_private(path).decode("ascii", "replace") if path.exists() else ""
        # A last line without its end was cut off, so it may be the beginning of a name: it gets an end that
        # makes it none.
        self._torn = bool(text) and not text.endswith("\n")
        lines = text.splitlines()[:-1] if self._torn else text.splitlines()
        self._names = frozenset(filter(is_identity, lines))

    @property
    def names(self) -> frozenset[str]:
        return self._names

    def add(self, identity: str) -> None:
        """`identity` has them; on disk when this returns. `LocalError` if that cannot be written.

        Nothing is noted if the replacement was ended meanwhile.
        """
        with self._lock:
            if identity in self._names or not is_identity(identity):
                return
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
                with open(os.open(self._path, flags, 0o600), "ab", buffering=0) as file:
                    file.write(b"#\n" * self._torn + identity.encode("ascii") + b"\n")
                    os.fsync(file.fileno())
            except FileNotFoundError:
                return
            except OSError as error:
                raise LocalError(
                    f"cannot write {self._path}: {error.strerror}", "Check that the disk has room."
                ) from None
            self._torn = False
            self._names |= {identity}


def settle(ca: Path) -> None:
    """Finish what a crash has interrupted, and make `server-root.crt` hold what it should.

    `LocalError` for what is damaged or cannot be written.
    """
    if (ca / TAKEOVER).exists():
        _take_over(ca)
    trusted = read_certificates(ca / ROOT_FILE)
    following = _following(ca)
    right = [*trusted[:IN_FORCE], *following]
    if trusted != right:
        write_private(ca / ROOT_FILE, _pem(right))


def read_next(ca: Path) -> NextRoots | None:
    """The roots that are to follow, if a replacement is under way. `LocalError` for what is damaged."""
    following = _following(ca)
    return NextRoots(following, Holders(holders_file(ca, following[0]))) if following else None


def holders_file(ca: Path, root: x509.Certificate) -> Path:
    """The names of those who have `root`, which is to follow, first of its kind. Each root has a file of its
    own: what somebody says late of one that was given up must not count for the next."""
    return ca / NEXT / f"{HOLDERS_FILE}-{pin_of(root)[:16]}"


def drop_next(ca: Path) -> None:
    """End a replacement without its roots: in one step, and `server-root.crt` follows by `settle`."""
    gone = ca / f".{NEXT}.gone"
    try:
        shutil.rmtree(gone, ignore_errors=True)  # of an earlier one that was cut off
        if (ca / NEXT).exists():
            (ca / NEXT).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    except OSError as error:
        raise LocalError(
            f"cannot remove {ca / NEXT}: {error.strerror}", "Check that the directory belongs to this user."
        ) from None


def left_behind(ca: Path) -> LeftBehind:
    """Who had not got the present roots when they came into force. Nobody, if there is no such record."""
    try:
        told = load_json(read_private(ca / LEFT_BEHIND_FILE))
        at = float(told["at"])
        if not math.isfinite(at):
            raise ValueError(at)
        return LeftBehind(at, frozenset(map(str, told["identities"])))
    except (LocalError, ValueError, TypeError, KeyError, OverflowError):
        return LeftBehind()


def left_behind_file(at: float, identities: Iterable[str]) -> bytes:
    return json.dumps({"at": at, "identities": sorted(identities)}).encode() + b"\n"


def read_certificates(path: Path) -> list[x509.Certificate]:
    """The certificates in a PEM file; at least one. `LocalError` for what is damaged or others may change."""
    try:
        return x509.load_pem_x509_certificates(read_public(path))
    except ValueError:
        raise damaged(path) from None


def pin_of(root: x509.Certificate) -> str:
    """SHA-256 of the DER, in hex: what pins name."""
    return hashlib.sha256(root.public_bytes(serialization.Encoding.DER)).hexdigest()


def _following(ca: Path) -> tuple[x509.Certificate, ...]:
    path = ca / NEXT / ROOT_FILE
    return tuple(read_certificates(path)) if path.exists() else ()


def _take_over(ca: Path) -> None:
    """Put everything of `takeover` in its place, one file after another; can be done again from any point."""
    try:
        for path in sorted((ca / TAKEOVER).iterdir()):
            path.replace(ca / path.name)
        sheet, root = ca / RECOVERY_FILE, read_certificates(ca / ROOT_FILE)[0]
        if sheet.exists() and pin_of(root).encode() not in read_private(sheet):
            sheet.unlink()  # that of the roots before: it opens nothing any more
        drop_next(ca)
        (ca / TAKEOVER).rmdir()
    except OSError as error:
        raise LocalError(
            f"cannot put the new server root in its place in {ca}: {error.strerror}",
            "Check that the directory belongs to this user and that the disk has room, then start again.",
        ) from None


def _pem(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)

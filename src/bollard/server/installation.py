"""What `bollard doctor` looks at on the machine itself. Reads only: nothing is opened for writing, locked or repaired.

Each function gives one piece of evidence or raises `Missing` with the reason; what it means is for the checks.
"""

import os
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from bollard.assess.model import Evidence, Missing
from bollard.assess.probes.own import (
    AuthorityKeys,
    Backup,
    Lifetime,
    Lifetimes,
    Modes,
    OpenFile,
    Options,
    Policy,
    Record,
    Recovery,
    Running,
    Store,
)
from bollard.base.errors import LocalError
from bollard.identity.files import read_private
from bollard.identity.keys import is_plain, is_reference
from bollard.identity.unlock import PASS_FILE, SEALED_FILE
from bollard.policy.lint import lint
from bollard.policy.rules import parse_policy
from bollard.policy.space import TooComplex
from bollard.server.config import Config, weaknesses
from bollard.server.control_socket import ask_socket
from bollard.server.requests import AskStatus, Status
from bollard.server.state import StateDirectory
from bollard.store.audit import known_keys, log_files, read_lines
from bollard.store.audit_chain import verify
from bollard.store.salvage import check

#: A state directory holds no more files than this, or it is not only ours.
MAX_FILES = 100_000
#: A longer record is for `bollard log verify`, which may take its time.
MAX_RECORD_BYTES = 256 * 1_048_576
#: Meant to be read by others, or of no use to them.
_PUBLIC = (".crt", ".crl", ".pub")


def gather(
    config: Config, backup: Path | None, status: Status | None
) -> tuple[list[Evidence], dict[type[Evidence], str]]:
    """All evidence there is, and the reasons for what there is not."""
    state = StateDirectory(config.state_dir)
    probes: dict[type[Evidence], Callable[[], Evidence]] = {
        Modes: lambda: _modes(state),
        Lifetimes: lambda: _lifetimes(state),
        Store: lambda: _store(state.sessions),
        Backup: lambda: _backup(backup),
        Policy: lambda: _policy(config),
        Options: lambda: Options(weakened=tuple(weaknesses(config))),
        Recovery: lambda: _recovery(state),
        AuthorityKeys: lambda: _authority_keys(config),
        Record: lambda: _record(state),
        Running: lambda: _running(status),
    }
    found: list[Evidence] = []
    missing: dict[type[Evidence], str] = {}
    for kind, probe in probes.items():
        try:
            found.append(probe())
        except Missing as reason:
            missing[kind] = str(reason)
        except LocalError as error:
            missing[kind] = error.message
        except OSError as error:
            missing[kind] = f"it could not be read: {error.strerror}"
    return found, missing


def running_status(config: Config) -> Status | None:
    """What the running broker says of itself; None when none runs, or it may not be asked."""
    try:
        answer = ask_socket(StateDirectory(config.state_dir).control_socket, AskStatus())
    except LocalError:
        return None
    return answer if isinstance(answer, Status) and answer.running else None


def _modes(state: StateDirectory) -> Modes:
    top = state.root.stat()
    found: list[OpenFile] = []
    looked = 1
    if stat.S_IMODE(top.st_mode) & 0o077:
        found.append(OpenFile(path=str(state.root), mode=stat.S_IMODE(top.st_mode)))
    for folder, folders, files in os.walk(state.root):
        for name in (*folders, *files):
            path = Path(folder, name)
            looked += 1
            if looked > MAX_FILES:
                raise Missing(f"there are more than {MAX_FILES} files in {state.root}")
            try:
                about = path.lstat()
            except FileNotFoundError:
                continue  # the running broker replaces files
            mode = stat.S_IMODE(about.st_mode)
            foreign = about.st_uid not in (top.st_uid, 0)
            wide = mode & (0o022 if path.suffix in _PUBLIC else 0o077)
            # A symbolic link has no mode of its own.
            if foreign or (wide and not stat.S_ISLNK(about.st_mode)):
                found.append(OpenFile(path=str(path), mode=mode, foreign_owner=foreign))
    return Modes(looked=looked, open=tuple(found))


def _lifetimes(state: StateDirectory) -> Lifetimes:
    found: list[Lifetime] = []
    unreadable: list[str] = []
    for folder in ("ca", "tls"):
        for path in sorted((state.root / folder).glob("*.crt")):
            try:
                first = x509.load_pem_x509_certificates(path.read_bytes())[0]
            except ValueError:
                unreadable.append(str(path))
                continue
            found.append(
                Lifetime(
                    file=str(path),
                    subject=first.subject.rfc4514_string() or path.name,
                    authority=folder == "ca",
                    not_before=int(first.not_valid_before_utc.timestamp()),
                    not_after=int(first.not_valid_after_utc.timestamp()),
                )
            )
    return Lifetimes(read_at=int(time.time()), certificates=tuple(found), unreadable=tuple(unreadable))


def _store(path: Path) -> Store:
    rows, problem = check(path)
    return Store(problem=problem, rows=rows)


def _backup(path: Path | None) -> Backup:
    if path is None:
        raise Missing("nobody said where the backups are: --backup FILE names the newest")
    age_s = int(time.time() - path.stat().st_mtime)
    return Backup(file=str(path), age_s=max(age_s, 0), problem=check(path)[1])


def _policy(config: Config) -> Policy:
    rules = parse_policy(config.policy)
    try:
        remarks = lint(rules, datetime.now(UTC))
    except TooComplex:
        raise Missing("the policy is too large to be compared with itself") from None
    count = len(rules.templates) + len(rules.groups) + len(rules.grants) + len(rules.denies)
    said = tuple(f"{config.policy}:{each.line or 1}: {each}" for each in remarks)
    return Policy(file=str(config.policy), rules=count, remarks=said)


def _recovery(state: StateDirectory) -> Recovery:
    for sheet in (state.recovery, state.next_recovery):
        if sheet.exists():
            return Recovery(present=True, age_s=max(int(time.time() - sheet.stat().st_mtime), 0))
    return Recovery(present=False)


def _authority_keys(config: Config) -> AuthorityKeys:
    found = sorted((config.state_dir / "ca").glob("*.key"))
    keys = {path: read_private(path, of=config.state_dir) for path in found}
    if not keys:
        raise Missing("there are no authorities yet")
    way = config.unlock.way
    left = [path for path, text in keys.items() if way == "pkcs11" and not is_reference(text)]
    in_use = {"file": config.unlock.file(config.state_dir), "prompt": config.state_dir / SEALED_FILE}.get(way)
    others = (config.state_dir / PASS_FILE, config.state_dir / SEALED_FILE)
    left += [path for path in others if path != in_use and path.exists()]
    return AuthorityKeys(
        opened_by=str(config.unlock),
        unprotected=tuple(str(path) for path, text in keys.items() if is_plain(text)),
        left=tuple(str(path) for path in left),
    )


def _record(state: StateDirectory) -> Record:
    files = log_files(state.audit)
    if not files:
        raise Missing("there is no audit log yet")
    if sum(path.stat().st_size for path in files) > MAX_RECORD_BYTES:
        raise Missing("the audit log is long: bollard log verify takes its time for it")
    keys = known_keys(state.audit)
    verdict = verify(read_lines(files), keys)
    if verdict.fault is not None and verdict.fault.line == 0:
        # The broker may have changed its key while the log was read.
        verdict = verify(read_lines(log_files(state.audit)), [*keys, *known_keys(state.audit)])
    return Record(
        fault=str(verdict.fault) if verdict.fault else "", entries=verdict.entries, notes=verdict.notes
    )


def _running(status: Status | None) -> Running:
    if status is None:
        raise Missing("the broker is not running, or may not be asked by this user")
    try:
        user = os.stat(f"/proc/{status.pid}").st_uid
    except OSError:
        raise Missing("whose process the broker is cannot be seen") from None
    return Running(user=user, compiled=status.compiled, version=status.version)

"""`bollard log`: what changed and what was denied, and whether somebody has altered the record of it."""

import json
import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bollard.base.errors import LocalError
from bollard.cli.group import Group
from bollard.cli.output import count, say_json, visible
from bollard.cli.proposal import pointed
from bollard.cli.target import find_config, target_options

if TYPE_CHECKING:
    from bollard.server.state import StateDirectory
    from bollard.store.audit_chain import Head, Line

#: How often a log that is followed is looked at.
FOLLOW_S = 0.3
_AFTER_BAD = """
Entries before this place are as they were written; do not rely on what stands after it.
Next: keep a copy of {folder}, compare it with a backup, and ask who could write there. A new log
begins when that folder is moved away while the broker is stopped."""
#: What every entry has; the rest are its facts.
_LINE_ENDS = re.compile(r"[ \t]*[\r\n]+[ \t]*")
_FRAME = ("n", "time", "kind", "prev", "sig")


@click.group(cls=Group, invoke_without_command=True)
@click.option("--since", metavar="WHEN", help='A moment, or how long ago: "2h", "7d", 2030-01-31T18:00:00Z.')
@click.option("--id", "identity", metavar="ID", help="Entries about this identity.")
@click.option(
    "--kind", metavar="KIND", help='Entries of this kind, or that begin so: "identity", "access.denied".'
)
@click.option("--last", "count", type=click.IntRange(1), help="The last so many of them.")
@click.option("--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option("--json", "as_json", is_flag=True, help="The lines as they are: one JSON object each.")
@target_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """What changed and what was denied: the audit log, oldest first.

    \b
    Example:  bollard log --since 2h --kind access.denied
              bollard log --id plug --follow
              bollard log verify
    """
    if ctx.invoked_subcommand is not None:
        return
    folder = _folder(options["directory"], options["config_file"])
    begin = _since(options["since"]) if options["since"] else ""
    if options["kind"]:
        _check_kind(folder, options["kind"])
    wanted = _Wanted(begin, options["identity"], options["kind"])
    shown = _shown(folder, wanted, follow=False, as_json=options["as_json"])
    found = False
    for text in deque(shown, options["count"]) if options["count"] else shown:
        click.echo(text)
        found = True
    if not found:
        click.echo(f"nothing found: {visible(str(wanted))}", err=True)
    if options["follow"]:
        for text in _shown(folder, wanted, follow=True, as_json=options["as_json"]):
            click.echo(text)


@command.command()
@click.option("--head", "kept", metavar="HEAD", help="What `bollard log head` said earlier.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@target_options
def verify(directory: Path | None, config_file: Path | None, kept: str | None, as_json: bool) -> int:
    """Check that the audit log is what was written: nothing changed, removed or moved.

    Ends with 1 and the first bad line if it is not. Whether whole entries are missing at the very end, or
    somebody with the rights of the broker has written all of it anew, shows only with a --head that was kept
    on another machine.

    \b
    Example:  bollard log verify --head 1042:9f86d081...
    """
    from bollard.store.audit import known_keys, log_files, read_lines
    from bollard.store.audit_chain import verify as check

    state = _state(directory, config_file)
    folder = state.audit
    head = _head(kept) if kept else None
    # A broker may change its key while the log is read: the key before and the one after are both right.
    keys = known_keys(folder)
    files = log_files(folder)
    if not (files or keys or state.registry.exists()):
        raise LocalError(f"there is no audit log in {folder}", "The first `bollard up` begins one.")
    verdict = check(read_lines(files), keys, head, begun=True)
    if verdict.fault is not None and verdict.fault.line == 0:
        verdict = check(read_lines(log_files(folder)), [*keys, *known_keys(folder)], head, begun=True)
    notes = [*verdict.notes, *([] if keys else ["there is no signing key beside the log to compare with"])]
    if as_json:
        fault = verdict.fault
        say_json(
            {
                "ok": fault is None,
                "entries": verdict.entries,
                "first": verdict.first,
                "head": str(verdict.head),
                "fault": None
                if fault is None
                else {"file": fault.file, "line": fault.line, "text": fault.text},
                "notes": notes,
            }
        )
    else:
        for note in notes:
            click.echo(f"note: {visible(note)}")
        last = f", the last is {verdict.head.number}" if verdict.entries else ""
        number = count(verdict.entries, "entry is", "entries are")
        click.echo(f"{number} good{last}")
        if verdict.fault is not None:
            click.echo(f"BAD  {visible(str(verdict.fault))}")
            click.echo(_AFTER_BAD.format(folder=visible(str(folder))))
        else:
            click.echo(f"head {verdict.head}")
            if head is None:
                click.echo("Keep this head on another machine: the next check can begin from it.")
    return 0 if verdict.fault is None else 1


@command.command()
@target_options
def head(directory: Path | None, config_file: Path | None) -> None:
    """Print the head of the log: a number and a hash that stand for everything up to here.

    Keep it on another machine, and give it to `bollard log verify --head` later.

    \b
    Example:  bollard log head | ssh backup 'cat >> bollard-heads'
    """
    import hashlib

    from bollard.store.audit import log_files, read_lines
    from bollard.store.audit_chain import Head, decode_line

    folder = _folder(directory, config_file)
    latest: Line | None = None
    for path in reversed(log_files(folder)):
        for line in read_lines([path]):
            latest = line if line.whole else latest
        if latest is not None:
            break
    if latest is None:
        raise LocalError(f"there is no audit log in {folder}", "The first `bollard up` begins one.")
    try:
        number = decode_line(latest.data)["n"]
    except ValueError as error:
        raise LocalError(
            f"the last line of the audit log is no entry: {error}", "bollard log verify"
        ) from None
    click.echo(Head(number, hashlib.sha256(latest.data).hexdigest()))


class _Wanted:
    """Which entries are shown. `begin` is a time as entries have it, "" for all."""

    def __init__(self, begin: str, identity: str | None, kind: str | None) -> None:
        self._begin = begin
        self._identity = identity
        self._kind = kind

    def __call__(self, record: dict[str, Any]) -> bool:
        if record["time"] < self._begin:
            return False
        if self._identity is not None and record.get("identity") != self._identity:
            return False
        return self._kind is None or _is_of(record["kind"], self._kind)

    def __str__(self) -> str:
        parts = []
        if self._kind is not None:
            parts.append(f'of kind "{self._kind}"')
        if self._identity is not None:
            parts.append(f'about the identity "{self._identity}"')
        if self._begin:
            parts.append(f"since {self._begin}Z")
        return f"the log has no entry {' '.join(parts)}".rstrip()


def _is_of(kind: str, wanted: str) -> bool:
    return kind == wanted or kind.startswith(f"{wanted}.")


def _check_kind(folder: Path, wanted: str) -> None:
    """Raise unless `wanted` is a kind that entries may have, or one that the log has from another version."""
    from bollard.server.audit_entries import KINDS
    from bollard.store.audit_chain import decode_line

    if any(_is_of(kind, wanted) for kind in KINDS):
        return
    for line in _whole_lines(folder):
        with suppress(ValueError):
            if _is_of(decode_line(line.data)["kind"], wanted):
                return
    raise click.UsageError(f"{wanted!r} is no kind of entry. There are: {', '.join(sorted(KINDS))}.")


def _state(directory: Path | None, config_file: Path | None) -> "StateDirectory":
    from bollard.server.state import StateDirectory

    return StateDirectory(find_config(directory, config_file).state_dir)


def _folder(directory: Path | None, config_file: Path | None) -> Path:
    return _state(directory, config_file).audit


def _shown(folder: Path, wanted: _Wanted, *, follow: bool, as_json: bool) -> Iterator[str]:
    from bollard.store.audit_chain import decode_line

    for line in _following(folder) if follow else _whole_lines(folder):
        try:
            record = decode_line(line.data)
        except ValueError:
            place = visible(f"{folder / line.file}:{line.number}")
            click.echo(
                pointed(f"{place}: this line is no entry. What that means: bollard log verify"), err=True
            )
            continue
        if wanted(record):
            yield json.dumps(record) if as_json else _as_text(record)


def _whole_lines(folder: Path) -> "Iterator[Line]":
    from bollard.store.audit import log_files, read_lines

    return (line for line in read_lines(log_files(folder)) if line.whole)


def _following(folder: Path) -> "Iterator[Line]":
    """Lines that are written from now on, in the newest file and in those that come after it."""
    from bollard.store.audit import log_files
    from bollard.store.audit_chain import Line

    files = log_files(folder)
    at = files[-1] if files else None
    before = at.read_bytes() if at is not None else b""
    place, number = len(before), before.count(b"\n")
    while True:
        for path in [file for file in log_files(folder) if at is None or file.name >= at.name]:
            if at is None or path.name > at.name:
                at, place, number = path, 0, 0
            with path.open("rb") as file:
                file.seek(place)
                whole, newline, _ = file.read().rpartition(b"\n")
                place += len(whole) + len(newline)
            for data in whole.split(b"\n") if newline else ():
                number += 1
                yield Line(path.name, number, data, True)
        time.sleep(FOLLOW_S)


def _as_text(record: dict[str, Any]) -> str:
    facts = " ".join(
        f"{name}={_value(value)}" for name, value in record.items() if name not in _FRAME and value != ""
    )
    return visible(f"{record['time'][:19]}Z  {record['n']:>6}  {record['kind']:24}  {facts}".rstrip())


def _value(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(_value, value))
    text = _LINE_ENDS.sub(" / ", str(value).strip())  # an entry is one line, a remedy stood on its own
    return text if re.fullmatch(r"[^\s\"=]+", text) else json.dumps(text, ensure_ascii=False)


def _since(text: str) -> str:
    """The moment that `text` means, as entries have it."""
    from bollard.policy.entry import duration

    length = duration(text)
    if length:
        moment = datetime.now(UTC) - min(length, timedelta(days=36_500))
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise click.UsageError(
                f'{text!r} is no moment: write "2h", "7d", or 2030-01-31T18:00:00Z.'
            ) from None
        if moment.tzinfo is None:
            raise click.UsageError(f"{text!r} has no time zone: add Z for UTC, or an offset such as +02:00.")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _head(text: str) -> "Head":
    from bollard.store.audit_chain import Head

    try:
        return Head.read(text)
    except ValueError as error:
        raise click.UsageError(f"--head: {error}.") from None

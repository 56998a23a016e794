"""Grants put into the text of a policy file and taken out of it, with all that is written around them.

Text in, text out; the file is for others. Whatever comes out has been read again: it has the rules it had
and the one change, or there is an error and no text.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Comment, Table, Whitespace

from bollard.base.errors import ConfigError, LocalError
from bollard.base.toml import Document, suggest
from bollard.policy.model import GROUP_PREFIX, RIGHTS, Rules
from bollard.policy.rules import read_rules

_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGrant:
    """A grant to be written. `who` is an identity, "group:NAME" or "*"; `rights` has filters by right, `limits`
    values by key, as the file has them."""

    who: str
    rights: Mapping[str, Sequence[str]]
    until: datetime | None = None
    reason: str = ""
    limits: Mapping[str, int | str] = field(default_factory=dict)


def grant_block(name: str, grant: NewGrant) -> str:
    """The table [grant.NAME] as one would write it."""
    lines = [f"[grant.{name if _BARE.fullmatch(name) else _quoted(name)}]", f"who = {_quoted(grant.who)}"]
    for right in RIGHTS:
        if grant.rights.get(right):
            lines.append(f"{right} = [{', '.join(map(_quoted, grant.rights[right]))}]")
    for key, value in grant.limits.items():
        lines.append(f"{key} = {value if isinstance(value, int) else _quoted(value)}")
    if grant.until is not None:
        lines.append(f"until = {grant.until.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')}")
    if grant.reason:
        lines.append(f"reason = {_quoted(grant.reason)}")
    return "\n".join(lines) + "\n"


def free_name(rules: Rules, who: str) -> str:
    """A name for a grant to `who` that no grant has yet, such as "anna-1"."""
    base = "everybody" if who == "*" else who.removeprefix(GROUP_PREFIX)[:56]
    number = 1
    while f"{base}-{number}" in rules.grants:
        number += 1
    return f"{base}-{number}"


def add_grant(path: Path, text: str, name: str, grant: NewGrant) -> str:
    """`text`, the policy in `path`, with `grant` at its end.

    Raises ConfigError if `text` is wrong, LocalError if the grant is, or if one of that name is there.
    """
    if name in read_rules(Document(path, text)).grants:
        raise LocalError(f'there is a grant "{name}" already', "Choose another --name, or revoke that one.")
    block = grant_block(name, grant)
    if "\r\n" in text:
        block = block.replace("\n", "\r\n")
    end = "\r\n" if "\r\n" in text else "\n"
    gap = "" if text.endswith(end * 2) else end if text.endswith("\n") else end * 2
    edited = text + gap + block
    try:
        read_rules(Document(path, edited))
    except ConfigError as error:  # its line is in a text that nobody has seen
        if error.message.startswith("not valid TOML"):
            raise _by_hand("") from None
        raise LocalError(error.message, f"{error.remedy} Nothing was written.".strip()) from None
    grants: dict[str, object] = {**_grants(edited)}
    grants.pop(name)
    _check_same(text, edited, grants, _grants(text))
    return edited


def remove_grant(path: Path, text: str, name: str) -> str:
    """`text`, the policy in `path`, without the grant called `name`; comments stay.

    Raises LocalError if there is none, ConfigError if what is left is no valid policy.
    """
    document = Document(path, text)
    rules = read_rules(document)
    if name not in rules.grants:
        remedy = suggest(name, rules.grants) if rules.grants else "There are no grants in it."
        raise LocalError(f'there is no grant "{name}" in {path}', remedy)
    try:
        edited = _without(text, name, document.line("grant", name))
        read_rules(Document(path, edited))
    except (TOMLKitError, ConfigError, KeyError):
        raise _by_hand(name) from None
    grants = {**_grants(text)}
    grants.pop(name)
    _check_same(text, edited, _grants(edited), grants)
    return edited


def _without(text: str, name: str, line: int) -> str:
    """`text` without the grant that begins on `line`. Comments behind its last key are the next table's."""
    document = tomlkit.parse(text)
    grants = document["grant"]
    assert isinstance(grants, dict)
    table = grants[name]
    begin = len("\n".join(text.split("\n")[: line - 1])) + 1
    after = text.find("\n", begin) + 1
    if isinstance(table, Table) and text.startswith(table.as_string(), after):
        body, tail = table.as_string(), ""
        for _, item in reversed(table.value.body):
            if not isinstance(item, Comment | Whitespace):
                break
            tail = item.as_string() + tail
        return text[:begin] + tail.lstrip("\r\n") + text[after + len(body) :]
    del grants[name]
    return tomlkit.dumps(document)


def _check_same(before: str, after: str, grants: object, expected: object) -> None:
    """Refuse an edit that has changed anything else."""
    old, new = tomllib.loads(before), tomllib.loads(after)
    if grants != expected or {**old, "grant": None} != {**new, "grant": None}:
        raise _by_hand("")


def _grants(text: str) -> dict[str, object]:
    grants = tomllib.loads(text).get("grant", {})
    assert isinstance(grants, dict)
    return grants


def _by_hand(name: str) -> LocalError:
    which = f'the grant "{name}"' if name else "grants"
    return LocalError(f"{which} cannot be edited safely the way the file is written", "Edit it by hand.")


def _quoted(text: str) -> str:
    """`text` as a TOML string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

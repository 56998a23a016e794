"""A proposal as people read it and as the policy file takes it: TOML, with the evidence in comments.

What is written into a policy file is read again: it has the rules it had and the new ones, or there is an
error and no text.
"""

import json
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from bollard.base.errors import ConfigError, LocalError
from bollard.base.toml import Document
from bollard.policy.learn import Excluded, LearnedFilter, LearnedRule, Observation, Proposal
from bollard.policy.model import RIGHTS
from bollard.policy.rules import read_rules

#: Excluded observations that are listed; more are counted.
MAX_LISTED = 200
MAX_SHOWN_CHARS = 120


def rules_text(proposal: Proposal) -> str:
    """The rules of `proposal` as they go into a policy file, "" if there are none."""
    return "\n".join(_rule_text(rule) for rule in proposal.rules)


def fitting(proposal: Proposal, room: int) -> Proposal:
    """`proposal` with rules of at most `room` bytes, the smallest first; the others are left out.

    Attack: one device, or many names, with so much that no policy file takes the proposal, to anybody's loss.
    """
    sizes = {rule.name: len(_rule_text(rule).encode()) + 1 for rule in proposal.rules}
    kept: set[str] = set()
    for name in sorted(sizes, key=lambda name: sizes[name]):
        room -= sizes[name]
        if room < 0:
            break
        kept.add(name)
    left = [
        Excluded(_as_seen(rule, right, one), "no room for it in the policy file: grant it by hand")
        for rule in proposal.rules
        if rule.name not in kept
        for right, filters in rule.rights.items()
        for one in filters
    ]
    rules = tuple(rule for rule in proposal.rules if rule.name in kept)
    return Proposal(rules, (*proposal.excluded, *left), proposal.suspects)


def _as_seen(rule: LearnedRule, right: str, one: LearnedFilter) -> Observation:
    """What `rule` would have granted by the filter `one`, as if its first member had done all of it."""
    return Observation(
        identity=rule.members[0],
        right=right,
        topic=one.examples[0],
        count=one.count,
        first=one.first,
        last=one.last,
        qos=one.qos,
        size=one.size,
    )


def proposal_text(proposal: Proposal) -> str:
    """`proposal` for people: the rules, then in comments what is left out and why."""
    members = _members(proposal)
    who = "1 identity" if members == 1 else f"{members} identities"
    lines = [f"# Learned: rules for {who}. Nothing here is in force yet."]
    for name, reason in proposal.suspects.items():
        lines.append(f"# SUSPICIOUS, gets nothing: {name} ({_shown(reason)})")
    text = "\n".join([*lines, "", rules_text(proposal)])
    if not proposal.excluded:
        return text
    left = [f"#   {_excluded(one)}" for one in proposal.excluded[:MAX_LISTED]]
    more = len(proposal.excluded) - MAX_LISTED
    tail = [f"#   and {more} more"] if more > 0 else []
    return "\n".join([text, "# Left out:", *left, *tail, ""])


def add_rules(path: Path, text: str, rules: str) -> str:
    """`text`, the policy in `path`, with the text `rules` at its end. Raises ConfigError, LocalError."""
    read_rules(Document(path, text))
    if "\r\n" in text:
        rules = rules.replace("\n", "\r\n")
    end = "\r\n" if "\r\n" in text else "\n"
    edited = text + ("" if text.endswith("\n") else end) + end + rules
    try:
        read_rules(Document(path, edited))
    except ConfigError as error:  # its line is in a text that nobody has seen
        raise LocalError(f"the proposal does not fit the policy: {error.message}", _AGAIN) from None
    old, new = tomllib.loads(text), tomllib.loads(edited)
    for section, table in old.items():
        kept = new.get(section)
        if isinstance(table, dict) and isinstance(kept, dict):
            kept = {name: value for name, value in kept.items() if name in table}
        if kept != table:
            raise LocalError("the proposal would change rules that are there", _AGAIN)
    return edited


_AGAIN = "Make a new one: bollard learn propose"


def _rule_text(rule: LearnedRule) -> str:
    members = ", ".join(map(_quoted, rule.members))
    if len(rule.members) == 1:
        name = rule.name
        return f'[grant.{_quoted(name)}]\nwho = {members}\n{_rights(rule.rights)}reason = "learned"\n'
    return (
        f"[template.{_quoted(rule.name)}]\n{_rights(rule.rights)}\n"
        f"[group.{_quoted(rule.name)}]\nmembers = [{members}]\napply = [{_quoted(rule.name)}]\n"
    )


def _rights(rights: Mapping[str, tuple[LearnedFilter, ...]]) -> str:
    lines = []
    for right in RIGHTS:
        if rights.get(right):
            lines.append(f"{right} = [")
            for one in rights[right]:
                lines += [f"  # {_evidence(right, one)}", f"  {_quoted(one.filter)},"]
            lines.append("]")
    return "\n".join(lines) + "\n"


def _evidence(right: str, one: LearnedFilter) -> str:
    devices = "1 device" if one.devices == 1 else f"{one.devices} devices"
    times = "once" if one.count == 1 else f"{one.count:,} times"
    when = _day(one.first) if _day(one.first) == _day(one.last) else f"{_day(one.first)} to {_day(one.last)}"
    words = f"{devices}, {times}, {when}, QoS {one.qos} at most"
    if right != "subscribe":
        words += ", 1 byte at most" if one.size == 1 else f", {one.size:,} bytes at most"
    if one.examples != (one.filter,):
        words += f"; such as {_shown(one.examples[0])}"
    return words


def _excluded(one: Excluded) -> str:
    seen = one.seen
    times = "once" if seen.count == 1 else f"{seen.count:,} times"
    return f"{seen.identity} {seen.right} {_shown(seen.topic)}, {times}: {_shown(one.reason)}"


def _members(proposal: Proposal) -> int:
    return len({member for rule in proposal.rules for member in rule.members})


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _shown(text: str) -> str:
    """`text` of a peer on one line of a comment."""
    return json.dumps(text)[1:-1][:MAX_SHOWN_CHARS]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

"""EMQX's acl.conf: Erlang terms such as {allow, all, subscribe, ["a/#"]}., one rule each, the first that fits decides."""

import re
from dataclasses import dataclass
from pathlib import Path

from bollard.assess.configs.source import Place, Reading, Setting

_TERM = re.compile(r"\{(?:[^\"%]|\"(?:[^\"\\]|\\.)*\"|%[^\n]*\n){0,4000}?\}\s*\.(?=\s|$)")
_BLANK = re.compile(r"(?:\s|%[^\n]*)*")
_HEAD = re.compile(r"\{\s*(allow|deny)\s*,\s*(.*)\}\s*\.", re.DOTALL)
_TOPIC = re.compile(r'"((?:[^"\\]|\\.)*)"')
_LINE = re.compile(r"[^\n]*\n?")


@dataclass(frozen=True, slots=True)
class EmqxRule:
    """One rule. `who` is everything between the permission and the action, as written; no topics means all."""

    allows: bool
    who: str
    topics: tuple[str, ...]
    place: Place

    @property
    def everybody(self) -> bool:
        return self.who == "all"


def read_emqx_acl(path: Path, reading: Reading, asked: Place) -> list[EmqxRule] | None:
    """The rules in the file at `path`, None if it cannot be read; what is no rule is listed."""
    text = reading.text(path, asked)
    if text is None:
        return None
    rules: list[EmqxRule] = []
    at = 0
    while True:
        blank = _BLANK.match(text, at)
        at = blank.end() if blank else at
        if at >= len(text) or reading.full:
            return rules
        place = Place(str(path), text.count("\n", 0, at) + 1)
        term = _TERM.match(text, at)
        rule = _rule(term[0], place) if term else None
        if term is None or rule is None:
            line = _LINE.match(text, at)
            reading.missed(
                place, line[0].strip() if line else "", "expected a rule {allow, ...}. or {deny, ...}."
            )
            at = max(term.end() if term else line.end() if line else at, at + 1)
            continue
        rules.append(rule)
        at = term.end()


def _rule(term: str, place: Place) -> EmqxRule | None:
    found = _HEAD.fullmatch(term.strip())
    if found is None:
        return None
    body = found[2].strip()
    head, bracket, topics = body.rpartition("[") if body.endswith("]") else (body, "", "")
    who = re.split(
        r",\s*(?:publish|subscribe|all|pubsub|\{publish|\{subscribe|\{all)\b", head.rstrip(" ,\n")
    )[0]
    return EmqxRule(found[1] == "allow", who.strip(), tuple(_TOPIC.findall(topics)) if bracket else (), place)


def acl_setting(place: Place, rule: EmqxRule) -> Setting:
    """The rule as a setting, for reports."""
    return Setting(
        "allow" if rule.allows else "deny", f"{rule.who} {' '.join(rule.topics) or 'everything'}", place
    )

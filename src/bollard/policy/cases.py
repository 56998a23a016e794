"""Cases that a policy must pass: who must be allowed what, and who must not, for a file beside the policy.

    version = 1
    policy = "policy.toml"          the policy that is tested; relative to this file
    at = 2030-01-31T12:00:00Z       the moment at which it is; without it, now
    [enrolled]                      identities with the template that they are enrolled with
    plug = "device"
    [[allow]]                       and [[deny]]: who, topics by action, and the rule that has to decide
    who = "plug"
    publish = ["devices/plug/status"]

Reads cases and decides nothing itself: the policy is asked as the broker asks it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bollard.base.errors import PeerError
from bollard.base.toml import Document, Key, kind, load_toml
from bollard.base.types import Action, Decision, Principal
from bollard.policy.compile import Policy
from bollard.policy.model import IDENTITY
from bollard.wire.topics import check_filter, check_topic_name, split_share

#: What a case may ask about.
ACTIONS: Mapping[str, Action] = {action.name.lower(): action for action in Action}


@dataclass(frozen=True, slots=True)
class Case:
    """`who` doing `action` on `topic` must be `allowed`, or not; by `rule`, unless that is ""."""

    line: int
    who: Principal
    action: Action
    topic: str
    allowed: bool
    rule: str = ""

    def __str__(self) -> str:
        verb = "may" if self.allowed else "may not"
        return f"{self.who} {verb} {self.action.name.lower()} {self.topic}"


@dataclass(frozen=True, slots=True)
class Cases:
    """A file of cases. `policy` is the path that it names, or None; `at` its moment, or None."""

    path: Path
    policy: Path | None
    at: datetime | None
    enrolled: Mapping[Principal, str]
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the policy decided in a case, and whether that is what must be."""

    case: Case
    decision: Decision
    passed: bool


def load_cases(path: Path) -> Cases:
    """The cases in the file at `path`. Raises ConfigError, with file and line, for anything that is wrong."""
    return read_cases(load_toml(path))


def read_cases(document: Document) -> Cases:
    """The cases in a parsed file. Raises ConfigError as `load_cases` does."""
    document.check_keys((), ("version", "policy", "at", "enrolled", "allow", "deny"))
    if document.data.get("version") != 1 or document.data["version"] is True:
        raise document.error("there is no version that is known", "version", remedy="Write version = 1.")
    cases = (*_cases(document, "allow"), *_cases(document, "deny"))
    if not cases:
        raise document.error("there are no cases", remedy="Write [[allow]] or [[deny]].")
    policy = document.data.get("policy")
    if policy is not None and not isinstance(policy, str):
        raise document.error(f"policy is {kind(policy)}, expected a path", "policy")
    return Cases(
        document.path,
        document.path.parent / policy if policy else None,
        _moment(document),
        _enrolled(document),
        tuple(sorted(cases, key=lambda case: case.line)),
    )


def run(policy: Policy, cases: Cases) -> Iterator[Outcome]:
    """What `policy` decides in each case. A shared subscription needs its filter and its group, as in the broker."""
    for case in cases.cases:
        asked = questions(case.action, case.topic)
        decisions = [policy.decide(case.who, action, topic) for action, topic in asked]
        decision = next((decision for decision in decisions if not decision.allowed), decisions[0])
        right_rule = not case.rule or case.rule == decision.rule
        yield Outcome(case, decision, decision.allowed is case.allowed and right_rule)


def questions(action: Action, topic: str) -> list[tuple[Action, str]]:
    """What the policy is asked when somebody does `action` on `topic`: both filter and group of `$share/...`."""
    if action != Action.SUBSCRIBE:
        return [(action, topic)]
    group, inner = split_share(topic)
    return [(action, inner), (Action.SHARE, group)] if group else [(action, inner)]


def check_topic(action: Action, topic: str) -> str:
    """What is wrong with asking about `action` on `topic`; "" if nothing is."""
    if action == Action.SHARE and "/" in topic:
        return "the name of a shared group is one level; to ask about a whole subscription, use subscribe"
    try:
        if action == Action.SUBSCRIBE:
            check_filter(topic)
        else:
            check_topic_name(topic)
    except PeerError as error:
        return error.text
    return ""


def _moment(document: Document) -> datetime | None:
    value = document.data.get("at")
    if value is None or (isinstance(value, datetime) and value.tzinfo is not None):
        return value
    remedy = "Write at = 2030-01-31T12:00:00Z."
    raise document.error("at is not a date and time with a zone", "at", remedy=remedy)


def _enrolled(document: Document) -> dict[Principal, str]:
    table = document.data.get("enrolled", {})
    if not isinstance(table, dict):
        raise document.error(f"enrolled is {kind(table)}, expected a table", "enrolled")
    for name, template in table.items():
        if not IDENTITY.fullmatch(name) or not isinstance(template, str):
            remedy = 'Write an identity and its template, such as plug = "device".'
            raise document.error(f'"{name}" is not enrolled so', "enrolled", name, remedy=remedy)
    return dict(table)


def _cases(document: Document, section: str) -> Iterator[Case]:
    tables = document.data.get(section, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise document.error(f"{section} is not an array of tables", section, remedy=f"Write [[{section}]].")
    for index, table in enumerate(tables):
        place = (section, index)
        document.check_keys(place, ("who", "rule", *ACTIONS))
        rule = table.get("rule", "")
        if not isinstance(rule, str):
            raise document.error(f"rule is {kind(rule)}, expected a string", *place, "rule")
        topics = list(_topics(document, place, table))
        if not topics:
            remedy = f"Add at least one of: {', '.join(ACTIONS)}."
            raise document.error("this case asks nothing", *place, remedy=remedy)
        for who in _who(document, place, table):
            for line, action, topic in topics:
                yield Case(line, who, action, topic, section == "allow", rule)


def _who(document: Document, place: tuple[Key, ...], table: Mapping[str, object]) -> list[str]:
    names = _texts(document, (*place, "who"), table.get("who", []))
    for name in names:
        if not IDENTITY.fullmatch(name):
            remedy = "Write identities: a case asks for one at a time."
            raise document.error(f'"{name}" cannot be an identity', *place, "who", remedy=remedy)
    if not names:
        raise document.error("who is missing", *place, remedy='Write who = "plug".')
    return names


def _topics(
    document: Document, place: tuple[Key, ...], table: Mapping[str, object]
) -> Iterator[tuple[int, Action, str]]:
    for word, action in ACTIONS.items():
        for index, topic in enumerate(_texts(document, (*place, word), table.get(word, []))):
            wrong = check_topic(action, topic)
            if wrong:
                raise document.error(f'"{topic}": {wrong}', *place, word, index)
            yield document.line(*place, word, index), action, topic


def _texts(document: Document, place: tuple[Key, ...], value: object) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        message = f"{place[-1]} is {kind(value)}, expected a string or an array of strings"
        raise document.error(message, *place)
    return texts

"""Asks the compiled policy random questions, and a naive reading of the same rules, until they disagree.

    python tools/policy_cases.py --cases 1000000 [--seed 1]

The reference goes through all rules for every question, and knows filters only by what they match: one filter
holds another if it matches every topic that the other could mean. It shares no code with the policy beyond
the names of the actions. Ends with 1 at the first disagreement, and prints the policy and the question.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from bollard.base.toml import Document
from bollard.base.types import Action
from bollard.policy.compile import Policy
from bollard.policy.rules import read_rules

RIGHTS = ("publish", "subscribe", "retain", "will", "share")
LIMITS = ("max_qos", "max_payload", "max_subscriptions", "max_connections")
GROUPS = ("a", "b", "${id}", "+", "$s")
LEVELS = ("a", "b", "ab", "${id}", "+", "$s", "")
TEXTS = ("a", "b", "ab", "anonymous", "$s", "", "c")
IDENTITIES = ("a", "b", "ab", "x-1", "anonymous")
MEMBERS = (*IDENTITIES, "*", "a*", "?", "an*s", "x-?")
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
CASES_OF_ONE_POLICY = 200

#: What the presets of the same names must give, with base = "a".
PRESETS: dict[str, dict[str, list[str]]] = {
    "sensor": {
        "publish": ["a/${id}/data/#", "a/${id}/status"],
        "subscribe": ["a/${id}/cmd/#"],
        "retain": ["a/${id}/status"],
        "will": ["a/${id}/status"],
    },
    "application": {"publish": ["a/+/cmd/#"], "subscribe": ["a/#"], "share": ["${id}"]},
}

Rights = dict[str, list[str]]


@dataclass(frozen=True)
class Grant:
    who: list[str]
    rights: Rights
    starts: datetime | None
    ends: datetime | None


@dataclass(frozen=True)
class Deny:
    who: list[str]
    exempt: list[str]
    rights: Rights


@dataclass(frozen=True)
class Model:
    """A policy as plain lists, decided by going through all of them."""

    templates: dict[str, Rights]
    presets: dict[str, str]
    groups: dict[str, tuple[list[str], list[str]]]
    grants: list[Grant]
    denies: list[Deny]
    enrolled: dict[str, str]
    limits: dict[str, dict[str, int]]

    def text(self, order: random.Random) -> str:
        """The policy file, its tables in any order."""
        tables = [f"[template.{name}]\n{_rights(rights)}" for name, rights in self.templates.items()]
        tables += [f'[preset.{name}]\nuse = "{use}"\nbase = "a"\n' for name, use in self.presets.items()]
        tables += [
            f"[group.{name}]\nmembers = {members}\napply = {apply}\n"
            for name, (members, apply) in self.groups.items()
        ]
        for number, grant in enumerate(self.grants):
            bounds = [("from", grant.starts), ("until", grant.ends)]
            window = "".join(f"{key} = {moment.isoformat()}\n" for key, moment in bounds if moment)
            tables.append(f"[grant.g{number}]\nwho = {grant.who}\n{window}{_rights(grant.rights)}")
        for number, deny in enumerate(self.denies):
            exempt = f"except = {deny.exempt}\n" if deny.exempt else ""
            tables.append(f"[deny.d{number}]\nwho = {deny.who}\n{exempt}{_rights(deny.rights)}")
        for number, table in enumerate(tables):
            tables[number] += _limits(self.limits.get(table[1 : table.index("]")], {}))
        order.shuffle(tables)
        return "version = 1\n" + "".join(tables)

    def allows(self, identity: str, action: Action, topic: str) -> bool:
        """What the rules say, read one after the other."""
        if not identity or len(identity) > 64 or not all(c.isalnum() or c in "_.-" for c in identity):
            return False
        right = "subscribe" if action == Action.RECEIVE else action.name.lower()
        covers = _holds if action == Action.SUBSCRIBE else _matches

        def covered(rights: Rights, right: str) -> bool:
            return any(covers(text.replace("${id}", identity), topic) for text in rights.get(right, ()))

        for deny in self.denies:
            forbidden = covered(deny.rights, right) or (right == "will" and covered(deny.rights, "publish"))
            if (
                forbidden
                and self._means(deny.who, identity, True)
                and not self._means(deny.exempt, identity, False)
            ):
                return False
        given = list(self._given(identity))
        if right == "share" and not self._grants_groups():
            return (
                bool(topic) and topic[0] != "$" and "/" not in topic and any("subscribe" in r for r in given)
            )
        return any(covered(rights, right) for rights in given)

    def limit(self, identity: str, key: str) -> int | None:
        """The limit `key` of `identity`: what the most generous grant says, else the strictest of the rest."""
        if not identity or len(identity) > 64 or not all(c.isalnum() or c in "_.-" for c in identity):
            return None
        granted, others = [], []
        for rule, table in self.limits.items():
            kind, _, name = rule.partition(".")
            if key in table and kind == "grant" and self._granted(self.grants[int(name[1:])], identity):
                granted.append(table[key])
            elif key in table and kind != "grant" and self._limited(kind, name, identity):
                others.append(table[key])
        return max(granted) if granted else min(others, default=None)

    def _limited(self, kind: str, name: str, identity: str) -> bool:
        """Does the group, template or preset apply to `identity`? Patterns mean anonymous, too."""
        groups = [group for group, (members, _) in self.groups.items() if _named(members, identity, True)]
        if kind == "group":
            return name in groups
        own = identity != "anonymous" and self.enrolled.get(identity) == name
        return own or any(name in self.groups[group][1] for group in groups)

    def _granted(self, grant: Grant, identity: str) -> bool:
        begun = grant.starts is None or grant.starts <= NOON
        over = grant.ends is not None and grant.ends <= NOON
        return begun and not over and self._means(grant.who, identity, False)

    def _grants_groups(self) -> bool:
        written = [*self.templates.values(), *(grant.rights for grant in self.grants)]
        return any("share" in rights for rights in written)

    def _given(self, identity: str) -> Iterator[Rights]:
        for grant in self.grants:
            if self._granted(grant, identity):
                yield grant.rights
        names = [
            name for members, apply in self.groups.values() if _named(members, identity) for name in apply
        ]
        if identity != "anonymous" and identity in self.enrolled:
            names.append(self.enrolled[identity])
        for name in names:
            if name in self.templates:
                yield self.templates[name]
            if name in self.presets:
                yield PRESETS[self.presets[name]]

    def _means(self, who: Iterable[str], identity: str, wide: bool) -> bool:
        return any(
            (name == "*" and (wide or identity != "anonymous"))
            or name == identity
            or (name.startswith("group:") and _named(self.groups[name[6:]][0], identity, wide))
            for name in who
        )


def _named(members: Iterable[str], identity: str, wide: bool = False) -> bool:
    """Is `identity` among `members`? Patterns mean anonymous only if `wide`."""
    plain = wide or identity != "anonymous"
    return any(member == identity or (plain and fnmatchcase(identity, member)) for member in members)


def _limits(limits: dict[str, int]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in limits.items())


def _rights(rights: Rights) -> str:
    return "".join(f"{right} = {filters}\n" for right, filters in rights.items())


@lru_cache(maxsize=100_000)
def _matches(filter: str, topic: str) -> bool:
    if "+" in topic or "#" in topic or (topic.startswith("$") and filter[0] in "+#"):
        return False
    return _match_levels(filter.split("/"), topic.split("/"))


def _match_levels(filter: list[str], topic: list[str]) -> bool:
    if filter == ["#"]:
        return True
    if not filter or not topic:
        return not filter and not topic
    return filter[0] in ("+", topic[0]) and _match_levels(filter[1:], topic[1:])


@lru_cache(maxsize=1_000_000)
def _holds(granted: str, requested: str) -> bool:
    """Does `granted` match whatever `requested` could mean? Its wildcards become levels that nothing names."""
    levels = ["other" if level == "+" else level for level in requested.split("/")]
    if levels[-1] != "#":
        return _matches(granted, "/".join(levels))
    front = levels[:-1]
    tails = range(0 if front else 1, granted.count("/") + 3)
    return all(_matches(granted, "/".join(front + ["other"] * length)) for length in tails)


def random_filter(chance: random.Random) -> str:
    """A legal filter with or without variables."""
    if chance.random() < 0.05:
        return "#"
    levels = [chance.choice(LEVELS) for _ in range(chance.randint(1, 4))]
    text = "/".join(levels + ["#"] * (chance.random() < 0.3))
    return text or "a"


def random_rights(chance: random.Random) -> Rights:
    often = {"share": 0.2}
    chosen = [right for right in RIGHTS if chance.random() < often.get(right, 0.6)] or ["publish"]
    return {
        right: [
            chance.choice(GROUPS) if right == "share" else random_filter(chance)
            for _ in range(chance.randint(1, 4))
        ]
        for right in chosen
    }


def random_model(chance: random.Random) -> Model:
    """A small policy with every kind of rule."""
    templates = {f"t{n}": random_rights(chance) for n in range(chance.randint(0, 3))}
    presets = {f"p{n}": chance.choice(list(PRESETS)) for n in range(chance.randint(0, 2))}
    names = [*templates, *presets]
    groups = {
        f"g{n}": (chance.sample(MEMBERS, chance.randint(0, 3)), chance.sample(names, min(len(names), n)))
        for n in range(chance.randint(0, 3))
    }
    everyone = [*IDENTITIES, "*", *(f"group:{name}" for name in groups)]
    denies = []
    for _ in range(chance.randint(0, 3)):
        who = chance.sample(everyone, chance.randint(1, 2))
        exempt = chance.sample([name for name in everyone if name != "*"], chance.randint(0, 2))
        if not set(who) <= set(exempt):
            denies.append(Deny(who, exempt, random_rights(chance)))
    grants = [
        Grant(chance.sample(everyone, chance.randint(1, 2)), random_rights(chance), *random_window(chance))
        for _ in range(chance.randint(0, 4))
    ]
    enrolled = {who: chance.choice([*names, "gone"]) for who in IDENTITIES if chance.random() < 0.5}
    rules = [f"template.{name}" for name in templates] + [f"preset.{name}" for name in presets]
    rules += [f"group.{name}" for name in groups] + [f"grant.g{number}" for number in range(len(grants))]
    limits = {rule: random_limits(chance) for rule in rules if chance.random() < 0.3}
    return Model(templates, presets, groups, grants, denies, enrolled, limits)


def random_limits(chance: random.Random) -> dict[str, int]:
    return {key: chance.randint(1, 2) for key in LIMITS if chance.random() < 0.6}


def random_window(chance: random.Random) -> tuple[datetime | None, datetime | None]:
    """When a grant is in force, bounds at noon included."""
    if chance.random() < 0.6:
        return None, None
    start = NOON + timedelta(hours=chance.randint(-2, 1))
    return chance.choice([start, None]), chance.choice([start + timedelta(hours=chance.randint(1, 2)), None])


def random_question(chance: random.Random) -> tuple[str, Action, str]:
    """Who, what and where; now and then somebody who could not be."""
    identity = (
        chance.choice(IDENTITIES) if chance.random() < 0.97 else chance.choice(["+", "#", "a/b", "", "a b"])
    )
    action = chance.choice(list(Action))
    if action == Action.SUBSCRIBE:
        return identity, action, random_filter(chance).replace("${id}", identity or "a")
    if action == Action.SHARE:
        return identity, action, chance.choice([text for text in TEXTS if text])
    text = "/".join(chance.choice(TEXTS) for _ in range(chance.randint(1, 5)))
    return identity, action, text or "a"


def run(cases: int, seed: int) -> str:
    """Ask `cases` questions. Returns what to say of the first disagreement, "" if there is none."""
    chance = random.Random(seed)  # noqa: S311  # repeatable cases, not secrets
    asked = 0
    while asked < cases:
        model = random_model(chance)
        text = model.text(chance)
        policy = Policy(read_rules(Document(Path("policy.toml"), text)), model.enrolled, NOON)
        for _ in range(min(CASES_OF_ONE_POLICY, cases - asked)):
            identity, action, topic = random_question(chance)
            decision = policy.decide(identity, action, topic)
            if decision.allowed != model.allows(identity, action, topic):
                question = f"{identity!r} {action.name} {topic!r}, enrolled {model.enrolled}"
                return f"{text}\n{question}\nthe policy says {decision}, the reference the opposite"
            key = chance.choice(LIMITS)
            limit = getattr(policy.allowance(identity), key, None)
            if limit != model.limit(identity, key):
                return f"{text}\n{identity!r} {key}: the policy says {limit}, the reference the opposite"
            asked += 1
    return ""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare the compiled policy with a naive reading of it.")
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    wrong = run(options.cases, options.seed)
    if wrong:
        sys.stdout.write(f"{wrong}\n")
        return 1
    took = time.monotonic() - began
    sys.stdout.write(f"{options.cases:,} cases agree (seed {options.seed}, {took:.1f} s)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
